//! `/apps/{app}/buildpack-installations`.

use axum::{Json, extract::State};
use paas_wire as wire;

use super::{
    endpoints::Endpoints,
    error::ApiResult,
    extract::{Auth, Body, Path},
};
use crate::ops::{
    self, Platform,
    apps::{Permission, WORK},
    builds,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/buildpack-installations", index)
        .put("/apps/{app}/buildpack-installations", update)
}

fn show(urls: &[String]) -> Json<Vec<wire::BuildpackInstallation>> {
    let one = |(ordinal, url): (u32, &String)| wire::BuildpackInstallation {
        ordinal,
        buildpack: wire::buildpack_installation::InstalledBuildpack { url: url.clone(), name: builds::pack_name(url) },
    };
    Json((0..).zip(urls).map(one).collect())
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<Vec<wire::BuildpackInstallation>>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    Ok(show(&builds::buildpacks(&p, &app).await?))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::BuildpackInstallationsUpdate>,
) -> ApiResult<Json<Vec<wire::BuildpackInstallation>>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    let names: Vec<String> = body.updates.into_iter().map(|update| update.buildpack).collect();
    Ok(show(&builds::set_buildpacks(&p, &actor, &app, &names).await?))
}
