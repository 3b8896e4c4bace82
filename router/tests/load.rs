//! How much an app may have going on at once, and how its requests are shared out among its dynos.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use paas_domain::route::{AppRoute, Balancing, RouteState};
use paas_router::{Limits, Status};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use util::backend::{Deaf, Dyno, head, nobody};
use util::client::{connect, get, read_to, rest, send, status_of};
use util::{House, REQUEST_ID, app, patient, serving, table};
use uuid::Uuid;

const WHERE: &str = "method=GET path=\"/a\" host=demo.localhost request_id=0123456789abcdef0123 fwd=\"127.0.0.1\"";

/// Asks without waiting for the answer.
async fn ask(house: &House, request: &str) -> TcpStream {
    let mut client = connect(house.addr).await;
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

fn busy(status: &Status) -> u32 {
    status.backends.iter().map(|backend| backend.in_flight).sum()
}

fn other_app(backends: &[SocketAddr]) -> AppRoute {
    let mut other = app(RouteState::Serving, backends);
    other.id = Uuid::from_u128(0xB);
    other.hosts = vec!["other.localhost".to_owned()];
    other
}

fn backlog(tls: &str) -> String {
    format!(
        "at=error code=H11 desc=\"Backlog too deep\" {WHERE} dyno= connect= service= status=503 bytes=0 \
         protocol=http1.1 tls={tls}"
    )
}

#[tokio::test]
async fn h11_more_requests_at_once_than_the_dynos_may_have() {
    let gate = Arc::new(Semaphore::new(0));
    let (dyno, second) = (Dyno::gated("one", &gate).await, Dyno::gated("two", &gate).await);
    let quick = Dyno::text("quick").await;
    let of = |generation, dynos: &[SocketAddr]| {
        let mut app = app(RouteState::Serving, dynos);
        app.rules.concurrency = Some(2);
        table(generation, vec![app, other_app(&[quick.addr])])
    };
    let house = House::with(of(1, &[dyno.addr]), patient()).await;
    let mut clients = vec![ask(&house, &get("/", "")).await, ask(&house, &get("/", "")).await];
    house.until(|status| busy(status) == 2).await;
    let answer = send(house.addr, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 503);
    assert!(answer.contains("<h1>Too many requests at once</h1>") && answer.contains("retry-after: 5"), "{answer}");
    assert_eq!(house.line("").await, backlog("false"));
    // It is nothing to other apps.
    let other = get("/a", "").replace("demo.localhost", "other.localhost");
    assert_eq!(status_of(&send(house.addr, &other).await), 200);
    house.line("host=other.localhost").await;

    // The count goes on when the table changes; another dyno makes room for as many.
    house.set(of(2, &[dyno.addr, second.addr])).await;
    clients.push(ask(&house, &get("/", "")).await);
    clients.push(ask(&house, &get("/", "")).await);
    house.until(|status| busy(status) == 4).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert_eq!(house.line("").await, backlog("false"));

    gate.add_permits(5);
    for mut client in clients {
        assert_eq!(status_of(&rest(&mut client).await), 200);
        house.line("status=200").await;
    }
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 200);
}

#[tokio::test]
async fn h11_counts_those_that_wait_for_a_dyno_and_those_whose_client_left_no_more() {
    let of = |generation, state, dynos: &[SocketAddr]| {
        let mut app = app(state, dynos);
        app.rules.concurrency = Some(1);
        table(generation, vec![app])
    };
    let house = House::with(of(1, RouteState::Booting, &[]), patient()).await;
    let waiting = ask(&house, &get("/", "")).await;
    house.until(|status| status.waiting == 1).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert_eq!(house.line("").await, backlog("false"));
    drop(waiting);
    house.line("code=H27").await;
    let mut waiting = ask(&house, &get("/a", "")).await;
    house.until(|status| status.waiting == 1).await;
    let dyno = Dyno::text("hello").await;
    house.set(of(2, RouteState::Serving, &[dyno.addr])).await;
    assert_eq!(status_of(&rest(&mut waiting).await), 200);
}

fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: demo.localhost\r\nX-Request-Id: {REQUEST_ID}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\n\r\n"
    )
}

/// Changes protocols when it is asked to and holds on; answers other requests.
async fn tunnel_dyno() -> Dyno {
    Dyno::raw(|mut stream| async move {
        if head(&mut stream).await.to_lowercase().contains("upgrade: websocket") {
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await
}

/// A WebSocket lasts long and keeps nobody waiting, so it has a limit of its own.
#[tokio::test]
async fn h22_more_websockets_than_an_app_may_have() {
    let dyno = tunnel_dyno().await;
    let mut app = app(RouteState::Serving, &[dyno.addr]);
    app.rules.concurrency = Some(1);
    let house = House::with(table(1, vec![app]), Limits { tunnels: 2, ..patient() }).await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = ask(&house, &handshake("/ws")).await;
        assert_eq!(status_of(&read_to(&mut socket, "\r\n\r\n").await), 101);
        sockets.push(socket);
    }
    let mut refused = ask(&house, &handshake("/a")).await;
    assert_eq!(status_of(&read_to(&mut refused, "\r\n\r\n").await), 503);
    assert_eq!(
        house.line("path=\"/a\"").await,
        format!(
            "at=error code=H22 desc=\"Connection limit reached\" {WHERE} dyno= connect= service= status=503 bytes=0 \
             protocol=http1.1 tls=false"
        )
    );
    // They take no room from requests.
    assert_eq!(status_of(&send(house.addr, &get("/", "")).await), 200);
    sockets.pop();
    house.line("path=\"/ws\"").await;
    let mut socket = ask(&house, &handshake("/ws")).await;
    assert_eq!(status_of(&read_to(&mut socket, "\r\n\r\n").await), 101);
}

#[tokio::test]
async fn h34_every_dyno_is_in_quarantine_and_the_last_try_fails() {
    let addr = nobody().await;
    let house = House::with(serving(1, &[addr]), Limits { quarantine: patient().queue, ..patient() }).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(house.line("").await.starts_with("at=error code=H21 "));
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert_eq!(
        house.line("").await,
        format!(
            "at=error code=H34 desc=\"All up dynos are quarantined\" {WHERE} dyno=web.1 connect=Nms service= \
             status=503 bytes=0 protocol=http1.1 tls=false"
        )
    );
    // But one that is up again is not left alone for that.
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    let dyno = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain").await.unwrap();
    });
    assert!(send(house.addr, &get("/a", "")).await.ends_with("\r\n\r\nagain"));
    dyno.await.unwrap();
}

/// Waiting for each that hangs would hold up every request for all of them together.
#[tokio::test]
async fn of_dynos_that_hang_one_gets_a_last_try() {
    let (one, two) = (Deaf::new(), Deaf::new());
    let limits = Limits { connect: util::limits().connect, quarantine: patient().queue, ..patient() };
    let house = House::with(serving(1, &[one.addr, two.addr]), limits).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    let first = house.line("code=H19").await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    let second = house.line("code=H34").await;
    // The first line has the dyno that was tried last.
    let longest = if first.contains("dyno=web.1") { "dyno=web.2" } else { "dyno=web.1" };
    assert!(second.contains(longest), "{first}\n{second}");
}

/// Neither in turn, nor by what a dyno has to do. Each bound is ten standard deviations from what
/// is expected: chance passes them once in 10^22 runs.
#[tokio::test]
async fn by_chance_each_dyno_gets_its_share_whatever_it_has_to_do() {
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let dyno = |text: &'static str| {
        let wait = Arc::clone(&wait);
        Dyno::http(move |request| {
            let wait = Arc::clone(&wait);
            async move {
                if request.uri().path() == "/held" {
                    wait.acquire().await.unwrap().forget();
                }
                hyper::Response::new(http_body_util::Full::from(text))
            }
        })
    };
    let dynos = [dyno("one").await, dyno("two").await, dyno("six").await];
    let addrs: Vec<SocketAddr> = dynos.iter().map(|dyno| dyno.addr).collect();
    let house = House::with(serving(1, &addrs[..1]), patient()).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(ask(&house, &get("/held", "")).await);
    }
    house.until(|status| busy(status) == 20).await;
    house.set(serving(2, &addrs)).await;
    let mut client = connect(house.addr).await;
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let (mut last, mut in_a_row) = (String::new(), 0);
    for _ in 0..900 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        read_to(&mut client, "\r\n\r\n").await;
        let mut name = [0; 3];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut name).await.unwrap();
        let name = String::from_utf8_lossy(&name).into_owned();
        in_a_row += usize::from(name == last);
        *counts.entry(name.clone()).or_default() += 1;
        last = name;
    }
    // 900 times a chance of a third: 300, with a standard deviation of 14.1.
    assert!(counts.len() == 3 && counts.values().all(|count| (160..440).contains(count)), "{counts:?}");
    assert!((160..440).contains(&in_a_row), "the same dyno came twice in a row {in_a_row} times");
    gate.add_permits(20);
    for client in &mut held {
        assert_eq!(status_of(&rest(client).await), 200);
    }
}

#[tokio::test]
async fn least_connections_goes_where_the_fewest_requests_are() {
    let gate = Arc::new(Semaphore::new(0));
    let dynos = [Dyno::gated("one", &gate).await, Dyno::gated("two", &gate).await, Dyno::gated("three", &gate).await];
    let addrs: Vec<SocketAddr> = dynos.iter().map(|dyno| dyno.addr).collect();
    let mut app = app(RouteState::Serving, &addrs);
    app.rules.balancing = Balancing::LeastConnections;
    let house = House::with(table(1, vec![app]), patient()).await;
    let mut clients = Vec::new();
    for count in 1..=12 {
        clients.push(ask(&house, &get("/", "")).await);
        house.until(|status| busy(status) == count).await;
    }
    let status = house.until(|_| true).await;
    assert!(status.backends.iter().all(|backend| backend.in_flight == 4), "{status:?}");
    gate.add_permits(100);
    for client in &mut clients {
        assert_eq!(status_of(&rest(client).await), 200);
    }
    house.until(|status| busy(status) == 0).await;
    // Among equals it is chance.
    let mut served = BTreeSet::new();
    for _ in 0..60 {
        let answer = send(house.addr, &get("/", "")).await;
        served.insert(answer.rsplit("\r\n").next().unwrap().to_owned());
        house.until(|status| busy(status) == 0).await;
    }
    assert_eq!(served.len(), 3, "{served:?}");
}

/// An app with short limits beside one that has the router's.
#[tokio::test]
async fn time_limits_are_an_apps_own() {
    let silent = Dyno::says_and_holds("").await;
    let stops = Dyno::says_and_holds("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789").await;
    let deaf = Deaf::new();
    let house = House::with(table(1, vec![]), patient()).await;
    let mut generation = 1;
    type Rule = fn(&mut AppRoute);
    let cases: [(&str, RouteState, Option<SocketAddr>, Rule); 4] = [
        ("H19", RouteState::Serving, Some(deaf.addr), |app| app.rules.connect_ms = Some(200)),
        ("H20", RouteState::Booting, None, |app| app.rules.queue_ms = Some(200)),
        ("H12", RouteState::Serving, Some(silent.addr), |app| app.rules.first_byte_ms = Some(200)),
        ("H15", RouteState::Serving, Some(stops.addr), |app| app.rules.idle_ms = Some(200)),
    ];
    for (code, state, dyno, rule) in cases {
        let mut short = app(state, dyno.as_slice());
        rule(&mut short);
        let mut other = other_app(dyno.as_slice());
        other.state = state;
        generation += 1;
        house.set(table(generation, vec![short, other])).await;
        let patient = ask(&house, &get("/a", "").replace("demo.localhost", "other.localhost")).await;
        let mut client = ask(&house, &get("/a", "")).await;
        rest(&mut client).await;
        let line = house.line("").await;
        assert!(line.contains(&format!(" code={code} ")) && line.contains("host=demo.localhost"), "{line}");
        // The other one asked before, and still waits.
        assert_eq!(house.daemon.lines(), [], "{code}");
        drop(patient);
        house.line("code=H27").await;
    }
}

#[tokio::test]
async fn h24_what_the_router_cuts_off_when_its_time_is_over() {
    let silent = Dyno::says_and_holds("").await;
    let mut house = House::with(serving(1, &[silent.addr]), Limits { drain: util::limits().idle, ..patient() }).await;
    let mut client = ask(&house, &get("/a", "")).await;
    // It has been sent when the dyno has the connection and the request.
    house.until(|status| busy(status) == 1).await;
    silent.has_open(1).await;
    house.stop().await;
    assert_eq!(rest(&mut client).await, "");
    let line = house.line("").await;
    assert!(
        line.starts_with(&format!("at=error code=H24 desc=\"Forced close\" {WHERE} dyno=web.1 connect=")),
        "{line}"
    );
    assert!(line.ends_with(" status=503 bytes=0 protocol=http1.1 tls=false"), "{line}");
}

#[tokio::test]
async fn h24_is_also_for_what_streams_and_for_websockets() {
    let stops = Dyno::says_and_holds("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789").await;
    let tunnels = tunnel_dyno().await;
    let mut other = other_app(&[tunnels.addr]);
    other.hosts = vec!["ws.localhost".to_owned()];
    let table = table(1, vec![app(RouteState::Serving, &[stops.addr]), other]);
    let mut house = House::with(table, Limits { drain: util::limits().idle, ..patient() }).await;
    let mut client = ask(&house, &get("/a", "")).await;
    read_to(&mut client, "0123456789").await;
    let mut socket = ask(&house, &handshake("/ws").replace("demo.localhost", "ws.localhost")).await;
    read_to(&mut socket, "\r\n\r\n").await;
    house.stop().await;
    assert_eq!(
        house.line("path=\"/a\"").await,
        format!(
            "at=error code=H24 desc=\"Forced close\" {WHERE} dyno=web.1 connect=Nms service=Nms status=503 bytes=10 \
             protocol=http1.1 tls=false"
        )
    );
    let line = house.line("path=\"/ws\"").await;
    assert!(line.starts_with("at=error code=H24 desc=\"Forced close\" "), "{line}");
}
