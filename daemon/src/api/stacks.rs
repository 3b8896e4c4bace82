//! `/stacks`: the systems that apps are built and run on.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Path},
    list::list,
};
use crate::ops::{self, Platform, stacks};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/stacks", index).get("/stacks/{stack}", info).get("/apps/{app}/available-stacks", available)
}

fn show(p: &Platform, name: String) -> wire::Stack {
    let at = chrono::DateTime::UNIX_EPOCH;
    wire::Stack {
        created_at: at,
        default: name == p.cx.config().stack,
        id: stacks::id(&name),
        name,
        state: "public".into(),
        updated_at: at,
    }
}

fn page(p: &Platform, headers: &HeaderMap) -> Page<wire::Stack> {
    let items = stacks::all(p).into_iter().map(|name| show(p, name)).collect();
    list(headers, "name", items, |item: &wire::Stack| item.name.clone())
}

async fn index(State(p): State<Platform>, Auth(_): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Stack>> {
    Ok(page(&p, &headers))
}

async fn info(State(p): State<Platform>, Auth(_): Auth, Path(stack): Path<String>) -> ApiResult<Json<wire::Stack>> {
    Ok(Json(show(&p, stacks::find(&p, &stack)?)))
}

async fn available(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Stack>> {
    ops::apps::find(&p, &actor, &app).await?;
    Ok(page(&p, &headers))
}
