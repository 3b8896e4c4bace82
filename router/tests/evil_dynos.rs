//! Dynos whose responses could be read in two ways, or are none. What the visitor gets can be
//! read in one way only, and no other visitor gets a byte of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use paas_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use util::backend::{Dyno, head};
use util::client::{connect, send};
use util::wire::{Message, responses};
use util::{House, limits, serving};

#[derive(Debug, Clone, Copy)]
enum Want {
    /// 502 or 503.
    Refused,
    /// This status and this body.
    Passed(u16, &'static str),
    /// It begins, and the connection is closed before its end.
    Cut,
    /// Any of these.
    Safe,
}

use Want::{Cut, Passed, Refused, Safe};

struct Row {
    name: &'static str,
    method: &'static str,
    bytes: Vec<u8>,
    /// Whether the dyno closes behind it.
    closes: bool,
    want: Want,
}

fn row(name: &'static str, bytes: impl Into<Vec<u8>>, want: Want) -> Row {
    Row { name, method: "GET", bytes: bytes.into(), closes: false, want }
}

/// 200 with these lines and this behind its head.
fn ok(name: &'static str, lines: &str, body: &str, want: Want) -> Row {
    row(name, format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}"), want)
}

fn chunked(name: &'static str, body: &str, want: Want) -> Row {
    ok(name, "Transfer-Encoding: chunked\r\n", body, want)
}

impl Row {
    fn closes(self) -> Row {
        Row { closes: true, ..self }
    }

    fn head(self) -> Row {
        Row { method: "HEAD", ..self }
    }
}

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
const FIVE: &str = "Content-Length: 5\r\n";

fn framing() -> Vec<Row> {
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        ok("a length", FIVE, "hello", Passed(200, "hello")),
        chunked("chunks", hello, Passed(200, "hello")),
        ok("no length", "", "hello", Passed(200, "hello")).closes(),
        ok("a length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", hello, Safe),
        ok("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 50\r\n", hello, Safe),
        ok("two lengths", "Content-Length: 5\r\nContent-Length: 9\r\n", "helloevil", Refused),
        ok("two lengths that are the same", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello", Safe),
        ok("a list of lengths", "Content-Length: 5, 9\r\n", "helloevil", Refused),
        ok("a length with a plus", "Content-Length: +5\r\n", "hello", Refused),
        ok("a length below zero", "Content-Length: -5\r\n", "hello", Refused),
        ok("a length in hex", "Content-Length: 0x5\r\n", "hello", Refused),
        ok("a length of letters", "Content-Length: five\r\n", "hello", Refused),
        ok("an empty length", "Content-Length:\r\n", "hello", Refused),
        ok("a length of 2^64 + 5", "Content-Length: 18446744073709551621\r\n", "hello", Refused),
        ok("a coding that nobody knows", "Transfer-Encoding: cow\r\n", hello, Refused).closes(),
        ok("gzip and chunks", "Transfer-Encoding: gzip, chunked\r\n", hello, Refused).closes(),
        ok("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", hello, Refused).closes(),
        ok("chunks with a tab before the colon", "Transfer-Encoding\t: chunked\r\n", hello, Refused).closes(),
        row("chunks in HTTP/1.0", format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{hello}"), Safe)
            .closes(),
        ok("more than its length", FIVE, &format!("hello{EVIL}"), Passed(200, "hello")),
        ok("more than its length, and an end", FIVE, &format!("hello{EVIL}"), Passed(200, "hello")).closes(),
        ok("less than its length", "Content-Length: 50\r\n", "hello", Cut).closes(),
        chunked("more than its chunks", &format!("{hello}{EVIL}"), Passed(200, "hello")),
        chunked("chunks without end", "5\r\nhello\r\n", Cut).closes(),
        chunked("a chunk with an extension", "5;a=b\r\nhello\r\n0\r\n\r\n", Passed(200, "hello")),
        chunked("a chunk of letters", "x\r\nhello\r\n0\r\n\r\n", Cut),
        chunked("a chunk below zero", "-5\r\nhello\r\n0\r\n\r\n", Cut),
        chunked("a chunk with 0x", "0x5\r\nhello\r\n0\r\n\r\n", Cut),
        chunked("a chunk of 2^64 + 5", "10000000000000005\r\nhello\r\n0\r\n\r\n", Cut),
        chunked("a chunk before a bare LF", "5\r\nhello\n0\r\n\r\n", Cut),
        chunked("a chunk size before a bare LF", "5\nhello\r\n0\r\n\r\n", Cut),
        chunked("a chunk that is longer than its size", "4\r\nhello\r\n0\r\n\r\n", Cut),
        chunked("trailers", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", Passed(200, "hello")),
        chunked("trailers with a length", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", Safe),
        chunked("trailers with a bare CR", "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n", Cut),
    ]
}

fn no_bodies() -> Vec<Row> {
    vec![
        ok("HEAD", FIVE, "", Passed(200, "")).head(),
        ok("HEAD with a body", FIVE, "hello", Passed(200, "")).head(),
        ok("HEAD with a response behind it", FIVE, EVIL, Passed(200, "")).head(),
        ok("HEAD with chunks", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", Passed(200, "")).head(),
        row("204", "HTTP/1.1 204 No Content\r\n\r\n", Passed(204, "")),
        row("204 with a body", format!("HTTP/1.1 204 No Content\r\n{FIVE}\r\nhello"), Passed(204, "")),
        row("204 with a response behind it", format!("HTTP/1.1 204 No Content\r\n\r\n{EVIL}"), Passed(204, "")),
        row(
            "204 with chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Passed(204, ""),
        ),
        row("304", format!("HTTP/1.1 304 Not Modified\r\n{FIVE}\r\n"), Passed(304, "")),
        row("304 with a body", format!("HTTP/1.1 304 Not Modified\r\n{FIVE}\r\nhello"), Passed(304, "")),
        row("304 with a response behind it", format!("HTTP/1.1 304 Not Modified\r\n\r\n{EVIL}"), Passed(304, "")),
        row("a thousand times 100", format!("{}{EVIL}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)), Safe),
        row("103", format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{EVIL}"), Passed(200, "evil")),
        row("103 with a body", format!("HTTP/1.1 103 Early Hints\r\n{FIVE}\r\nhello{EVIL}"), Refused),
        row(
            "101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            Refused,
        ),
    ]
}

fn heads() -> Vec<Row> {
    let hello = |line: &str| format!("{line}\r\n{FIVE}\r\nhello");
    vec![
        row("no reason", hello("HTTP/1.1 200 "), Passed(200, "hello")),
        row("no space before the reason", hello("HTTP/1.1 200"), Passed(200, "hello")),
        row("a reason with a tab", hello("HTTP/1.1 200 a\tb"), Safe),
        row("a reason with a bare CR", hello("HTTP/1.1 200 a\rb"), Refused),
        row("a reason with a null byte", hello("HTTP/1.1 200 a\0b"), Refused),
        row("a status of four digits", hello("HTTP/1.1 2000 OK"), Refused),
        row("a status of two digits", hello("HTTP/1.1 20 OK"), Refused),
        row("a status of letters", hello("HTTP/1.1 abc OK"), Refused),
        row("a status below 100", hello("HTTP/1.1 099 OK"), Refused),
        row("a status of nobody's", hello("HTTP/1.1 799 Hm"), Safe),
        row("HTTP/2.0", hello("HTTP/2.0 200 OK"), Refused),
        row("HTTP/0.9", "hello\r\n\r\n", Refused),
        row("another protocol", hello("ICY 200 OK"), Refused),
        row("a banner of SSH", "SSH-2.0-OpenSSH_9.2\r\n", Refused),
        row("HTTP/1.0", hello("HTTP/1.0 200 OK"), Passed(200, "hello")),
        row("bare LFs", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", Safe),
        ok("a value with a bare CR", &format!("X: a\rb\r\n{FIVE}"), "hello", Refused),
        ok("a value with a null byte", &format!("X: a\0b\r\n{FIVE}"), "hello", Refused),
        ok("a folded line", &format!("X: a\r\n b\r\n{FIVE}"), "hello", Refused),
        ok("a folded length", "X: a\r\n Content-Length: 50\r\nContent-Length: 5\r\n", "hello", Refused),
        ok("a name with a space behind it", &format!("X : a\r\n{FIVE}"), "hello", Refused),
        ok("a name with a space in it", &format!("X Y: a\r\n{FIVE}"), "hello", Refused),
        ok("a name with a null byte", &format!("X\0: a\r\n{FIVE}"), "hello", Refused),
        ok("no name", &format!(": a\r\n{FIVE}"), "hello", Refused),
        ok("no colon", &format!("X\r\n{FIVE}"), "hello", Refused),
        ok("a long cookie", &format!("Set-Cookie: {}\r\n{FIVE}", "a".repeat(8200)), "hello", Refused),
        ok("endless headers", &"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(50_000), "", Refused),
        ok(
            "headers of the connection",
            &format!("Connection: x-secret, content-length\r\nX-Secret: a\r\n{FIVE}"),
            "hello",
            Passed(200, "hello"),
        ),
    ]
}

/// Answers `/evil` with the row's bytes, everything else well.
async fn dyno(rows: &Arc<Mutex<(Vec<u8>, bool)>>) -> Dyno {
    let rows = Arc::clone(rows);
    Dyno::raw(move |mut stream| {
        let rows = Arc::clone(&rows);
        async move {
            loop {
                let request = head(&mut stream).await;
                if request.is_empty() {
                    return;
                }
                let (answer, closes) = if request.contains(" /evil ") {
                    rows.lock().unwrap().clone()
                } else {
                    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood".to_vec(), false)
                };
                if stream.write_all(&answer).await.is_err() || closes {
                    return;
                }
            }
        }
    })
    .await
}

async fn play(house: &House, row: &Row) -> Result<(), String> {
    let requests = format!(
        "{} /evil HTTP/1.1\r\nHost: demo.localhost\r\n\r\n\
         GET /good HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n",
        row.method
    );
    let mut stream = connect(house.addr).await;
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    let shown = answer[..answer.len().min(600)].escape_ascii();
    if read.is_err() {
        return Err(format!("the connection stays open after {shown}"));
    }
    let (all, cut) =
        responses(&answer, &[row.method, "GET"], true).map_err(|why| format!("the visitor got {why}: {shown}"))?;
    let first = all.first().map(|answer| (answer.status(), answer.body.as_str()));
    let fits = match (row.want, first) {
        (Refused, Some((status, _))) => status == 502 || status == 503,
        (Passed(status, body), got) => got == Some((status, body)),
        (Cut, got) => {
            (cut || answer.is_empty()) && got.is_none() || got.is_some_and(|(status, _)| status == 502 || status == 503)
        }
        (Safe, _) => true,
        (Refused, None) => false,
    };
    let second_is_good = |answer: &Message| answer.status() == 200 && answer.body == "good";
    if !fits || !all.iter().skip(1).all(second_is_good) || all.len() > 2 {
        return Err(format!("{all:?}{}", if cut { ", cut off" } else { "" }));
    }
    for _ in 0..3 {
        let other = send(house.addr, "GET /other HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n").await;
        match responses(other.as_bytes(), &[], true) {
            Ok((all, false)) if matches!(&all[..], [one] if second_is_good(one)) => {}
            _ => return Err(format!("another visitor got {other}")),
        }
    }
    Ok(())
}

async fn all_hold(rows: Vec<Row>) {
    let current = Arc::new(Mutex::new((vec![], false)));
    let dyno = dyno(&current).await;
    let limits = Limits {
        quarantine: Duration::ZERO,
        upstream_fresh: Duration::from_secs(20),
        client_idle: Duration::from_secs(5),
        ..limits()
    };
    let house = House::with(serving(1, &[dyno.addr]), limits).await;
    let mut wrong = Vec::new();
    for row in rows {
        *current.lock().unwrap() = (row.bytes.clone(), row.closes);
        match play(&house, &row).await {
            Ok(()) => {}
            Err(why) => wrong.push(format!("{}: {why}", row.name)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn lengths_and_chunks() {
    all_hold(framing()).await;
}

#[tokio::test]
async fn responses_without_body() {
    all_hold(no_bodies()).await;
}

#[tokio::test]
async fn status_lines_and_headers() {
    all_hold(heads()).await;
}
