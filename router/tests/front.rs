//! Who may come in: the PROXY protocol, proxies that are believed, and limits for each
//! client and for all together.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paas_router::{Front, Limits, Listen, Settings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use util::backend::Dyno;
use util::client::{connect, get, mirrored, read_to, rest, send, status_of};
use util::tls::{self, Trusted};
use util::{House, patient, serving, table, with_control};

/// A router of an app that mirrors requests.
async fn house(front: Front, limits: Limits) -> (House, Dyno) {
    let dyno = Dyno::mirror().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { front, ..util::settings(dir.path(), limits) };
    (House::from(dir, serving(1, &[dyno.addr]), settings).await, dyno)
}

async fn https_house(front: Front, limits: Limits) -> (House, Dyno, SocketAddr, Trusted) {
    let dyno = Dyno::mirror().await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = tls::own(dir.path());
    let mut settings = Settings { front, ..util::settings(dir.path(), limits) };
    settings.https_listen = Listen(Some(([127, 0, 0, 1], 0).into()));
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let addr = house.router.as_ref().unwrap().https()[0].parse().unwrap();
    (house, dyno, addr, trusted)
}

fn introduced() -> Front {
    Front { proxy_protocol_from: "10.0.0.0/8,127.0.0.0/8".parse().unwrap(), ..Front::default() }
}

/// A header of version 2 with an extension.
fn v2(command: u8, client: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, 0x11, 0, 17]);
    header.extend(client);
    header.extend([198, 51, 100, 1]);
    header.extend(50000_u16.to_be_bytes());
    header.extend(port.to_be_bytes());
    header.extend(b"\x01\0\x02h2");
    header
}

async fn answer_after(addr: SocketAddr, header: &[u8], request: &str) -> String {
    let mut stream = connect(addr).await;
    // In pieces, as a network may bring it.
    let (first, second) = header.split_at(header.len() / 2);
    stream.write_all(first).await.unwrap();
    stream.write_all(&[second, request.as_bytes()].concat()).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_listed_proxy_tells_the_client_in_both_versions() {
    let (house, _dyno) = house(introduced(), patient()).await;
    let port = house.addr.port().to_string();
    for (header, client, port) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56093 443\r\n".to_vec(), "192.0.2.7", "443"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 8443\r\n".to_vec(), "2001:db8::7", "8443"),
        (v2(0x21, [192, 0, 2, 8], 80), "192.0.2.8", "80"),
        // The proxy's own: health checks.
        (v2(0x20, [192, 0, 2, 8], 80), "127.0.0.1", port.as_str()),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1", port.as_str()),
    ] {
        let headers = mirrored(&answer_after(house.addr, &header, &get("/", "")).await);
        assert_eq!(headers["x-forwarded-for"], client);
        assert_eq!(headers["x-forwarded-port"], port, "{client}");
        assert_eq!(headers["x-forwarded-proto"], "http", "where it went to says nothing of TLS");
        let line = house.line("path=\"/\"").await;
        assert!(line.contains(&format!("fwd=\"{client}\"")), "{line}");
    }
}

#[tokio::test]
async fn the_proxy_header_comes_before_tls() {
    let (_house, _dyno, addr, trusted) = https_house(introduced(), patient()).await;
    let mut stream = connect(addr).await;
    stream.write_all(&v2(0x21, [192, 0, 2, 9], 443)).await.unwrap();
    let mut stream = tls::over(stream, &trusted, b"http/1.1").await.unwrap();
    stream.write_all(get("/", "").as_bytes()).await.unwrap();
    let headers = mirrored(&rest(&mut stream).await);
    assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
    assert_eq!((headers["x-forwarded-proto"].as_str(), headers["x-forwarded-port"].as_str()), ("https", "443"));
}

#[tokio::test]
async fn a_listed_proxy_without_the_header_is_closed_and_counted() {
    let (house, dyno) = house(introduced(), patient()).await;
    for bad in
        ["GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\nGET / HTTP/1.1\r\n"]
    {
        assert_eq!(send(house.addr, bad).await, "", "{bad}");
    }
    house.until(|status| status.proxy_headers_refused == 2 && status.connections == 0).await;
    // One that only looks whether somebody listens is nothing to complain of.
    drop(connect(house.addr).await);
    let answer = answer_after(house.addr, b"PROXY UNKNOWN\r\n", &get("/", "")).await;
    assert_eq!(status_of(&answer), 200);
    assert_eq!(house.until(|status| status.connections == 0).await.proxy_headers_refused, 2);
    assert_eq!(dyno.connections(), 1);
}

#[tokio::test]
async fn a_listed_proxy_that_says_nothing_is_given_up() {
    let limits = Limits { handshake: Duration::from_millis(100), ..patient() };
    let (house, _dyno) = house(introduced(), limits).await;
    for beginning in [&b""[..], b"PROXY TCP4 192.0.2.7", &v2(0x21, [192, 0, 2, 8], 80)[..20]] {
        let mut stream = connect(house.addr).await;
        stream.write_all(beginning).await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
    }
    house.until(|status| status.connections == 0).await;
}

#[tokio::test]
async fn a_proxy_header_of_anybody_else_is_a_bad_request() {
    let front = Front { proxy_protocol_from: "192.0.2.1".parse().unwrap(), ..Front::default() };
    let (house, dyno) = house(front, Limits { client_idle: Duration::from_millis(300), ..patient() }).await;
    for header in [b"PROXY TCP4 192.0.2.7 198.51.100.1 56093 443\r\n".to_vec(), v2(0x21, [192, 0, 2, 8], 80)] {
        let answer = answer_after(house.addr, &header, &get("/", "")).await;
        assert_eq!(status_of(&answer), 400, "{answer}");
    }
    assert_eq!(dyno.connections(), 0);
}

const TOLD: &str = "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
                    X-Request-Start: 1700000000000\r\n";

#[tokio::test]
async fn forwarded_headers_are_believed_of_listed_proxies_only() {
    let trusting = Front { trusted_proxies: "127.0.0.1".parse().unwrap(), ..Front::default() };
    for (front, proto, port, start) in [(trusting, "https", Some("443"), true), (Front::default(), "http", None, false)]
    {
        let (house, _dyno) = house(front, patient()).await;
        let headers = mirrored(&send(house.addr, &get("/", TOLD)).await);
        // As Heroku does, whoever it comes from.
        assert_eq!(headers["x-forwarded-for"], "203.0.113.5, 127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], proto);
        assert_eq!(headers["x-forwarded-port"], port.map_or(house.addr.port().to_string(), str::to_owned));
        assert_eq!(headers["x-request-start"] == "1700000000000", start);
    }
}

#[tokio::test]
async fn the_client_in_a_proxy_header_is_not_trusted_as_the_proxy_is() {
    let front = Front { trusted_proxies: "192.0.2.0/24".parse().unwrap(), ..introduced() };
    let (house, _dyno) = house(front, patient()).await;
    let answer = answer_after(house.addr, &v2(0x21, [192, 0, 2, 8], 80), &get("/", TOLD)).await;
    let headers = mirrored(&answer);
    assert_eq!(headers["x-forwarded-for"], "203.0.113.5, 192.0.2.8");
    assert_eq!((headers["x-forwarded-proto"].as_str(), headers["x-forwarded-port"].as_str()), ("http", "80"));
}

/// A client that comes through a listed proxy and has had an answer.
async fn client(addr: SocketAddr, last: u8) -> Option<TcpStream> {
    let mut stream = connect(addr).await;
    let header = v2(0x21, [192, 0, 2, last], 80);
    let request = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n";
    stream.write_all(&[&header[..], request].concat()).await.unwrap();
    stream.readable().await.unwrap();
    let mut byte = [0];
    // An end, or a reset since it hadn't read what we sent.
    (stream.peek(&mut byte).await.unwrap_or(0) > 0).then_some(stream)
}

#[tokio::test]
async fn a_client_has_only_so_many_connections_over_all_workers() {
    let front = Front { client_connections: 3, ..introduced() };
    let (house, _dyno) = house(front, patient()).await;
    let mut three = Vec::new();
    for _ in 0..3 {
        three.push(client(house.addr, 1).await.expect("within the limit"));
    }
    for _ in 0..5 {
        assert!(client(house.addr, 1).await.is_none(), "a fourth is closed at once");
    }
    let _other = client(house.addr, 2).await.expect("another's limit is its own");
    let status = house.until(|status| status.connections_refused == 5).await;
    assert_eq!(status.connections, 4);
    three.pop();
    house.until(|status| status.connections == 3).await;
    let _again = client(house.addr, 1).await.expect("there is room again");
}

#[tokio::test]
async fn a_websocket_counts_for_its_client_too() {
    let dyno =
        Dyno::says_and_holds("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    let dir = tempfile::tempdir().unwrap();
    let front = Front { client_connections: 1, ..introduced() };
    let settings = Settings { front, ..util::settings(dir.path(), patient()) };
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let mut socket = connect(house.addr).await;
    let upgrade = "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    socket.write_all(&[&v2(0x21, [192, 0, 2, 1], 80)[..], upgrade.as_bytes()].concat()).await.unwrap();
    read_to(&mut socket, "\r\n\r\n").await;
    assert!(client(house.addr, 1).await.is_none());
    drop(socket);
    house.until(|status| status.connections == 0).await;
    client(house.addr, 1).await.expect("it has gone");
}

/// The daemon is one program: a client may have so many requests going on with it, and no more.
#[tokio::test]
async fn a_client_has_only_so_many_requests_to_the_daemon_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let daemon = Dyno::gated("told", &gate).await;
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { front: introduced(), ..util::settings(dir.path(), patient()) };
    let house = House::from(dir, with_control(table(1, vec![]), daemon.addr), settings).await;
    let ask = async |last: u8| {
        let mut stream = connect(house.addr).await;
        let request = b"GET /apps HTTP/1.1\r\nHost: api.localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(&[&v2(0x21, [192, 0, 2, last], 80)[..], request].concat()).await.unwrap();
        stream
    };
    let mut all = Vec::new();
    for _ in 0..200 {
        all.push(ask(1).await);
    }
    daemon.has_open(200).await;
    let refused = rest(&mut ask(1).await).await;
    assert_eq!(status_of(&refused), 429, "{refused}");
    // Another client's are its own.
    all.push(ask(2).await);
    daemon.has_open(201).await;
    gate.add_permits(201);
    for stream in &mut all {
        assert!(rest(stream).await.ends_with("told"));
    }
    // There is room again.
    gate.add_permits(1);
    assert!(rest(&mut ask(1).await).await.ends_with("told"));
}

#[tokio::test]
async fn this_machine_and_trusted_proxies_have_any_number() {
    let front = Front { client_connections: 1, ..Front::default() };
    let (house, _dyno) = house(front, patient()).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(connect(house.addr).await);
    }
    house.until(|status| status.connections == 5).await;
    for stream in &mut all {
        stream.write_all(get("/", "").as_bytes()).await.unwrap();
        assert_eq!(status_of(&rest(stream).await), 200);
    }
}

#[tokio::test]
async fn where_all_connections_are_taken_new_ones_wait_and_none_is_lost() {
    let (house, _dyno) = house(Front::default(), Limits { connections: Some(4), ..patient() }).await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(connect(house.addr).await);
    }
    house.until(|status| status.connections == 4).await;
    let addr = house.addr;
    let waiting: Vec<_> = (0..8).map(|_| tokio::spawn(async move { send(addr, &get("/", "")).await })).collect();
    // Those that are in go on being served meanwhile.
    for _ in 0..3 {
        kept[0].write_all(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n").await.unwrap();
        read_to(&mut kept[0], "</html>\n").await;
    }
    // Each worker had begun to wait for one more.
    assert!(house.until(|_| true).await.connections <= 4 + 2);
    assert!(waiting.iter().filter(|client| client.is_finished()).count() <= 2);
    drop(kept);
    for client in waiting {
        assert_eq!(status_of(&client.await.unwrap()), 200);
    }
}

#[tokio::test]
async fn the_oldest_handshakes_make_room_for_new_ones() {
    let limits = Limits { handshakes: 8, ..patient() };
    let (house, _dyno, addr, trusted) = https_house(Front::default(), limits).await;
    // Far more than the two workers may have, none of which goes on.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(connect(addr).await);
    }
    house.until(|status| status.connections <= 16 && status.handshakes_given_up >= 48).await;
    let mut visitor = tls::over(connect(addr).await, &trusted, b"http/1.1").await.unwrap();
    visitor.write_all(get("/", "").as_bytes()).await.unwrap();
    assert_eq!(status_of(&rest(&mut visitor).await), 200);
}
