//! A directory becomes a blob.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header, HeaderMode};
use tokio::io::duplex;
use tokio_util::io::SyncIoBridge;

use super::{Blob, OWNER, Result, SlugError, SlugStore, blocking};

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

/// Packs a directory into a slug (`./app/…`, tar in zstd) and stores it on the way: it is
/// never twice on the disk. Sorted, and owned by the dynos' user, so that the same files make
/// the same slug. Sockets, pipes and devices are left out; links are not followed.
pub async fn pack(store: &dyn SlugStore, directory: &Path) -> Result<Packed> {
    let (near, far) = duplex(PIPE);
    let directory = directory.to_owned();
    let packing = blocking(move || {
        let mut pipe = SyncIoBridge::new(near);
        let written = write_slug(&directory, &mut pipe);
        if written.is_ok() {
            pipe.shutdown().map_err(|error| SlugError::disk("Packing", &directory, &error))?;
        }
        written.map_err(|error| SlugError::disk("Packing", &directory, &error))
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

fn write_slug(directory: &Path, to: impl Write) -> io::Result<u64> {
    let mut builder = Builder::new(zstd::stream::write::Encoder::new(to, LEVEL)?);
    builder.mode(HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    let mut unpacked = 0;
    add(&mut builder, directory, Path::new("./app"), &mut unpacked)?;
    builder.into_inner()?.finish()?.flush()?;
    Ok(unpacked)
}

fn add(builder: &mut Builder<impl Write>, path: &Path, name: &Path, unpacked: &mut u64) -> io::Result<()> {
    if name.components().count() > DEEPEST {
        return Err(io::Error::other(format!("directories are nested deeper than {DEEPEST}")));
    }
    let metadata = fs::symlink_metadata(path)?;
    let mut header = Header::new_gnu();
    header.set_uid(u64::from(OWNER));
    header.set_gid(u64::from(OWNER));
    header.set_mode(metadata.mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        builder.append_data(&mut header, name, io::empty())?;
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        entries.sort();
        for entry in entries {
            if let Some(last) = entry.file_name() {
                add(builder, &entry, &name.join(last), unpacked)?;
            }
        }
    } else if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, name, fs::read_link(path)?)?;
    } else if metadata.is_file() {
        header.set_size(metadata.len());
        *unpacked += metadata.len();
        builder.append_data(&mut header, name, fs::File::open(path)?)?;
    }
    Ok(())
}
