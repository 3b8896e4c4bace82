//! A router takes the place of another one, and nobody notices.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use paas_domain::route::RouteState;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use util::backend::{Dyno, head};
use util::client::{connect, get, read_to, rest, send};
use util::daemon::StubDaemon;
use util::h2::{self, Client, DATA, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, frame};
use util::process::{PROGRAM, Router, command, signal, started};
use util::{app, serving, table, until};

/// Another process than `before` answers for the router: which.
async fn other_than(dir: &Path, before: u32) -> u32 {
    let pid = until(dir, |status| status.pid != before && status.daemon_connected).await.pid;
    assert_eq!(fs::read_to_string(dir.join("run/router.pid")).unwrap().trim(), pid.to_string());
    pid
}

/// Answers requests one after the other, and echoes on what was upgraded.
async fn sociable_dyno() -> Dyno {
    Dyno::raw(|mut stream| async move {
        loop {
            let asked = head(&mut stream).await;
            if asked.to_ascii_lowercase().contains("upgrade: websocket") {
                let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                return;
            }
            if asked.is_empty() || stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.is_err()
            {
                return;
            }
        }
    })
    .await
}

async fn websocket(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr).await;
    let ask = "GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream
}

async fn echoes(stream: &mut TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).await.unwrap();
    read_to(stream, word).await;
}

/// Visitors without a pause, some on kept connections and some on new ones. None of them asks
/// twice: whatever fails is a failure.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(addr: SocketAddr) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..10)
            .map(|number| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let mut stream = connect(addr).await;
                        let mut open = true;
                        while open && !stop.load(Ordering::Relaxed) {
                            let close = if number < 4 { "Connection: close\r\n" } else { "" };
                            let ask = format!("GET /{number} HTTP/1.1\r\nHost: demo.localhost\r\n{close}\r\n");
                            stream.write_all(ask.as_bytes()).await.unwrap();
                            let answer = read_to(&mut stream, "hello").await;
                            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                            open = !answer.to_ascii_lowercase().contains("connection: close");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        Load { stop, answered, clients }
    }

    /// Waits until so many more were answered.
    async fn goes_on(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.answered.load(Ordering::Relaxed) < wanted {
                assert!(!self.clients.iter().any(tokio::task::JoinHandle::is_finished), "a visitor was let down");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(waited.await.is_ok(), "nothing is answered any more");
    }

    /// How many requests there were; each was answered.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn under_load_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let mut tunnel = websocket(addr).await;
    let mut unused = connect(addr).await;
    unused.write_all(b"GET /unused HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    read_to(&mut unused, "hello").await;
    let load = Load::on(addr);
    let mut pid = first.id();
    for _ in 0..4 {
        load.goes_on(300).await;
        signal(pid, "USR2");
        pid = other_than(dir.path(), pid).await;
        echoes(&mut tunnel, "still there").await;
    }
    load.goes_on(300).await;
    // A connection that was unused all the time is served once more, and only then closed.
    unused.write_all(b"GET /used HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    let last = rest(&mut unused).await;
    assert!(last.contains("connection: close") && last.ends_with("hello"), "{last}");
    let answered = load.end().await;
    // The first router is there for its tunnel, those between were there for the first.
    assert!(first.runs());
    assert_eq!(until(dir.path(), |_| true).await.backends[0].in_flight, 1);
    drop(tunnel);
    assert!(first.end().await.success());
    until(dir.path(), |status| status.backends[0].in_flight == 0).await;
    // The process ids of those between: their parents are gone.
    let alone = async {
        while first.all() != [pid] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), alone).await.unwrap();
    // Each has told of its own requests before it ended: these, the tunnel, and two on `unused`.
    signal(pid, "TERM");
    daemon.has_lines(answered + 3).await;
    let bad: Vec<_> = daemon.lines().into_iter().filter(|line| !line.line.starts_with("at=info ")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[tokio::test]
async fn what_the_old_one_still_does_is_told_by_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go);
    let dyno = Dyno::http(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.unwrap().forget();
            Response::new(Full::from("finished"))
        }
    })
    .await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let slow = tokio::spawn(async move { send(addr, &get("/slow", "")).await });
    until(dir.path(), |status| status.backends[0].in_flight == 1).await;
    first.signal("USR2");
    // From its first answer on.
    let status = until(dir.path(), |status| status.pid != first.id()).await;
    assert_eq!(status.backends[0].in_flight, 1, "{status:?}");
    other_than(dir.path(), first.id()).await;
    until(dir.path(), |status| status.backends[0].in_flight == 1).await;
    // Also when the dyno is to go: it is not to be stopped before.
    daemon.set(table(2, vec![app(RouteState::NoWeb, &[])]));
    let status = until(dir.path(), |status| status.generation == 2).await;
    assert!(!status.backends[0].current && status.backends[0].in_flight == 1, "{status:?}");
    assert!(first.runs());
    go.add_permits(1);
    assert!(slow.await.unwrap().ends_with("finished"));
    assert!(first.end().await.success());
    until(dir.path(), |status| status.backends.is_empty()).await;
}

/// A router from before `Still` takes over: of the words after its own it hears one, and that has to be `Go`.
#[tokio::test]
async fn an_older_router_may_take_over() {
    let (dir, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let installed = Installed::new(bin.path());
    let daemon = StubDaemon::start(dir.path());
    let gate = Arc::new(Semaphore::new(0));
    let dyno = Dyno::gated("finished", &gate).await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut first = Router::spawn(command(Command::new(&installed.path), dir.path(), "127.0.0.1:0"), dir.path());
    let addr = started(dir.path()).await;
    let slow = tokio::spawn(async move { send(addr, &get("/slow", "")).await });
    until(dir.path(), |status| status.backends[0].in_flight == 1).await;
    let said = dir.path().join("said");
    installed.script(&format!(
        "read -r sockets; echo '\"ready\"' >&0; while read -r line; do echo \"$line\" >>{}; done",
        said.display()
    ));
    first.signal("USR2");
    first.says("takes the requests now", 1).await;
    // Its own word for what goes on, later than another's.
    let heard = async {
        loop {
            match fs::read_to_string(&said) {
                Ok(text) if text.contains("\n{\"busy\":[{") && text.ends_with('\n') => return text,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
    gate.add_permits(1);
    assert!(slow.await.unwrap().ends_with("finished"));
    assert!(first.end().await.success());
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("\"go\""), "{said}");
    // Another one hears at once what goes on.
    let still = lines.next().unwrap();
    assert!(still.starts_with("{\"still\":") && still.contains("\"in_flight\":1"), "{said}");
}

/// What the daemon is told of a table holds for both: it stops dynos that have left by that.
#[tokio::test]
async fn a_table_is_acknowledged_when_the_old_one_goes_by_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let left = sociable_dyno().await;
    daemon.set(serving(1, &[left.addr]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let ask = get("/a", "").replace("Connection: close\r\n", "");
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut client = connect(addr).await;
        client.write_all(ask.as_bytes()).await.unwrap();
        read_to(&mut client, "hello").await;
        kept.push(client);
    }
    first.signal("USR2");
    other_than(dir.path(), first.id()).await;
    let mut generation = 1;
    for mut client in kept {
        let dyno = Dyno::text("another").await;
        generation += 1;
        daemon.set(serving(generation, &[dyno.addr]));
        let acknowledged = format!("after={generation}&");
        let told = async {
            while !daemon.asked().iter().any(|asked| asked.contains(&acknowledged)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
        client.write_all(ask.as_bytes()).await.unwrap();
        read_to(&mut client, "another").await;
        assert_eq!(dyno.connections(), 1);
    }
    assert!(first.runs());
}

/// HTTP/2 without TLS is told by GOAWAY, as with it: what is under way ends, and what the client
/// asks for before it hears of that is answered, too.
#[tokio::test]
async fn a_plain_connection_of_http2_is_told_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let gate = Arc::new(Semaphore::new(0));
    let dyno = Dyno::gated("finished", &gate).await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let mut client = Client::plain(addr).await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get("/slow"))).await;
    until(dir.path(), |status| status.backends[0].in_flight == 1).await;
    first.signal("USR2");
    other_than(dir.path(), first.id()).await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &h2::get("/late"))).await;
    while client.read().await.expect("it is closed in the middle").kind != GOAWAY {}
    gate.add_permits(2);
    let mut left = 2;
    while left > 0 {
        let came = client.read().await.expect("it is closed before its answers");
        left -= u32::from(came.kind == DATA && came.flags & END_STREAM != 0);
    }
    drop(client);
    assert!(first.end().await.success());
    gate.add_permits(1);
    assert!(matches!(Client::plain(addr).await.ask(1, "/new").await, End::Answered(200, _)));
}

#[tokio::test]
async fn requests_that_wait_for_a_dyno_find_it_after_the_hand_over() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    daemon.set(table(1, vec![app(RouteState::Booting, &[])]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let waiting = tokio::spawn(async move { send(addr, &get("/a", "")).await });
    until(dir.path(), |status| status.waiting == 1).await;
    first.signal("USR2");
    other_than(dir.path(), first.id()).await;
    let dyno = Dyno::text("up").await;
    daemon.set(serving(2, &[dyno.addr]));
    assert!(waiting.await.unwrap().ends_with("\r\n\r\nup"));
    assert!(first.end().await.success());
}

#[tokio::test]
async fn a_hand_over_needs_no_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(7, &[dyno.addr]));
    let first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    daemon.kill();
    first.signal("USR2");
    let status = until(dir.path(), |status| status.pid != first.id()).await;
    assert_eq!((status.generation, status.http), (7, vec![addr.to_string()]));
    assert!(send(addr, &get("/a", "")).await.ends_with("hello"));
}

/// A program that stands where the router's was started from, and can be another one later.
struct Installed {
    path: PathBuf,
}

impl Installed {
    fn new(dir: &Path) -> Installed {
        let installed = Installed { path: dir.join("paas-router") };
        installed.true_one();
        installed
    }

    fn true_one(&self) {
        // By another process: no descriptor of ours for writing is open when it is started.
        let beside = self.path.with_extension("new");
        assert!(Command::new("cp").arg(PROGRAM).arg(&beside).status().unwrap().success());
        fs::rename(&beside, &self.path).unwrap();
    }

    fn script(&self, text: &str) {
        let beside = self.path.with_extension("new");
        fs::write(&beside, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&beside, &self.path).unwrap();
    }
}

#[tokio::test]
async fn a_new_program_that_fails_leaves_the_old_one_serving() {
    let (dir, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let installed = Installed::new(bin.path());
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let first = Router::spawn(command(Command::new(&installed.path), dir.path(), "127.0.0.1:0"), dir.path());
    let addr = started(dir.path()).await;
    let load = Load::on(addr);
    load.goes_on(50).await;

    installed.script("echo 'not today' >&2; exit 3");
    first.signal("USR2");
    first.says("There was no hand-over: the new router ended before it was ready (exit status: 3)", 1).await;
    first.says("not today", 1).await;
    fs::remove_file(&installed.path).unwrap();
    first.signal("USR2");
    first.says("can't be started: No such file or directory", 1).await;

    // One that can't have what it needs says so itself. Its settings are those of a newer one.
    installed.script(&format!("PAAS_ROUTER_THREADS=none exec {PROGRAM} \"$@\""));
    first.signal("USR2");
    first.says("ended before it was ready (exit status: 2)", 1).await;
    installed.script(&format!("PAAS_DATA_DIR=/proc/nothing exec {PROGRAM} \"$@\""));
    first.signal("USR2");
    first.says("There was no hand-over: the new router can't start: ", 1).await;

    // Killed in the middle; a second signal has changed nothing.
    let file = dir.path().join("child");
    installed.script(&format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display()));
    first.signal("USR2");
    let child = async {
        loop {
            if let Ok(pid) = fs::read_to_string(&file) {
                return pid.trim().parse::<u32>().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let child = tokio::time::timeout(Duration::from_secs(20), child).await.unwrap();
    first.signal("USR2");
    first.says("A hand-over is under way already", 1).await;
    signal(child, "KILL");
    first.says("ended before it was ready (signal: 9 (SIGKILL))", 1).await;
    // One that never gets ready is ended, too.
    first.signal("USR2");
    first.says("was not ready within 10s", 1).await;
    assert_eq!(first.all(), [first.id()]);
    load.goes_on(50).await;
    assert_eq!(until(dir.path(), |_| true).await.pid, first.id());

    // And with a good one it works after all that.
    installed.true_one();
    first.signal("USR2");
    let second = other_than(dir.path(), first.id()).await;
    let exe = fs::read_link(format!("/proc/{second}/exe")).unwrap();
    assert_eq!(exe, installed.path, "it is the new file");
    load.goes_on(50).await;
    load.end().await;
    let bad: Vec<_> = daemon.lines().into_iter().filter(|line| !line.line.starts_with("at=info ")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[tokio::test]
async fn sigterm_in_the_middle_ends_both() {
    let (dir, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let installed = Installed::new(bin.path());
    let daemon = StubDaemon::start(dir.path());
    daemon.set(serving(1, &[]));
    let mut first = Router::spawn(command(Command::new(&installed.path), dir.path(), "127.0.0.1:0"), dir.path());
    started(dir.path()).await;
    installed.script("exec sleep 1000");
    first.signal("USR2");
    first.says("is started to take over", 1).await;
    first.signal("TERM");
    assert!(first.end().await.success());
    assert_eq!(first.all(), Vec::<u32>::new());

    // After a hand-over the end of the new one is that of both: nobody waits for an hour.
    installed.true_one();
    let dyno = sociable_dyno().await;
    daemon.set(serving(2, &[dyno.addr]));
    let mut first = Router::spawn(command(Command::new(&installed.path), dir.path(), "127.0.0.1:0"), dir.path());
    let addr = until(dir.path(), |status| status.generation == 2).await.http[0].parse().unwrap();
    let mut tunnel = websocket(addr).await;
    first.signal("USR2");
    let second = other_than(dir.path(), first.id()).await;
    echoes(&mut tunnel, "hello").await;
    assert!(first.runs());
    signal(second, "TERM");
    first.says("has been told to hurry", 1).await;
    drop(tunnel);
    assert!(first.end().await.success());
}

/// Sockets are handed over as they are; how many threads take from them is another matter.
#[tokio::test]
async fn the_number_of_threads_may_change() {
    let (dir, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let installed = Installed::new(bin.path());
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let first = Router::spawn(command(Command::new(&installed.path), dir.path(), "127.0.0.1:0"), dir.path());
    let addr = started(dir.path()).await;
    let load = Load::on(addr);
    let mut pid = first.id();
    for threads in [5, 1, 3] {
        installed.script(&format!("PAAS_ROUTER_THREADS={threads} exec -a \"$0\" {PROGRAM} \"$@\""));
        load.goes_on(100).await;
        signal(pid, "USR2");
        pid = other_than(dir.path(), pid).await;
        let threads_now = fs::read_dir(format!("/proc/{pid}/task"))
            .unwrap()
            .flatten()
            .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("worker-")));
        assert_eq!(threads_now.count(), threads);
        load.goes_on(100).await;
    }
    load.end().await;
}

/// As under systemd: its socket goes along, and it learns whose pid counts now.
#[tokio::test]
async fn a_socket_of_systemd_goes_along() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let notified = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    notified.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let length = notified.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let start = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=http LISTEN_PID=$$ exec \"$0\"", PROGRAM]);
        let mut command = command(shell, dir.path(), "127.0.0.1:1");
        command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
        command.env("NOTIFY_SOCKET", dir.path().join("notify"));
        Router::spawn(command, dir.path())
    };
    let mut first = start();
    assert_eq!(started(dir.path()).await, addr);
    assert_eq!(told(), "READY=1");
    first.signal("USR2");
    let second = other_than(dir.path(), first.id()).await;
    assert_eq!(told(), format!("MAINPID={second}\nREADY=1"));
    assert!(first.end().await.success());
    assert!(send(addr, &get("/a", "")).await.ends_with("hello"));
    signal(second, "TERM");
    assert_eq!(told(), "STOPPING=1");
    // Whoever comes now waits in systemd's queue for the next one.
    let gone = async {
        while dir.path().join("run/router.sock").exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    let between = tokio::spawn(async move { send(addr, &get("/b", "")).await });
    let _third = start();
    assert!(between.await.unwrap().ends_with("hello"));
}

/// The pair breaks in the middle: whoever is left serves.
#[tokio::test]
async fn an_old_router_that_is_killed_in_the_middle_has_a_successor() {
    let (dir, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let installed = Installed::new(bin.path());
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut first = Router::spawn(command(Command::new(&installed.path), dir.path(), "127.0.0.1:0"), dir.path());
    let addr = started(dir.path()).await;
    // The table is on the disk.
    daemon.was_asked_after(1).await;
    let file = dir.path().join("go");
    // The new one has the sockets in its queue, and is held up until the old one is dead.
    let arrived = dir.path().join("arrived");
    installed.script(&format!(
        "until read -t 0; do sleep 0.01; done; touch {}; until [ -e {} ]; do sleep 0.01; done; exec {PROGRAM} \"$@\"",
        arrived.display(),
        file.display()
    ));
    first.signal("USR2");
    let there = async {
        while !arrived.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.unwrap();
    first.signal("KILL");
    first.end().await;
    // The port is still open: its socket is on its way.
    let between = tokio::spawn(async move { send(addr, &get("/b", "")).await });
    fs::write(&file, "").unwrap();
    other_than(dir.path(), first.id()).await;
    assert!(between.await.unwrap().ends_with("hello"));
}

/// With no certificate for HTTPS, and with one.
#[tokio::test]
async fn https_goes_along_too() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = sociable_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut program = command(Command::new(PROGRAM), dir.path(), "127.0.0.1:0");
    program.env("PAAS_HTTPS_LISTEN", "127.0.0.1:0");
    let first = Router::spawn(program, dir.path());
    started(dir.path()).await;
    first.signal("USR2");
    let second = other_than(dir.path(), first.id()).await;

    let made = rcgen::generate_simple_self_signed(vec!["demo.localhost".to_owned()]).unwrap();
    fs::create_dir_all(dir.path().join("tls")).unwrap();
    fs::write(dir.path().join("tls/key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(dir.path().join("tls/cert.pem"), made.cert.pem()).unwrap();
    // It looks every 5 s.
    let https = until(dir.path(), |status| !status.https.is_empty()).await.https;
    signal(second, "USR2");
    other_than(dir.path(), second).await;
    assert_eq!(until(dir.path(), |status| !status.https.is_empty()).await.https, https);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(&https[0]).await.unwrap();
    let name = ServerName::try_from("demo.localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(get("/a", "").as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.ends_with("hello"));
}
