//! Who is in a team, and who is invited to be.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
    users::User,
};

/// A member with their account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Member {
    /// Identity of the membership.
    pub member_id: Uuid,
    /// What they are in the team.
    pub role: String,
    /// Since when.
    pub member_since: DateTime<Utc>,
    /// When that last changed.
    pub member_updated_at: DateTime<Utc>,
    /// Who.
    #[sqlx(flatten)]
    pub user: User,
}

/// An invitation.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Invitation {
    /// Identity.
    pub id: Uuid,
    /// To which team.
    pub team_id: Uuid,
    /// By whom.
    pub invited_by: Uuid,
    /// Whom: an address in lower case, of an account or not.
    pub email: String,
    /// What they will be.
    pub role: String,
    /// SHA-256 of the token that accepts it.
    pub token_hash: Vec<u8>,
    /// Until when that works.
    pub expires_at: DateTime<Utc>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// The members that a team has rows of, by address.
pub async fn list(c: &mut Conn, team_id: Uuid) -> StoreResult<Vec<Member>> {
    rows!(
        c,
        Member,
        fetch_all,
        "select m.id as member_id, m.role, m.created_at as member_since, m.updated_at as member_updated_at, u.* from team_members m join users u on u.id = m.user_id where m.team_id = $1 order by u.email",
        team_id
    )
}

/// What somebody's row in a team says that they are.
pub async fn role(c: &mut Conn, team_id: Uuid, user_id: Uuid) -> StoreResult<Option<String>> {
    let row: Option<(String,)> = rows!(
        c,
        (String,),
        fetch_optional,
        "select role from team_members where team_id = $1 and user_id = $2",
        team_id,
        user_id
    )?;
    Ok(row.map(|(role,)| role))
}

/// The teams in which somebody has a row, each with their role.
pub async fn of_user(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<(Uuid, String)>> {
    rows!(c, (Uuid, String), fetch_all, "select team_id, role from team_members where user_id = $1", user_id)
}

/// Puts somebody into a team, or changes what they are in it.
pub async fn put(
    c: &mut Conn,
    id: Uuid,
    (team_id, user_id): (Uuid, Uuid),
    role: &str,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    execute!(
        c,
        "insert into team_members (id, team_id, user_id, role, created_at, updated_at) values ($1, $2, $3, $4, $5, $5) on conflict (team_id, user_id) do update set role = excluded.role, updated_at = excluded.updated_at",
        id,
        team_id,
        user_id,
        role,
        now
    )?;
    Ok(())
}

/// Takes somebody out; whether they were in.
pub async fn remove(c: &mut Conn, team_id: Uuid, user_id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from team_members where team_id = $1 and user_id = $2", team_id, user_id)? > 0)
}

/// Who works on apps of a team, each once, by address.
pub async fn collaborators(c: &mut Conn, team_id: Uuid) -> StoreResult<Vec<User>> {
    rows!(
        c,
        User,
        fetch_all,
        "select * from users where id in (select k.user_id from collaborators k join apps a on a.id = k.app_id where a.team_id = $1 and not a.deleting) order by email",
        team_id
    )
}

/// Ends somebody's work on all apps of a team; whether there was any.
pub async fn remove_collaborator(c: &mut Conn, team_id: Uuid, user_id: Uuid) -> StoreResult<bool> {
    let sql = "delete from collaborators where user_id = $2 and app_id in (select id from apps where team_id = $1)";
    Ok(execute!(c, sql, team_id, user_id)? > 0)
}

/// Whether somebody works on an app of a team.
pub async fn collaborates(c: &mut Conn, team_id: Uuid, user_id: Uuid) -> StoreResult<bool> {
    let (found,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select count(*) from collaborators k join apps a on a.id = k.app_id where a.team_id = $1 and k.user_id = $2 and not a.deleting",
        team_id,
        user_id
    )?;
    Ok(found > 0)
}

/// The invitations to a team that still work, by address.
pub async fn invitations(c: &mut Conn, team_id: Uuid, now: DateTime<Utc>) -> StoreResult<Vec<Invitation>> {
    rows!(
        c,
        Invitation,
        fetch_all,
        "select * from team_invitations where team_id = $1 and expires_at > $2 order by email",
        team_id,
        now
    )
}

/// The invitation that a token accepts, if it still does.
pub async fn invitation(c: &mut Conn, token_hash: &[u8], now: DateTime<Utc>) -> StoreResult<Option<Invitation>> {
    rows!(
        c,
        Invitation,
        fetch_optional,
        "select * from team_invitations where token_hash = $1 and expires_at > $2",
        token_hash,
        now
    )
}

/// Invites somebody; an earlier invitation of the same person is replaced.
pub async fn invite(c: &mut Conn, row: &Invitation) -> StoreResult<()> {
    execute!(c, "delete from team_invitations where team_id = $1 and email = $2", row.team_id, &row.email)?;
    execute!(
        c,
        "insert into team_invitations (id, team_id, invited_by, email, role, token_hash, expires_at, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        row.id,
        row.team_id,
        row.invited_by,
        &row.email,
        &row.role,
        row.token_hash.as_slice(),
        row.expires_at,
        row.created_at,
        row.updated_at
    )?;
    Ok(())
}

/// Takes an invitation back; whether it was there.
pub async fn revoke(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from team_invitations where id = $1", id)? > 0)
}
