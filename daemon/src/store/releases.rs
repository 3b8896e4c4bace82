//! Releases: slug, config and add-ons, by version.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// Which releases of an app: there may be thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The lowest version.
    pub from: i64,
    /// The highest.
    pub to: i64,
    /// How many.
    pub most: i64,
    /// Whether these are the highest of them, else the lowest.
    pub highest: bool,
}

impl Part {
    /// Every one.
    pub const ALL: Self = Self { from: 0, to: i64::MAX, most: i64::MAX, highest: false };
}

/// A release.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Release {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// From 1, without gaps in what an app was ever given.
    pub version: i64,
    /// What made it, in Heroku's words: `Set FOO config vars`, `Deploy 5ec1351`.
    pub description: String,
    /// `pending` (its release phase has not ended), `succeeded`, `failed`, `expired`.
    pub status: String,
    /// Who made it.
    pub user_id: Uuid,
    /// What it runs; none before the first deploy.
    pub slug_id: Option<Uuid>,
    /// The stack it runs on.
    pub stack: String,
    /// Its config vars, sealed JSON; empty, and not to be opened, in a list.
    #[sqlx(default)]
    pub config: Vec<u8>,
    /// The plans of the add-ons attached.
    pub addon_plans: Json<Vec<String>>,
    /// Whether it has a release phase.
    pub phase: bool,
    /// Its dynos don't come up, and its user was told so.
    pub stalled: bool,
    /// Whether running dynos move to it.
    pub restart: bool,
    /// Why it failed.
    pub message: Option<String>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, r: &Release) -> StoreResult<()> {
    execute!(
        c,
        "insert into releases (id, app_id, version, description, status, user_id, slug_id, stack, config, addon_plans, phase, restart, message, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        r.id,
        r.app_id,
        r.version,
        &r.description,
        &r.status,
        r.user_id,
        r.slug_id,
        &r.stack,
        &r.config,
        &r.addon_plans,
        r.phase,
        r.restart,
        &r.message,
        r.created_at,
        r.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Release>> {
    rows!(c, Release, fetch_optional, "select * from releases where id = $1", id)
}

/// By version.
pub async fn by_version(c: &mut Conn, app_id: Uuid, version: i64) -> StoreResult<Option<Release>> {
    rows!(c, Release, fetch_optional, "select * from releases where app_id = $1 and version = $2", app_id, version)
}

/// Some of an app, oldest first, without their config vars: these may be 64 KB each.
pub async fn list(c: &mut Conn, app_id: Uuid, part: Part) -> StoreResult<Vec<Release>> {
    macro_rules! select {
        ($order:literal) => {
            concat!(
                "select id, app_id, version, description, status, user_id, slug_id, stack, addon_plans, phase, stalled, restart, message, created_at, updated_at from releases where app_id = $1 and version between $2 and $3 order by version ",
                $order,
                " limit $4"
            )
        };
    }
    let sql = if part.highest { select!("desc") } else { select!("asc") };
    let mut found: Vec<Release> = rows!(c, Release, fetch_all, sql, app_id, part.from, part.to, part.most)?;
    if part.highest {
        found.reverse();
    }
    Ok(found)
}

/// The newest, whatever became of it: what the next one starts from.
pub async fn latest(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<Release>> {
    rows!(c, Release, fetch_optional, "select * from releases where app_id = $1 order by version desc limit 1", app_id)
}

/// The one that counts: the newest that succeeded.
pub async fn current(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<Release>> {
    rows!(
        c,
        Release,
        fetch_optional,
        "select * from releases where app_id = $1 and status = 'succeeded' order by version desc limit 1",
        app_id
    )
}

/// The one that counts of every app that has one: app and release.
pub async fn all_current(c: &mut Conn) -> StoreResult<Vec<(Uuid, Uuid)>> {
    rows!(
        c,
        (Uuid, Uuid),
        fetch_all,
        "select r.app_id, r.id from releases r join (select app_id, max(version) as version from releases where status = 'succeeded' group by app_id) newest on newest.app_id = r.app_id and newest.version = r.version"
    )
}

/// The one that running dynos are to have: the newest that succeeded and asked them to move.
pub async fn running(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<Release>> {
    rows!(
        c,
        Release,
        fetch_optional,
        "select * from releases where app_id = $1 and status = 'succeeded' and restart order by version desc limit 1",
        app_id
    )
}

/// Those whose release phase has not ended, oldest first, of one app.
pub async fn pending(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Release>> {
    rows!(
        c,
        Release,
        fetch_all,
        "select * from releases where app_id = $1 and status = 'pending' order by version",
        app_id
    )
}

/// How its release phase ended. Only once; whether this was the one.
pub async fn finish(
    c: &mut Conn,
    id: Uuid,
    status: &str,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update releases set status = $2, message = $3, updated_at = $4 where id = $1 and status = 'pending'",
        id,
        status,
        message,
        now
    )? > 0)
}

/// Gives a pending release another slug: that of the release which serves, because the one
/// it was based on has failed.
pub async fn rebase(c: &mut Conn, id: Uuid, slug_id: Option<Uuid>, stack: &str, phase: bool) -> StoreResult<()> {
    execute!(c, "update releases set slug_id = $2, stack = $3, phase = $4 where id = $1", id, slug_id, stack, phase)?;
    Ok(())
}

/// Its dynos don't come up: remembered, so that it is told once.
pub async fn set_stalled(c: &mut Conn, app_id: Uuid, version: i64) -> StoreResult<()> {
    execute!(c, "update releases set stalled = true where app_id = $1 and version = $2", app_id, version)?;
    Ok(())
}

/// The first release of a slug.
pub async fn by_slug(c: &mut Conn, slug_id: Uuid) -> StoreResult<Option<Release>> {
    rows!(c, Release, fetch_optional, "select * from releases where slug_id = $1 order by version limit 1", slug_id)
}

/// How many releases of a slug are still to be decided or have dynos.
pub async fn uses_of_slug(c: &mut Conn, slug_id: Uuid) -> StoreResult<i64> {
    let (count,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select count(*) from releases r where r.slug_id = $1 and (r.status = 'pending' or exists (select 1 from dynos d where d.release_id = r.id))",
        slug_id
    )?;
    Ok(count)
}

/// The slugs that an app has released last.
pub async fn newest_slugs(c: &mut Conn, app_id: Uuid, most: i64) -> StoreResult<Vec<Uuid>> {
    let found: Vec<(Uuid,)> = rows!(
        c,
        (Uuid,),
        fetch_all,
        "select slug_id from releases where app_id = $1 and slug_id is not null group by slug_id order by max(version) desc limit $2",
        app_id,
        most
    )?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// Whether an app has ever released a slug.
pub async fn any_slug(c: &mut Conn, app_id: Uuid) -> StoreResult<bool> {
    Ok(!newest_slugs(c, app_id, 1).await?.is_empty())
}
