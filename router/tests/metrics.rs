//! What the router counts, after requests that are known.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use http_body_util::Full;
use hyper::{Response, StatusCode};
use paas_domain::route::RouteState;
use tokio::io::AsyncWriteExt;
use util::backend::{Dyno, head, nobody};
use util::client::{connect, get, read_to, rest, send, status_of};
use util::{House, app, limits, patient, serving, table};

/// Answers with the status that the path names, and five bytes.
async fn obliging() -> Dyno {
    Dyno::http(|request| async move {
        let status = request.uri().path().trim_start_matches('/').parse::<u16>().unwrap();
        let mut response = Response::new(Full::from("hello"));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    })
    .await
}

#[tokio::test]
async fn each_request_is_counted_by_its_status() {
    let dyno = obliging().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let quiet = house.metrics(|_| true).await;
    assert!(!quiet.has("app="), "an app without requests is left out: {quiet:#?}");
    assert_eq!(quiet.get("paas_router_table_apps"), 1.0);
    for path in ["/200", "/201", "/302", "/404", "/410", "/422", "/500"] {
        send(house.addr, &get(path, "")).await;
    }
    assert_eq!(
        status_of(&send(house.addr, "GET / HTTP/1.1\r\nHost: none.localhost\r\nConnection: close\r\n\r\n").await),
        404
    );
    let counts = house.metrics(|counts| counts.get("paas_router_connections_open") == 0.0).await;
    for (class, count) in [("1xx", 0.0), ("2xx", 2.0), ("3xx", 1.0), ("4xx", 3.0), ("5xx", 1.0)] {
        let series = format!("paas_router_requests_total{{app=\"demo\",status=\"{class}\"}}");
        assert_eq!(counts.get(&series), count, "{class}");
    }
    assert!(!counts.has("code="), "what a dyno answers is no failure of a request: {counts:#?}");
    assert_eq!(counts.get("paas_router_response_bytes_total{app=\"demo\"}"), 35.0);
    assert_eq!(counts.get("paas_router_request_duration_seconds_count{app=\"demo\"}"), 7.0);
    assert_eq!(counts.get("paas_router_request_duration_seconds_bucket{app=\"demo\",le=\"75\"}"), 7.0);
    assert!(counts.get("paas_router_request_duration_seconds_sum{app=\"demo\"}") > 0.0);
    assert_eq!(counts.get("paas_router_connect_seconds_count{app=\"demo\"}"), 7.0);
    assert_eq!(counts.get("paas_router_requests_in_flight{app=\"demo\"}"), 0.0);
    assert_eq!(counts.get("paas_router_connections_total"), 8.0);
    assert_eq!(counts.get("paas_router_unknown_host_requests_total"), 1.0);
    assert_eq!(counts.get("paas_router_daemon_connected"), 1.0);

    let traffic = house.traffic().await;
    assert_eq!(traffic.len(), 1);
    let of = &traffic[0];
    assert_eq!((of.name.as_str(), of.requests, of.in_flight, of.recent.requests), ("demo", 7, 0, 7));
    assert_eq!((of.recent.statuses["4xx"], of.recent.bytes), (3, 35));
    assert!(of.recent.p50_ms.unwrap() > 0.0 && of.recent.p50_ms <= of.recent.p99_ms);
}

#[tokio::test]
async fn failures_are_counted_by_their_code() {
    let house = House::with(serving(1, &[nobody().await]), limits()).await;
    send(house.addr, &get("/", "")).await;
    send(house.addr, &get("/", "")).await;
    house.set(table(2, vec![app(RouteState::Crashed, &[])])).await;
    send(house.addr, &get("/", "")).await;
    let slow = Dyno::says_and_holds("").await;
    house.set(serving(3, &[slow.addr])).await;
    send(house.addr, &get("/", "")).await;
    // A client that goes away.
    let mut gone = connect(house.addr).await;
    gone.write_all(get("/", "").as_bytes()).await.unwrap();
    house.metrics(|counts| counts.get("paas_router_requests_in_flight{app=\"demo\"}") == 1.0).await;
    drop(gone);
    let ended = |code: &str| format!("paas_router_errors_total{{app=\"demo\",code=\"{code}\"}}");
    let counts = house.metrics(|counts| counts.has(&ended("H27"))).await;
    for (code, count) in [("H21", 1.0), ("H34", 1.0), ("H10", 1.0), ("H12", 1.0), ("H27", 1.0)] {
        assert_eq!(counts.get(&ended(code)), count, "{code}");
    }
    assert_eq!(counts.get("paas_router_requests_total{app=\"demo\",status=\"5xx\"}"), 4.0);
    assert_eq!(counts.get("paas_router_requests_total{app=\"demo\",status=\"4xx\"}"), 1.0);
    assert_eq!(house.traffic().await[0].recent.codes["H21"], 1);
}

#[tokio::test]
async fn what_is_under_way_is_told_and_a_tunnel_is_no_slow_request() {
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        let said = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi";
        stream.write_all(said).await.unwrap();
        rest(&mut stream).await;
    })
    .await;
    let house = House::with(table(1, vec![app(RouteState::Booting, &[])]), patient()).await;
    let mut client = connect(house.addr).await;
    let upgrade = "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(upgrade.as_bytes()).await.unwrap();
    let of = |name: &str| format!("paas_router_{name}{{app=\"demo\"}}");
    let waiting = house.metrics(|counts| counts.has("app=") && counts.get(&of("requests_waiting")) == 1.0).await;
    assert_eq!((waiting.get(&of("requests_in_flight")), waiting.get(&of("tunnels_open"))), (1.0, 0.0));

    house.set(serving(2, &[dyno.addr])).await;
    read_to(&mut client, "\r\n\r\nhi").await;
    let open = house.metrics(|counts| counts.get(&of("tunnels_open")) == 1.0).await;
    assert_eq!((open.get(&of("requests_in_flight")), open.get(&of("requests_waiting"))), (1.0, 0.0));
    assert_eq!(house.traffic().await[0].tunnels, 1);
    drop(client);
    let closed = house.metrics(|counts| counts.get(&of("requests_in_flight")) == 0.0).await;
    assert_eq!(closed.get(&of("tunnels_open")), 0.0);
    assert_eq!(closed.get(&of("requests_waited_total")), 1.0);
    assert_eq!(closed.get("paas_router_requests_total{app=\"demo\",status=\"1xx\"}"), 1.0);
    assert_eq!(closed.get(&of("request_duration_seconds_count")), 0.0, "a tunnel's time tells nothing of the app");
}

#[tokio::test]
async fn counts_stay_with_the_app_and_go_with_it() {
    let dyno = obliging().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let series = "paas_router_requests_total{app=\"demo\",status=\"2xx\"}";
    let mut renamed = app(RouteState::Serving, &[dyno.addr]);
    for generation in 2..5 {
        send(house.addr, &get("/200", "")).await;
        house.set(serving(generation, &[dyno.addr])).await;
    }
    assert_eq!(house.metrics(|_| true).await.get(series), 3.0);
    renamed.name = "other".into();
    house.set(table(5, vec![renamed])).await;
    let counts = house.metrics(|_| true).await;
    assert_eq!(counts.get("paas_router_requests_total{app=\"other\",status=\"2xx\"}"), 3.0);
    assert!(!counts.has("app=\"demo\""));
    house.set(table(6, vec![])).await;
    assert!(!house.metrics(|_| true).await.has("app="));
    // One that comes back has begun anew.
    house.set(serving(7, &[dyno.addr])).await;
    send(house.addr, &get("/200", "")).await;
    assert_eq!(house.metrics(|counts| counts.has("app=")).await.get(series), 1.0);
}

#[tokio::test]
async fn tls_is_counted_by_its_version_and_its_failures() {
    let dyno = obliging().await;
    let (house, addr, trusted) = util::tls::house(serving(1, &[dyno.addr]), patient()).await;
    let answer = util::tls::send("demo.localhost", &addr, &trusted, &get("/200", "")).await;
    assert_eq!(status_of(&answer), 200);
    let mut bad = connect(addr.parse().unwrap()).await;
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    rest(&mut bad).await;
    let failed = "paas_router_tls_handshakes_failed_total";
    let counts = house.metrics(|counts| counts.get(failed) == 1.0).await;
    assert_eq!(counts.get("paas_router_tls_connections_total{version=\"1.3\"}"), 1.0);
    assert_eq!(counts.get("paas_router_tls_connections_total{version=\"1.2\"}"), 0.0);
    assert_eq!(counts.get("paas_router_requests_total{app=\"demo\",status=\"2xx\"}"), 1.0);
}
