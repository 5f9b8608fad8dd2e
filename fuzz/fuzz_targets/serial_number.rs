//! See [`koshin_fuzz::serial_number`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::serial_number(data));
