#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| faregate::http::fuzzing::framing(bytes));
