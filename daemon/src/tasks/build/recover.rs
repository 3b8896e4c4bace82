//! Ends what a daemon that was killed has left: builds that nobody runs, their containers and
//! their directories.

use std::time::Duration;

use uuid::Uuid;

use super::{Builder, LEASE, log::BuildLog};
use crate::{
    engine::Owned,
    error::{Error, Result},
    ops::{self, Platform},
    store::{
        builds::{self, Build},
        releases,
    },
};
use paas_buildpacks::output::Speak as _;

/// How long an upload may wait for its build.
const UPLOADS: Duration = Duration::from_secs(24 * 3600);

/// Why builds of an earlier run of the daemon have failed.
const RESTARTED: &str = "the platform was restarted while this was being built; push again";

/// Why a build of this run has failed that ended without a word.
const BROKE_OFF: &str = "the platform failed while this was being built, and its log says why; push again";

/// Clears up before the first build of this run.
pub(super) async fn at_start(builder: &Builder) -> Result<()> {
    let p = &builder.platform;
    containers(builder).await;
    lost(p, |_| false).await?;
    // A push that waited in the queue died with the daemon that held it.
    for build in builds::queued_git(&mut p.db.read().await?).await? {
        end(p, &build, RESTARTED).await?;
    }
    directories(p).await?;
    sources(p).await;
    crate::repos::clear(&p.cx);
    Ok(())
}

/// Forgets uploads that a day has passed over.
pub(super) async fn sources(p: &Platform) {
    let Ok(mut entries) = tokio::fs::read_dir(p.cx.path("sources")).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let age =
            entry.metadata().await.and_then(|meta| meta.modified()).map(|time| time.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > UPLOADS) {
            let _ = tokio::fs::remove_file(entry.path()).await;
        }
    }
}

/// Ends the builds that are under way by their rows and not `running`: one daemon uses a
/// database, so nobody builds them.
pub(super) async fn lost(p: &Platform, running: impl Fn(Uuid) -> bool) -> Result<()> {
    let pending = builds::pending(&mut p.db.read().await?).await?;
    for build in pending.iter().filter(|build| !running(build.id)) {
        let ours = build.lease_owner == Some(p.cx.run());
        end(p, build, if ours { BROKE_OFF } else { RESTARTED }).await?;
    }
    Ok(())
}

/// A build that nobody runs: what it came to, or why it failed.
async fn end(p: &Platform, build: &Build, text: &str) -> Result<()> {
    ops::builds::clear(p, build.id).await;
    let released = releases::by_slug(&mut p.db.read().await?, build.id).await?;
    if let Some(release) = released {
        ops::builds::finish(p, build, "succeeded", Some((build.id, release.id)), None).await?;
        return Ok(());
    }
    if build.status == "pending" {
        // Cut off in the middle of anything: a cache may be half written.
        if let Err(error) = ops::builds::empty_cache(p, build.app_id).await {
            tracing::warn!(build.id = %build.id, %error, "the cache of a lost build could not be emptied");
        }
    }
    let mut log = BuildLog::open(&ops::builds::output_path(p, build.id));
    log.append(b"\n");
    log.warning(&format!("Build failed: {text}."));
    drop(log);
    tracing::warn!(build.id = %build.id, reason = text, "a build was lost");
    ops::builds::finish(p, build, "failed", None, Some(text)).await?;
    Ok(())
}

async fn containers(builder: &Builder) {
    let engine = &builder.platform.engine;
    let owned = match engine.owned().await {
        Ok(owned) => owned,
        Err(error) => {
            tracing::warn!(%error, "the containers of lost builds could not be looked for");
            return;
        }
    };
    for one in owned.iter().filter(|one| matches!(one, Owned::Build { .. })) {
        if let Err(error) = engine.discard(one).await {
            tracing::warn!(%error, "the container of a lost build could not be removed");
        }
    }
}

/// Removes what is left in the directories of builds that have ended.
async fn directories(p: &Platform) -> Result<()> {
    let root = p.cx.path("builds");
    let failed = |e| Error::internal("The builds' directories can't be read.", e);
    tokio::fs::create_dir_all(&root).await.map_err(failed)?;
    let mut entries = tokio::fs::read_dir(&root).await.map_err(failed)?;
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) else { continue };
        match ops::builds::by_id(p, id).await? {
            Some(build) if matches!(build.status.as_str(), "queued" | "pending") => {}
            Some(_) => ops::builds::clear(p, id).await,
            None => {
                // Of an app that is gone, or of a push that had not asked yet.
                let old = entry.metadata().await.and_then(|meta| meta.modified());
                if old.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LEASE)) {
                    let path = entry.path();
                    let _ = tokio::task::spawn_blocking(move || paas_buildpacks::tree::remove(&path)).await;
                }
            }
        }
    }
    Ok(())
}
