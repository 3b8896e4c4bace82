//! Apps on their way from one account to another.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A transfer.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Transfer {
    /// Identity.
    pub id: Uuid,
    /// The app.
    pub app_id: Uuid,
    /// Whose it was when it was offered.
    pub owner_id: Uuid,
    /// Who is to have it.
    pub recipient_id: Uuid,
    /// `pending`, `accepted` or `declined`.
    pub state: String,
    /// When offered.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, row: &Transfer) -> StoreResult<()> {
    execute!(
        c,
        "insert into app_transfers (id, app_id, owner_id, recipient_id, state, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        row.id,
        row.app_id,
        row.owner_id,
        row.recipient_id,
        &row.state,
        row.created_at,
        row.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Transfer>> {
    rows!(c, Transfer, fetch_optional, "select * from app_transfers where id = $1", id)
}

/// Those that somebody gives or is to have, oldest first.
pub async fn of_user(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<Transfer>> {
    rows!(
        c,
        Transfer,
        fetch_all,
        "select t.* from app_transfers t join apps a on a.id = t.app_id where not a.deleting and (t.owner_id = $1 or t.recipient_id = $1) order by t.created_at, t.id",
        user_id
    )
}

/// The one of an app that is still to be answered.
pub async fn pending(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<Transfer>> {
    rows!(c, Transfer, fetch_optional, "select * from app_transfers where app_id = $1 and state = 'pending'", app_id)
}

/// The newest of an app.
pub async fn newest(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<Transfer>> {
    rows!(
        c,
        Transfer,
        fetch_optional,
        "select * from app_transfers where app_id = $1 order by created_at desc, id desc limit 1",
        app_id
    )
}

/// Says how it ended.
pub async fn set_state(c: &mut Conn, id: Uuid, state: &str, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update app_transfers set state = $2, updated_at = $3 where id = $1", id, state, now)?;
    Ok(())
}

/// Takes one back.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from app_transfers where id = $1", id)?;
    Ok(())
}

/// Takes back what is offered of an app: it has another owner now.
pub async fn withdraw(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from app_transfers where app_id = $1 and state = 'pending'", app_id)?;
    Ok(())
}
