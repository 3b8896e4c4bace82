//! Programs that users let into their accounts, and the codes by which they come in.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A program.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Client {
    /// Identity.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Its name.
    pub name: String,
    /// Where its users are sent back to.
    pub redirect_uri: String,
    /// By which it proves itself, sealed.
    pub secret: Vec<u8>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// A code that a program trades for a token.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Grant {
    /// Identity.
    pub id: Uuid,
    /// Whose account it opens.
    pub user_id: Uuid,
    /// To which program.
    pub client_id: Uuid,
    /// The authorization that it becomes.
    pub authorization_id: Uuid,
    /// Of the authorization.
    pub description: String,
    /// Of the authorization.
    pub scope: String,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// When it was traded.
    pub used_at: Option<DateTime<Utc>>,
}

/// All of one user, oldest first.
pub async fn clients(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<Client>> {
    rows!(c, Client, fetch_all, "select * from oauth_clients where user_id = $1 order by created_at, id", user_id)
}

/// One, whosever it is.
pub async fn client(c: &mut Conn, id: Uuid) -> StoreResult<Option<Client>> {
    rows!(c, Client, fetch_optional, "select * from oauth_clients where id = $1", id)
}

/// Adds one.
pub async fn insert_client(c: &mut Conn, client: &Client) -> StoreResult<()> {
    execute!(
        c,
        "insert into oauth_clients (id, user_id, name, redirect_uri, secret, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        client.id,
        client.user_id,
        &client.name,
        &client.redirect_uri,
        &client.secret,
        client.created_at,
        client.updated_at
    )?;
    Ok(())
}

/// Changes name and address, where they are given: as it is then.
pub async fn update_client(
    c: &mut Conn,
    id: Uuid,
    name: Option<&str>,
    redirect_uri: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<Option<Client>> {
    rows!(
        c,
        Client,
        fetch_optional,
        "update oauth_clients set name = coalesce($2, name), redirect_uri = coalesce($3, redirect_uri), updated_at = $4 where id = $1 returning *",
        id,
        name,
        redirect_uri,
        now
    )
}

/// Gives it another secret: as it is then.
pub async fn set_secret(c: &mut Conn, id: Uuid, secret: &[u8], now: DateTime<Utc>) -> StoreResult<Option<Client>> {
    let sql = "update oauth_clients set secret = $2, updated_at = $3 where id = $1 returning *";
    rows!(c, Client, fetch_optional, sql, id, secret, now)
}

/// Removes one, with the tokens that it has.
pub async fn delete_client(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from oauth_clients where id = $1", id)? > 0)
}

/// Removes all of a user's, with the tokens that they have.
pub async fn delete_clients(c: &mut Conn, user_id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from oauth_clients where user_id = $1", user_id)
}

/// Adds a code; those that would have expired go.
pub async fn insert_grant(c: &mut Conn, grant: &Grant, hash: &[u8]) -> StoreResult<()> {
    execute!(c, "delete from oauth_grants where expires_at < $1", grant.created_at)?;
    execute!(
        c,
        "insert into oauth_grants (id, code_hash, user_id, client_id, authorization_id, description, scope, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        grant.id,
        hash,
        grant.user_id,
        grant.client_id,
        grant.authorization_id,
        &grant.description,
        &grant.scope,
        grant.created_at,
        grant.expires_at
    )?;
    Ok(())
}

/// What stands behind a code.
pub async fn grant(c: &mut Conn, hash: &[u8]) -> StoreResult<Option<Grant>> {
    rows!(
        c,
        Grant,
        fetch_optional,
        "select id, user_id, client_id, authorization_id, description, scope, created_at, expires_at, used_at from oauth_grants where code_hash = $1",
        hash
    )
}

/// Takes a code: whether it had not been taken.
pub async fn take_grant(c: &mut Conn, id: Uuid, now: DateTime<Utc>) -> StoreResult<bool> {
    Ok(execute!(c, "update oauth_grants set used_at = $2 where id = $1 and used_at is null", id, now)? > 0)
}

/// Takes back the codes of a user's that have not been traded.
pub async fn delete_grants(c: &mut Conn, user_id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from oauth_grants where user_id = $1 and used_at is null", user_id)
}
