#![no_main]
//! Parts are pieces of the body.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rg_gateway::policy::threat::properties::parts(data));
