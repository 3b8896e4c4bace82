//! Putting a router together, and taking it down so that nobody notices.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::access_log::AccessLog;
use crate::admin::Admin;
use crate::https_policy::HttpsPort;
use crate::listen::{Inherited, ListenError, bind};
use crate::settings::Settings;
use crate::ship::Shipper;
use crate::sync::Sync;
use crate::table::Routes;
use crate::table_file::TableFile;
use crate::tls::{self, Certificates};
use crate::worker::{self, Listening, Shared};

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
    stop: watch::Sender<bool>,
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

    /// Takes no more connections and lets what was begun come to its end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended.
    pub fn join(self) {
        // A thread that panicked has ended, too.
        let _ = self.control.join();
    }
}

/// Starts a router. Its ports are open when this returns.
pub fn start(settings: Settings, inherited: Inherited) -> Result<Running, StartError> {
    let lock = lock(&settings)?;
    let threads =
        settings.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let http_own = inherited.http.is_empty();
    let http = match settings.http_listen.0 {
        Some(addr) if http_own => bind(addr, threads, "PAAS_HTTP_LISTEN")?,
        Some(_) | None => inherited.http,
    };
    let http_addrs = addresses(&http);

    let file = TableFile::new(settings.router_dir());
    let table = file.load();
    match &table {
        Some(table) => tracing::info!(
            table.generation = table.generation,
            table.apps = table.apps.len(),
            "The routing table of the last run is in use until the daemon sends a newer one",
        ),
        None => tracing::info!("There is no routing table yet; the daemon will send one"),
    }
    let shared = Arc::new(Shared {
        routes: Arc::new(Routes::new(table, settings.limits.clone())),
        limits: settings.limits.clone(),
        started: Instant::now(),
        connections: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        https_port: HttpsPort::default(),
    });
    if let Some(port) = settings.https_port {
        shared.https_port.set(port);
    }
    let (log, entries, dropped) = AccessLog::new(settings.limits.log_queue);
    let (stop, stopped) = watch::channel(false);

    let (cert, key) = settings.tls_files();
    let certificates = Arc::new(Certificates::new(cert, key, Arc::clone(&shared.routes)));
    let acceptor =
        tls::acceptor(Arc::clone(&certificates)).map_err(|error| StartError::System(format!("TLS: {error}")))?;
    let https = Https {
        certificates,
        acceptor,
        addr: settings.https_listen.0,
        visitors: settings.https_port,
        shared: Arc::clone(&shared),
        inherited: inherited.https,
        open: Arc::default(),
        threads,
    };
    if http.is_empty() && https.addr.is_none() && https.inherited.is_empty() {
        return Err(StartError::Nowhere);
    }

    let mut workers = Vec::new();
    let mut doors = Vec::new();
    for number in 0..threads {
        let (door, listeners) = mpsc::unbounded_channel();
        doors.push(door);
        let (shared, log, stopped) = (Arc::clone(&shared), log.clone(), stopped.clone());
        let run = move || {
            if let Err(error) = worker::run(shared, log, listeners, stopped) {
                tracing::error!("A worker can't run: {error}");
            }
        };
        let worker = std::thread::Builder::new().name(format!("worker-{number}")).spawn(run);
        workers.push(worker.map_err(|error| StartError::System(format!("no thread: {error}")))?);
    }
    drop(log);
    let mut control = Control { https, doors };
    control.share(http, None, http_own)?;
    let opened = control.open_https(true);
    let https_open = Arc::clone(&control.https.open);
    if let Err(error) = opened {
        stop.send_replace(true);
        return Err(error);
    }

    let router = Uuid::new_v4();
    let connected = Arc::new(AtomicBool::new(false));
    let log_waiting = Arc::new(AtomicUsize::new(0));
    let admin = Admin {
        shared: Arc::clone(&shared),
        router,
        connected: Arc::clone(&connected),
        http: http_addrs.iter().map(ToString::to_string).collect(),
        https: Arc::clone(&https_open),
        log_waiting: Arc::clone(&log_waiting),
        log_dropped: Arc::clone(&dropped),
    };
    let limits = settings.limits.clone();
    let sync = Sync {
        socket: settings.control_socket(),
        routes: Arc::clone(&shared.routes),
        file,
        limits: limits.clone(),
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
    let admin_socket = settings.admin_socket();
    let admin_listener = admin_listener(&settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System(format!("no runtime: {error}")))?;
    let run = move || {
        runtime.block_on(async move {
            let admin_listener = match tokio::net::UnixListener::from_std(admin_listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!("The router's own socket can't be used: {error}"),
            };
            let tasks = [
                tokio::spawn(sync.run()),
                tokio::spawn(admin.run(admin_listener)),
                tokio::spawn(control.watch_certificate(limits.tls_check)),
            ];
            let shipped = tokio::spawn(shipper.run());
            let mut stopped = stopped;
            // An error means that whoever could stop us is gone.
            let _ = stopped.wait_for(|stopped| *stopped).await;
            for task in tasks {
                task.abort();
            }
            // From here on the next router may start.
            let _ = fs::remove_file(&admin_socket);
            drop(lock);
            let ended = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join())));
            let _ = ended.await;
            // The daemon may just be restarting, too.
            if tokio::time::timeout(limits.last_lines, shipped).await.is_err() {
                let lost = log_waiting.load(Ordering::Relaxed);
                tracing::warn!(log.lines = lost, "The router ends while the daemon is away: access lines are lost");
            }
        });
    };
    let control = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(run)
        .map_err(|error| StartError::System(format!("no thread: {error}")))?;
    for addr in &http_addrs {
        tracing::info!(router.threads = threads, "HTTP is taken at {addr}");
    }
    Ok(Running { http: http_addrs, https: https_open, stop, control })
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    let mut addrs: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    addrs.dedup();
    addrs
}

/// Only one router for each data directory.
fn lock(settings: &Settings) -> Result<File, StartError> {
    let dir = settings.router_dir();
    let fail = |path: &PathBuf, source| StartError::File { path: path.display().to_string(), source };
    fs::create_dir_all(&dir).map_err(|error| fail(&dir, error))?;
    let run = settings.data_dir.join("run");
    fs::create_dir_all(&run).map_err(|error| fail(&run, error))?;
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).mode(0o600).open(&path).map_err(|error| fail(&path, error))?;
    let pid_path = run.join("router.pid");
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let who = fs::read_to_string(&pid_path).map_or(String::new(), |pid| format!(" (process {})", pid.trim()));
            return Err(StartError::Running { data_dir: settings.data_dir.display().to_string(), who });
        }
        Err(TryLockError::Error(error)) => return Err(fail(&path, error)),
    }
    let mut pid = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&pid_path)
        .map_err(|error| fail(&pid_path, error))?;
    writeln!(pid, "{}", std::process::id()).map_err(|error| fail(&pid_path, error))?;
    Ok(file)
}

fn admin_listener(settings: &Settings) -> Result<std::os::unix::net::UnixListener, StartError> {
    let path = settings.admin_socket();
    let fail = |source| StartError::File { path: path.display().to_string(), source };
    // The lock is ours, so that a socket there is one that a killed router left behind.
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let listener = std::os::unix::net::UnixListener::bind(&path).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// HTTPS, open or to be opened when there is a certificate.
struct Https {
    certificates: Arc<Certificates>,
    acceptor: TlsAcceptor,
    addr: Option<SocketAddr>,
    /// The port by which visitors come, if it is another.
    visitors: Option<u16>,
    shared: Arc<Shared>,
    inherited: Vec<TcpListener>,
    open: Arc<Mutex<Vec<String>>>,
    threads: usize,
}

/// Gives listeners to the workers.
struct Control {
    https: Https,
    doors: Vec<mpsc::UnboundedSender<Listening>>,
}

impl Control {
    /// One listener for each worker where there is one each, else all for all.
    fn share(&self, listeners: Vec<TcpListener>, tls: Option<&TlsAcceptor>, own: bool) -> Result<(), StartError> {
        let fail = |error: io::Error| StartError::System(format!("a listener can't be shared: {error}"));
        let one_each = own && listeners.len() == self.doors.len();
        for (at, door) in self.doors.iter().enumerate() {
            for (number, listener) in listeners.iter().enumerate() {
                if !one_each || number == at {
                    let listener = listener.try_clone().map_err(fail)?;
                    // A worker that is gone has said why.
                    let _ = door.send(Listening { listener, tls: tls.cloned(), own });
                }
            }
        }
        Ok(())
    }

    /// Opens HTTPS if there is a certificate now.
    fn open_https(&mut self, first: bool) -> Result<(), StartError> {
        let https = &mut self.https;
        if https.addr.is_none() && https.inherited.is_empty() {
            return Ok(());
        }
        if let Err(error) = https.certificates.reload() {
            if first {
                tracing::info!("HTTPS is not opened: {error}. It will be when certificate and key are there");
            }
            return Ok(());
        }
        let own = https.inherited.is_empty();
        let listeners = match https.addr {
            Some(addr) if own => bind(addr, https.threads, "PAAS_HTTPS_LISTEN")?,
            Some(_) | None => std::mem::take(&mut https.inherited),
        };
        let addrs = addresses(&listeners);
        if let (None, Some(addr)) = (https.visitors, addrs.first()) {
            https.shared.https_port.set(addr.port());
        }
        let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        self.share(listeners, Some(&self.https.acceptor), own)?;
        for addr in &addrs {
            tracing::info!("HTTPS is taken at {addr}");
        }
        *self.https.open.lock().unwrap_or_else(PoisonError::into_inner) = addrs;
        Ok(())
    }

    /// Opens HTTPS late, and takes a new certificate when the files change. Never ends.
    async fn watch_certificate(mut self, period: Duration) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(period).await;
            let open = !self.https.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            let trouble = if open {
                match self.https.certificates.reload() {
                    Ok(true) => {
                        tracing::info!("A new certificate is in use");
                        None
                    }
                    Ok(false) => None,
                    Err(error) => Some(format!("The certificate in use stays: {error}")),
                }
            } else {
                self.open_https(false).err().map(|error| format!("HTTPS can't be opened: {error}"))
            };
            let trouble = trouble.unwrap_or_default();
            if trouble != told && !trouble.is_empty() {
                tracing::warn!("{trouble}");
            }
            told = trouble;
        }
    }
}
