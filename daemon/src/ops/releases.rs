//! Releases: every change of what an app runs.
//!
//! A release is a slug, config vars and add-ons, under the next version. One whose slug
//! has a `release` process waits (`pending`) until that has run; releases end in the order
//! in which they were made, so that none that was made before another takes its place.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform, addresses, apps, config, formation};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Change, Conn, addons,
        apps::App,
        builds,
        events::Event,
        releases::{self, Part, Release},
        slugs::{self, Slug},
    },
};

/// What an address of a release's output is for.
pub const OUTPUT: &str = "release/output";

/// How long such an address counts.
const LASTS: TimeDelta = TimeDelta::hours(24);

/// Where the output of a release's command is to be had for a while.
pub fn output_url(p: &Platform, id: Uuid) -> String {
    format!("{}/streams/releases/{id}?{}", p.cx.config().api_url(), addresses::sign(p, OUTPUT, id, LASTS))
}

/// A release about to be made.
#[derive(Debug, Clone)]
pub struct New {
    /// What made it, in Heroku's words.
    pub description: String,
    /// The slug it runs: another one, or that of the release before.
    pub slug: Choice,
    /// Whether running dynos move to it.
    pub restart: bool,
    /// Whether the slug's release phase runs first. Not for what add-ons change by themselves.
    pub phase: bool,
}

/// Which slug a release runs.
#[derive(Debug, Clone)]
pub enum Choice {
    /// That of the release before.
    Keep,
    /// This one.
    Slug(Uuid),
}

impl New {
    /// The first one of an app, without a slug.
    pub fn first(description: &str) -> Self {
        Self { description: description.into(), slug: Choice::Keep, restart: true, phase: false }
    }

    /// The same slug with other config vars or add-ons.
    pub fn keep(description: &str) -> Self {
        Self { description: description.into(), slug: Choice::Keep, restart: true, phase: true }
    }

    /// A slug, newly built or an earlier one.
    pub fn slug(description: &str, slug_id: Uuid) -> Self {
        Self { description: description.into(), slug: Choice::Slug(slug_id), restart: true, phase: true }
    }
}

/// Makes a release inside a change: takes the next version, the slug and a copy of the
/// config vars as they stand in this transaction.
pub async fn insert(p: &Platform, change: &mut Change, actor: &Actor, new: New) -> Result<Release> {
    let app_id = change.app_id();
    let app = apps::current(change, app_id).await?;
    let waiting = releases::pending(change, app_id).await?;
    let before = match waiting.last() {
        Some(release) => Some(release.clone()),
        None => releases::current(change, app_id).await?,
    };
    let slug = match new.slug {
        Choice::Slug(id) => Some(find_slug(change, &app, id).await?),
        Choice::Keep => match before.as_ref().and_then(|release| release.slug_id) {
            Some(id) => slugs::by_id(change, id).await?,
            None => None,
        },
    };
    let phase = new.phase && slug.as_ref().is_some_and(|slug| slug.process_types.contains_key("release"));
    let pending = phase || !waiting.is_empty();
    let vars = config::vars(p, change, app_id).await?;
    let now = p.cx.now();
    let id = new_id();
    let release = Release {
        id,
        app_id,
        version: crate::store::apps::next_version(change, app_id).await?,
        description: new.description,
        status: if pending { "pending" } else { "succeeded" }.into(),
        user_id: actor.user.id,
        slug_id: slug.as_ref().map(|slug| slug.id),
        stack: slug.as_ref().map_or_else(|| app.build_stack.clone(), |slug| slug.stack.clone()),
        config: config::seal_release(p, id, &vars)?,
        addon_plans: sqlx::types::Json(addon_plans(change, app_id).await?),
        phase,
        stalled: false,
        restart: new.restart,
        message: None,
        created_at: now,
        updated_at: now,
    };
    releases::insert(change, &release).await?;
    if !pending {
        apply(p, change, &release, slug.as_ref()).await?;
    }
    Ok(release)
}

/// What follows from a release that counts: the app's row, and its formation.
async fn apply(p: &Platform, change: &mut Change, release: &Release, slug: Option<&Slug>) -> Result<()> {
    let now = p.cx.now();
    let mut app = apps::current(change, release.app_id).await?;
    app.released_at = Some(now);
    app.updated_at = now;
    app.stack = release.stack.clone();
    app.slug_size = slug.and_then(|slug| slug.size);
    if let Some(slug) = slug {
        app.buildpack_description = slug.buildpack_description.clone();
        formation::follow(p, change, &slug.process_types).await?;
    }
    crate::store::apps::update(change, &app).await?;
    Ok(())
}

/// How a release phase ended. With it, those that waited behind it and have no phase of
/// their own end too; the next with one is for the caller to run.
pub async fn end_phase(p: &Platform, release_id: Uuid, failure: Option<&str>) -> Result<()> {
    let Some(release) = releases::by_id(&mut p.db.read().await?, release_id).await? else { return Ok(()) };
    let now = p.cx.now();
    let mut change = p.change(release.app_id).await?;
    let status = if failure.is_some() { "failed" } else { "succeeded" };
    if !releases::finish(&mut change, release.id, status, failure, now).await? {
        return Ok(());
    }
    if failure.is_none() {
        let slug = slug_of(&mut change, &release).await?;
        apply(p, &mut change, &release, slug.as_ref()).await?;
    }
    if failure.is_some() {
        rebase(&mut change, &release).await?;
    }
    for next in releases::pending(&mut change, release.app_id).await? {
        if next.phase {
            break;
        }
        releases::finish(&mut change, next.id, "succeeded", None, now).await?;
        let slug = slug_of(&mut change, &next).await?;
        apply(p, &mut change, &next, slug.as_ref()).await?;
    }
    let event = json!({"version": release.version, "status": status, "message": failure});
    p.commit(change, Event::new("release.update", "paas", event)).await?;
    Ok(())
}

/// Gives all that wait with the slug of a release that has failed the slug of the one that
/// counts. All at once: what waits behind another phase must not come with it later.
async fn rebase(change: &mut Change, failed: &Release) -> Result<()> {
    let good = releases::current(change, failed.app_id).await?;
    for mut next in releases::pending(change, failed.app_id).await? {
        if next.slug_id != failed.slug_id {
            continue;
        }
        next.slug_id = good.as_ref().and_then(|good| good.slug_id);
        if let Some(good) = &good {
            next.stack = good.stack.clone();
        }
        let slug = slug_of(change, &next).await?;
        next.phase = next.phase && slug.is_some_and(|slug| slug.process_types.contains_key("release"));
        releases::rebase(change, next.id, next.slug_id, &next.stack, next.phase).await?;
    }
    Ok(())
}

/// The dyno that runs a release's command: the release's number is its own, so that its lines
/// are found again when it is gone.
pub fn phase_dyno(version: i64) -> String {
    format!("release.{version}")
}

/// Releases of an app, oldest first, without their config vars.
pub async fn list(p: &Platform, app: &App, part: Part) -> Result<Vec<Release>> {
    Ok(releases::list(&mut p.db.read().await?, app.id, part).await?)
}

/// One of them, by version (`7`, `v7`) or identity.
pub async fn find(p: &Platform, app: &App, name: &str) -> Result<Release> {
    let mut c = p.db.read().await?;
    let found = match name.parse::<Uuid>() {
        Ok(id) => releases::by_id(&mut c, id).await?.filter(|release| release.app_id == app.id),
        Err(_) => match name.strip_prefix('v').unwrap_or(name).parse::<i64>() {
            Ok(version) => releases::by_version(&mut c, app.id, version).await?,
            Err(_) => None,
        },
    };
    found.ok_or_else(|| Error::not_found("release", name))
}

/// One by identity alone.
pub async fn by_id(p: &Platform, id: Uuid) -> Result<Option<Release>> {
    Ok(releases::by_id(&mut p.db.read().await?, id).await?)
}

/// The one that counts.
pub async fn current(p: &Platform, app: &App) -> Result<Option<Release>> {
    Ok(releases::current(&mut p.db.read().await?, app.id).await?)
}

/// Releases a slug of the app, or of another app whose code the user may have; without a
/// description it is told by the commit.
pub async fn deploy(
    p: &Platform,
    actor: &Actor,
    app: &App,
    slug_id: Uuid,
    description: Option<&str>,
) -> Result<Release> {
    let missing = || Error::not_found("slug", slug_id.to_string());
    let slug = slugs::by_id(&mut p.db.read().await?, slug_id).await?.ok_or_else(missing)?;
    if slug.app_id != app.id {
        match apps::find_for(p, actor, &slug.app_id.to_string(), apps::Permission::Deploy).await {
            Ok(_) => {}
            Err(Error::NotFound(_) | Error::Forbidden(_)) => return Err(missing()),
            Err(error) => return Err(error),
        }
    }
    let mut change = p.change(app.id).await?;
    let slug = own_slug(p, &mut change, app, slug_id).await?;
    let told = description.map_or_else(
        || {
            let commit: String = slug.commit_id.clone().unwrap_or_default().chars().take(7).collect();
            format!("Deploy {commit}").trim_end().to_owned()
        },
        str::to_owned,
    );
    let release = insert(p, &mut change, actor, New::slug(&told, slug.id)).await?;
    finish_insert(p, change, actor, app, release).await
}

/// What a build releases: its slug and, with the first slug of an app, the config vars that
/// its buildpacks bring where they are not set yet.
pub async fn deploy_build(
    p: &Platform,
    actor: &Actor,
    app: &App,
    slug: &Slug,
    config_vars: &BTreeMap<String, String>,
    description: &str,
) -> Result<Release> {
    let mut change = p.change(app.id).await?;
    // A wish to end it comes before this, or is refused because the slug is there.
    if builds::by_id(&mut change, slug.id).await?.is_some_and(|build| build.cancel_requested) {
        return Err(Error::Conflict("The build was cancelled.".into()));
    }
    if !releases::any_slug(&mut change, app.id).await? {
        config::set_missing(p, &mut change, app.id, config_vars).await?;
    }
    slugs::insert(&mut change, slug).await?;
    let release = insert(p, &mut change, actor, New::slug(description, slug.id)).await?;
    finish_insert(p, change, actor, app, release).await
}

/// Goes back to what an earlier release ran: its slug and the config vars that users had
/// set then. What add-ons bring stays as it is now.
pub async fn rollback(p: &Platform, actor: &Actor, app: &App, to: &Release) -> Result<Release> {
    if to.status != "succeeded" {
        return Err(Error::invalid(format!("Cannot roll back to v{}: that release {}.", to.version, to.status)));
    }
    let Some(slug_id) = to.slug_id else {
        return Err(Error::invalid(format!(
            "Cannot roll back to v{}: it has no slug, so there was nothing to run. `paas releases` lists them all.",
            to.version
        )));
    };
    let vars = config::of_release(p, to)?;
    let mut change = p.change(app.id).await?;
    config::replace_user(p, &mut change, app.id, &vars.user).await?;
    let description = format!("Rollback to v{}", to.version);
    let release = insert(p, &mut change, actor, New::slug(&description, slug_id)).await?;
    finish_insert(p, change, actor, app, release).await
}

/// Ends the change that a release was made in, and tells of it.
pub(super) async fn finish_insert(
    p: &Platform,
    change: Change,
    actor: &Actor,
    app: &App,
    release: Release,
) -> Result<Release> {
    let event = json!({"version": release.version, "description": release.description, "status": release.status});
    p.commit(change, Event::new("release.create", actor.name(), event)).await?;
    p.tell(app.id, format!("{} by user {}", release.description, actor.name()));
    p.tell(app.id, format!("Release v{} created by user {}", release.version, actor.name()));
    Ok(release)
}

/// The slug of a release.
pub async fn slug_of(c: &mut Conn, release: &Release) -> Result<Option<Slug>> {
    Ok(match release.slug_id {
        Some(id) => slugs::by_id(c, id).await?,
        None => None,
    })
}

/// An app's own slug: the one of that identity, or its copy of another app's, made when there
/// is none yet. A copy has the same bytes and does not mind when the original goes.
pub(super) async fn own_slug(p: &Platform, change: &mut Change, app: &App, id: Uuid) -> Result<Slug> {
    // Held, so that the bytes stay until the copy is there to keep them.
    let slug = slugs::hold(change, id).await?.ok_or_else(|| Error::not_found("slug", id.to_string()))?;
    if slug.sha256.is_none() {
        return Err(Error::invalid("That slug has not been uploaded yet."));
    }
    if slug.app_id == app.id {
        return Ok(slug);
    }
    let original = slugs::original(change, slug.id).await?.unwrap_or(slug.id);
    // It may have come from this app in the first place.
    if let Some(own) = slugs::by_id(change, original).await?.filter(|own| own.app_id == app.id) {
        return Ok(own);
    }
    if let Some(copy) = slugs::copy_of(change, app.id, original).await? {
        return Ok(copy);
    }
    let now = p.cx.now();
    let copy = Slug { id: new_id(), app_id: app.id, created_at: now, updated_at: now, ..slug };
    slugs::insert(change, &copy).await?;
    slugs::set_original(change, copy.id, original).await?;
    Ok(copy)
}

async fn find_slug(c: &mut Conn, app: &App, id: Uuid) -> Result<Slug> {
    let slug = slugs::by_id(c, id).await?.filter(|slug| slug.app_id == app.id);
    let slug = slug.ok_or_else(|| Error::not_found("slug", id.to_string()))?;
    if slug.sha256.is_none() {
        return Err(Error::invalid("That slug has not been uploaded yet."));
    }
    Ok(slug)
}

async fn addon_plans(c: &mut Conn, app_id: Uuid) -> Result<Vec<String>> {
    let mut plans = Vec::new();
    for attachment in addons::attachments_of_app(c, app_id).await? {
        if let Some(addon) = addons::by_id(c, attachment.addon_id).await? {
            plans.push(format!("{}:{}", addon.service_name(), addon.plan));
        }
    }
    plans.sort();
    plans.dedup();
    Ok(plans)
}
