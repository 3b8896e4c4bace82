//! The data directory, what is mounted over it, and the programs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Finding, bad, good, warning};
use crate::config::Config;

/// What the options of an overlay mount can't have in a path.
const UNMOUNTABLE: [char; 5] = [':', ',', '\\', '"', '\n'];

/// `place` is the data directory, or what will be above it once it is made.
pub(super) fn data_dir(dir: &Path, place: &Path) -> Finding {
    let what = "data directory";
    if dir.to_str().is_none_or(|text| text.contains(UNMOUNTABLE)) {
        return bad(
            what,
            format!(
                "{} can't be mounted: its path has to be free of : , \\ and quotes. Set PAAS_DATA_DIR to another.",
                dir.display()
            ),
        );
    }
    let tried = Trial::new(place);
    match tried {
        Ok(_) if dir == place => good(what, format!("{} can be written", dir.display())),
        Ok(_) => good(what, format!("{} is made at the first start", dir.display())),
        Err(e) => {
            bad(what, format!("{} can't be written: {e}. Run paasd as root, or set PAAS_DATA_DIR.", place.display()))
        }
    }
}

/// Tries what the engine does for every dyno: an overlay of directories of this file system.
pub(super) fn overlay(place: &Path) -> Finding {
    let what = "overlay";
    let tried = Trial::new(place).and_then(|trial| {
        for name in ["lower", "upper", "work", "on"] {
            fs::create_dir(trial.0.join(name))?;
        }
        // In a mount namespace of its own: nothing is left mounted, whatever happens.
        Command::new("unshare")
            .args(["-m", "mount", "-t", "overlay", "overlay", "-o", "lowerdir=lower,upperdir=upper,workdir=work", "on"])
            .current_dir(&trial.0)
            .output()
    });
    let said = match tried {
        Ok(output) if output.status.success() => {
            return good(what, format!("an overlay can be mounted at {}", place.display()));
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(e) => return warning(what, format!("an overlay mount could not be tried: {e}")),
    };
    let lower = said.to_lowercase();
    if ["permitted", "permission", "superuser", "only root"].iter().any(|sign| lower.contains(sign)) {
        return warning(what, format!("an overlay mount can't be tried without root ({said})"));
    }
    bad(
        what,
        format!(
            "{} can't carry overlay mounts ({said}): no dyno can start. Set PAAS_DATA_DIR to a directory on a local file system such as ext4 or xfs.",
            place.display()
        ),
    )
}

/// A directory to try something in; gone when dropped.
struct Trial(PathBuf);

impl Trial {
    fn new(place: &Path) -> std::io::Result<Self> {
        let path = place.join(format!(".paas-doctor-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).map(|()| Self(path))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn programs(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, why) in [
        (config.program("paas-init"), "no dyno can start without it"),
        (config.program("paas-router"), "no app is reachable without it"),
        (config.own_program(), "no push can be taken without it"),
    ] {
        let shown = path.display();
        findings.push(match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 == 0 => {
                bad("programs", format!("{shown} can't be executed: {why}. Run: chmod 755 {shown}"))
            }
            Ok(found) if found.is_file() => match fs::read(&path) {
                Ok(program) if path.ends_with("paas-init") && wants_loader(&program) => bad(
                    "programs",
                    format!("{shown} is not static: it starts only where the stack happens to have the libraries of this machine. Build it with RUSTFLAGS='-C target-feature=+crt-static' and --target (docs/operations.md)."),
                ),
                Ok(_) => good("programs", format!("{shown} is there")),
                Err(e) => bad("programs", format!("{shown} can't be read: {e}: {why}.")),
            },
            Ok(_) | Err(_) => bad(
                "programs",
                format!("{shown} is missing: {why}. Put it there, or set PAAS_LIBEXEC_DIR to where it is."),
            ),
        });
    }
    findings
}

/// Whether a program names a loader (`PT_INTERP` of ELF), as all do that are not static.
fn wants_loader(program: &[u8]) -> bool {
    let number = |at: usize, length: usize| {
        let bytes = program.get(at..at.checked_add(length)?)?;
        bytes.iter().rev().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))
    };
    let headers = || Some((number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?));
    // 64 bits, little-endian: what stacks run on.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let Some((first, size, count)) = headers() else { return false };
    (0..count).any(|n| number(first.saturating_add(n.saturating_mul(size)), 4) == Some(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_cargo_wants_a_loader() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(wants_loader(&own));
        assert!(!wants_loader(b"\x7fELF\x02\x01"));
        assert!(!wants_loader(b"#!/bin/sh\n"));
    }
}
