//! Test runs, and the cases that they have told of.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A run of a commit's tests.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TestRun {
    /// Identity.
    pub id: Uuid,
    /// Its pipeline.
    pub pipeline_id: Uuid,
    /// Its number in the pipeline, from 1.
    pub number: i64,
    /// Who asked for it.
    pub user_id: Uuid,
    /// The app that it runs in, which goes with it.
    pub app_id: Uuid,
    /// How that is set up.
    pub setup_id: Uuid,
    /// Identity of its one node.
    pub node_id: Uuid,
    /// `pending`, `creating`, `building`, `running`, `debugging`, `succeeded`, `failed`,
    /// `errored`, `cancelled`.
    pub status: String,
    /// Why it did not come to an end.
    pub message: Option<String>,
    /// The branch.
    pub commit_branch: String,
    /// The commit's message.
    pub commit_message: String,
    /// The commit.
    pub commit_sha: String,
    /// Where its source came from, sealed.
    pub source_url: Vec<u8>,
    /// It stops before the tests, for somebody to look around.
    pub debug: bool,
    /// How the tests ended.
    pub exit_code: Option<i64>,
    /// When asked for.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, r: &TestRun) -> StoreResult<()> {
    execute!(
        c,
        "insert into test_runs (id, pipeline_id, number, user_id, app_id, setup_id, node_id, status, commit_branch, commit_message, commit_sha, source_url, debug, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        r.id,
        r.pipeline_id,
        r.number,
        r.user_id,
        r.app_id,
        r.setup_id,
        r.node_id,
        &r.status,
        &r.commit_branch,
        &r.commit_message,
        &r.commit_sha,
        &r.source_url,
        r.debug,
        r.created_at,
        r.updated_at
    )?;
    Ok(())
}

/// The number that comes after those of a pipeline.
pub async fn next_number(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<i64> {
    let (number,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select cast(coalesce(max(number), 0) + 1 as bigint) from test_runs where pipeline_id = $1",
        pipeline_id
    )?;
    Ok(number)
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<TestRun>> {
    rows!(c, TestRun, fetch_optional, "select * from test_runs where id = $1", id)
}

/// One of a pipeline's, by number.
pub async fn by_number(c: &mut Conn, pipeline_id: Uuid, number: i64) -> StoreResult<Option<TestRun>> {
    rows!(
        c,
        TestRun,
        fetch_optional,
        "select * from test_runs where pipeline_id = $1 and number = $2",
        pipeline_id,
        number
    )
}

/// Those of that number, of all pipelines.
pub async fn numbered(c: &mut Conn, number: i64) -> StoreResult<Vec<TestRun>> {
    rows!(c, TestRun, fetch_all, "select * from test_runs where number = $1 order by id", number)
}

/// That of a setup.
pub async fn of_setup(c: &mut Conn, setup_id: Uuid) -> StoreResult<Option<TestRun>> {
    rows!(c, TestRun, fetch_optional, "select * from test_runs where setup_id = $1", setup_id)
}

/// That of an app.
pub async fn of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<TestRun>> {
    rows!(c, TestRun, fetch_optional, "select * from test_runs where app_id = $1", app_id)
}

/// Those of a pipeline, by number.
pub async fn of_pipeline(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<Vec<TestRun>> {
    rows!(c, TestRun, fetch_all, "select * from test_runs where pipeline_id = $1 order by number", pipeline_id)
}

/// Writes how far one is that has not ended; whether it hadn't.
pub async fn set_status(
    c: &mut Conn,
    id: Uuid,
    status: &str,
    message: Option<&str>,
    exit_code: Option<i64>,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update test_runs set status = $2, message = coalesce($3, message), exit_code = $4, updated_at = $5 where id = $1 and status in ('pending', 'creating', 'building', 'running', 'debugging')",
        id,
        status,
        message,
        exit_code,
        now
    )? > 0)
}

/// A case that a run has told of.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TestCase {
    /// Identity.
    pub id: Uuid,
    /// Its run.
    pub test_run_id: Uuid,
    /// Its number in the run.
    pub number: i64,
    /// Whether it passed.
    pub passed: bool,
    /// What it is about.
    pub description: String,
    /// `SKIP …` or `TODO …`.
    pub directive: String,
    /// What was said about it.
    pub diagnostic: String,
    /// When it was told.
    pub created_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert_case(c: &mut Conn, t: &TestCase) -> StoreResult<()> {
    execute!(
        c,
        "insert into test_cases (id, test_run_id, number, passed, description, directive, diagnostic, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        t.id,
        t.test_run_id,
        t.number,
        t.passed,
        &t.description,
        &t.directive,
        &t.diagnostic,
        t.created_at
    )?;
    Ok(())
}

/// Those of a run, by number.
pub async fn cases(c: &mut Conn, run_id: Uuid) -> StoreResult<Vec<TestCase>> {
    rows!(c, TestCase, fetch_all, "select * from test_cases where test_run_id = $1 order by number, id", run_id)
}
