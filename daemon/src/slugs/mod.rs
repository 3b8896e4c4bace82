//! Slugs: the blobs that builds yield, and the unpacked directories that dynos run from.
//!
//! The blob is the truth (design decision 7): a compressed tar of one directory `./app`, the
//! form that Heroku's own slugs have, kept by the SHA-256 of its bytes in a [`SlugStore`].
//! What dynos mount is a cache of it, one directory per slug, which [`SlugCache`] takes over
//! from the build or unpacks again whenever it is missing.
//!
//! [`archive`] is the one place where strangers' archives become files, slugs and uploaded
//! sources alike; [`pack()`] makes the blob.

pub mod archive;
mod cache;
mod disk;
mod meter;
mod pack;
pub mod peek;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::io::AsyncRead;

pub use cache::SlugCache;
pub use disk::DiskStore;
pub use pack::{Most, Packed, pack, pack_within};

/// uid and gid that own everything in a slug: those of dynos.
pub const OWNER: u32 = 10_001;

/// Heroku's hard limit of a slug's blob, in bytes.
pub const LARGEST: u64 = 1 << 30;

/// What every call gives.
pub type Result<T, E = SlugError> = std::result::Result<T, E>;

/// Bytes as they come.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// A stored blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Blob {
    /// SHA-256 in 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Keeps blobs by their checksum.
#[async_trait]
pub trait SlugStore: Send + Sync {
    /// Stores the bytes to their end; all or nothing. The same bytes twice are one blob.
    async fn put(&self, bytes: Reader) -> Result<Blob>;

    /// The bytes; [`SlugError::Missing`] when there are none.
    async fn get(&self, sha256: &str) -> Result<Reader>;

    /// The checksums of the blobs that were stored longer ago than this.
    async fn older_than(&self, age: Duration) -> Result<Vec<String>>;

    /// Forgets the blob. Gone is success.
    async fn remove(&self, sha256: &str) -> Result<()>;
}

/// What can go wrong with slugs.
#[derive(Debug, Error)]
pub enum SlugError {
    /// There is no such blob.
    #[error("The slug {sha256} is not in the slug store. Deploy the app again to make a new one.")]
    Missing {
        /// Which.
        sha256: String,
    },
    /// The bytes are not those that were stored.
    #[error(
        "The slug {sha256} is damaged: what the store gave has the checksum {found}. Check the disk; deploy the app again to make a new slug."
    )]
    Damaged {
        /// Which.
        sha256: String,
        /// What was found.
        found: String,
    },
    /// Not a checksum.
    #[error("{0:?} is not a SHA-256 checksum: 64 lower-case hexadecimal digits.")]
    BadChecksum(String),
    /// The archive can't be unpacked.
    #[error("The slug can't be unpacked: {0}")]
    Archive(#[from] archive::ArchiveError),
    /// It is more than a slug may be.
    #[error("Compiled slug size: more than {most} is too large (max is {most}).")]
    TooLarge {
        /// In words: `1G`.
        most: String,
    },
    /// Whoever wanted it packed does not want it any more.
    #[error("The slug was not packed to its end.")]
    Stopped,
    /// A file operation failed.
    #[error("{action} failed: {why}. Check the disk and the rights of the data directory.")]
    Disk {
        /// What was tried, with its path.
        action: String,
        /// What the system said.
        why: String,
    },
}

impl SlugError {
    fn disk(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Disk { action: format!("{action} {}", path.display()), why: error.to_string() }
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(SlugError::Disk { action: "Working on a slug".to_owned(), why: error.to_string() }))
}
