//! One core's share: a thread with a runtime, listeners and upstream connections of its
//! own. Workers share the table and counters, and no lock on a request's way.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::server::TlsStream;

use crate::access_log::AccessLog;
use crate::challenge;
use crate::clock::Clock;
use crate::ending::Ending;
use crate::headers::Client;
use crate::https_policy::HttpsPort;
use crate::proxy::Conn;
use crate::settings::Limits;
use crate::stats::{Totals, count, this_is_worker};
use crate::stopping::Stopping;
use crate::table::Routes;
use crate::upstream::Pool;
use crate::wake::Sleepers;
use crate::{http1, http2};

/// Bytes that are read at once at most.
const SCRATCH: usize = 64 * 1024;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) routes: Arc<Routes>,
    pub(crate) limits: Limits,
    pub(crate) started: Instant,
    pub(crate) ending: Arc<Ending>,
    /// Client connections and tunnels that are open.
    pub(crate) connections: AtomicUsize,
    /// Requests that wait for a dyno to come up.
    pub(crate) waiting: AtomicUsize,
    pub(crate) https_port: Arc<HttpsPort>,
    /// What is counted for no app.
    pub(crate) totals: Totals,
    /// Apps that sleep and are waited for.
    pub(crate) sleepers: Arc<Sleepers>,
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
    pub(crate) clock: Clock,
    /// Where bytes are read into; what can't be used or sent in the same moment is copied.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) stopping: Stopping,
    alive: mpsc::Sender<()>,
    stop: watch::Receiver<bool>,
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
    number: usize,
    shared: Arc<Shared>,
    log: AccessLog,
    listeners: mpsc::UnboundedReceiver<Listening>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    this_is_worker(number);
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
    let ending = Arc::clone(&shared.ending);
    let pool = Rc::new(Pool::new(limits.upstream_keepalive, limits.upstream_idle_max));
    let worker = Rc::new(Worker {
        shared,
        pool,
        log,
        clock: Clock::new(),
        scratch: RefCell::new(vec![0; SCRATCH].into()),
        stopping: Stopping::default(),
        alive,
        stop: stop.clone(),
    });
    tokio::task::spawn_local(sweep(Rc::clone(&worker.pool), Arc::clone(&worker.shared)));
    {
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut open = true;
        while open {
            tokio::select! {
                listening = listeners.recv() => match listening {
                    Some(listening) => { tokio::task::spawn_local(accept(Rc::clone(&worker), listening)); }
                    None => open = false,
                },
                _ = &mut stopped => break,
            }
        }
        if !open {
            let _ = stopped.await;
        }
    }
    worker.stopping.set();
    let log = worker.log.clone();
    drop(worker);
    tokio::select! {
        biased;
        _ = all_gone.recv() => {}
        time = ending.over(&limits) => {
            log.cut_off();
            tracing::warn!("Some requests did not end within {time:?}; they are cut off");
        }
    }
}

/// Closes unused connections that are old, or lead to a dyno that has left.
async fn sweep(pool: Rc<Pool>, shared: Arc<Shared>) {
    let mut changes = shared.routes.changes();
    let period = (shared.limits.upstream_keepalive / 4).clamp(Duration::from_millis(10), Duration::from_secs(5));
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

async fn accept(worker: Rc<Worker>, listening: Listening) {
    let Listening { listener, tls, own } = listening;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("A listener can't be used: {error}"),
    };
    let port = listener.local_addr().map_or(0, |addr| addr.port());
    let mut stop = worker.stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => begin(&worker, stream, peer, port, tls.clone()),
                Err(error) => refused(&error).await,
            },
        }
    }
    if own && !worker.shared.ending.handed_over() {
        // What the kernel has queued for us nobody else will take.
        for _ in 0..4096 {
            match std::future::poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
                Poll::Ready(Ok((stream, peer))) => begin(&worker, stream, peer, port, tls.clone()),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
    }
}

/// Most errors belong to the connection that was not taken; being out of descriptors lasts.
async fn refused(error: &std::io::Error) {
    if ![std::io::ErrorKind::ConnectionAborted, std::io::ErrorKind::ConnectionReset].contains(&error.kind()) {
        tracing::error!("A connection can't be taken: {error}. Is the limit of open files too low?");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn begin(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, port: u16, tls: Option<TlsAcceptor>) {
    let worker = Rc::clone(worker);
    let alive = worker.alive();
    count(&worker.shared.totals.accepted);
    // Without it only latency suffers.
    let _ = stream.set_nodelay(true);
    let client = Client { address: peer.ip(), port, https: tls.is_some() };
    let conn = Conn { worker, client, tls: None, server_name: None };
    // Each a task of its own kind, so that one doesn't take the room of the other.
    match tls {
        None => tokio::task::spawn_local(async move {
            http1::serve::serve(conn, stream).await;
            drop(alive);
        }),
        Some(acceptor) => tokio::task::spawn_local(async move {
            if let Some((conn, stream, http2)) = Box::pin(handshake(conn, stream, acceptor)).await {
                if http2 {
                    Box::pin(http2::serve::serve(Rc::new(conn), stream)).await;
                } else {
                    http1::serve::serve(conn, stream).await;
                }
            }
            drop(alive);
        }),
    };
}

/// The client's connection in TLS, and whether it speaks HTTP/2. A handshake that fails is the
/// client's affair.
async fn handshake(
    mut conn: Conn,
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> Option<(Conn, TlsStream<TcpStream>, bool)> {
    let shared = Arc::clone(&conn.worker.shared);
    let (limit, totals) = (shared.limits.handshake, &shared.totals);
    let Ok(Ok(mut stream)) = tokio::time::timeout(limit, acceptor.accept(stream)).await else {
        count(&totals.handshakes_failed);
        return None;
    };
    if stream.get_ref().1.alpn_protocol() == Some(challenge::ALPN) {
        // The handshake was all that is asked.
        let _ = tokio::time::timeout(limit, stream.shutdown()).await;
        return None;
    }
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    conn.server_name = session.server_name().map(Into::into);
    let (version, counted) = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => ("tls1.3", &totals.tls13),
        Some(_) | None => ("tls1.2", &totals.tls12),
    };
    count(counted);
    conn.tls = Some(version);
    Some((conn, stream, http2))
}
