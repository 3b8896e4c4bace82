//! The table on disk, so that a router that starts while the daemon is away can serve.
//!
//! `router/table.json` is two lines of JSON: a header with the checksum of the second line,
//! and the table. It is written beside, synced and renamed; the one before stays as
//! `table.previous.json` and is taken when the newest one doesn't hold what it promises. There
//! is no moment without a whole one.
//!
//! Writing takes as long as the disk does, so it is another thread's work (`keep`): a table is in
//! use before it is kept, and of several that wait the newest is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use paas_domain::route::RouteTable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

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
    /// Held while something is written.
    desk: Arc<Mutex<Desk>>,
    /// The table that is still to be written, in JSON.
    wanted: watch::Sender<Option<Bytes>>,
}

/// Who writes.
#[derive(Debug)]
struct Desk {
    /// False when it is for another router.
    ours: bool,
    /// The newest file when it was ours last.
    mark: Mark,
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
        let desk = Desk { ours: true, mark: Mark(None) };
        TableFile { dir, desk: Arc::new(Mutex::new(desk)), wanted: watch::Sender::new(None) }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes nothing more from here on: the table on disk is another router's. What was still to
    /// be written is, first. Waits for the disk.
    pub(crate) fn lay_down(&self) -> io::Result<()> {
        let mut desk = self.desk();
        if !desk.ours {
            return Ok(());
        }
        let written = self.write_wanted();
        desk.ours = false;
        desk.mark = self.mark();
        written
    }

    /// After all, it isn't.
    pub(crate) fn take_up(&self) {
        self.desk().ours = true;
    }

    /// The newest file when this router laid down its pen: any other is another router's.
    pub(crate) fn last_mark(&self) -> Mark {
        self.desk().mark
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

    /// Wants `table`, in JSON, to be kept. One that waited is kept no more.
    pub(crate) fn want(&self, table: Bytes) {
        self.wanted.send_replace(Some(table));
    }

    /// Waits until nothing is to be written any more.
    pub(crate) async fn kept(&self) {
        // The sender is ours: it can't be gone.
        let _ = self.wanted.subscribe().wait_for(Option::is_none).await;
    }

    /// Writes what is wanted, again and again where that fails, with `pause` between. Never ends.
    pub(crate) async fn keep(self, pause: Duration) {
        let mut wanted = self.wanted.subscribe();
        let mut failing = false;
        while wanted.wait_for(Option::is_some).await.is_ok() {
            let file = self.clone();
            match tokio::task::spawn_blocking(move || file.save()).await.map_err(io::Error::other).flatten() {
                Ok(true) if failing => tracing::info!("The routing table in use is kept on disk again"),
                Ok(true) => {}
                // There may still be no hand-over.
                Ok(false) => tokio::time::sleep(pause).await,
                Err(error) => {
                    if !failing {
                        tracing::error!(
                            "The routing table is in use but can't be kept on disk: {error}. Is the disk full? It is \
                             tried again until it works"
                        );
                    }
                    failing = true;
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
            failing = false;
        }
    }

    /// Keeps what is wanted, through a loss of power too. False where another router does that.
    fn save(&self) -> io::Result<bool> {
        let desk = self.desk();
        if desk.ours {
            self.write_wanted()?;
        }
        Ok(desk.ours)
    }

    fn write_wanted(&self) -> io::Result<()> {
        let Some(table) = self.wanted.borrow().clone() else { return Ok(()) };
        self.write(&encode(&table)?)?;
        self.wanted.send_if_modified(|wanted| {
            // A newer one may have come meanwhile.
            let done = wanted.as_ref().is_some_and(|wanted| wanted.as_ptr() == table.as_ptr());
            if done {
                *wanted = None;
            }
            done
        });
        Ok(())
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let temporary = self.dir.join("table.json.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
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
    decode(&fs::read(path)?)
}

/// What a file is to hold of a table in JSON.
pub(crate) fn encode(table: &[u8]) -> io::Result<Vec<u8>> {
    let header = serde_json::to_vec(&Header { format: FORMAT, sha256: checksum(table) })?;
    Ok([&header[..], b"\n", table, b"\n"].concat())
}

/// The table that a file of this text holds.
pub(crate) fn decode(text: &[u8]) -> Result<RouteTable, Refused> {
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

    fn save(file: &TableFile, generation: u64) {
        file.want(serde_json::to_vec(&table(generation)).unwrap().into());
        assert!(file.save().unwrap());
    }

    #[test]
    fn what_was_saved_is_loaded_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = TableFile::new(dir.path().join("router"));
        assert_eq!(file.load(), None);
        save(&file, 1);
        save(&file, 2);
        assert_eq!(file.load().unwrap().generation, 2);
        fs::remove_file(file.newest()).unwrap();
        assert_eq!(file.load().unwrap().generation, 1);
    }

    #[test]
    fn any_flipped_or_missing_byte_sends_us_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = TableFile::new(dir.path().to_owned());
        save(&file, 1);
        save(&file, 2);
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
        save(&file, 3);
        assert_eq!(fs::read(file.previous()).unwrap(), before);
        assert_eq!(file.load().unwrap().generation, 3);
    }

    #[test]
    fn whoever_lays_down_the_pen_has_written_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let file = TableFile::new(dir.path().to_owned());
        for generation in [1, 2] {
            file.want(serde_json::to_vec(&table(generation)).unwrap().into());
        }
        file.lay_down().unwrap();
        assert_eq!(file.load().unwrap().generation, 2);
        assert_eq!(file.mark(), file.last_mark());
        // What comes later waits until it is ours again.
        file.want(serde_json::to_vec(&table(3)).unwrap().into());
        assert!(!file.save().unwrap());
        assert_eq!(file.load().unwrap().generation, 2);
        let successor = TableFile::new(dir.path().to_owned());
        save(&successor, 4);
        assert_ne!(file.mark(), file.last_mark());
        file.take_up();
        assert!(file.save().unwrap());
        assert_eq!(file.load().unwrap().generation, 3);
    }
}
