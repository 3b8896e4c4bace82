//! A build's output on disk: what everybody who watches reads from.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use paas_buildpacks::output::Output;

/// How much a build may say, in bytes. What comes after is dropped, the end of the build
/// excepted.
const MOST: u64 = 32 * 1024 * 1024;

/// Appends to `output.log`. A disk that doesn't take it costs output, not the build.
pub(super) struct BuildLog {
    file: Option<File>,
    written: u64,
    full: bool,
    last: u8,
}

impl BuildLog {
    /// Opens the file, which may hold something already.
    pub(super) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = &file {
            tracing::warn!(path = %path.display(), %error, "a build's output can't be kept");
        }
        Self { file: file.ok(), written: 0, full: false, last: b'\n' }
    }

    /// From here on the platform speaks itself: that is always kept, on a line of its own.
    pub(super) fn platform(&mut self) {
        if self.last != b'\n' {
            self.append(b"\n");
        }
    }

    /// Writes without regard to the limit.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            tracing::warn!(%error, "a build's output can't be kept");
            self.file = None;
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
    }
}

impl Output for BuildLog {
    fn write(&mut self, bytes: &[u8]) {
        if self.full {
            return;
        }
        self.written += bytes.len() as u64;
        if self.written > MOST {
            self.full = true;
            self.platform();
            self.append(b" !     The output is longer than 32 MB; the rest is not shown.\n");
        } else {
            self.append(bytes);
        }
    }
}

/// The platform's own lines, which are kept however much a build has said.
pub(super) struct Voice<'a>(pub(super) &'a mut BuildLog);

impl Output for Voice<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.append(bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use paas_buildpacks::output::Speak as _;

    #[test]
    fn a_flood_is_cut_but_the_end_is_kept() {
        let path = std::env::temp_dir().join(format!("paas-build-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut log = BuildLog::open(&path);
        for _ in 0..40 {
            log.write(&vec![b'x'; 1 << 20]);
        }
        log.platform();
        Voice(&mut log).warning("Push rejected.");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 34 << 20);
        assert!(text.ends_with("not shown.\n !     Push rejected.\n"));
        std::fs::remove_file(&path).unwrap();
    }
}
