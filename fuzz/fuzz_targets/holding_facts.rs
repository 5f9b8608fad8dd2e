//! See [`koshin_fuzz::holding_facts`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::holding_facts(data));
