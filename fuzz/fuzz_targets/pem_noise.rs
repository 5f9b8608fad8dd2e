//! See [`koshin_fuzz::pem_noise`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::pem_noise(data));
