//! The fuzz targets on the stable compiler: changed pieces of the corpus, the same ones at
//! every run, so many that it takes a second. `router/fuzz` looks longer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;
use paas_router::fuzzing::TARGETS;

const ROUNDS: usize = 20_000;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One that is a little different.
fn changed(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    const ODD: &[u8] = b"\0\r\n\t :;,./*\x7f\x80\xff0Aa-+_\"";
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        match random.u8(..7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, ODD[random.usize(..ODD.len())]),
            2 => bytes.insert(at, random.u8(..)),
            3 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            5 => {
                let other = &seeds[random.usize(..seeds.len())];
                bytes.truncate(at);
                bytes.extend(&other[random.usize(..=other.len())..]);
            }
            _ => {
                let end = (at + random.usize(..16)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
fn what_holds_for_any_bytes() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no corpus");
        let mut random = Rng::with_seed(0xF00D);
        for round in 0..seeds.len() + ROUNDS {
            let bytes = seeds.get(round).cloned().unwrap_or_else(|| changed(&seeds, &mut random));
            let held = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(held.is_ok(), "{name} doesn't hold for b\"{}\"", bytes.escape_ascii());
        }
    }
}

#[test]
fn cargo_fuzz_has_the_same_targets() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}
