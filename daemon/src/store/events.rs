//! What happened, in order.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};
use crate::context::new_id;

/// Something that happened, told with the change itself.
#[derive(Debug, Clone)]
pub struct Event {
    /// What: `release.create`, `dyno.update` …
    pub kind: &'static str,
    /// Who: an e-mail address, or `paas` for the platform itself.
    pub actor: String,
    /// The particulars; never a secret.
    pub data: serde_json::Value,
}

impl Event {
    /// An event of `kind` by `actor`.
    pub fn new(kind: &'static str, actor: impl Into<String>, data: serde_json::Value) -> Self {
        Self { kind, actor: actor.into(), data }
    }
}

/// An event as it was kept.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EventRow {
    /// Identity.
    pub id: Uuid,
    /// The app it belongs to.
    pub app_id: Option<Uuid>,
    /// The app's generation that it made.
    pub generation: i64,
    /// What.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// The particulars.
    pub data: Json<serde_json::Value>,
    /// When.
    pub created_at: DateTime<Utc>,
}

pub(super) async fn insert(
    c: &mut Conn,
    app_id: Option<Uuid>,
    generation: i64,
    event: &Event,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    execute!(
        c,
        "insert into events (id, app_id, generation, kind, actor, data, created_at) values ($1, $2, $3, $4, $5, $6, $7)",
        new_id(),
        app_id,
        generation,
        event.kind,
        &event.actor,
        Json(&event.data),
        now
    )?;
    Ok(())
}

/// An app's events after a generation, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid, after: i64) -> StoreResult<Vec<EventRow>> {
    rows!(
        c,
        EventRow,
        fetch_all,
        "select * from events where app_id = $1 and generation > $2 order by generation",
        app_id,
        after
    )
}

/// The first `most` of them: each event has a generation of its own, so none is cut in two.
pub async fn list_some(c: &mut Conn, app_id: Uuid, after: i64, most: i64) -> StoreResult<Vec<EventRow>> {
    rows!(
        c,
        EventRow,
        fetch_all,
        "select * from events where app_id = $1 and generation > $2 order by generation, id limit $3",
        app_id,
        after,
        most
    )
}

/// Removes what was told of dynos before a time: there is much of it, and nobody looks back.
pub async fn prune_dynos(c: &mut Conn, before: DateTime<Utc>) -> StoreResult<u64> {
    execute!(
        c,
        "delete from events where kind in ('dyno.create', 'dyno.update', 'dyno.destroy', 'dyno.idle', 'dyno.wake') and created_at < $1",
        before
    )
}
