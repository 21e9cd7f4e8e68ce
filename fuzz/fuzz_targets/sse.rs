#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| faregate::meter::answer::fuzzing::sse(bytes));
