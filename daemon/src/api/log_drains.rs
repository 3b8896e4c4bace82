//! `/apps/{app}/log-drains`, and those of an add-on.

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
    self, Platform,
    apps::Permission,
    log_drains::{self, Shown},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/log-drains", index)
        .post("/apps/{app}/log-drains", create)
        .get("/apps/{app}/log-drains/{drain}", info)
        .delete("/apps/{app}/log-drains/{drain}", destroy)
        .get("/addons/{addon}/log-drains", index_of_addon)
        .put("/addons/{addon}/log-drains/{drain}", update)
}

fn show(shown: &Shown) -> wire::LogDrain {
    wire::LogDrain {
        addon: shown.addon.as_ref().map(|(addon, app)| wire::LogDrainAddon {
            id: addon.id,
            name: addon.name.clone(),
            app: view::app_ref(app),
        }),
        app: Some(view::app_ref(&shown.app)),
        created_at: shown.drain.created_at,
        id: shown.drain.id,
        token: shown.drain.token.clone(),
        updated_at: shown.drain.updated_at,
        url: shown.url.clone(),
    }
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::LogDrain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    let items: Vec<_> = log_drains::list(&p, &app).await?.iter().map(show).collect();
    Ok(list(&headers, "id", items, |item| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::LogDrainCreate>,
) -> ApiResult<Created<wire::LogDrain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    Ok(Created(show(&log_drains::add(&p, &actor, &app, None, &body.url).await?)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, drain)): Path<(String, String)>,
) -> ApiResult<Json<wire::LogDrain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    Ok(Json(show(&log_drains::find(&p, &app, &drain).await?)))
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, drain)): Path<(String, String)>,
) -> ApiResult<Json<wire::LogDrain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    Ok(Json(show(&log_drains::remove(&p, &actor, &app, &drain).await?)))
}

async fn index_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::LogDrain>> {
    let addon = ops::addons::find(&p, &actor, None, &addon).await?;
    ops::addons::check_may_change(&p, &actor, &addon).await?;
    let items: Vec<_> = log_drains::of_addon(&p, &addon.app, &addon.addon).await?.iter().map(show).collect();
    Ok(list(&headers, "id", items, |item| item.id.to_string()))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((addon, drain)): Path<(String, String)>,
    Body(body): Body<wire::LogDrainCreate>,
) -> ApiResult<Json<wire::LogDrain>> {
    let addon = ops::addons::find(&p, &actor, None, &addon).await?;
    ops::addons::check_may_change(&p, &actor, &addon).await?;
    let shown = log_drains::update(&p, &actor, &addon.app, &addon.addon, &drain, &body.url).await?;
    Ok(Json(show(&shown)))
}
