//! `/review-apps`, how a pipeline makes them, and the repository that they are made from.

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use paas_wire as wire;
use uuid::Uuid;
use wire::{
    IdRef, PipelineRepo, ReviewAppConfig,
    review_app::{
        Branch, Commit, DeployTarget, PipelineRepoCreate, RepoRef, ReviewApp, ReviewAppConfigChange, ReviewAppCreate,
    },
};

use super::{
    endpoints::{Accepted, Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{
        self, Platform, addresses,
        apps::Permission,
        pipelines::{find, find_for, find_owned},
        repos, reviews,
    },
    repos as adapter,
    store::review_apps::{self as rows, Config, Repo},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .post("/review-apps", create)
        .get("/review-apps/{review_app}", info)
        .delete("/review-apps/{review_app}", destroy)
        .get("/apps/{app}/review-app", of_app)
        .get("/pipelines/{pipeline}/review-apps", index)
        .get("/pipelines/{pipeline}/review-app-config", config)
        .post("/pipelines/{pipeline}/review-app-config", enable)
        .patch("/pipelines/{pipeline}/review-app-config", reconfigure)
        .delete("/pipelines/{pipeline}/review-app-config", disable)
        .get("/pipelines/{pipeline}/repo", repo)
        .post("/pipelines/{pipeline}/repo", connect)
        .delete("/pipelines/{pipeline}/repo", disconnect)
        .get("/pipelines/{pipeline}/repo/branches", branches)
        .get("/pipelines/{pipeline}/repo/branches/{branch}", branch)
        .get("/pipelines/{pipeline}/repo/archives/{branch}", archive)
}

fn show(row: &rows::ReviewApp) -> ReviewApp {
    ReviewApp {
        app: (row.status != "deleted").then_some(IdRef { id: row.app_id }),
        app_setup: Some(IdRef { id: row.setup_id }),
        branch: row.branch.clone(),
        created_at: row.created_at,
        creator: IdRef { id: row.user_id },
        error_status: row.error_status.clone(),
        fork_repo: row.fork_repo_id.map(|id| RepoRef { id }),
        id: row.id,
        message: row.message.clone(),
        pipeline: IdRef { id: row.pipeline_id },
        pr_number: row.pr_number,
        status: row.status.clone(),
        updated_at: row.updated_at,
        wait_for_ci: row.wait_for_ci,
    }
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<ReviewAppCreate>,
) -> ApiResult<Created<ReviewApp>> {
    let pipeline = find_for(&p, &actor, body.pipeline.as_str(), Permission::Deploy).await?;
    let new = reviews::New {
        branch: body.branch,
        url: body.source_blob.url,
        version: body.source_blob.version,
        environment: body.environment.unwrap_or_default(),
        pr_number: body.pr_number,
        fork_repo_id: body.fork_repo_id,
    };
    Ok(Created(show(&reviews::create(&p, &actor, &pipeline, new).await?)))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(id): Path<String>) -> ApiResult<Json<ReviewApp>> {
    Ok(Json(show(&reviews::find(&p, &actor, &id).await?)))
}

async fn of_app(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<ReviewApp>> {
    Ok(Json(show(&reviews::of_app(&p, &actor, &app).await?)))
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Accepted<ReviewApp>> {
    let row = reviews::find(&p, &actor, &id).await?;
    Ok(Accepted(show(&reviews::destroy(&p, &actor, &row).await?)))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<ReviewApp>> {
    let pipeline = find(&p, &actor, &pipeline).await?;
    let items = reviews::list(&p, &pipeline).await?.iter().map(show).collect();
    Ok(list(&headers, "id", items, |item: &ReviewApp| item.id.to_string()))
}

async fn show_config(p: &Platform, row: &Config) -> ApiResult<ReviewAppConfig> {
    let repo = match repos::get(p, row.pipeline_id).await {
        Ok(repo) => repo.number,
        // It was disconnected meanwhile.
        Err(Error::NotFound(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    Ok(ReviewAppConfig {
        automatic_review_apps: row.automatic,
        base_name: row.base_name.clone(),
        deploy_target: Some(DeployTarget { id: view::id_of("region", "local").to_string(), kind: "region".into() }),
        destroy_stale_apps: row.destroy_stale,
        pipeline_id: row.pipeline_id,
        repo: RepoRef { id: repo },
        stale_days: row.stale_days,
        wait_for_ci: row.wait_for_ci,
    })
}

fn changes(body: &ReviewAppConfigChange) -> ApiResult<reviews::Changes> {
    if let Some(target) = &body.deploy_target
        && (target.kind != "region" || target.id != view::id_of("region", "local").to_string())
    {
        return Err(ApiError::invalid("deploy_target: there is one place here, the region local; leave it out."));
    }
    Ok(reviews::Changes {
        automatic: body.automatic_review_apps,
        destroy_stale: body.destroy_stale_apps,
        stale_days: body.stale_days,
        wait_for_ci: body.wait_for_ci,
        base_name: body.base_name.clone(),
    })
}

async fn config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<ReviewAppConfig>> {
    let pipeline = find(&p, &actor, &pipeline).await?;
    Ok(Json(show_config(&p, &reviews::config(&p, &pipeline).await?).await?))
}

async fn enable(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    Body(body): Body<ReviewAppConfigChange>,
) -> ApiResult<Created<ReviewAppConfig>> {
    let pipeline = find_owned(&p, &actor, &pipeline).await?;
    let row = reviews::enable(&p, &actor, &pipeline, body.repo.as_deref(), changes(&body)?).await?;
    Ok(Created(show_config(&p, &row).await?))
}

async fn reconfigure(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    Body(body): Body<ReviewAppConfigChange>,
) -> ApiResult<Json<ReviewAppConfig>> {
    let pipeline = find_owned(&p, &actor, &pipeline).await?;
    let row = reviews::reconfigure(&p, &actor, &pipeline, changes(&body)?).await?;
    Ok(Json(show_config(&p, &row).await?))
}

async fn disable(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<ReviewAppConfig>> {
    let pipeline = find_owned(&p, &actor, &pipeline).await?;
    Ok(Json(show_config(&p, &reviews::disable(&p, &actor, &pipeline).await?).await?))
}

fn show_repo(p: &Platform, row: &Repo) -> ApiResult<PipelineRepo> {
    Ok(PipelineRepo {
        created_at: row.created_at,
        full_name: row.full_name.clone(),
        id: row.number,
        name: row.full_name.rsplit('/').next().unwrap_or_default().to_owned(),
        pipeline: IdRef { id: row.pipeline_id },
        repo_url: repos::shown_url(p, row)?,
    })
}

async fn repo(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<PipelineRepo>> {
    let pipeline = find(&p, &actor, &pipeline).await?;
    Ok(Json(show_repo(&p, &repos::get(&p, pipeline.id).await?)?))
}

async fn connect(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    Body(body): Body<PipelineRepoCreate>,
) -> ApiResult<Created<PipelineRepo>> {
    let pipeline = find_owned(&p, &actor, &pipeline).await?;
    let row = repos::connect(&p, &actor, &pipeline, &body.repo_url).await?;
    Ok(Created(show_repo(&p, &row)?))
}

async fn disconnect(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
) -> ApiResult<Json<PipelineRepo>> {
    let pipeline = find_owned(&p, &actor, &pipeline).await?;
    let shown = show_repo(&p, &repos::get(&p, pipeline.id).await?)?;
    repos::disconnect(&p, &actor, &pipeline).await?;
    Ok(Json(shown))
}

fn show_branch(p: &Platform, pipeline_id: Uuid, branch: &adapter::Branch) -> Branch {
    Branch {
        archive_link: repos::archive_link(p, pipeline_id, &branch.name),
        commit: Commit { sha: branch.commit.clone() },
        name: branch.name.clone(),
    }
}

async fn branches(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<Branch>> {
    let pipeline = find_for(&p, &actor, &pipeline, Permission::Deploy).await?;
    let all = repos::branches(&p, pipeline.id).await?;
    let items = all.iter().map(|branch| show_branch(&p, pipeline.id, branch)).collect();
    Ok(list(&headers, "name", items, |item: &Branch| item.name.clone()))
}

async fn branch(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((pipeline, name)): Path<(String, String)>,
) -> ApiResult<Json<Branch>> {
    let pipeline = find_for(&p, &actor, &pipeline, Permission::Deploy).await?;
    Ok(Json(show_branch(&p, pipeline.id, &repos::branch(&p, pipeline.id, &name).await?)))
}

/// A branch as an archive. The address that was given out is the key to it.
async fn archive(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path((pipeline, name)): Path<(String, String)>,
    Query(key): Query<addresses::Key>,
) -> ApiResult<Response> {
    let id = pipeline.parse::<Uuid>().ok().filter(|id| addresses::is_key(&p, &repos::purpose(&name), *id, &key));
    let id = match id {
        Some(id) => id,
        None => find_for(&p, &auth?.0, &pipeline, Permission::Deploy).await?.id,
    };
    // Its bytes stay as long as they are being read.
    let fresh = adapter::Scrap::new(ops::sources::path(&p, Uuid::new_v4()));
    let disk = |error| Error::internal("Sources have no place on disk.", error);
    tokio::fs::create_dir_all(p.cx.path("sources")).await.map_err(disk)?;
    repos::branch(&p, id, &name).await?;
    repos::archive(&p, id, &name, fresh.path()).await?;
    let opened = tokio::fs::File::open(fresh.path()).await.map_err(disk)?;
    let mut response = HttpBody::from_stream(tokio_util::io::ReaderStream::new(opened)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    Ok(response)
}
