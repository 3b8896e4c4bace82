//! `/apps/{app}/sni-endpoints` and `/apps/{app}/acm`: certificates that an app brings, and
//! whether it wants them got for it.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::ops::{
    self, Actor, Platform,
    apps::Permission::{Operate, View},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/sni-endpoints", index)
        .post("/apps/{app}/sni-endpoints", create)
        .get("/apps/{app}/sni-endpoints/{endpoint}", info)
        .patch("/apps/{app}/sni-endpoints/{endpoint}", update)
        .delete("/apps/{app}/sni-endpoints/{endpoint}", remove)
        .post("/apps/{app}/acm", enable_acm)
        .patch("/apps/{app}/acm", refresh_acm)
        .delete("/apps/{app}/acm", disable_acm)
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::SniEndpoint>> {
    let app = ops::apps::find_for(&p, &actor, &app, View).await?;
    let all = ops::sni_endpoints::list(&p, &app).await?;
    let items = all.iter().map(|shown| view::sni_endpoint(&app, shown)).collect();
    Ok(list(&headers, "name", items, |item: &wire::SniEndpoint| item.name.clone()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::SniEndpointCreate>,
) -> ApiResult<Created<wire::SniEndpoint>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let name = body.name.as_deref();
    let shown = ops::sni_endpoints::create(&p, &actor, &app, name, &body.certificate_chain, &body.private_key).await?;
    Ok(Created(view::sni_endpoint(&app, &shown)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::SniEndpoint>> {
    let app = ops::apps::find_for(&p, &actor, &app, View).await?;
    Ok(Json(view::sni_endpoint(&app, &ops::sni_endpoints::find(&p, &app, &name).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
    Body(body): Body<wire::SniEndpointUpdate>,
) -> ApiResult<Json<wire::SniEndpoint>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let shown = ops::sni_endpoints::find(&p, &app, &name).await?;
    let shown =
        ops::sni_endpoints::update(&p, &actor, &app, &shown, &body.certificate_chain, &body.private_key).await?;
    Ok(Json(view::sni_endpoint(&app, &shown)))
}

async fn remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::SniEndpoint>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let shown = ops::sni_endpoints::find(&p, &app, &name).await?;
    ops::sni_endpoints::remove(&p, &actor, &app, &shown).await?;
    Ok(Json(view::sni_endpoint(&app, &shown)))
}

async fn set_acm(p: &Platform, actor: &Actor, app: &str, acm: bool) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find_for(p, actor, app, Operate).await?;
    let owned = ops::acm::set(p, actor, &app, acm).await?;
    Ok(Json(view::app(p.cx.config(), &owned)))
}

async fn enable_acm(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<wire::App>> {
    set_acm(&p, &actor, &app, true).await
}

async fn disable_acm(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<wire::App>> {
    set_acm(&p, &actor, &app, false).await
}

/// What has failed is tried again now.
async fn refresh_acm(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let owned = ops::acm::refresh(&p, &actor, &app).await?;
    Ok(Json(view::app(p.cx.config(), &owned)))
}
