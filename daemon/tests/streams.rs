//! Log sessions and attached dynos, through the daemon's front door, on an engine in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Parser as _;
use futures_util::StreamExt as _;
use paas_daemon::{
    config::Config,
    context::new_id,
    engine::{OutputStream, fake::FakeEngine},
    ops::{self, Actor},
    serve::Daemon,
    slugs, store,
};
use paas_wire::attach::Frame;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

#[path = "util/database.rs"]
mod database;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

/// A daemon with an app `logged` whose `worker` says hello and stays.
struct Bench {
    dir: PathBuf,
    engine: FakeEngine,
    daemon: Daemon,
    token: String,
    app_id: Uuid,
    database: Option<database::Database>,
}

async fn start(dir: &std::path::Path, engine: &FakeEngine, database: Option<&database::Database>) -> Daemon {
    let args = ["test", "--api-listen", "127.0.0.1:0", "--router", "external", "--data-dir", dir.to_str().unwrap()];
    let mut config = Cli::parse_from(args).config;
    config.database_url = database.map(|database| database.url.clone());
    Daemon::start(config, Some(Arc::new(engine.clone()))).await.unwrap()
}

impl Bench {
    async fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("paas-streams-test-{}", Uuid::new_v4()));
        let engine = FakeEngine::new();
        let database = database::Database::new();
        let daemon = start(&dir, &engine, database.as_ref()).await;
        let p = &daemon.platform;
        let user = ops::accounts::create(p, "user@example.com", None, false).await.unwrap();
        let (_, token) = ops::accounts::create_token(p, user.id, "test", None).await.unwrap();
        let actor = Actor { user, authorization_id: None };
        let app = ops::apps::create(p, &actor, Some("logged"), None).await.unwrap().app;
        let tree = dir.join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("Procfile"), "worker: …").unwrap();
        let packed = slugs::pack(p.slug_store.as_ref(), &tree).await.unwrap();
        let slug = store::slugs::Slug {
            id: new_id(),
            app_id: app.id,
            sha256: Some(packed.blob.sha256.clone()),
            size: Some(1),
            commit_id: None,
            commit_description: None,
            buildpack_description: None,
            process_types: sqlx::types::Json(BTreeMap::from([("worker".into(), "echo hello; sleep 1000".into())])),
            stack: "debian-12".into(),
            created_at: p.cx.now(),
            updated_at: p.cx.now(),
        };
        let mut tx = p.db.begin().await.unwrap();
        store::slugs::insert(&mut tx, &slug).await.unwrap();
        tx.commit(None).await.unwrap();
        ops::releases::deploy(p, &actor, &app, slug.id, Some("Deploy 1234567")).await.unwrap();
        let bench = Self { dir, engine, daemon, token, app_id: app.id, database };
        let scaled = bench.post("/apps/logged/formation", json!({})).await;
        assert_eq!(scaled.status(), 405);
        let body = json!({"updates": [{"type": "worker", "quantity": 1}]});
        let request = reqwest::Client::new().patch(bench.url("/apps/logged/formation")).json(&body);
        assert_eq!(request.bearer_auth(&bench.token).send().await.unwrap().status(), 200);
        bench
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.api)
    }

    async fn post(&self, path: &str, body: Value) -> reqwest::Response {
        reqwest::Client::new().post(self.url(path)).json(&body).bearer_auth(&self.token).send().await.unwrap()
    }

    /// Where the lines of a new session are.
    async fn session(&self, body: Value) -> String {
        let answer = self.post("/apps/logged/log-sessions", body).await;
        assert_eq!(answer.status(), 201);
        let answer: Value = answer.json().await.unwrap();
        let url = answer["logplex_url"].as_str().unwrap();
        self.url(url.split_once(&format!(":{}", self.daemon.api.port())).unwrap().1)
    }

    async fn lines(&self, body: Value) -> Vec<String> {
        let answer = reqwest::get(self.session(body).await).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        answer.text().await.unwrap().lines().map(str::to_owned).collect()
    }

    /// The worker, once it runs and what it said is in the log.
    async fn worker(&self) -> Uuid {
        for _ in 0..4500 {
            let said = self.lines(json!({"dyno": "worker"})).await;
            if said.iter().any(|line| line.ends_with("app[worker.1]: hello")) {
                let rows = store::dynos::list(&mut self.daemon.platform.db.read().await.unwrap(), self.app_id).await;
                return rows.unwrap().into_iter().find(|row| row.process_type == "worker").unwrap().id;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the worker never said hello: {:?}", self.lines(json!({})).await);
    }

    async fn end(self) {
        self.daemon.stop().await;
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// The next events of a stream: id and data.
async fn events(
    answer: &mut (impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    n: usize,
) -> Vec<(u64, String)> {
    let mut text = String::new();
    loop {
        let whole: Vec<_> = text
            .split_inclusive("\n\n")
            .filter(|event| event.ends_with("\n\n"))
            .filter_map(|event| event.strip_prefix("id: ")?.trim_end().split_once("\ndata: "))
            .map(|(id, data)| (id.parse().unwrap(), data.to_owned()))
            .collect();
        if whole.len() >= n {
            return whole;
        }
        let chunk = tokio::time::timeout(Duration::from_secs(20), answer.next()).await;
        let chunk = chunk.unwrap_or_else(|_| panic!("waited for {n} events, there are: {text}"));
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        text = text.replace(":\n\n", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_give_the_lines_that_were_asked_for() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    for n in 0..5 {
        bench.engine.write(worker, OutputStream::Stdout, &format!("line {n}"));
    }
    let tail = bench.session(json!({"dyno": "worker", "source": "app", "lines": 0, "tail": true})).await;
    let client = reqwest::Client::new();
    let request = client.get(&tail).header("accept", "text/event-stream");
    let mut first = request.send().await.unwrap().bytes_stream();
    bench.engine.write(worker, OutputStream::Stderr, "a\rb\u{1b}[31mred");
    bench.engine.write(worker, OutputStream::Stdout, "id: 1");
    let live = loop {
        // The lines of before may come too, as the collector may not have had them yet.
        let got = events(&mut first, 1).await;
        if let Some(event) = got.into_iter().find(|(_, text)| text.contains("red")) {
            break event;
        }
    };
    assert!(live.1.ends_with("app[worker.1]: a b\u{1b}[31mred"), "{}", live.1);
    drop(first);
    // Back after a break: behind the last that was seen.
    bench.engine.write(worker, OutputStream::Stdout, "said meanwhile");
    let again = client.get(&tail).header("accept", "text/event-stream").header("last-event-id", live.0);
    let mut again = again.send().await.unwrap().bytes_stream();
    let got = events(&mut again, 2).await;
    let texts: Vec<_> = got.iter().map(|(_, text)| text.split_once("]: ").unwrap().1).collect();
    assert_eq!(texts, ["id: 1", "said meanwhile"]);
    assert!(got[0].0 > live.0 && got[1].0 == got[0].0 + 1);

    let last = bench.lines(json!({"lines": 2, "dyno": "worker.1", "source": "app"})).await;
    assert_eq!(last.len(), 2);
    assert!(last[1].ends_with(" app[worker.1]: said meanwhile"), "{last:?}");
    let api = bench.lines(json!({"dyno": "api"})).await;
    assert!(api.iter().any(|line| line.contains(" app[api]: Scaled to worker@1")), "{api:?}");

    // What is wrong is told.
    let bad = bench.post("/apps/logged/log-sessions", json!({"source": "router"})).await;
    assert_eq!(bad.status(), 422);
    assert_eq!(bench.post("/apps/nobody/log-sessions", json!({})).await.status(), 404);
    assert_eq!(reqwest::get(bench.url("/streams/logs/guess")).await.unwrap().status(), 404);
    let without = reqwest::Client::new().post(bench.url("/apps/logged/log-sessions")).send().await.unwrap();
    assert_eq!(without.status(), 401);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_is_lost_or_repeated_over_a_restart() {
    let mut bench = Bench::new().await;
    let worker = bench.worker().await;
    for round in 0..3 {
        for n in 0..10 {
            bench.engine.write(worker, OutputStream::Stdout, &format!("before {round}.{n}"));
        }
        bench.daemon.stop().await;
        for n in 0..10 {
            let stream = if n % 3 == 0 { OutputStream::Stderr } else { OutputStream::Stdout };
            bench.engine.write(worker, stream, &format!("meanwhile {round}.{n}"));
        }
        bench.daemon = start(&bench.dir, &bench.engine, bench.database.as_ref()).await;
    }
    let expected: Vec<String> = (0..3)
        .flat_map(|round| {
            let of = move |when: &'static str| (0..10).map(move |n| format!("{when} {round}.{n}"));
            of("before").chain(of("meanwhile"))
        })
        .collect();
    let mut said = Vec::new();
    for _ in 0..4500 {
        let all = bench.lines(json!({"lines": 1500, "dyno": "worker.1", "source": "app"})).await;
        said = all.iter().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect();
        if said.last().is_some_and(|last| last == "meanwhile 2.9") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(said[0], "hello");
    assert_eq!(said[1..], expected);
    bench.end().await;
}

/// Attaches and gives the status, and the frames until the server closes.
async fn attach(bench: &Bench, secret: &str, send: &[Frame]) -> (String, Vec<Frame>) {
    let mut stream = tokio::net::TcpStream::connect(bench.daemon.api).await.unwrap();
    let head = format!(
        "GET /streams/attach/{secret} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: paas-attach/1\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let head = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        received.push(byte[0]);
        if received.ends_with(b"\r\n\r\n") {
            break String::from_utf8(received).unwrap();
        }
    };
    let status = head.split(' ').nth(1).unwrap().to_owned();
    if status != "101" {
        return (status, Vec::new());
    }
    for frame in send {
        // The program may have ended already; what it said must come all the same.
        let _ = stream.write_all(&frame.encode()).await;
    }
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    let mut frames = Vec::new();
    let mut left = rest.as_slice();
    while let Some((frame, used)) = Frame::decode(left).unwrap() {
        frames.push(frame);
        left = &left[used..];
    }
    (status, frames)
}

async fn run(bench: &Bench, command: &str) -> String {
    let answer = bench.post("/apps/logged/dynos", json!({"command": command, "attach": true})).await;
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    paas_wire::attach::secret(answer["attach_url"].as_str().unwrap()).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_off_starts_with_its_user_and_gives_its_exit_code() {
    let bench = Bench::new().await;
    bench.worker().await;
    let secret = run(&bench, "echo from the one-off; exit 3").await;
    let (status, frames) = attach(&bench, &secret, &[Frame::Resize { cols: 80, rows: 24 }, Frame::StdinEof]).await;
    assert_eq!(status, "101");
    let out: Vec<u8> = frames
        .iter()
        .filter_map(|f| if let Frame::Stdout(data) = f { Some(data.clone()) } else { None })
        .flatten()
        .collect();
    assert_eq!(String::from_utf8(out).unwrap(), "from the one-off\n");
    assert_eq!(frames.last(), Some(&Frame::Exit(3)));

    // Once only, and by the secret only.
    let (status, _) = attach(&bench, &secret, &[]).await;
    assert!(status == "404" || status == "409", "{status}");
    assert_eq!(attach(&bench, "guess", &[]).await.0, "404");
    let plain = reqwest::get(bench.url("/streams/attach/guess")).await.unwrap();
    assert_eq!(plain.status(), 426);

    // What it said was for its user only.
    let log = bench.lines(json!({"lines": 1500})).await;
    assert!(!log.iter().any(|line| line.contains("]: from the one-off")), "{log:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_can_t_start_it_is_told_to_the_user() {
    let bench = Bench::new().await;
    bench.worker().await;
    let secret = run(&bench, "echo never").await;
    let error = paas_daemon::engine::EngineError::NoSuchImage { image: "paas/stack:gone".into() };
    bench.engine.fail_next(paas_daemon::engine::fake::Call::Start, error);
    let (status, frames) = attach(&bench, &secret, &[]).await;
    assert_eq!(status, "101");
    let [Frame::Error(text)] = frames.as_slice() else { panic!("{frames:?}") };
    assert!(text.contains("paas/stack:gone"), "{text}");
    bench.end().await;
}

/// What a client of Heroku's does: TLS, secret, bytes.
async fn rendezvous(bench: &Bench, hello: &str) -> String {
    let ca = std::fs::read(bench.dir.join("tls/ca.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject as _;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(bench.daemon.api).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(hello.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"rendezvous\r\n");
    let mut rest = String::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heroku_s_rendezvous_works_on_the_same_port() {
    let bench = Bench::new().await;
    bench.worker().await;
    let secret = run(&bench, "echo by rendezvous; exit 0").await;
    assert_eq!(rendezvous(&bench, &format!("{secret}\r\n")).await, "by rendezvous\n");
    let secret = run(&bench, "echo without a line end; exit 0").await;
    assert_eq!(rendezvous(&bench, &secret).await, "without a line end\n");
    let refused = rendezvous(&bench, &"0".repeat(64)).await;
    assert!(refused.contains("Nothing waits for this connection"), "{refused}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_attached_to_a_daemon_that_is_gone_is_hung_up_on() {
    let bench = Bench::new().await;
    bench.worker().await;
    let secret = run(&bench, "sleep 1000").await;
    let mut stream = tokio::net::TcpStream::connect(bench.daemon.api).await.unwrap();
    let head = format!(
        "GET /streams/attach/{secret} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: paas-attach/1\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let rows = async |daemon: &Daemon| {
        let rows = store::dynos::list(&mut daemon.platform.db.read().await.unwrap(), bench.app_id).await.unwrap();
        rows.into_iter().filter(|row| row.attach).map(|row| row.phase).collect::<Vec<_>>()
    };
    let until = async |daemon: &Daemon, wanted: &[&str]| {
        for _ in 0..1500 {
            if rows(daemon).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("wanted {wanted:?}, have {:?}", rows(daemon).await);
    };
    until(&bench.daemon, &["up"]).await;
    let Bench { dir, engine, daemon, token, app_id, database } = bench;
    daemon.stop().await;
    drop(stream);
    let daemon = start(&dir, &engine, database.as_ref()).await;
    let bench = Bench { dir, engine, daemon, token, app_id, database };
    // It does not mind SIGHUP, so SIGTERM follows.
    until(&bench.daemon, &[]).await;
    let log = bench.lines(json!({"lines": 1500})).await;
    assert!(log.iter().any(|line| line.contains("Error R16 (Detached)")), "{log:?}");
    assert!(log.iter().any(|line| line.contains("State changed from up to complete")), "{log:?}");
    bench.end().await;
}
