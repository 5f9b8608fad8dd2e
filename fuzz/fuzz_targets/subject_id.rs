//! See [`koshin_fuzz::subject_id`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::subject_id(data));
