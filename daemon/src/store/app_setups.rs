//! Apps that are made from an archive with an app.json.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// How far an app is on its way from an archive to an app that runs.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AppSetup {
    /// Identity.
    pub id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// The app; it may be gone meanwhile.
    pub app_id: Uuid,
    /// The name that it was made with.
    pub app_name: String,
    /// The environment of app.json that counts: none, `review`, `test`.
    pub environment: Option<String>,
    /// `pending`, `succeeded`, `failed`.
    pub status: String,
    /// What is to be done next: `source`, `configure`, `addons`, `build`, `release`, `script`,
    /// `done`.
    pub step: String,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// What is wrong with its app.json.
    pub manifest_errors: Json<Vec<String>>,
    /// Where the archive is, sealed.
    pub source_url: Vec<u8>,
    /// What its user calls it: a commit, mostly.
    pub source_version: Option<String>,
    /// `SHA256:` and hex digits that it must have.
    pub source_checksum: Option<String>,
    /// The place that it is brought to.
    pub source_id: Uuid,
    /// Variables and buildpacks that were given, sealed JSON.
    pub overrides: Vec<u8>,
    /// The text of app.json, once it has been read.
    pub manifest: Option<String>,
    /// The build that it makes.
    pub build_id: Uuid,
    /// The dyno that runs the script after the deploy, or the tests.
    pub script_id: Uuid,
    /// How that ended.
    pub exit_code: Option<i64>,
    /// What it said.
    pub output: Option<String>,
    /// Where its user goes when all is done.
    pub success_url: Option<String>,
    /// When asked for.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, s: &AppSetup) -> StoreResult<()> {
    execute!(
        c,
        "insert into app_setups (id, user_id, app_id, app_name, environment, status, step, manifest_errors, source_url, source_version, source_checksum, source_id, overrides, build_id, script_id, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        s.id,
        s.user_id,
        s.app_id,
        &s.app_name,
        &s.environment,
        &s.status,
        &s.step,
        &s.manifest_errors,
        &s.source_url,
        &s.source_version,
        &s.source_checksum,
        s.source_id,
        &s.overrides,
        s.build_id,
        s.script_id,
        s.created_at,
        s.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<AppSetup>> {
    rows!(c, AppSetup, fetch_optional, "select * from app_setups where id = $1", id)
}

/// Those under way, oldest first.
pub async fn pending(c: &mut Conn) -> StoreResult<Vec<AppSetup>> {
    rows!(c, AppSetup, fetch_all, "select * from app_setups where status = 'pending' order by created_at, id")
}

/// Writes all that changes, of one that is under way; whether it was.
pub async fn update(c: &mut Conn, s: &AppSetup) -> StoreResult<bool> {
    Ok(execute!(
        c,
        "update app_setups set status = $2, step = $3, failure_message = $4, manifest_errors = $5, manifest = $6, exit_code = $7, output = $8, success_url = $9, updated_at = $10, build_id = $11 where id = $1 and status = 'pending'",
        s.id,
        &s.status,
        &s.step,
        &s.failure_message,
        &s.manifest_errors,
        &s.manifest,
        s.exit_code,
        &s.output,
        &s.success_url,
        s.updated_at,
        s.build_id
    )? > 0)
}
