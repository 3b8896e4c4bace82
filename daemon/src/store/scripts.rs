//! Programs that run once in an app and whose end is waited for.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A program and how it ended.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Script {
    /// The dyno's identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// The dyno's name: `postdeploy.1234`.
    pub name: String,
    /// How it ended; none with `ended_at`: it never ran.
    pub exit_code: Option<i64>,
    /// When.
    pub ended_at: Option<DateTime<Utc>>,
    /// When asked for.
    pub created_at: DateTime<Utc>,
}

/// Adds one that has not ended.
pub async fn insert(c: &mut Conn, id: Uuid, app_id: Uuid, name: &str, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "insert into scripts (id, app_id, name, created_at) values ($1, $2, $3, $4)", id, app_id, name, now)?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Script>> {
    rows!(c, Script, fetch_optional, "select * from scripts where id = $1", id)
}

/// Writes how it ended, once.
pub async fn end(c: &mut Conn, id: Uuid, exit_code: Option<i64>, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "update scripts set exit_code = $2, ended_at = $3 where id = $1 and ended_at is null",
        id,
        exit_code,
        now
    )?;
    Ok(())
}
