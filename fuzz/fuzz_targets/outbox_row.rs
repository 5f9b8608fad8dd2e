//! See [`koshin_fuzz::outbox_row`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::outbox_row(data));
