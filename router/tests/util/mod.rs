//! A router between a daemon, dynos and clients that behave or misbehave as a test wants.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(unreachable_pub, reason = "a test's helpers are no library")]
#![allow(missing_docs, reason = "a test's helpers are no library")]

pub mod backend;
pub mod client;
pub mod daemon;
pub mod exposition;
pub mod process;
pub mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use paas_domain::route::{AppRoute, Backend, ControlRoute, RouteState, RouteTable, Rules};
use paas_domain::traffic::AppTraffic;
use paas_router::{Inherited, Limits, Listen, Running, Settings, Status, start};
use tempfile::TempDir;
use uuid::Uuid;

use daemon::StubDaemon;
use exposition::Metrics;

pub const APP: Uuid = Uuid::from_u128(0xA);
pub const INSTANCE: Uuid = Uuid::from_u128(0x1);
/// Sent by the clients so that lines can be compared whole.
pub const REQUEST_ID: &str = "0123456789abcdef0123";

/// Limits short enough to be waited for.
pub fn limits() -> Limits {
    Limits {
        connect: Duration::from_millis(300),
        quarantine: Duration::from_millis(300),
        hold: Duration::from_millis(100),
        queue: Duration::from_millis(900),
        first_byte: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        drain: Duration::from_secs(5),
        last_lines: Duration::from_secs(1),
        control_connect: Duration::from_secs(3),
        backoff: Duration::from_millis(50),
        log_pause: Duration::from_millis(1),
        tls_check: Duration::from_millis(20),
        ..Limits::default()
    }
}

/// No limit is reached in a test that is about something else.
pub fn patient() -> Limits {
    let long = Duration::from_secs(20);
    Limits { connect: long, queue: long, first_byte: long, idle: long, ..limits() }
}

pub fn app(state: RouteState, backends: &[SocketAddr]) -> AppRoute {
    let backend = |(at, addr): (usize, &SocketAddr)| Backend {
        dyno: format!("web.{}", at + 1),
        id: Uuid::from_u128(u128::from(addr.port())),
        addr: *addr,
    };
    AppRoute {
        id: APP,
        name: "demo".to_owned(),
        hosts: vec!["demo.localhost".to_owned(), "*.example.com".to_owned()],
        state,
        maintenance: false,
        error_page_url: None,
        maintenance_page_url: None,
        backends: backends.iter().enumerate().map(backend).collect(),
        rules: Rules::default(),
    }
}

pub fn table(generation: u64, apps: Vec<AppRoute>) -> RouteTable {
    RouteTable { instance: INSTANCE, generation, base_domain: "localhost".to_owned(), apps, ..RouteTable::default() }
}

pub fn serving(generation: u64, backends: &[SocketAddr]) -> RouteTable {
    table(generation, vec![app(RouteState::Serving, backends)])
}

pub fn with_control(mut table: RouteTable, addr: SocketAddr) -> RouteTable {
    table.control = Some(ControlRoute { hosts: vec!["api.localhost".to_owned()], addr });
    table
}

pub fn settings(dir: &Path, limits: Limits) -> Settings {
    Settings {
        http_listen: Listen(Some(([127, 0, 0, 1], 0).into())),
        https_listen: Listen(None),
        https_port: None,
        data_dir: dir.to_owned(),
        tls_cert: None,
        tls_key: None,
        threads: Some(2),
        limits,
    }
}

/// A daemon and a router that has its table.
pub struct House {
    pub dir: TempDir,
    pub daemon: StubDaemon,
    pub router: Option<Running>,
    pub addr: SocketAddr,
}

impl House {
    pub async fn new(table: RouteTable) -> House {
        House::with(table, limits()).await
    }

    pub async fn with(table: RouteTable, limits: Limits) -> House {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), limits);
        House::from(dir, table, settings).await
    }

    pub async fn from(dir: TempDir, table: RouteTable, settings: Settings) -> House {
        let daemon = StubDaemon::start(dir.path());
        daemon.set(table.clone());
        let router = start(settings, Inherited::default()).unwrap();
        let addr = router.http()[0];
        let house = House { dir, daemon, router: Some(router), addr };
        house.has(table.generation).await;
        house
    }

    pub async fn set(&self, table: RouteTable) {
        let generation = table.generation;
        self.daemon.set(table);
        self.has(generation).await;
    }

    /// Waits until the router uses the table.
    pub async fn has(&self, generation: u64) {
        self.until(|status| status.generation == generation).await;
    }

    pub async fn until(&self, fits: impl Fn(&Status) -> bool) -> Status {
        until(self.dir.path(), fits).await
    }

    /// What the router counts, once that fits.
    pub async fn metrics(&self, fits: impl Fn(&Metrics) -> bool) -> Metrics {
        let socket = self.dir.path().join("run/router.sock");
        let mut last = None;
        let asked = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let metrics = Metrics::parse(&client::told(&socket, "/metrics").await.unwrap());
                if fits(&metrics) {
                    return metrics;
                }
                last = Some(metrics);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        asked.unwrap_or_else(|_| panic!("the counts never came to what is expected; they last were {last:#?}"))
    }

    /// How the apps fared lately.
    pub async fn traffic(&self) -> Vec<AppTraffic> {
        let socket = self.dir.path().join("run/router.sock");
        serde_json::from_str(&client::told(&socket, "/apps").await.unwrap()).unwrap()
    }

    /// The next access line that has `part` in it, with its times made equal.
    pub async fn line(&self, part: &str) -> String {
        self.daemon.line(part).await
    }

    pub async fn stop(&mut self) {
        let router = self.router.take().unwrap();
        router.stop();
        tokio::task::spawn_blocking(|| router.join()).await.unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(router) = self.router.take() {
            router.stop();
        }
    }
}

/// Asks the router about itself until the answer fits.
pub async fn until(dir: &Path, fits: impl Fn(&Status) -> bool) -> Status {
    let socket = dir.join("run/router.sock");
    let mut last = None;
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(status) = client::status(&socket).await {
                if fits(&status) {
                    return status;
                }
                last = Some(status);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    asked.unwrap_or_else(|_| panic!("the router never came to the expected state; it last said {last:?}"))
}

/// `connect=7ms` becomes `connect=Nms`: how long something took is no constant.
pub fn without_times(line: &str) -> String {
    line.split(' ')
        .map(|word| match word.split_once('=') {
            Some((name @ ("connect" | "service"), time)) if time.ends_with("ms") => format!("{name}=Nms"),
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The milliseconds of `connect` or `service` in a line.
pub fn time(line: &str, name: &str) -> u64 {
    let word = line.split(' ').find_map(|word| word.strip_prefix(&format!("{name}="))).unwrap();
    word.trim_end_matches("ms").parse().unwrap()
}
