#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| paas_router::fuzzing::request_http2(bytes));
