//! Dynos come and go, the daemon too, and nobody notices.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use paas_domain::route::{RouteState, RouteTable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, Semaphore};
use util::backend::{Dyno, head, nobody};
use util::client::{connect, get, read_to, rest, send, status_of};
use util::{House, app, limits, patient, serving, table};
use uuid::Uuid;

#[tokio::test]
async fn requests_wait_for_a_dyno_and_then_go_through() {
    let house = House::with(table(1, vec![app(RouteState::Booting, &[])]), patient()).await;
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let addr = house.addr;
            tokio::spawn(async move { send(addr, &get("/a", "")).await })
        })
        .collect();
    house.until(|status| status.waiting == 5).await;
    // A table that changes nothing for them.
    house.set(table(2, vec![app(RouteState::Booting, &[])])).await;
    let dyno = Dyno::text("up").await;
    house.set(serving(3, &[dyno.addr])).await;
    for answer in waiting {
        assert!(answer.await.unwrap().ends_with("\r\n\r\nup"));
    }
}

#[tokio::test]
async fn those_who_wait_learn_what_became_of_it() {
    for (state, code) in [(RouteState::Crashed, "H10"), (RouteState::NoWeb, "H14")] {
        let house = House::with(table(1, vec![app(RouteState::Booting, &[])]), patient()).await;
        let addr = house.addr;
        let waiting = tokio::spawn(async move { send(addr, &get("/a", "")).await });
        house.until(|status| status.waiting == 1).await;
        house.set(table(2, vec![app(state, &[])])).await;
        assert_eq!(status_of(&waiting.await.unwrap()), 503);
        assert!(house.line("").await.contains(&format!("code={code} ")));
    }
}

/// Two generations of dynos take turns under load. An old one stops as soon as the router
/// has it out of its table and no request is on it, as the daemon does.
#[tokio::test]
async fn a_swap_under_load_drops_nothing() {
    let slow = |text: &'static str| async move {
        Dyno::http(move |_| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Response::new(Full::from(text))
        })
        .await
    };
    let mut dynos = vec![slow("answer").await, slow("answer").await];
    let house = Arc::new(House::with(serving(1, &[dynos[0].addr, dynos[1].addr]), patient()).await);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|number| {
            let (house, stop, answered) = (Arc::clone(&house), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut client = connect(house.addr).await;
                while !stop.load(Ordering::Relaxed) {
                    let request = if number % 2 == 0 {
                        "GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n"
                    } else {
                        "POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 4\r\n\r\nbody"
                    };
                    client.write_all(request.as_bytes()).await.unwrap();
                    let answer = read_to(&mut client, "answer").await;
                    assert_eq!(status_of(&answer), 200, "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for generation in 2..12 {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 50 {
            tokio::task::yield_now().await;
        }
        let new = vec![slow("answer").await, slow("answer").await];
        house.set(serving(generation, &[new[0].addr, new[1].addr])).await;
        house.until(|status| status.backends.iter().all(|backend| backend.current || backend.in_flight == 0)).await;
        // Not even a moment of grace: connections break, the port is closed.
        dynos = new;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    drop(dynos);
    house.daemon.has_lines(answered.load(Ordering::Relaxed)).await;
    let lines = house.daemon.lines();
    let bad: Vec<_> = lines.iter().filter(|line| !line.line.starts_with("at=info ")).collect();
    assert_eq!(bad, Vec::<&paas_domain::route::LogLine>::new());
}

#[tokio::test]
async fn a_request_on_a_dyno_that_leaves_is_finished_there() {
    let go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go);
    let old = Dyno::http(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.unwrap().forget();
            Response::new(Full::from("old"))
        }
    })
    .await;
    let new = Dyno::text("new").await;
    let house = House::with(serving(1, &[old.addr]), patient()).await;
    let addr = house.addr;
    let first = tokio::spawn(async move { send(addr, &get("/a", "")).await });
    house.until(|status| status.backends.iter().any(|backend| backend.in_flight == 1)).await;
    house.set(serving(2, &[new.addr])).await;
    assert!(send(addr, &get("/b", "")).await.ends_with("new"));
    let status = house.until(|_| true).await;
    assert!(status.backends.iter().any(|backend| !backend.current && backend.in_flight == 1), "{status:?}");
    go.add_permits(1);
    assert!(first.await.unwrap().ends_with("old"));
    // No unused connection is kept to where nobody will be.
    old.has_open(0).await;
    assert_eq!(house.until(|_| true).await.backends.len(), 1);
}

#[tokio::test]
async fn unused_connections_to_a_dyno_that_leaves_are_closed() {
    let dyno = Dyno::text("x").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    send(house.addr, &get("/a", "")).await;
    dyno.has_open(1).await;
    house.set(table(2, vec![app(RouteState::NoWeb, &[])])).await;
    dyno.has_open(0).await;
}

#[tokio::test]
async fn unused_connections_grow_old() {
    let dyno = Dyno::text("x").await;
    let limits = paas_router::Limits { upstream_keepalive: Duration::from_millis(100), ..patient() };
    let house = House::with(serving(1, &[dyno.addr]), limits).await;
    send(house.addr, &get("/a", "")).await;
    dyno.has_open(0).await;
}

#[tokio::test]
async fn silent_clients_are_let_go() {
    let limits =
        paas_router::Limits { client_idle: Duration::from_millis(100), head: Duration::from_millis(100), ..patient() };
    let house = House::with(table(1, vec![]), limits).await;
    assert_eq!(rest(&mut connect(house.addr).await).await, "");
    let mut slow = connect(house.addr).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    rest(&mut slow).await;
    house.until(|status| status.connections == 0).await;
}

/// A dyno that closes each connection after one answer, without saying so: the next
/// request meets a connection that is gone.
#[tokio::test]
async fn a_stale_connection_fails_no_request() {
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    for _ in 0..300 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\nok").await;
        assert_eq!(status_of(&answer), 200, "{answer}");
    }
}

/// The dyno gives an unused connection up at the very moment when a request is on its way.
/// Only a request that merely asks is sent again; another gets no connection that has been
/// unused for long.
#[tokio::test]
async fn a_request_that_met_the_end_of_its_connection() {
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        stream.read_u8().await.unwrap();
    })
    .await;
    let long = Duration::from_secs(20);
    for (request, upstream_fresh, status) in [
        ("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n", Duration::ZERO, 200),
        ("POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 0\r\n\r\n", long, 503),
        ("POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 0\r\n\r\n", Duration::ZERO, 200),
    ] {
        let limits = paas_router::Limits { upstream_fresh, repeat: long, ..patient() };
        let house = House::with(serving(1, &[dyno.addr]), limits).await;
        let mut client = connect(house.addr).await;
        client.write_all(b"GET /first HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        read_to(&mut client, "\r\n\r\nok").await;
        let before = dyno.connections();
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status_of(&read_to(&mut client, "\r\n\r\n").await), status, "{request}");
        assert_eq!(dyno.connections() - before, usize::from(status == 200));
    }
}

/// A request that dynos die of reaches two at most, and one when it was worked on.
#[tokio::test]
async fn a_request_that_dynos_die_of_is_not_sent_round() {
    for (repeat, deaths) in [(Duration::from_secs(20), 2), (Duration::ZERO, 1)] {
        let died = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&died);
        let together = Arc::new(Barrier::new(8));
        let dyno = Dyno::raw(move |mut stream| {
            let (count, together) = (Arc::clone(&count), Arc::clone(&together));
            async move {
                loop {
                    let head = head(&mut stream).await;
                    if head.starts_with("GET /deadly ") {
                        count.fetch_add(1, Ordering::SeqCst);
                        return;
                    } else if head.is_empty() {
                        return;
                    }
                    together.wait().await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            }
        })
        .await;
        let limits = paas_router::Limits { repeat, ..patient() };
        let dir = tempfile::tempdir().unwrap();
        let settings = paas_router::Settings { threads: Some(1), ..util::settings(dir.path(), limits) };
        let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
        // Many unused connections, each of which was good before.
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(connect(house.addr).await);
        }
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        }
        for client in &mut clients {
            read_to(client, "\r\n\r\nok").await;
        }
        assert_eq!(status_of(&send(house.addr, &get("/deadly", "")).await), 503);
        assert!(house.line("/deadly").await.contains("code=H13 "));
        assert_eq!(died.load(Ordering::SeqCst), deaths);
    }
}

#[tokio::test]
async fn a_dyno_that_refuses_is_passed_by_and_left_alone() {
    let good = Dyno::text("good").await;
    let bad = nobody().await;
    let limits = paas_router::Limits { quarantine: Duration::from_secs(60), ..patient() };
    let house = House::with(serving(1, &[bad, good.addr]), limits).await;
    for _ in 0..30 {
        assert!(send(house.addr, &get("/a", "")).await.ends_with("good"));
    }
    let status = house.until(|_| true).await;
    let quarantined: Vec<_> = status.backends.iter().filter(|backend| backend.quarantined).collect();
    assert_eq!(quarantined.len(), 1, "{status:?}");
    assert_eq!(quarantined[0].dyno, "web.1");
    assert!(!house.daemon.lines().iter().any(|line| line.line.contains("code=")));
}

#[tokio::test]
async fn no_more_than_ten_dynos_are_tried() {
    let mut dynos = Vec::new();
    for _ in 0..15 {
        dynos.push(nobody().await);
    }
    dynos.sort();
    dynos.dedup();
    let limits = paas_router::Limits { quarantine: Duration::from_secs(60), ..patient() };
    let house = House::with(serving(1, &dynos), limits).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    let status = house.until(|_| true).await;
    assert_eq!(status.backends.iter().filter(|backend| backend.quarantined).count(), 10.min(dynos.len()));
}

#[tokio::test]
async fn a_daemon_that_dies_and_returns_loses_no_line_and_repeats_none() {
    let dyno = Dyno::text("x").await;
    let mut house = House::with(serving(1, &[dyno.addr]), patient()).await;
    for number in 0..10 {
        send(house.addr, &get(&format!("/{number}"), "")).await;
    }
    house.daemon.has_lines(10).await;
    house.daemon.kill();
    for number in 10..60 {
        assert!(send(house.addr, &get(&format!("/{number}"), "")).await.ends_with('x'), "without a daemon");
    }
    house.until(|status| !status.daemon_connected && status.log_waiting > 0).await;
    // The first batches after its return are stored, but their answers are lost.
    house.daemon.with(|state| state.forget_answers = 3);
    house.daemon.revive();
    house.daemon.has_lines(60).await;
    house.until(|status| status.daemon_connected && status.log_waiting == 0).await;
    let mut paths: Vec<usize> = house
        .daemon
        .lines()
        .iter()
        .map(|line| line.line.split_once("path=\"/").unwrap().1.split('"').next().unwrap().parse().unwrap())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, (0..60).collect::<Vec<_>>());
    assert!(house.daemon.with(|state| state.repeats) >= 1);
    // And its tables are followed again.
    house.set(table(2, vec![])).await;
}

/// Daemon and router are replaced at the same time.
#[tokio::test]
async fn a_router_that_ends_waits_for_a_daemon_that_is_just_away() {
    let go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go);
    let dyno = Dyno::http(move |request| {
        let wait = Arc::clone(&wait);
        async move {
            if request.uri().path() == "/slow" {
                wait.acquire().await.unwrap().forget();
            }
            Response::new(Full::from("x"))
        }
    })
    .await;
    let mut house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let addr = house.addr;
    let slow = tokio::spawn(async move { send(addr, &get("/slow", "")).await });
    house.until(|status| status.backends[0].in_flight == 1).await;
    house.daemon.kill();
    send(addr, &get("/quick", "")).await;
    house.until(|status| status.log_waiting == 1).await;
    let router = house.router.take().unwrap();
    router.stop();
    // From here on it is ending, and has found no daemon.
    while tokio::net::TcpStream::connect(addr).await.is_ok() || house.dir.path().join("run/router.sock").exists() {
        tokio::task::yield_now().await;
    }
    house.daemon.revive();
    house.daemon.has_lines(1).await;
    house.daemon.kill();
    go.add_permits(1);
    assert!(slow.await.unwrap().ends_with('x'));
    house.daemon.revive();
    tokio::task::spawn_blocking(|| router.join()).await.unwrap();
    let mut paths: Vec<_> = house.daemon.lines().iter().map(|line| line.line.contains("path=\"/slow\"")).collect();
    paths.sort_unstable();
    assert_eq!(paths, [false, true]);
}

#[tokio::test]
async fn lines_that_do_not_fit_are_counted_and_told_of() {
    let dyno = Dyno::text("x").await;
    let limits = paas_router::Limits { log_bytes: 2000, ..patient() };
    let mut house = House::with(serving(1, &[dyno.addr]), limits).await;
    house.daemon.kill();
    for _ in 0..40 {
        send(house.addr, &get("/a", "")).await;
    }
    house.until(|status| status.log_dropped > 20).await;
    house.daemon.revive();
    // Those that came and those that are told of are all.
    let told = |line: &str| -> Option<usize> {
        line.strip_prefix("Error L12 (Local buffer overflow) -> ")?.strip_suffix(" router lines dropped")?.parse().ok()
    };
    let sum = || house.daemon.lines().iter().map(|line| told(&line.line).unwrap_or(1)).sum::<usize>();
    let status = house.until(|_| sum() == 40).await;
    // Some may have been told of before the daemon went away for the others.
    let lost = house.daemon.lines().iter().filter_map(|line| told(&line.line)).sum::<usize>();
    assert_eq!(lost as u64, status.log_dropped);
}

/// Requests end faster than their lines are written: they don't wait for that.
#[tokio::test]
async fn lines_that_nobody_has_written_yet_are_bounded_too() {
    let dyno = Dyno::text("x").await;
    let limits = paas_router::Limits { log_queue: 1, ..patient() };
    let house = House::with(serving(1, &[dyno.addr]), limits).await;
    let mut client = connect(house.addr).await;
    // All at once: the writer gathers what comes within some milliseconds.
    let requests = "GET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n".repeat(499) + &get("/a", "");
    client.write_all(requests.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut client).await.matches("HTTP/1.1 200 ").count(), 500);
    let told = |line: &str| -> Option<usize> {
        line.strip_prefix("Error L12 (Local buffer overflow) -> ")?.strip_suffix(" router lines dropped")?.parse().ok()
    };
    let sum = || house.daemon.lines().iter().map(|line| told(&line.line).unwrap_or(1)).sum::<usize>();
    let status = house.until(|status| sum() + usize::try_from(status.log_dropped).unwrap() >= 500).await;
    assert!(status.log_dropped > 0, "{status:?}");
    // One more gets room and brings word of those that had none.
    send(house.addr, &get("/b", "")).await;
    house.until(|_| sum() == 501).await;
}

#[tokio::test]
async fn an_older_table_is_refused_and_another_installations_is_taken() {
    let mut house = House::new(table(7, vec![])).await;
    house.daemon.kill();
    house.until(|status| !status.daemon_connected).await;
    house.daemon.set(table(5, vec![app(RouteState::Blank, &[])]));
    let asked = house.daemon.asked().len();
    house.daemon.revive();
    // It was asked, it answered, and asked again.
    while house.daemon.asked().len() < asked + 2 {
        tokio::task::yield_now().await;
    }
    // A daemon of the same installation learns what the router has, and can go on from there.
    let question = house.daemon.asked()[asked + 1].clone();
    assert!(question.contains("?after=0&have=7&instance="), "{question}");
    let status = house.until(|_| true).await;
    assert_eq!((status.generation, status.daemon_connected), (7, false));
    let anew = RouteTable { instance: Uuid::from_u128(2), ..table(1, vec![]) };
    house.daemon.set(anew);
    house.until(|status| status.generation == 1 && status.instance == Uuid::from_u128(2)).await;
    house.until(|status| status.daemon_connected).await;
    house.daemon.was_asked_after(1).await;
    let question = house.daemon.asked().pop().unwrap();
    assert!(question.contains("?after=1&have=1&"), "{question}");
}

#[tokio::test]
async fn the_table_survives_the_router() {
    let dyno = Dyno::text("still here").await;
    let mut house = House::new(serving(1, &[dyno.addr])).await;
    house.set(serving(2, &[dyno.addr])).await;
    house.daemon.kill();
    house.stop().await;
    let dir = house.dir.path().to_owned();

    let newest = dir.join("router/table.json");
    let good = std::fs::read_to_string(&newest).unwrap();
    for (text, generation) in
        [(good.clone(), 2), (good.replace("demo", "dem0"), 1), (good[..good.len() / 2].to_owned(), 1)]
    {
        std::fs::write(&newest, text).unwrap();
        let router = paas_router::start(util::settings(&dir, limits()), paas_router::Inherited::default()).unwrap();
        let answer = send(router.http()[0], &get("/a", "")).await;
        assert!(answer.ends_with("\r\n\r\nstill here"), "{answer}");
        util::until(&dir, |status| status.generation == generation).await;
        router.stop();
        tokio::task::spawn_blocking(|| router.join()).await.unwrap();
    }
}
