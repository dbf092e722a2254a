#![no_main]
//! Decoding ends at a fixed point and hides nothing.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rg_gateway::policy::threat::properties::decoding(data));
