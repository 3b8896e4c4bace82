//! Accounts.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// An account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct User {
    /// Identity.
    pub id: Uuid,
    /// Lower-case e-mail address: the name that people log in with.
    pub email: String,
    /// Full name, if told.
    pub name: Option<String>,
    /// Argon2id in PHC form; none for accounts that have tokens only.
    pub password_hash: Option<String>,
    /// May see and change everything of this installation.
    pub admin: bool,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds an account.
pub async fn insert(c: &mut Conn, user: &User) -> StoreResult<()> {
    execute!(
        c,
        "insert into users (id, email, name, password_hash, admin, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        user.id,
        &user.email,
        &user.name,
        &user.password_hash,
        user.admin,
        user.created_at,
        user.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<User>> {
    rows!(c, User, fetch_optional, "select * from users where id = $1", id)
}

/// By e-mail address, in lower case.
pub async fn by_email(c: &mut Conn, email: &str) -> StoreResult<Option<User>> {
    rows!(c, User, fetch_optional, "select * from users where email = $1", email)
}

/// Everybody, by address.
pub async fn list(c: &mut Conn) -> StoreResult<Vec<User>> {
    rows!(c, User, fetch_all, "select * from users order by email")
}

/// Changes name and password.
pub async fn update(c: &mut Conn, user: &User) -> StoreResult<()> {
    execute!(
        c,
        "update users set name = $2, password_hash = $3, admin = $4, updated_at = $5 where id = $1",
        user.id,
        &user.name,
        &user.password_hash,
        user.admin,
        user.updated_at
    )?;
    Ok(())
}

/// Changes the address; it must be free.
pub async fn set_email(c: &mut Conn, id: Uuid, email: &str) -> StoreResult<()> {
    execute!(c, "update users set email = $2 where id = $1", id, email)?;
    Ok(())
}

/// Those that have not been deleted, by address.
pub async fn present(c: &mut Conn) -> StoreResult<Vec<User>> {
    rows!(
        c,
        User,
        fetch_all,
        "select * from users where id not in (select user_id from profiles where deleted_at is not null) order by email"
    )
}

/// The names of the apps that are somebody's own, and no team's.
pub async fn apps_of(c: &mut Conn, id: Uuid) -> StoreResult<Vec<String>> {
    let rows: Vec<(String,)> = rows!(
        c,
        (String,),
        fetch_all,
        "select name from apps where owner_id = $1 and deleting = $2 and team_id is null order by name",
        id,
        false
    )?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Takes somebody off the apps of others, out of teams, and back what they offer or are offered.
pub async fn leave(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from collaborators where user_id = $1", id)?;
    execute!(c, "delete from team_members where user_id = $1", id)?;
    execute!(c, "delete from default_teams where user_id = $1", id)?;
    execute!(c, "delete from app_transfers where owner_id = $1 or recipient_id = $1", id)?;
    Ok(())
}
