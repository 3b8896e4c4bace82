//! What a pipeline's apps did last: of those that one may see.

use super::may;
use crate::{
    error::Result,
    ops::{Actor, Platform, apps::Permission},
    store::{
        apps::{self, App},
        builds::{self, Build},
        couplings,
        pipelines::Pipeline,
        releases::{self, Part, Release},
    },
};

/// The apps of a pipeline that somebody may see.
pub async fn apps_of(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Vec<App>> {
    let mut seen = Vec::new();
    for coupling in couplings::of_pipeline(&mut p.db.read().await?, pipeline.id).await? {
        if may(p, actor, coupling.app_id, Permission::View).await? {
            seen.extend(apps::by_id(&mut p.db.read().await?, coupling.app_id).await?);
        }
    }
    Ok(seen)
}

/// The newest release of each.
pub async fn releases_of(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Vec<(App, Release)>> {
    let mut found = Vec::new();
    for app in apps_of(p, actor, pipeline).await? {
        if let Some(release) = releases::latest(&mut p.db.read().await?, app.id).await? {
            found.push((app, release));
        }
    }
    Ok(found)
}

/// The newest release of each that brought other code.
pub async fn deployments(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Vec<(App, Release)>> {
    let mut found = Vec::new();
    for app in apps_of(p, actor, pipeline).await? {
        let mut before = None;
        let mut last = None;
        for release in releases::list(&mut p.db.read().await?, app.id, Part::ALL).await? {
            if release.slug_id.is_some() && release.slug_id != before {
                before = release.slug_id;
                last = Some(release);
            }
        }
        found.extend(last.map(|release| (app, release)));
    }
    Ok(found)
}

/// The newest build of each.
pub async fn builds_of(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Vec<(App, Build)>> {
    let mut found = Vec::new();
    for app in apps_of(p, actor, pipeline).await? {
        if let Some(build) = builds::list(&mut p.db.read().await?, app.id).await?.pop() {
            found.push((app, build));
        }
    }
    Ok(found)
}
