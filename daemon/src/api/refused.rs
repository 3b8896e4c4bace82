//! What Heroku's clients ask for and this server does another way: each answer says which.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    endpoints::Endpoints,
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
};
use crate::{
    error::{Error, NotFound},
    ops::{self, Platform},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/api/v2", exec_status)
        .put("/api/v2/{dyno}", exec)
        .post("/apps/{app}/oci-images", create_image)
        .get("/apps/{app}/oci-images/{image}", image)
}

fn no_ssh() -> ApiError {
    ApiError::invalid(
        "Dynos here have no SSH server, which this command would connect to. \
         `paas ps:exec`, or `heroku run:inside DYNO COMMAND`, runs a command in a dyno that runs already.",
    )
}

/// What `heroku ps:exec` sends.
#[derive(Debug, Deserialize, JsonSchema)]
struct ClientKey {
    /// The public key that its SSH client would have.
    #[serde(rename = "client_key", default)]
    _client_key: Option<String>,
}

/// Heroku's exec manager would open a way for SSH.
async fn exec(Auth(_): Auth, Path(_): Path<String>, Body(_): Body<ClientKey>) -> ApiResult<Json<Value>> {
    Err(no_ssh())
}

async fn exec_status(Auth(_): Auth) -> ApiResult<Json<Value>> {
    Err(no_ssh())
}

/// An image of Cloud Native Buildpacks; the fields matter to nobody here.
#[derive(Debug, Deserialize, JsonSchema)]
struct NewImage {}

async fn create_image(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(NewImage {}): Body<NewImage>,
) -> ApiResult<Json<Value>> {
    ops::apps::find(&p, &actor, &app).await?;
    Err(ApiError::invalid(
        "Apps here run slugs, not OCI images. Deploy with git push, or make a slug: POST /apps/{app}/slugs.",
    ))
}

async fn image(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, _)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    ops::apps::find(&p, &actor, &app).await?;
    let asked = "Couldn't find that OCI image: apps here run slugs.".to_owned();
    Err(Error::NotFound(NotFound { resource: "oci_image", asked }).into())
}
