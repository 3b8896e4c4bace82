//! Where an app's log lines are sent.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A log drain.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LogDrain {
    /// Identity.
    pub id: Uuid,
    /// Whose lines.
    pub app_id: Uuid,
    /// The add-on that made it, and with which it goes.
    pub addon_id: Option<Uuid>,
    /// What its receiver knows it by.
    pub token: String,
    /// Where to; sealed.
    pub url: Vec<u8>,
    /// The number of the last line that its receiver has taken.
    pub position: i64,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// All of an app, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<LogDrain>> {
    rows!(c, LogDrain, fetch_all, "select * from log_drains where app_id = $1 order by created_at, id", app_id)
}

/// All that an add-on made, oldest first.
pub async fn of_addon(c: &mut Conn, addon_id: Uuid) -> StoreResult<Vec<LogDrain>> {
    rows!(c, LogDrain, fetch_all, "select * from log_drains where addon_id = $1 order by created_at, id", addon_id)
}

/// All of all apps that are not being destroyed.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<LogDrain>> {
    rows!(
        c,
        LogDrain,
        fetch_all,
        "select d.* from log_drains d join apps a on a.id = d.app_id where not a.deleting order by d.id"
    )
}

/// Adds one.
pub async fn insert(c: &mut Conn, drain: &LogDrain) -> StoreResult<()> {
    execute!(
        c,
        "insert into log_drains (id, app_id, addon_id, token, url, position, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        drain.id,
        drain.app_id,
        drain.addon_id,
        &drain.token,
        &drain.url,
        drain.position,
        drain.created_at,
        drain.updated_at
    )?;
    Ok(())
}

/// Sends it elsewhere.
pub async fn set_url(c: &mut Conn, id: Uuid, url: &[u8], now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update log_drains set url = $2, updated_at = $3 where id = $1", id, url, now)?;
    Ok(())
}

/// Writes down how far its receiver is.
pub async fn set_position(c: &mut Conn, id: Uuid, position: i64) -> StoreResult<()> {
    execute!(c, "update log_drains set position = $2 where id = $1", id, position)?;
    Ok(())
}

/// Removes one; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from log_drains where id = $1", id)? > 0)
}
