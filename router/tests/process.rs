//! The program itself: how it starts, what it says when it can't, how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use paas_domain::route::{AppRoute, Certificate, Challenge, ChallengeCertificate};
use paas_router::{Inherited, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use util::backend::Dyno;
use util::client::{connect, get, read_to, rest, send, status_of};
use util::daemon::StubDaemon;
use util::process::{PROGRAM, Router, command, started};
use util::{limits, serving, settings, until};
use uuid::Uuid;

/// A dyno that answers when it is let.
async fn patient_dyno() -> (Dyno, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go);
    let dyno = Dyno::http(move |request| {
        let wait = Arc::clone(&wait);
        async move {
            if request.uri().path() == "/slow" {
                wait.acquire().await.unwrap().forget();
            }
            Response::new(Full::from("finished"))
        }
    })
    .await;
    (dyno, go)
}

#[tokio::test]
async fn sigterm_finishes_what_was_begun_and_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let (dyno, go) = patient_dyno().await;
    daemon.set(serving(1, &[dyno.addr]));
    let mut router = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let mut idle = connect(addr).await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    read_to(&mut idle, "finished").await;
    let slow = tokio::spawn(async move { send(addr, &get("/slow", "")).await });
    until(dir.path(), |status| status.backends[0].in_flight == 1).await;

    router.signal("TERM");
    // The idle connection is closed, the port is, the request goes on.
    assert_eq!(rest(&mut idle).await, "");
    let refused = async {
        // Without its socket the next router may begin.
        let socket = dir.path().join("run/router.sock");
        while tokio::net::TcpStream::connect(addr).await.is_ok() || socket.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    assert!(router.runs());
    go.add_permits(1);
    assert!(slow.await.unwrap().ends_with("finished"));
    assert!(router.end().await.success());
    // The last lines were delivered before the end.
    let mut paths: Vec<_> = daemon.lines().iter().map(|line| line.line.contains("/slow")).collect();
    paths.sort_unstable();
    assert_eq!(paths, [false, true]);
}

#[tokio::test]
async fn a_start_raises_the_limit_of_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -Sn 200; exec \"$0\"", PROGRAM]);
    let router = Router::spawn(command(shell, dir.path(), "127.0.0.1:0"), dir.path());
    until(dir.path(), |_| true).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", router.id())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert!(files[3] == files[4] && files[3] != "200", "{files:?}");
}

#[tokio::test]
async fn a_taken_port_is_said_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let mut router = Router::start(dir.path(), &addr);
    assert_eq!(router.end().await.code(), Some(1));
    let said = router.said();
    assert!(said.contains(&format!("{addr} can't be listened on: ")), "{said}");
    assert!(said.contains(&format!("(process {}) has the port", std::process::id())), "{said}");
    assert!(said.contains("PAAS_HTTP_LISTEN"), "{said}");
}

#[tokio::test]
async fn two_routers_do_not_share_a_port_or_a_directory() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = StubDaemon::start(dir.path());
    daemon.set(serving(1, &[]));
    let first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    let mut same_port = Router::start(other.path(), &addr.to_string());
    assert_eq!(same_port.end().await.code(), Some(1));
    let said = same_port.said();
    assert!(said.contains(&format!("paas-router (process {}) has the port", first.id())), "{said}");
    let mut same_directory = Router::start(dir.path(), "127.0.0.1:0");
    assert_eq!(same_directory.end().await.code(), Some(1));
    let said = same_directory.said();
    assert!(
        said.contains(&format!("another router runs on {} (process {})", dir.path().display(), first.id())),
        "{said}"
    );
    // Neither attempt disturbed the first.
    assert_eq!(until(dir.path(), |_| true).await.pid, first.id());
}

#[tokio::test]
async fn nonsense_settings_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let mut router = Router::start(dir.path(), "eighty");
    assert_eq!(router.end().await.code(), Some(2));
    assert!(router.said().contains("ADDRESS:PORT"));
    let mut nowhere = Router::start(dir.path(), "");
    assert_eq!(nowhere.end().await.code(), Some(1));
    assert!(nowhere.said().contains("nowhere to listen"));
}

/// A router that gets its socket as from systemd.
fn with_socket(socket: &TcpListener, dir: &Path) -> Router {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=http LISTEN_PID=$$ exec \"$0\"", PROGRAM]);
    let mut command = command(shell, dir, "127.0.0.1:1");
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    Router::spawn(command, dir)
}

/// As systemd does it: the socket belongs to somebody else and outlives the router, so
/// that visitors who come between two routers wait a moment and are served.
#[tokio::test]
async fn an_inherited_socket_outlives_the_router() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = Dyno::text("hello").await;
    daemon.set(serving(1, &[dyno.addr]));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let mut first = with_socket(&socket, dir.path());
    assert_eq!(started(dir.path()).await, addr);
    assert!(send(addr, &get("/a", "")).await.ends_with("hello"));
    first.signal("TERM");
    assert!(first.end().await.success());
    let between = tokio::spawn(async move { send(addr, &get("/b", "")).await });
    let _second = with_socket(&socket, dir.path());
    assert!(between.await.unwrap().ends_with("hello"));
}

/// Whether a request is answered; false where its connection breaks.
async fn is_answered(stream: &mut TcpStream, request: &str) -> bool {
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        match tokio::time::timeout(Duration::from_secs(20), stream.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return false,
            Ok(Ok(_)) => {}
            Err(_) => panic!("it hangs after {:?}", String::from_utf8_lossy(&answer)),
        }
        let (begin, fine) = (String::from_utf8_lossy(&answer), "HTTP/1.1 200 ");
        assert!(begin.starts_with(fine) || fine.starts_with(&*begin), "{begin}");
    }
    true
}

/// Whether every thread of a process has been stopped (proc(5)).
fn has_stopped(pid: u32) -> bool {
    let mut tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks.all(|task| {
        let status = std::fs::read_to_string(task.path().join("stat")).unwrap();
        status.rsplit_once(") ").unwrap().1.starts_with('T')
    })
}

/// Visitors without a pause while the router is killed, again and again. Its socket belongs to
/// somebody else, so that the next router takes the connections that the killed one had not taken.
#[tokio::test]
async fn killed_under_load_it_loses_only_what_was_inside() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = Dyno::text("hello").await;
    daemon.set(serving(1, &[dyno.addr]));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    // Dropped, one takes with it whatever runs on its directory.
    let mut routers = vec![with_socket(&socket, dir.path())];
    started(dir.path()).await;
    // Counted when a router has been stopped, just before it is killed: a connection that is made
    // later is not inside.
    let (kills, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut visitors = Vec::new();
    for number in 0..10 {
        let (kills, stop, answered) = (Arc::clone(&kills), Arc::clone(&stop), Arc::clone(&answered));
        visitors.push(tokio::spawn(async move {
            let closes = number < 5;
            let close = if closes { "Connection: close\r\n" } else { "" };
            let request = format!("GET /{number} HTTP/1.1\r\nHost: demo.localhost\r\n{close}\r\n");
            while !stop.load(Ordering::SeqCst) {
                let made = kills.load(Ordering::SeqCst);
                // Never refused.
                let mut stream = connect(addr).await;
                let mut open = true;
                while open && !stop.load(Ordering::SeqCst) {
                    open = is_answered(&mut stream, &request).await;
                    assert!(open || kills.load(Ordering::SeqCst) > made, "it was not inside a killed router");
                    answered.fetch_add(usize::from(open), Ordering::SeqCst);
                    open &= !closes;
                }
            }
        }));
    }
    let goes_on = async |visitors: &[tokio::task::JoinHandle<()>]| {
        let wanted = answered.load(Ordering::SeqCst) + 200;
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while answered.load(Ordering::SeqCst) < wanted {
                assert!(!visitors.iter().any(tokio::task::JoinHandle::is_finished), "a visitor was let down");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(waited.await.is_ok(), "nothing is answered any more");
    };
    for _ in 0..5 {
        goes_on(&visitors).await;
        let router = routers.last_mut().unwrap();
        router.signal("STOP");
        while !has_stopped(router.id()) {
            tokio::task::yield_now().await;
        }
        kills.fetch_add(1, Ordering::SeqCst);
        // These come to a closed counter.
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let mut stream = connect(addr).await;
            let request = get("/waits", "");
            stream.write_all(request.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        router.signal("KILL");
        router.end().await;
        routers.push(with_socket(&socket, dir.path()));
        for mut stream in waiting {
            let answer = rest(&mut stream).await;
            assert!(status_of(&answer) == 200 && answer.ends_with("hello"), "{answer}");
        }
    }
    goes_on(&visitors).await;
    stop.store(true, Ordering::SeqCst);
    for visitor in visitors {
        visitor.await.unwrap();
    }
}

#[tokio::test]
async fn killed_and_started_again_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = Dyno::text("hello").await;
    daemon.set(serving(4, &[dyno.addr]));
    let mut router = Router::start(dir.path(), "127.0.0.1:0");
    started(dir.path()).await;
    daemon.was_asked_after(4).await;
    router.signal("KILL");
    router.end().await;
    daemon.kill();
    let _second = Router::start(dir.path(), "127.0.0.1:0");
    let addr = until(dir.path(), |status| status.generation == 4).await.http[0].parse().unwrap();
    let answer = send(addr, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 200);
}

/// Killed in the middle of writing tables, again and again: what it has told the daemon of is there
/// after each start, or what came after it.
#[tokio::test]
async fn a_table_that_was_told_of_survives_any_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = StubDaemon::start(dir.path());
    let dyno = Dyno::text("hello").await;
    let big = |generation| {
        let mut table = serving(generation, &[dyno.addr]);
        // Some hundred KB, so that a kill meets a file half written.
        let more = (0..2000_u128).map(|number| AppRoute {
            id: Uuid::from_u128(1000 + number),
            hosts: vec![format!("app-{number}.localhost")],
            ..table.apps[0].clone()
        });
        table.apps.extend(more.collect::<Vec<_>>());
        table
    };
    let mut generation = 1;
    for round in 0..12_u64 {
        let mut router = Router::start(dir.path(), "127.0.0.1:0");
        let mut used = 0;
        for _ in 0..3 + round % 4 {
            generation += 1;
            daemon.set(big(generation));
            used = until(dir.path(), |status| status.generation == generation).await.generation;
            daemon.was_asked_after(generation).await;
        }
        // The next one is on its way when it dies.
        daemon.set(big(generation + 1));
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        router.signal("KILL");
        router.end().await;
        daemon.kill();
        let mut again = Router::start(dir.path(), "127.0.0.1:0");
        let status = until(dir.path(), |status| status.pid == again.id()).await;
        assert!([used, used + 1].contains(&status.generation), "{used} was in use, {} is there", status.generation);
        let answer = send(status.http[0].parse().unwrap(), &get("/a", "")).await;
        assert_eq!(status_of(&answer), 200);
        generation += 1;
        again.signal("KILL");
        again.end().await;
        daemon.revive();
    }
}

/// What a table has that can't be used is in each later one, too.
#[tokio::test]
async fn what_can_not_be_used_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = Dyno::text("hello").await;
    let table = |generation| {
        let bad = || ("no chain".to_owned(), "no key".to_owned());
        let mut table = serving(generation, &[dyno.addr]);
        let ((chain, key), hosts) = (bad(), vec!["demo.localhost".to_owned()]);
        table.certificates = vec![Certificate { id: Uuid::from_u128(7), hosts, chain, key }];
        let (chain, key) = bad();
        table.challenges = vec![Challenge {
            host: "demo.localhost".to_owned(),
            token: "token".to_owned(),
            answer: "answer".to_owned(),
            certificate: Some(ChallengeCertificate { chain, key }),
        }];
        table
    };
    daemon.set(table(1));
    let router = Router::start(dir.path(), "127.0.0.1:0");
    for generation in 2..5 {
        daemon.set(table(generation));
        until(dir.path(), |status| status.generation == generation).await;
    }
    let said = router.said();
    for trouble in ["A certificate can't be used", "The certificate of a challenge for demo.localhost can't be used"] {
        assert_eq!(said.matches(trouble).count(), 1, "{trouble}: {said}");
    }
}

/// An address that no connection can be opened to stands for a machine without ports or files.
#[tokio::test]
async fn a_machine_that_can_not_connect_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    daemon.set(serving(1, &["[fe80::1]:5000".parse().unwrap()]));
    let router = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    for _ in 0..5 {
        assert!(send(addr, &get("/a", "")).await.starts_with("HTTP/1.1 50"));
    }
    let said = router.said();
    assert_eq!(said.matches("This machine can't open a connection to a dyno").count(), 1, "{said}");
}

/// A listener that can't be waited on is as good as none, and the kernel would bring it its share
/// of all visitors.
#[tokio::test]
async fn a_router_without_one_of_its_listeners_ends() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("no socket")).unwrap();
    let http = vec![TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::from(OwnedFd::from(file))];
    for listener in &http {
        // A file knows nothing of it.
        let _ = listener.set_nonblocking(true);
    }
    let router = start(settings(dir.path(), limits()), Inherited { http, ..Inherited::default() }).unwrap();
    let handover = router.handover();
    let ended = tokio::task::spawn_blocking(|| router.join());
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
    handover.stop();
    ended.expect("it goes on").unwrap();
    assert!(handover.failed());
}
