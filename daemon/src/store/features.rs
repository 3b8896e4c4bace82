//! What has been switched on and off for apps.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A switch that was used.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AppFeature {
    /// Of which app.
    pub app_id: Uuid,
    /// Which.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// When first switched.
    pub created_at: DateTime<Utc>,
    /// When last switched.
    pub updated_at: DateTime<Utc>,
}

/// All of an app.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<AppFeature>> {
    rows!(c, AppFeature, fetch_all, "select * from app_features where app_id = $1 order by name", app_id)
}

/// One, where it was ever switched.
pub async fn find(c: &mut Conn, app_id: Uuid, name: &str) -> StoreResult<Option<AppFeature>> {
    rows!(c, AppFeature, fetch_optional, "select * from app_features where app_id = $1 and name = $2", app_id, name)
}

/// Switches one.
pub async fn put(c: &mut Conn, app_id: Uuid, name: &str, enabled: bool, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "insert into app_features (app_id, name, enabled, created_at, updated_at) values ($1, $2, $3, $4, $4) on conflict (app_id, name) do update set enabled = excluded.enabled, updated_at = excluded.updated_at",
        app_id,
        name,
        enabled,
        now
    )?;
    Ok(())
}

/// Those of one name, of all apps where it was ever switched.
pub async fn of_name(c: &mut Conn, name: &str) -> StoreResult<Vec<AppFeature>> {
    rows!(c, AppFeature, fetch_all, "select * from app_features where name = $1", name)
}
