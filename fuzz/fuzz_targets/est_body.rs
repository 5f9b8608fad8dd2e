//! See [`koshin_fuzz::est_body`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::est_body(data));
