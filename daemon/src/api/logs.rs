//! `/apps/{app}/log-sessions`.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use paas_wire as wire;

use super::{
    error::ApiResult,
    extract::{Auth, Body, Path},
};
use crate::ops::{self, Platform};

pub(super) fn routes() -> Router<Platform> {
    Router::new().route("/apps/{app}/log-sessions", post(create))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::LogSessionCreate>,
) -> ApiResult<(StatusCode, Json<wire::LogSession>)> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let wanted = ops::logs::Wanted {
        process: body.dyno.or(body.kind),
        source: body.source,
        lines: body.lines,
        tail: body.tail.unwrap_or(false),
    };
    let session = ops::logs::session(&p, &actor, &app, wanted)?;
    Ok((
        StatusCode::CREATED,
        Json(wire::LogSession {
            created_at: session.created_at,
            id: session.id,
            logplex_url: format!("{}/streams/logs/{}", p.cx.config().api_url(), session.secret),
            updated_at: session.created_at,
        }),
    ))
}
