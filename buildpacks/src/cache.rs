//! What buildpacks keep between the builds of an app (`CACHE_DIR`): one directory per app.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::tree;

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

    /// Makes sure that the directory is there.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn open(&self) -> io::Result<&Path> {
        fs::create_dir_all(&self.path)?;
        Ok(&self.path)
    }

    /// Empties it. It is renamed first, so that a half-removed cache is never used, even when
    /// this process dies in between; a build that is writing to it goes on with the old one, which
    /// is then lost.
    ///
    /// # Errors
    /// Whatever the disk says; an absent cache is fine.
    pub fn purge(&self) -> io::Result<()> {
        let mut trash = self.path.clone().into_os_string();
        trash.push(".purged");
        let trash = PathBuf::from(trash);
        tree::remove(&trash)?;
        match fs::rename(&self.path, &trash) {
            Ok(()) => tree::remove(&trash),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
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
}
