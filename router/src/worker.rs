//! One core's share: a thread with a runtime, listeners and upstream connections of its
//! own. Workers share the table and counters, and no lock on a request's way.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::accept::{self, Handshakes};
use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::ending::Ending;
use crate::guard::{self, Guard};
use crate::https_policy::HttpsPort;
use crate::places::Places;
use crate::settings::{Front, Limits};
use crate::stats::{Totals, this_is_worker};
use crate::stopping::Stopping;
use crate::table::Routes;
use crate::upstream::Pool;
use crate::wake::Sleepers;

/// Bytes that are read at once at most.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) routes: Arc<Routes>,
    pub(crate) limits: Limits,
    /// How many there are.
    pub(crate) workers: usize,
    pub(crate) started: Instant,
    pub(crate) ending: Arc<Ending>,
    /// Bytes of responses that may be kept, or are, for clients that read slowly.
    pub(crate) ahead: Arc<AtomicUsize>,
    /// Of connections to dynos.
    pub(crate) places: Arc<Places>,
    /// Requests to the daemon, by client.
    pub(crate) to_control: Arc<Guard>,
    /// Client connections and tunnels that are open.
    pub(crate) connections: AtomicUsize,
    /// Requests that wait for a dyno to come up.
    pub(crate) waiting: AtomicUsize,
    pub(crate) https_port: Arc<HttpsPort>,
    /// What is counted for no app.
    pub(crate) totals: Totals,
    /// Apps that sleep and are waited for.
    pub(crate) sleepers: Arc<Sleepers>,
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
    pub(crate) clock: Clock,
    /// Where bytes are read into; what can't be used or sent in the same moment is copied.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) stopping: Stopping,
    pub(crate) handshakes: Handshakes,
    /// When it is to be looked next who has to make room.
    next_look: Cell<tokio::time::Instant>,
    pub(crate) stop: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

/// How often it is looked who has to make room, which is a look at all connections.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps the worker from ending, and counts as a connection.
pub(crate) struct Alive(Arc<Shared>, #[allow(dead_code, reason = "its drop is what counts")] mpsc::Sender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// For as long as client connections are scarce, those go that have been unused for longest.
    /// To be called again for each that comes; never ready.
    pub(crate) async fn keep_room(&self) {
        loop {
            let over = self.shared.guard.crowded_by();
            if over == 0 {
                return std::future::pending().await;
            }
            let now = tokio::time::Instant::now();
            if now < self.next_look.get() {
                tokio::time::sleep_until(self.next_look.get()).await;
                continue;
            }
            self.next_look.set(now + LOOK);
            if let Some(since) = now.checked_sub(self.shared.limits.crowded_idle) {
                self.stopping.make_room(over.div_ceil(self.shared.workers), since);
            }
        }
    }

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
    runtime: &Runtime,
    shared: Arc<Shared>,
    log: AccessLog,
    listeners: mpsc::UnboundedReceiver<Listening>,
    stop: watch::Receiver<bool>,
) {
    this_is_worker(number);
    let _needed = shared.ending.needs("A worker has ended by itself");
    let local = tokio::task::LocalSet::new();
    local.block_on(runtime, work(shared, log, listeners, stop));
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
    // All workers together an eighth of the files that may be open.
    let most_unused = (guard::open_files() / 8 / shared.workers).max(1);
    let pool = Rc::new(Pool::new(limits.upstream_keepalive, limits.upstream_idle_max, most_unused));
    let worker = Rc::new(Worker {
        shared,
        pool,
        log,
        clock: Clock::new(),
        scratch: RefCell::new(vec![0; SCRATCH].into()),
        stopping: Stopping::default(),
        handshakes: Handshakes::default(),
        next_look: Cell::new(tokio::time::Instant::now()),
        stop: stop.clone(),
        alive,
    });
    tokio::task::spawn_local(sweep(Rc::clone(&worker.pool), Arc::clone(&worker.shared)));
    tokio::task::spawn_local(give_way(Rc::clone(&worker.pool), Arc::clone(&worker.shared.places)));
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

/// Closes unused connections for requests of other workers that wait for a place.
async fn give_way(pool: Rc<Pool>, places: Arc<Places>) {
    let mut calls = places.calls();
    while calls.changed().await.is_ok() {
        pool.give_way(&places);
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
