//! Where an app's logs, metrics and traces are sent in OpenTelemetry's form.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A telemetry drain.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TelemetryDrain {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// `logs`, `metrics`, `traces`.
    pub signals: Json<Vec<String>>,
    /// Address and headers; sealed JSON.
    pub exporter: Vec<u8>,
    /// The number of the last line that its receiver has taken.
    pub position: i64,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// All of an app, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<TelemetryDrain>> {
    rows!(
        c,
        TelemetryDrain,
        fetch_all,
        "select * from telemetry_drains where app_id = $1 order by created_at, id",
        app_id
    )
}

/// All of all apps that are not being destroyed.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<TelemetryDrain>> {
    rows!(
        c,
        TelemetryDrain,
        fetch_all,
        "select d.* from telemetry_drains d join apps a on a.id = d.app_id where not a.deleting order by d.id"
    )
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<TelemetryDrain>> {
    rows!(c, TelemetryDrain, fetch_optional, "select * from telemetry_drains where id = $1", id)
}

/// Adds one.
pub async fn insert(c: &mut Conn, drain: &TelemetryDrain) -> StoreResult<()> {
    execute!(
        c,
        "insert into telemetry_drains (id, app_id, signals, exporter, position, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        drain.id,
        drain.app_id,
        &drain.signals,
        &drain.exporter,
        drain.position,
        drain.created_at,
        drain.updated_at
    )?;
    Ok(())
}

/// Writes what may change.
pub async fn update(c: &mut Conn, drain: &TelemetryDrain) -> StoreResult<()> {
    execute!(
        c,
        "update telemetry_drains set signals = $2, exporter = $3, updated_at = $4 where id = $1",
        drain.id,
        &drain.signals,
        &drain.exporter,
        drain.updated_at
    )?;
    Ok(())
}

/// Writes down how far its receiver is.
pub async fn set_position(c: &mut Conn, id: Uuid, position: i64) -> StoreResult<()> {
    execute!(c, "update telemetry_drains set position = $2 where id = $1", id, position)?;
    Ok(())
}

/// Removes one; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from telemetry_drains where id = $1", id)? > 0)
}
