//! What accounts have besides their name.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// Of one account; those that never set anything have no row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Profile {
    /// Whose.
    pub user_id: Uuid,
    /// Third parties may follow it; kept, and asked by nobody here.
    pub allow_tracking: bool,
    /// Takes part in what is not finished.
    pub beta: bool,
    /// What clients remember.
    pub preferences: Json<serde_json::Value>,
    /// When it last logged in with its password.
    pub last_login: Option<DateTime<Utc>>,
}

impl Profile {
    /// Of an account that never set anything.
    pub fn new(user_id: Uuid) -> Self {
        Self { user_id, allow_tracking: false, beta: false, preferences: Json(serde_json::json!({})), last_login: None }
    }
}

/// Of one account.
pub async fn find(c: &mut Conn, user_id: Uuid) -> StoreResult<Option<Profile>> {
    rows!(c, Profile, fetch_optional, "select * from profiles where user_id = $1", user_id)
}

/// Sets what one can say yes or no to.
pub async fn set_flags(c: &mut Conn, user_id: Uuid, allow_tracking: bool, beta: bool) -> StoreResult<()> {
    execute!(
        c,
        "insert into profiles (user_id, allow_tracking, beta, preferences) values ($1, $2, $3, $4) on conflict (user_id) do update set allow_tracking = excluded.allow_tracking, beta = excluded.beta",
        user_id,
        allow_tracking,
        beta,
        Json(serde_json::json!({}))
    )?;
    Ok(())
}

/// Sets what clients remember.
pub async fn set_preferences(c: &mut Conn, user_id: Uuid, preferences: &serde_json::Value) -> StoreResult<()> {
    execute!(
        c,
        "insert into profiles (user_id, preferences) values ($1, $2) on conflict (user_id) do update set preferences = excluded.preferences",
        user_id,
        Json(preferences)
    )?;
    Ok(())
}

/// Nothing is set any more.
pub async fn delete(c: &mut Conn, user_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from profiles where user_id = $1", user_id)?;
    Ok(())
}

/// It has just logged in.
pub async fn logged_in(c: &mut Conn, user_id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    let empty = Json(serde_json::json!({}));
    execute!(
        c,
        "insert into profiles (user_id, preferences, last_login) values ($1, $2, $3) on conflict (user_id) do update set last_login = excluded.last_login",
        user_id,
        empty,
        now
    )?;
    Ok(())
}
