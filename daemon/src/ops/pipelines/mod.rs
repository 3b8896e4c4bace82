//! Pipelines: apps that follow each other from development to production.
//!
//! Here is the pipeline itself and who may do what with it; [`couplings`] has the apps in it,
//! [`config`] its config vars by stage, [`promotions`] brings what one app runs to others,
//! [`transfer`] gives it to somebody else, and [`latest`] shows what its apps did last.
//!
//! Its owner, who is in the team that owns it, and whoever works on one of its apps, may see it;
//! its owner, or an admin of that team, changes it. What changes an app asks for the permission
//! on that app besides.

pub mod config;
pub mod couplings;
pub mod latest;
mod owner;
pub mod promotions;
pub mod transfer;

use std::collections::HashSet;

use paas_domain::name::PipelineName;
use serde_json::json;
use uuid::Uuid;

pub use owner::{Owner, find_team};

use super::{
    Actor, Platform,
    apps::{self, Permission, sentence},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        couplings as rows,
        events::Event,
        pipelines::{self, Pipeline},
    },
};

/// Those that somebody may see, by identity.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<Pipeline>> {
    let all = pipelines::list(&mut p.db.read().await?).await?;
    if actor.user.admin || all.is_empty() {
        return Ok(all);
    }
    let apps: HashSet<Uuid> = apps::list(p, actor).await?.into_iter().map(|owned| owned.app.id).collect();
    let couplings = rows::list(&mut p.db.read().await?).await?;
    let through: HashSet<Uuid> =
        couplings.into_iter().filter(|row| apps.contains(&row.app_id)).map(|row| row.pipeline_id).collect();
    let mut seen = Vec::new();
    for pipeline in all {
        if through.contains(&pipeline.id) || is_among(p, actor, &pipeline).await? {
            seen.push(pipeline);
        }
    }
    Ok(seen)
}

/// Those of a name that somebody may see: names are unique for each owner only.
pub async fn named(p: &Platform, actor: &Actor, name: &str) -> Result<Vec<Pipeline>> {
    if name.contains('\0') {
        return Ok(Vec::new());
    }
    let mut seen = Vec::new();
    for pipeline in pipelines::by_name(&mut p.db.read().await?, name).await? {
        if may_see(p, actor, &pipeline).await? {
            seen.push(pipeline);
        }
    }
    Ok(seen)
}

/// One by identity or name, for somebody who may see it. Of several with that name it is
/// one's own.
pub async fn find(p: &Platform, actor: &Actor, name: &str) -> Result<Pipeline> {
    let missing = || Error::not_found("pipeline", name);
    if let Ok(id) = name.parse::<Uuid>() {
        let found = pipelines::by_id(&mut p.db.read().await?, id).await?.ok_or_else(missing)?;
        return if may_see(p, actor, &found).await? { Ok(found) } else { Err(missing()) };
    }
    let mut found = named(p, actor, name).await?;
    if let Some(own) = found.iter().position(|pipeline| pipeline.owner_id == actor.user.id) {
        return Ok(found.swap_remove(own));
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            Err(Error::invalid(format!("There are several pipelines called {name}; name the one you mean by its id.")))
        }
        (None, _) => Err(missing()),
    }
}

/// The same, for what only its owner may do.
pub async fn find_owned(p: &Platform, actor: &Actor, name: &str) -> Result<Pipeline> {
    let found = find(p, actor, name).await?;
    if is_owner(p, actor, &found).await? {
        return Ok(found);
    }
    Err(Error::Forbidden(format!("Only the owner of the pipeline {} may do this.", found.name)))
}

/// The same, for its owner, and whoever may do that with one of its apps.
pub async fn find_for(p: &Platform, actor: &Actor, name: &str, permission: Permission) -> Result<Pipeline> {
    let found = find(p, actor, name).await?;
    if is_owner(p, actor, &found).await? || works_on_one(p, actor, &found, permission).await? {
        return Ok(found);
    }
    Err(Error::Forbidden(format!("You may not do this in the pipeline {}.", found.name)))
}

/// Whether somebody may see a pipeline.
async fn may_see(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<bool> {
    Ok(is_among(p, actor, pipeline).await? || works_on_one(p, actor, pipeline, Permission::View).await?)
}

/// Whether somebody owns a pipeline, or is an admin of the team that does.
async fn is_owner(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<bool> {
    if actor.user.admin {
        return Ok(true);
    }
    match Owner::of(pipeline) {
        Some(owner) => owner::stands_for(p, actor, owner).await,
        None => Ok(false),
    }
}

/// The same, of the pipeline with an identity; nobody owns one that is gone.
pub async fn is_owned_by(p: &Platform, actor: &Actor, id: Uuid) -> Result<bool> {
    match pipelines::by_id(&mut p.db.read().await?, id).await? {
        Some(pipeline) => is_owner(p, actor, &pipeline).await,
        None => Ok(false),
    }
}

/// Whether somebody may do that in a pipeline: its owner, and whoever may with one of its apps.
pub async fn may_in(p: &Platform, actor: &Actor, id: Uuid, permission: Permission) -> Result<bool> {
    match pipelines::by_id(&mut p.db.read().await?, id).await? {
        Some(found) => Ok(is_owner(p, actor, &found).await? || works_on_one(p, actor, &found, permission).await?),
        None => Ok(false),
    }
}

/// Whether somebody may make things that belong to a pipeline's owner.
pub(super) async fn makes_in(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<bool> {
    match Owner::of(pipeline) {
        Some(owner) => owner::makes_for(p, actor, owner).await,
        None => Ok(false),
    }
}

/// Whether somebody owns a pipeline, or is in the team that does.
async fn is_among(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<bool> {
    if actor.user.admin {
        return Ok(true);
    }
    match Owner::of(pipeline) {
        Some(owner) => owner::sees_for(p, actor, owner).await,
        None => Ok(false),
    }
}

/// Whether somebody may do that with one of a pipeline's apps. To do more than to see it, the app
/// must be its owner's: one that a stranger has brought along gives nothing in it.
async fn works_on_one(p: &Platform, actor: &Actor, pipeline: &Pipeline, permission: Permission) -> Result<bool> {
    for coupling in rows::of_pipeline(&mut p.db.read().await?, pipeline.id).await? {
        match apps::find_for(p, actor, &coupling.app_id.to_string(), permission).await {
            Ok(app) if permission == Permission::View || Owner::of(pipeline) == Some(Owner::of_app(&app)) => {
                return Ok(true);
            }
            Ok(_) | Err(Error::NotFound(_) | Error::Forbidden(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether somebody may do that with an app.
async fn may(p: &Platform, actor: &Actor, app_id: Uuid, permission: Permission) -> Result<bool> {
    match apps::find_for(p, actor, &app_id.to_string(), permission).await {
        Ok(_) => Ok(true),
        Err(Error::NotFound(_) | Error::Forbidden(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a pipeline for oneself, or for an owner that one stands for.
pub async fn create(p: &Platform, actor: &Actor, name: &str, owner: Option<Owner>) -> Result<Pipeline> {
    let name = PipelineName::parse(name).map_err(|e| Error::invalid(sentence(&e)))?;
    let owner = owner.unwrap_or(Owner::User(actor.user.id));
    owner::check(p, owner).await?;
    if !actor.user.admin && !owner::makes_for(p, actor, owner).await? {
        return Err(Error::Forbidden("owner: you can't make a pipeline for somebody else.".into()));
    }
    let now = p.cx.now();
    let pipeline = Pipeline {
        id: new_id(),
        name: name.to_string(),
        owner_type: owner.kind().into(),
        owner_id: owner.id(),
        created_at: now,
        updated_at: now,
    };
    let mut tx = p.db.begin().await?;
    owner::hold(&mut tx, owner, now).await?;
    pipelines::insert(&mut tx, &pipeline).await.map_err(|e| taken(e, &pipeline.name))?;
    tx.commit_with(event("pipeline.create", actor, &pipeline), now).await?;
    Ok(pipeline)
}

/// Renames one.
pub async fn rename(p: &Platform, actor: &Actor, pipeline: &Pipeline, name: Option<&str>) -> Result<Pipeline> {
    let Some(name) = name else { return Ok(pipeline.clone()) };
    let name = PipelineName::parse(name).map_err(|e| Error::invalid(sentence(&e)))?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let mut row = current(&mut tx, pipeline.id).await?;
    row.name = name.to_string();
    row.updated_at = now;
    pipelines::update(&mut tx, &row).await.map_err(|e| taken(e, &row.name))?;
    tx.commit_with(event("pipeline.update", actor, &row), now).await?;
    Ok(row)
}

/// Removes one. Its apps stay as they are.
pub async fn destroy(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Pipeline> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    if !pipelines::delete(&mut tx, pipeline.id).await? {
        return Err(Error::not_found("pipeline", pipeline.id.to_string()));
    }
    tx.commit_with(event("pipeline.destroy", actor, pipeline), now).await?;
    Ok(pipeline.clone())
}

/// A pipeline's row as it stands, locked until the transaction ends.
async fn current(c: &mut crate::store::Conn, id: Uuid) -> Result<Pipeline> {
    pipelines::lock(c, id).await?;
    pipelines::by_id(c, id).await?.ok_or_else(|| Error::not_found("pipeline", id.to_string()))
}

fn taken(error: crate::store::StoreError, name: &str) -> Error {
    if error.is_duplicate() { Error::invalid(format!("Name {name} is already taken.")) } else { error.into() }
}

fn event(kind: &'static str, actor: &Actor, pipeline: &Pipeline) -> Event {
    let owner = json!({"id": pipeline.owner_id, "type": pipeline.owner_type});
    Event::new(kind, actor.name(), json!({"id": pipeline.id, "name": pipeline.name, "owner": owner}))
}
