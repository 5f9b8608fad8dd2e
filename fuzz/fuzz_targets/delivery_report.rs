//! See [`koshin_fuzz::delivery_report`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::delivery_report(data));
