//! Apps and who works on them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
    users::User,
};

/// An app.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct App {
    /// Identity.
    pub id: Uuid,
    /// Its name, which is its host name too.
    pub name: String,
    /// The account it belongs to; for an app of a team, who made it or brought it in.
    pub owner_id: Uuid,
    /// The team it belongs to, if to one.
    pub team_id: Option<Uuid>,
    /// Members of its team can't join it by themselves.
    pub locked: bool,
    /// The stack of its current release.
    pub stack: String,
    /// The stack of its next build.
    pub build_stack: String,
    /// The router answers for it with the maintenance page.
    pub maintenance: bool,
    /// What the last build's buildpacks called it.
    pub buildpack_description: Option<String>,
    /// Raised by every change.
    pub generation: i64,
    /// Going away: its dynos and add-ons are being removed, then its row.
    pub deleting: bool,
    /// The version of its newest release.
    pub last_version: i64,
    /// Bytes of its git repository.
    pub repo_size: Option<i64>,
    /// Bytes of its current slug.
    pub slug_size: Option<i64>,
    /// What the router was last told of it besides its dynos.
    pub route_state: Option<String>,
    /// Certificates for its domains are to be got automatically.
    pub acm: bool,
    /// Somebody has said so, or that they are not to be.
    pub acm_chosen: bool,
    /// Seconds without a request after which its web dynos may sleep, where it says.
    pub idle_after: Option<i64>,
    /// Since when they sleep; void where something of it was changed since (`ops::idle`).
    pub idle_since: Option<DateTime<Utc>>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
    /// When last released.
    pub released_at: Option<DateTime<Utc>>,
}

/// Adds an app.
pub async fn insert(c: &mut Conn, app: &App) -> StoreResult<()> {
    execute!(
        c,
        "insert into apps (id, name, owner_id, team_id, locked, stack, build_stack, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        app.id,
        &app.name,
        app.owner_id,
        app.team_id,
        app.locked,
        &app.stack,
        &app.build_stack,
        app.created_at,
        app.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<App>> {
    rows!(c, App, fetch_optional, "select * from apps where id = $1", id)
}

/// By name.
pub async fn by_name(c: &mut Conn, name: &str) -> StoreResult<Option<App>> {
    rows!(c, App, fetch_optional, "select * from apps where name = $1", name)
}

/// All, by name.
pub async fn list(c: &mut Conn) -> StoreResult<Vec<App>> {
    rows!(c, App, fetch_all, "select * from apps order by name")
}

/// Those that a user may see without being an administrator, by name: their own, those that they
/// work on, and those of their teams that are not locked.
pub async fn of_user(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<App>> {
    rows!(
        c,
        App,
        fetch_all,
        "select * from apps where not deleting and ((team_id is null and owner_id = $1) or id in (select app_id from collaborators where user_id = $1) or team_id in (select team_id from team_members where user_id = $1 and role = 'admin') or (not locked and (team_id in (select team_id from team_members where user_id = $1 and role <> 'collaborator') or team_id in (select id from teams where built_in)))) order by name",
        user_id
    )
}

/// Those of no team that a user owns or works on, by name.
pub async fn personal(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<App>> {
    rows!(
        c,
        App,
        fetch_all,
        "select * from apps where not deleting and team_id is null and (owner_id = $1 or id in (select app_id from collaborators where user_id = $1)) order by name",
        user_id
    )
}

/// Those of a team, by name.
pub async fn of_team(c: &mut Conn, team_id: Uuid) -> StoreResult<Vec<App>> {
    rows!(c, App, fetch_all, "select * from apps where team_id = $1 and not deleting order by name", team_id)
}

/// How many rows of apps a team has, those going away among them.
pub async fn count_of_team(c: &mut Conn, team_id: Uuid) -> StoreResult<i64> {
    let (count,): (i64,) = rows!(c, (i64,), fetch_one, "select count(*) from apps where team_id = $1", team_id)?;
    Ok(count)
}

/// The apps that a user works on besides those that are their own.
pub async fn joined(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<Uuid>> {
    let ids: Vec<(Uuid,)> =
        rows!(c, (Uuid,), fetch_all, "select app_id from collaborators where user_id = $1", user_id)?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

/// Identities of all, those going away too.
pub async fn ids(c: &mut Conn) -> StoreResult<Vec<Uuid>> {
    let ids: Vec<(Uuid,)> = rows!(c, (Uuid,), fetch_all, "select id from apps order by id")?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

/// Writes what may change of an app's row: everything but identity, generation and version.
pub async fn update(c: &mut Conn, app: &App) -> StoreResult<()> {
    execute!(
        c,
        "update apps set name = $2, owner_id = $3, stack = $4, build_stack = $5, maintenance = $6, buildpack_description = $7, deleting = $8, repo_size = $9, slug_size = $10, updated_at = $11, released_at = $12, team_id = $13, locked = $14 where id = $1",
        app.id,
        &app.name,
        app.owner_id,
        &app.stack,
        &app.build_stack,
        app.maintenance,
        &app.buildpack_description,
        app.deleting,
        app.repo_size,
        app.slug_size,
        app.updated_at,
        app.released_at,
        app.team_id,
        app.locked
    )?;
    Ok(())
}

/// Takes the next release version of an app.
pub async fn next_version(c: &mut Conn, id: Uuid) -> StoreResult<i64> {
    let (version,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "update apps set last_version = last_version + 1 where id = $1 returning last_version",
        id
    )?;
    Ok(version)
}

/// Removes an app's row and with it all that belongs to it.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from dynos where app_id = $1", id)?;
    execute!(c, "delete from builds where app_id = $1", id)?;
    execute!(c, "delete from releases where app_id = $1", id)?;
    execute!(c, "delete from apps where id = $1", id)?;
    Ok(())
}

/// A collaborator with their account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Collaborator {
    /// Identity of the collaboration.
    pub collaborator_id: Uuid,
    /// Since when.
    pub collaborator_since: DateTime<Utc>,
    /// When that last changed.
    pub collaborator_updated_at: DateTime<Utc>,
    /// What they may do in an app of a team, separated by commas.
    pub permissions: Option<String>,
    /// Who.
    #[sqlx(flatten)]
    pub user: User,
}

/// Who works on an app besides its owner, by address.
pub async fn collaborators(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Collaborator>> {
    rows!(
        c,
        Collaborator,
        fetch_all,
        "select c.id as collaborator_id, c.created_at as collaborator_since, c.updated_at as collaborator_updated_at, c.permissions, u.* from collaborators c join users u on u.id = c.user_id where c.app_id = $1 order by u.email",
        app_id
    )
}

/// Whether a user works on an app, and what they may do then, if it is said.
pub async fn collaboration(c: &mut Conn, app_id: Uuid, user_id: Uuid) -> StoreResult<Option<Option<String>>> {
    let row: Option<(Option<String>,)> = rows!(
        c,
        (Option<String>,),
        fetch_optional,
        "select permissions from collaborators where app_id = $1 and user_id = $2",
        app_id,
        user_id
    )?;
    Ok(row.map(|(permissions,)| permissions))
}

/// Lets a user work on an app.
pub async fn add_collaborator(
    c: &mut Conn,
    id: Uuid,
    (app_id, user_id): (Uuid, Uuid),
    permissions: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    execute!(
        c,
        "insert into collaborators (id, app_id, user_id, permissions, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)",
        id,
        app_id,
        user_id,
        permissions,
        now
    )?;
    Ok(())
}

/// Changes what a user may do; whether they work on the app.
pub async fn set_permissions(
    c: &mut Conn,
    (app_id, user_id): (Uuid, Uuid),
    permissions: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let sql = "update collaborators set permissions = $3, updated_at = $4 where app_id = $1 and user_id = $2";
    Ok(execute!(c, sql, app_id, user_id, permissions, now)? > 0)
}

/// Ends everybody's work on an app.
pub async fn remove_collaborators(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from collaborators where app_id = $1", app_id)?;
    Ok(())
}

/// Ends it; whether it was so.
pub async fn remove_collaborator(c: &mut Conn, app_id: Uuid, user_id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from collaborators where app_id = $1 and user_id = $2", app_id, user_id)? > 0)
}

/// What the router is told of an app besides its dynos.
pub async fn set_route_state(c: &mut Conn, id: Uuid, state: &str) -> StoreResult<()> {
    execute!(c, "update apps set route_state = $2 where id = $1", id, state)?;
    Ok(())
}

/// Those that have switched something on, by id.
pub async fn with_feature(c: &mut Conn, name: &str) -> StoreResult<Vec<App>> {
    rows!(
        c,
        App,
        fetch_all,
        "select * from apps where not deleting and id in (select app_id from app_features where name = $1 and enabled) order by id",
        name
    )
}

/// After how many seconds without a request its web dynos may sleep; none: as usual.
pub async fn set_idle_after(c: &mut Conn, id: Uuid, seconds: Option<i64>, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update apps set idle_after = $2, updated_at = $3 where id = $1", id, seconds, now)?;
    Ok(())
}

/// Its web dynos sleep since then, or no longer.
pub async fn set_idle_since(c: &mut Conn, id: Uuid, since: Option<DateTime<Utc>>) -> StoreResult<()> {
    execute!(c, "update apps set idle_since = $2 where id = $1", id, since)?;
    Ok(())
}

/// Certificates are to be got automatically, or no longer; `chosen`: somebody has said so.
pub async fn set_acm(c: &mut Conn, id: Uuid, acm: bool, chosen: bool, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update apps set acm = $2, acm_chosen = $3, updated_at = $4 where id = $1", id, acm, chosen, now)?;
    Ok(())
}
