//! A database of its own for each daemon: on the Postgres that `PAAS_TEST_DATABASE_URL` names,
//! or else SQLite in the data directory.
#![allow(unreachable_pub, reason = "some test files take it in without the rest of util")]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its settings where it needs them"
)]

use std::future::Future;

/// A new database on that Postgres. Dropping it drops it there too.
pub struct Database {
    /// Its address.
    pub url: String,
    name: String,
    server: String,
}

impl Database {
    /// None where the tests run on SQLite.
    pub fn new() -> Option<Self> {
        let server = std::env::var("PAAS_TEST_DATABASE_URL").ok()?;
        let name = format!("paas_{}", uuid::Uuid::new_v4().simple());
        let (base, _) = server.rsplit_once('/').expect("an address with the name of a database at its end");
        let database = Self { url: format!("{base}/{name}"), name, server };
        database.run("create database").expect("the test's Postgres makes a database");
        Some(database)
    }

    /// By a thread with a runtime of its own: the test's may be on its way out, or none.
    fn run(&self, what: &str) -> Result<(), sqlx::Error> {
        let force = if what.starts_with("drop") { " with (force)" } else { "" };
        let (statement, server) = (format!("{what} {}{force}", self.name), self.server.clone());
        let work = async move {
            let pool = sqlx::PgPool::connect(&server).await?;
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await?;
            pool.close().await;
            Ok(())
        };
        std::thread::spawn(move || block_on(work)).join().expect("the thread ends")
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.run("drop database") {
            eprintln!("{} stays: {error}", self.name);
        }
    }
}
