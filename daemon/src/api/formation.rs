//! `/apps/{app}/formation` and `/apps/{app}/dynos`.

use axum::{Json, extract::State, http::HeaderMap};
use paas_domain::size::Size;
use paas_wire as wire;

use super::{
    endpoints::{Accepted, Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::ops::{
    self, Platform,
    apps::{Permission, WORK},
    dynos::{Run, Which},
    formation::{Quantity, Update},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/formation", index)
        .patch("/apps/{app}/formation", batch)
        .get("/apps/{app}/formation/{type}", info)
        .patch("/apps/{app}/formation/{type}", update)
        .get("/apps/{app}/dynos", dynos)
        .post("/apps/{app}/dynos", run)
        .delete("/apps/{app}/dynos", restart_all)
        .get("/apps/{app}/dynos/{dyno}", dyno)
        .delete("/apps/{app}/dynos/{dyno}", restart_one)
        .post("/apps/{app}/dynos/{dyno}/actions/stop", stop_one)
        .delete("/apps/{app}/formations/{type}", restart_type)
        .post("/apps/{app}/formations/{type}/actions/stop", stop_type)
        .get("/dyno-sizes", sizes)
        .get("/dyno-sizes/{size}", size)
}

fn wanted(kind: Option<&str>, update: &wire::FormationUpdate) -> ApiResult<Update> {
    let process_type =
        kind.or(update.kind.as_deref()).ok_or_else(|| ApiError::invalid("type: the process type is needed."))?;
    Ok(Update {
        process_type: process_type.to_owned(),
        quantity: update.quantity.map(|quantity| match quantity {
            wire::Quantity::Exactly(n) => Quantity::Exactly(n.into()),
            wire::Quantity::More(n) => Quantity::Relative(n.into()),
            wire::Quantity::Fewer(n) => Quantity::Relative(-i64::from(n)),
        }),
        size: update.dyno_size.as_ref().map(|size| size.0.clone()),
    })
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Formation>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let items = ops::formation::list(&p, &app).await?.iter().map(|process| view::formation(&app, process)).collect();
    Ok(list(&headers, "type", items, |item: &wire::Formation| item.kind.clone()))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, kind)): Path<(String, String)>,
) -> ApiResult<Json<wire::Formation>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    Ok(Json(view::formation(&app, &ops::formation::find(&p, &app, &kind).await?)))
}

async fn batch(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::FormationBatchUpdate>,
) -> ApiResult<Json<Vec<wire::Formation>>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    let updates = body.updates.iter().map(|update| wanted(None, update)).collect::<ApiResult<Vec<_>>>()?;
    let all = ops::formation::update(&p, &actor, &app, &updates).await?;
    let changed = |kind: &str| updates.iter().any(|update| update.process_type == kind);
    Ok(Json(
        all.iter()
            .filter(|process| changed(&process.formation.process_type))
            .map(|process| view::formation(&app, process))
            .collect(),
    ))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, kind)): Path<(String, String)>,
    Body(body): Body<wire::FormationUpdate>,
) -> ApiResult<Json<wire::Formation>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    ops::formation::update(&p, &actor, &app, &[wanted(Some(&kind), &body)?]).await?;
    Ok(Json(view::formation(&app, &ops::formation::find(&p, &app, &kind).await?)))
}

async fn dynos(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Dyno>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let items = ops::dynos::list(&p, &app).await?.iter().map(|row| view::dyno(&app, row, None)).collect();
    Ok(list(&headers, "name", items, |item: &wire::Dyno| item.name.clone()))
}

async fn dyno(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::Dyno>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    Ok(Json(view::dyno(&app, &ops::dynos::find(&p, &app, &name).await?, None)))
}

async fn run(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::DynoCreate>,
) -> ApiResult<Created<wire::Dyno>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    let attach = body.attach.unwrap_or(false);
    let wanted = Run {
        command: body.command,
        attach,
        tty: attach && !body.force_no_tty.unwrap_or(false),
        env: body.env.unwrap_or_default(),
        size: body.size,
        process_type: body.kind,
        time_to_live: body.time_to_live.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
    };
    let (row, secret) = ops::dynos::run(&p, &actor, &app, wanted).await?;
    let url = secret.map(|secret| view::attach_url(p.cx.config(), &secret));
    Ok(Created(view::dyno(&app, &row, url)))
}

async fn accepted(
    p: &Platform,
    which: Which,
    app: &str,
    actor: &ops::Actor,
    stop: bool,
) -> ApiResult<Accepted<serde_json::Value>> {
    let app = ops::apps::find_for(p, actor, app, Permission::Operate).await?;
    if stop {
        ops::dynos::stop(p, actor, &app, &which).await?;
    } else {
        ops::dynos::restart(p, actor, &app, &which).await?;
    }
    Ok(Accepted(serde_json::json!({})))
}

async fn restart_all(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Accepted<serde_json::Value>> {
    accepted(&p, Which::All, &app, &actor, false).await
}

async fn restart_one(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Accepted<serde_json::Value>> {
    accepted(&p, Which::One(name), &app, &actor, false).await
}

async fn restart_type(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, kind)): Path<(String, String)>,
) -> ApiResult<Accepted<serde_json::Value>> {
    accepted(&p, Which::Type(kind), &app, &actor, false).await
}

async fn stop_one(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Accepted<serde_json::Value>> {
    // Heroku's clients stop a type by this path too.
    let which =
        if name.contains('.') || name.parse::<uuid::Uuid>().is_ok() { Which::One(name) } else { Which::Type(name) };
    accepted(&p, which, &app, &actor, true).await
}

async fn stop_type(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, kind)): Path<(String, String)>,
) -> ApiResult<Accepted<serde_json::Value>> {
    accepted(&p, Which::Type(kind), &app, &actor, true).await
}

fn size_view(size: Size) -> wire::DynoSize {
    wire::DynoSize {
        architecture: std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        compute: size.cpu_millis().div_ceil(1000),
        cost: None,
        dedicated: matches!(size, Size::PerformanceM | Size::PerformanceL),
        generation: Some(view::named("generation", "cedar")),
        id: view::id_of("dyno-size", size.name()),
        memory: f64::from(size.memory_mb()) / 1024.0,
        name: size.name().into(),
        precise_dyno_units: 0.0,
        private_space_only: false,
    }
}

async fn sizes(Auth(_): Auth) -> Json<Vec<wire::DynoSize>> {
    Json(Size::ALL.into_iter().map(size_view).collect())
}

async fn size(Auth(_): Auth, Path(name): Path<String>) -> ApiResult<Json<wire::DynoSize>> {
    let size = Size::parse(&name).map_err(|_| crate::error::Error::not_found("dyno size", name))?;
    Ok(Json(size_view(size)))
}
