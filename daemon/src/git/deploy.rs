//! A pushed commit becomes a build, whose output goes to the pusher, and a release.

use std::io;

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::{
    hook::{Pushed, TEXT, Update},
    phase,
    plan::short,
    push::{Push, Pusher},
    refs,
    tree::{self, Room, TreeError},
};
use crate::{
    context::new_id,
    ops::{Platform, builds, disk},
    store::builds::Build,
};

/// Most MiB that a source may take, whatever a build may fill.
const LARGEST_SOURCE: u64 = 4096;

/// Builds and releases a commit; whether it was released. `Err` is why there is no build, for
/// the pusher. Whoever calls has the app's turn.
pub(super) async fn deploy(
    p: &Platform,
    push: &Push,
    pushed: &Pushed,
    update: &Update,
    pusher: &mut Pusher,
) -> Result<bool, String> {
    let id = new_id();
    let build = match queue(p, push, pushed, update, id).await {
        Ok(build) => build,
        Err(text) => {
            let directory = builds::directory(p, id);
            let removed = tokio::task::spawn_blocking(move || paas_buildpacks::tree::remove(&directory)).await;
            if let Err(error) = removed.map_err(io::Error::other).and_then(|done| done) {
                tracing::warn!(build.id = %id, %error, "the directory of a build that never was can't be removed");
            }
            return Err(text);
        }
    };
    pusher.say("Compressing source files... done.\nBuilding source:\n\n").await;
    if let Ok(ahead @ 1..) = builds::ahead(p, &build).await {
        pusher
            .say(&format!("-----> Waiting for {ahead} other build{} to end\n", if ahead == 1 { "" } else { "s" }))
            .await;
    }
    let mut output = std::pin::pin!(builds::output(p, build.id, 0));
    while let Some(piece) = output.next().await {
        match piece {
            Ok(piece) => pusher.record(TEXT, &piece).await,
            Err(error) => {
                tracing::warn!(%error, "a build's output can't be read");
                break;
            }
        }
    }
    let row = builds::ended(p, build.id).await.map_err(|e| broken(push, "the build was lost", &e))?;
    if row.status != "succeeded" {
        return Ok(false);
    }
    pusher.say("Verifying deploy... done.\n").await;
    if let Some(release) = row.release_id {
        phase::wait(p, push, release, pusher).await;
    }
    Ok(true)
}

/// What the pusher is told of a failure of our own.
fn broken(push: &Push, what: &str, error: &dyn std::fmt::Display) -> String {
    tracing::error!(app = push.app.name, %error, "{what}");
    format!("{what}; the platform's log says more")
}

/// The same of files that could not be written.
fn unwritten(push: &Push, error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        tracing::error!(app = push.app.name, %error, "the disk is full");
        return "the source could not be written: the disk is full".to_owned();
    }
    broken(push, "the source could not be written", error)
}

/// Writes the source of a build and puts it into the queue. What is left of one that fails is
/// the caller's to remove.
async fn queue(p: &Platform, push: &Push, pushed: &Pushed, update: &Update, id: Uuid) -> Result<Build, String> {
    let directory = builds::directory(p, id);
    tokio::fs::create_dir_all(&directory).await.map_err(|e| unwritten(push, &e))?;
    let (git_dir, quarantine, updates) = (push.git_dir.clone(), pushed.quarantine.clone(), pushed.updates.clone());
    let (id_of_commit, name, target) = (update.new.clone(), update.name.clone(), directory.join("source"));
    let cx = p.cx.clone();
    let extracted = tokio::task::spawn_blocking(move || {
        let repository = tree::open(&git_dir, quarantine.as_deref())?;
        refs::check(&repository, &updates)?;
        let commit = tree::commit(&repository, &id_of_commit, short(&name))?;
        let enough = || disk::enough(&cx).map_err(|scarce| scarce.to_string());
        enough().map_err(TreeError::Refused)?;
        let most = cx.config().build_disk_mib.min(LARGEST_SOURCE) << 20;
        tree::extract(&repository, &commit, &target, &mut Room::new(most, &enough))
    });
    let extracted = match extracted.await.map_err(|e| broken(push, "the source could not be read", &e))? {
        Ok(extracted) => extracted,
        Err(TreeError::Refused(text)) => return Err(text),
        Err(TreeError::Io(error)) => return Err(unwritten(push, &error)),
        Err(error @ TreeError::Git(_)) => return Err(broken(push, "the source could not be read", &error)),
    };
    if !extracted.submodules.is_empty() {
        let list = serde_json::to_vec(&stored(&extracted.submodules)).map_err(|e| e.to_string())?;
        let written = tokio::fs::write(directory.join(builds::SUBMODULES), list).await;
        written.map_err(|e| unwritten(push, &e))?;
    }
    let new = builds::New {
        kind: "git",
        version: Some(update.new.clone()),
        description: Some(extracted.description),
        ..builds::New::default()
    };
    let build = builds::create(p, &push.actor, &push.app, id, new).await;
    build.map_err(|error| error.to_string().trim_end_matches('.').to_owned())
}

fn stored(submodules: &[paas_buildpacks::build::Submodule]) -> Vec<builds::StoredSubmodule> {
    let store = |module: &paas_buildpacks::build::Submodule| builds::StoredSubmodule {
        path: module.path.clone(),
        url: module.url.clone(),
        commit: module.commit.clone(),
    };
    submodules.iter().map(store).collect()
}
