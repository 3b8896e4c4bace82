//! `/telemetry-drains`.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use wire::telemetry_drain::{
    TelemetryExporter, TelemetryOwner, TelemetryOwnerKind, TelemetrySignal, TelemetryTransport,
};

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
};
use crate::ops::{
    self, Platform,
    apps::Permission,
    telemetry_drains::{self, Changes, Exporter, Shown},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .post("/telemetry-drains", create)
        .get("/apps/{app}/telemetry-drains", index)
        .get("/telemetry-drains/{drain}", info)
        .patch("/telemetry-drains/{drain}", update)
        .delete("/telemetry-drains/{drain}", destroy)
}

fn names(signals: Vec<TelemetrySignal>) -> Vec<String> {
    let name = |signal| match signal {
        TelemetrySignal::Traces => "traces",
        TelemetrySignal::Metrics => "metrics",
        TelemetrySignal::Logs => "logs",
    };
    signals.into_iter().map(name).map(str::to_owned).collect()
}

fn show(shown: &Shown) -> wire::TelemetryDrain {
    let signal = |name: &String| match name.as_str() {
        "traces" => Some(TelemetrySignal::Traces),
        "metrics" => Some(TelemetrySignal::Metrics),
        "logs" => Some(TelemetrySignal::Logs),
        _ => None,
    };
    wire::TelemetryDrain {
        created_at: shown.drain.created_at,
        exporter: TelemetryExporter {
            kind: TelemetryTransport::Otlphttp,
            endpoint: shown.exporter.endpoint.clone(),
            headers: shown.exporter.headers.clone(),
        },
        id: shown.drain.id,
        owner: TelemetryOwner { id: shown.app.id.to_string(), kind: TelemetryOwnerKind::App },
        signals: shown.drain.signals.iter().filter_map(signal).collect(),
        updated_at: shown.drain.updated_at,
    }
}

fn is_grpc(kind: TelemetryTransport) -> bool {
    match kind {
        TelemetryTransport::Otlphttp => false,
        TelemetryTransport::Otlp => true,
    }
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::TelemetryDrainCreate>,
) -> ApiResult<Created<wire::TelemetryDrain>> {
    match body.owner.kind {
        TelemetryOwnerKind::App => {}
        TelemetryOwnerKind::Space => {
            return Err(ApiError::invalid(
                "owner.type: private spaces are not available on this server; telemetry drains belong to apps.",
            ));
        }
    }
    let app = ops::apps::find_for(&p, &actor, &body.owner.id, Permission::Operate).await?;
    let exporter = Exporter { endpoint: body.exporter.endpoint, headers: body.exporter.headers };
    let grpc = is_grpc(body.exporter.kind);
    let shown = telemetry_drains::add(&p, &actor, &app, names(body.signals), exporter, grpc).await?;
    Ok(Created(show(&shown)))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::TelemetryDrain>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Operate).await?;
    let items: Vec<_> = telemetry_drains::list(&p, &app).await?.iter().map(show).collect();
    Ok(list(&headers, "id", items, |item| item.id.to_string()))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(drain): Path<String>,
) -> ApiResult<Json<wire::TelemetryDrain>> {
    Ok(Json(show(&telemetry_drains::find(&p, &actor, &drain).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(drain): Path<String>,
    Body(body): Body<wire::TelemetryDrainUpdate>,
) -> ApiResult<Json<wire::TelemetryDrain>> {
    let found = telemetry_drains::find(&p, &actor, &drain).await?;
    let exporter = body.exporter.unwrap_or_default();
    let changes = Changes {
        signals: body.signals.map(names),
        endpoint: exporter.endpoint,
        headers: exporter.headers,
        grpc: exporter.kind.is_some_and(is_grpc),
    };
    Ok(Json(show(&telemetry_drains::update(&p, &actor, found, changes).await?)))
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(drain): Path<String>,
) -> ApiResult<Json<wire::TelemetryDrain>> {
    let found = telemetry_drains::find(&p, &actor, &drain).await?;
    Ok(Json(show(&telemetry_drains::remove(&p, &actor, found).await?)))
}
