//! Builds and their queue.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A build. It is claimed by lease: who builds renews it, and a build whose lease has run
/// out has lost its builder.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Build {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// `queued` or `pending` (both shown as pending), `succeeded`, `failed`, `cancelled`.
    pub status: String,
    /// The stack it builds for.
    pub stack: String,
    /// `git` (the commit is in the app's repository) or `tarball`.
    pub source_kind: String,
    /// Where a tarball comes from.
    pub source_url: Option<String>,
    /// The commit, or the version that the client told.
    pub source_version: Option<String>,
    /// First line of the commit's message.
    pub source_description: Option<String>,
    /// The buildpacks it was told to use; none: detect.
    pub buildpacks: Json<Vec<String>>,
    /// What it made.
    pub slug_id: Option<Uuid>,
    /// The release it led to.
    pub release_id: Option<Uuid>,
    /// Why it failed.
    pub message: Option<String>,
    /// The run of the daemon that builds it.
    pub lease_owner: Option<Uuid>,
    /// Until when that one has it.
    pub lease_until: Option<DateTime<Utc>>,
    /// A user wants it ended.
    pub cancel_requested: bool,
    /// When asked for.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, b: &Build) -> StoreResult<()> {
    execute!(
        c,
        "insert into builds (id, app_id, user_id, status, stack, source_kind, source_url, source_version, source_description, buildpacks, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        b.id,
        b.app_id,
        b.user_id,
        &b.status,
        &b.stack,
        &b.source_kind,
        &b.source_url,
        &b.source_version,
        &b.source_description,
        &b.buildpacks,
        b.created_at,
        b.updated_at
    )?;
    Ok(())
}

/// One of an app's.
pub async fn find(c: &mut Conn, app_id: Uuid, id: Uuid) -> StoreResult<Option<Build>> {
    rows!(c, Build, fetch_optional, "select * from builds where app_id = $1 and id = $2", app_id, id)
}

/// Remembers what the SHA-256 of its source is to be.
pub async fn want_checksum(c: &mut Conn, id: Uuid, sha256: &str) -> StoreResult<()> {
    execute!(c, "update builds set source_checksum = $2 where id = $1", id, sha256)?;
    Ok(())
}

/// What the SHA-256 of its source is to be, if that was said.
pub async fn wanted_checksum(c: &mut Conn, id: Uuid) -> StoreResult<Option<String>> {
    let row: Option<(Option<String>,)> =
        rows!(c, (Option<String>,), fetch_optional, "select source_checksum from builds where id = $1", id)?;
    Ok(row.and_then(|(sum,)| sum))
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Build>> {
    rows!(c, Build, fetch_optional, "select * from builds where id = $1", id)
}

/// All of an app, oldest first.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Build>> {
    rows!(c, Build, fetch_all, "select * from builds where app_id = $1 order by created_at, id", app_id)
}

/// Those not ended of one app.
pub async fn active(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Build>> {
    rows!(
        c,
        Build,
        fetch_all,
        "select * from builds where app_id = $1 and status in ('queued', 'pending') order by created_at, id",
        app_id
    )
}

/// Takes the oldest queued build whose app builds nothing else now.
pub async fn claim(c: &mut Conn, owner: Uuid, until: DateTime<Utc>, now: DateTime<Utc>) -> StoreResult<Option<Build>> {
    rows!(
        c,
        Build,
        fetch_optional,
        "update builds set status = 'pending', lease_owner = $1, lease_until = $2, updated_at = $3 where id = (select b.id from builds b where b.status = 'queued' and not exists (select 1 from builds o where o.app_id = b.app_id and o.status = 'pending') order by b.created_at, b.id limit 1) and status = 'queued' returning *",
        owner,
        until,
        now
    )
}

/// Renews a lease; whether it is still ours, and whether a user wants the build ended.
pub async fn renew(c: &mut Conn, id: Uuid, owner: Uuid, until: DateTime<Utc>) -> StoreResult<Option<bool>> {
    let row: Option<(bool,)> = rows!(
        c,
        (bool,),
        fetch_optional,
        "update builds set lease_until = $3 where id = $1 and lease_owner = $2 and status = 'pending' returning cancel_requested",
        id,
        owner,
        until
    )?;
    Ok(row.map(|(cancel,)| cancel))
}

/// Builds under way, oldest first.
pub async fn pending(c: &mut Conn) -> StoreResult<Vec<Build>> {
    rows!(c, Build, fetch_all, "select * from builds where status = 'pending' order by created_at, id")
}

/// Asks a build to end; whether it had not ended yet.
pub async fn request_cancel(c: &mut Conn, id: Uuid, now: DateTime<Utc>) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update builds set cancel_requested = true, updated_at = $2 where id = $1 and status in ('queued', 'pending')",
        id,
        now
    )? > 0)
}

/// How a build ended: status, and what it made or why it failed. Only once; whether this
/// was the one.
pub async fn finish(
    c: &mut Conn,
    id: Uuid,
    status: &str,
    slug_id: Option<Uuid>,
    release_id: Option<Uuid>,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update builds set status = $2, slug_id = $3, release_id = $4, message = $5, lease_until = null, updated_at = $6 where id = $1 and status in ('queued', 'pending')",
        id,
        status,
        slug_id,
        release_id,
        message,
        now
    )? > 0)
}

/// Builds of pushes that nobody has taken yet.
pub async fn queued_git(c: &mut Conn) -> StoreResult<Vec<Build>> {
    rows!(
        c,
        Build,
        fetch_all,
        "select * from builds where status = 'queued' and source_kind = 'git' order by created_at, id"
    )
}

/// How many builds are before one: waiting or running, and asked for earlier.
pub async fn ahead(c: &mut Conn, build: &Build) -> StoreResult<i64> {
    let (count,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select count(*) from builds where status in ('queued', 'pending') and created_at < $1 and id <> $2",
        build.created_at,
        build.id
    )?;
    Ok(count)
}

/// How many builds are `queued`, or `pending` (under way).
pub async fn count(c: &mut Conn, status: &str) -> StoreResult<i64> {
    let (count,): (i64,) = rows!(c, (i64,), fetch_one, "select count(*) from builds where status = $1", status)?;
    Ok(count)
}
