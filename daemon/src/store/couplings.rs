//! Which app is in which pipeline. An app is in one at most.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// An app in a pipeline.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Coupling {
    /// Identity.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline_id: Uuid,
    /// The app.
    pub app_id: Uuid,
    /// `test`, `review`, `development`, `staging`, `production`.
    pub stage: String,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
    /// The pipeline's name.
    pub pipeline_name: String,
    /// The app's name.
    pub app_name: String,
}

/// What a coupling is read with: names, and only apps that are not on their way out.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select c.*, p.name as pipeline_name, a.name as app_name from pipeline_couplings c join pipelines p on p.id = c.pipeline_id join apps a on a.id = c.app_id where not a.deleting ",
            $rest
        )
    };
}

/// Adds one.
pub async fn insert(c: &mut Conn, coupling: &Coupling) -> StoreResult<()> {
    execute!(
        c,
        "insert into pipeline_couplings (id, pipeline_id, app_id, stage, created_at, updated_at) values ($1, $2, $3, $4, $5, $6)",
        coupling.id,
        coupling.pipeline_id,
        coupling.app_id,
        &coupling.stage,
        coupling.created_at,
        coupling.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Coupling>> {
    rows!(c, Coupling, fetch_optional, select!("and c.id = $1"), id)
}

/// That of an app.
pub async fn of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<Coupling>> {
    rows!(c, Coupling, fetch_optional, select!("and c.app_id = $1"), app_id)
}

/// Those of a pipeline.
pub async fn of_pipeline(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<Vec<Coupling>> {
    rows!(c, Coupling, fetch_all, select!("and c.pipeline_id = $1 order by c.id"), pipeline_id)
}

/// All of all pipelines.
pub async fn list(c: &mut Conn) -> StoreResult<Vec<Coupling>> {
    rows!(c, Coupling, fetch_all, select!("order by c.id"))
}

/// Moves one to another stage; whether it is there.
pub async fn set_stage(c: &mut Conn, id: Uuid, stage: &str, now: DateTime<Utc>) -> StoreResult<bool> {
    Ok(execute!(c, "update pipeline_couplings set stage = $2, updated_at = $3 where id = $1", id, stage, now)? > 0)
}

/// Removes one; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from pipeline_couplings where id = $1", id)? > 0)
}
