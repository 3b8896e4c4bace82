//! A build's output on disk: what everybody who watches reads from.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use paas_buildpacks::output::Output;

/// How much a build may say, in bytes. What comes after is dropped, the end of the build
/// excepted.
const MOST: u64 = 32 * 1024 * 1024;

/// How much of the end is kept, in bytes.
const END: usize = 64 * 1024;

/// Appends to `output.log`. A disk that doesn't take it costs output, not the build: each piece
/// is tried anew.
pub(super) struct BuildLog {
    path: PathBuf,
    file: Option<File>,
    /// A warning for each row of failures.
    failing: bool,
    written: u64,
    /// The last of what was said beyond the limit.
    end: Option<VecDeque<u8>>,
    last: u8,
}

impl BuildLog {
    /// Opens the file, which may hold something already.
    pub(super) fn open(path: &Path) -> Self {
        let mut log = Self { path: path.to_owned(), file: None, failing: false, written: 0, end: None, last: b'\n' };
        log.keep(b"");
        log
    }

    /// From here on the platform speaks itself: that is always kept, on a line of its own, after
    /// the end of what the build has said.
    pub(super) fn platform(&mut self) {
        if let Some(end) = &mut self.end {
            let end = Vec::from(std::mem::take(end));
            // From a line's begin on, if any begins.
            let begin = match end.len() < END {
                true => 0,
                false => end.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1),
            };
            self.append(&end[begin..]);
        }
        if self.last != b'\n' {
            self.append(b"\n");
        }
    }

    /// Writes without regard to the limit.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.keep(bytes);
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let opened = match self.file.take() {
            Some(file) => Ok(file),
            None => OpenOptions::new().create(true).append(true).open(&self.path),
        };
        let kept = opened.and_then(|file| {
            let file = self.file.insert(file);
            file.write_all(bytes)
        });
        if let (Err(error), false) = (&kept, self.failing) {
            tracing::warn!(path = %self.path.display(), %error, "a build's output can't be kept");
        }
        self.failing = kept.is_err();
    }
}

impl Output for BuildLog {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(end) = &mut self.end {
            end.extend(&bytes[bytes.len().saturating_sub(END)..]);
            end.drain(..end.len().saturating_sub(END));
            return;
        }
        self.written += bytes.len() as u64;
        if self.written > MOST {
            self.platform();
            self.append(b" !     The output is longer than 32 MB; what comes now is not shown, but for its end.\n");
            self.end = Some(VecDeque::new());
            self.write(bytes);
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
        // The reason, in lines of its own.
        log.write(b"\nsomething\n !     no gems");
        log.platform();
        Voice(&mut log).warning("Push rejected.");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 34 << 20);
        assert!(
            text.ends_with("but for its end.\nsomething\n !     no gems\n !     Push rejected.\n"),
            "{}",
            &text[text.len() - 200..]
        );
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_failure_to_write_costs_only_what_came_then() {
        let directory = std::env::temp_dir().join(format!("paas-build-log-dir-{}", std::process::id()));
        let path = directory.join("output.log");
        let mut log = BuildLog::open(&path);
        log.write(b"lost\n");
        std::fs::create_dir(&directory).unwrap();
        log.write(b"kept\n");
        // As on a disk that is full for a while.
        log.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        log.write(b"lost too\n");
        log.file = None;
        log.write(b"and this\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept\nand this\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
