//! Small facts of the installation, by name.

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// The identity of the installation that the database belongs to: see [`super::instance`].
pub const INSTANCE: &str = "instance";

/// The value of a setting.
pub async fn get(c: &mut Conn, name: &str) -> StoreResult<Option<String>> {
    let row: Option<(String,)> =
        rows!(c, (String,), fetch_optional, "select value from settings where name = $1", name)?;
    Ok(row.map(|(value,)| value))
}

/// Sets it, whatever it was.
pub async fn set(c: &mut Conn, name: &str, value: &str) -> StoreResult<()> {
    execute!(
        c,
        "insert into settings (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
        name,
        value
    )?;
    Ok(())
}

/// Sets it unless it is set, and gives what it is now.
pub async fn set_once(c: &mut Conn, name: &str, value: &str) -> StoreResult<String> {
    execute!(c, "insert into settings (name, value) values ($1, $2) on conflict (name) do nothing", name, value)?;
    let (value,): (String,) = rows!(c, (String,), fetch_one, "select value from settings where name = $1", name)?;
    Ok(value)
}
