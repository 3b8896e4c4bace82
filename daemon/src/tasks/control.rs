//! The control socket: where the router gets its table, leaves its lines and wakes apps.

use std::{collections::HashSet, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use paas_domain::route::{LogBatch, Wake};
use tokio::{net::UnixListener, sync::watch};
use uuid::Uuid;

use super::routes::Routes;
use crate::{api::error::ApiError, logs::LogSink, ops::idle};

/// How long a router's question is held when there is nothing newer.
const HOLD: Duration = Duration::from_secs(25);

#[derive(Clone)]
struct Control {
    routes: Routes,
    logs: LogSink,
}

#[derive(serde::Deserialize)]
struct After {
    /// A newer table is wanted.
    #[serde(default)]
    after: u64,
    /// The generation that the router goes by, also when it asks for any table.
    #[serde(default)]
    have: u64,
    /// The database that its table is of.
    instance: Option<uuid::Uuid>,
}

/// Opens the socket at `path`, taking the place of what an earlier daemon left.
pub fn bind(path: &Path) -> std::io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the router until `stop` becomes true.
pub async fn serve(listener: UnixListener, routes: Routes, logs: LogSink, mut stop: watch::Receiver<bool>) {
    let app = Router::new()
        .route("/router/table", get(table))
        .route("/router/log", post(log))
        .route("/router/wake", post(wake))
        .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(Control { routes, logs });
    let ended = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    tokio::select! {
        result = axum::serve(listener, app) => if let Err(error) = result {
            tracing::error!(%error, "the control socket ended");
        },
        () = ended => {}
    }
}

async fn table(State(control): State<Control>, Query(After { after, have, instance }): Query<After>) -> Response {
    let mut table = control.routes.table();
    let (ours, current) = {
        let table = table.borrow_and_update();
        (instance.is_none_or(|instance| instance == table.instance), table.generation)
    };
    if ours && have > current {
        control.routes.overtake(have).await;
    }
    control.routes.acknowledge(if ours { after } else { 0 });
    let newer = tokio::time::timeout(HOLD, table.wait_for(|table| table.generation > after)).await;
    match newer {
        Ok(Ok(table)) => {
            let table = table.clone();
            Json(table.as_ref()).into_response()
        }
        Ok(Err(_)) | Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Somebody has asked for apps that sleep. Those that are awake already are let be.
async fn wake(State(control): State<Control>, Json(Wake { apps }): Json<Wake>) -> Result<StatusCode, ApiError> {
    for app_id in apps {
        if idle::wake(control.routes.platform(), app_id).await? {
            tracing::info!(app.id = %app_id, "an app is woken by its first request");
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn log(State(control): State<Control>, Json(mut batch): Json<LogBatch>) -> Result<StatusCode, ApiError> {
    // A batch may be late: the log of an app that is gone stays gone.
    let table = control.routes.table().borrow().clone();
    let apps: HashSet<Uuid> = table.apps.iter().map(|app| app.id).collect();
    batch.lines.retain(|line| apps.contains(&line.app_id));
    control
        .logs
        .router_batch(batch)
        .await
        .map_err(|e| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", e.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}
