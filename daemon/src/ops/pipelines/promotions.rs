//! Promotions: what an app runs is released on other apps of its pipeline, with their own
//! config vars.
//!
//! What is to be done is written first, an app a row; [`advance`] does it and may be killed
//! anywhere: the release and the note that it is made are one transaction.

use std::collections::HashSet;

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::{find, may};
use crate::{
    context::new_id,
    error::{Error, Result},
    ops::{
        Actor, Platform,
        apps::{self, Permission},
        releases::{self as making, New},
    },
    store::{
        apps::App,
        couplings,
        events::Event,
        pipelines::{self, Pipeline},
        promotions::{self, Promotion, Target},
        releases::{self, Release},
        users,
    },
};

/// How long a release that can't be made, for a reason that may pass, is tried for.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// Most apps that one promotion goes to.
const MOST_TARGETS: usize = 100;

/// Asks for a promotion of an app's current release, or of another of its releases, and makes
/// the releases. Release phases go on after this.
pub async fn create(
    p: &Platform,
    actor: &Actor,
    pipeline: Uuid,
    (source, release): (Uuid, Option<Uuid>),
    targets: &[Uuid],
) -> Result<Promotion> {
    let pipeline = find(p, actor, &pipeline.to_string()).await?;
    let source = apps::find_for(p, actor, &source.to_string(), Permission::View).await?;
    let targets = check_targets(p, &pipeline, &source, targets).await?;
    let (description, release_id, slug_id) = what(p, &source, release).await?;
    let now = p.cx.now();
    let promotion = Promotion {
        id: new_id(),
        pipeline_id: pipeline.id,
        source_app_id: source.id,
        source_release_id: release_id,
        slug_id,
        description,
        user_id: actor.user.id,
        status: "pending".into(),
        created_at: now,
        updated_at: now,
    };
    let mut rows = Vec::new();
    for app_id in &targets {
        let refused = !may(p, actor, *app_id, Permission::Deploy).await?;
        rows.push(Target {
            id: new_id(),
            promotion_id: promotion.id,
            app_id: *app_id,
            status: if refused { "failed" } else { "pending" }.into(),
            error_message: refused.then(|| "User does not have access to that app".into()),
            release_id: None,
        });
    }
    let mut tx = p.db.begin().await?;
    if !pipelines::lock(&mut tx, pipeline.id).await? {
        return Err(Error::not_found("pipeline", pipeline.id.to_string()));
    }
    promotions::insert(&mut tx, &promotion).await?;
    for row in &rows {
        promotions::insert_target(&mut tx, row).await?;
    }
    let data = json!({
        "id": promotion.id, "pipeline": pipeline.id, "source": source.id, "release": release_id, "targets": targets,
    });
    tx.commit_with(Event::new("pipeline-promotion.create", actor.name(), data), now).await?;
    if let Err(error) = advance(p, &promotion).await {
        tracing::warn!(promotion.id = %promotion.id, %error, "a promotion could not be made at once; it is tried again");
    }
    // As it was asked for: what becomes of it is for the targets to tell.
    Ok(promotion)
}

/// The apps that it goes to, each once: of this pipeline, and not the source itself.
async fn check_targets(p: &Platform, pipeline: &Pipeline, source: &App, targets: &[Uuid]) -> Result<Vec<Uuid>> {
    let couplings = couplings::of_pipeline(&mut p.db.read().await?, pipeline.id).await?;
    let members: HashSet<Uuid> = couplings.iter().map(|row| row.app_id).collect();
    if !members.contains(&source.id) {
        return Err(Error::invalid(format!(
            "source: {} is not in the pipeline {}; add it with `pipelines:add`.",
            source.name, pipeline.name
        )));
    }
    if targets.is_empty() || targets.len() > MOST_TARGETS {
        return Err(Error::invalid(format!("targets: name 1 to {MOST_TARGETS} apps to promote to.")));
    }
    let mut once = Vec::new();
    for target in targets {
        if *target == source.id {
            return Err(Error::invalid(format!("targets: {} can't be promoted to itself.", source.name)));
        }
        if !members.contains(target) {
            return Err(Error::invalid(format!(
                "targets: there is no app {target} in the pipeline {}; add it with `pipelines:add`.",
                pipeline.name
            )));
        }
        if !once.contains(target) {
            once.push(*target);
        }
    }
    Ok(once)
}

/// What is promoted: how it is called, the release and its slug.
async fn what(p: &Platform, source: &App, wanted: Option<Uuid>) -> Result<(String, Uuid, Uuid)> {
    let mut c = p.db.read().await?;
    let release = match wanted {
        Some(id) => {
            let found = releases::by_id(&mut c, id).await?.filter(|release| release.app_id == source.id);
            let found = found.ok_or_else(|| Error::not_found("release", id.to_string()))?;
            if found.status != "succeeded" {
                return Err(Error::invalid(format!(
                    "source: v{} of {} has not succeeded, so it can't be promoted.",
                    found.version, source.name
                )));
            }
            Some(found)
        }
        None => releases::current(&mut c, source.id).await?,
    };
    let slug = match &release {
        Some(release) => making::slug_of(&mut c, release).await?,
        None => None,
    };
    let (Some(release), Some(slug)) = (release, slug) else {
        return Err(Error::invalid(format!(
            "source: {} has no slug to promote. Deploy to it first: git push.",
            source.name
        )));
    };
    let mut description = format!("Promote {} v{}", source.name, release.version);
    if let Some(commit) = slug.commit_id.as_deref().filter(|commit| !commit.is_empty()) {
        let short: String = commit.chars().take(8).collect();
        description = format!("{description} {short}");
    }
    Ok((description, release.id, slug.id))
}

/// One by identity, for somebody who may see its pipeline.
pub async fn find_one(p: &Platform, actor: &Actor, id: &str) -> Result<Promotion> {
    let missing = || Error::not_found("pipeline_promotion", id);
    let parsed: Uuid = id.parse().map_err(|_| missing())?;
    let found = promotions::by_id(&mut p.db.read().await?, parsed).await?.ok_or_else(missing)?;
    match find(p, actor, &found.pipeline_id.to_string()).await {
        Ok(_) => Ok(found),
        Err(Error::NotFound(_)) => Err(missing()),
        Err(error) => Err(error),
    }
}

/// The apps that one goes to.
pub async fn targets(p: &Platform, promotion: &Promotion) -> Result<Vec<Target>> {
    Ok(promotions::targets(&mut p.db.read().await?, promotion.id).await?)
}

/// Those that have not ended.
pub async fn pending(p: &Platform) -> Result<Vec<Promotion>> {
    Ok(promotions::pending(&mut p.db.read().await?).await?)
}

/// Makes the releases that are missing, and notes how those that were made went. Safe to
/// repeat, and to do twice at once.
pub async fn advance(p: &Platform, promotion: &Promotion) -> Result<()> {
    for target in targets(p, promotion).await?.into_iter().filter(|target| target.status == "pending") {
        let done = match target.release_id {
            None => release(p, promotion, &target).await,
            Some(release_id) => follow(p, &target, release_id).await,
        };
        let Err(error) = done else { continue };
        let lasting = match &error {
            Error::NotFound(_) | Error::Invalid(_) | Error::Conflict(_) | Error::Forbidden(_) => true,
            Error::Unauthorized(_) | Error::ConfirmationRequired { .. } | Error::MultipleMatches(_) => true,
            Error::Unavailable(_) | Error::Internal { .. } => p.cx.now() - promotion.created_at > PATIENCE,
        };
        if !lasting {
            return Err(error);
        }
        end(p, &target, Some(error.to_string())).await?;
    }
    if targets(p, promotion).await?.iter().all(|target| target.status != "pending") {
        let now = p.cx.now();
        let mut tx = p.db.begin().await?;
        if promotions::complete(&mut tx, promotion.id, now).await? {
            let data = json!({"id": promotion.id, "pipeline": promotion.pipeline_id});
            tx.commit_with(Event::new("pipeline-promotion.update", "paas", data), now).await?;
        }
    }
    Ok(())
}

/// Releases the slug on a target.
async fn release(p: &Platform, promotion: &Promotion, target: &Target) -> Result<()> {
    let user = users::by_id(&mut p.db.read().await?, promotion.user_id).await?;
    let user = user.ok_or_else(|| Error::not_found("user", promotion.user_id.to_string()))?;
    let actor = Actor { user, authorization_id: None };
    let mut change = p.change(target.app_id).await?;
    let app = apps::current(&mut change, target.app_id).await?;
    // Somebody else may just have done it.
    let Some(mut row) = promotions::target(&mut change, target.id)
        .await?
        .filter(|row| row.status == "pending" && row.release_id.is_none())
    else {
        return Ok(());
    };
    let slug = making::own_slug(p, &mut change, &app, promotion.slug_id).await?;
    let made = making::insert(p, &mut change, &actor, New::slug(&promotion.description, slug.id)).await?;
    row.release_id = Some(made.id);
    if made.status == "succeeded" {
        row.status = "succeeded".into();
    }
    promotions::update_target(&mut change, &row).await?;
    making::finish_insert(p, change, &actor, &app, made).await?;
    Ok(())
}

/// Notes how the release on a target went, once that is known.
async fn follow(p: &Platform, target: &Target, release_id: Uuid) -> Result<()> {
    let release: Option<Release> = releases::by_id(&mut p.db.read().await?, release_id).await?;
    let Some(release) = release else { return end(p, target, Some("The app is gone.".into())).await };
    match release.status.as_str() {
        "pending" => {
            let app = crate::store::apps::by_id(&mut p.db.read().await?, target.app_id).await?;
            if app.is_none_or(|app| app.deleting) {
                return end(p, target, Some("The app is gone.".into())).await;
            }
            Ok(())
        }
        "succeeded" => end(p, target, None).await,
        _ => {
            let why = release.message.unwrap_or_else(|| "the release command failed".into());
            end(p, target, Some(apps::sentence(&why))).await
        }
    }
}

/// Writes that a target has ended, and why it failed.
async fn end(p: &Platform, target: &Target, failure: Option<String>) -> Result<()> {
    let now = p.cx.now();
    let status = if failure.is_some() { "failed" } else { "succeeded" };
    let mut tx = p.db.begin().await?;
    let mut row = target.clone();
    row.status = status.into();
    row.error_message = failure.clone();
    if promotions::update_target(&mut tx, &row).await? {
        let data = json!({"id": target.id, "app": target.app_id, "status": status, "message": failure});
        tx.commit_with(Event::new("pipeline-promotion-target.update", "paas", data), now).await?;
    }
    Ok(())
}
