//! See [`koshin_fuzz::certification_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::certification_request(data));
