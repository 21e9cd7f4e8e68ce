#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| faregate::proxy::fuzzing::units_in_body(bytes));
