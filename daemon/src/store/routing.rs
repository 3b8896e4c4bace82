//! How the router treats an app, where its users want it otherwise than for all apps.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// What was set for an app; nothing: as for all apps.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AppRouting {
    /// Of which app.
    pub app_id: Uuid,
    /// Connecting to one dyno, milliseconds.
    pub connect_ms: Option<i64>,
    /// Waiting for a dyno and connecting, together, milliseconds.
    pub queue_ms: Option<i64>,
    /// From the last byte of a request to the first of its response, milliseconds.
    pub first_byte_ms: Option<i64>,
    /// Silence in both directions after that, milliseconds.
    pub idle_ms: Option<i64>,
    /// Requests at once for each web dyno.
    pub concurrency: Option<i64>,
    /// `random` or `least-connections`.
    pub balancing: Option<String>,
    /// Whether plain HTTP is answered with a redirect.
    pub https_only: Option<bool>,
    /// `max-age` of `Strict-Transport-Security`, seconds.
    pub hsts_max_age: Option<i64>,
    /// `includeSubDomains` of it.
    pub hsts_include_subdomains: Option<bool>,
    /// `preload` of it.
    pub hsts_preload: Option<bool>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

impl AppRouting {
    /// An app for which nothing is set.
    pub fn none(app_id: Uuid, now: DateTime<Utc>) -> Self {
        Self {
            app_id,
            connect_ms: None,
            queue_ms: None,
            first_byte_ms: None,
            idle_ms: None,
            concurrency: None,
            balancing: None,
            https_only: None,
            hsts_max_age: None,
            hsts_include_subdomains: None,
            hsts_preload: None,
            updated_at: now,
        }
    }
}

/// Of one app, where something was ever set.
pub async fn of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<AppRouting>> {
    rows!(c, AppRouting, fetch_optional, "select * from app_routing where app_id = $1", app_id)
}

/// Of all apps for which something was ever set.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<AppRouting>> {
    rows!(c, AppRouting, fetch_all, "select * from app_routing")
}

/// Keeps what is set for an app, whatever it was.
pub async fn put(c: &mut Conn, row: &AppRouting) -> StoreResult<()> {
    execute!(
        c,
        "insert into app_routing (app_id, connect_ms, queue_ms, first_byte_ms, idle_ms, concurrency, balancing, https_only, hsts_max_age, hsts_include_subdomains, hsts_preload, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (app_id) do update set connect_ms = excluded.connect_ms, queue_ms = excluded.queue_ms, first_byte_ms = excluded.first_byte_ms, idle_ms = excluded.idle_ms, concurrency = excluded.concurrency, balancing = excluded.balancing, https_only = excluded.https_only, hsts_max_age = excluded.hsts_max_age, hsts_include_subdomains = excluded.hsts_include_subdomains, hsts_preload = excluded.hsts_preload, updated_at = excluded.updated_at",
        row.app_id,
        row.connect_ms,
        row.queue_ms,
        row.first_byte_ms,
        row.idle_ms,
        row.concurrency,
        row.balancing.as_deref(),
        row.https_only,
        row.hsts_max_age,
        row.hsts_include_subdomains,
        row.hsts_preload,
        row.updated_at
    )?;
    Ok(())
}
