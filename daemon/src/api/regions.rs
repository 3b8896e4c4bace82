//! `/regions` and `/generations`: there is one of each, this machine and what runs on it.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Path},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{self, Platform},
};

/// The region's name.
const HERE: &str = "local";

/// The generation's name, by Heroku's word for what runs slugs on dynos.
const CEDAR: &str = "cedar";

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/regions", regions)
        .get("/regions/{region}", region)
        .get("/generations", generations)
        .get("/generations/{generation}", generation)
        .get("/teams/{team}/available-generations", of_team)
}

/// The only region.
pub(super) fn here() -> wire::Region {
    let at = chrono::DateTime::UNIX_EPOCH;
    wire::Region {
        country: "Here".into(),
        created_at: at,
        description: "This machine".into(),
        id: view::id_of("region", HERE),
        locale: "Local".into(),
        name: HERE.into(),
        private_capable: false,
        provider: wire::region::RegionProvider { name: "self-hosted".into(), region: HERE.into() },
        updated_at: at,
    }
}

/// A region by name or id.
pub(super) fn find(asked: &str) -> ApiResult<wire::Region> {
    let region = here();
    if asked == region.name || asked == region.id.to_string() {
        return Ok(region);
    }
    Err(Error::not_found("region", asked).into())
}

async fn regions(Auth(_): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Region>> {
    Ok(list(&headers, "name", vec![here()], |item: &wire::Region| item.name.clone()))
}

async fn region(Auth(_): Auth, Path(region): Path<String>) -> ApiResult<Json<wire::Region>> {
    Ok(Json(find(&region)?))
}

/// The only generation.
pub(super) fn cedar() -> wire::Generation {
    let at = chrono::DateTime::UNIX_EPOCH;
    wire::Generation { created_at: at, id: view::id_of("generation", CEDAR), name: CEDAR.into(), updated_at: at }
}

async fn generations(Auth(_): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Generation>> {
    Ok(list(&headers, "name", vec![cedar()], |item: &wire::Generation| item.name.clone()))
}

/// What apps of a team can run on.
async fn of_team(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Generation>> {
    ops::teams::find(&p, &actor, &team).await?;
    Ok(list(&headers, "name", vec![cedar()], |item: &wire::Generation| item.name.clone()))
}

async fn generation(Auth(_): Auth, Path(asked): Path<String>) -> ApiResult<Json<wire::Generation>> {
    let only = cedar();
    if asked == only.name || asked == only.id.to_string() {
        return Ok(Json(only));
    }
    Err(Error::not_found("generation", asked).into())
}
