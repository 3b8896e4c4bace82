//! Config vars, sealed.

use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// Keys and sealed values of an app, by key.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<(String, Vec<u8>)>> {
    rows!(c, (String, Vec<u8>), fetch_all, "select key, value from config_vars where app_id = $1 order by key", app_id)
}

/// Sets one.
pub async fn set(c: &mut Conn, app_id: Uuid, key: &str, sealed: &[u8]) -> StoreResult<()> {
    execute!(
        c,
        "insert into config_vars (app_id, key, value) values ($1, $2, $3) on conflict (app_id, key) do update set value = excluded.value",
        app_id,
        key,
        sealed
    )?;
    Ok(())
}

/// Removes one; whether it was there.
pub async fn unset(c: &mut Conn, app_id: Uuid, key: &str) -> StoreResult<bool> {
    Ok(execute!(c, "delete from config_vars where app_id = $1 and key = $2", app_id, key)? > 0)
}

/// Removes all of an app.
pub async fn clear(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from config_vars where app_id = $1", app_id)?;
    Ok(())
}
