//! Which app is in which pipeline, and at which stage.

use std::collections::HashSet;

use paas_domain::stage::Stage;
use serde_json::json;
use uuid::Uuid;

use super::{Owner, find, is_owner, list as visible, makes_in, may, works_on_one};
use crate::{
    context::new_id,
    error::{Error, Result},
    ops::{
        Actor, Platform,
        apps::{self, Permission},
    },
    store::{
        Change,
        apps::App,
        couplings::{self, Coupling},
        events::Event,
        pipelines::{self, Pipeline},
    },
};

/// Those of all pipelines that somebody may see.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<Coupling>> {
    let seen: HashSet<Uuid> = visible(p, actor).await?.into_iter().map(|pipeline| pipeline.id).collect();
    let all = couplings::list(&mut p.db.read().await?).await?;
    Ok(all.into_iter().filter(|row| seen.contains(&row.pipeline_id)).collect())
}

/// Those of the pipelines of a team.
pub async fn of_team(p: &Platform, actor: &Actor, team: Uuid) -> Result<Vec<Coupling>> {
    let seen: HashSet<Uuid> = visible(p, actor)
        .await?
        .into_iter()
        .filter(|pipeline| Owner::of(pipeline) == Some(Owner::Team(team)))
        .map(|pipeline| pipeline.id)
        .collect();
    let all = couplings::list(&mut p.db.read().await?).await?;
    Ok(all.into_iter().filter(|row| seen.contains(&row.pipeline_id)).collect())
}

/// Those of a pipeline.
pub async fn of_pipeline(p: &Platform, pipeline: &Pipeline) -> Result<Vec<Coupling>> {
    Ok(couplings::of_pipeline(&mut p.db.read().await?, pipeline.id).await?)
}

/// That of an app.
pub async fn of_app(p: &Platform, app: &App) -> Result<Coupling> {
    let found = couplings::of_app(&mut p.db.read().await?, app.id).await?;
    found.ok_or_else(|| {
        Error::not_found("pipeline_coupling", format!("Couldn't find a pipeline that {} is in.", app.name))
    })
}

/// One by identity, for somebody who may see its pipeline or its app.
pub async fn find_one(p: &Platform, actor: &Actor, id: &str) -> Result<Coupling> {
    let missing = || Error::not_found("pipeline_coupling", id);
    let parsed: Uuid = id.parse().map_err(|_| missing())?;
    let found = couplings::by_id(&mut p.db.read().await?, parsed).await?.ok_or_else(missing)?;
    if may(p, actor, found.app_id, Permission::View).await? {
        return Ok(found);
    }
    match find(p, actor, &found.pipeline_id.to_string()).await {
        Ok(_) => Ok(found),
        Err(Error::NotFound(_)) => Err(missing()),
        Err(error) => Err(error),
    }
}

/// The same, for somebody who may change it: the pipeline's owner, and whoever operates the app.
async fn find_for_change(p: &Platform, actor: &Actor, id: &str) -> Result<Coupling> {
    let found = find_one(p, actor, id).await?;
    if may(p, actor, found.app_id, Permission::Operate).await? {
        return Ok(found);
    }
    let pipeline = pipelines::by_id(&mut p.db.read().await?, found.pipeline_id).await?;
    if let Some(pipeline) = pipeline
        && is_owner(p, actor, &pipeline).await?
    {
        return Ok(found);
    }
    Err(Error::Forbidden(format!("You may not change in which pipeline {} is.", found.app_name)))
}

/// Puts an app into a pipeline: who operates the app, and makes or operates what is in the pipeline.
pub async fn create(p: &Platform, actor: &Actor, app: &str, pipeline: &str, stage: Stage) -> Result<Coupling> {
    let pipeline = find(p, actor, pipeline).await?;
    let app = apps::find_for(p, actor, app, Permission::Operate).await?;
    if !may_add(p, actor, &pipeline).await? {
        return Err(Error::Forbidden(format!(
            "You may not add apps to the pipeline {}: its owner, the members of its team and who operates one of its apps may.",
            pipeline.name
        )));
    }
    let mut change = p.change(app.id).await?;
    let coupling = add(p, &mut change, &app, &pipeline, stage).await?;
    p.commit(change, event("pipeline-coupling.create", actor, &coupling)).await?;
    p.tell(app.id, told(actor, &coupling));
    Ok(coupling)
}

/// Whether somebody may bring apps into a pipeline. To see it is not enough, nor to be in its team:
/// who has an app in it may do more with the pipeline than others. Whoever makes one brings the
/// first.
async fn may_add(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<bool> {
    Ok(is_owner(p, actor, pipeline).await?
        || works_on_one(p, actor, pipeline, Permission::Operate).await?
        || (makes_in(p, actor, pipeline).await? && pipelines::is_bare(&mut p.db.read().await?, pipeline.id).await?))
}

/// Puts an app that is made for a pipeline into it, in the change that makes it.
pub(in crate::ops) async fn add_new(
    p: &Platform,
    change: &mut Change,
    actor: &Actor,
    (app, pipeline): (&App, &Pipeline),
    stage: Stage,
) -> Result<Coupling> {
    let coupling = add(p, change, app, pipeline, stage).await?;
    change.also(event("pipeline-coupling.create", actor, &coupling), coupling.created_at).await?;
    Ok(coupling)
}

/// What the log of an app says of its coming.
pub(in crate::ops) fn told(actor: &Actor, coupling: &Coupling) -> String {
    format!("Add to pipeline {} at {} by user {}", coupling.pipeline_name, coupling.stage, actor.name())
}

async fn add(p: &Platform, change: &mut Change, app: &App, pipeline: &Pipeline, stage: Stage) -> Result<Coupling> {
    let now = p.cx.now();
    let coupling = Coupling {
        id: new_id(),
        pipeline_id: pipeline.id,
        app_id: app.id,
        stage: stage.as_str().into(),
        created_at: now,
        updated_at: now,
        pipeline_name: pipeline.name.clone(),
        app_name: app.name.clone(),
    };
    if let Some(other) = couplings::of_app(change, app.id).await? {
        return Err(Error::invalid(format!(
            "{} is in the pipeline {} already, at {}. An app is in one pipeline; `pipelines:remove` takes it out of it, `pipelines:update` moves it to another stage.",
            app.name, other.pipeline_name, other.stage
        )));
    }
    if !pipelines::lock(change, pipeline.id).await? {
        return Err(Error::not_found("pipeline", pipeline.id.to_string()));
    }
    couplings::insert(change, &coupling).await?;
    Ok(coupling)
}

/// Moves an app to another stage.
pub async fn update(p: &Platform, actor: &Actor, id: &str, stage: Option<Stage>) -> Result<Coupling> {
    let mut coupling = find_for_change(p, actor, id).await?;
    let Some(stage) = stage.filter(|stage| stage.as_str() != coupling.stage) else { return Ok(coupling) };
    coupling.stage = stage.as_str().into();
    coupling.updated_at = p.cx.now();
    let mut change = p.change(coupling.app_id).await?;
    if !couplings::set_stage(&mut change, coupling.id, &coupling.stage, coupling.updated_at).await? {
        return Err(Error::not_found("pipeline_coupling", id));
    }
    p.commit(change, event("pipeline-coupling.update", actor, &coupling)).await?;
    let told = format!("Move to {stage} of pipeline {} by user {}", coupling.pipeline_name, actor.name());
    p.tell(coupling.app_id, told);
    Ok(coupling)
}

/// Takes an app out of its pipeline.
pub async fn remove(p: &Platform, actor: &Actor, id: &str) -> Result<Coupling> {
    let coupling = find_for_change(p, actor, id).await?;
    let mut change = p.change(coupling.app_id).await?;
    if !couplings::delete(&mut change, coupling.id).await? {
        return Err(Error::not_found("pipeline_coupling", id));
    }
    p.commit(change, event("pipeline-coupling.destroy", actor, &coupling)).await?;
    let told = format!("Remove from pipeline {} by user {}", coupling.pipeline_name, actor.name());
    p.tell(coupling.app_id, told);
    Ok(coupling)
}

fn event(kind: &'static str, actor: &Actor, coupling: &Coupling) -> Event {
    let data = json!({
        "id": coupling.id, "pipeline": coupling.pipeline_id, "app": coupling.app_id, "stage": coupling.stage,
    });
    Event::new(kind, actor.name(), data)
}
