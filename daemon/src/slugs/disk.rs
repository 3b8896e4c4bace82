//! Blobs as files: `slugs/<sha256>.tar.zst`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::{Blob, Reader, Result, SlugError, SlugStore, blocking};

/// Keeps blobs in a directory.
#[derive(Debug, Clone)]
pub struct DiskStore {
    directory: PathBuf,
}

impl DiskStore {
    /// A store in this directory, which is made when missing; what an interrupted `put` has
    /// left is removed.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        let found = directory.clone();
        blocking(move || {
            std::fs::create_dir_all(&found).map_err(|error| SlugError::disk("Making", &found, &error))?;
            let entries = std::fs::read_dir(&found).map_err(|error| SlugError::disk("Listing", &found, &error))?;
            for entry in entries.flatten() {
                if entry.file_name().as_encoded_bytes().starts_with(b".new-") {
                    std::fs::remove_file(entry.path())
                        .map_err(|error| SlugError::disk("Removing", &entry.path(), &error))?;
                }
            }
            Ok(())
        })
        .await?;
        Ok(Self { directory })
    }

    /// A store that somebody else has opened: nothing of it is touched.
    pub fn beside(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    fn path(&self, sha256: &str) -> Result<PathBuf> {
        if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(SlugError::BadChecksum(sha256.chars().take(80).collect()));
        }
        Ok(self.directory.join(format!("{sha256}.tar.zst")))
    }

    async fn write(&self, mut bytes: Reader, path: &Path) -> Result<Blob> {
        let failed = |error: std::io::Error| SlugError::disk("Writing", path, &error);
        let mut file = File::create_new(path).await.map_err(failed)?;
        let mut digest = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = bytes
                .read(&mut buffer)
                .await
                .map_err(|error| SlugError::Disk { action: "Receiving a slug".to_owned(), why: error.to_string() })?;
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            size += count as u64;
            file.write_all(&buffer[..count]).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(Blob { sha256: hex::encode(digest.finalize()), size })
    }
}

/// A file that goes with the work on it: it failed, or whoever sends the bytes has gone.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Best effort: the reason counts, and the next start sweeps. A finished one has its name.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[async_trait]
impl SlugStore for DiskStore {
    async fn put(&self, bytes: Reader) -> Result<Blob> {
        let new = Unfinished(self.directory.join(format!(".new-{}", Uuid::new_v4())));
        let blob = self.write(bytes, &new.0).await?;
        let path = self.path(&blob.sha256)?;
        fs::rename(&new.0, &path).await.map_err(|error| SlugError::disk("Naming", &path, &error))?;
        let directory = self.directory.clone();
        blocking(move || {
            std::fs::File::open(&directory)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| SlugError::disk("Syncing", &directory, &error))
        })
        .await?;
        Ok(blob)
    }

    async fn get(&self, sha256: &str) -> Result<Reader> {
        let path = self.path(sha256)?;
        match File::open(&path).await {
            Ok(file) => Ok(Box::pin(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(SlugError::Missing { sha256: sha256.to_owned() }),
            Err(error) => Err(SlugError::disk("Opening", &path, &error)),
        }
    }

    async fn older_than(&self, age: Duration) -> Result<Vec<String>> {
        let directory = self.directory.clone();
        blocking(move || {
            let listed = |error: &std::io::Error| SlugError::disk("Listing", &directory, error);
            let mut old = Vec::new();
            for entry in std::fs::read_dir(&directory).map_err(|error| listed(&error))? {
                let entry = entry.map_err(|error| listed(&error))?;
                let name = entry.file_name();
                let Some(sha256) = name.to_str().and_then(|name| name.strip_suffix(".tar.zst")) else { continue };
                let modified = entry.metadata().and_then(|meta| meta.modified());
                if modified.is_ok_and(|time| time.elapsed().is_ok_and(|since| since > age)) {
                    old.push(sha256.to_owned());
                }
            }
            Ok(old)
        })
        .await
    }

    async fn remove(&self, sha256: &str) -> Result<()> {
        let path = self.path(sha256)?;
        match fs::remove_file(&path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(SlugError::disk("Removing", &path, &error)),
        }
    }
}
