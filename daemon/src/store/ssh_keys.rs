//! SSH keys of accounts.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A public key.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SshKey {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// In one line, as in its file.
    pub public_key: String,
    /// What stands behind it.
    pub comment: String,
    /// MD5, pairs of digits with colons between.
    pub fingerprint: String,
    /// When added.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// All of one user, oldest first.
pub async fn list(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<SshKey>> {
    rows!(c, SshKey, fetch_all, "select * from ssh_keys where user_id = $1 order by created_at, id", user_id)
}

/// Adds one; a key belongs to one account only.
pub async fn insert(c: &mut Conn, key: &SshKey) -> StoreResult<()> {
    execute!(
        c,
        "insert into ssh_keys (id, user_id, public_key, comment, fingerprint, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        key.id,
        key.user_id,
        &key.public_key,
        &key.comment,
        &key.fingerprint,
        key.created_at,
        key.updated_at
    )?;
    Ok(())
}

/// Removes one; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from ssh_keys where id = $1", id)? > 0)
}

/// Removes all of a user's.
pub async fn delete_all(c: &mut Conn, user_id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from ssh_keys where user_id = $1", user_id)
}
