//! `/pipeline-couplings`: which app is in which pipeline.

use axum::{Json, extract::State, http::HeaderMap};
use paas_domain::stage::Stage;
use paas_wire as wire;
use wire::{Named, PipelineCoupling};

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
};
use crate::{
    error::Error,
    ops::{self, Platform, apps::Permission, pipelines::couplings},
    store::couplings::Coupling,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/pipeline-couplings", index)
        .post("/pipeline-couplings", create)
        .get("/pipeline-couplings/{coupling}", info)
        .patch("/pipeline-couplings/{coupling}", update)
        .delete("/pipeline-couplings/{coupling}", remove)
        .get("/pipelines/{pipeline}/pipeline-couplings", of_pipeline)
        .get("/apps/{app}/pipeline-couplings", of_app)
        .get("/users/{id}/pipeline-couplings", of_user)
        .get("/teams/{team}/pipeline-couplings", of_team)
}

fn show(row: &Coupling) -> PipelineCoupling {
    use wire::Stage::{Development, Production, Review, Staging, Test};
    PipelineCoupling {
        app: Named { id: row.app_id, name: row.app_name.clone() },
        created_at: row.created_at,
        id: row.id,
        pipeline: Named { id: row.pipeline_id, name: row.pipeline_name.clone() },
        stage: match row.stage.as_str() {
            "test" => Test,
            "review" => Review,
            "development" => Development,
            "staging" => Staging,
            _ => Production,
        },
        updated_at: row.updated_at,
    }
}

fn read(stage: wire::Stage) -> Stage {
    match stage {
        wire::Stage::Test => Stage::Test,
        wire::Stage::Review => Stage::Review,
        wire::Stage::Development => Stage::Development,
        wire::Stage::Staging => Stage::Staging,
        wire::Stage::Production => Stage::Production,
    }
}

fn page(headers: &HeaderMap, rows: &[Coupling]) -> Page<PipelineCoupling> {
    list(headers, "id", rows.iter().map(show).collect(), |item: &PipelineCoupling| item.id.to_string())
}

async fn index(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<PipelineCoupling>> {
    Ok(page(&headers, &couplings::list(&p, &actor).await?))
}

async fn of_user(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<PipelineCoupling>> {
    if id != "~" && id != actor.user.id.to_string() && !id.eq_ignore_ascii_case(&actor.user.email) {
        return Err(Error::not_found("user", id).into());
    }
    index(State(p), Auth(actor), headers).await
}

async fn of_team(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<PipelineCoupling>> {
    let team = ops::pipelines::find_team(&p, &actor, &team).await?;
    Ok(page(&headers, &couplings::of_team(&p, &actor, team).await?))
}

async fn of_pipeline(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<PipelineCoupling>> {
    let pipeline = ops::pipelines::find(&p, &actor, &pipeline).await?;
    Ok(page(&headers, &couplings::of_pipeline(&p, &pipeline).await?))
}

async fn of_app(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<PipelineCoupling>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    Ok(Json(show(&couplings::of_app(&p, &app).await?)))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::PipelineCouplingCreate>,
) -> ApiResult<Created<PipelineCoupling>> {
    let (app, pipeline) = (body.app.as_str(), body.pipeline.as_str());
    Ok(Created(show(&couplings::create(&p, &actor, app, pipeline, read(body.stage)).await?)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<PipelineCoupling>> {
    Ok(Json(show(&couplings::find_one(&p, &actor, &id).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    Body(body): Body<wire::PipelineCouplingUpdate>,
) -> ApiResult<Json<PipelineCoupling>> {
    Ok(Json(show(&couplings::update(&p, &actor, &id, body.stage.map(read)).await?)))
}

async fn remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<PipelineCoupling>> {
    Ok(Json(show(&couplings::remove(&p, &actor, &id).await?)))
}
