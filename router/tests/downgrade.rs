//! Requests of HTTP/2 that would be something else in HTTP/1.1, as which the dyno gets them.
//! The same must hold as in `smuggling`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::time::Duration;

use paas_router::{Limits, Listen};
use tokio::io::{AsyncRead, AsyncWrite};
use util::client::{send, status_of};
use util::h2::{self, Client, DATA, END_HEADERS, END_STREAM, End, HEADERS, frame, header};
use util::tls;
use util::wire::{Message, Recorder};
use util::{House, limits, serving};

/// What the dyno must make of a request that passes.
type Check = fn(&Message) -> bool;

#[derive(Clone, Copy)]
enum Want {
    /// The stream or the connection is ended, or the answer is 400; the dyno gets nothing whole.
    Refused,
    Passed(Check),
    /// Either.
    Safe(Check),
}

use Want::{Passed, Refused, Safe};

/// A way to come in: what is told in vain, and what the dyno hears instead.
#[derive(Clone, Copy)]
struct Proto {
    forged: &'static str,
    check: Check,
}

const HTTPS: Proto = Proto { forged: "http", check: |request| request.header("x-forwarded-proto") == Some("https") };
const HTTP: Proto = Proto { forged: "https", check: |request| request.header("x-forwarded-proto") == Some("http") };

struct Row {
    name: &'static str,
    head: Vec<u8>,
    /// DATA frames.
    data: Vec<&'static str>,
    trailers: Option<Vec<u8>>,
    want: Want,
}

fn row(name: &'static str, head: Vec<u8>, want: Want) -> Row {
    Row { name, head, data: vec![], trailers: None, want }
}

/// A GET with one more header.
fn with(name: &'static str, header_name: &str, value: &str, want: Want) -> Row {
    row(name, [h2::get("/a"), header(header_name, value)].concat(), want)
}

/// A POST with these headers and this body.
fn post(name: &'static str, headers: &[(&str, &str)], data: &[&'static str], want: Want) -> Row {
    let headers: Vec<u8> = headers.iter().flat_map(|(name, value)| header(name, value)).collect();
    Row { data: data.to_vec(), ..row(name, [h2::pseudo("POST", "/a"), headers].concat(), want) }
}

/// A GET whose pseudo-headers are these.
fn pseudo(name: &'static str, headers: &[(&str, &str)], want: Want) -> Row {
    row(name, headers.iter().flat_map(|(name, value)| header(name, value)).collect(), want)
}

fn trailers(name: &'static str, trailers: &[(&str, &str)], want: Want) -> Row {
    let trailers = trailers.iter().flat_map(|(name, value)| header(name, value)).collect();
    Row { trailers: Some(trailers), ..post(name, &[], &["hello"], want) }
}

fn fine(_: &Message) -> bool {
    true
}

fn hello(request: &Message) -> bool {
    request.body == "hello"
}

fn ours(request: &Message) -> bool {
    request.header("host") == Some("demo.localhost")
}

fn rows(proto: Proto) -> Vec<Row> {
    let method = (":method", "GET");
    let scheme = (":scheme", "https");
    let authority = (":authority", "demo.localhost");
    let path = (":path", "/a");
    let smuggled = "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: demo.localhost\r\n\r\n";
    vec![
        row("a request", h2::get("/a"), Passed(ours)),
        post("a request with a body", &[], &["hel", "lo"], Passed(hello)),
        post("a request with a length", &[("content-length", "5")], &["hello"], Passed(hello)),
        with("a value with CRLF", "x", "a\r\nx-evil: b", Refused),
        with("a value with a request in it", "x", smuggled, Refused),
        with("a value with LF", "x", "a\nx-evil: b", Refused),
        with("a value with CR", "x", "a\rb", Refused),
        with("a value with a null byte", "x", "a\0b", Refused),
        with("a value with spaces around it", "x", " a ", Safe(fine)),
        with("a name in capitals", "X-A", "b", Refused),
        with("a name with a colon", "x:a", "b", Refused),
        with("a name with CRLF", "x: a\r\nx-evil", "b", Refused),
        with("a name with a space", "x a", "b", Refused),
        with("a name with a null byte", "x\0", "b", Refused),
        with("no name", "", "b", Refused),
        with("a name of UTF-8", "x\u{e9}", "b", Refused),
        with("transfer-encoding", "transfer-encoding", "chunked", Refused),
        post(
            "transfer-encoding and a body",
            &[("transfer-encoding", "chunked")],
            &["0\r\n\r\n", "GET /smuggled"],
            Refused,
        ),
        with("transfer-encoding in odd letters", "Transfer-Encoding", "chunked", Refused),
        with("connection", "connection", "close", Refused),
        with("keep-alive", "keep-alive", "timeout=5", Refused),
        with("proxy-connection", "proxy-connection", "keep-alive", Refused),
        with("upgrade", "upgrade", "websocket", Refused),
        with("te of something", "te", "gzip", Refused),
        with("te of trailers", "te", "trailers", Passed(|request| request.header("te") == Some("trailers"))),
        with(
            "http2-settings",
            "http2-settings",
            "AAMAAABk",
            Safe(|request| request.header("http2-settings").is_none()),
        ),
        with("a forged protocol", "x-forwarded-proto", proto.forged, Passed(proto.check)),
        with(
            "transfer-encoding with _",
            "transfer_encoding",
            "chunked",
            Passed(|request| request.header("transfer_encoding").is_none()),
        ),
        post("a length that is too long", &[("content-length", "50")], &["hello"], Refused),
        post("a length that is too short", &[("content-length", "3")], &["hello"], Refused),
        post("a length of nothing", &[("content-length", "0")], &["GET /smuggled HTTP/1.1\r\n\r\n"], Refused),
        with("a length without body", "content-length", "5", Refused),
        post("two lengths", &[("content-length", "5"), ("content-length", "6")], &["hello"], Refused),
        post(
            "two lengths that are the same",
            &[("content-length", "5"), ("content-length", "5")],
            &["hello"],
            Safe(hello),
        ),
        post("a length with a plus", &[("content-length", "+5")], &["hello"], Refused),
        post("a length of letters", &[("content-length", "five")], &["hello"], Refused),
        post("a length of 2^64 + 5", &[("content-length", "18446744073709551621")], &["hello"], Refused),
        post(
            "an expectation",
            &[("expect", "100-continue")],
            &["hello"],
            Passed(|request| hello(request) && request.header("expect").is_none()),
        ),
        pseudo("no path", &[method, scheme, authority], Refused),
        pseudo("an empty path", &[method, scheme, authority, (":path", "")], Refused),
        pseudo("a path without slash", &[method, scheme, authority, (":path", "a")], Refused),
        pseudo("a path with a space", &[method, scheme, authority, (":path", "/ HTTP/1.1")], Refused),
        pseudo(
            "a path with CRLF",
            &[method, scheme, authority, (":path", "/a HTTP/1.1\r\nHost: evil.localhost\r\n\r\n")],
            Refused,
        ),
        pseudo("a path with a tab", &[method, scheme, authority, (":path", "/a\tb")], Refused),
        pseudo("a path with a null byte", &[method, scheme, authority, (":path", "/a\0b")], Refused),
        pseudo("a path as to a proxy", &[method, scheme, authority, (":path", "http://evil.localhost/")], Refused),
        pseudo(
            "a star of OPTIONS",
            &[(":method", "OPTIONS"), scheme, authority, (":path", "*")],
            Passed(|request| request.target() == "*"),
        ),
        pseudo("two paths", &[method, scheme, authority, path, (":path", "/b")], Refused),
        pseudo("two methods", &[method, (":method", "POST"), scheme, authority, path], Refused),
        pseudo("two authorities", &[method, scheme, authority, (":authority", "evil.localhost"), path], Refused),
        pseudo("no method", &[scheme, authority, path], Refused),
        pseudo("an empty method", &[(":method", ""), scheme, authority, path], Refused),
        pseudo(
            "a method with a request in it",
            &[(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"), scheme, authority, path],
            Refused,
        ),
        pseudo("a method with a space", &[(":method", "GET /b"), scheme, authority, path], Refused),
        pseudo("no scheme", &[method, authority, path], Refused),
        pseudo("a scheme with CRLF", &[method, (":scheme", "https\r\nx: y"), authority, path], Refused),
        pseudo("a status", &[method, scheme, authority, path, (":status", "200")], Refused),
        pseudo("a pseudo-header that doesn't exist", &[method, scheme, authority, path, (":evil", "a")], Refused),
        pseudo("a pseudo-header behind others", &[method, scheme, authority, ("x", "y"), path], Refused),
        pseudo(
            "a protocol that nobody offered",
            &[(":method", "CONNECT"), (":protocol", "websocket"), scheme, authority, path],
            Refused,
        ),
        pseudo("a host only", &[method, scheme, path, ("host", "demo.localhost")], Passed(ours)),
        pseudo("no host", &[method, scheme, path], Refused),
        pseudo("another host", &[method, scheme, authority, path, ("host", "evil.localhost")], Safe(ours)),
        pseudo("two hosts", &[method, scheme, path, ("host", "demo.localhost"), ("host", "evil.localhost")], Refused),
        pseudo("an authority with a path", &[method, scheme, (":authority", "demo.localhost/b"), path], Refused),
        pseudo("an authority with a space", &[method, scheme, (":authority", "demo.localhost evil"), path], Refused),
        pseudo("an authority with CRLF", &[method, scheme, (":authority", "demo.localhost\r\nx: y"), path], Refused),
        pseudo(
            "an authority with a user",
            &[method, scheme, (":authority", "evil.localhost@demo.localhost"), path],
            Safe(ours),
        ),
        pseudo("an empty authority", &[method, scheme, (":authority", ""), path], Refused),
        post(
            "cookies in pieces",
            &[("cookie", "a=1"), ("cookie", "b=2")],
            &[],
            Passed(|request| request.header("cookie") == Some("a=1; b=2")),
        ),
        trailers("trailers", &[("x-sum", "1")], Passed(hello)),
        trailers("trailers with a length", &[("content-length", "3")], Safe(hello)),
        trailers("trailers with an encoding", &[("transfer-encoding", "chunked")], Safe(hello)),
        trailers("trailers with a host", &[("host", "evil.localhost")], Safe(hello)),
        trailers("trailers with a path", &[(":path", "/b")], Safe(hello)),
        trailers("trailers with CRLF", &[("x", "a\r\nGET /smuggled HTTP/1.1\r\n\r\n")], Refused),
        with("a long header", "x", &"a".repeat(16_000), Refused),
    ]
}

fn frames(row: &Row) -> Vec<u8> {
    let plain = row.data.is_empty() && row.trailers.is_none();
    let mut bytes = frame(HEADERS, END_HEADERS | if plain { END_STREAM } else { 0 }, 1, &row.head);
    for (at, data) in row.data.iter().enumerate() {
        let last = at + 1 == row.data.len() && row.trailers.is_none();
        bytes.extend(frame(DATA, if last { END_STREAM } else { 0 }, 1, data.as_bytes()));
    }
    if let Some(trailers) = &row.trailers {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers));
    }
    bytes
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    house: &House,
    mut client: Client<S>,
    dyno: &Recorder,
    row: &Row,
) -> Result<(), String> {
    client.write(&frames(row)).await;
    let end = client.end(1).await;
    drop(client);
    let heard = dyno.heard().await?;
    if let Some(why) = heard.iter().find_map(|connection| connection.wrong.clone()) {
        return Err(format!("the dyno got {why}"));
    }
    let requests: Vec<&Message> = heard.iter().flat_map(|connection| &connection.requests).collect();
    let passed = matches!(end, End::Answered(200, _));
    let fits = match (row.want, &requests[..]) {
        (Refused, []) => !passed,
        (Safe(_), []) => !passed,
        (Passed(check) | Safe(check), [request]) => passed && check(request),
        (Refused | Passed(_) | Safe(_), _) => false,
    };
    if !fits {
        return Err(format!("{end:?}, and the dyno has {requests:?}"));
    }
    let other = send(house.addr, "GET /other HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n").await;
    if status_of(&other) != 200 || !other.ends_with("\r\n\r\nseen /other") {
        return Err(format!("another client got {other}"));
    }
    dyno.heard().await.map(drop)
}

#[tokio::test]
async fn what_http2_brings_is_one_request_of_http1_or_none() {
    let dyno = Recorder::new().await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = tls::own(dir.path());
    let limits = Limits { upstream_fresh: Duration::from_secs(20), ..limits() };
    let mut settings = util::settings(dir.path(), limits);
    settings.https_listen = Listen(Some(([127, 0, 0, 1], 0).into()));
    let house = House::from(dir, serving(1, &[dyno.dyno.addr]), settings).await;
    let addr = house.router.as_ref().unwrap().https()[0].parse().unwrap();
    let mut wrong = Vec::new();
    let by_tls = rows(HTTPS).into_iter().map(|row| (row, true));
    let plain = rows(HTTP).into_iter().map(|row| (row, false));
    for (row, tls) in by_tls.chain(plain) {
        let played = if tls {
            play(&house, Client::new(addr, &trusted, &[]).await, &dyno, &row).await
        } else {
            play(&house, Client::plain(house.addr).await, &dyno, &row).await
        };
        match played {
            Ok(()) => {}
            Err(why) => {
                let way = if tls { "by TLS" } else { "plain" };
                wrong.push(format!("{}, {way}: {why}", row.name));
                let _ = dyno.heard().await;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
