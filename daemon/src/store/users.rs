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

/// The names of the apps that are somebody's.
pub async fn apps_of(c: &mut Conn, id: Uuid) -> StoreResult<Vec<String>> {
    let rows: Vec<(String,)> = rows!(
        c,
        (String,),
        fetch_all,
        "select name from apps where owner_id = $1 and deleting = $2 order by name",
        id,
        false
    )?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Takes somebody off the apps of others.
pub async fn leave_apps(c: &mut Conn, id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from collaborators where user_id = $1", id)
}
