//! What the router says of itself on `run/router.sock`: by it the daemon finds a router that
//! is already running, and learns when a dyno has had its last request and an app its last
//! visitor. `GET /apps` and `GET /metrics` tell what was counted.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use paas_domain::exposition;
use paas_domain::route::AppActivity;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use crate::access_log::Dropped;
use crate::handover::{Estate, Older, Still};
use crate::metrics;
use crate::worker::Shared;

/// Answer to `GET /status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Process.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// This run of it; its log batches carry it.
    pub router: Uuid,
    /// Database that the table in use comes from.
    pub instance: Uuid,
    /// Of the table in use.
    pub generation: u64,
    /// Apps in it.
    pub apps: usize,
    /// Whether the daemon answered last time.
    pub daemon_connected: bool,
    /// Client connections and tunnels that are open.
    pub connections: usize,
    /// Requests that wait for a dyno to come up.
    pub waiting: usize,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Addresses of the HTTP listeners.
    pub http: Vec<String>,
    /// Addresses of the HTTPS listeners.
    pub https: Vec<String>,
    /// Access lines that wait for the daemon.
    pub log_waiting: usize,
    /// Access lines that were lost since the start.
    pub log_dropped: u64,
    /// Connections that were closed at once since the start: their client had too many.
    #[serde(default)]
    pub connections_refused: u64,
    /// Handshakes that were given up for newer ones since the start.
    #[serde(default)]
    pub handshakes_given_up: u64,
    /// Connections without the PROXY protocol's header that they had to begin with, since the start.
    #[serde(default)]
    pub proxy_headers_refused: u64,
    /// Dynos in the table, and those that left it and still have requests.
    pub backends: Vec<BackendStatus>,
}

/// A dyno as the router sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its app.
    pub app_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Its name, `web.1`.
    pub dyno: String,
    /// Whether new requests go to it.
    pub current: bool,
    /// Whether it is left alone for a while since it couldn't be connected to.
    pub quarantined: bool,
    /// Requests and tunnels on it now, those of a router that has handed over to this one too.
    pub in_flight: u32,
}

/// What the answers are made from.
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) router: Uuid,
    pub(crate) connected: Arc<AtomicBool>,
    pub(crate) http: Vec<String>,
    pub(crate) https: Arc<Mutex<Vec<String>>>,
    /// The router that was here before.
    pub(crate) older: Arc<Older>,
    pub(crate) log_waiting: Arc<AtomicUsize>,
    pub(crate) log_dropped: Arc<Dropped>,
    pub(crate) estate: Arc<Estate>,
}

/// What a connection becomes by `GET /sockets`: the listening sockets come after the answer's head, with a
/// line that names them (`handover`).
const SOCKETS: HeaderValue = HeaderValue::from_static("paas-sockets");

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Admin {
    /// Never ends.
    pub(crate) async fn run(self: Arc<Self>, listener: UnixListener) {
        let admin = self;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("A question about the router can't be taken: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            let admin = Arc::clone(&admin);
            tokio::spawn(async move {
                let service = service_fn(|mut request| {
                    let response = admin.copies(&mut request).unwrap_or_else(|| admin.answer(&request));
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // The one who asked knows best that the answer didn't come.
                let _ = connection.with_upgrades().await;
            });
        }
    }

    /// Copies of the sockets for the daemon, so that they outlive this process.
    fn copies(&self, request: &mut Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        if request.uri().path() != "/sockets" || request.headers().get(UPGRADE) != Some(&SOCKETS) {
            return None;
        }
        let (upgrade, estate) = (hyper::upgrade::on(request), Arc::clone(&self.estate));
        tokio::spawn(async move {
            let stream = upgrade.await.ok().and_then(|stream| stream.downcast::<TokioIo<UnixStream>>().ok());
            let Some(Ok(stream)) = stream.map(|parts| parts.io.into_inner().into_std()) else { return };
            // The daemon asks again.
            let _ = tokio::task::spawn_blocking(move || estate.copy_to(stream)).await;
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, SOCKETS);
        Some(response)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let json = "application/json";
        let (status, kind, body) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/status") => (StatusCode::OK, json, serde_json::to_vec(&self.status()).unwrap_or_default()),
            (&Method::GET, "/apps") => {
                let apps = metrics::traffic(&self.shared);
                (StatusCode::OK, json, serde_json::to_vec(&apps).unwrap_or_default())
            }
            (&Method::GET, "/activity") => {
                let apps = self.activity(request.uri().query().unwrap_or_default());
                (StatusCode::OK, json, serde_json::to_vec(&apps).unwrap_or_default())
            }
            (&Method::GET, "/metrics") => {
                let lines = metrics::Lines {
                    waiting: self.log_waiting.load(Ordering::Relaxed),
                    dropped: self.log_dropped.total(),
                    daemon_connected: self.connected.load(Ordering::Relaxed),
                };
                (StatusCode::OK, exposition::CONTENT_TYPE, metrics::text(&self.shared, &lines).into_bytes())
            }
            _ => {
                let text =
                    b"{\"message\":\"Only GET /status, /apps, /activity?apps=ID,ID and /metrics are answered here.\"}"
                        .to_vec();
                (StatusCode::NOT_FOUND, json, text)
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    /// Of the apps that `query` names and the table has.
    fn activity(&self, query: &str) -> Vec<AppActivity> {
        let names = query.split('&').find_map(|part| part.strip_prefix("apps=")).unwrap_or_default();
        let table = self.shared.routes.load_full();
        let mut on_dynos: HashMap<Uuid, u64> = HashMap::new();
        for backend in self.backends() {
            *on_dynos.entry(backend.app_id).or_default() += u64::from(backend.in_flight);
        }
        let apps = names.split(',').filter_map(|id| table.app(id.parse().ok()?));
        apps.map(|app| AppActivity {
            app_id: app.route.id,
            quiet_ms: u64::try_from(app.activity.quiet().as_millis()).unwrap_or(u64::MAX),
            open: on_dynos.get(&app.route.id).copied().unwrap_or_default() + u64::from(app.activity.waiting()),
        })
        .collect()
    }

    /// What goes on here and in the router that was here before, for one that takes over.
    pub(crate) fn still(&self) -> Still {
        // First the table: requests that are begun by an older one after this look aren't in it.
        let own = self.shared.routes.load().identity();
        let table = self.older.table(own);
        let mut busy = self.backends();
        busy.retain(|backend| backend.in_flight > 0);
        Still { table, busy }
    }

    /// The dynos of the table, and those that have requests: of this router, or of one that
    /// has handed over to it and still has some.
    pub(crate) fn backends(&self) -> Vec<BackendStatus> {
        let table = self.shared.routes.load_full();
        let started = self.shared.started;
        let mut backends: Vec<BackendStatus> = self
            .shared
            .routes
            .upstreams()
            .into_iter()
            .map(|upstream| BackendStatus {
                app_id: upstream.app,
                id: upstream.backend.id,
                dyno: upstream.backend.dyno.clone(),
                current: table.has(&upstream),
                quarantined: upstream.quarantined(started),
                in_flight: upstream.in_flight(),
            })
            .filter(|backend| backend.current || backend.in_flight > 0)
            .collect();
        for older in self.older.busy() {
            match backends.iter_mut().find(|backend| backend.id == older.id) {
                Some(backend) => backend.in_flight += older.in_flight,
                None => backends.push(BackendStatus { current: false, ..older }),
            }
        }
        backends
    }

    fn status(&self) -> Status {
        let table = self.shared.routes.load_full();
        let started = self.shared.started;
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            router: self.router,
            instance: table.instance,
            generation: table.generation,
            apps: table.apps().len(),
            daemon_connected: self.connected.load(Ordering::Relaxed),
            connections: self.shared.connections.load(Ordering::Relaxed),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            uptime_seconds: started.elapsed().as_secs(),
            http: self.http.clone(),
            https: self.https.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            log_waiting: self.log_waiting.load(Ordering::Relaxed),
            log_dropped: self.log_dropped.total(),
            connections_refused: self.shared.guard.refused.count(),
            handshakes_given_up: self.shared.guard.crowded_out.count(),
            proxy_headers_refused: self.shared.guard.bad_proxy_headers.count(),
            backends: self.backends(),
        }
    }
}
