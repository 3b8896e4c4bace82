//! `/apps/{app}/formation`: how many dynos of which size each process type has.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    dynos::size_named,
    endpoints::{Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::ops::{
    self, Platform,
    apps::{Permission, WORK},
    formation::{Quantity, Update},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/formation", index)
        .patch("/apps/{app}/formation", batch)
        .get("/apps/{app}/formation/{type}", info)
        .patch("/apps/{app}/formation/{type}", update)
}

fn wanted(kind: Option<&str>, update: &wire::FormationUpdate) -> ApiResult<Update> {
    let process_type =
        kind.or(update.kind.as_deref()).ok_or_else(|| ApiError::invalid("type: the process type is needed."))?;
    if update.docker_image.is_some() {
        return Err(ApiError::invalid(
            "docker_image: apps of Docker images are not run here. Deploy with git push, or release a slug.",
        ));
    }
    Ok(Update {
        process_type: process_type.to_owned(),
        quantity: update.quantity.map(|quantity| match quantity {
            wire::Quantity::Exactly(n) => Quantity::Exactly(n.into()),
            wire::Quantity::More(n) => Quantity::Relative(n.into()),
            wire::Quantity::Fewer(n) => Quantity::Relative(-i64::from(n)),
        }),
        size: update.dyno_size.as_ref().map(|size| size_named(&size.0)),
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
    let changed = |process: &ops::formation::Process| {
        let formation = &process.formation;
        updates.iter().any(|update| {
            update.process_type == formation.process_type || update.process_type == formation.id.to_string()
        })
    };
    Ok(Json(all.iter().filter(|process| changed(process)).map(|process| view::formation(&app, process)).collect()))
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
