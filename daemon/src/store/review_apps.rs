//! The repositories of pipelines, how their review apps are made, and the review apps.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// The repository that a pipeline's branches come from.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Repo {
    /// Whose.
    pub pipeline_id: Uuid,
    /// Its number: what Heroku's clients know a repository by.
    pub number: i64,
    /// `owner/name`.
    pub full_name: String,
    /// Its address, sealed.
    pub url: Vec<u8>,
    /// The app of this server whose repository it is.
    pub app_id: Option<Uuid>,
    /// Who connected it, and must be allowed to fetch its code.
    pub user_id: Uuid,
    /// When connected.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// That of a pipeline.
pub async fn repo(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<Option<Repo>> {
    rows!(c, Repo, fetch_optional, "select * from pipeline_repos where pipeline_id = $1", pipeline_id)
}

/// Connects a pipeline, to another one too.
pub async fn put_repo(c: &mut Conn, r: &Repo) -> StoreResult<()> {
    execute!(
        c,
        "insert into pipeline_repos (pipeline_id, number, full_name, url, app_id, user_id, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (pipeline_id) do update set number = excluded.number, full_name = excluded.full_name, url = excluded.url, app_id = excluded.app_id, user_id = excluded.user_id, updated_at = excluded.updated_at",
        r.pipeline_id,
        r.number,
        &r.full_name,
        &r.url,
        r.app_id,
        r.user_id,
        r.created_at,
        r.updated_at
    )?;
    Ok(())
}

/// Disconnects; whether it was connected.
pub async fn delete_repo(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from pipeline_repos where pipeline_id = $1", pipeline_id)? > 0)
}

/// How a pipeline's review apps are made.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Config {
    /// Whose.
    pub pipeline_id: Uuid,
    /// Who switched it on.
    pub user_id: Uuid,
    /// Every branch gets one.
    pub automatic: bool,
    /// Those that nobody deploys go.
    pub destroy_stale: bool,
    /// After so many days.
    pub stale_days: i64,
    /// Not before its tests have passed.
    pub wait_for_ci: bool,
    /// What their names begin with.
    pub base_name: Option<String>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// That of a pipeline.
pub async fn config(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<Option<Config>> {
    rows!(c, Config, fetch_optional, "select * from review_app_configs where pipeline_id = $1", pipeline_id)
}

/// Those of all pipelines.
pub async fn configs(c: &mut Conn) -> StoreResult<Vec<Config>> {
    rows!(c, Config, fetch_all, "select * from review_app_configs order by pipeline_id")
}

/// Adds one.
pub async fn insert_config(c: &mut Conn, s: &Config) -> StoreResult<()> {
    execute!(
        c,
        "insert into review_app_configs (pipeline_id, automatic, destroy_stale, stale_days, wait_for_ci, base_name, created_at, updated_at, user_id) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        s.pipeline_id,
        s.automatic,
        s.destroy_stale,
        s.stale_days,
        s.wait_for_ci,
        &s.base_name,
        s.created_at,
        s.updated_at,
        s.user_id
    )?;
    Ok(())
}

/// Writes one.
pub async fn update_config(c: &mut Conn, s: &Config) -> StoreResult<()> {
    execute!(
        c,
        "update review_app_configs set automatic = $2, destroy_stale = $3, stale_days = $4, wait_for_ci = $5, base_name = $6, updated_at = $7, user_id = $8 where pipeline_id = $1",
        s.pipeline_id,
        s.automatic,
        s.destroy_stale,
        s.stale_days,
        s.wait_for_ci,
        &s.base_name,
        s.updated_at,
        s.user_id
    )?;
    Ok(())
}

/// A pipeline's review apps are made when they are asked for, no longer by themselves.
pub async fn by_hand_only(c: &mut Conn, pipeline_id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    let off = "update review_app_configs set automatic = $2, updated_at = $3 where pipeline_id = $1";
    execute!(c, off, pipeline_id, false, now)?;
    Ok(())
}

/// Removes one.
pub async fn delete_config(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from review_app_configs where pipeline_id = $1", pipeline_id)?;
    Ok(())
}

/// A review app.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ReviewApp {
    /// Identity.
    pub id: Uuid,
    /// Its pipeline.
    pub pipeline_id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// The app.
    pub app_id: Uuid,
    /// Its name when it was made.
    pub app_name: String,
    /// How it is set up.
    pub setup_id: Uuid,
    /// The branch it shows.
    pub branch: String,
    /// The number of the pull request.
    pub pr_number: Option<i64>,
    /// The fork that the branch is in.
    pub fork_repo_id: Option<i64>,
    /// It was to wait for its tests.
    pub wait_for_ci: bool,
    /// `pending`, `creating`, `created`, `deleting`, `deleted`, `errored`.
    pub status: String,
    /// At which status it went wrong.
    pub error_status: Option<String>,
    /// What went wrong.
    pub message: Option<String>,
    /// The dyno that runs the script before the app goes.
    pub script_id: Uuid,
    /// Its branch has gone from the repository; what comes under its name again is another.
    pub branch_gone: bool,
    /// When asked for.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, r: &ReviewApp) -> StoreResult<()> {
    execute!(
        c,
        "insert into review_apps (id, pipeline_id, user_id, app_id, app_name, setup_id, branch, pr_number, fork_repo_id, wait_for_ci, status, script_id, created_at, updated_at, branch_gone) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        r.id,
        r.pipeline_id,
        r.user_id,
        r.app_id,
        &r.app_name,
        r.setup_id,
        &r.branch,
        r.pr_number,
        r.fork_repo_id,
        r.wait_for_ci,
        &r.status,
        r.script_id,
        r.created_at,
        r.updated_at,
        r.branch_gone
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<ReviewApp>> {
    rows!(c, ReviewApp, fetch_optional, "select * from review_apps where id = $1", id)
}

/// That of an app.
pub async fn of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Option<ReviewApp>> {
    rows!(c, ReviewApp, fetch_optional, "select * from review_apps where app_id = $1", app_id)
}

/// Those of a pipeline, oldest first.
pub async fn of_pipeline(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<Vec<ReviewApp>> {
    rows!(
        c,
        ReviewApp,
        fetch_all,
        "select * from review_apps where pipeline_id = $1 order by created_at, id",
        pipeline_id
    )
}

/// Those that are there or come and go.
pub async fn live(c: &mut Conn) -> StoreResult<Vec<ReviewApp>> {
    rows!(c, ReviewApp, fetch_all, "select * from review_apps where status <> 'deleted' order by created_at, id")
}

/// Writes that the branch of one has gone.
pub async fn branch_gone(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "update review_apps set branch_gone = $2 where id = $1", id, true)?;
    Ok(())
}

/// How many apps the review apps of a pipeline have that don't go.
pub async fn count_with_app(c: &mut Conn, pipeline_id: Uuid) -> StoreResult<usize> {
    let (count,): (i64,) = rows!(
        c,
        (i64,),
        fetch_one,
        "select count(*) from review_apps r join apps a on a.id = r.app_id where r.pipeline_id = $1 and not a.deleting and r.status not in ('deleting', 'deleted')",
        pipeline_id
    )?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Writes how far one is; not of one that is gone. Whether it was there.
pub async fn set_status(
    c: &mut Conn,
    id: Uuid,
    status: &str,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update review_apps set status = $2, message = coalesce($3, message), updated_at = $4 where id = $1 and status <> 'deleted'",
        id,
        status,
        message,
        now
    )? > 0)
}

/// Follows a setup: only while the review app is on its way in.
pub async fn follow(
    c: &mut Conn,
    setup_id: Uuid,
    status: &str,
    failure: Option<&str>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    let error_status = failure.map(|_| "creating");
    execute!(
        c,
        "update review_apps set status = $2, error_status = $3, message = $4, updated_at = $5 where setup_id = $1 and status in ('pending', 'creating')",
        setup_id,
        status,
        error_status,
        failure,
        now
    )?;
    Ok(())
}
