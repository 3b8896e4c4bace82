//! Promotions, and what becomes of each on every app that it goes to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A promotion.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Promotion {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub pipeline_id: Uuid,
    /// The app that it comes from.
    pub source_app_id: Uuid,
    /// Its release.
    pub source_release_id: Uuid,
    /// What that ran.
    pub slug_id: Uuid,
    /// What the releases are called.
    pub description: String,
    /// Who asked for it.
    pub user_id: Uuid,
    /// `pending` or `completed`.
    pub status: String,
    /// When asked for.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// An app that a promotion goes to.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Target {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub promotion_id: Uuid,
    /// The app.
    pub app_id: Uuid,
    /// `pending`, `succeeded`, `failed`.
    pub status: String,
    /// Why it failed.
    pub error_message: Option<String>,
    /// The release that it made; none before it is made.
    pub release_id: Option<Uuid>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, p: &Promotion) -> StoreResult<()> {
    execute!(
        c,
        "insert into pipeline_promotions (id, pipeline_id, source_app_id, source_release_id, slug_id, description, user_id, status, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        p.id,
        p.pipeline_id,
        p.source_app_id,
        p.source_release_id,
        p.slug_id,
        &p.description,
        p.user_id,
        &p.status,
        p.created_at,
        p.updated_at
    )?;
    Ok(())
}

/// Adds an app that it goes to.
pub async fn insert_target(c: &mut Conn, t: &Target) -> StoreResult<()> {
    execute!(
        c,
        "insert into pipeline_promotion_targets (id, promotion_id, app_id, status, error_message, release_id) values ($1, $2, $3, $4, $5, $6)",
        t.id,
        t.promotion_id,
        t.app_id,
        &t.status,
        &t.error_message,
        t.release_id
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Promotion>> {
    rows!(c, Promotion, fetch_optional, "select * from pipeline_promotions where id = $1", id)
}

/// Those not ended, oldest first.
pub async fn pending(c: &mut Conn) -> StoreResult<Vec<Promotion>> {
    rows!(c, Promotion, fetch_all, "select * from pipeline_promotions where status = 'pending' order by created_at, id")
}

/// The apps that a promotion goes to.
pub async fn targets(c: &mut Conn, promotion_id: Uuid) -> StoreResult<Vec<Target>> {
    rows!(
        c,
        Target,
        fetch_all,
        "select * from pipeline_promotion_targets where promotion_id = $1 order by id",
        promotion_id
    )
}

/// One of them.
pub async fn target(c: &mut Conn, id: Uuid) -> StoreResult<Option<Target>> {
    rows!(c, Target, fetch_optional, "select * from pipeline_promotion_targets where id = $1", id)
}

/// Writes how far it is on an app, unless that has ended; whether it had not.
pub async fn update_target(c: &mut Conn, t: &Target) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update pipeline_promotion_targets set status = $2, error_message = $3, release_id = $4 where id = $1 and status = 'pending'",
        t.id,
        &t.status,
        &t.error_message,
        t.release_id
    )? > 0)
}

/// All have ended. Only once; whether this was the time.
pub async fn complete(c: &mut Conn, id: Uuid, now: DateTime<Utc>) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update pipeline_promotions set status = 'completed', updated_at = $2 where id = $1 and status = 'pending'",
        id,
        now
    )? > 0)
}
