//! `/apps/{app}/releases`.

use std::collections::HashMap;

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::{list, part},
    view,
};
use crate::{
    ops::{
        self, Platform,
        apps::{Permission, WORK},
    },
    store::{apps::App, releases::Release, users},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/releases", index)
        .post("/apps/{app}/releases", create)
        .get("/apps/{app}/releases/{release}", info)
}

/// A release with its user, and whether it is the current one.
pub(super) async fn show(p: &Platform, app: &App, row: &Release) -> ApiResult<wire::Release> {
    let current = ops::releases::current(p, app).await?.map(|release| release.version);
    let user = users::by_id(&mut p.db.read().await?, row.user_id)
        .await?
        .ok_or_else(|| crate::error::Error::not_found("user", row.user_id.to_string()))?;
    Ok(view::release(p, app, row, &user, current))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Release>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let current = ops::releases::current(&p, &app).await?.map(|release| release.version);
    let users: HashMap<Uuid, users::User> =
        users::list(&mut p.db.read().await?).await?.into_iter().map(|user| (user.id, user)).collect();
    let items = ops::releases::list(&p, &app, part(&headers, "version"))
        .await?
        .iter()
        .filter_map(|row| Some(view::release(&p, &app, row, users.get(&row.user_id)?, current)))
        .collect();
    Ok(list(&headers, "version", items, |item: &wire::Release| item.version.to_string()))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, release)): Path<(String, String)>,
) -> ApiResult<Json<wire::Release>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let row = ops::releases::find(&p, &app, &release).await?;
    Ok(Json(show(&p, &app, &row).await?))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::ReleaseCreate>,
) -> ApiResult<Created<wire::Release>> {
    let needed: &[Permission] = if body.release.is_some() { &WORK } else { &[Permission::Deploy] };
    let app = ops::apps::find_any(&p, &actor, &app, needed).await?;
    if body.oci_image.is_some() {
        return Err(ApiError::invalid("oci_image: apps here run slugs. Give slug: the identity of one."));
    }
    let row = match (&body.release, &body.slug) {
        (Some(release), _) => {
            let to = ops::releases::find(&p, &app, release).await?;
            ops::releases::rollback(&p, &actor, &app, &to).await?
        }
        (None, Some(slug)) => {
            let id: Uuid = slug.parse().map_err(|_| ApiError::invalid("slug: must be the identity of a slug."))?;
            ops::releases::deploy(&p, &actor, &app, id, body.description.as_deref()).await?
        }
        (None, None) => {
            return Err(ApiError::invalid("Give either slug, or release (the one to roll back to)."));
        }
    };
    Ok(Created(show(&p, &app, &row).await?))
}
