//! App setups: from an archive with an app.json to an app that runs.
//!
//! A setup is a row with the step that is next. [`advance`](fn@advance) does one step, each
//! safe to repeat, so that a daemon that is killed anywhere goes on where it was; fetching the
//! archive is `tasks/setups`, which calls it. Review apps and test runs are setups too, with
//! another environment of app.json.
//!
//! One that fails before anything was built leaves no app behind; after that the app stays,
//! so that its build and its log can be looked at.

mod advance;
mod configure;

use std::collections::BTreeMap;

use paas_domain::{
    manifest::{LARGEST, Manifest},
    name::ConfigKey,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    apps::{self, sentence},
    builds::LONGEST_VERSION,
    check_length, sources, teams,
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        app_setups::{self, AppSetup},
        apps::App,
        builds::{self, Build},
        events::Event,
    },
};

pub use advance::{Next, advance, end, took};

/// The environment of app.json of review apps.
pub const REVIEW: &str = "review";
/// That of test runs.
pub const TEST: &str = "test";

/// What was said about an app beside its app.json.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// Config vars, before those of app.json.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Buildpacks in place of those of app.json.
    #[serde(default)]
    pub buildpacks: Option<Vec<String>>,
    /// Config vars that the platform sets: `HEROKU_BRANCH`.
    #[serde(default)]
    pub platform: BTreeMap<String, String>,
}

/// Where the source of a setup comes from.
#[derive(Debug, Clone)]
pub struct SourceBlob {
    /// An address, or one of [`super::sources`]'.
    pub url: String,
    /// What its user calls it.
    pub version: Option<String>,
    /// `SHA256:` and hex digits.
    pub checksum: Option<String>,
}

/// A setup and its build.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The setup.
    pub setup: AppSetup,
    /// Its build, once there is one.
    pub build: Option<Build>,
}

/// The app of a setup.
#[derive(Debug, Clone, Default)]
pub struct NewApp {
    /// Its name; one is made up where none is given.
    pub name: Option<String>,
    /// Its stack.
    pub stack: Option<String>,
    /// The team that it belongs to, by name or identity.
    pub team: Option<String>,
    /// Members of the team can't join it by themselves.
    pub locked: bool,
}

/// Makes an app and its setup, which goes on by itself.
pub async fn create(
    p: &Platform,
    actor: &Actor,
    wanted: NewApp,
    blob: SourceBlob,
    overrides: Overrides,
) -> Result<Shown> {
    let blob = check_source(p, blob)?;
    check(&overrides)?;
    let new = apps::New {
        name: wanted.name.as_deref(),
        stack: wanted.stack.as_deref(),
        locked: wanted.locked,
        ..apps::New::default()
    };
    let team = wanted.team.as_deref();
    let team = teams::team_of_new(p, actor, team, team.is_none(), wanted.locked).await?;
    let (mut change, app) = apps::begin_for(p, actor, apps::New { team, ..new }).await?;
    let setup = row(p, actor, &app, None, blob, &overrides)?;
    app_setups::insert(&mut change, &setup).await?;
    let event = json!({"id": setup.id, "app": app.name, "environment": setup.environment});
    p.commit(change, Event::new("app-setup.create", actor.name(), event)).await?;
    p.tell(app.id, apps::first_words(actor));
    Ok(Shown { setup, build: None })
}

/// The row of a setup that is about to begin.
pub(super) fn row(
    p: &Platform,
    actor: &Actor,
    app: &App,
    environment: Option<&str>,
    blob: SourceBlob,
    overrides: &Overrides,
) -> Result<AppSetup> {
    let now = p.cx.now();
    let id = new_id();
    let text =
        serde_json::to_vec(overrides).map_err(|e| Error::internal("The setup's overrides could not be kept.", e))?;
    Ok(AppSetup {
        id,
        user_id: actor.user.id,
        app_id: app.id,
        app_name: app.name.clone(),
        environment: environment.map(str::to_owned),
        status: "pending".into(),
        step: "source".into(),
        failure_message: None,
        manifest_errors: Json(Vec::new()),
        source_url: p.cx.sealer().seal(&source_place(id), blob.url.as_bytes()),
        source_version: blob.version,
        source_checksum: blob.checksum,
        // Not rising with time: it becomes an address.
        source_id: Uuid::new_v4(),
        overrides: p.cx.sealer().seal(&place(id), &text),
        manifest: None,
        build_id: new_id(),
        script_id: new_id(),
        exit_code: None,
        output: None,
        success_url: None,
        created_at: now,
        updated_at: now,
    })
}

fn place(id: Uuid) -> String {
    format!("app-setup/{id}")
}

fn source_place(id: Uuid) -> String {
    format!("app-setup/{id}/source")
}

/// Where the source of a setup comes from: an address that may be a key, or a branch of a
/// pipeline's repository.
pub fn source_url(p: &Platform, setup: &AppSetup) -> Result<String> {
    let unreadable = "The setup's source can't be read.";
    let text = p.cx.sealer().open(&source_place(setup.id), &setup.source_url);
    let text = text.map_err(|e| Error::internal(unreadable, e))?;
    String::from_utf8(text).map_err(|e| Error::internal(unreadable, e))
}

fn overrides(p: &Platform, setup: &AppSetup) -> Result<Overrides> {
    let unreadable = "The setup's overrides can't be read.";
    let text = p.cx.sealer().open(&place(setup.id), &setup.overrides).map_err(|e| Error::internal(unreadable, e))?;
    serde_json::from_slice(&text).map_err(|e| Error::internal(unreadable, e))
}

/// Whether an archive can be fetched from there at all; gives it as it is kept.
pub fn check_source(p: &Platform, blob: SourceBlob) -> Result<SourceBlob> {
    let http = blob.url.starts_with("https://") || blob.url.starts_with("http://");
    if !http || blob.url.len() > 8192 || blob.url.chars().any(char::is_control) {
        return Err(Error::invalid(
            "source_blob.url: the http(s) address of a tar archive is needed; POST /sources gives one to upload to.",
        ));
    }
    check_length("source_blob.version", blob.version.as_deref(), LONGEST_VERSION)?;
    if blob.checksum.as_deref().is_some_and(|sum| checksum(sum).is_none()) {
        return Err(Error::invalid("source_blob.checksum: must be SHA256: and 64 hexadecimal digits."));
    }
    Ok(SourceBlob { url: sources::given(p, &blob.url)?, ..blob })
}

/// The digits of a checksum, in lower case.
pub fn checksum(text: &str) -> Option<String> {
    let (kind, digits) = text.split_once(':')?;
    let good = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (kind.eq_ignore_ascii_case("sha256") && good).then(|| digits.to_ascii_lowercase())
}

/// Whether overrides can be used.
pub(super) fn check(overrides: &Overrides) -> Result<()> {
    for (key, value) in &overrides.env {
        ConfigKey::parse(key).map_err(|e| Error::invalid(sentence(&e)))?;
        if value.contains('\0') {
            return Err(Error::invalid(format!("The value of {key} has a NUL byte, which no environment can carry.")));
        }
    }
    if let Some(packs) = &overrides.buildpacks {
        super::builds::check_packs(packs)?;
    }
    Ok(())
}

/// One, for who asked for it, works on its app, or administers the server.
pub async fn find(p: &Platform, actor: &Actor, id: &str) -> Result<Shown> {
    let missing = || Error::not_found("app_setup", id);
    let parsed: Uuid = id.parse().map_err(|_| missing())?;
    let setup = app_setups::by_id(&mut p.db.read().await?, parsed).await?.ok_or_else(missing)?;
    if setup.user_id != actor.user.id && !actor.user.admin {
        apps::find_for(p, actor, &setup.app_id.to_string(), apps::Permission::View).await.map_err(|_| missing())?;
    }
    shown(p, setup).await
}

/// Adds the build.
pub async fn shown(p: &Platform, setup: AppSetup) -> Result<Shown> {
    let build = builds::by_id(&mut p.db.read().await?, setup.build_id).await?;
    Ok(Shown { setup, build })
}

/// Those under way.
pub async fn pending(p: &Platform) -> Result<Vec<AppSetup>> {
    Ok(app_setups::pending(&mut p.db.read().await?).await?)
}

/// What an app.json says for a setup.
fn manifest(setup: &AppSetup) -> Result<Manifest> {
    let text = setup.manifest.as_deref().unwrap_or("{}");
    let parsed = Manifest::parse(text.as_bytes()).map_err(|e| Error::invalid(sentence(&e)))?;
    let environment = setup.environment.as_deref();
    Ok(environment.map_or_else(|| parsed.manifest.clone(), |name| parsed.manifest.for_environment(name)))
}

/// The most bytes of an app.json that are of use; one more shows that it is too large.
pub const MOST: u64 = LARGEST as u64 + 1;
