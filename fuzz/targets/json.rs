#![no_main]
//! The JSON walker agrees with a strict reader.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rg_gateway::policy::threat::properties::json(data));
