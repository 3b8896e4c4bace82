//! What buildpacks keep between the builds of an app (`CACHE_DIR`): one directory per app.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::tree;

/// Held while a cache is emptied: two at once would trip over each other.
static PURGING: Mutex<()> = Mutex::new(());

/// The cache of one app.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    /// The cache at `path`; it needn't be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes sure that the directory is there, and empty if somebody wished so.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn open(&self) -> io::Result<&Path> {
        self.fulfil_wish()?;
        fs::create_dir_all(&self.path)?;
        Ok(&self.path)
    }

    /// Empties it. It is renamed first, so that a half-removed cache is never used, even when
    /// this process dies in between. Not while a build writes to it: see [`Cache::wish_purge`].
    ///
    /// # Errors
    /// Whatever the disk says; an absent cache is fine.
    pub fn purge(&self) -> io::Result<()> {
        let _one_at_a_time = PURGING.lock().unwrap_or_else(PoisonError::into_inner);
        self.purge_now()
    }

    /// Notes that it is to be empty before the next build starts.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn wish_purge(&self) -> io::Result<()> {
        let wish = self.beside(".wish");
        if let Some(parent) = wish.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(wish, "")
    }

    /// Empties it if that was wished and nobody has done so yet.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn fulfil_wish(&self) -> io::Result<()> {
        let _one_at_a_time = PURGING.lock().unwrap_or_else(PoisonError::into_inner);
        let wish = self.beside(".wish");
        if !wish.exists() {
            return Ok(());
        }
        self.purge_now()?;
        fs::remove_file(wish)
    }

    /// Removes it with all that is noted of it: its app is gone.
    ///
    /// # Errors
    /// Whatever the disk says; an absent cache is fine.
    pub fn remove(&self) -> io::Result<()> {
        tree::remove(&self.beside(".wish"))?;
        self.purge()
    }

    /// Bytes on disk, those of links' targets not counted.
    pub fn bytes(&self) -> u64 {
        tree::usage(&self.path, u64::MAX, u64::MAX).bytes
    }

    fn purge_now(&self) -> io::Result<()> {
        let trash = self.beside(".purged");
        tree::remove(&trash)?;
        match fs::rename(&self.path, &trash) {
            Ok(()) => tree::remove(&trash),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn purging_leaves_nothing_and_may_be_repeated() {
        let dir = std::env::temp_dir().join(format!("paas-cache-{}", std::process::id()));
        let cache = Cache::new(dir.join("app"));
        cache.purge().unwrap();
        fs::write(cache.open().unwrap().join("gems"), "x").unwrap();
        // What a daemon left that died while purging.
        fs::create_dir_all(dir.join("app.purged/old")).unwrap();
        cache.purge().unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_wish_is_fulfilled_once_before_the_next_use() {
        let dir = std::env::temp_dir().join(format!("paas-cache-wish-{}", std::process::id()));
        let cache = Cache::new(dir.join("app"));
        let kept = cache.open().unwrap().join("gems");
        fs::write(&kept, vec![1; 100_000]).unwrap();
        assert!((100_000..200_000).contains(&cache.bytes()), "{}", cache.bytes());
        cache.wish_purge().unwrap();
        // A build writes to it.
        assert!(kept.exists());
        cache.open().unwrap();
        assert!(!kept.exists());
        fs::write(&kept, "x").unwrap();
        cache.fulfil_wish().unwrap();
        assert!(kept.exists());
        cache.wish_purge().unwrap();
        cache.remove().unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }
}
