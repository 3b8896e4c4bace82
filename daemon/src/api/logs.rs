//! `/apps/{app}/log-sessions`.

use axum::extract::State;
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints},
    error::ApiResult,
    extract::{Auth, Body, Path},
};
use crate::ops::{self, Platform, apps::WORK};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().post("/apps/{app}/log-sessions", create)
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::LogSessionCreate>,
) -> ApiResult<Created<wire::LogSession>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    let wanted = ops::logs::Wanted {
        process: body.dyno.or(body.kind),
        source: body.source,
        lines: body.lines,
        tail: body.tail.unwrap_or(false),
    };
    let session = ops::logs::session(&p, &actor, &app, wanted)?;
    Ok(Created(wire::LogSession {
        created_at: session.created_at,
        id: session.id,
        logplex_url: format!("{}/streams/logs/{}", p.cx.config().api_url(), session.secret),
        updated_at: session.created_at,
    }))
}
