//! Tellings on their way to webhooks.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// One telling on its way to one webhook.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Delivery {
    /// Identity.
    pub id: Uuid,
    /// The app that it is about.
    pub app_id: Uuid,
    /// The add-on whose webhook it goes to, if it is no app's.
    pub addon_id: Option<Uuid>,
    /// Where it goes.
    pub webhook_id: Uuid,
    /// `notify` or `sync`, as it was.
    pub level: String,
    /// What is told.
    pub event_id: Uuid,
    /// Its kind.
    pub include: String,
    /// Its number among the app's.
    pub seq: i64,
    /// `pending`, `retrying`, `succeeded` or `failed`.
    pub status: String,
    /// How often it was tried.
    pub num_attempts: i64,
    /// When it is tried next; none when it has ended.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The last attempt.
    pub attempt_id: Option<Uuid>,
    /// What the receiver answered.
    pub attempt_code: Option<i64>,
    /// What went wrong.
    pub attempt_error: Option<String>,
    /// `succeeded` or `failed`.
    pub attempt_status: Option<String>,
    /// When the last attempt began.
    pub attempt_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub attempt_ended_at: Option<DateTime<Utc>>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds a new one.
pub async fn insert(c: &mut Conn, d: &Delivery) -> StoreResult<()> {
    execute!(
        c,
        "insert into webhook_deliveries (id, app_id, addon_id, webhook_id, level, event_id, include, seq, status, num_attempts, next_attempt_at, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        d.id,
        d.app_id,
        d.addon_id,
        d.webhook_id,
        &d.level,
        d.event_id,
        &d.include,
        d.seq,
        &d.status,
        d.num_attempts,
        d.next_attempt_at,
        d.created_at,
        d.updated_at
    )?;
    Ok(())
}

/// Writes what has become of one.
pub async fn update(c: &mut Conn, d: &Delivery) -> StoreResult<()> {
    execute!(
        c,
        "update webhook_deliveries set status = $2, num_attempts = $3, next_attempt_at = $4, attempt_id = $5, attempt_code = $6, attempt_error = $7, attempt_status = $8, attempt_at = $9, attempt_ended_at = $10, updated_at = $11 where id = $1",
        d.id,
        &d.status,
        d.num_attempts,
        d.next_attempt_at,
        d.attempt_id,
        d.attempt_code,
        &d.attempt_error,
        &d.attempt_status,
        d.attempt_at,
        d.attempt_ended_at,
        d.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Delivery>> {
    rows!(c, Delivery, fetch_optional, "select * from webhook_deliveries where id = $1", id)
}

/// Those to the webhooks of an app, or of an add-on of it, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid, addon_id: Option<Uuid>) -> StoreResult<Vec<Delivery>> {
    rows!(
        c,
        Delivery,
        fetch_all,
        "select * from webhook_deliveries where app_id = $1 and addon_id is not distinct from $2 order by seq",
        app_id,
        addon_id
    )
}

/// The webhooks that something is due for, with the team or account that their apps belong to;
/// first who waits longest.
pub async fn webhooks_due(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<Vec<(Uuid, Uuid)>> {
    rows!(
        c,
        (Uuid, Uuid),
        fetch_all,
        "select d.webhook_id, coalesce(a.team_id, a.owner_id, d.app_id) as owner from webhook_deliveries d left join apps a on a.id = d.app_id where d.next_attempt_at <= $1 group by d.webhook_id, owner order by min(d.next_attempt_at), d.webhook_id",
        now
    )
}

/// What is due for one webhook, oldest first.
pub async fn due(c: &mut Conn, webhook_id: Uuid, now: DateTime<Utc>, most: i64) -> StoreResult<Vec<Delivery>> {
    rows!(
        c,
        Delivery,
        fetch_all,
        "select * from webhook_deliveries where webhook_id = $1 and next_attempt_at <= $2 order by seq limit $3",
        webhook_id,
        now,
        most
    )
}

/// The next one that is to be tried later.
pub async fn next_after(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<Option<Delivery>> {
    rows!(
        c,
        Delivery,
        fetch_optional,
        "select * from webhook_deliveries where next_attempt_at > $1 order by next_attempt_at limit 1",
        now
    )
}

/// Gives up what is on its way to a webhook.
pub async fn give_up(c: &mut Conn, webhook_id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "update webhook_deliveries set status = 'failed', next_attempt_at = null, updated_at = $2 where webhook_id = $1 and next_attempt_at is not null",
        webhook_id,
        now
    )?;
    Ok(())
}
