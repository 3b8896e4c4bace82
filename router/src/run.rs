//! Putting a router together.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::access_log::AccessLog;
use crate::admin::Admin;
use crate::control::{AdminSocket, Control};
use crate::dispatch;
use crate::doors::{Doors, Https, addresses};
use crate::ending::Ending;
use crate::guard::{self, Guard};
use crate::handover::{Before, Estate, Handover, Older, Predecessor};
use crate::listen::{Inherited, ListenError, bind};
use crate::places::Places;
use crate::settings::Settings;
use crate::ship::Shipper;
use crate::stats::Totals;
use crate::sync::Sync;
use crate::table::Routes;
use crate::table_file::TableFile;
use crate::tls::{self, Certificates};
use crate::wake::Waker;
use crate::worker::{self, Shared};

/// Why a router doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory is another router's.
    #[error(
        "another router runs on {data_dir}{who}. Stop it first, or give this one a data directory of its own (PAAS_DATA_DIR)"
    )]
    Running {
        /// The directory.
        data_dir: String,
        /// Its process, when it is known.
        who: String,
    },
    /// A file can't be used.
    #[error("{path} can't be used: {source}. Does the directory belong to this user, and is there space?")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to do.
    #[error("there is nowhere to listen: give an address for HTTP or for HTTPS (PAAS_HTTP_LISTEN, PAAS_HTTPS_LISTEN)")]
    Nowhere,
    /// The system gives no threads, or TLS can't be set up.
    #[error("the router can't be set up: {0}")]
    System(String),
}

/// A router at work.
#[derive(Debug)]
pub struct Running {
    http: Vec<SocketAddr>,
    https: Arc<Mutex<Vec<String>>>,
    handover: Handover,
    control: JoinHandle<()>,
}

impl Running {
    /// Where it takes HTTP.
    #[must_use]
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where it takes HTTPS, as of now.
    #[must_use]
    pub fn https(&self) -> Vec<String> {
        self.https.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What lets another router take over, or ends this one, from any thread.
    #[must_use]
    pub fn handover(&self) -> Handover {
        self.handover.clone()
    }

    /// Takes no more connections and lets what was begun come to its end.
    pub fn stop(&self) {
        self.handover.stop();
    }

    /// Waits until it has ended.
    pub fn join(self) {
        // A thread that panicked has ended, too.
        let _ = self.control.join();
    }
}

/// Starts a router. Its ports are open when this returns. Where it takes over from another one,
/// that one has let go then, or serves on if this fails.
pub fn start(settings: Settings, mut inherited: Inherited) -> Result<Running, StartError> {
    let mut predecessor = inherited.predecessor.take();
    let started = begin(settings, inherited, &mut predecessor);
    if let (Err(error), Some(predecessor)) = (&started, predecessor) {
        predecessor.refuse(&error.to_string());
    }
    started
}

fn begin(
    settings: Settings,
    inherited: Inherited,
    predecessor: &mut Option<Predecessor>,
) -> Result<Running, StartError> {
    let system = |what: &str, error: io::Error| StartError::System(format!("{what}: {error}"));
    let lock = match predecessor.as_mut().and_then(Predecessor::lock) {
        Some(lock) => lock,
        None => lock(&settings)?,
    };
    let threads =
        settings.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let (http, http_own) = match settings.http_listen.0 {
        Some(addr) if inherited.http.is_empty() => (bind(addr, threads, "PAAS_HTTP_LISTEN")?, true),
        Some(_) | None => (inherited.http, inherited.http_own),
    };
    let http_addrs = addresses(&http);

    let file = TableFile::new(settings.router_dir());
    let loaded = file.mark();
    let table = file.load();
    match &table {
        Some(table) => tracing::info!(
            table.generation = table.generation,
            table.apps = table.apps.len(),
            "The routing table of the last run is in use until the daemon sends a newer one",
        ),
        None => tracing::info!("There is no routing table yet; the daemon will send one"),
    }
    let (stop, stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let ending = Arc::new(Ending::new(&stop));
    let shared = Arc::new(Shared {
        routes: Arc::new(Routes::new(table, settings.limits.clone())),
        limits: settings.limits.clone(),
        workers: threads,
        ahead: Arc::default(),
        places: Arc::new(Places::new(settings.limits.dyno_connections.unwrap_or_else(|| guard::open_files() / 4))),
        to_control: Arc::new(Guard::new(dispatch::MOST_TO_CONTROL, None)),
        started: Instant::now(),
        ending: Arc::clone(&ending),
        connections: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        https_port: Arc::default(),
        totals: Totals::default(),
        sleepers: Arc::default(),
        guard: Arc::new(Guard::new(settings.front.client_connections, settings.limits.connections)),
        front: settings.front.clone(),
    });
    if let Some(port) = settings.https_port {
        shared.https_port.set(port);
    }
    let (log, entries, dropped) = AccessLog::new(settings.limits.log_queue, settings.limits.log_queue_bytes);

    let (cert, key) = settings.tls_files();
    let certificates = Arc::new(Certificates::new(cert, key, Arc::clone(&shared.routes)));
    let acceptor =
        tls::acceptor(Arc::clone(&certificates)).map_err(|error| StartError::System(format!("TLS: {error}")))?;
    let https = Https {
        certificates,
        acceptor,
        addr: settings.https_listen.0,
        visitors: settings.https_port,
        port: Arc::clone(&shared.https_port),
        inherited: inherited.https,
        inherited_own: inherited.https_own,
        open: Arc::default(),
        threads,
    };
    if http.is_empty() && https.addr.is_none() && https.inherited.is_empty() {
        return Err(StartError::Nowhere);
    }

    // Whatever fails from here on ends them: `stop` is gone then.
    let mut workers = Vec::new();
    let mut inlets = Vec::new();
    for number in 0..threads {
        let (inlet, listeners) = mpsc::unbounded_channel();
        inlets.push(inlet);
        let (shared, log, stopped) = (Arc::clone(&shared), log.clone(), stopped.clone());
        let runtime = runtime()?;
        let run = move || worker::run(number, &runtime, shared, log, listeners, stopped);
        let worker = std::thread::Builder::new().name(format!("worker-{number}")).spawn(run);
        workers.push(worker.map_err(|error| system("no thread", error))?);
    }
    drop(log);
    let estate = Arc::new(Estate::new(lock));
    let mut doors = Doors { https, workers: inlets, estate: Arc::clone(&estate) };
    let http_ready = doors.http(http, http_own)?;
    let https_ready = doors.https(true)?;
    let https_open = Arc::clone(&doors.https.open);

    let router = Uuid::new_v4();
    let connected = Arc::new(AtomicBool::new(false));
    let log_waiting = Arc::new(AtomicUsize::new(0));
    let older = Arc::new(Older::default());
    let admin = Arc::new(Admin {
        shared: Arc::clone(&shared),
        router,
        connected: Arc::clone(&connected),
        http: http_addrs.iter().map(ToString::to_string).collect(),
        https: Arc::clone(&https_open),
        older: Arc::clone(&older),
        log_waiting: Arc::clone(&log_waiting),
        log_dropped: Arc::clone(&dropped),
        estate: Arc::clone(&estate),
    });
    let limits = settings.limits.clone();
    let sync = Sync {
        socket: settings.control_socket(),
        routes: Arc::clone(&shared.routes),
        file: file.clone(),
        limits: limits.clone(),
        older: Arc::clone(&older),
        connected,
    };
    let shipper = Shipper {
        socket: settings.control_socket(),
        router,
        entries,
        dropped,
        limits: limits.clone(),
        waiting: Arc::clone(&log_waiting),
    };
    let waker =
        Waker { socket: settings.control_socket(), sleepers: Arc::clone(&shared.sleepers), limits: limits.clone() };
    let socket = AdminSocket::bind(settings.admin_socket())?;
    let runtime = runtime()?;
    let (give, given) = std::sync::mpsc::channel::<Control>();
    let control = move || {
        // Nothing comes when the start has failed after all.
        if let Ok(control) = given.recv() {
            runtime.block_on(control.run());
        }
    };
    let control = std::thread::Builder::new().name("control".to_owned()).spawn(control);
    let thread = control.map_err(|error| system("no thread", error))?;

    let before = match predecessor.take() {
        Some(predecessor) => Some(predecessor.replace().map_err(|error| system("the hand-over", error))?),
        None => None,
    };
    older.says(before.as_ref().and_then(Before::still));
    // After a hand-over there is no way back: nothing from here on keeps requests waiting.
    for done in [write_pid(&settings), socket.publish()] {
        match done {
            Err(error) if before.is_some() => tracing::error!("The router goes on all the same: {error}"),
            other => other?,
        }
    }
    if file.mark() != loaded
        && let Some(table) = file.peek()
    {
        shared.routes.publish(table);
    }
    for addr in doors.open(http_ready) {
        tracing::info!(router.threads = threads, "HTTP is taken at {addr}");
    }
    if let Some(ready) = https_ready {
        doors.open_https(ready);
    }
    let (link, successor) = oneshot::channel();
    let handover = Handover {
        estate: Arc::clone(&estate),
        file: file.clone(),
        ending: Arc::clone(&ending),
        stop,
        patience: limits.handover,
        admin: Arc::clone(&admin),
        link: Arc::new(Mutex::new(Some(link))),
    };
    let control = Control {
        admin,
        socket,
        sync,
        waker,
        shipper,
        doors,
        file,
        estate,
        ending,
        workers,
        stopped,
        before,
        successor,
        limits,
    };
    // The thread waits for it.
    let _ = give.send(control);
    Ok(Running { http: http_addrs, https: https_open, handover, control: thread })
}

/// For one thread.
fn runtime() -> Result<Runtime, StartError> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(|error| StartError::System(format!("no runtime: {error}")))
}

/// Only one router for each data directory.
fn lock(settings: &Settings) -> Result<File, StartError> {
    let dir = settings.router_dir();
    fs::create_dir_all(&dir).map_err(|error| unusable(&dir, error))?;
    let run = settings.data_dir.join("run");
    fs::create_dir_all(&run).map_err(|error| unusable(&run, error))?;
    let path = dir.join("lock");
    let file =
        File::options().create(true).append(true).mode(0o600).open(&path).map_err(|error| unusable(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(settings.data_dir.join("run/router.pid"));
            let who = pid.map_or(String::new(), |pid| format!(" (process {})", pid.trim()));
            Err(StartError::Running { data_dir: settings.data_dir.display().to_string(), who })
        }
        Err(TryLockError::Error(error)) => Err(unusable(&path, error)),
    }
}

fn write_pid(settings: &Settings) -> Result<(), StartError> {
    let path = settings.data_dir.join("run/router.pid");
    fs::write(&path, format!("{}\n", std::process::id())).map_err(|error| unusable(&path, error))
}

fn unusable(path: &Path, source: io::Error) -> StartError {
    StartError::File { path: path.display().to_string(), source }
}
