//! How many dynos of which process type an app wants, and of which size.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// One process type of an app.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Formation {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// `web`, `worker` …
    pub process_type: String,
    /// How many dynos.
    pub quantity: i64,
    /// Their size, in lower case: `basic`.
    pub size: String,
    /// `start-first` or `stop-first`, where it differs from the rule (web starts first).
    pub strategy: Option<String>,
    /// Raised by a restart: dynos made under a lower one are replaced.
    pub epoch: i64,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// All of an app, by type.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Formation>> {
    rows!(c, Formation, fetch_all, "select * from formations where app_id = $1 order by process_type", app_id)
}

/// One type of an app.
pub async fn find(c: &mut Conn, app_id: Uuid, process_type: &str) -> StoreResult<Option<Formation>> {
    rows!(
        c,
        Formation,
        fetch_optional,
        "select * from formations where app_id = $1 and process_type = $2",
        app_id,
        process_type
    )
}

/// Adds one, or gives the one there its new quantity and size.
pub async fn put(c: &mut Conn, f: &Formation) -> StoreResult<()> {
    execute!(
        c,
        "insert into formations (id, app_id, process_type, quantity, size, strategy, epoch, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (app_id, process_type) do update set quantity = excluded.quantity, size = excluded.size, strategy = excluded.strategy, updated_at = excluded.updated_at",
        f.id,
        f.app_id,
        &f.process_type,
        f.quantity,
        &f.size,
        &f.strategy,
        f.epoch,
        f.created_at,
        f.updated_at
    )?;
    Ok(())
}

/// Raises the epoch of one type, or of all: their dynos are replaced.
pub async fn restart(c: &mut Conn, app_id: Uuid, process_type: Option<&str>, now: DateTime<Utc>) -> StoreResult<u64> {
    execute!(
        c,
        "update formations set epoch = epoch + 1, updated_at = $3 where app_id = $1 and ($2 is null or process_type = $2)",
        app_id,
        process_type,
        now
    )
}
