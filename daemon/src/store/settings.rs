//! Small facts of the installation, by name.

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

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
