//! See [`koshin_fuzz::policy_replay`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::policy_replay(data));
