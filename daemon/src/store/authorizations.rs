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
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds one; `hash` is [`crate::secret::token_hash`] of the token.
pub async fn insert(c: &mut Conn, row: &Authorization, hash: &[u8]) -> StoreResult<()> {
    execute!(
        c,
        "insert into authorizations (id, user_id, token_hash, description, created_at, updated_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)",
        row.id,
        row.user_id,
        hash,
        &row.description,
        row.created_at,
        row.updated_at,
        row.expires_at
    )?;
    Ok(())
}

/// Whose token this is, if it is one and has not ended.
pub async fn user_of(c: &mut Conn, hash: &[u8], now: DateTime<Utc>) -> StoreResult<Option<(Uuid, User)>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        authorization_id: Uuid,
        expires_at: Option<DateTime<Utc>>,
        #[sqlx(flatten)]
        user: User,
    }
    let row = rows!(
        c,
        Row,
        fetch_optional,
        "select a.id as authorization_id, a.expires_at, u.* from authorizations a join users u on u.id = a.user_id where a.token_hash = $1",
        hash
    )?;
    Ok(row.filter(|row| row.expires_at.is_none_or(|at| at > now)).map(|row| (row.authorization_id, row.user)))
}

/// All of one user, oldest first.
pub async fn list(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<Authorization>> {
    rows!(
        c,
        Authorization,
        fetch_all,
        "select id, user_id, description, created_at, updated_at, expires_at from authorizations where user_id = $1 order by created_at, id",
        user_id
    )
}

/// One of a user's.
pub async fn find(c: &mut Conn, user_id: Uuid, id: Uuid) -> StoreResult<Option<Authorization>> {
    rows!(
        c,
        Authorization,
        fetch_optional,
        "select id, user_id, description, created_at, updated_at, expires_at from authorizations where user_id = $1 and id = $2",
        user_id,
        id
    )
}

/// Revokes one; whether it was there.
pub async fn delete(c: &mut Conn, user_id: Uuid, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from authorizations where user_id = $1 and id = $2", user_id, id)? > 0)
}
