//! `/apps/{app}/dynos`: what runs, what is run once, and how large it can be.

use axum::{Json, extract::State, http::HeaderMap};
use paas_domain::size::Size;
use paas_wire as wire;

use super::{
    endpoints::{Accepted, Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{
        self, Platform,
        apps::{Permission, WORK, find_any, find_for},
        dynos::{Run, Which},
    },
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/dynos", dynos)
        .post("/apps/{app}/dynos", run)
        .delete("/apps/{app}/dynos", restart_all)
        .get("/apps/{app}/dynos/{dyno}", dyno)
        .post("/apps/{app}/dynos/{dyno}", run_inside)
        .delete("/apps/{app}/dynos/{dyno}", restart_one)
        .post("/apps/{app}/dynos/{dyno}/actions/stop", stop_one)
        .delete("/apps/{app}/formations/{type}", restart_type)
        .post("/apps/{app}/formations/{type}/actions/stop", stop_type)
        .get("/apps/{app}/available-dyno-sizes", available_sizes)
        .get("/dyno-sizes", sizes)
        .get("/dyno-sizes/{size}", size)
}

async fn dynos(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Dyno>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let items = ops::dynos::list(&p, &app).await?.iter().map(|row| view::dyno(&app, row, None)).collect();
    Ok(list(&headers, "name", items, |item: &wire::Dyno| item.name.clone()))
}

async fn dyno(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::Dyno>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    Ok(Json(view::dyno(&app, &ops::dynos::find(&p, &app, &name).await?, None)))
}

async fn run(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::DynoCreate>,
) -> ApiResult<Created<wire::Dyno>> {
    let app = find_any(&p, &actor, &app, &WORK).await?;
    let attach = body.attach.unwrap_or(false);
    let (row, secret) = ops::dynos::run(&p, &actor, &app, wanted(body, attach)).await?;
    let url = secret.map(|secret| view::attach_url(p.cx.config(), &secret));
    Ok(Created(view::dyno(&app, &row, url)))
}

fn wanted(body: wire::DynoCreate, attach: bool) -> Run {
    Run {
        script: None,
        command: body.command,
        attach,
        tty: attach && !body.force_no_tty.unwrap_or(false),
        env: body.env.unwrap_or_default(),
        size: body.size.as_deref().map(size_named),
        process_type: body.kind,
        time_to_live: body.time_to_live.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
    }
}

/// One more program in a dyno that runs. It is always attached to: nobody else hears it.
async fn run_inside(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
    Body(body): Body<wire::DynoCreate>,
) -> ApiResult<Created<wire::Dyno>> {
    let app = find_any(&p, &actor, &app, &WORK).await?;
    let dyno = ops::dynos::find(&p, &app, &name).await?;
    let run = wanted(body, true);
    let command = run.command.clone();
    let secret = ops::inside::offer(&p, &actor, &app, &dyno, run).await?;
    let mut shown = view::dyno(&app, &dyno, Some(view::attach_url(p.cx.config(), &secret)));
    shown.command = command;
    Ok(Created(shown))
}

async fn accepted(
    p: &Platform,
    which: Which,
    app: &str,
    actor: &ops::Actor,
    stop: bool,
) -> ApiResult<Accepted<serde_json::Value>> {
    let app = find_for(p, actor, app, Permission::Operate).await?;
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
    accepted(&p, which(name), &app, &actor, false).await
}

/// Heroku's clients name a process type where a dyno is named, too.
fn which(name: String) -> Which {
    if name.contains('.') || name.parse::<uuid::Uuid>().is_ok() { Which::One(name) } else { Which::Type(name) }
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
    accepted(&p, which(name), &app, &actor, true).await
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

fn size_page(headers: &HeaderMap) -> Page<wire::DynoSize> {
    let items = Size::ALL.into_iter().map(size_view).collect();
    list(headers, "id", items, |item: &wire::DynoSize| item.id.to_string())
}

async fn sizes(Auth(_): Auth, headers: HeaderMap) -> ApiResult<Page<wire::DynoSize>> {
    Ok(size_page(&headers))
}

/// The sizes that an app's dynos can have: all.
async fn available_sizes(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::DynoSize>> {
    ops::apps::find(&p, &actor, &app).await?;
    Ok(size_page(&headers))
}

/// A size's name, where a client gives its id or its name.
pub(super) fn size_named(asked: &str) -> String {
    let by_id = Size::ALL.into_iter().find(|size| view::id_of("dyno-size", size.name()).to_string() == asked);
    by_id.map_or_else(|| asked.to_owned(), |size| size.name().to_owned())
}

async fn size(Auth(_): Auth, Path(asked): Path<String>) -> ApiResult<Json<wire::DynoSize>> {
    let size = Size::parse(&size_named(&asked)).map_err(|_| Error::not_found("dyno size", asked))?;
    Ok(Json(size_view(size)))
}
