#![no_main]
//! Any text is rules that hold their own tests, or errors that say where.

use rg_gateway::policy::threat::{Engine, RuleFile};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let file = RuleFile {
        name: "rules/fuzz.yaml".into(),
        text: text.to_owned(),
    };
    match Engine::compile(&[file], &[]) {
        Ok(engine) => assert!(
            engine.test_report().failures.is_empty(),
            "a failing test passed"
        ),
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            let lines = text.split(['\n', '\r']).count();
            for error in errors {
                assert!(!error.reason.is_empty(), "an empty reason");
                assert!(
                    error.place.line as usize <= lines + 1,
                    "a place beyond the file"
                );
            }
        }
    }
});
