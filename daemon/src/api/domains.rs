//! `/apps/{app}/domains`: the host names that lead to an app.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    error::Result,
    ops::{
        self, Platform,
        apps::Permission::{Operate, View},
    },
    store::{
        acme,
        apps::{self, App},
        domains::Domain,
        sni_endpoints,
    },
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/domains", index)
        .post("/apps/{app}/domains", add)
        .get("/apps/{app}/domains/{name}", info)
        .patch("/apps/{app}/domains/{name}", update)
        .delete("/apps/{app}/domains/{name}", remove)
}

/// One as its address shows it.
pub(super) async fn show(p: &Platform, app: &App, row: &Domain) -> Result<wire::Domain> {
    let mut c = p.db.read().await?;
    let endpoint = match row.sni_endpoint_id {
        Some(id) => sni_endpoints::by_id(&mut c, id).await?,
        None => None,
    };
    let acm = acme::by_domain(&mut c, row.id).await?;
    // What the row of a moment ago does not know yet: adding a domain may switch it on.
    let app = apps::by_id(&mut c, app.id).await?.unwrap_or_else(|| app.clone());
    Ok(view::domain(p.cx.config(), &app, row, endpoint.as_ref(), acm.as_ref()))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Domain>> {
    let app = ops::apps::find_for(&p, &actor, &app, View).await?;
    let mut c = p.db.read().await?;
    let endpoints = sni_endpoints::list(&mut c, app.id).await?;
    let acm = acme::of_app(&mut c, app.id).await?;
    drop(c);
    let mut items = vec![view::own_domain(p.cx.config(), &app)];
    for row in ops::domains::list(&p, &app).await? {
        let endpoint = endpoints.iter().find(|endpoint| row.sni_endpoint_id == Some(endpoint.id));
        let acm = acm.iter().find(|acm| acm.domain_id == row.id);
        items.push(view::domain(p.cx.config(), &app, &row, endpoint, acm));
    }
    Ok(list(&headers, "hostname", items, |item: &wire::Domain| item.hostname.clone()))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::Domain>> {
    let app = ops::apps::find_for(&p, &actor, &app, View).await?;
    let own = view::own_domain(p.cx.config(), &app);
    if name == own.hostname || name == own.id.to_string() {
        return Ok(Json(own));
    }
    Ok(Json(show(&p, &app, &ops::domains::find(&p, &app, &name).await?).await?))
}

async fn add(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::DomainCreate>,
) -> ApiResult<Created<wire::Domain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let row = ops::domains::add(&p, &actor, &app, &body.hostname, body.sni_endpoint.as_deref()).await?;
    Ok(Created(show(&p, &app, &row).await?))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
    Body(body): Body<wire::DomainUpdate>,
) -> ApiResult<Json<wire::Domain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let Some(sni_endpoint) = body.sni_endpoint else {
        return Err(ApiError::invalid("sni_endpoint: give the name of a certificate, or null for none."));
    };
    let row = ops::domains::update(&p, &actor, &app, &name, sni_endpoint.as_deref()).await?;
    Ok(Json(show(&p, &app, &row).await?))
}

async fn remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::Domain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Operate).await?;
    let row = ops::domains::remove(&p, &actor, &app, &name).await?;
    Ok(Json(show(&p, &app, &row).await?))
}
