//! The buildpacks that an app was told to use, in order.

use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// Addresses or names, in the order in which they run.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<String>> {
    let rows: Vec<(String,)> = rows!(
        c,
        (String,),
        fetch_all,
        "select url from buildpack_installations where app_id = $1 order by ordinal",
        app_id
    )?;
    Ok(rows.into_iter().map(|(url,)| url).collect())
}

/// Replaces them all.
pub async fn replace(c: &mut Conn, app_id: Uuid, urls: &[String]) -> StoreResult<()> {
    execute!(c, "delete from buildpack_installations where app_id = $1", app_id)?;
    for (ordinal, url) in (0i64..).zip(urls) {
        execute!(
            c,
            "insert into buildpack_installations (app_id, ordinal, url) values ($1, $2, $3)",
            app_id,
            ordinal,
            url
        )?;
    }
    Ok(())
}
