//! Work that outlives its row: containers, volumes and files of what is gone.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};
use crate::context::new_id;

/// Something that is still to be removed.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Cleanup {
    /// Identity.
    pub id: Uuid,
    /// What: `app`, `addon`, `slug`.
    pub kind: String,
    /// Which.
    pub data: Json<serde_json::Value>,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next.
    pub next_at: DateTime<Utc>,
    /// Since when it waits.
    pub created_at: DateTime<Utc>,
}

/// Remembers something to remove, in the transaction that lets go of it.
pub async fn insert(c: &mut Conn, kind: &str, data: serde_json::Value, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "insert into cleanups (id, kind, data, next_at, created_at) values ($1, $2, $3, $4, $4)",
        new_id(),
        kind,
        Json(data),
        now
    )?;
    Ok(())
}

/// What is due.
pub async fn due(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<Vec<Cleanup>> {
    rows!(c, Cleanup, fetch_all, "select * from cleanups where next_at <= $1 order by created_at, id", now)
}

/// Tries again later.
pub async fn postpone(c: &mut Conn, id: Uuid, next_at: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update cleanups set attempts = attempts + 1, next_at = $2 where id = $1", id, next_at)?;
    Ok(())
}

/// It is gone.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from cleanups where id = $1", id)?;
    Ok(())
}
