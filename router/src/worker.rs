//! One core's share: a thread with a runtime, listeners and upstream connections of its
//! own. Workers share the table and counters, and no lock on a request's way.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::accept::{self, Admitted, Handshakes};
use crate::access_log::AccessLog;
use crate::client_io::ClientIo;
use crate::guard::Guard;
use crate::headers::Client;
use crate::proxy::{self, Conn};
use crate::settings::{Front, Limits};
use crate::streams::Streams;
use crate::table::Routes;
use crate::upstream::Pool;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) routes: Arc<Routes>,
    pub(crate) limits: Limits,
    pub(crate) started: Instant,
    /// Client connections and tunnels that are open.
    pub(crate) connections: AtomicUsize,
    /// Requests that wait for a dyno to come up.
    pub(crate) waiting: AtomicUsize,
    pub(crate) front: Front,
    pub(crate) guard: Arc<Guard>,
}

/// A listener for a worker to take connections from.
pub(crate) struct Listening {
    pub(crate) listener: std::net::TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether the queue is ours alone: its connections would be lost at the end.
    pub(crate) own: bool,
}

/// A worker, as its connections see it.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) log: AccessLog,
    pub(crate) handshakes: Handshakes,
    pub(crate) stop: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

/// Keeps the worker from ending, and counts as a connection.
pub(crate) struct Alive(Arc<Shared>, #[allow(dead_code, reason = "its drop is what counts")] mpsc::Sender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// For as long as something goes on that the end must wait for.
    pub(crate) fn alive(&self) -> Alive {
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        Alive(Arc::clone(&self.shared), self.alive.clone())
    }
}

/// Runs a worker on this thread until `stop` is set and what was begun is done, or the
/// time for that is over.
pub(crate) fn run(
    shared: Arc<Shared>,
    log: AccessLog,
    listeners: mpsc::UnboundedReceiver<Listening>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, work(shared, log, listeners, stop));
    Ok(())
}

async fn work(
    shared: Arc<Shared>,
    log: AccessLog,
    mut listeners: mpsc::UnboundedReceiver<Listening>,
    mut stop: watch::Receiver<bool>,
) {
    let (alive, mut all_gone) = mpsc::channel(1);
    let limits = shared.limits.clone();
    let pool = Rc::new(Pool::new(limits.upstream_keepalive, limits.upstream_idle_max));
    let worker = Rc::new(Worker { shared, pool, log, handshakes: Handshakes::default(), stop: stop.clone(), alive });
    tokio::task::spawn_local(sweep(Rc::clone(&worker.pool), Arc::clone(&worker.shared)));
    {
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut open = true;
        while open {
            tokio::select! {
                listening = listeners.recv() => match listening {
                    Some(listening) => { tokio::task::spawn_local(accept::run(Rc::clone(&worker), listening)); }
                    None => open = false,
                },
                _ = &mut stopped => break,
            }
        }
        if !open {
            let _ = stopped.await;
        }
    }
    drop(worker);
    if tokio::time::timeout(limits.drain, all_gone.recv()).await.is_err() {
        tracing::warn!("Some requests did not end within {:?}; they are cut off", limits.drain);
    }
}

/// Closes unused connections that are old, or lead to a dyno that has left.
async fn sweep(pool: Rc<Pool>, shared: Arc<Shared>) {
    let mut changes = shared.routes.changes();
    let period = (shared.limits.upstream_keepalive / 4).max(Duration::from_millis(10));
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(period) => {}
        }
        let dynos: std::collections::HashSet<_> = {
            let table = shared.routes.load();
            table.backends().map(|backend| (backend.id, backend.addr)).collect()
        };
        pool.sweep(|key| key.0.is_nil() || dynos.contains(key));
    }
}

/// Serves a client that has come in.
pub(crate) async fn connection<S>(
    worker: Rc<Worker>,
    stream: S,
    admitted: Admitted,
    tls: Option<&'static str>,
    h2: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Limits { idle, client_idle, .. } = worker.shared.limits;
    let client_idle = worker.shared.guard.idle(client_idle);
    let stalled = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(ClientIo::new(stream, idle, Arc::clone(&stalled)));
    let mut stop = worker.stop.clone();
    let peer = admitted.peer;
    let address = HeaderValue::from_str(&peer.address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
    let conn = Rc::new(Conn { worker, client: Client { address, peer }, tls, stalled, _admitted: admitted });
    let service = service_fn(move |request| {
        let conn = Rc::clone(&conn);
        async move { Ok::<_, Infallible>(proxy::handle(conn, request).await) }
    });
    // How a connection ends is in its requests' lines; nobody else wants to know.
    if h2 {
        let streams = Streams::new(idle);
        let mut connection = pin!(
            http2::Builder::new(streams.clone())
                .timer(TokioTimer::new())
                .max_concurrent_streams(250)
                .max_header_list_size(256 * 1024)
                .keep_alive_interval(client_idle / 2)
                .keep_alive_timeout(client_idle / 2)
                .serve_connection(io, service)
        );
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop) => {}
            () = streams.unused(client_idle) => {}
        }
        // Streams that the client opens before it hears of this are served, too.
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = streams.unused(client_idle) => {}
        }
    } else {
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(client_idle)
                .max_headers(1000)
                .max_header_size(256 * 1024)
                .max_buf_size(256 * 1024)
                .serve_connection(io, service)
                .with_upgrades()
        );
        tokio::select! {
            _ = connection.as_mut() => {}
            _ = stop.wait_for(|stop| *stop) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}
