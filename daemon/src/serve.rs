//! Puts the floors together: opens what is kept, starts the tasks, serves the API.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use uuid::Uuid;

use crate::{
    addons::Catalog,
    api,
    config::{Config, RouterMode},
    context::Context,
    engine::{
        Engine, EngineConfig,
        docker::{DockerEngine, DockerSandbox},
    },
    git,
    logs::{LogSink, files},
    ops::Platform,
    secret::Sealer,
    slugs::{DiskStore, SlugCache},
    store, streams,
    tasks::{self, reconcile::Reconciler, routes::Routes},
    web,
};

/// The size of an app's network: a /24 has room for 253 dynos and add-ons.
const APP_NETWORK_PREFIX: u8 = 24;

/// How long the end of a dyno's output is waited for before its container goes.
const DRAIN_LOGS: Duration = Duration::from_secs(10);

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error("the data directory {path} can't be used: {why}")]
    DataDir {
        /// Which.
        path: String,
        /// Why, and what to do.
        why: String,
    },
    /// An address can't be listened on.
    #[error("{what} can't listen on {address}: {why}")]
    Listen {
        /// What.
        what: &'static str,
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// The database can't be opened, or is not the one of the data directory.
    #[error("{}", chain(.0))]
    Database(#[from] store::instance::InstanceError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A running daemon.
pub struct Daemon {
    /// What operations work with.
    pub platform: Platform,
    /// Where the API listens.
    pub api: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _lock: std::fs::File,
}

/// Opens what is kept and gives operations all they need, for administration beside a daemon
/// that may be running: what that one is working on is left alone.
pub async fn beside(config: Config) -> Result<Platform, StartError> {
    open(config, None, false).await
}

/// The same; `first`: nobody else works here, so what interrupted work has left is removed.
async fn open(config: Config, engine: Option<Arc<dyn Engine>>, first: bool) -> Result<Platform, StartError> {
    let dir = config.data_dir.clone();
    let problem =
        |e: &dyn std::fmt::Display| StartError::DataDir { path: dir.display().to_string(), why: e.to_string() };
    prepare_dir(&dir).map_err(|e| problem(&e))?;
    let dir = dir.canonicalize().map_err(|e| problem(&e))?;
    let config = Config { data_dir: dir.clone(), ..config };
    // First of all: what follows makes files in a directory that may be another installation's.
    // One at a time: of several that open a new directory, or one of an older version, each would
    // make its tables and its key.
    let opening = opening(&dir).await.map_err(|e| problem(&e))?;
    let (db, instance) = store::instance::open(&dir, &config.database_url()).await?;
    let failed = |e: store::StoreError| StartError::Other(chain(&e));
    let new = store::users::list(&mut db.read().await.map_err(failed)?).await.map_err(failed)?.is_empty();
    let sealer = Sealer::from_file(&dir.join("secret.key"), new).map_err(|e| StartError::Other(chain(&e)))?;
    drop(opening);
    let engine = engine.unwrap_or_else(|| Arc::new(DockerEngine::new(engine_config(&config, instance))));
    let cx = Context::new(config, sealer, instance);
    let mut log_config = files::LogConfig::new(dir.join("logs"));
    log_config.disk_reserve = log_config.disk_reserve.min(cx.config().disk_reserve_mib << 20);
    let store = files::FileLogs::open(log_config).await.map_err(|e| StartError::Other(chain(&e)))?;
    let logs = LogSink::new(Arc::new(store), &cx);
    let failed = |e: crate::slugs::SlugError| StartError::Other(chain(&e));
    let (slug_dir, releases) = (dir.join("slugs"), dir.join("releases"));
    let slug_store: Arc<dyn crate::slugs::SlugStore> =
        Arc::new(if first { DiskStore::open(slug_dir).await.map_err(failed)? } else { DiskStore::beside(slug_dir) });
    let slugs = match first {
        true => SlugCache::open(releases, slug_store.clone()).await.map_err(failed)?,
        false => SlugCache::beside(releases, slug_store.clone()),
    };
    Ok(Platform {
        cx,
        db,
        engine,
        catalog: Catalog::default(),
        logs,
        slugs: Arc::new(slugs),
        slug_store,
        attachments: Default::default(),
        board: Default::default(),
        guesses: Default::default(),
        counts: Default::default(),
    })
}

/// The engine's settings out of the daemon's.
pub fn engine_config(config: &Config, instance: Uuid) -> EngineConfig {
    EngineConfig {
        docker_host: config.docker_host.clone(),
        init_path: config.program("paas-init"),
        network_pool: config.network_pool.clone(),
        network_prefix: APP_NETWORK_PREFIX,
        router_ports: [config.http_listen, config.https_listen].iter().filter_map(|one| Some(one.0?.port())).collect(),
        ca_bundle: config.ca_bundle.clone(),
        disk_reserve: config.disk_reserve_mib << 20,
        ..EngineConfig::new(instance.simple().to_string(), &config.data_dir)
    }
}

impl Daemon {
    /// Starts everything. `engine` takes Docker's place in tests that inject faults.
    pub async fn start(config: Config, engine: Option<Arc<dyn Engine>>) -> Result<Self, StartError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listen = config.api_listen;
        let router_mode = config.router;
        prepare_dir(&config.data_dir)
            .map_err(|e| StartError::DataDir { path: config.data_dir.display().to_string(), why: e.to_string() })?;
        let lock = lock(&config.data_dir)?;
        let listener = TcpListener::bind(listen).await.map_err(|e| StartError::Listen {
            what: "The API",
            address: listen.to_string(),
            why: format!("{e}; set another with --api-listen or PAAS_API_LISTEN"),
        })?;
        let address = listener.local_addr().unwrap_or(listen);
        let metrics = metrics_listener(config.metrics_listen).await?;
        let platform = open(Config { api_listen: address, ..config }, engine, true).await?;
        crate::ops::teams::ensure_built_in(&platform).await.map_err(|e| StartError::Other(chain(&e)))?;
        let cx = platform.cx.clone();
        let tls_files =
            web::tls::ensure(&cx.path("tls"), &cx.config().base_domain).map_err(|e| StartError::Other(chain(&e)))?;
        let tls = web::tls::server_config(&tls_files).map_err(|e| StartError::Other(chain(&e)))?;
        let routes = Routes::new(platform.clone()).await.map_err(|e| StartError::Other(chain(&e)))?;
        let control_path = cx.path("run/control.sock");
        let control = tasks::control::bind(&control_path).map_err(|e| StartError::Listen {
            what: "The control socket",
            address: control_path.display().to_string(),
            why: e.to_string(),
        })?;
        let (stop, stopped) = watch::channel(false);
        let mut jobs = JoinSet::new();
        let drained: tasks::reconcile::Drained = {
            let logs = platform.logs.clone();
            Arc::new(move |dyno_id| {
                let logs = logs.clone();
                Box::pin(async move {
                    if !logs.drains().drained(dyno_id, DRAIN_LOGS).await {
                        tracing::warn!(dyno.id = %dyno_id, "a dyno's last lines could not be read in time");
                    }
                })
            })
        };
        let reconciler = Reconciler::new(platform.clone(), routes.clone(), drained);
        jobs.spawn(tasks::collect::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::control::serve(control, routes.clone(), platform.logs.clone(), stopped.clone()));
        jobs.spawn(tasks::acm::run(platform.clone(), routes.clone(), stopped.clone()));
        jobs.spawn(tasks::routes::run(routes, stopped.clone()));
        jobs.spawn(prepare_engine(platform.clone(), stopped.clone()));
        jobs.spawn(reconciler.run(stopped.clone()));
        jobs.spawn(tasks::idle::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::metrics::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::addons::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::cleanup::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::promotions::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::drains::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::slugs::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::webhooks::run(platform.clone(), stopped.clone()));
        if let Some(listener) = metrics {
            jobs.spawn(tasks::scrape::serve(platform.clone(), listener, stopped.clone()));
        }
        let git = Arc::new(git::Git::default());
        let builder = builder(&platform, cx.instance()).await?;
        jobs.spawn(tasks::reviews::run(platform.clone(), stopped.clone()));
        jobs.spawn(tasks::setups::run(builder.clone(), stopped.clone()));
        jobs.spawn(tasks::build::run(builder, stopped.clone()));
        jobs.spawn(hooks(platform.clone(), git.clone(), stopped.clone()));
        if router_mode == RouterMode::Managed {
            jobs.spawn(tasks::router::run(cx.clone(), stopped.clone()));
        }
        let app = api::routes(&platform).merge(streams::routes()).merge(git::routes(git)).with_state(platform.clone());
        let rendezvous: web::Rendezvous = {
            let platform = platform.clone();
            Arc::new(move |secret, stream| match secret {
                web::Secret::Rendezvous(secret) => Box::pin(streams::rendezvous(platform.clone(), secret, stream)),
                web::Secret::Redis(secret) => Box::pin(streams::redis(platform.clone(), secret, stream)),
            })
        };
        jobs.spawn(web::serve(listener, app, tls, rendezvous, stopped));
        tracing::info!(api = %address, data_dir = %cx.config().data_dir.display(), database = platform.db.name(), "paasd is up");
        Ok(Self { platform, api: address, stop, tasks: jobs, _lock: lock })
    }

    /// Ends the tasks; dynos, add-ons and the router go on.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        // Tails would hold the API's port until they are cut off.
        self.platform.logs.store().hang_up();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(10), all).await.is_err() {
            tracing::warn!("some tasks did not end in time and were cut off");
            self.tasks.shutdown().await;
        }
        self.platform.logs.store().close().await;
        self.platform.db.close().await;
    }
}

/// The place for metrics, where one is wanted.
async fn metrics_listener(listen: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(listen) = listen else { return Ok(None) };
    let listener = TcpListener::bind(listen).await.map_err(|e| StartError::Listen {
        what: "The page of metrics",
        address: listen.to_string(),
        why: format!("{e}; set another with --metrics-listen or PAAS_METRICS_LISTEN, or none"),
    })?;
    let address = listener.local_addr().unwrap_or(listen);
    tracing::info!(metrics.address = %address, "metrics are at http://{address}/metrics");
    Ok(Some(listener))
}

/// What builds need. Their containers are Docker's even where a test's engine runs dynos.
async fn builder(platform: &Platform, instance: Uuid) -> Result<tasks::build::Builder, StartError> {
    let cx = &platform.cx;
    let engine = DockerEngine::new(engine_config(cx.config(), instance));
    let packs = cx.path("packs");
    let packs = tokio::task::spawn_blocking(move || paas_buildpacks::catalog::Catalog::open(&packs)).await;
    let packs = packs.map_err(std::io::Error::other).and_then(|opened| opened);
    let packs =
        packs.map_err(|e| StartError::Other(format!("the buildpacks can't be written to the data directory: {e}")))?;
    git::recover(cx).map_err(|e| StartError::Other(format!("the git repositories can't be read: {e}")))?;
    Ok(tasks::build::Builder { platform: platform.clone(), sandbox: Arc::new(DockerSandbox::new(engine)), packs })
}

/// Answers the hooks of pushes.
async fn hooks(p: Platform, git: Arc<git::Git>, stop: watch::Receiver<bool>) {
    let program = p.cx.config().own_program();
    if let Err(error) = git::serve_hooks(p, git, &program, stop).await {
        tracing::error!(%error, "pushes can't be taken: the socket of git's hooks could not be made");
    }
}

/// Firewall and build network: at the start, again until it succeeds, and now and then.
async fn prepare_engine(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut told: Vec<String> = Vec::new();
    loop {
        let wait = match p.engine.prepare().await {
            Ok(findings) => {
                for finding in findings.iter().filter(|finding| !told.contains(finding)) {
                    tracing::warn!("{finding}");
                }
                told = findings;
                Duration::from_secs(300)
            }
            Err(error) => {
                tracing::warn!(%error, "the engine is not ready");
                Duration::from_secs(3)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Waits until no other process opens this data directory, and keeps others out while the file is
/// held.
async fn opening(dir: &Path) -> std::io::Result<std::fs::File> {
    let path = dir.join("opening.lock");
    let opened = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(path)?;
        file.lock()?;
        Ok(file)
    });
    opened.await.map_err(std::io::Error::other)?
}

fn prepare_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if !dir.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    // Nobody else's business; but dynos' mounts below must be reachable for their user, who
    // comes by the mounts and not by this directory.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    for sub in ["run", "builds", "cache", "git", "dynos", "releases", "slugs", "logs", "tls", "router"] {
        std::fs::create_dir_all(dir.join(sub))?;
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<std::fs::File, StartError> {
    let path = dir.join("paasd.lock");
    let problem = |why: String| StartError::DataDir { path: dir.display().to_string(), why };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| problem(format!("{} can't be opened: {e}", path.display())))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        problem(
            "another paasd uses it already. Stop that one, or give this one a directory of its own with --data-dir"
                .into(),
        )
    })?;
    Ok(file)
}

/// An error with all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
