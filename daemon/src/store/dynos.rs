//! Dynos: one row for each container, from before it starts until after it is gone.

use chrono::{DateTime, Utc};
use paas_domain::{
    plan::{DynoKind, Phase},
    size::Size,
};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
    releases::Release,
};

/// A dyno. Kind, phase and the like are the planner's words in lower case.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
pub struct Dyno {
    /// Identity, also the container's label.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// `formation`, `oneoff` or `release`.
    pub kind: String,
    /// `web`, `worker`, `run`, `release` …
    pub process_type: String,
    /// The number in its name: 1 in `web.1`.
    pub number: i64,
    /// The release it runs.
    pub release_id: Uuid,
    /// That release's version.
    pub release_version: i64,
    /// Its size, in lower case.
    pub size: String,
    /// What it runs, as given to bash.
    pub command: String,
    /// The formation's epoch that it was made under.
    pub epoch: i64,
    /// Where it is in its life.
    pub phase: String,
    /// Since when.
    pub phase_at: DateTime<Utc>,
    /// When its row was made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
    /// When first seen running.
    pub started_at: Option<DateTime<Utc>>,
    /// When SIGTERM was sent.
    pub stop_at: Option<DateTime<Utc>>,
    /// Why.
    pub stop_reason: Option<String>,
    /// When SIGKILL was sent.
    pub killed_at: Option<DateTime<Utc>>,
    /// Why.
    pub kill_reason: Option<String>,
    /// What a user or the memory watch asks of it: `restart`, `stop`, `memory-vastly`.
    pub request: Option<String>,
    /// Crashes in a row of this name before it.
    pub crashes: i64,
    /// When a crashed one is started again.
    pub next_start_at: Option<DateTime<Utc>>,
    /// How its process ended.
    pub exit_code: Option<i64>,
    /// Seconds after which a one-off is stopped.
    pub time_to_live: Option<i64>,
    /// Somebody attaches to it.
    pub attach: bool,
    /// With a terminal.
    pub tty: bool,
    /// Extra environment of a one-off, sealed JSON. Never written elsewhere.
    #[serde(skip)]
    pub env: Option<Vec<u8>>,
    /// Who started a one-off.
    pub user_id: Option<Uuid>,
    /// Its address on the app's network, when known.
    pub address: Option<String>,
    /// It is in the router's table.
    pub routed: bool,
    /// When it was taken out of it.
    pub unrouted_at: Option<DateTime<Utc>>,
    /// Anything else that the reconciler wants to remember of it.
    #[serde(skip)]
    pub attributes: Json<serde_json::Value>,
}

impl Dyno {
    /// A new one of this release, to which nothing has happened yet: starting, of the usual size, and
    /// without a command.
    pub fn new(
        id: Uuid,
        release: &Release,
        kind: DynoKind,
        process_type: impl Into<String>,
        number: i64,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            app_id: release.app_id,
            kind: kind.to_string(),
            process_type: process_type.into(),
            number,
            release_id: release.id,
            release_version: release.version,
            size: Size::default().name().to_lowercase(),
            command: String::new(),
            epoch: 0,
            phase: Phase::Starting.to_string(),
            phase_at: now,
            created_at: now,
            updated_at: now,
            started_at: None,
            stop_at: None,
            stop_reason: None,
            killed_at: None,
            kill_reason: None,
            request: None,
            crashes: 0,
            next_start_at: None,
            exit_code: None,
            time_to_live: None,
            attach: false,
            tty: false,
            env: None,
            user_id: None,
            address: None,
            routed: false,
            unrouted_at: None,
            attributes: Json(json!({})),
        }
    }

    /// `web.1`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.process_type, self.number)
    }
}

/// Adds one.
pub async fn insert(c: &mut Conn, d: &Dyno) -> StoreResult<()> {
    execute!(
        c,
        "insert into dynos (id, app_id, kind, process_type, number, release_id, release_version, size, command, epoch, phase, phase_at, created_at, updated_at, started_at, stop_at, stop_reason, crashes, next_start_at, exit_code, time_to_live, attach, tty, env, user_id, address, attributes) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)",
        d.id,
        d.app_id,
        &d.kind,
        &d.process_type,
        d.number,
        d.release_id,
        d.release_version,
        &d.size,
        &d.command,
        d.epoch,
        &d.phase,
        d.phase_at,
        d.created_at,
        d.updated_at,
        d.started_at,
        d.stop_at,
        &d.stop_reason,
        d.crashes,
        d.next_start_at,
        d.exit_code,
        d.time_to_live,
        d.attach,
        d.tty,
        &d.env,
        d.user_id,
        &d.address,
        &d.attributes
    )?;
    Ok(())
}

/// Writes what changes in a dyno's life.
pub async fn update(c: &mut Conn, d: &Dyno) -> StoreResult<()> {
    execute!(
        c,
        "update dynos set phase = $2, phase_at = $3, updated_at = $4, started_at = $5, stop_at = $6, stop_reason = $7, crashes = $8, next_start_at = $9, exit_code = $10, address = $11, attributes = $12, killed_at = $13, kill_reason = $14, routed = $15, unrouted_at = $16 where id = $1",
        d.id,
        &d.phase,
        d.phase_at,
        d.updated_at,
        d.started_at,
        d.stop_at,
        &d.stop_reason,
        d.crashes,
        d.next_start_at,
        d.exit_code,
        &d.address,
        &d.attributes,
        d.killed_at,
        &d.kill_reason,
        d.routed,
        d.unrouted_at
    )?;
    Ok(())
}

/// All of an app, by type and number, older ones first.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Dyno>> {
    rows!(
        c,
        Dyno,
        fetch_all,
        "select * from dynos where app_id = $1 order by process_type, number, created_at, id",
        app_id
    )
}

/// All of all apps.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<Dyno>> {
    rows!(c, Dyno, fetch_all, "select * from dynos order by app_id, process_type, number, created_at, id")
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Dyno>> {
    rows!(c, Dyno, fetch_optional, "select * from dynos where id = $1", id)
}

/// Removes one.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from dynos where id = $1", id)?;
    Ok(())
}

/// Asks something of one: `restart`, `stop`, `memory-vastly`.
pub async fn request(c: &mut Conn, id: Uuid, what: &str, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update dynos set request = $2, updated_at = $3 where id = $1", id, what, now)?;
    Ok(())
}

/// Those in the router's table, of all apps.
pub async fn routed(c: &mut Conn) -> StoreResult<Vec<Dyno>> {
    rows!(c, Dyno, fetch_all, "select * from dynos where routed order by app_id, process_type, number, created_at, id")
}
