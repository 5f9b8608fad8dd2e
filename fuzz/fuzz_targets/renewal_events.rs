//! See [`koshin_fuzz::renewal_events`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::renewal_events(data));
