#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| sockmgr_fuzz::exec(text));
