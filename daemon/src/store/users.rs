//! Accounts.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// Where the addresses of those who are gone are.
pub const NOWHERE: &str = "deleted.invalid";

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
    /// Since when it is gone: its row stays, for what it has made.
    pub deleted_at: Option<DateTime<Utc>>,
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

/// By identity, whether it is gone or not: to tell who has made something. Whoever is to do
/// something is looked up by [`present`].
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<User>> {
    rows!(c, User, fetch_optional, "select * from users where id = $1", id)
}

/// By identity, if it is not gone.
pub async fn present(c: &mut Conn, id: Uuid) -> StoreResult<Option<User>> {
    Ok(by_id(c, id).await?.filter(|user| user.deleted_at.is_none()))
}

/// By e-mail address, in lower case, if it is not gone.
pub async fn by_email(c: &mut Conn, email: &str) -> StoreResult<Option<User>> {
    rows!(c, User, fetch_optional, "select * from users where email = $1 and deleted_at is null", email)
}

/// Locks an account's row until the end of the transaction, so that two changes of it follow each
/// other: as it is then, if it is not gone.
pub async fn lock(c: &mut Conn, id: Uuid) -> StoreResult<Option<User>> {
    let sql = "update users set updated_at = updated_at where id = $1 and deleted_at is null returning *";
    rows!(c, User, fetch_optional, sql, id)
}

/// Everybody, by address.
pub async fn list(c: &mut Conn) -> StoreResult<Vec<User>> {
    rows!(c, User, fetch_all, "select * from users order by email")
}

/// Sets the person's name.
pub async fn set_name(c: &mut Conn, id: Uuid, name: Option<&str>, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update users set name = $2, updated_at = $3 where id = $1", id, name, now)?;
    Ok(())
}

/// Sets the password's hash.
pub async fn set_password(c: &mut Conn, id: Uuid, hash: &str, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update users set password_hash = $2, updated_at = $3 where id = $1", id, hash, now)?;
    Ok(())
}

/// Makes somebody an administrator, or one like all others.
pub async fn set_admin(c: &mut Conn, id: Uuid, admin: bool, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update users set admin = $2, updated_at = $3 where id = $1", id, admin, now)?;
    Ok(())
}

/// Changes the address; it must be free.
pub async fn set_email(c: &mut Conn, id: Uuid, email: &str, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update users set email = $2, updated_at = $3 where id = $1", id, email, now)?;
    Ok(())
}

/// It is gone: nobody can come in by it, and its address is free.
pub async fn set_deleted(c: &mut Conn, id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "update users set email = $2, name = null, password_hash = null, admin = $3, updated_at = $4, deleted_at = $4 where id = $1",
        id,
        format!("{id}@{NOWHERE}"),
        false,
        now
    )?;
    Ok(())
}

/// Those that are not gone, by address.
pub async fn all_present(c: &mut Conn) -> StoreResult<Vec<User>> {
    rows!(c, User, fetch_all, "select * from users where deleted_at is null order by email")
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
