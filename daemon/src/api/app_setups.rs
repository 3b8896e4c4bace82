//! `/app-setups`: from an archive with an app.json to an app that runs.

use axum::{Json, extract::State};
use paas_wire as wire;
use wire::{
    Named,
    app_setup::{Postdeploy, SetupBuild, SetupStatus},
};

use super::{
    builds,
    endpoints::{Accepted, Endpoints},
    error::ApiResult,
    extract::{Auth, Body, Path},
};
use crate::ops::{
    self, Platform,
    setups::{NewApp, Overrides, Shown, SourceBlob},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().post("/app-setups", create).get("/app-setups/{setup}", info)
}

fn show(p: &Platform, shown: &Shown) -> wire::AppSetup {
    let row = &shown.setup;
    wire::AppSetup {
        app: Named { id: row.app_id, name: row.app_name.clone() },
        build: shown.build.as_ref().map(|build| SetupBuild {
            id: build.id,
            output_stream_url: builds::output_url(p, build.id),
            status: builds::status(build),
        }),
        created_at: row.created_at,
        failure_message: row.failure_message.clone(),
        id: row.id,
        manifest_errors: row.manifest_errors.0.clone(),
        postdeploy: row
            .exit_code
            .map(|exit_code| Postdeploy { exit_code, output: row.output.clone().unwrap_or_default() }),
        resolved_success_url: row.success_url.clone(),
        status: match row.status.as_str() {
            "pending" => SetupStatus::Pending,
            "succeeded" => SetupStatus::Succeeded,
            _ => SetupStatus::Failed,
        },
        updated_at: row.updated_at,
    }
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AppSetupCreate>,
) -> ApiResult<Accepted<wire::AppSetup>> {
    let app = body.app.unwrap_or_default();
    let given = body.overrides.unwrap_or_default();
    let blob = SourceBlob {
        url: body.source_blob.url,
        version: body.source_blob.version,
        checksum: body.source_blob.checksum,
    };
    let overrides = Overrides {
        env: given.env.unwrap_or_default(),
        buildpacks: given.buildpacks.map(|packs| packs.into_iter().map(|pack| pack.url).collect()),
        ..Overrides::default()
    };
    let wanted = NewApp {
        name: app.name,
        stack: app.stack.map(|stack| stack.0),
        team: app.organization.map(|team| team.0).filter(|_| app.personal != Some(true)),
        locked: app.locked.unwrap_or(false),
    };
    let shown = ops::setups::create(&p, &actor, wanted, blob, overrides).await?;
    Ok(Accepted(show(&p, &shown)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(setup): Path<String>,
) -> ApiResult<Json<wire::AppSetup>> {
    Ok(Json(show(&p, &ops::setups::find(&p, &actor, &setup).await?)))
}
