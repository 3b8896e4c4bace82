//! HTTP/2 without TLS, where a client begins with it by itself: every rule is that of the other
//! ways to come in.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use paas_domain::route::{Challenge, RouteState, RouteTable};
use paas_router::{Front, Limits, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use util::backend::Dyno;
use util::client::{connect, read_to, rest, send, status_of};
use util::h2::{self, Client, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, PREFACE, SETTINGS, frame, header};
use util::{House, app, patient, serving, table, tls};

const SHORT: Duration = Duration::from_millis(300);

/// What follows the preface: settings, and a request.
fn first_frames(path: &str) -> Vec<u8> {
    [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get(path))].concat()
}

async fn sender(addr: SocketAddr) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(connect(addr).await);
    let (sender, connection) =
        hyper::client::conn::http2::Builder::new(TokioExecutor::new()).handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn mirrored(end: End) -> Vec<String> {
    let End::Answered(200, body) = end else { panic!("{end:?}") };
    body.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_plain_connection_may_speak_http2() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = Client::plain(house.addr).await;
    let forged = [h2::get("/a?b"), header("x-forwarded-proto", "https"), header("x-request-id", util::REQUEST_ID)];
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &forged.concat())).await;
    let seen = mirrored(client.end(1).await);
    assert_eq!(seen[0], "GET /a?b HTTP/1.1");
    let port = house.addr.port();
    for line in ["host: demo.localhost", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: {seen:?}");
    }
    assert!(seen.contains(&format!("x-forwarded-port: {port}")), "{seen:?}");
    let line = house.line("path=\"/a?b\"").await;
    assert!(line.ends_with(" protocol=http2.0 tls=false"), "{line}");
    // The same connection has any number of them.
    for stream in [3, 5, 7] {
        assert_eq!(mirrored(client.ask(stream, "/more").await)[0], "GET /more HTTP/1.1");
    }
    assert_eq!(house.until(|_| true).await.connections, 1);
}

#[tokio::test]
async fn its_beginning_may_come_in_pieces() {
    let dyno = Dyno::text("fine").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let bytes = [PREFACE, &first_frames("/")].concat();
    for at in 1..=PREFACE.len() + 9 {
        let mut stream = connect(house.addr).await;
        stream.write_all(&bytes[..at]).await.unwrap();
        // Both workers have looked at what came before when this is answered by each of them.
        house.until(|_| true).await;
        stream.write_all(&bytes[at..]).await.unwrap();
        assert_eq!(Client(stream).end(1).await, End::Answered(200, "fine".to_owned()), "{at}");
    }
    let mut stream = connect(house.addr).await;
    for byte in &bytes {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(Client(stream).end(1).await, End::Answered(200, "fine".to_owned()));
}

#[tokio::test]
async fn a_beginning_that_never_ends_is_given_up() {
    let dyno = Dyno::text("fine").await;
    let house = House::with(serving(1, &[dyno.addr]), Limits { head: SHORT, ..patient() }).await;
    let mut streams = Vec::new();
    for length in [1, 17, 18, 20, 23] {
        let mut stream = connect(house.addr).await;
        stream.write_all(&PREFACE[..length]).await.unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        rest(stream).await;
    }
    house.until(|status| status.connections == 0).await;
}

#[tokio::test]
async fn elsewhere_it_is_a_bad_request() {
    let dyno = Dyno::text("fine").await;
    let (house, https, trusted) = tls::house(serving(1, &[dyno.addr]), patient()).await;
    let bytes = [PREFACE, &first_frames("/")].concat();
    // With TLS it has to be agreed on.
    let mut stream = tls::dial("demo.localhost", &https, &trusted, b"http/1.1").await;
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(status_of(&rest(&mut stream).await), 400);
    // Behind a request, in one piece and in two.
    let get = b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n";
    let mut stream = connect(house.addr).await;
    stream.write_all(&[get, &bytes[..]].concat()).await.unwrap();
    read_to(&mut stream, "fine").await;
    assert_eq!(status_of(&rest(&mut stream).await), 400);
    let mut stream = connect(house.addr).await;
    stream.write_all(get).await.unwrap();
    read_to(&mut stream, "fine").await;
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(status_of(&rest(&mut stream).await), 400);
    let reached = dyno.connections();
    for odd in [
        "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\r\nHost: demo.localhost\r\n\r\nSM\r\n\r\n",
        "PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        "pri * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert_eq!(status_of(&send(house.addr, odd).await), 400, "{odd}");
    }
    // And what goes on otherwise is no HTTP/2.
    let mut stream = connect(house.addr).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("fine"));
    assert_eq!(dyno.connections(), reached);
}

#[tokio::test]
async fn a_proxy_may_introduce_its_client_before() {
    let dyno = Dyno::mirror().await;
    let dir = tempfile::tempdir().unwrap();
    let front = Front { proxy_protocol_from: "127.0.0.1".parse().unwrap(), ..Front::default() };
    let settings = Settings { front, ..util::settings(dir.path(), patient()) };
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let mut stream = connect(house.addr).await;
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56093 8080\r\n";
    stream.write_all(&[header, PREFACE, &first_frames("/")].concat()).await.unwrap();
    let seen = mirrored(Client(stream).end(1).await);
    for line in ["x-forwarded-for: 192.0.2.7", "x-forwarded-port: 8080", "x-forwarded-proto: http"] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: {seen:?}");
    }
}

#[tokio::test]
async fn plain_requests_are_sent_to_https_and_certificate_authorities_are_answered() {
    let dyno = Dyno::text("the app").await;
    let mut app = app(RouteState::Serving, &[dyno.addr]);
    app.rules.https_only = true;
    let challenge = Challenge {
        host: "demo.localhost".to_owned(),
        token: "token-1".into(),
        answer: "token-1.answer".into(),
        certificate: None,
    };
    let table = RouteTable { challenges: vec![challenge], ..table(1, vec![app]) };
    let (house, https, _) = tls::house(table, patient()).await;
    let port = https.rsplit(':').next().unwrap();
    let mut sender = sender(house.addr).await;
    let mut ask = async |method: &str, path: &str| {
        let request = hyper::Request::builder().method(method).uri(format!("http://demo.localhost{path}"));
        let response = sender.send_request(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let location = parts.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
        (parts.status.as_u16(), location, body.collect().await.unwrap().to_bytes())
    };
    let to = Some(format!("https://demo.localhost:{port}/a?b"));
    assert_eq!(ask("GET", "/a?b").await, (301, to.clone(), Bytes::new()));
    assert_eq!(ask("POST", "/a?b").await.0, 308);
    let token = ask("GET", "/.well-known/acme-challenge/token-1").await;
    assert_eq!(token, (200, None, Bytes::from("token-1.answer")));
    assert_eq!(dyno.connections(), 0);
}

#[tokio::test]
async fn at_the_end_it_is_told_to_go_and_its_requests_end() {
    let gate = Arc::new(Semaphore::new(0));
    let dyno = Dyno::gated("finished", &gate).await;
    let mut house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = Client::plain(house.addr).await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get("/slow"))).await;
    house.until(|status| status.backends[0].in_flight == 1).await;
    let router = house.router.take().unwrap();
    router.stop();
    loop {
        let frame = client.read().await.expect("it is closed in the middle");
        if frame.kind == GOAWAY {
            assert_eq!(frame.error(), 0);
            break;
        }
    }
    gate.add_permits(1);
    assert_eq!(client.end(1).await, End::Answered(200, "finished".to_owned()));
    while client.read().await.is_some() {}
    tokio::task::spawn_blocking(|| router.join()).await.unwrap();
}
