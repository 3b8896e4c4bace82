//! `/apps/{app}/routing`: how the router treats an app.

use axum::{Json, extract::State};
use paas_domain::route::usual;
use paas_wire as wire;

use super::{
    endpoints::Endpoints,
    error::ApiResult,
    extract::{Auth, Body, Path},
};
use crate::{
    ops::{
        Platform,
        apps::{self, Permission},
        routing::{self, Changes, Shown},
    },
    store::apps::App,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/apps/{app}/routing", info).patch("/apps/{app}/routing", update)
}

fn show(app: App, shown: Shown) -> wire::Routing {
    let rules = shown.rules;
    wire::Routing {
        app: wire::Named { id: app.id, name: app.name },
        connect_ms: rules.connect_ms.unwrap_or(usual::CONNECT_MS),
        queue_ms: rules.queue_ms.unwrap_or(usual::QUEUE_MS),
        first_byte_ms: rules.first_byte_ms.unwrap_or(usual::FIRST_BYTE_MS),
        idle_ms: rules.idle_ms.unwrap_or(usual::IDLE_MS),
        concurrency: rules.concurrency.unwrap_or(usual::CONCURRENCY),
        balancing: rules.balancing.name().into(),
        https_only: rules.https_only,
        hsts_max_age: rules.hsts.map(|hsts| hsts.max_age),
        hsts_include_subdomains: rules.hsts.is_some_and(|hsts| hsts.include_subdomains),
        hsts_preload: rules.hsts.is_some_and(|hsts| hsts.preload),
        session_affinity: rules.affinity,
        http2_to_dynos: rules.http2,
        idle_after_ms: u64::try_from(shown.idle_after.as_millis()).unwrap_or(u64::MAX),
        web_idling: shown.web_idling,
        own: shown.own.into_iter().map(str::to_owned).collect(),
        updated_at: shown.updated_at,
    }
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<wire::Routing>> {
    let app = apps::find_for(&p, &actor, &app, Permission::View).await?;
    let shown = routing::show(&p, &app).await?;
    Ok(Json(show(app, shown)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::RoutingUpdate>,
) -> ApiResult<Json<wire::Routing>> {
    let app = apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    let changes = Changes {
        connect_ms: body.connect_ms,
        queue_ms: body.queue_ms,
        first_byte_ms: body.first_byte_ms,
        idle_ms: body.idle_ms,
        concurrency: body.concurrency,
        balancing: body.balancing,
        https_only: body.https_only,
        hsts_max_age: body.hsts_max_age,
        hsts_include_subdomains: body.hsts_include_subdomains,
        hsts_preload: body.hsts_preload,
        idle_after_ms: body.idle_after_ms,
    };
    let shown = routing::update(&p, &actor, &app, changes).await?;
    Ok(Json(show(app, shown)))
}
