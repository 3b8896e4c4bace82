//! What webhooks are told of.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::store::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// Something that webhooks are told of.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct WebhookEvent {
    /// Identity.
    pub id: Uuid,
    /// The app.
    pub app_id: Uuid,
    /// Its number among the app's.
    pub seq: i64,
    /// Its kind: `api:release` …
    pub include: String,
    /// Of what.
    pub resource_id: Uuid,
    /// What is told.
    pub payload: Json<serde_json::Value>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, e: &WebhookEvent) -> StoreResult<()> {
    execute!(
        c,
        "insert into webhook_events (id, app_id, seq, include, resource_id, payload, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        e.id,
        e.app_id,
        e.seq,
        &e.include,
        e.resource_id,
        &e.payload,
        e.created_at,
        e.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<WebhookEvent>> {
    rows!(c, WebhookEvent, fetch_optional, "select * from webhook_events where id = $1", id)
}

/// The last one about a resource.
pub async fn last(c: &mut Conn, app_id: Uuid, include: &str, resource_id: Uuid) -> StoreResult<Option<WebhookEvent>> {
    rows!(
        c,
        WebhookEvent,
        fetch_optional,
        "select * from webhook_events where app_id = $1 and include = $2 and resource_id = $3 order by seq desc limit 1",
        app_id,
        include,
        resource_id
    )
}

/// Those that the webhooks of an app, or of an add-on of it, are told of, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid, addon_id: Option<Uuid>) -> StoreResult<Vec<WebhookEvent>> {
    rows!(
        c,
        WebhookEvent,
        fetch_all,
        "select * from webhook_events e where e.app_id = $1 and exists (select 1 from webhook_deliveries d where d.event_id = e.id and d.addon_id is not distinct from $2) order by e.seq",
        app_id,
        addon_id
    )
}

/// Removes those that are older than `before`, or not among the last `most` of their app, and
/// are not on their way any more.
pub async fn prune(c: &mut Conn, before: DateTime<Utc>, most: i64) -> StoreResult<u64> {
    execute!(
        c,
        "delete from webhook_events where (updated_at < $1 or seq <= (select k.event_seq from webhook_cursors k where k.app_id = webhook_events.app_id) - $2) and not exists (select 1 from webhook_deliveries d where d.event_id = webhook_events.id and d.next_attempt_at is not null)",
        before,
        most
    )
}
