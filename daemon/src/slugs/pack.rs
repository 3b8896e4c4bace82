//! A directory becomes a blob.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use paas_buildpacks::output::human_size;
use tar::{Builder, EntryType, Header, HeaderMode};
use tokio::io::duplex;
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;

use super::archive::Rules;
use super::{Blob, LARGEST, OWNER, Result, SlugError, SlugStore, blocking};

/// zstd's own default: about 400 MB/s, a quarter smaller than gzip.
const LEVEL: i32 = 3;
/// Bytes on the way between packing and storing.
const PIPE: usize = 1 << 20;
/// How deep directories may be: each level takes some of a thread's stack.
const DEEPEST: usize = 500;

/// A packed directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The blob in the store.
    pub blob: Blob,
    /// Bytes of all files together, unpacked.
    pub unpacked: u64,
}

/// How large a slug may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Bytes of all files together: what a dyno's start would refuse must not be packed.
    pub unpacked: u64,
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of the blob.
    pub packed: u64,
}

impl Default for Most {
    fn default() -> Self {
        let rules = Rules::slug();
        Self { unpacked: rules.max_bytes, entries: rules.max_entries, packed: LARGEST }
    }
}

/// [`pack_within`] the usual limits, to its end.
pub async fn pack(store: &dyn SlugStore, directory: &Path) -> Result<Packed> {
    pack_within(store, directory, Most::default(), &CancellationToken::new()).await
}

/// Packs a directory into a slug (`./app/…`, tar in zstd) and stores it on the way: it is
/// never twice on the disk. Sorted, and owned by the dynos' user, so that the same files make
/// the same slug. Sockets, pipes and devices are left out; links are not followed.
///
/// Ends with [`SlugError::TooLarge`] as soon as it is known, before a file that is too large
/// is read, and with [`SlugError::Stopped`] soon after `stop`; nothing is stored then.
pub async fn pack_within(
    store: &dyn SlugStore,
    directory: &Path,
    most: Most,
    stop: &CancellationToken,
) -> Result<Packed> {
    let (near, far) = duplex(PIPE);
    let directory = directory.to_owned();
    let stop = stop.clone();
    let packing = blocking(move || {
        let mut pipe = SyncIoBridge::new(near);
        let written = write_slug(&directory, &mut pipe, most, &stop);
        let shut = written.and_then(|unpacked| pipe.shutdown().map(|()| unpacked));
        // Ours went through the archive as an error of input and output.
        shut.map_err(|error| match error.downcast::<SlugError>() {
            Ok(ours) => ours,
            Err(error) => SlugError::disk("Packing", &directory, &error),
        })
    });
    let (unpacked, blob) = tokio::join!(packing, store.put(Box::pin(far)));
    match (unpacked, blob) {
        (Ok(unpacked), Ok(blob)) => Ok(Packed { blob, unpacked }),
        // The store's own failure breaks the pipe; its reason is the true one.
        (_, Err(problem)) => Err(problem),
        (Err(problem), Ok(blob)) => {
            // Half a slug was stored as if it were whole.
            store.remove(&blob.sha256).await?;
            Err(problem)
        }
    }
}

fn write_slug(directory: &Path, to: impl Write, most: Most, stop: &CancellationToken) -> io::Result<u64> {
    let to = Bounded { inner: to, most: most.packed, written: 0 };
    let mut builder = Builder::new(zstd::stream::write::Encoder::new(to, LEVEL)?);
    builder.mode(HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    let mut packing = Packing { builder, most, stop, unpacked: 0, entries: 0 };
    packing.add(directory, Path::new("./app"))?;
    packing.builder.into_inner()?.finish()?.flush()?;
    Ok(packing.unpacked)
}

/// Writes no more than this.
struct Bounded<W> {
    inner: W,
    most: u64,
    written: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.written += count as u64;
        if self.written > self.most {
            return Err(too_large(human_size(self.most)));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads until it is to stop.
struct Stoppable<'a, R> {
    inner: R,
    stop: &'a CancellationToken,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        stopped(self.stop)?;
        self.inner.read(buffer)
    }
}

fn stopped(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() { Err(io::Error::other(SlugError::Stopped)) } else { Ok(()) }
}

struct Packing<'a, W: Write> {
    builder: Builder<W>,
    most: Most,
    stop: &'a CancellationToken,
    unpacked: u64,
    entries: u64,
}

impl<W: Write> Packing<'_, W> {
    fn add(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        if name.components().count() > DEEPEST {
            return Err(io::Error::other(format!("directories are nested deeper than {DEEPEST}")));
        }
        stopped(self.stop)?;
        let metadata = fs::symlink_metadata(path)?;
        let mut header = Header::new_gnu();
        header.set_uid(u64::from(OWNER));
        header.set_gid(u64::from(OWNER));
        header.set_mode(metadata.mode() & 0o777);
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
        header.set_size(0);
        self.entries += 1;
        if self.entries > self.most.entries {
            return Err(too_large(format!("{} files", self.most.entries)));
        }
        if metadata.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.builder.append_data(&mut header, name, io::empty())?;
            let mut entries: Vec<PathBuf> =
                fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
            entries.sort();
            for entry in entries {
                if let Some(last) = entry.file_name() {
                    self.add(&entry, &name.join(last))?;
                }
            }
        } else if metadata.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            self.builder.append_link(&mut header, name, fs::read_link(path)?)?;
        } else if metadata.is_file() {
            header.set_size(metadata.len());
            self.unpacked = self.unpacked.saturating_add(metadata.len());
            if self.unpacked > self.most.unpacked {
                return Err(too_large(format!("{} unpacked", human_size(self.most.unpacked))));
            }
            let file = Stoppable { inner: fs::File::open(path)?, stop: self.stop };
            self.builder.append_data(&mut header, name, file)?;
        }
        Ok(())
    }
}

fn too_large(most: String) -> io::Error {
    io::Error::other(SlugError::TooLarge { most })
}
