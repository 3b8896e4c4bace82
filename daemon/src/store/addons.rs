//! Add-ons and where they are attached.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// An add-on.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Addon {
    /// Identity.
    pub id: Uuid,
    /// The app that it was made for and that it goes with.
    pub app_id: Uuid,
    /// `redis-curved-12345`: unique on this installation.
    pub name: String,
    /// `redis`.
    pub service: String,
    /// The plan's short name: `mini`.
    pub plan: String,
    /// `provisioning`, `provisioned`, `deprovisioning`, `deprovisioned`.
    pub state: String,
    /// Sealed JSON: what its provider keeps of it.
    pub config: Vec<u8>,
    /// What goes on or went wrong, for the user.
    pub message: Option<String>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Where an add-on is attached.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Attachment {
    /// Identity.
    pub id: Uuid,
    /// What is attached.
    pub addon_id: Uuid,
    /// To which app.
    pub app_id: Uuid,
    /// As what: `REDIS` gives `REDIS_URL`.
    pub name: String,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, a: &Addon) -> StoreResult<()> {
    execute!(
        c,
        "insert into addons (id, app_id, name, service, plan, state, config, message, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        a.id,
        a.app_id,
        &a.name,
        &a.service,
        &a.plan,
        &a.state,
        &a.config,
        &a.message,
        a.created_at,
        a.updated_at
    )?;
    Ok(())
}

/// Writes what may change.
pub async fn update(c: &mut Conn, a: &Addon) -> StoreResult<()> {
    execute!(
        c,
        "update addons set name = $2, plan = $3, state = $4, config = $5, message = $6, updated_at = $7 where id = $1",
        a.id,
        &a.name,
        &a.plan,
        &a.state,
        &a.config,
        &a.message,
        a.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Addon>> {
    rows!(c, Addon, fetch_optional, "select * from addons where id = $1", id)
}

/// By name.
pub async fn by_name(c: &mut Conn, name: &str) -> StoreResult<Option<Addon>> {
    rows!(c, Addon, fetch_optional, "select * from addons where name = $1", name)
}

/// Those that belong to an app, oldest first.
pub async fn of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Addon>> {
    rows!(c, Addon, fetch_all, "select * from addons where app_id = $1 order by created_at, id", app_id)
}

/// All, oldest first.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<Addon>> {
    rows!(c, Addon, fetch_all, "select * from addons order by created_at, id")
}

/// Removes one and its attachments.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from addons where id = $1", id)?;
    Ok(())
}

/// Adds an attachment.
pub async fn attach(c: &mut Conn, a: &Attachment) -> StoreResult<()> {
    execute!(
        c,
        "insert into addon_attachments (id, addon_id, app_id, name, created_at, updated_at) values ($1, $2, $3, $4, $5, $6)",
        a.id,
        a.addon_id,
        a.app_id,
        &a.name,
        a.created_at,
        a.updated_at
    )?;
    Ok(())
}

/// Removes an attachment.
pub async fn detach(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from addon_attachments where id = $1", id)?;
    Ok(())
}

/// An attachment by identity.
pub async fn attachment(c: &mut Conn, id: Uuid) -> StoreResult<Option<Attachment>> {
    rows!(c, Attachment, fetch_optional, "select * from addon_attachments where id = $1", id)
}

/// What is attached to an app, by name.
pub async fn attachments_of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Attachment>> {
    rows!(c, Attachment, fetch_all, "select * from addon_attachments where app_id = $1 order by name", app_id)
}

/// Where an add-on is attached, oldest first.
pub async fn attachments_of_addon(c: &mut Conn, addon_id: Uuid) -> StoreResult<Vec<Attachment>> {
    rows!(
        c,
        Attachment,
        fetch_all,
        "select * from addon_attachments where addon_id = $1 order by created_at, id",
        addon_id
    )
}

/// All attachments.
pub async fn all_attachments(c: &mut Conn) -> StoreResult<Vec<Attachment>> {
    rows!(c, Attachment, fetch_all, "select * from addon_attachments order by created_at, id")
}
