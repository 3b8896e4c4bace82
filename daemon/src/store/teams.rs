//! Teams, which one somebody means where none is named, and the add-on services allowed in
//! them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A team.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Team {
    /// Identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The one that is always there and has everybody in it.
    pub built_in: bool,
    /// Only add-ons of allowed services may be added by those who are no admins.
    pub addons_controls: bool,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// An add-on service that members of a team may use.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AllowedService {
    /// Identity.
    pub id: Uuid,
    /// The team.
    pub team_id: Uuid,
    /// The service's name.
    pub service: String,
    /// Who allowed it.
    pub added_by_id: Uuid,
    /// Their address at the time.
    pub added_by: String,
    /// When.
    pub added_at: DateTime<Utc>,
}

/// Adds a team.
pub async fn insert(c: &mut Conn, team: &Team) -> StoreResult<()> {
    execute!(
        c,
        "insert into teams (id, name, built_in, addons_controls, created_at, updated_at) values ($1, $2, $3, $4, $5, $6)",
        team.id,
        &team.name,
        team.built_in,
        team.addons_controls,
        team.created_at,
        team.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Team>> {
    rows!(c, Team, fetch_optional, "select * from teams where id = $1", id)
}

/// By name.
pub async fn by_name(c: &mut Conn, name: &str) -> StoreResult<Option<Team>> {
    rows!(c, Team, fetch_optional, "select * from teams where name = $1", name)
}

/// The one that is always there.
pub async fn built_in(c: &mut Conn) -> StoreResult<Option<Team>> {
    rows!(c, Team, fetch_optional, "select * from teams where built_in")
}

/// All, by name.
pub async fn list(c: &mut Conn) -> StoreResult<Vec<Team>> {
    rows!(c, Team, fetch_all, "select * from teams order by name")
}

/// Changes name and preferences.
pub async fn update(c: &mut Conn, team: &Team) -> StoreResult<()> {
    execute!(
        c,
        "update teams set name = $2, addons_controls = $3, updated_at = $4 where id = $1",
        team.id,
        &team.name,
        team.addons_controls,
        team.updated_at
    )?;
    Ok(())
}

/// Locks a team's row until the end of the transaction, so that two changes of it follow each
/// other; whether it is there.
pub async fn lock(c: &mut Conn, id: Uuid, now: DateTime<Utc>) -> StoreResult<bool> {
    Ok(execute!(c, "update teams set updated_at = $2 where id = $1", id, now)? > 0)
}

/// Removes one, with its members and invitations.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from teams where id = $1", id)?;
    Ok(())
}

/// The team that somebody means where none is named.
pub async fn default_of(c: &mut Conn, user_id: Uuid) -> StoreResult<Option<Team>> {
    rows!(
        c,
        Team,
        fetch_optional,
        "select t.* from default_teams d join teams t on t.id = d.team_id where d.user_id = $1",
        user_id
    )
}

/// Chooses it, or takes the choice back.
pub async fn set_default(c: &mut Conn, user_id: Uuid, team_id: Option<Uuid>) -> StoreResult<()> {
    execute!(c, "delete from default_teams where user_id = $1", user_id)?;
    if let Some(team_id) = team_id {
        execute!(c, "insert into default_teams (user_id, team_id) values ($1, $2)", user_id, team_id)?;
    }
    Ok(())
}

/// The add-on services allowed in a team, by name.
pub async fn services(c: &mut Conn, team_id: Uuid) -> StoreResult<Vec<AllowedService>> {
    rows!(
        c,
        AllowedService,
        fetch_all,
        "select * from team_addon_services where team_id = $1 order by service",
        team_id
    )
}

/// Allows one.
pub async fn allow_service(c: &mut Conn, row: &AllowedService) -> StoreResult<()> {
    execute!(
        c,
        "insert into team_addon_services (id, team_id, service, added_by_id, added_by, added_at) values ($1, $2, $3, $4, $5, $6)",
        row.id,
        row.team_id,
        &row.service,
        row.added_by_id,
        &row.added_by,
        row.added_at
    )?;
    Ok(())
}

/// Takes that back.
pub async fn forbid_service(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from team_addon_services where id = $1", id)?;
    Ok(())
}
