//! Pipelines, and their config vars by stage.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A pipeline.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Pipeline {
    /// Identity.
    pub id: Uuid,
    /// Unique among those of its owner.
    pub name: String,
    /// `user` or `team`.
    pub owner_type: String,
    /// Which of them.
    pub owner_id: Uuid,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, pipeline: &Pipeline) -> StoreResult<()> {
    execute!(
        c,
        "insert into pipelines (id, name, owner_type, owner_id, created_at, updated_at) values ($1, $2, $3, $4, $5, $6)",
        pipeline.id,
        &pipeline.name,
        &pipeline.owner_type,
        pipeline.owner_id,
        pipeline.created_at,
        pipeline.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Pipeline>> {
    rows!(c, Pipeline, fetch_optional, "select * from pipelines where id = $1", id)
}

/// All of that name, whosever they are.
pub async fn by_name(c: &mut Conn, name: &str) -> StoreResult<Vec<Pipeline>> {
    rows!(c, Pipeline, fetch_all, "select * from pipelines where name = $1 order by id", name)
}

/// All, by identity.
pub async fn list(c: &mut Conn) -> StoreResult<Vec<Pipeline>> {
    rows!(c, Pipeline, fetch_all, "select * from pipelines order by id")
}

/// How many a team has.
pub async fn count_of_team(c: &mut Conn, team_id: Uuid) -> StoreResult<i64> {
    let (count,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select count(*) from pipelines where owner_type = 'team' and owner_id = $1",
        team_id
    )?;
    Ok(count)
}

/// The names of those of an account.
pub async fn of_user(c: &mut Conn, user_id: Uuid) -> StoreResult<Vec<String>> {
    let rows: Vec<(String,)> = rows!(
        c,
        (String,),
        fetch_all,
        "select name from pipelines where owner_type = 'user' and owner_id = $1 order by name",
        user_id
    )?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Writes name and owner. The row is locked until the transaction ends. Whether it is there.
pub async fn update(c: &mut Conn, pipeline: &Pipeline) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update pipelines set name = $2, owner_type = $3, owner_id = $4, updated_at = $5 where id = $1",
        pipeline.id,
        &pipeline.name,
        &pipeline.owner_type,
        pipeline.owner_id,
        pipeline.updated_at
    )? > 0)
}

/// Locks the row until the transaction ends. Whether it is there.
pub async fn lock(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "update pipelines set updated_at = updated_at where id = $1", id)? > 0)
}

/// Removes one with its couplings, config vars and promotions; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from pipelines where id = $1", id)? > 0)
}

/// Whether a pipeline has neither apps nor a repository nor config vars.
pub async fn is_bare(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    let (things,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select (select count(*) from pipeline_couplings where pipeline_id = $1) + (select count(*) from pipeline_repos where pipeline_id = $1) + (select count(*) from pipeline_config_vars where pipeline_id = $1)",
        id
    )?;
    Ok(things == 0)
}

/// Keys and sealed values of a stage, by key.
pub async fn config(c: &mut Conn, id: Uuid, stage: &str) -> StoreResult<Vec<(String, Vec<u8>)>> {
    rows!(
        c,
        (String, Vec<u8>),
        fetch_all,
        "select key, value from pipeline_config_vars where pipeline_id = $1 and stage = $2 order by key",
        id,
        stage
    )
}

/// Sets a config var of a stage.
pub async fn set_config(c: &mut Conn, id: Uuid, stage: &str, key: &str, sealed: &[u8]) -> StoreResult<()> {
    execute!(
        c,
        "insert into pipeline_config_vars (pipeline_id, stage, key, value) values ($1, $2, $3, $4) on conflict (pipeline_id, stage, key) do update set value = excluded.value",
        id,
        stage,
        key,
        sealed
    )?;
    Ok(())
}

/// Removes a config var of a stage.
pub async fn unset_config(c: &mut Conn, id: Uuid, stage: &str, key: &str) -> StoreResult<()> {
    execute!(c, "delete from pipeline_config_vars where pipeline_id = $1 and stage = $2 and key = $3", id, stage, key)?;
    Ok(())
}
