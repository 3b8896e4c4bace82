//! Logins that a command line has begun and a browser ends, and new passwords that are asked
//! for.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A login in a browser.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct BrowserLogin {
    /// Identity.
    pub id: Uuid,
    /// Where it was begun from.
    pub peer: String,
    /// Who asks, in their own words.
    pub description: String,
    /// `waiting`, `approved` or `denied`.
    pub state: String,
    /// Who has approved it.
    pub user_id: Option<Uuid>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Until when it may end well.
    pub expires_at: DateTime<Utc>,
}

/// Begins one; those whose time is over go.
pub async fn insert(c: &mut Conn, row: &BrowserLogin, page_hash: &[u8], token_hash: &[u8]) -> StoreResult<()> {
    execute!(c, "delete from browser_logins where expires_at < $1", row.created_at)?;
    execute!(
        c,
        "insert into browser_logins (id, peer, page_hash, token_hash, description, state, user_id, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        row.id,
        &row.peer,
        page_hash,
        token_hash,
        &row.description,
        &row.state,
        row.user_id,
        row.created_at,
        row.expires_at
    )?;
    Ok(())
}

/// Of those of one peer only so many stay, the newest.
pub async fn trim(c: &mut Conn, peer: &str, most: i64) -> StoreResult<()> {
    execute!(
        c,
        "delete from browser_logins where peer = $1 and state = 'waiting' and id not in (select id from browser_logins where peer = $1 order by created_at desc, id desc limit $2)",
        peer,
        most
    )?;
    Ok(())
}

/// How many are under way.
pub async fn count(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<i64> {
    let (count,): (i64,) =
        rows!(c, (i64,), fetch_one, "select count(*) from browser_logins where expires_at >= $1", now)?;
    Ok(count)
}

/// The one of a page.
pub async fn by_page(c: &mut Conn, hash: &[u8]) -> StoreResult<Option<BrowserLogin>> {
    rows!(
        c,
        BrowserLogin,
        fetch_optional,
        "select id, peer, description, state, user_id, created_at, expires_at from browser_logins where page_hash = $1",
        hash
    )
}

/// The one that waits with this token.
pub async fn by_token(c: &mut Conn, hash: &[u8]) -> StoreResult<Option<BrowserLogin>> {
    rows!(
        c,
        BrowserLogin,
        fetch_optional,
        "select id, peer, description, state, user_id, created_at, expires_at from browser_logins where token_hash = $1",
        hash
    )
}

/// Ends the waiting; whether it was waiting.
pub async fn decide(c: &mut Conn, id: Uuid, state: &str, user_id: Option<Uuid>) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update browser_logins set state = $2, user_id = $3 where id = $1 and state = 'waiting'",
        id,
        state,
        user_id
    )? > 0)
}

/// Takes it away; whether it was there.
pub async fn take(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from browser_logins where id = $1", id)? > 0)
}

/// Takes away those that a user has approved.
pub async fn delete_all(c: &mut Conn, user_id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from browser_logins where user_id = $1", user_id)
}

/// A new password has been asked for.
pub async fn ask_reset(c: &mut Conn, user_id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "insert into password_resets (user_id, asked_at) values ($1, $2) on conflict (user_id) do update set asked_at = excluded.asked_at",
        user_id,
        now
    )?;
    Ok(())
}

/// When a new password was last asked for.
pub async fn reset_asked(c: &mut Conn, user_id: Uuid) -> StoreResult<Option<DateTime<Utc>>> {
    let row: Option<(Option<DateTime<Utc>>,)> = rows!(
        c,
        (Option<DateTime<Utc>>,),
        fetch_optional,
        "select asked_at from password_resets where user_id = $1",
        user_id
    )?;
    Ok(row.and_then(|(at,)| at))
}

/// Makes out a token to set a new password by; an older one ends.
pub async fn set_reset(c: &mut Conn, user_id: Uuid, hash: &[u8], expires_at: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "insert into password_resets (user_id, token_hash, expires_at) values ($1, $2, $3) on conflict (user_id) do update set token_hash = excluded.token_hash, expires_at = excluded.expires_at",
        user_id,
        hash,
        expires_at
    )?;
    Ok(())
}

/// Whether there is such a token.
pub async fn is_reset(c: &mut Conn, hash: &[u8]) -> StoreResult<bool> {
    let row: Option<(Uuid,)> =
        rows!(c, (Uuid,), fetch_optional, "select user_id from password_resets where token_hash = $1", hash)?;
    Ok(row.is_some())
}

/// Takes away a user's, asked for or made out.
pub async fn delete_reset(c: &mut Conn, user_id: Uuid) -> StoreResult<u64> {
    execute!(c, "delete from password_resets where user_id = $1", user_id)
}

/// Takes such a token: whose it was, and until when it was good.
pub async fn take_reset(c: &mut Conn, hash: &[u8]) -> StoreResult<Option<(Uuid, Option<DateTime<Utc>>)>> {
    rows!(
        c,
        (Uuid, Option<DateTime<Utc>>),
        fetch_optional,
        "delete from password_resets where token_hash = $1 returning user_id, expires_at",
        hash
    )
}
