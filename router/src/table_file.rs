//! The table on disk, so that a router that starts while the daemon is away can serve.
//!
//! `router/table.json` is two lines of JSON: a header with the checksum of the second line,
//! and the table. It is written beside, synced and renamed; the one before stays as
//! `table.previous.json` and is taken when the newest one doesn't hold what it promises. There
//! is no moment without a whole one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use paas_domain::route::RouteTable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    sha256: String,
}

/// The directory that keeps the table.
#[derive(Debug, Clone)]
pub(crate) struct TableFile {
    dir: PathBuf,
    /// False when it is for another router to write.
    ours: Arc<Mutex<bool>>,
}

/// Which file the newest table was at a time; another one has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(Option<(u64, i64, i64)>);

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it can't be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is cut off or not a table: {0}")]
    Malformed(String),
    #[error("its format is {0}, this router knows {FORMAT}")]
    Format(u32),
    #[error("its checksum doesn't fit what is in it")]
    Checksum,
}

impl TableFile {
    pub(crate) fn new(dir: PathBuf) -> TableFile {
        TableFile { dir, ours: Arc::new(Mutex::new(true)) }
    }

    /// Writes nothing more: the table on disk is another router's. A write that goes on is
    /// waited for.
    pub(crate) fn lay_down(&self) {
        *self.ours.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// After all, it isn't.
    pub(crate) fn take_up(&self) {
        *self.ours.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    pub(crate) fn mark(&self) -> Mark {
        let file = fs::metadata(self.newest()).ok();
        Mark(file.map(|file| (file.ino(), file.mtime(), file.mtime_nsec())))
    }

    /// The newest table, if it is whole; nothing is set aside.
    pub(crate) fn peek(&self) -> Option<RouteTable> {
        read(&self.newest()).ok()
    }

    fn newest(&self) -> PathBuf {
        self.dir.join("table.json")
    }

    fn previous(&self) -> PathBuf {
        self.dir.join("table.previous.json")
    }

    /// The best table there is. A newest file that is refused is set aside, so that it
    /// never takes the place of the good one before it.
    pub(crate) fn load(&self) -> Option<RouteTable> {
        let newest = self.newest();
        match read(&newest) {
            Ok(table) => return Some(table),
            Err(Refused::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(refused) => {
                let aside = self.dir.join("table.corrupt.json");
                tracing::warn!(
                    table.path = %newest.display(),
                    table.set_aside = %aside.display(),
                    "The routing table on disk was refused: {refused}. The one before it is taken, if there is one",
                );
                if let Err(error) = fs::rename(&newest, &aside) {
                    tracing::warn!(table.path = %newest.display(), "The refused table can't be set aside: {error}");
                }
            }
        }
        match read(&self.previous()) {
            Ok(table) => Some(table),
            Err(Refused::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(refused) => {
                tracing::warn!(table.path = %self.previous().display(), "The previous routing table was refused: {refused}");
                None
            }
        }
    }

    /// Keeps `table`, through a loss of power too.
    pub(crate) fn save(&self, table: &RouteTable) -> io::Result<()> {
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        if !*ours {
            return Ok(());
        }
        let body = serde_json::to_vec(table)?;
        let header = serde_json::to_vec(&Header { format: FORMAT, sha256: checksum(&body) })?;
        fs::create_dir_all(&self.dir)?;
        let temporary = self.dir.join("table.json.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        for part in [&header[..], b"\n", &body[..], b"\n"] {
            file.write_all(part)?;
        }
        file.sync_all()?;
        self.keep_previous()?;
        fs::rename(&temporary, self.newest())?;
        File::open(&self.dir)?.sync_all()
    }

    /// Gives the newest table the name of the one before as well, so that it has its own until
    /// the new one takes it.
    fn keep_previous(&self) -> io::Result<()> {
        let beside = self.dir.join("table.previous.json.new");
        for attempt in [true, false] {
            match fs::hard_link(self.newest(), &beside) {
                Ok(()) => return fs::rename(&beside, self.previous()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                // Left by a router that was killed just here.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt => fs::remove_file(&beside)?,
                Err(_) => break,
            }
        }
        // A file system without links.
        fs::rename(self.newest(), self.previous())
    }
}

fn read(path: &Path) -> Result<RouteTable, Refused> {
    let text = fs::read(path)?;
    let cut = || Refused::Malformed("there are no two lines".to_owned());
    let end = text.iter().position(|&byte| byte == b'\n').ok_or_else(cut)?;
    let (header, body) = text.split_at(end);
    let body = body.strip_prefix(b"\n").and_then(|body| body.strip_suffix(b"\n")).ok_or_else(cut)?;
    let header: Header = serde_json::from_slice(header).map_err(|error| Refused::Malformed(error.to_string()))?;
    if header.format != FORMAT {
        return Err(Refused::Format(header.format));
    }
    if header.sha256 != checksum(body) {
        return Err(Refused::Checksum);
    }
    serde_json::from_slice(body).map_err(|error| Refused::Malformed(error.to_string()))
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    fn table(generation: u64) -> RouteTable {
        RouteTable { generation, base_domain: "localhost".to_owned(), ..RouteTable::default() }
    }

    #[test]
    fn what_was_saved_is_loaded_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = TableFile::new(dir.path().join("router"));
        assert_eq!(file.load(), None);
        file.save(&table(1)).unwrap();
        file.save(&table(2)).unwrap();
        assert_eq!(file.load().unwrap().generation, 2);
        fs::remove_file(file.newest()).unwrap();
        assert_eq!(file.load().unwrap().generation, 1);
    }

    #[test]
    fn any_flipped_or_missing_byte_sends_us_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = TableFile::new(dir.path().to_owned());
        file.save(&table(1)).unwrap();
        file.save(&table(2)).unwrap();
        let (good, before) = (fs::read(file.newest()).unwrap(), fs::read(file.previous()).unwrap());
        for at in 0..good.len() {
            for bad in [
                good[..at].to_vec(),
                good.iter().enumerate().map(|(i, &byte)| if i == at { byte ^ 0x04 } else { byte }).collect(),
            ] {
                fs::write(file.newest(), &bad).unwrap();
                assert_eq!(file.load().unwrap().generation, 1, "byte {at}: {}", String::from_utf8_lossy(&bad));
                assert!(!file.newest().exists(), "byte {at}: it must not replace the good one at the next save");
            }
        }
        file.save(&table(3)).unwrap();
        assert_eq!(fs::read(file.previous()).unwrap(), before);
        assert_eq!(file.load().unwrap().generation, 3);
    }
}
