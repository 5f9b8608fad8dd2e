//! See [`koshin_fuzz::mail_address`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::mail_address(data));
