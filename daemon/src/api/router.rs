//! `/router`: how the router is, and how apps fare with it.

use axum::{Json, extract::State};
use paas_domain::traffic::Recent;
use paas_wire as wire;

use super::{
    endpoints::Endpoints,
    error::ApiResult,
    extract::{Auth, Query},
};
use crate::ops::{
    Platform,
    router::{self, AppShown, Backend},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/router", info)
}

fn dyno(backend: Backend) -> wire::RouterDyno {
    let state = match (backend.current, backend.quarantined) {
        (false, _) => "leaving",
        (true, true) => "quarantined",
        (true, false) => "up",
    };
    wire::RouterDyno { id: backend.id, name: backend.dyno, in_flight: backend.in_flight, state: state.into() }
}

fn recent(recent: Recent) -> wire::RouterRecent {
    wire::RouterRecent {
        seconds: recent.seconds,
        requests: recent.requests,
        statuses: recent.statuses,
        codes: recent.codes,
        bytes: recent.bytes,
        p50_ms: recent.p50_ms,
        p95_ms: recent.p95_ms,
        p99_ms: recent.p99_ms,
    }
}

fn app(shown: AppShown) -> wire::RouterApp {
    let traffic = shown.traffic;
    wire::RouterApp {
        app: wire::Named { id: shown.app.id, name: shown.app.name },
        in_flight: traffic.as_ref().map_or(0, |traffic| traffic.in_flight),
        waiting: traffic.as_ref().map_or(0, |traffic| traffic.waiting),
        tunnels: traffic.as_ref().map_or(0, |traffic| traffic.tunnels),
        requests: traffic.as_ref().map_or(0, |traffic| traffic.requests),
        recent: traffic.map(|traffic| recent(traffic.recent)),
        dynos: shown.dynos.into_iter().map(dyno).collect(),
    }
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Query(query): Query<wire::RouterQuery>,
) -> ApiResult<Json<wire::Router>> {
    let shown = router::show(&p, &actor, query.app.as_deref()).await?;
    let process = shown.router.as_ref().filter(|_| actor.user.admin).map(|said| wire::RouterProcess {
        pid: said.pid,
        generation: said.generation,
        apps: said.apps,
        connections: said.connections,
        waiting: said.waiting,
        http: said.http.clone(),
        https: said.https.clone(),
        log_lines_waiting: said.log_waiting,
        log_lines_dropped: said.log_dropped,
    });
    Ok(Json(wire::Router {
        answers: shown.router.is_some(),
        follows: shown.router.as_ref().is_some_and(|said| said.daemon_connected),
        version: shown.router.map(|said| said.version),
        started_at: shown.started_at,
        process,
        apps: shown.apps.into_iter().map(app).collect(),
    }))
}
