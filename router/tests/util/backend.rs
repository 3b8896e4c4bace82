//! Dynos, good and bad.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

pub struct Dyno {
    pub addr: SocketAddr,
    server: AbortHandle,
    connections: Arc<AtomicUsize>,
    open: watch::Sender<usize>,
}

impl Drop for Dyno {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Dyno {
    /// Every connection is handed to `serve`.
    pub async fn raw<F, R>(serve: F) -> Dyno
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Dyno::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    /// The same where somebody listens already.
    pub fn on<F, R>(listener: TcpListener, serve: F) -> Dyno
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let open = watch::Sender::new(0);
        let (count, open_now) = (Arc::clone(&connections), open.clone());
        let server = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                open_now.send_modify(|open| *open += 1);
                let (served, open_now) = (serve(stream), open_now.clone());
                tasks.spawn(async move {
                    served.await;
                    open_now.send_modify(|open| *open -= 1);
                });
            }
        })
        .abort_handle();
        Dyno { addr, server, connections, open }
    }

    /// Its port is closed and its connections break.
    pub fn dies(&self) {
        self.server.abort();
    }

    /// Reads one request's head, writes `answer`, closes.
    pub async fn says(answer: impl Into<Vec<u8>>) -> Dyno {
        let answer: Arc<[u8]> = answer.into().into();
        Dyno::raw(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                head(&mut stream).await;
                stream.write_all(&answer).await.unwrap();
            }
        })
        .await
    }

    /// Reads one request's head, writes `answer`, and then nothing more.
    pub async fn says_and_holds(answer: &'static str) -> Dyno {
        Dyno::raw(move |mut stream| async move {
            head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Until the router gives up.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await
    }

    /// Answers each request with `text` when `gate` lets it: with one permit for each.
    pub async fn gated(text: &'static str, gate: &Arc<Semaphore>) -> Dyno {
        let gate = Arc::clone(gate);
        Dyno::http(move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Response::new(Full::from(text))
            }
        })
        .await
    }

    /// A well-behaved one.
    pub async fn http<F, R>(answer: F) -> Dyno
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        Dyno::raw(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(|request| {
                    let response = answer(request);
                    async move { Ok::<_, hyper::Error>(response.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            }
        })
        .await
    }

    /// Answers every request with `text`.
    pub async fn text(text: &'static str) -> Dyno {
        Dyno::http(move |_| async move { Response::new(Full::from(text)) }).await
    }

    /// Answers with the request as it came: method, target, headers sorted, body.
    pub async fn mirror() -> Dyno {
        Dyno::http(|request| async {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let mut lines: Vec<String> = parts
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                .collect();
            lines.sort();
            let text = format!(
                "{} {} {:?}\n{}\n\n{}",
                parts.method,
                parts.uri,
                parts.version,
                lines.join("\n"),
                String::from_utf8_lossy(&body)
            );
            Response::new(Full::from(text))
        })
        .await
    }

    /// Connections taken so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until `count` connections are open.
    pub async fn has_open(&self, count: usize) {
        let mut open = self.open.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), open.wait_for(|open| *open == count)).await;
        assert!(waited.is_ok(), "{} connections are open, not {count}", *self.open.borrow());
    }
}

/// Reads until the empty line.
pub async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// An address that refuses connections until it is opened. Nobody else gets it meanwhile.
pub struct Shut(TcpSocket);

impl Shut {
    pub fn new() -> Shut {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Shut(socket)
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn opens(self) -> TcpListener {
        self.0.listen(128).unwrap()
    }
}

/// An address that takes no connection and doesn't refuse one either. It stays so for as
/// long as the result lives.
pub struct Deaf {
    pub addr: SocketAddr,
    _listener: socket2::Socket,
    _fillers: Vec<socket2::Socket>,
}

impl Deaf {
    pub fn new() -> Deaf {
        let tcp = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let listener = tcp();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let fillers = (0..4)
            .map(|_| {
                let filler = tcp();
                filler.set_nonblocking(true).unwrap();
                let _ = filler.connect(&addr);
                filler
            })
            .collect();
        Deaf { addr: addr.as_socket().unwrap(), _listener: listener, _fillers: fillers }
    }
}
