//! The page that Prometheus reads: metrics of daemon and router, by plain HTTP, on an address of
//! its own, where somebody has asked for it.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use paas_domain::exposition;
use subtle::ConstantTimeEq as _;
use tokio::{net::TcpListener, sync::watch};

use crate::ops::{Platform, metrics};

/// Serves the page until `stop` becomes true.
pub async fn serve(p: Platform, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let app = Router::new().route("/metrics", get(page)).with_state(p);
    let ended = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    tokio::select! {
        result = axum::serve(listener, app) => if let Err(error) = result {
            tracing::error!(%error, "the page of metrics ended");
        },
        () = ended => {}
    }
}

async fn page(State(p): State<Platform>, headers: HeaderMap) -> Response {
    let refused = |status: StatusCode, text: &str| (status, format!("{text}\n")).into_response();
    if let Some(token) = &p.cx.config().metrics_token {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token);
        if !bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            let text =
                "The metrics are for those who bring the token of PAAS_METRICS_TOKEN: Authorization: Bearer TOKEN.";
            let mut response = refused(StatusCode::UNAUTHORIZED, text);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            return response;
        }
    }
    match metrics::text(&p).await {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the metrics could not be read");
            refused(StatusCode::SERVICE_UNAVAILABLE, "The metrics can't be read now; the daemon's log has the cause.")
        }
    }
}
