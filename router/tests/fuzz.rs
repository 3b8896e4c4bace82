//! The fuzz targets on the stable compiler: changed pieces of the corpus, the same ones at
//! every run, so many that it takes a second. `router/fuzz` looks longer.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

#[path = "util/corpus.rs"]
mod corpus;

use std::path::Path;

use paas_router::fuzzing::TARGETS;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn what_holds_for_any_bytes() {
    corpus::hold(Path::new(HERE), TARGETS, 20_000);
}

#[test]
fn cargo_fuzz_has_the_same_targets() {
    corpus::cargo_fuzz_has(Path::new(HERE), TARGETS);
}
