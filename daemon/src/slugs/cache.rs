//! What dynos run from: `releases/<slug-id>/`, the unpacked `/app` of each slug.
//!
//! A directory is there wholly or not at all: it is made beside and renamed. Its files reach
//! the disk later, in the background, so that no deploy waits for that; `<slug-id>.durable`
//! says that they have. After a boot of the machine whatever has no such mark may be damaged,
//! and is removed: the blob is the truth.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio_util::io::SyncIoBridge;
use uuid::Uuid;

use super::archive::{self, ArchiveError, Rules};
use super::{Result, SlugError, SlugStore, blocking};

/// Where the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The unpacked slugs. Clones are the same cache.
#[derive(Clone)]
pub struct SlugCache {
    directory: PathBuf,
    store: Arc<dyn SlugStore>,
    locks: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>,
}

impl SlugCache {
    /// A cache of this store in this directory, which is made when missing. Removes what
    /// interrupted work has left.
    pub async fn open(directory: impl Into<PathBuf>, store: Arc<dyn SlugStore>) -> Result<Self> {
        let directory = directory.into();
        let found = directory.clone();
        blocking(move || sweep(&found, Path::new(BOOT_ID))).await?;
        Ok(Self { directory, store, locks: Arc::default() })
    }

    /// A cache that somebody else has opened: nothing of it is touched.
    pub fn beside(directory: impl Into<PathBuf>, store: Arc<dyn SlugStore>) -> Self {
        Self { directory: directory.into(), store, locks: Arc::default() }
    }

    /// The slug's directory, unpacked now if it is not there. Many callers at once wait for one.
    pub async fn ensure(&self, slug: Uuid, sha256: &str) -> Result<PathBuf> {
        let path = self.path(slug);
        let lock = self.lock(slug);
        let _one_at_a_time = lock.lock().await;
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(path);
        }
        let blob = SyncIoBridge::new(self.store.get(sha256).await?);
        let (new, sha256) = (self.new_path(), sha256.to_owned());
        let unpacked = new.clone();
        let done = blocking(move || unpack_checked(blob, &unpacked, &sha256)).await;
        if let Err(problem) = done {
            remove_tree(new).await?;
            return Err(problem);
        }
        self.settle(new, path, slug).await
    }

    /// Takes over a directory that holds the slug already: the one that it was built in, on
    /// the same file system. It must not be written to any more. When the slug is there
    /// already, the directory is removed.
    pub async fn adopt(&self, slug: Uuid, built: &Path) -> Result<PathBuf> {
        let path = self.path(slug);
        let lock = self.lock(slug);
        let _one_at_a_time = lock.lock().await;
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            remove_tree(built.to_owned()).await?;
            return Ok(path);
        }
        self.settle(built.to_owned(), path, slug).await
    }

    /// The slugs that are there unpacked.
    pub async fn unpacked(&self) -> Result<Vec<Uuid>> {
        let directory = self.directory.clone();
        blocking(move || unpacked(&directory)).await
    }

    /// Removes an unpacked slug unless it is `needed`. That is asked while nobody else can be
    /// given the directory: a dyno whose row is there by then is seen, one whose row comes
    /// later unpacks the slug anew. A directory must not go while a dyno runs from it.
    pub async fn evict(&self, slug: Uuid, needed: impl Future<Output = bool> + Send) -> Result<()> {
        let lock = self.lock(slug);
        let _one_at_a_time = lock.lock().await;
        if needed.await {
            return Ok(());
        }
        // Renamed first, so that an interrupted removal leaves nothing that looks whole.
        let (path, going) = (self.path(slug), self.new_path());
        match tokio::fs::rename(&path, &going).await {
            Ok(()) => remove_tree(going).await?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(SlugError::disk("Removing", &path, &error)),
        }
        // A mark without its directory is swept at the next start.
        let _ = tokio::fs::remove_file(durable(&path)).await;
        Ok(())
    }

    async fn settle(&self, from: PathBuf, path: PathBuf, slug: Uuid) -> Result<PathBuf> {
        tokio::fs::rename(&from, &path).await.map_err(|error| SlugError::disk("Naming", &path, &error))?;
        let settled = path.clone();
        tokio::spawn(async move {
            let marked = blocking(move || {
                let failed = |error: &std::io::Error| SlugError::disk("Syncing", &settled, error);
                let directory = std::fs::File::open(&settled).map_err(|error| failed(&error))?;
                rustix::fs::syncfs(&directory).map_err(|error| failed(&error.into()))?;
                std::fs::File::create(durable(&settled))
                    .and_then(|mark| mark.sync_all())
                    .map_err(|error| failed(&error))
            });
            if let Err(problem) = marked.await {
                tracing::warn!(slug.id = %slug, "The unpacked slug is not yet safe on the disk: {problem}");
            }
        });
        Ok(path)
    }

    fn path(&self, slug: Uuid) -> PathBuf {
        self.directory.join(slug.to_string())
    }

    fn new_path(&self) -> PathBuf {
        self.directory.join(format!(".new-{}", Uuid::new_v4()))
    }

    fn lock(&self, slug: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody holds or waits for those that only the map still knows.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(slug).or_default().clone()
    }
}

fn unpack_checked(blob: impl Read, into: &Path, sha256: &str) -> Result<()> {
    std::fs::create_dir(into).map_err(|error| SlugError::disk("Making", into, &error))?;
    let mut blob = Hashing { from: blob, digest: Sha256::new() };
    let unpacked = archive::unpack(&mut blob, into, &Rules::slug());
    // What comes behind the archive's end counts for the checksum, too.
    std::io::copy(&mut blob, &mut std::io::sink())
        .map_err(|error| SlugError::Archive(ArchiveError::Damaged(error.to_string())))?;
    let found = hex::encode(blob.digest.finalize());
    // A wrong checksum is the reason for whatever else went wrong.
    if found != sha256 {
        return Err(SlugError::Damaged { sha256: sha256.to_owned(), found });
    }
    unpacked?;
    Ok(())
}

/// Reads, and keeps the sum of what was read.
struct Hashing<R> {
    from: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

fn durable(path: &Path) -> PathBuf {
    path.with_extension("durable")
}

/// The slugs that are there.
fn unpacked(directory: &Path) -> Result<Vec<Uuid>> {
    let entries = std::fs::read_dir(directory).map_err(|error| SlugError::disk("Listing", directory, &error))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Removes unfinished work, and what a crash of the machine may have damaged.
fn sweep(directory: &Path, boot_id: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(|error| SlugError::disk("Making", directory, &error))?;
    let boot = std::fs::read_to_string(boot_id).unwrap_or_default();
    let noted = directory.join(".boot");
    let same_boot = std::fs::read_to_string(&noted).is_ok_and(|noted| noted == boot);
    let entries = std::fs::read_dir(directory).map_err(|error| SlugError::disk("Listing", directory, &error))?;
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        let unfinished = name.starts_with(".new-");
        let doubtful = !same_boot && name.parse::<Uuid>().is_ok() && !durable(&path).exists();
        let orphan =
            path.extension().is_some_and(|extension| extension == "durable") && !path.with_extension("").exists();
        if unfinished || doubtful {
            remove_tree_now(&path)?;
        } else if orphan {
            std::fs::remove_file(&path).map_err(|error| SlugError::disk("Removing", &path, &error))?;
        }
    }
    std::fs::write(&noted, boot).map_err(|error| SlugError::disk("Writing", &noted, &error))
}

async fn remove_tree(path: PathBuf) -> Result<()> {
    blocking(move || remove_tree_now(&path)).await
}

fn remove_tree_now(path: &Path) -> Result<()> {
    paas_buildpacks::tree::remove(path).map_err(|error| SlugError::disk("Removing", path, &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
    use super::*;

    #[test]
    fn after_a_boot_only_what_is_safe_on_the_disk_stays() {
        let directory = std::env::temp_dir().join(format!("paas-sweep-{}", Uuid::new_v4()));
        let boot = directory.with_extension("boot");
        std::fs::write(&boot, "first").unwrap();
        sweep(&directory, &boot).unwrap();
        let [safe, doubtful] = [Uuid::new_v4(), Uuid::new_v4()].map(|slug| directory.join(slug.to_string()));
        for path in [&safe, &doubtful, &directory.join(".new-x")] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(durable(&safe), "").unwrap();
        std::fs::write(directory.join(format!("{}.durable", Uuid::new_v4())), "").unwrap();
        sweep(&directory, &boot).unwrap();
        assert!(safe.exists() && doubtful.exists() && !directory.join(".new-x").exists());
        std::fs::write(&boot, "second").unwrap();
        sweep(&directory, &boot).unwrap();
        assert!(safe.exists() && !doubtful.exists());
        // The directory, its mark, and the note of the boot.
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 3);
        std::fs::remove_dir_all(&directory).unwrap();
        std::fs::remove_file(&boot).unwrap();
    }
}
