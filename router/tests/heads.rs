//! What a request's head may be, whichever protocol it comes by: Heroku's figures, and what goes
//! no further.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;

use util::backend::Dyno;
use util::client::{get, mirrored, send, status_of};
use util::h2::{self, Client, END_HEADERS, END_STREAM, End, HEADERS, frame, header};
use util::tls::{self, Trusted};
use util::{House, patient, serving};

async fn by_http2(addr: SocketAddr, trusted: &Trusted, headers: &[(String, String)]) -> End {
    let lines: Vec<u8> = headers.iter().flat_map(|(name, value)| header(name, value)).collect();
    let head = [h2::get("/a"), lines].concat();
    let mut client = Client::new(addr, trusted, &[]).await;
    let mut pieces = head.chunks(16_000).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let flags = if kind == HEADERS { END_STREAM | last } else { last };
        assert!(client.write(&frame(kind, flags, 1, piece)).await);
        kind = h2::CONTINUATION;
    }
    client.end(1).await
}

async fn by_http1(addr: SocketAddr, headers: &[(String, String)]) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    send(addr, &get("/a", &lines.concat())).await
}

fn lines(name: &str, count: usize, length: usize) -> Vec<(String, String)> {
    (0..count).map(|_| (name.to_owned(), "v".repeat(length))).collect()
}

/// Headers of a request, whether they pass by HTTP/2, and whether by HTTP/1.
type Row = (Vec<(String, String)>, bool, bool);

fn rows() -> Vec<Row> {
    let joined = |name: &str, last: usize| {
        // 8,192 bytes with the name, a colon, a space, and two bytes between: one line, as the dyno gets it.
        let rest = 8192 - name.len() - 2 - 2 * (2000 + 2) - 2000 - 2;
        [lines(name, 3, 2000), lines(name, 1, rest + last)].concat()
    };
    vec![
        (lines("x", 1000, 1), true, false),
        (lines("x", 1001, 1), false, false),
        (lines("cookie", 1001, 1), false, false),
        (joined("cookie", 0), true, true),
        (joined("cookie", 1), false, false),
        (joined("x-forwarded-for", 0), true, true),
        (joined("x-forwarded-for", 1), false, false),
    ]
}

#[tokio::test]
async fn herokus_limits_hold_over_http2_and_for_what_becomes_one_line() {
    // One that counts no headers itself.
    let dyno = Dyno::says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
    let (house, addr, trusted) = tls::house(serving(1, &[dyno.addr]), patient()).await;
    let addr: SocketAddr = addr.parse().unwrap();
    for (headers, by_2, by_1) in rows() {
        let what = format!("{} of {}, {} bytes", headers.len(), headers[0].0, headers.last().unwrap().1.len());
        let End::Answered(status, _) = by_http2(addr, &trusted, &headers).await else { panic!("{what}: no answer") };
        assert_eq!(status, if by_2 { 200 } else { 400 }, "HTTP/2: {what}");
        let line = house.line("protocol=http2.0").await;
        let begin = if by_2 {
            "at=info method=GET"
        } else {
            "at=error code=H26 desc=\"Request Error\" cause=\"bad header\" method=GET"
        };
        assert!(line.starts_with(begin), "{what}: {line}");
        let status = status_of(&by_http1(house.addr, &headers).await);
        assert_eq!(status, if by_1 { 200 } else { 400 }, "HTTP/1: {what}");
    }
}

/// To programs that get headers as variables of the environment it would be `HTTP_PROXY`.
#[tokio::test]
async fn proxy_is_no_header_of_a_request() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let answer = send(house.addr, &get("/a", "Proxy: http://192.0.2.1:8080\r\nX-Proxy: stays\r\n")).await;
    let got = mirrored(&answer);
    assert_eq!(got.get("x-proxy").map(String::as_str), Some("stays"));
    assert_eq!(got.get("proxy"), None);
}
