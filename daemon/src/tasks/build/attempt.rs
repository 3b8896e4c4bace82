//! One build, from source to release.

use std::{path::Path, pin::pin, time::Duration};

use paas_buildpacks::{
    build::{self, BuildError, Outcome, Request, Submodule},
    output::{Output as _, Speak as _, human_size},
    sandbox::{CancellationToken, Limits},
};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Builder,
    log::{BuildLog, Voice},
    source,
};
use crate::{
    error::{Error, Result},
    ops::{self, Actor, Platform},
    slugs::{self, Packed, SlugError},
    store::{
        apps::{self, App},
        builds::Build,
        slugs::Slug,
        users,
    },
};

/// From here on boots are slow: Heroku's soft limit.
const LARGE_SLUG: u64 = 300 << 20;
/// Time that packing has at least, whatever is left of the build's own.
const PACKING: Duration = Duration::from_secs(60);
/// Processes and threads of a build.
pub(in crate::tasks) const PIDS: u64 = 2048;
/// Who programs in containers run as.
const USER: (u32, u32) = (slugs::OWNER, slugs::OWNER);

/// Why a build made no release.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A reason that the output does not tell yet, or (`told`) does.
    #[error("{text}")]
    Reason {
        /// A sentence without a full stop.
        text: String,
        /// Whether the output tells it.
        told: bool,
    },
    /// A user ended it.
    #[error("the build was cancelled")]
    Cancelled,
}

impl Failure {
    /// A reason that is still to be told.
    pub(super) fn said(text: impl Into<String>) -> Self {
        Self::Reason { text: text.into(), told: false }
    }

    /// Whether the output tells it.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::Reason { told: true, .. })
    }

    fn of_us(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        Self::said(format!("{what}: {error}").trim_end_matches('.'))
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::said(text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Internal { source, .. } = &error {
            tracing::error!(%error, %source, "a build failed");
        }
        Self::said(error.to_string().trim_end_matches('.'))
    }
}

impl From<ops::disk::Scarce> for Failure {
    fn from(error: ops::disk::Scarce) -> Self {
        Self::said(error.to_string())
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<SlugError> for Failure {
    fn from(error: SlugError) -> Self {
        Self::said(error.to_string().trim_end_matches('.'))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Rejected(text) => Self::Reason { text, told: true },
            BuildError::Cancelled => Self::Cancelled,
            BuildError::Sandbox(error) => Self::of_us(ops::builds::NO_ENGINE, &error),
            BuildError::Io(error) => Self::of_us("the build's files could not be kept", &error),
            BuildError::TimedOut(_) | BuildError::OutOfMemory(_) | BuildError::DiskFull(_) => {
                Self::said(error.to_string())
            }
        }
    }
}

/// Runs one build; gives the slug and the release.
pub(super) async fn attempt(
    builder: &Builder,
    build: &Build,
    cancel: &CancellationToken,
    log: &mut BuildLog,
) -> Result<(Uuid, Uuid), Failure> {
    let p = &builder.platform;
    let begun = p.cx.now();
    let (app, actor) = whose(p, build).await?;
    ops::disk::enough(&p.cx)?;
    let config_vars = ops::config::get(p, &app).await?;
    let request = request(builder, build, &app, cancel, config_vars).await?;
    if build.source_kind == "tarball" {
        source::bring(builder, build, &request, log).await?;
    }
    let outcome = build::build(builder.sandbox.as_ref(), &builder.packs, &request, log).await?;
    log.platform();
    let spent = (p.cx.now() - begun).to_std().unwrap_or_default();
    let left = request.limits.time.saturating_sub(spent).max(PACKING);
    let packed = compress(builder, &outcome, cancel, left, log).await?;
    let first = app.slug_size.is_none();
    let launched = match cancel.is_cancelled() {
        true => Err(Failure::Cancelled),
        false => {
            Voice(log).heading("Launching...");
            launch(builder, build, &app, &actor, &outcome, &packed).await
        }
    };
    let release = match launched {
        Ok(release) => release,
        Err(failure) => {
            forget(builder, build.id, &packed.blob.sha256).await;
            let cancelled = matches!(ops::builds::by_id(p, build.id).await, Ok(Some(row)) if row.cancel_requested);
            return Err(if cancelled { Failure::Cancelled } else { failure });
        }
    };
    if release.status == "pending" {
        Voice(log)
            .warning("Release command declared: this new release will not be available until the command succeeds.");
    }
    Voice(log).detail(&format!("Released v{}", release.version));
    if first {
        add_addons(p, &actor, &app, &outcome.addons, log).await;
    }
    Voice(log).detail(&format!("{} deployed to paas", p.cx.config().web_url(&app.name)));
    log.write(b"\n");
    Ok((build.id, release.id))
}

async fn whose(p: &Platform, build: &Build) -> Result<(App, Actor), Failure> {
    let mut c = p.db.read().await?;
    let app = apps::by_id(&mut c, build.app_id).await?.filter(|app| !app.deleting);
    let app = app.ok_or_else(|| Failure::said("the app is gone"))?;
    let user = users::present(&mut c, build.user_id).await?;
    let user = user.ok_or_else(|| Failure::said("the account that asked for the build is gone"))?;
    Ok((app, Actor { user, authorization_id: None }))
}

async fn request(
    builder: &Builder,
    build: &Build,
    app: &App,
    cancel: &CancellationToken,
    config_vars: std::collections::BTreeMap<String, String>,
) -> Result<Request, Failure> {
    let p = &builder.platform;
    let config = p.cx.config();
    let directory = ops::builds::directory(p, build.id);
    let labels =
        [("paas.app", app.name.clone()), ("paas.app-id", app.id.to_string()), ("paas.build", build.id.to_string())];
    Ok(Request {
        id: build.id.to_string(),
        submodules: submodules(&directory).await?,
        directory,
        cache: p.cx.path("cache").join(app.id.to_string()),
        stack: build.stack.clone(),
        image: config.stack_image(&build.stack, true),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        buildpacks: build.buildpacks.0.clone(),
        config_vars,
        tests: ops::test_runs::is_for_tests(p, app.id).await?.then(|| ops::test_runs::PACK.to_owned()),
        source_version: build.source_version.clone().unwrap_or_default(),
        env: config.build_env(),
        mounts: Vec::new(),
        owner: USER,
        limits: Limits {
            memory_bytes: config.build_memory_mib << 20,
            cpus: config.build_cpus,
            pids: PIDS,
            time: Duration::from_secs(config.build_timeout_s),
            disk_bytes: config.build_disk_mib << 20,
        },
        cancel: cancel.clone(),
    })
}

async fn submodules(directory: &Path) -> Result<Vec<Submodule>, Failure> {
    let bytes = match tokio::fs::read(directory.join(ops::builds::SUBMODULES)).await {
        Ok(bytes) => bytes,
        Err(_) => return Ok(Vec::new()),
    };
    let stored: Vec<ops::builds::StoredSubmodule> =
        serde_json::from_slice(&bytes).map_err(|e| Failure::of_us("the list of submodules can't be read", &e))?;
    Ok(stored.into_iter().map(|m| Submodule { path: m.path, url: m.url, commit: m.commit }).collect())
}

async fn compress(
    builder: &Builder,
    outcome: &Outcome,
    cancel: &CancellationToken,
    left: Duration,
    log: &mut BuildLog,
) -> Result<Packed, Failure> {
    Voice(log).heading("Compressing...");
    let stop = cancel.child_token();
    let store = builder.platform.slug_store.as_ref();
    let mut packing = pin!(slugs::pack_within(store, &outcome.slug, slugs::Most::default(), &stop));
    let packed = tokio::select! {
        packed = &mut packing => packed,
        () = tokio::time::sleep(left) => {
            stop.cancel();
            packing.await
        }
    };
    let packed = match packed {
        Err(SlugError::Stopped) if cancel.is_cancelled() => return Err(Failure::Cancelled),
        Err(SlugError::Stopped) => {
            return Err(Failure::said("compressing the slug took longer than the build had left (PAAS_BUILD_TIMEOUT)"));
        }
        Err(problem @ SlugError::TooLarge { .. }) => {
            let text = problem.to_string();
            Voice(log).warning(&text);
            return Err(Failure::Reason { text: text.trim_end_matches('.').to_owned(), told: true });
        }
        packed => packed?,
    };
    let size = packed.blob.size;
    Voice(log).detail(&format!("Done: {}", human_size(size)));
    if size > LARGE_SLUG {
        Voice(log).warning(&format!(
            "Your slug size ({}) exceeds the soft limit ({}), which may slow boots. Leave out what the app does not need: .slugignore.",
            human_size(size),
            human_size(LARGE_SLUG)
        ));
    }
    Ok(packed)
}

/// Removes what a build has made that led to no release.
async fn forget(builder: &Builder, build: Uuid, sha256: &str) {
    if let Err(error) = builder.platform.slugs.evict(build, async { false }).await {
        tracing::warn!(%error, "the directory of a build that failed could not be removed");
    }
    let used = async {
        let mut c = builder.platform.db.read().await?;
        crate::store::slugs::count_of_sha256(&mut c, sha256).await
    };
    if matches!(used.await, Ok(0))
        && let Err(error) = builder.platform.slug_store.remove(sha256).await
    {
        tracing::warn!(%error, "the blob of a build that failed could not be removed");
    }
}

/// The slug's row and the release. The slug has the build's identity, so that a daemon that is
/// killed right after this finds what the build came to.
async fn launch(
    builder: &Builder,
    build: &Build,
    app: &App,
    actor: &Actor,
    outcome: &Outcome,
    packed: &Packed,
) -> Result<crate::store::releases::Release, Failure> {
    let p = &builder.platform;
    let now = p.cx.now();
    let slug = Slug {
        id: build.id,
        app_id: app.id,
        sha256: Some(packed.blob.sha256.clone()),
        size: i64::try_from(packed.blob.size).ok(),
        commit_id: build.source_version.clone(),
        commit_description: build.source_description.clone(),
        buildpack_description: Some(outcome.description.clone()).filter(|text| !text.is_empty()),
        process_types: Json(outcome.process_types.clone()),
        stack: build.stack.clone(),
        created_at: now,
        updated_at: now,
    };
    // Before the release: whoever starts its dynos finds the tree unpacked.
    p.slugs.adopt(slug.id, &outcome.slug).await?;
    let description = match build.source_version.as_deref().map(|version| version.chars().take(8).collect::<String>()) {
        Some(short) if !short.is_empty() => format!("Deploy {short}"),
        Some(_) | None => "Deploy".to_owned(),
    };
    Ok(ops::releases::deploy_build(p, actor, app, &slug, &outcome.config_vars, &description).await?)
}

/// What buildpacks want for an app's first release, as far as there is such a service here.
async fn add_addons(p: &Platform, actor: &Actor, app: &App, wanted: &[String], log: &mut BuildLog) {
    for service in wanted {
        match ops::addons::create(p, actor, app, ops::addons::New { plan: service, ..Default::default() }).await {
            Ok(shown) => Voice(log).detail(&format!("Add-on {} created ({service})", shown.addon.name)),
            Err(error) => Voice(log).detail(&format!("The buildpack asks for the add-on {service}: {error}")),
        }
    }
}
