//! Keeps the disk of slugs small: of each app only what runs and its newest slugs stay unpacked
//! (any other is unpacked again when a rollback wants it); slugs that were never released, blobs
//! that no slug has, and old sources go.

use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    ops::{Platform, sources},
    store::{builds, releases, slugs},
};

/// How long after the daemon's start it looks first.
const AFTER_START: Duration = Duration::from_secs(60);

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(3600);

/// How many slugs of an app stay unpacked, the newest, whatever runs.
const KEPT: i64 = 3;

/// How long a blob may wait for its row, and a slug for its release: longer than any upload or build takes.
const WAITS: Duration = Duration::from_secs(24 * 3600);

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wait = AFTER_START;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        wait = PERIOD;
        if let Err(error) = sweep(&p).await {
            tracing::warn!(%error, "slugs that nobody needs could not be removed; trying again later");
        }
    }
}

/// One look.
pub async fn sweep(p: &Platform) -> Result<()> {
    let failed = |e| Error::internal("The slugs could not be swept.", e);
    sources::sweep(p).await?;
    let mut tx = p.db.begin().await?;
    slugs::delete_unused(&mut tx, p.cx.now() - WAITS).await?;
    tx.commit(None).await?;
    for slug in p.slugs.unpacked().await.map_err(failed)? {
        let asked = async {
            needed(p, slug).await.unwrap_or_else(|error| {
                tracing::warn!(slug.id = %slug, %error, "whether a slug is needed can't be told; it stays");
                true
            })
        };
        p.slugs.evict(slug, asked).await.map_err(failed)?;
    }
    for sha256 in p.slug_store.older_than(WAITS).await.map_err(failed)? {
        if slugs::count_of_sha256(&mut p.db.read().await?, &sha256).await? == 0 {
            tracing::info!(sha256, "removing the bytes of a slug that is not known");
            p.slug_store.remove(&sha256).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Whether a slug is to be there unpacked.
async fn needed(p: &Platform, id: Uuid) -> Result<bool> {
    let mut c = p.db.read().await?;
    // A build hands its directory over just before it writes the slug's row.
    if builds::by_id(&mut c, id).await?.is_some_and(|build| build.status == "pending") {
        return Ok(true);
    }
    let Some(slug) = slugs::by_id(&mut c, id).await? else { return Ok(false) };
    if releases::uses_of_slug(&mut c, id).await? > 0 {
        return Ok(true);
    }
    let serving = [releases::current(&mut c, slug.app_id).await?, releases::running(&mut c, slug.app_id).await?];
    let newest = releases::newest_slugs(&mut c, slug.app_id, KEPT).await?;
    Ok(newest.contains(&id) || serving.into_iter().flatten().any(|release| release.slug_id == Some(id)))
}
