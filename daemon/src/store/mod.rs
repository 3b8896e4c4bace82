//! What the daemon remembers: SQLite or Postgres behind one text of SQL.
//!
//! [`db`] is where to start: connections, transactions, the macros. Beside it is one
//! file a noun, with its row and the functions that read and write it. Every function
//! takes a [`Conn`], so that several make one transaction. Rules of what may change live
//! above, in `ops`; here is only what the tables can say.

pub mod acme;
pub mod addons;
pub mod app_setups;
pub mod apps;
pub mod authorizations;
pub mod buildpacks;
pub mod builds;
pub mod cleanups;
pub mod config_vars;
pub mod couplings;
pub mod db;
pub mod domains;
pub mod dynos;
pub mod events;
pub mod features;
pub mod formations;
pub mod instance;
pub mod log_drains;
pub mod logins;
pub mod look;
pub mod oauth;
pub mod pipelines;
pub mod profiles;
pub mod promotions;
pub mod releases;
pub mod review_apps;
pub mod routing;
pub mod scripts;
pub mod settings;
pub mod slugs;
pub mod sni_endpoints;
pub mod ssh_keys;
pub mod team_members;
pub mod teams;
pub mod telemetry_drains;
pub mod test_runs;
pub mod transfers;
pub mod users;
pub mod webhooks;

pub use db::{Change, Conn, Db, Tx, Wake};

use crate::error::Error;

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is of no database that we know.
    #[error("the database's address must begin with postgres:// or sqlite:")]
    Address,
    /// The tables can't be brought up to date.
    #[error("the database's tables can't be brought up to date")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// The database refused or did not answer.
    #[error("the database refused a statement or did not answer")]
    Sql(#[from] sqlx::Error),
}

impl StoreError {
    fn migrate(source: sqlx::migrate::MigrateError) -> Self {
        Self::Migrate(Box::new(source))
    }

    /// Whether a row of the same unique key is there already.
    pub fn is_duplicate(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(e)) => e.is_unique_violation(),
            Self::Sql(_) | Self::Address | Self::Migrate(_) => false,
        }
    }
}

/// What SQLite (no room in the file or beside it) and Postgres say when the disk is full.
const FULL: [&str; 3] = ["13", "4874", "53100"];

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        if let StoreError::Sql(sqlx::Error::Database(e)) = &source
            && e.code().is_some_and(|code| FULL.contains(&code.as_ref()))
        {
            tracing::error!(error = %e, "the disk of the database is full");
            return Self::Unavailable(
                "The disk of the server's database is full: nothing was changed. Make room on it, then try again."
                    .into(),
            );
        }
        let busy = matches!(&source, StoreError::Sql(sqlx::Error::PoolTimedOut));
        if busy {
            return Self::Unavailable(
                "The server's database is busy or does not answer. Try again in a moment.".into(),
            );
        }
        Self::internal("The server's database failed.", source)
    }
}

/// What store functions return.
pub type StoreResult<T> = Result<T, StoreError>;
