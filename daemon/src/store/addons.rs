//! Add-ons and where they are attached.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
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
    /// The other name of the service that it was asked for by, if any: `heroku-redis`.
    pub sold_as: Option<String>,
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

impl Addon {
    /// The service's name as whoever made it knows it.
    pub fn service_name(&self) -> &str {
        self.sold_as.as_deref().unwrap_or(&self.service)
    }
}

/// Where an add-on is attached.
#[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
pub struct Attachment {
    /// Identity.
    pub id: Uuid,
    /// What is attached.
    pub addon_id: Uuid,
    /// To which app.
    pub app_id: Uuid,
    /// As what: `REDIS` gives `REDIS_URL`.
    pub name: String,
    /// The release that the app is still to get because of it.
    pub release_due: Option<Json<ReleaseDue>>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// A release that is owed to an app: a change of an add-on locks the row of the add-on's own
/// app only, so what it means for others is kept with it and done in a change of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDue {
    /// What the release is called: `Attach CACHE (@ref:redis-curved-12345)`.
    pub description: String,
    /// Who made it so.
    pub user_id: Uuid,
    /// Whether the app's release phase runs first.
    pub phase: bool,
}

/// Adds one.
pub async fn insert(c: &mut Conn, a: &Addon) -> StoreResult<()> {
    execute!(
        c,
        "insert into addons (id, app_id, name, service, plan, state, config, message, created_at, updated_at, sold_as) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        a.id,
        a.app_id,
        &a.name,
        &a.service,
        &a.plan,
        &a.state,
        &a.config,
        &a.message,
        a.created_at,
        a.updated_at,
        &a.sold_as
    )?;
    Ok(())
}

/// Writes what may change.
pub async fn update(c: &mut Conn, a: &Addon) -> StoreResult<()> {
    execute!(
        c,
        "update addons set name = $2, plan = $3, state = $4, config = $5, message = $6, updated_at = $7, sold_as = $8 where id = $1",
        a.id,
        &a.name,
        &a.plan,
        &a.state,
        &a.config,
        &a.message,
        a.updated_at,
        &a.sold_as
    )?;
    Ok(())
}

/// Writes what goes on with it, and nothing else: it is told by the task that looks after
/// it, beside users who change it.
pub async fn set_message(c: &mut Conn, id: Uuid, message: Option<&str>) -> StoreResult<()> {
    execute!(c, "update addons set message = $2 where id = $1", id, message)?;
    Ok(())
}

/// By identity, locked until the transaction ends: for changes of an app that is not the
/// add-on's own.
pub async fn locked(c: &mut Conn, id: Uuid) -> StoreResult<Option<Addon>> {
    rows!(c, Addon, fetch_optional, "update addons set updated_at = updated_at where id = $1 returning *", id)
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

/// The identities of all, oldest first.
pub async fn ids(c: &mut Conn) -> StoreResult<Vec<Uuid>> {
    let rows: Vec<(Uuid,)> = rows!(c, (Uuid,), fetch_all, "select id from addons order by created_at, id")?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
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
        "insert into addon_attachments (id, addon_id, app_id, name, release_due, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        a.id,
        a.addon_id,
        a.app_id,
        &a.name,
        &a.release_due,
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

/// Gives an attachment another name.
pub async fn rename_attachment(c: &mut Conn, id: Uuid, name: &str) -> StoreResult<()> {
    execute!(c, "update addon_attachments set name = $2 where id = $1", id, name)?;
    Ok(())
}

/// Removes all attachments of an app.
pub async fn detach_all(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from addon_attachments where app_id = $1", app_id)?;
    Ok(())
}

/// Remembers that the attachment's app is to get a release, or that it got it.
pub async fn set_due(c: &mut Conn, id: Uuid, due: Option<&ReleaseDue>) -> StoreResult<()> {
    execute!(c, "update addon_attachments set release_due = $2 where id = $1", id, due.map(Json))?;
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
