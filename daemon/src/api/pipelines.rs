//! `/pipelines`: the pipelines themselves, their config vars by stage, what their apps did
//! last, and `/pipeline-transfers`.

use std::collections::HashMap;

use axum::{Json, extract::State, http::HeaderMap};
use paas_domain::stage::Stage;
use paas_wire as wire;
use uuid::Uuid;
use wire::{IdRef, OwnerKind, PipelineOwner};

use super::{
    builds,
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query},
    list::list,
    releases, view,
};
use crate::{
    ops::{
        self, Platform,
        pipelines::{Owner, config, latest, transfer},
    },
    store::{apps::App, pipelines::Pipeline, releases::Release, users},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/pipelines", index)
        .post("/pipelines", create)
        .get("/pipelines/{pipeline}", info)
        .patch("/pipelines/{pipeline}", update)
        .delete("/pipelines/{pipeline}", destroy)
        .get("/pipelines/{pipeline}/stage/{stage}/config-vars", config_vars)
        .patch("/pipelines/{pipeline}/stage/{stage}/config-vars", set_config_vars)
        .get("/pipelines/{pipeline}/latest-releases", latest_releases)
        .get("/pipelines/{pipeline}/latest-deployments", latest_deployments)
        .get("/pipelines/{pipeline}/latest-builds", latest_builds)
        .get("/pipelines/{pipeline}/pipeline-stack", stack)
        .post("/pipeline-transfers", give)
}

fn show_owner(owner: Owner) -> PipelineOwner {
    let kind = match owner {
        Owner::User(_) => OwnerKind::User,
        Owner::Team(_) => OwnerKind::Team,
    };
    PipelineOwner { id: owner.id(), kind }
}

fn read_owner(owner: &PipelineOwner) -> Owner {
    match owner.kind {
        OwnerKind::User => Owner::User(owner.id),
        OwnerKind::Team => Owner::Team(owner.id),
    }
}

fn show(row: &Pipeline) -> wire::Pipeline {
    wire::Pipeline {
        created_at: row.created_at,
        generation: Some(view::named("generation", "cedar")),
        id: row.id,
        name: row.name.clone(),
        owner: Owner::of(row).map(show_owner),
        updated_at: row.updated_at,
    }
}

/// The stage that an address names.
fn stage_of(name: &str) -> ApiResult<Stage> {
    Stage::parse(name).map_err(|e| ApiError::invalid(format!("stage: {e}.")))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Query(query): Query<wire::PipelineQuery>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Pipeline>> {
    let rows = match query.name {
        Some(name) => ops::pipelines::named(&p, &actor, &name).await?,
        None => ops::pipelines::list(&p, &actor).await?,
    };
    Ok(list(&headers, "id", rows.iter().map(show).collect(), |item: &wire::Pipeline| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::PipelineCreate>,
) -> ApiResult<Created<wire::Pipeline>> {
    let owner = body.owner.as_ref().map(read_owner);
    Ok(Created(show(&ops::pipelines::create(&p, &actor, &body.name, owner).await?)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<wire::Pipeline>> {
    Ok(Json(show(&ops::pipelines::find(&p, &actor, &pipeline).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    Body(body): Body<wire::PipelineUpdate>,
) -> ApiResult<Json<wire::Pipeline>> {
    let row = ops::pipelines::find_owned(&p, &actor, &pipeline).await?;
    Ok(Json(show(&ops::pipelines::rename(&p, &actor, &row, body.name.as_deref()).await?)))
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<wire::Pipeline>> {
    let row = ops::pipelines::find_owned(&p, &actor, &pipeline).await?;
    Ok(Json(show(&ops::pipelines::destroy(&p, &actor, &row).await?)))
}

async fn config_vars(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((pipeline, stage)): Path<(String, String)>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let row = ops::pipelines::find(&p, &actor, &pipeline).await?;
    Ok(Json(config::get(&p, &actor, &row, stage_of(&stage)?).await?))
}

async fn set_config_vars(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((pipeline, stage)): Path<(String, String)>,
    Body(body): Body<wire::ConfigVarsUpdate>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let row = ops::pipelines::find(&p, &actor, &pipeline).await?;
    Ok(Json(config::update(&p, &actor, &row, stage_of(&stage)?, &body).await?))
}

/// Releases of several apps, by app.
async fn page(p: &Platform, headers: &HeaderMap, rows: Vec<(App, Release)>) -> ApiResult<Page<wire::Release>> {
    let mut items = Vec::new();
    for (app, row) in rows {
        items.push(releases::show(p, &app, &row).await?);
    }
    items.sort_by_key(|item| item.id);
    Ok(list(headers, "id", items, |item: &wire::Release| item.id.to_string()))
}

async fn latest_releases(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Release>> {
    let row = ops::pipelines::find(&p, &actor, &pipeline).await?;
    page(&p, &headers, latest::releases_of(&p, &actor, &row).await?).await
}

async fn latest_deployments(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Release>> {
    let row = ops::pipelines::find(&p, &actor, &pipeline).await?;
    page(&p, &headers, latest::deployments(&p, &actor, &row).await?).await
}

async fn latest_builds(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Build>> {
    let row = ops::pipelines::find(&p, &actor, &pipeline).await?;
    let users: HashMap<Uuid, users::User> =
        users::list(&mut p.db.read().await?).await?.into_iter().map(|user| (user.id, user)).collect();
    let rows = latest::builds_of(&p, &actor, &row).await?;
    let mut items: Vec<wire::Build> =
        rows.iter().filter_map(|(_, row)| Some(builds::show(&p, row, users.get(&row.user_id)?))).collect();
    items.sort_by_key(|item| item.id);
    Ok(list(&headers, "id", items, |item: &wire::Build| item.id.to_string()))
}

async fn stack(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<wire::PipelineStack>> {
    ops::pipelines::find(&p, &actor, &pipeline).await?;
    Ok(Json(wire::PipelineStack { stack: Some(view::named("stack", &p.cx.config().stack)) }))
}

async fn give(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::PipelineTransferCreate>,
) -> ApiResult<Created<wire::PipelineTransfer>> {
    let row = ops::pipelines::find_owned(&p, &actor, body.pipeline.as_str()).await?;
    let to = read_owner(&body.new_owner);
    let from = transfer::create(&p, &actor, &row, to).await?;
    Ok(Created(wire::PipelineTransfer {
        new_owner: show_owner(to),
        pipeline: IdRef { id: row.id },
        previous_owner: show_owner(from),
    }))
}
