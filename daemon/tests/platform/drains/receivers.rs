//! Receivers of drains with real sockets: syslog plain and over TLS, and HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::util::PATIENCE;

/// How many there were, and how many there are.
#[derive(Default)]
struct Connections {
    all: u32,
    open: u32,
}

/// Takes syslog frames and keeps them as they came, lengths taken off.
pub(super) struct Syslog {
    pub(super) address: SocketAddr,
    frames: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<Connections>>,
    reads: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Syslog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Syslog {
    pub(super) async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), tls).await
    }

    /// At an address of its own: a receiver that comes back.
    pub(super) async fn at(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        // Little room in the system, so that who does not read is soon felt.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(256).unwrap();
        let address = listener.local_addr().unwrap();
        let frames = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(Connections::default()));
        let (reads, may_read) = watch::channel(true);
        let task = tokio::spawn(serve(listener, tls, frames.clone(), connections.clone(), may_read));
        Self { address, frames, connections, reads, task }
    }

    pub(super) fn url(&self) -> String {
        format!("syslog://{}", self.address)
    }

    /// Whether it reads what comes.
    pub(super) fn set_reads(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    pub(super) fn frames(&self) -> Vec<String> {
        self.frames.lock().unwrap().clone()
    }

    /// What stands behind `- - ` in each frame.
    pub(super) fn messages(&self) -> Vec<String> {
        self.frames().iter().map(|frame| frame.split_once(" - - ").unwrap().1.to_owned()).collect()
    }

    pub(super) fn connections(&self) -> u32 {
        self.connections.lock().unwrap().all
    }

    pub(super) fn open_connections(&self) -> u32 {
        self.connections.lock().unwrap().open
    }

    /// Ends it with its connections, and gives where it was.
    pub(super) async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }

    /// Waits for a message that has this in it.
    pub(super) async fn until(&self, text: &str) {
        let started = Instant::now();
        while !self.frames().iter().any(|frame| frame.contains(text)) {
            let frames = self.frames();
            let last = frames.len().saturating_sub(20);
            assert!(started.elapsed() < PATIENCE, "no {text:?} came, but {} like {:#?}", frames.len(), &frames[last..]);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    frames: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<Connections>>,
    reads: watch::Receiver<bool>,
) {
    // Its connections end with it.
    let mut all = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.lock().unwrap().all += 1;
        connections.lock().unwrap().open += 1;
        let (frames, reads, tls, connections) = (frames.clone(), reads.clone(), tls.clone(), connections.clone());
        all.spawn(async move {
            match tls {
                None => take(stream, frames, reads).await,
                Some(tls) => {
                    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                        take(stream, frames, reads).await;
                    }
                }
            }
            connections.lock().unwrap().open -= 1;
        });
    }
}

/// Reads octet-counted frames to the end; what is none ends the test by its absence.
async fn take(mut stream: impl AsyncRead + Unpin, frames: Arc<Mutex<Vec<String>>>, mut reads: watch::Receiver<bool>) {
    let mut held = Vec::new();
    loop {
        reads.wait_for(|reads| *reads).await.unwrap();
        match stream.read_buf(&mut held).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while let Some(space) = held.iter().position(|byte| *byte == b' ') {
            let length: usize = std::str::from_utf8(&held[..space]).unwrap().parse().expect("a frame's length");
            if held.len() < space + 1 + length {
                break;
            }
            let frame: Vec<u8> = held.drain(..space + 1 + length).skip(space + 1).collect();
            frames.lock().unwrap().push(String::from_utf8(frame).expect("whole characters"));
        }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) status: u16,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

#[derive(Clone, Default)]
struct Held {
    requests: Arc<Mutex<Vec<Request>>>,
    /// Answers to give before those that are well.
    answers: Arc<Mutex<Vec<u16>>>,
    silent: Arc<AtomicBool>,
}

/// Takes requests over HTTP.
pub(super) struct Http {
    pub(super) address: SocketAddr,
    held: Held,
    task: JoinHandle<()>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    /// Answers with these statuses first, the last one first, then with 204.
    pub(super) async fn start(answers: &[u16]) -> Self {
        let held = Held::default();
        held.answers.lock().unwrap().extend(answers);
        let app = Router::new().fallback(note).with_state(held.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, held, task }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.held.requests.lock().unwrap().clone()
    }

    pub(super) fn answer_with(&self, status: u16, times: usize) {
        *self.held.answers.lock().unwrap() = vec![status; times];
    }

    pub(super) fn set_silent(&self, silent: bool) {
        self.held.silent.store(silent, Ordering::Relaxed);
    }

    /// Waits for requests that are good enough.
    pub(super) async fn until(&self, what: &str, good: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let started = Instant::now();
        loop {
            let requests = self.requests();
            if good(&requests) {
                return requests;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}: {requests:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn note(State(held): State<Held>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let silent = held.silent.load(Ordering::Relaxed);
    let status = if silent { 0 } else { held.answers.lock().unwrap().pop().unwrap_or(204) };
    held.requests.lock().unwrap().push(Request { path: uri.to_string(), headers, body, status });
    if silent {
        std::future::pending::<()>().await;
    }
    StatusCode::from_u16(status).unwrap()
}
