//! `/apps/{app}/features` and `/account/features`.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{
        Actor, Platform,
        apps::{self, Permission},
        features::{self, Feature},
    },
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/features", of_app)
        .get("/apps/{app}/features/{feature}", info)
        .patch("/apps/{app}/features/{feature}", switch)
        .get("/account/features", of_account)
        .get("/account/features/{feature}", account_info)
        .patch("/account/features/{feature}", account_switch)
}

fn shown(feature: &Feature) -> wire::Feature {
    let known = feature.known;
    wire::Feature {
        created_at: feature.created_at,
        description: known.description.into(),
        display_name: known.display_name.into(),
        doc_url: known.doc_url.into(),
        enabled: feature.enabled,
        // Nobody's: these are the server's own.
        feedback_email: String::new(),
        id: view::id_of("feature", &format!("{}/{}", feature.of, known.name)),
        name: known.name.into(),
        state: known.state.into(),
        updated_at: feature.updated_at,
    }
}

fn is_it(name: &str, feature: &Feature) -> bool {
    shown(feature).id.to_string() == name
}

async fn of_app(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Feature>> {
    let app = apps::find_for(&p, &actor, &app, Permission::View).await?;
    let items = features::of_app(&p, &app).await?.iter().map(shown).collect();
    Ok(list(&headers, "name", items, |item: &wire::Feature| item.name.clone()))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::Feature>> {
    let app = apps::find_for(&p, &actor, &app, Permission::View).await?;
    Ok(Json(shown(&features::find(&p, &app, &name, |feature| is_it(&name, feature)).await?)))
}

async fn switch(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
    Body(body): Body<wire::FeatureUpdate>,
) -> ApiResult<Json<wire::Feature>> {
    let app = apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    let feature = features::find(&p, &app, &name, |feature| is_it(&name, feature)).await?;
    Ok(Json(shown(&features::switch(&p, &actor, &app, feature, body.enabled).await?)))
}

async fn of_account(Auth(actor): Auth, headers: HeaderMap) -> Page<wire::Feature> {
    let items = features::of_account(&actor).iter().map(shown).collect();
    list(&headers, "name", items, |item: &wire::Feature| item.name.clone())
}

fn of(actor: &Actor, name: &str) -> ApiResult<Feature> {
    let found = features::of_account(actor).into_iter().find(|it| it.known.name == name || is_it(name, it));
    found.ok_or_else(|| Error::not_found("feature", name).into())
}

async fn account_info(Auth(actor): Auth, Path(name): Path<String>) -> ApiResult<Json<wire::Feature>> {
    Ok(Json(shown(&of(&actor, &name)?)))
}

async fn account_switch(
    Auth(actor): Auth,
    Path(name): Path<String>,
    Body(body): Body<wire::FeatureUpdate>,
) -> ApiResult<Json<wire::Feature>> {
    Ok(Json(shown(&features::switch_account(of(&actor, &name)?, body.enabled)?)))
}
