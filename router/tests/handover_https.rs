//! HTTPS and HTTP/2 while a router takes the place of another one, or ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use util::backend::{Dyno, head};
use util::daemon::StubDaemon;
use util::h2::{
    self, ACK, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame, header,
};
use util::process::{PROGRAM, Router, command, signal};
use util::tls::{self, Trusted};
use util::{serving, until};

/// Answers one request after the other. What is slow, or in the middle of its answer, waits until it is let.
async fn dyno(go: &Arc<Semaphore>) -> Dyno {
    let go = Arc::clone(go);
    Dyno::raw(move |mut stream| {
        let go = Arc::clone(&go);
        async move {
            loop {
                let asked = head(&mut stream).await;
                let mut answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned();
                if asked.is_empty() {
                    return;
                } else if asked.contains(" /slow ") {
                    go.acquire().await.unwrap().forget();
                } else if asked.contains(" /stream ") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nbegun ").await.unwrap();
                    go.acquire().await.unwrap().forget();
                    "ended".clone_into(&mut answer);
                } else if asked.contains(" /upload ") {
                    let mut body = [0; 10];
                    stream.read_exact(&mut body).await.unwrap();
                    answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", String::from_utf8_lossy(&body));
                }
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

struct Place {
    dir: TempDir,
    daemon: StubDaemon,
    _dyno: Dyno,
    go: Arc<Semaphore>,
    trusted: Trusted,
}

impl Place {
    async fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let trusted = tls::own(dir.path());
        let daemon = StubDaemon::start(dir.path());
        let go = Arc::new(Semaphore::new(0));
        let dyno = dyno(&go).await;
        daemon.set(serving(1, &[dyno.addr]));
        Place { dir, daemon, _dyno: dyno, go, trusted }
    }

    fn router(&self) -> Router {
        let mut program = command(Command::new(PROGRAM), self.dir.path(), "");
        program.env("PAAS_HTTPS_LISTEN", "127.0.0.1:0");
        Router::spawn(program, self.dir.path())
    }

    /// One that gets its socket as from systemd.
    fn router_with(&self, socket: &TcpListener) -> Router {
        let mut shell = Command::new("sh");
        let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=https LISTEN_PID=$$ exec \"$0\"";
        let mut program = command(
            {
                shell.args(["-c", script, PROGRAM]);
                shell
            },
            self.dir.path(),
            "",
        );
        program.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
        Router::spawn(program, self.dir.path())
    }

    async fn started(&self) -> SocketAddr {
        until(self.dir.path(), |status| status.generation > 0 && !status.https.is_empty()).await.https[0]
            .parse()
            .unwrap()
    }

    /// Another process than `before` answers for the router: which.
    async fn other_than(&self, before: u32) -> u32 {
        until(self.dir.path(), |status| status.pid != before && status.daemon_connected).await.pid
    }

    /// Every request has been told of, and each went well.
    async fn all_went_well(&self, requests: usize) {
        self.daemon.has_lines(requests).await;
        let lines = self.daemon.lines();
        let bad: Vec<_> = lines.iter().filter(|line| !line.line.starts_with("at=info ")).collect();
        assert!(bad.is_empty() && lines.len() == requests, "{} lines, not {requests}; {bad:?}", lines.len());
    }
}

/// What a client of HTTP/2 has heard.
#[derive(Default)]
struct Heard {
    /// By stream: status, body, whether it has ended.
    streams: BTreeMap<u32, (u16, String, bool)>,
    /// Of the last GOAWAY: streams behind it were not looked at, and may be asked for again.
    last: Option<u32>,
}

impl Heard {
    fn has_ended(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|(.., ended)| *ended)
    }

    fn may_be_repeated(&self, stream: u32) -> bool {
        self.last.is_some_and(|last| stream > last)
    }

    /// Reads, and answers what has to be, until it has heard enough.
    async fn listen(&mut self, client: &mut Client, enough: impl Fn(&Heard) -> bool) {
        while !enough(self) {
            let Some(frame) = client.read().await else {
                panic!("the connection ended; {:?}, the last stream: {:?}", self.streams, self.last)
            };
            let of = self.streams.entry(frame.stream).or_default();
            match frame.kind {
                HEADERS => of.0 = frame.status(),
                DATA => of.1.push_str(&String::from_utf8_lossy(&frame.payload)),
                RST_STREAM => panic!("stream {} was reset: {}", frame.stream, frame.error()),
                GOAWAY => {
                    assert_eq!(frame.error(), 0, "GOAWAY");
                    self.last = Some(frame.last_stream());
                }
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
                    client.write(&h2::frame(frame.kind, ACK, 0, payload)).await;
                }
                _ => {}
            }
            of.2 |= matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        }
    }
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get(path))
}

/// Streams of one connection: a request that waits for its answer, an answer that is under way,
/// and an upload. All are finished by the router that has them, whose end is told by GOAWAY.
async fn streams_are_finished_after(signal: &str) {
    let place = Place::new().await;
    let mut router = place.router();
    let addr = place.started().await;
    let mut client = Client::new(addr, &place.trusted, &[]).await;
    let upload = [h2::pseudo("POST", "/upload"), header("content-length", "10")].concat();
    let begun =
        [get(1, "/slow"), get(3, "/stream"), frame(HEADERS, END_HEADERS, 5, &upload), frame(DATA, 0, 5, b"01234")];
    client.write(&begun.concat()).await;
    let mut heard = Heard::default();
    heard.listen(&mut client, |heard| heard.streams.get(&3).is_some_and(|(_, body, _)| body == "begun ")).await;
    until(place.dir.path(), |status| status.backends[0].in_flight == 3).await;
    router.signal(signal);
    heard.listen(&mut client, |heard| heard.last.is_some()).await;
    if signal == "USR2" {
        place.other_than(router.id()).await;
    } else {
        let closed = async { while tokio::net::TcpStream::connect(addr).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the port stays open");
    }
    assert!(router.runs());
    place.go.add_permits(2);
    client.write(&frame(DATA, END_STREAM, 5, b"56789")).await;
    heard.listen(&mut client, |heard| [1, 3, 5].iter().all(|stream| heard.has_ended(*stream))).await;
    for (stream, body) in [(1, "hello"), (3, "begun ended"), (5, "0123456789")] {
        assert_eq!(heard.streams[&stream], (200, body.to_owned(), true), "stream {stream}");
        assert!(!heard.may_be_repeated(stream), "{:?}", heard.last);
    }
    // Then the connection ends, and with it the router, though the client might have had more.
    client.gone().await;
    assert!(router.end().await.success());
    place.all_went_well(3).await;
}

#[tokio::test]
async fn streams_under_way_are_finished_after_a_hand_over() {
    streams_are_finished_after("USR2").await;
}

#[tokio::test]
async fn streams_under_way_are_finished_after_sigterm() {
    streams_are_finished_after("TERM").await;
}

/// Visitors by HTTPS without a pause: some with HTTP/1.1, on kept connections and on new ones, some
/// with HTTP/2 and several streams at once. They repeat what HTTP/2 says that was not looked at, and
/// nothing else.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    visitors: Vec<JoinHandle<()>>,
}

/// How a connection of HTTP/1.1 may end.
#[derive(Clone, Copy)]
struct Way {
    closes: bool,
    ends: bool,
}

impl Load {
    /// Where `ends`, the router may end a connection that has served and is unused.
    fn on(addr: SocketAddr, trusted: &Trusted, ends: bool) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let visitors = (0..8)
            .map(|number| {
                let (trusted, stop, answered) = (trusted.clone(), Arc::clone(&stop), Arc::clone(&answered));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        if number < 4 {
                            let way = Way { closes: number < 2, ends };
                            by_http1(addr, &trusted, way, &stop, &answered).await;
                        } else {
                            by_http2(addr, &trusted, &stop, &answered).await;
                        }
                    }
                })
            })
            .collect();
        Load { stop, answered, visitors }
    }

    /// Waits until so many more were answered.
    async fn goes_on(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.answered.load(Ordering::Relaxed) < wanted {
                assert!(!self.visitors.iter().any(JoinHandle::is_finished), "a visitor was let down");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(waited.await.is_ok(), "nothing is answered any more");
    }

    /// How many requests there were; each was answered.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            visitor.await.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// A connection until the router says that it is the last request, or the load is over. Where `ends`,
/// it may be closed without a word between two requests: the second is asked anew then (RFC 9112, 9.3.1).
async fn by_http1(addr: SocketAddr, trusted: &Trusted, way: Way, stop: &AtomicBool, answered: &AtomicUsize) {
    let mut stream = tls::dial("demo.localhost", &addr.to_string(), trusted, b"http/1.1").await;
    let close = if way.closes { "Connection: close\r\n" } else { "" };
    let ask = format!("GET / HTTP/1.1\r\nHost: demo.localhost\r\n{close}\r\n");
    let (mut open, mut used) = (true, false);
    while open && !stop.load(Ordering::Relaxed) {
        let mut answer = Vec::new();
        let asked = async {
            stream.write_all(ask.as_bytes()).await?;
            while !answer.ends_with(b"hello") && stream.read_buf(&mut answer).await? > 0 {}
            std::io::Result::Ok(())
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("no answer, and no end");
        let answer = String::from_utf8_lossy(&answer);
        if answer.is_empty() && way.ends && used {
            return;
        }
        assert!(
            ended.is_ok() && answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"),
            "{ended:?} {answer}"
        );
        open = !answer.contains("connection: close");
        used = true;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn by_http2(addr: SocketAddr, trusted: &Trusted, stop: &AtomicBool, answered: &AtomicUsize) {
    let mut client = Client::new(addr, trusted, &[]).await;
    let mut heard = Heard::default();
    let mut next = 1;
    while heard.last.is_none() && !stop.load(Ordering::Relaxed) {
        let streams = [next, next + 2, next + 4];
        next += 6;
        client.write(&streams.map(|stream| get(stream, "/")).concat()).await;
        let done = |heard: &Heard, stream| heard.has_ended(stream) || heard.may_be_repeated(stream);
        heard.listen(&mut client, |heard| streams.iter().all(|stream| done(heard, *stream))).await;
        for stream in streams.iter().filter(|stream| !heard.may_be_repeated(**stream)) {
            assert_eq!(heard.streams[stream], (200, "hello".to_owned(), true));
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn a_hand_over_under_load_by_https_loses_nothing() {
    let place = Place::new().await;
    let first = place.router();
    let addr = place.started().await;
    let load = Load::on(addr, &place.trusted, false);
    let mut pid = first.id();
    for _ in 0..4 {
        load.goes_on(200).await;
        signal(pid, "USR2");
        pid = place.other_than(pid).await;
    }
    load.goes_on(200).await;
    let answered = load.end().await;
    signal(pid, "TERM");
    place.all_went_well(answered).await;
}

/// Whoever comes between two routers waits at the socket.
#[tokio::test]
async fn a_restart_under_load_by_https_loses_nothing() {
    let place = Place::new().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    // Dropped, one takes with it whatever runs on its directory.
    let mut routers = vec![place.router_with(&socket)];
    place.started().await;
    let load = Load::on(addr, &place.trusted, true);
    for _ in 0..4 {
        load.goes_on(200).await;
        let router = routers.last_mut().unwrap();
        router.signal("TERM");
        assert!(router.end().await.success());
        routers.push(place.router_with(&socket));
    }
    load.goes_on(200).await;
    let answered = load.end().await;
    routers.last().unwrap().signal("TERM");
    place.all_went_well(answered).await;
}
