//! Webhooks, what they are told of ([`events`]), and how far each telling is ([`deliveries`]).
//!
//! No row here belongs to its app's: an app that is destroyed is told of too, and its rows go
//! when that is done.

pub mod deliveries;
pub mod events;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A webhook.
#[derive(Clone, sqlx::FromRow)]
pub struct Webhook {
    /// Identity.
    pub id: Uuid,
    /// The app that it hears of.
    pub app_id: Uuid,
    /// The add-on whose it is, if it is no app's.
    pub addon_id: Option<Uuid>,
    /// Where to.
    pub url: String,
    /// What it is told of: `api:release` …
    pub include: Json<Vec<String>>,
    /// `notify` or `sync`.
    pub level: String,
    /// What it is signed with, sealed.
    pub secret: Vec<u8>,
    /// A value for its `Authorization` header, sealed.
    pub authorization_value: Option<Vec<u8>>,
    /// The app's generation that made it: it hears of later ones.
    pub generation: i64,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("include", &self.include).finish_non_exhaustive()
    }
}

/// Adds one.
pub async fn insert(c: &mut Conn, w: &Webhook) -> StoreResult<()> {
    execute!(
        c,
        "insert into webhooks (id, app_id, addon_id, url, include, level, secret, authorization_value, generation, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        w.id,
        w.app_id,
        w.addon_id,
        &w.url,
        &w.include,
        &w.level,
        &w.secret,
        &w.authorization_value,
        w.generation,
        w.created_at,
        w.updated_at
    )?;
    Ok(())
}

/// Writes what may change of one; whether it is there.
pub async fn update(c: &mut Conn, w: &Webhook) -> StoreResult<bool> {
    let done = execute!(
        c,
        "update webhooks set url = $2, include = $3, level = $4, secret = $5, authorization_value = $6, updated_at = $7 where id = $1",
        w.id,
        &w.url,
        &w.include,
        &w.level,
        &w.secret,
        &w.authorization_value,
        w.updated_at
    )?;
    Ok(done > 0)
}

/// Removes one; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from webhooks where id = $1", id)? > 0)
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Webhook>> {
    rows!(c, Webhook, fetch_optional, "select * from webhooks where id = $1", id)
}

/// All that hear of an app, its add-ons' too, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Webhook>> {
    rows!(c, Webhook, fetch_all, "select * from webhooks where app_id = $1 order by created_at, id", app_id)
}

/// How far an app's events have become tellings.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Cursor {
    /// Whose.
    pub app_id: Uuid,
    /// Events up to this generation have.
    pub generation: i64,
    /// Releases up to this version have.
    pub release_version: i64,
    /// The number of the last telling.
    pub event_seq: i64,
    /// The number of its last delivery.
    pub delivery_seq: i64,
    /// When the app got its first webhook.
    pub created_at: DateTime<Utc>,
}

/// Begins to follow an app's events from here: it has got its first webhook, or its first
/// after it had none.
pub async fn follow(
    c: &mut Conn,
    app_id: Uuid,
    generation: i64,
    release_version: i64,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    execute!(
        c,
        "insert into webhook_cursors (app_id, generation, release_version, event_seq, delivery_seq, created_at) values ($1, $2, $3, 0, 0, $4) on conflict (app_id) do update set generation = $2, release_version = $3",
        app_id,
        generation,
        release_version,
        now
    )?;
    Ok(())
}

/// Those whose apps have newer events.
pub async fn behind(c: &mut Conn) -> StoreResult<Vec<Cursor>> {
    rows!(
        c,
        Cursor,
        fetch_all,
        "select * from webhook_cursors k where exists (select 1 from events e where e.app_id = k.app_id and e.generation > k.generation) order by app_id"
    )
}

/// Moves on; whether nobody else has meanwhile.
pub async fn advance(c: &mut Conn, from: i64, to: &Cursor) -> StoreResult<bool> {
    let done = execute!(
        c,
        "update webhook_cursors set generation = $3, release_version = $4, event_seq = $5, delivery_seq = $6 where app_id = $1 and generation = $2",
        to.app_id,
        from,
        to.generation,
        to.release_version,
        to.event_seq,
        to.delivery_seq
    )?;
    Ok(done > 0)
}

/// Apps that are gone, have no event left to tell of, and nothing on its way.
pub async fn gone(c: &mut Conn) -> StoreResult<Vec<Cursor>> {
    rows!(
        c,
        Cursor,
        fetch_all,
        "select * from webhook_cursors k where not exists (select 1 from apps a where a.id = k.app_id) and not exists (select 1 from events e where e.app_id = k.app_id and e.generation > k.generation) and not exists (select 1 from webhook_deliveries d where d.app_id = k.app_id and d.next_attempt_at is not null)"
    )
}

/// Removes all that there is of an app.
pub async fn forget(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from webhook_deliveries where app_id = $1", app_id)?;
    execute!(c, "delete from webhook_events where app_id = $1", app_id)?;
    execute!(c, "delete from webhooks where app_id = $1", app_id)?;
    execute!(c, "delete from webhook_cursors where app_id = $1", app_id)?;
    Ok(())
}
