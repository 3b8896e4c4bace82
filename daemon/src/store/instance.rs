//! Which data directory and which database belong together.
//!
//! Both keep the identity of the installation: the directory in its file `instance`, the
//! database in its settings. A daemon that had one of its own and one of another installation
//! would find dynos and add-ons that no row knows of, and would remove them: so nothing is
//! opened before both are seen to be of one.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use uuid::Uuid;

use super::{
    Db, StoreError,
    look::{Look, look},
    settings,
};

/// The identity of a data directory that has its database.
const FILE: &str = "instance";

/// The identity that a new data directory will have, once it is in the database.
const BEGUN: &str = "instance.new";

/// Why a data directory and a database can't be used together.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The directory has a database already, and it is not this one, which is new.
    #[error(
        "{place} is new, but the data directory {dir} has been used with another database, and is of no use without it. Set PAAS_DATABASE_URL (--database-url) to what it was then; unset it if that was SQLite in the data directory. To restore a backup, bring the database back first; to begin anew, use a new PAAS_DATA_DIR"
    )]
    NewDatabase {
        /// The data directory.
        dir: String,
        /// The database.
        place: String,
    },
    /// The database has a data directory already, and it is not this one, which is new.
    #[error(
        "{place} belongs to the installation {other}, but the data directory {dir} is new and has none of that one's repositories, slugs and keys. Set PAAS_DATA_DIR to the directory that the database was used with, or first bring back into it what a backup holds: instance, secret.key, git, slugs and tls. To begin anew, set PAAS_DATABASE_URL to an empty database"
    )]
    NewDir {
        /// The data directory.
        dir: String,
        /// The database.
        place: String,
        /// Whose it is.
        other: Uuid,
    },
    /// Each belongs to another installation.
    #[error(
        "{place} belongs to the installation {other}, but the data directory {dir} to the installation {own}. Set PAAS_DATABASE_URL (--database-url) or PAAS_DATA_DIR (--data-dir) so that both are of one"
    )]
    Different {
        /// The data directory.
        dir: String,
        /// The database.
        place: String,
        /// Whose the database is.
        other: Uuid,
        /// Whose the directory is.
        own: Uuid,
    },
    /// The identity can't be read or written.
    #[error("the identity of the data directory {dir} can't be read or written")]
    File {
        /// The data directory.
        dir: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database can't be opened.
    #[error("the database can't be opened")]
    Store(#[from] StoreError),
}

/// Opens the database of a data directory, and makes them belong together where both are new.
pub async fn open(dir: &Path, url: &str) -> Result<(Db, Uuid), InstanceError> {
    let looked = look(url).await?;
    check(dir, &looked)?;
    let problem = |source| InstanceError::File { dir: dir.display().to_string(), source };
    let own = match identity(dir).map_err(problem)? {
        Some(own) => own,
        None => begin(dir).map_err(problem)?,
    };
    let db = Db::open(url).await?;
    // The database first: a daemon that dies here goes on with what was begun.
    let mut tx = db.begin().await?;
    let kept = settings::set_once(&mut tx, settings::INSTANCE, &own.to_string()).await?;
    tx.commit(None).await?;
    check(dir, &Look { instance: Some(kept), ..looked })?;
    settle(dir).map_err(problem)?;
    Ok((db, own))
}

/// Whether a data directory and a database, as it was seen, may be used together.
pub fn check(dir: &Path, look: &Look) -> Result<(), InstanceError> {
    let name = dir.display().to_string();
    let problem = |source| InstanceError::File { dir: name.clone(), source };
    let own = identity(dir).map_err(problem)?;
    let other = look.instance.as_deref().map(parse).transpose().map_err(problem)?;
    let place = look.place.clone();
    match (own, other) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(InstanceError::NewDatabase { dir: name, place }),
        (None, Some(other)) if read(dir, BEGUN).map_err(problem)? == Some(other) => Ok(()),
        (None, Some(other)) => Err(InstanceError::NewDir { dir: name, place, other }),
        (Some(own), Some(other)) if own == other => Ok(()),
        (Some(own), Some(other)) => Err(InstanceError::Different { dir: name, place, other, own }),
    }
}

/// The identity of a data directory; none of a new one.
pub fn identity(dir: &Path) -> io::Result<Option<Uuid>> {
    read(dir, FILE)
}

fn read(dir: &Path, file: &str) -> io::Result<Option<Uuid>> {
    match fs::read_to_string(dir.join(file)) {
        Ok(text) => parse(&text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> io::Result<Uuid> {
    let wrong = |e| io::Error::new(ErrorKind::InvalidData, format!("{:?} is no identity: {e}", text.trim()));
    text.trim().parse().map_err(wrong)
}

/// The identity for a new data directory. Of several that begin at once, one is followed by all.
fn begin(dir: &Path) -> io::Result<Uuid> {
    if let Some(begun) = read(dir, BEGUN)? {
        return Ok(begun);
    }
    let id = Uuid::new_v4();
    let own = dir.join(format!("{BEGUN}-{id}"));
    let mut file = File::create_new(&own)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    let linked = fs::hard_link(&own, dir.join(BEGUN));
    fs::remove_file(&own)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => File::open(dir)?.sync_all()?,
    }
    read(dir, BEGUN)?.ok_or_else(|| io::Error::other("another paasd took it at the same moment; try again"))
}

/// What was begun is so: the database knows it too.
fn settle(dir: &Path) -> io::Result<()> {
    match fs::rename(dir.join(BEGUN), dir.join(FILE)) {
        // It was so before, or another one has just done it.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(dir)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new data directory, with what `open` says of it with one database after another.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new() -> Self {
            let dir = std::env::temp_dir().join(format!("paas-instance-{}", Uuid::new_v4()));
            fs::create_dir(&dir).unwrap();
            Self(dir)
        }

        fn url(&self, name: &str) -> String {
            format!("sqlite:{}", self.0.join(name).display())
        }

        async fn open(&self, url: &str) -> Result<Uuid, InstanceError> {
            let (db, id) = open(&self.0, url).await?;
            db.close().await;
            Ok(id)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[tokio::test]
    async fn a_data_directory_has_one_database() {
        let place = Place::new();
        let id = place.open(&place.url("one.db")).await.unwrap();
        assert_eq!(place.open(&place.url("one.db")).await.unwrap(), id, "it stays so");
        let error = place.open(&place.url("two.db")).await.unwrap_err();
        assert!(matches!(error, InstanceError::NewDatabase { .. }), "{error}");
        assert!(error.to_string().contains("PAAS_DATABASE_URL"), "{error}");
        assert!(!place.0.join("two.db").exists(), "a database that is refused is not made");

        let other = Place::new();
        let error = other.open(&place.url("one.db")).await.unwrap_err();
        assert!(matches!(&error, InstanceError::NewDir { other, .. } if *other == id), "{error}");
        assert!(identity(&other.0).unwrap().is_none(), "it is still new");
        let others = other.open(&other.url("one.db")).await.unwrap();
        let error = other.open(&place.url("one.db")).await.unwrap_err();
        assert!(matches!(&error, InstanceError::Different { own, .. } if *own == others), "{error}");
    }

    #[tokio::test]
    async fn a_backup_comes_back_into_an_empty_directory() {
        let (place, empty) = (Place::new(), Place::new());
        let id = place.open(&place.url("paas.db")).await.unwrap();
        for file in ["paas.db", FILE] {
            fs::copy(place.0.join(file), empty.0.join(file)).unwrap();
        }
        assert_eq!(empty.open(&empty.url("paas.db")).await.unwrap(), id);
    }

    #[tokio::test]
    async fn a_first_start_that_died_is_gone_on_with() {
        // Before the database had it, and after.
        let place = Place::new();
        let id = begin(&place.0).unwrap();
        assert_eq!(begin(&place.0).unwrap(), id);
        assert_eq!(place.open(&place.url("paas.db")).await.unwrap(), id);
        fs::rename(place.0.join(FILE), place.0.join(BEGUN)).unwrap();
        assert_eq!(place.open(&place.url("paas.db")).await.unwrap(), id);
        let left: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(BEGUN)), "{left:?}");
    }
}
