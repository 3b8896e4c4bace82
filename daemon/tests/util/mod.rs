//! One daemon per test: a data directory, database, ports and engine of its own.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its settings where it needs them"
)]

pub mod cli_user;
pub mod database;
pub mod home;
pub mod hyper;
pub mod pebble;
pub mod settings;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser as _;
use paas_daemon::{
    config::Config,
    engine::{Engine, Owned, fake::FakeEngine},
    ops::{self, Actor, accounts},
    serve::Daemon,
    store,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

/// How long a state is waited for before the test is given up.
pub const PATIENCE: Duration = Duration::from_secs(90);

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// A running daemon with a logged-in user.
pub struct TestApp {
    pub daemon: Option<Daemon>,
    pub config: Config,
    pub url: String,
    pub token: String,
    pub email: String,
    pub dir: PathBuf,
    pub fake: Option<FakeEngine>,
    http: reqwest::Client,
    database: Option<database::Database>,
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of an answer that must be a good one.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// `id` and `message` of an error with this status.
    pub fn error(self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{self:?}");
        let text = |key: &str| self.body[key].as_str().unwrap_or_else(|| panic!("no {key}: {self:?}")).to_owned();
        (text("id"), text("message"))
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl TestApp {
    /// With a fake engine: for what does not depend on containers.
    pub async fn fake() -> Self {
        let fake = FakeEngine::new();
        Self::start(Some(fake), |_| {}).await
    }

    /// With a fake engine and other settings.
    pub async fn fake_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(Some(FakeEngine::new()), change).await
    }

    /// With the real engine.
    pub async fn docker() -> Self {
        Self::start(None, |_| {}).await
    }

    /// With the real engine and other settings.
    pub async fn docker_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(None, change).await
    }

    async fn start(fake: Option<FakeEngine>, change: impl FnOnce(&mut Config)) -> Self {
        // The tests' client is built with TLS when the whole workspace is; it wants a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let id = Uuid::new_v4().simple().to_string();
        let dir = std::env::temp_dir().join(format!("paas-test-{id}"));
        let mut config = Flags::parse_from(["paasd"]).config;
        config.data_dir = dir.clone();
        config.api_listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.http_listen = SocketAddr::from(([0, 0, 0, 0], free_port())).into();
        config.https_listen = SocketAddr::from(([0, 0, 0, 0], free_port())).into();
        config.libexec_dir = Some(programs());
        config.router = paas_daemon::config::RouterMode::External;
        let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
        config.ca_bundle = bundle.exists().then(|| bundle.to_owned());
        config.disk_reserve_mib = 64;
        config.api_rate_limit = 0;
        let database = database::Database::new();
        config.database_url = database.as_ref().map(|database| database.url.clone());
        change(&mut config);
        let mut app = Self {
            daemon: None,
            config,
            url: String::new(),
            token: String::new(),
            email: "owner@example.com".into(),
            dir,
            fake,
            // No connection is kept: a daemon that was restarted has forgotten it.
            http: reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap(),
            database,
        };
        app.up().await;
        let user = accounts::create(app.platform(), "owner@example.com", Some("correct horse"), false).await.unwrap();
        app.token = accounts::create_token(app.platform(), user.id, "test", None).await.unwrap().1;
        app
    }

    /// Starts the daemon again after [`TestApp::down`].
    pub async fn up(&mut self) {
        let engine = self.fake.clone().map(|fake| Arc::new(fake) as Arc<dyn Engine>);
        let daemon = Daemon::start(self.config.clone(), engine).await.unwrap();
        self.url = format!("http://{}", daemon.api);
        // The same port after a restart: clients keep their addresses.
        self.config.api_listen = daemon.api;
        self.daemon = Some(daemon);
    }

    /// Ends the daemon as SIGTERM does.
    pub async fn down(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
    }

    pub async fn restart(&mut self) {
        self.down().await;
        self.up().await;
    }

    pub fn platform(&self) -> &ops::Platform {
        &self.daemon.as_ref().expect("the daemon runs").platform
    }

    pub async fn actor(&self) -> Actor {
        accounts::authenticate(self.platform(), &self.token).await.unwrap().unwrap()
    }

    /// Another user's token.
    pub async fn other(&self, email: &str) -> String {
        let user = accounts::create(self.platform(), email, Some("battery staple"), false).await.unwrap();
        accounts::create_token(self.platform(), user.id, "test", None).await.unwrap().1
    }

    pub async fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<Vec<u8>>) -> Answer {
        let mut request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.url))
            .header("Accept", "application/vnd.heroku+json; version=3");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        hyper::check(method, path, status, &body);
        Answer { status, headers, body }
    }

    /// A request with these headers, and no others but the ones that HTTP needs.
    pub async fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body.to_owned()).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        hyper::check(method, path, status, &body);
        Answer { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Some(&self.token), None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(&self.token), Some(body.to_string().into_bytes())).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(&self.token), Some(body.to_string().into_bytes())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Some(&self.token), None).await
    }

    /// An app of this name.
    pub async fn create(&self, name: &str) -> Value {
        self.post("/apps", json!({"name": name})).await.ok()
    }

    /// Releases a slug of these files and process types, without a build.
    pub async fn deploy(&self, app: &str, files: &[(&str, &str)], types: &[(&str, &str)]) -> store::releases::Release {
        let p = self.platform();
        let actor = self.actor().await;
        let app = ops::apps::find(p, &actor, app).await.unwrap();
        let tree = self.dir.join(format!("tree-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&tree).unwrap();
        for (path, text) in files {
            let path = tree.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let packed = paas_daemon::slugs::pack(p.slug_store.as_ref(), &tree).await.unwrap();
        let now = p.cx.now();
        let slug = store::slugs::Slug {
            id: Uuid::now_v7(),
            app_id: app.id,
            sha256: Some(packed.blob.sha256),
            size: Some(packed.blob.size.try_into().unwrap()),
            commit_id: Some("5ec1351abcdef".into()),
            commit_description: Some("test".into()),
            buildpack_description: Some("test".into()),
            process_types: sqlx::types::Json(
                types.iter().map(|(name, command)| ((*name).to_owned(), (*command).to_owned())).collect(),
            ),
            stack: app.build_stack.clone(),
            created_at: now,
            updated_at: now,
        };
        ops::releases::deploy_build(p, &actor, &app, &slug, &BTreeMap::new(), "Deploy 5ec1351").await.unwrap()
    }

    /// Waits until `look` gives something.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, mut look: impl FnMut() -> F) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain for: {what}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The dynos as `NAME STATE`, sorted.
    pub async fn dynos(&self, app: &str) -> Vec<String> {
        let list = self.get(&format!("/apps/{app}/dynos")).await.ok();
        let mut names: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|dyno| format!("{} {}", dyno["name"].as_str().unwrap(), dyno["state"].as_str().unwrap()))
            .collect();
        names.sort();
        names
    }

    /// Waits until the dynos are exactly these.
    pub async fn until_dynos(&self, app: &str, wanted: &[&str]) {
        let started = Instant::now();
        loop {
            let have = self.dynos(app).await;
            if have == wanted {
                return;
            }
            if started.elapsed() > PATIENCE {
                panic!("wanted {wanted:?}, have {have:?}; log:\n{}", self.log(app).await.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The app's log lines without their times.
    pub async fn log(&self, app: &str) -> Vec<String> {
        let actor = self.actor().await;
        let app = ops::apps::find(self.platform(), &actor, app).await.unwrap();
        let lines =
            self.platform().logs.store().recent(app.id, 1500, paas_daemon::logs::Filter::default()).await.unwrap();
        lines.iter().map(|line| line.text().split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// Waits for a log line that has this text.
    pub async fn until_logged(&self, app: &str, text: &str) {
        let started = Instant::now();
        loop {
            let log = self.log(app).await;
            if log.iter().any(|line| line.contains(text)) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "no line with {text:?} in:\n{}", log.join("\n"));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// A request to the first web dyno that is routed, past any router.
    pub async fn ask_web(&self, app: &str, path: &str) -> String {
        let address = self.web_address(app).await;
        self.http.get(format!("http://{address}{path}")).send().await.unwrap().text().await.unwrap()
    }

    pub async fn web_address(&self, app: &str) -> SocketAddr {
        self.until("a routed web dyno", || async {
            let rows = store::dynos::routed(&mut self.platform().db.read().await.unwrap()).await.unwrap();
            let actor = self.actor().await;
            let app = ops::apps::find(self.platform(), &actor, app).await.unwrap();
            let row = rows.into_iter().find(|row| row.app_id == app.id)?;
            Some(SocketAddr::new(row.address?.parse().ok()?, ops::spec::port(row.id)))
        })
        .await
    }

    /// What a router asks on the control socket, such as `GET /router/table?after=0`.
    pub async fn control(&self, request: &str, body: &str) -> (u16, Value) {
        let mut stream = tokio::net::UnixStream::connect(self.dir.join("run/control.sock")).await.unwrap();
        let text = format!(
            "{request} HTTP/1.0\r\nHost: daemon\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// What is on the engine of this daemon.
    pub async fn owned(&self) -> Vec<Owned> {
        self.platform().engine.owned().await.unwrap()
    }

    /// Destroys the app and waits until nothing of it is left on the engine.
    pub async fn destroy(&self, app: &str) {
        let id = self.get(&format!("/apps/{app}")).await.ok()["id"].as_str().unwrap().to_owned();
        self.delete(&format!("/apps/{app}")).await.ok();
        let id: Uuid = id.parse().unwrap();
        self.until("the app to be gone", || async {
            let gone = store::apps::by_id(&mut self.platform().db.read().await.unwrap(), id).await.unwrap().is_none();
            gone.then_some(())
        })
        .await;
        if !self.get("/apps").await.ok().as_array().unwrap().is_empty() {
            return;
        }
        // With the last app, nothing of this daemon may be left.
        let left = self.owned().await;
        assert!(left.is_empty(), "left on the engine: {left:?}");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // The engine is cleaned by a runtime of its own: this one may be on its way out.
        let platform = self.daemon.as_ref().map(|daemon| daemon.platform.clone());
        drop(self.daemon.take());
        let fake = self.fake.is_some();
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                if let (Some(p), false) = (&platform, fake) {
                    for _ in 0..3 {
                        for thing in p.engine.owned().await.unwrap_or_default() {
                            if let Owned::ServiceVolume(id) = &thing {
                                let _ = p.engine.service_remove(*id, true).await;
                            }
                            let _ = p.engine.discard(&thing).await;
                        }
                    }
                }
            });
        });
        let _ = clean.join();
        drop(self.database.take());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Where the programs are: as deploy/test has put them together, else as cargo has built
/// them.
pub fn programs() -> PathBuf {
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_paasd")).parent().unwrap();
    let installed = built.parent().unwrap().join("libexec");
    if installed.join("paas-init").is_file() { installed } else { built.to_owned() }
}
