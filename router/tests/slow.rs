//! Clients that take their time: each kind has a limit, and what was begun for them ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::time::Duration;

use paas_router::{Limits, Listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use util::backend::Dyno;
use util::client::{connect, read_to, send, status_of};
use util::{House, patient, serving, tls};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

/// Writes `begin`, then `more` again and again, until the router closes.
async fn dribble(stream: &mut TcpStream, begin: &str, more: &str) {
    let (mut reading, mut writing) = stream.split();
    let writes = async {
        let mut went = writing.write_all(begin.as_bytes()).await.is_ok();
        while went {
            tokio::time::sleep(Duration::from_millis(20)).await;
            went = writing.write_all(more.as_bytes()).await.is_ok();
        }
    };
    let reads = async {
        let mut buffer = [0; 4096];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    let both = async {
        tokio::select! { () = writes => {}, () = reads => {} }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("the router puts up with it for ever");
}

async fn house(limits: Limits) -> (House, Dyno) {
    let dyno = Dyno::text("fine").await;
    (House::with(serving(1, &[dyno.addr]), limits).await, dyno)
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up_though_bytes_keep_coming() {
    let (house, dyno) = house(Limits { client_idle: LONG, head: SHORT, ..patient() }).await;
    for begin in ["G", "GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: "] {
        dribble(&mut connect(house.addr).await, begin, "a").await;
    }
    // Also where a request went before.
    let mut kept = connect(house.addr).await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    read_to(&mut kept, "fine").await;
    dribble(&mut kept, "GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: ", "a").await;
    house.until(|status| status.connections == 0).await;
    assert_eq!(dyno.connections(), 1);
}

#[tokio::test]
async fn a_hundred_slow_heads_keep_nobody_waiting() {
    let (house, _dyno) =
        house(Limits { client_idle: Duration::from_secs(5), head: Duration::from_secs(5), ..patient() }).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(house.addr).await;
        stream.write_all(b"POST / HTTP/1.1\r\nHost: demo.localhost\r\n").await.unwrap();
        slow.push(stream);
    }
    house.until(|status| status.connections == 100).await;
    for _ in 0..20 {
        let request = "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(status_of(&send(house.addr, request).await), 200);
    }
}

#[tokio::test]
async fn a_connection_without_request_is_closed() {
    let (house, _dyno) = house(Limits { client_idle: SHORT, ..patient() }).await;
    let mut silent = connect(house.addr).await;
    let mut kept = connect(house.addr).await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    read_to(&mut kept, "fine").await;
    for stream in [&mut silent, &mut kept] {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0])).await;
        assert_eq!(read.expect("it stays open").unwrap_or(0), 0);
    }
    house.until(|status| status.connections == 0).await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let dyno = Dyno::text("fine").await;
    let dir = tempfile::tempdir().unwrap();
    tls::own(dir.path());
    let mut settings = util::settings(dir.path(), Limits { handshake: SHORT, ..patient() });
    settings.https_listen = Listen(Some(([127, 0, 0, 1], 0).into()));
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let addr: SocketAddr = house.router.as_ref().unwrap().https()[0].parse().unwrap();
    let silent = connect(addr).await;
    // A record of 16 KB of which a byte comes now and then.
    dribble(&mut connect(addr).await, "\u{16}\u{3}\u{1}\u{40}\0\u{1}", "\0").await;
    house.until(|status| status.connections == 0).await;
    drop(silent);
}

#[tokio::test]
async fn a_body_that_stops_ends_the_request() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), Limits { idle: SHORT, ..patient() }).await;
    let mut stream = connect(house.addr).await;
    stream
        .write_all(b"POST /up HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 1000000\r\n\r\nhello")
        .await
        .unwrap();
    let line = house.line("path=\"/up\"").await;
    assert!(line.starts_with("at=warning code=H28 "), "{line}");
    drop(stream);
    house.until(|status| status.connections == 0 && status.backends[0].in_flight == 0).await;
}

#[tokio::test]
async fn a_visitor_who_stops_reading_ends_the_response() {
    let dyno = Dyno::text("fine".repeat(4 << 20).leak()).await;
    let house = House::with(serving(1, &[dyno.addr]), Limits { idle: SHORT, ..patient() }).await;
    let mut stream = connect(house.addr).await;
    stream.write_all(b"GET /down HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    let line = house.line("path=\"/down\"").await;
    assert!(line.starts_with("at=warning code=H28 "), "{line}");
    house.until(|status| status.connections == 0 && status.backends[0].in_flight == 0).await;
}
