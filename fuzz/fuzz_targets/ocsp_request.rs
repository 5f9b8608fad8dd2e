//! See [`koshin_fuzz::ocsp_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::ocsp_request(data));
