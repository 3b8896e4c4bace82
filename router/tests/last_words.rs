//! How a client's connection of HTTP/1 ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use util::backend::Dyno;
use util::client::{connect, get, read_to, rest, send, status_of};
use util::{House, limits, patient, serving, settings};

/// Who is refused may still send what it has announced, and gets no reset for it: the answer would
/// be lost with that.
#[tokio::test]
async fn who_is_refused_is_heard_out() {
    let dyno = Dyno::text("hello").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    for head in [
        // How long it is nobody knows.
        "POST /a HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: nobody.localhost\r\nContent-Length: 1\r\nContent-Length: 1000000\r\n\r\n",
        // Not even whose it is.
        "POST /a HTTP/1.1\r\nHost: demo.localhost\r\nno header\r\n\r\n",
        "CONNECT demo.localhost:443 HTTP/1.1\r\nHost: demo.localhost\r\n\r\n",
    ] {
        let mut stream = connect(house.addr).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!((400..500).contains(&status_of(&answer)), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
        for _ in 0..16 {
            stream.write_all(&[b'x'; 64 * 1024]).await.unwrap_or_else(|error| panic!("{head:?}: {error}"));
        }
    }
}

/// An empty line behind a body, as some clients send it, begins no request that the end waits for.
#[tokio::test]
async fn an_empty_line_is_no_request_to_wait_for() {
    let dyno = Dyno::text("hello").await;
    let dir = tempfile::tempdir().unwrap();
    let limits = paas_router::Limits { drain: Duration::from_secs(60), ..limits() };
    let settings = paas_router::Settings { threads: Some(1), ..settings(dir.path(), limits) };
    let mut house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let mut stream = connect(house.addr).await;
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    read_to(&mut stream, "hello").await;
    stream.write_all(b"\r\n").await.unwrap();
    // When this is answered, the only worker has seen the line.
    assert!(send(house.addr, &get("/b", "")).await.ends_with("hello"));
    house.router.as_ref().unwrap().stop();
    assert_eq!(rest(&mut stream).await, "");
    house.stop().await;
}
