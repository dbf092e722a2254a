#![no_main]
//! Nothing in a document is hidden, and nothing is seen more than twice.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rg_gateway::policy::threat::properties::xml(data));
