#![no_main]
//! Any text is a configuration that may run, or errors that say where.

use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(errors) =
        rg_gateway::config::compile("gateway.yaml", text, Path::new("/nonexistent"))
    {
        assert!(!errors.is_empty(), "refused without a reason");
        let lines = text.split(['\n', '\r']).count();
        for error in errors {
            assert!(!error.reason.is_empty(), "an empty reason");
            let here = error.place.file.as_ref() == "gateway.yaml";
            assert!(
                !here || error.place.line as usize <= lines + 1,
                "a place beyond the file"
            );
        }
    }
});
