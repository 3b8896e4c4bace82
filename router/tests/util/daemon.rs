//! A daemon of which the router sees only the control socket.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use paas_domain::route::{LogBatch, LogLine, RouteTable, Wake};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

#[derive(Default)]
pub struct State {
    table: Option<RouteTable>,
    lines: Vec<LogLine>,
    seen: HashSet<(Uuid, u64)>,
    /// Batches to take in and then leave unanswered, as a daemon does that dies in between.
    pub forget_answers: usize,
    pub batches: usize,
    pub repeats: usize,
    /// What was to be woken, question by question.
    pub wakes: Vec<Vec<Uuid>>,
    asked: Vec<String>,
}

pub struct StubDaemon {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    server: AbortHandle,
}

impl StubDaemon {
    pub fn start(dir: &Path) -> StubDaemon {
        let state = Arc::new(Mutex::new(State::default()));
        let changed = watch::Sender::new(0);
        let socket = dir.join("run/control.sock");
        let server = serve(&socket, &state, &changed);
        StubDaemon { socket, state, changed, server }
    }

    /// Dies: connections break, the socket stays behind.
    pub fn kill(&self) {
        self.server.abort();
    }

    /// Comes back with what it had stored.
    pub fn revive(&mut self) {
        self.server.abort();
        self.server = serve(&self.socket, &self.state, &self.changed);
    }

    pub fn set(&self, table: RouteTable) {
        self.state.lock().unwrap().table = Some(table);
        self.changed.send_modify(|count| *count += 1);
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<LogLine> {
        self.state.lock().unwrap().lines.clone()
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Waits until the router asks for what comes after this table.
    pub async fn was_asked_after(&self, generation: u64) {
        let question = format!("?after={generation}&");
        let asked = async {
            while !self.asked().iter().any(|asked| asked.contains(&question)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), asked).await.is_ok(), "no {question:?}");
    }

    /// The first line with `part` in it, as it came; it is taken out.
    pub async fn raw_line(&self, part: &str) -> String {
        let mut changed = self.changed.subscribe();
        let found = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                {
                    let mut state = self.state.lock().unwrap();
                    if let Some(at) = state.lines.iter().position(|line| line.line.contains(part)) {
                        return state.lines.remove(at).line;
                    }
                }
                changed.changed().await.unwrap();
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("no line with {part:?}; there are {:#?}", self.lines()))
    }

    pub async fn line(&self, part: &str) -> String {
        super::without_times(&self.raw_line(part).await)
    }

    /// Waits until it was told `count` times to wake apps; what it was told so far.
    pub async fn has_wakes(&self, count: usize) -> Vec<Vec<Uuid>> {
        let mut changed = self.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.with(|state| state.wakes.len()) < count {
                changed.changed().await.unwrap();
            }
        })
        .await;
        let wakes = self.with(|state| state.wakes.clone());
        assert!(waited.is_ok(), "it was told {} times to wake apps, not {count}", wakes.len());
        wakes
    }

    /// Waits until there are `count` lines.
    pub async fn has_lines(&self, count: usize) {
        let mut changed = self.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.lines().len() < count {
                changed.changed().await.unwrap();
            }
        })
        .await;
        assert!(waited.is_ok(), "{} lines, not {count}", self.lines().len());
    }
}

impl Drop for StubDaemon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(socket: &Path, state: &Arc<Mutex<State>>, changed: &watch::Sender<u64>) -> AbortHandle {
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    let (state, changed) = (Arc::clone(state), changed.clone());
    let server = tokio::spawn(async move {
        // Dropped with this task, and the connections with it.
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (state, changed) = (Arc::clone(&state), changed.clone());
            connections.spawn(async move {
                let service = service_fn(|request| answer(request, Arc::clone(&state), changed.clone()));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    server.abort_handle()
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let target = request.uri().to_string();
    let respond = |status, body: Vec<u8>| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        Ok(response)
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/router/table") => {
            let after: u64 =
                target.split_once("after=").unwrap().1.split('&').next().unwrap().parse().expect("a generation");
            state.lock().unwrap().asked.push(target);
            let mut changes = changed.subscribe();
            let held = tokio::time::timeout(Duration::from_secs(25), async {
                loop {
                    let table = state.lock().unwrap().table.clone();
                    match table {
                        Some(table) if table.generation > after => return table,
                        _ => changes.changed().await.unwrap(),
                    }
                }
            })
            .await;
            match held {
                Ok(table) => respond(StatusCode::OK, serde_json::to_vec(&table).unwrap()),
                Err(_) => respond(StatusCode::NO_CONTENT, vec![]),
            }
        }
        (&Method::POST, "/router/log") => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let batch: LogBatch = serde_json::from_slice(&body).unwrap();
            let forget = {
                let mut state = state.lock().unwrap();
                state.batches += 1;
                if state.seen.insert((batch.router, batch.seq)) {
                    state.lines.extend(batch.lines);
                } else {
                    state.repeats += 1;
                }
                let forget = state.forget_answers > 0;
                state.forget_answers = state.forget_answers.saturating_sub(1);
                forget
            };
            changed.send_modify(|count| *count += 1);
            if forget {
                return Err(std::io::Error::other("died before answering"));
            }
            respond(StatusCode::NO_CONTENT, vec![])
        }
        (&Method::POST, "/router/wake") => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let wake: Wake = serde_json::from_slice(&body).unwrap();
            state.lock().unwrap().wakes.push(wake.apps);
            changed.send_modify(|count| *count += 1);
            respond(StatusCode::NO_CONTENT, vec![])
        }
        other => panic!("the router asked {other:?}"),
    }
}
