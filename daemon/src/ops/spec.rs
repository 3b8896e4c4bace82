//! What a dyno's container is made of: image, slug, environment, limits.

use std::{collections::BTreeMap, path::PathBuf};

use paas_domain::size::Size;
use uuid::Uuid;

use super::{Platform, config, dynos, releases};
use crate::{
    engine::{DynoKind, DynoSpec, Limits, shell},
    error::{Error, Result},
    store::{self, apps::App, dynos::Dyno, releases::Release, slugs::Slug},
};

/// First of the ports that web dynos are told to listen on.
const FIRST_PORT: u128 = 10_000;

/// How many there are.
const PORTS: u128 = 50_000;

/// Heroku lets a dyno swap its way to twice its quota before it ends it (R15): the hard
/// limit is there, R14 tells of what is between, and the kernel's kills of what is beyond
/// (see [`crate::engine::Usage::oom_kills`]).
const VASTLY: u64 = 2;

/// What `PATH` begins as; buildpacks put their own directories before it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The port that a web dyno is told to listen on. Each dyno has an address of its own, so
/// ports need not differ; they do, as on Heroku, so that no app relies on one.
pub fn port(dyno: Uuid) -> u16 {
    u16::try_from(FIRST_PORT + dyno.as_u128() % PORTS).unwrap_or(u16::MAX)
}

/// Whether a dyno is told to listen on a port: web dynos, and one-offs never.
pub fn listens(dyno: &Dyno) -> bool {
    dyno.kind == "formation" && dyno.process_type == "web"
}

/// Everything needed to start a dyno, its slug unpacked.
pub async fn build(p: &Platform, app: &App, dyno: &Dyno) -> Result<DynoSpec> {
    let mut c = p.db.read().await?;
    let release = store::releases::by_id(&mut c, dyno.release_id)
        .await?
        .ok_or_else(|| Error::not_found("release", dyno.release_id.to_string()))?;
    let slug = releases::slug_of(&mut c, &release).await?;
    drop(c);
    let slug_dir: Option<PathBuf> = match &slug {
        Some(slug) => Some(
            p.slugs
                .ensure(slug.id, slug.sha256.as_deref().unwrap_or_default())
                .await
                .map_err(|e| Error::Conflict(e.to_string()))?,
        ),
        None => None,
    };
    let size = Size::parse(&dyno.size).unwrap_or_default();
    let env = environment(p, app, dyno, &release, slug.as_ref(), size)?;
    Ok(DynoSpec {
        id: dyno.id,
        app_id: app.id,
        app_name: app.name.clone(),
        name: dyno.name(),
        kind: match dyno.kind.as_str() {
            "formation" => DynoKind::Formation,
            "release" => DynoKind::Release,
            _ => DynoKind::OneOff,
        },
        release_version: release.version,
        image: p.cx.config().stack_image(&release.stack, false),
        slug_dir,
        env: env.into_iter().collect(),
        command: shell(&dyno.command),
        limits: Limits {
            memory_bytes: size.memory_bytes() * VASTLY,
            cpu_shares: size.cpu_shares(),
            cpu_millis: Some(size.cpu_millis()),
            pids: size.pids(),
        },
        labels: Vec::new(),
        tty: dyno.tty,
        stdin: dyno.attach,
        mounts: Vec::new(),
    })
}

/// The environment of a dyno: what the platform says can't be changed by config vars, but
/// for `PATH` and the memory figures, which an app may know better.
///
/// `WEB_CONCURRENCY` is not among it: how many processes fit depends on what one takes, which
/// the buildpacks' `.profile.d` scripts know. They go by `MEMORY_AVAILABLE`, and by the cgroup
/// (either version) where a dyno runs without us. A value of ours would look like the user's.
fn environment(
    p: &Platform,
    app: &App,
    dyno: &Dyno,
    release: &Release,
    slug: Option<&Slug>,
    size: Size,
) -> Result<BTreeMap<String, String>> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    env.insert("PATH".into(), PATH.into());
    for (key, value) in size.environment() {
        env.insert(key.to_owned(), value);
    }
    env.extend(config::of_release(p, release)?.merged());
    env.extend(dynos::own_env(p, dyno)?);
    let mut put = |key: &str, value: String| {
        env.insert(key.to_owned(), value);
    };
    put("HOME", "/app".into());
    put("PWD", "/app".into());
    put("DYNO", dyno.name());
    put("PS1", "\\[\\033[01;34m\\]\\w\\[\\033[00m\\] \\[\\033[01;32m\\]$ \\[\\033[00m\\]".into());
    if listens(dyno) {
        put("PORT", port(dyno.id).to_string());
    }
    put("HEROKU_APP_ID", app.id.to_string());
    put("HEROKU_APP_NAME", app.name.clone());
    put("HEROKU_APP_DEFAULT_DOMAIN_NAME", p.cx.config().app_host(&app.name));
    put("HEROKU_DYNO_ID", dyno.id.to_string());
    put("HEROKU_RELEASE_VERSION", format!("v{}", release.version));
    put("HEROKU_RELEASE_CREATED_AT", release.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    if let Some(slug) = slug {
        let description = slug.commit_description.clone().unwrap_or_else(|| release.description.clone());
        for (commit_key, description_key) in
            [("HEROKU_SLUG_COMMIT", "HEROKU_SLUG_DESCRIPTION"), ("HEROKU_BUILD_COMMIT", "HEROKU_BUILD_DESCRIPTION")]
        {
            if let Some(commit) = &slug.commit_id {
                put(commit_key, commit.clone());
            }
            put(description_key, description.clone());
        }
    }
    Ok(env)
}
