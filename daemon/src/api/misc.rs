//! What there is one of: the rate limit, whether the daemon is well.

use axum::{Json, extract::State};
use paas_wire as wire;

use super::{endpoints::Endpoints, error::ApiResult, extract::Auth, transport::Left};
use crate::{ops::Platform, store};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/account/rate-limits", rate_limit).get("/health", health)
}

async fn rate_limit(Auth(_): Auth, left: Left) -> Json<wire::RateLimit> {
    Json(wire::RateLimit { remaining: left.0.into() })
}

/// For load balancers and `paasd doctor`: answers when the database does.
async fn health(State(p): State<Platform>) -> ApiResult<&'static str> {
    store::settings::get(&mut p.db.read().await?, store::settings::INSTANCE).await?;
    Ok("ok\n")
}
