//! Changed pieces of a corpus, the same ones at every run, for functions that hold for any bytes; and that cargo-fuzz
//! has the same functions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;

type Target = (&'static str, fn(&[u8]));

fn seeds(crate_dir: &Path, target: &str) -> Vec<Vec<u8>> {
    let dir = crate_dir.join("fuzz/corpus").join(target);
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

/// Calls each target with its corpus as it is, and then changed, `rounds` times.
pub(crate) fn hold(crate_dir: &Path, targets: &[Target], rounds: usize) {
    for (name, target) in targets {
        let seeds = seeds(crate_dir, name);
        assert!(!seeds.is_empty(), "{name} has no corpus");
        let mut random = Rng::with_seed(0xF00D);
        for round in 0..seeds.len() + rounds {
            let bytes = seeds.get(round).cloned().unwrap_or_else(|| changed(&seeds, &mut random));
            let held = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(held.is_ok(), "{name} doesn't hold for b\"{}\"", bytes.escape_ascii());
        }
    }
}

/// Each target has its program in `fuzz`.
pub(crate) fn cargo_fuzz_has(crate_dir: &Path, targets: &[Target]) {
    let mut files: Vec<String> = std::fs::read_dir(crate_dir.join("fuzz/fuzz_targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
    let manifest = std::fs::read_to_string(crate_dir.join("fuzz/Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")), "{name}");
    }
}
