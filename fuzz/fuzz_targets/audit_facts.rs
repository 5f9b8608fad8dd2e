//! See [`koshin_fuzz::audit_facts`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| koshin_fuzz::audit_facts(data));
