//! Removes what has no owner any more: apps that were destroyed, with everything they had,
//! and what a daemon that was killed left on the engine.

use std::{collections::HashSet, path::Path, time::Duration};

use chrono::TimeDelta;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    engine::{EngineError, Owned},
    error::{Error, Result},
    ops::{self, Platform},
    store::{addons, apps, builds, cleanups, dynos, slugs},
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(20);

/// How often it looks while something goes away.
const SOON: Duration = Duration::from_millis(200);

/// How long an app that could not be removed is left alone.
const AFTER_FAILURE: TimeDelta = TimeDelta::seconds(10);

/// After how many looks without anything to do the engine is searched for orphans.
const ORPHANS_EVERY: u32 = 30;

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wakes = p.db.wakes();
    let mut looks = 0u32;
    loop {
        let wait = match pass(&p).await {
            Ok(true) => SOON,
            Ok(false) => PERIOD,
            Err(error) => {
                tracing::warn!(%error, "something could not be removed yet; trying again");
                PERIOD
            }
        };
        if looks.is_multiple_of(ORPHANS_EVERY)
            && let Err(error) = orphans(&p).await
        {
            tracing::warn!(%error, "the engine could not be searched for orphans");
        }
        if wait == PERIOD {
            looks = looks.wrapping_add(1);
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = destroyed(&mut wakes) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn destroyed(wakes: &mut tokio::sync::broadcast::Receiver<crate::store::Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) if wake.kind == "app.destroy" => return,
            Ok(_) => {}
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look; whether something is still on its way out.
pub async fn pass(p: &Platform) -> Result<bool> {
    let now = p.cx.now();
    let due = cleanups::due(&mut p.db.read().await?, now).await?;
    let mut busy = false;
    for row in due {
        let gone = match (row.kind.as_str(), row.data.get("app_id").and_then(|v| v.as_str()).map(str::parse::<Uuid>)) {
            ("app", Some(Ok(app_id))) => match app(p, app_id).await {
                Ok(gone) => gone,
                // In nobody else's way: the others have their turn.
                Err(error) => {
                    tracing::warn!(app.id = %app_id, %error, "an app could not be removed yet; trying again");
                    let mut tx = p.db.begin().await?;
                    cleanups::postpone(&mut tx, row.id, now + AFTER_FAILURE).await?;
                    tx.commit(None).await?;
                    continue;
                }
            },
            (kind, _) => {
                tracing::warn!(kind, "a cleanup of an unknown kind was dropped");
                true
            }
        };
        let mut tx = p.db.begin().await?;
        if gone {
            cleanups::delete(&mut tx, row.id).await?;
        } else {
            busy = true;
            let wait = if row.attempts < 300 { TimeDelta::zero() } else { TimeDelta::seconds(30) };
            cleanups::postpone(&mut tx, row.id, now + wait).await?;
        }
        tx.commit(None).await?;
    }
    Ok(busy)
}

/// Removes an app for good, once its dynos and add-ons are gone. Whether it is.
async fn app(p: &Platform, app_id: Uuid) -> Result<bool> {
    let mut c = p.db.read().await?;
    if apps::by_id(&mut c, app_id).await?.is_some() {
        let active = builds::active(&mut c, app_id).await?;
        if !active.is_empty() {
            drop(c);
            for build in active {
                ops::builds::end_of_app(p, &build).await?;
            }
            return Ok(false);
        }
        if !dynos::list(&mut c, app_id).await?.is_empty() || !addons::of_app(&mut c, app_id).await?.is_empty() {
            return Ok(false);
        }
        match p.engine.remove_network(app_id).await {
            Ok(()) => {}
            // Another app's add-on that was attached is on its way out of it.
            Err(EngineError::InUse { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let blobs: Vec<String> = slugs::list(&mut c, app_id).await?.into_iter().filter_map(|slug| slug.sha256).collect();
    let unpacked: Vec<Uuid> = slugs::list(&mut c, app_id).await?.into_iter().map(|slug| slug.id).collect();
    let built: Vec<Uuid> = builds::list(&mut c, app_id).await?.into_iter().map(|build| build.id).collect();
    drop(c);
    let mut tx = p.db.begin().await?;
    apps::delete(&mut tx, app_id).await?;
    tx.commit(None).await?;
    p.logs.store().remove(app_id).await.map_err(|e| Error::internal("The app's log could not be removed.", e))?;
    for sha256 in blobs {
        if slugs::count_of_sha256(&mut p.db.read().await?, &sha256).await? == 0 {
            p.slug_store.remove(&sha256).await.map_err(|e| Error::internal("A slug could not be removed.", e))?;
        }
    }
    for slug_id in unpacked {
        let evicted = p.slugs.evict(slug_id, async { false }).await;
        evicted.map_err(|e| Error::internal("An unpacked slug could not be removed.", e))?;
    }
    for build_id in built {
        remove_dir(&ops::builds::directory(p, build_id)).await?;
    }
    ops::builds::remove_cache(p, app_id).await?;
    remove_dir(&p.cx.path(format!("git/{app_id}.git"))).await?;
    Ok(true)
}

async fn remove_dir(path: &Path) -> Result<()> {
    let gone = path.to_owned();
    let removed = tokio::task::spawn_blocking(move || paas_buildpacks::tree::remove(&gone)).await;
    removed
        .map_err(std::io::Error::other)
        .and_then(|done| done)
        .map_err(|e| Error::internal(format!("{} could not be removed.", path.display()), e))
}

/// Compares what the engine has of ours, and what logs there are, with the rows, and removes
/// what no row knows. An add-on's volume is never among it: data goes only when its add-on is
/// destroyed.
pub async fn orphans(p: &Platform) -> Result<()> {
    // Before the rows: what is made meanwhile has its row first.
    let logs = p.logs.store().apps().await.map_err(|e| Error::internal("The apps' logs could not be listed.", e))?;
    let owned = p.engine.owned().await?;
    let mut c = p.db.read().await?;
    let apps: HashSet<Uuid> = apps::ids(&mut c).await?.into_iter().collect();
    let dynos: HashSet<Uuid> = dynos::all(&mut c).await?.into_iter().map(|dyno| dyno.id).collect();
    let addons: HashSet<Uuid> = addons::all(&mut c).await?.into_iter().map(|addon| addon.id).collect();
    let pending = builds::pending(&mut c).await?.into_iter();
    let building: HashSet<Uuid> =
        pending.filter(|build| build.lease_owner == Some(p.cx.run())).map(|build| build.id).collect();
    drop(c);
    for app_id in logs.into_iter().filter(|app_id| !apps.contains(app_id)) {
        tracing::info!(app.id = %app_id, "removing the log of an app that is gone");
        if let Err(error) = p.logs.store().remove(app_id).await {
            tracing::warn!(app.id = %app_id, %error, "the log of an app that is gone could not be removed; trying again later");
        }
    }
    for thing in owned {
        let orphan = match &thing {
            Owned::Dyno(id) | Owned::DynoVolume(id) | Owned::DynoDir(id) => !dynos.contains(id),
            Owned::Service(id) => !addons.contains(id),
            Owned::Network { app_id } => !apps.contains(app_id),
            Owned::ServiceVolume(id) => {
                if !addons.contains(id) {
                    tracing::warn!(addon.id = %id, "a volume of an add-on that is not known any more was left alone");
                }
                false
            }
            // Builds look after their own; but the engine may have been away when one ended.
            Owned::Build { build, .. } => build.is_none_or(|build| !building.contains(&build)),
        };
        if orphan {
            tracing::info!(?thing, "removing what belongs to nothing");
            if let Err(error) = p.engine.discard(&thing).await {
                tracing::warn!(?thing, %error, "what belongs to nothing could not be removed; trying again later");
            }
        }
    }
    Ok(())
}
