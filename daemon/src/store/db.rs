//! The two databases behind one face: connections, transactions, and the macros that
//! compile one text of SQL for both.
//!
//! SQLite has one writer connection and transactions that begin IMMEDIATE: a transaction
//! that first reads and then writes loses to "database is locked" otherwise. Postgres has
//! one pool. Every change of an app goes through [`Db::change`], whose first statement is
//! a write of the app's row: it is the lock, the event sequence and the reconciler's cursor.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    Connection as _, PgConnection, Postgres, Sqlite, SqliteConnection, Transaction,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{StoreError, events::Event};

/// How long a statement waits for another process that holds SQLite's lock.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// How long a server that does not answer is asked again.
pub(super) const ANSWER: Duration = Duration::from_secs(15);

/// How many rows SQLite may be ahead of whoever reads them: they are held in memory, and some are
/// large.
const ROWS: usize = 128;

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

/// Where a database is.
pub(super) enum Address<'u> {
    /// SQLite's file.
    Sqlite(PathBuf),
    /// The whole address.
    Postgres(&'u str),
}

impl<'u> Address<'u> {
    /// Reads `sqlite:PATH` or `postgres://…`.
    pub(super) fn of(url: &'u str) -> Result<Self, StoreError> {
        match url.strip_prefix("sqlite:") {
            Some(path) => Ok(Self::Sqlite(path.trim_start_matches("//").into())),
            None if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(Self::Postgres(url)),
            None => Err(StoreError::Address),
        }
    }

    /// What brings its tables up to date.
    pub(super) fn migrations(&self) -> &'static Migrator {
        match self {
            Self::Sqlite(_) => &SQLITE,
            Self::Postgres(_) => &POSTGRES,
        }
    }
}

/// What has changed, told to background tasks after the commit. Only a hint: a task that
/// misses one looks at the state by its own period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// The app, or none for changes that belong to no app.
    pub app_id: Option<Uuid>,
    /// The event's kind.
    pub kind: &'static str,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Db {
    pools: Pools,
    wakes: broadcast::Sender<Wake>,
}

#[derive(Debug, Clone)]
enum Pools {
    Sqlite { readers: SqlitePool, writer: SqlitePool },
    Postgres(PgPool),
}

/// A connection, in a transaction or not; every store function takes one.
#[derive(Debug)]
pub enum Conn {
    /// A reader of SQLite.
    SqliteRead(PoolConnection<Sqlite>),
    /// A writing transaction of SQLite.
    SqliteTx(Transaction<'static, Sqlite>),
    /// A connection to Postgres.
    PgRead(PoolConnection<Postgres>),
    /// A transaction of Postgres.
    PgTx(Transaction<'static, Postgres>),
}

/// The bare connection of either database, for the macros.
pub(crate) enum Backend<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Conn {
    pub(crate) fn backend(&mut self) -> Backend<'_> {
        match self {
            Self::SqliteRead(conn) => Backend::Sqlite(conn),
            Self::SqliteTx(tx) => Backend::Sqlite(tx),
            Self::PgRead(conn) => Backend::Postgres(conn),
            Self::PgTx(tx) => Backend::Postgres(tx),
        }
    }

    /// Gives it up for good, where it is not a pool's for others.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::SqliteRead(conn) => conn.close().await?,
            Self::PgRead(conn) => conn.close().await?,
            Self::SqliteTx(tx) => tx.rollback().await?,
            Self::PgTx(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

/// One text of SQL with its binds, compiled for both databases; the last word names how
/// the rows are fetched.
macro_rules! rows {
    ($conn:expr, $ty:ty, $fetch:ident, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $conn.backend() {
            $crate::store::db::Backend::Sqlite(c) =>
                sqlx::query_as::<_, $ty>($sql)$(.bind($bind))*.$fetch(&mut *c).await,
            $crate::store::db::Backend::Postgres(c) =>
                sqlx::query_as::<_, $ty>($sql)$(.bind($bind))*.$fetch(&mut *c).await,
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// The same for statements that return no rows: gives the number of rows touched.
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $conn.backend() {
            $crate::store::db::Backend::Sqlite(c) =>
                sqlx::query($sql)$(.bind($bind))*.execute(&mut *c).await.map(|done| done.rows_affected()),
            $crate::store::db::Backend::Postgres(c) =>
                sqlx::query($sql)$(.bind($bind))*.execute(&mut *c).await.map(|done| done.rows_affected()),
        }
        .map_err($crate::store::StoreError::from)
    };
}

pub(crate) use {execute, rows};

impl Db {
    /// Opens the database at `url` (`sqlite:PATH` or `postgres://…`) and brings its shape
    /// up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let address = Address::of(url)?;
        let pools = match &address {
            Address::Sqlite(path) => Self::open_sqlite(path, address.migrations()).await?,
            Address::Postgres(url) => {
                let options = PgPoolOptions::new().max_connections(16).acquire_timeout(ANSWER);
                let pool = options.connect(url).await?;
                address.migrations().run(&pool).await.map_err(StoreError::migrate)?;
                Pools::Postgres(pool)
            }
        };
        Ok(Self { pools, wakes: broadcast::channel(1024).0 })
    }

    async fn open_sqlite(path: &Path, migrations: &Migrator) -> Result<Pools, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            // Rows come from a thread of their own: the less the two wait for each other, the better.
            .row_buffer_size(ROWS);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .idle_timeout(None)
            .max_lifetime(None)
            // A full disk ends a transaction inside SQLite, which the connection doesn't notice:
            // it would refuse every one after it.
            .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        migrations.run(&writer).await.map_err(StoreError::migrate)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(8)
            .idle_timeout(Some(Duration::from_secs(300)))
            .connect_with(options.pragma("query_only", "on"))
            .await?;
        Ok(Pools::Sqlite { readers, writer })
    }

    /// Which database this is: `sqlite` or `postgres`.
    pub fn name(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite { .. } => "sqlite",
            Pools::Postgres(_) => "postgres",
        }
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { readers, .. } => Conn::SqliteRead(readers.acquire().await?),
            Pools::Postgres(pool) => Conn::PgRead(pool.acquire().await?),
        })
    }

    /// A writing transaction that belongs to no app (accounts, leases, a dyno's state).
    /// Dropped without [`Tx::commit`], it leaves nothing behind.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let conn = match &self.pools {
            Pools::Sqlite { writer, .. } => Conn::SqliteTx(writer.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres(pool) => Conn::PgTx(pool.begin().await?),
        };
        Ok(Tx { conn, wakes: self.wakes.clone() })
    }

    /// A change of one app: locks its row by raising its generation, so that two changes
    /// of one app follow each other on both databases. Nothing where the app is gone.
    pub async fn change(&self, app_id: Uuid) -> Result<Option<Change>, StoreError> {
        self.begin().await?.change(app_id).await
    }

    /// Hints of what has changed.
    pub fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }

    /// Closes the connections, after what is under way.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// A writing transaction.
#[derive(Debug)]
pub struct Tx {
    conn: Conn,
    wakes: broadcast::Sender<Wake>,
}

impl Tx {
    /// Makes it so, and wakes whoever waits for `wake`.
    pub async fn commit(self, wake: Option<Wake>) -> Result<(), StoreError> {
        match self.conn {
            Conn::SqliteTx(tx) => tx.commit().await?,
            Conn::PgTx(tx) => tx.commit().await?,
            Conn::SqliteRead(_) | Conn::PgRead(_) => {}
        }
        if let Some(wake) = wake {
            // Nobody listening is no failure: tasks look by their own period.
            let _ = self.wakes.send(wake);
        }
        Ok(())
    }

    /// Goes on as a change of an app, which may have been made in it.
    pub async fn change(mut self, app_id: Uuid) -> Result<Option<Change>, StoreError> {
        let row = raise(&mut self.conn, app_id).await?;
        Ok(row.map(|generation| Change { tx: self, app_id, generation }))
    }

    /// Makes it so, with the event of a change that belongs to no app.
    pub async fn commit_with(mut self, event: Event, now: DateTime<Utc>) -> Result<(), StoreError> {
        super::events::insert(&mut self.conn, None, 0, &event, now).await?;
        self.commit(Some(Wake { app_id: None, kind: event.kind })).await
    }
}

impl std::ops::Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

/// Raises an app's generation, which locks its row; nothing where the app is gone.
async fn raise(c: &mut Conn, app_id: Uuid) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64,)> = rows!(
        c,
        (i64,),
        fetch_optional,
        "update apps set generation = generation + 1 where id = $1 returning generation",
        app_id
    )?;
    Ok(row.map(|(generation,)| generation))
}

/// A change of one app under way: the work goes through it as a connection; it ends with
/// the event that tells what happened, in the same transaction.
#[derive(Debug)]
pub struct Change {
    tx: Tx,
    app_id: Uuid,
    generation: i64,
}

impl Change {
    /// The app that changes.
    pub fn app_id(&self) -> Uuid {
        self.app_id
    }

    /// The app's generation after this change.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Writes an event and goes on: one change may be several things at once. Each event has a
    /// generation of its own.
    pub async fn also(&mut self, event: Event, now: DateTime<Utc>) -> Result<(), StoreError> {
        super::events::insert(&mut self.tx.conn, Some(self.app_id), self.generation, &event, now).await?;
        self.generation = raise(&mut self.tx.conn, self.app_id).await?.unwrap_or(self.generation);
        Ok(())
    }

    /// Writes the event, makes it so, and wakes the tasks.
    pub async fn commit(mut self, event: Event, now: DateTime<Utc>) -> Result<(), StoreError> {
        super::events::insert(&mut self.tx.conn, Some(self.app_id), self.generation, &event, now).await?;
        self.tx.commit(Some(Wake { app_id: Some(self.app_id), kind: event.kind })).await
    }
}

impl std::ops::Deref for Change {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.tx.conn
    }
}

impl std::ops::DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.tx.conn
    }
}
