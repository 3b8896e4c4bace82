//! `/apps`: apps and their config vars.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path, Query},
    list::{is_by, list},
    view,
};
use crate::ops::{
    self, Platform,
    apps::{Permission, WORK},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps", index)
        .post("/apps", create)
        .get("/users/{id}/apps", index_of_user)
        .get("/apps/{app}", info)
        .patch("/apps/{app}", update)
        .delete("/apps/{app}", destroy)
        .get("/apps/{app}/config-vars", config)
        .patch("/apps/{app}/config-vars", set_config)
        .get("/apps/{app}/releases/{release}/config-vars", release_config)
}

async fn index(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::App>> {
    let items: Vec<wire::App> =
        ops::apps::list(&p, &actor).await?.iter().map(|owned| view::app(p.cx.config(), owned)).collect();
    Ok(by_name_or_id(&headers, items))
}

/// Apps as a page: by name, or by id as Heroku's own clients ask, which is looked at here since
/// there may be many.
fn by_name_or_id(headers: &HeaderMap, mut items: Vec<wire::App>) -> Page<wire::App> {
    if is_by(headers, "id") {
        items.sort_by_key(|app| app.id);
        return list(headers, "id", items, |app| app.id.to_string());
    }
    list(headers, "name", items, |app| app.name.clone())
}

async fn index_of_user(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::App>> {
    let found = ops::apps::list_of(&p, &actor, &id).await?;
    let items = found.iter().map(|owned| view::app(p.cx.config(), owned)).collect();
    Ok(by_name_or_id(&headers, items))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AppCreate>,
) -> ApiResult<Created<wire::App>> {
    let stack = body.stack.as_ref().map(wire::Identity::as_str);
    let owned = ops::apps::create(&p, &actor, body.name.as_deref(), stack).await?;
    Ok(Created(view::app(p.cx.config(), &owned)))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    Ok(Json(view::app(p.cx.config(), &ops::apps::with_owner(&p, app).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::AppUpdate>,
) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    // Its name is its owner's affair, how it runs that of who works on it.
    let mut c = p.db.read().await?;
    if body.name.as_ref().is_some_and(|name| *name != app.name) {
        ops::apps::check(&mut c, &actor, &app, &[Permission::Manage]).await?;
    }
    if body.build_stack.is_some() {
        ops::apps::check(&mut c, &actor, &app, &[Permission::Operate]).await?;
    }
    if body.maintenance.is_some() {
        ops::apps::check(&mut c, &actor, &app, &WORK).await?;
    }
    drop(c);
    let changes = ops::apps::Changes {
        name: body.name,
        maintenance: body.maintenance,
        build_stack: body.build_stack.map(|stack| stack.0),
    };
    Ok(Json(view::app(p.cx.config(), &ops::apps::update(&p, &actor, &app, changes).await?)))
}

async fn destroy(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Manage).await?;
    Ok(Json(view::app(p.cx.config(), &ops::apps::destroy(&p, &actor, &app).await?)))
}

async fn config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    Ok(Json(ops::config::get(&p, &app).await?))
}

async fn release_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, release)): Path<(String, String)>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    let release = ops::releases::find(&p, &app, &release).await?;
    Ok(Json(ops::config::of_release(&p, &release)?.merged()))
}

async fn set_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Query(query): Query<wire::config_var::ConfigVarsQuery>,
    Body(body): Body<wire::ConfigVarsUpdate>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    Ok(Json(ops::config::update(&p, &actor, &app, &body, query.restart.unwrap_or(true)).await?))
}
