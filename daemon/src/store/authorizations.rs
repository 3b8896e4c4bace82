//! API tokens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
    users::User,
};

/// An API token, without the token itself.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Authorization {
    /// Identity.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What it was made for, in its maker's words.
    pub description: String,
    /// What it may do: names of scopes with spaces between.
    pub scope: String,
    /// Its first and last letters, to know it again by; none for those made before these were
    /// kept.
    pub hint: Option<String>,
    /// Made by a login in a browser.
    pub session: bool,
    /// Made by address and password.
    pub by_password: bool,
    /// The program that has it.
    pub client_id: Option<Uuid>,
    /// Whether there is a token to renew it by.
    pub refreshable: bool,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Whose token one is, and what it may do.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Holder {
    /// The token.
    pub authorization_id: Uuid,
    /// See [`Authorization::scope`].
    pub scope: String,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whose.
    #[sqlx(flatten)]
    pub user: User,
}

/// Adds one; the hashes are [`crate::secret::token_hash`] of the tokens. Those of the same user that
/// have ended go.
pub async fn insert(c: &mut Conn, row: &Authorization, hash: &[u8], refresh_hash: Option<&[u8]>) -> StoreResult<()> {
    let ended = "delete from authorizations where user_id = $1 and expires_at < $2 and refresh_hash is null";
    execute!(c, ended, row.user_id, row.created_at)?;
    execute!(
        c,
        "insert into authorizations (id, user_id, token_hash, description, scope, hint, session, by_password, client_id, refresh_hash, created_at, updated_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        row.id,
        row.user_id,
        hash,
        &row.description,
        &row.scope,
        &row.hint,
        row.session,
        row.by_password,
        row.client_id,
        refresh_hash,
        row.created_at,
        row.updated_at,
        row.expires_at
    )?;
    Ok(())
}

/// Whose token this is, if it is one and has not ended, and they are not gone.
pub async fn holder(c: &mut Conn, hash: &[u8], now: DateTime<Utc>) -> StoreResult<Option<Holder>> {
    let row = rows!(
        c,
        Holder,
        fetch_optional,
        "select a.id as authorization_id, a.scope, a.expires_at, u.* from authorizations a join users u on u.id = a.user_id where a.token_hash = $1 and u.deleted_at is null",
        hash
    )?;
    Ok(row.filter(|row| row.expires_at.is_none_or(|at| at > now)))
}

/// All of one user, oldest first.
pub async fn list(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<Authorization>> {
    rows!(
        c,
        Authorization,
        fetch_all,
        "select id, user_id, description, scope, hint, session, by_password, client_id, refresh_hash is not null as refreshable, created_at, updated_at, expires_at from authorizations where user_id = $1 order by created_at, id",
        user_id
    )
}

/// One of a user's.
pub async fn find(c: &mut Conn, user_id: Uuid, id: Uuid) -> StoreResult<Option<Authorization>> {
    rows!(
        c,
        Authorization,
        fetch_optional,
        "select id, user_id, description, scope, hint, session, by_password, client_id, refresh_hash is not null as refreshable, created_at, updated_at, expires_at from authorizations where user_id = $1 and id = $2",
        user_id,
        id
    )
}

/// The one that is renewed by this token.
pub async fn by_refresh(c: &mut Conn, hash: &[u8]) -> StoreResult<Option<Authorization>> {
    rows!(
        c,
        Authorization,
        fetch_optional,
        "select id, user_id, description, scope, hint, session, by_password, client_id, refresh_hash is not null as refreshable, created_at, updated_at, expires_at from authorizations where refresh_hash = $1",
        hash
    )
}

/// Changes what it is for and whose program has it, where these are given: as it is then.
pub async fn update(
    c: &mut Conn,
    id: Uuid,
    description: Option<&str>,
    client_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> StoreResult<Option<Authorization>> {
    rows!(
        c,
        Authorization,
        fetch_optional,
        "update authorizations set description = coalesce($2, description), client_id = coalesce($3, client_id), updated_at = $4 where id = $1 returning id, user_id, description, scope, hint, session, by_password, client_id, refresh_hash is not null as refreshable, created_at, updated_at, expires_at",
        id,
        description,
        client_id,
        now
    )
}

/// Gives it another token, whose first moment is `row.updated_at`: the old one ends. Whether it
/// was there.
pub async fn set_token(c: &mut Conn, row: &Authorization, hash: &[u8]) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update authorizations set token_hash = $2, hint = $3, expires_at = $4, updated_at = $5 where id = $1",
        row.id,
        hash,
        &row.hint,
        row.expires_at,
        row.updated_at
    )? > 0)
}

/// The same, if this still is what it is renewed by.
pub async fn renew(c: &mut Conn, row: &Authorization, hash: &[u8], refresh_hash: &[u8]) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update authorizations set token_hash = $2, hint = $3, expires_at = $4, updated_at = $5 where id = $1 and refresh_hash = $6",
        row.id,
        hash,
        &row.hint,
        row.expires_at,
        row.updated_at,
        refresh_hash
    )? > 0)
}

/// Gives it another token to renew it by.
pub async fn set_refresh(c: &mut Conn, id: Uuid, hash: &[u8]) -> StoreResult<()> {
    execute!(c, "update authorizations set refresh_hash = $2 where id = $1", id, hash)?;
    Ok(())
}

/// Revokes one; whether it was there.
pub async fn delete(c: &mut Conn, user_id: Uuid, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from authorizations where user_id = $1 and id = $2", user_id, id)? > 0)
}

/// Ends all of a user's.
pub async fn delete_all(c: &mut Conn, user_id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from authorizations where user_id = $1", user_id)
}

/// Ends what came in by a user's password, but for `kept`: how many that were.
pub async fn delete_logins(c: &mut Conn, user_id: Uuid, kept: Option<Uuid>) -> StoreResult<u64> {
    let sql = "delete from authorizations where user_id = $1 and (session or by_password) and id <> $2";
    execute!(c, sql, user_id, kept.unwrap_or_default())
}
