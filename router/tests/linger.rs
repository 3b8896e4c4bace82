//! Clients that still send when they have their answer: they get to read it, and are heard out
//! for so long and no longer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::time::Duration;

use bytes::Bytes;
use paas_domain::route::{AppRoute, RouteState};
use paas_router::Limits;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use util::backend::{Dyno, head};
use util::client::{connect, read_to, rest, status_of};
use util::{APP, House, app, patient, table, tls};
use uuid::Uuid;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);
const MEGABYTES: usize = 20;

/// A dyno that refuses uploads without reading them.
async fn strict() -> Dyno {
    Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo much\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// demo.localhost has this dyno, none.localhost has none.
fn apps(dyno: &Dyno) -> Vec<AppRoute> {
    let none = AppRoute {
        id: Uuid::from_u128(APP.as_u128() + 1),
        name: "none".to_owned(),
        hosts: vec!["none.localhost".to_owned()],
        ..app(RouteState::NoWeb, &[])
    };
    vec![app(RouteState::Serving, &[dyno.addr]), none]
}

fn limits() -> Limits {
    Limits { linger: LONG, linger_idle: LONG, client_idle: LONG, head: LONG, drain: LONG, ..patient() }
}

/// Sends all of an upload over some seconds, as many clients do, and only then reads.
async fn upload<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, head: &str, piece: &[u8]) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    for at in 0..MEGABYTES {
        let wrote = stream.write_all(piece).await;
        assert!(wrote.is_ok(), "after {at} MB of {head:?}: {wrote:?}");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let _ = stream.flush().await;
    rest(&mut stream).await
}

#[tokio::test]
async fn an_upload_that_is_refused_early_gets_its_answer() {
    let dyno = strict().await;
    let (house, https, trusted) = tls::house(table(1, apps(&dyno)), limits()).await;
    let post = |host: &str, lines: &str| format!("POST / HTTP/1.1\r\nHost: {host}.localhost\r\n{lines}\r\n");
    let length = "Content-Length: 20971520\r\n";
    let plain = vec![b'x'; 1 << 20];
    let chunk = [b"100000\r\n", &plain[..], b"\r\n"].concat();
    let cases = [
        (413, post("demo", length), plain.clone()),
        (413, post("demo", "Transfer-Encoding: chunked\r\n"), chunk),
        // No dyno; nobody's; a head that is none; a body that is none.
        (503, post("none", length), plain.clone()),
        (404, post("nobody", length), plain.clone()),
        (400, post("demo", &format!("{length}X : y\r\n")), plain.clone()),
        (400, post("demo", "Transfer-Encoding: chunked\r\n"), plain),
    ];
    let mut uploads = Vec::new();
    for (status, head, piece) in cases {
        let stream = connect(house.addr).await;
        let secure = tls::dial("demo.localhost", &https, &trusted, b"http/1.1").await;
        uploads.push(tokio::spawn(async move {
            let (plain, secure) = tokio::join!(upload(stream, &head, &piece), upload(secure, &head, &piece));
            assert_eq!((status_of(&plain), status_of(&secure)), (status, status), "{head}");
            let whole = if status == 413 { "\r\n\r\ntoo much\n" } else { "\n" };
            assert!(plain.ends_with(whole) && secure.ends_with(whole), "{plain}\n{secure}");
        }));
    }
    for upload in uploads {
        upload.await.unwrap();
    }
    house.until(|status| status.connections == 0).await;
}

#[tokio::test]
async fn by_http2_the_stream_is_not_reset_meanwhile() {
    let dyno = strict().await;
    let (house, https, trusted) = tls::house(table(1, apps(&dyno)), limits()).await;
    let stream = tls::dial("demo.localhost", &https, &trusted, b"h2").await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post("https://demo.localhost/").body(()).unwrap();
    let (response, mut body) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    let mut left = MEGABYTES << 20;
    while left > 0 {
        body.reserve_capacity(left.min(1 << 20));
        let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
        let room = room.expect("the stream was reset").expect("the stream was reset").min(left);
        left -= room;
        body.send_data(Bytes::from(vec![b'x'; room]), left == 0).unwrap();
    }
    let response = response.await.unwrap();
    assert_eq!(response.status(), 413);
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "too much\n");
    assert!(body.data().await.is_none());
    house.until(|status| status.backends[0].in_flight == 0).await;
}

/// A client that has its answer, and doesn't go.
async fn lingers(house: &House) -> tokio::net::TcpStream {
    let mut stream = connect(house.addr).await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: none.localhost\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    read_to(&mut stream, "</html>\n").await;
    stream
}

#[tokio::test]
async fn nobody_is_heard_out_for_ever() {
    let dyno = strict().await;
    // A byte now and then; silence; more than anybody wants to hear.
    let house = House::with(table(1, apps(&dyno)), Limits { linger: SHORT, ..limits() }).await;
    let mut slow = lingers(&house).await;
    let dribbles = async {
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), dribbles).await.expect("it is heard for ever");
    house.until(|status| status.connections == 0).await;

    let house = House::with(table(1, apps(&dyno)), Limits { linger_idle: SHORT, ..limits() }).await;
    let _silent = lingers(&house).await;
    house.until(|status| status.connections == 0).await;

    let house = House::with(table(1, apps(&dyno)), limits()).await;
    let mut wordy = lingers(&house).await;
    let piece = vec![b'x'; 1 << 20];
    let mut taken = 0;
    while taken < 600 && wordy.write_all(&piece).await.is_ok() {
        taken += 1;
    }
    assert!((200..600).contains(&taken), "{taken} MB were taken");
    house.until(|status| status.connections == 0).await;
}

#[tokio::test]
async fn the_end_waits_for_nobody_who_has_his_answer() {
    let dyno = strict().await;
    let mut house = House::with(table(1, apps(&dyno)), limits()).await;
    let _silent = lingers(&house).await;
    tokio::time::timeout(Duration::from_secs(20), house.stop()).await.expect("it waits as for a request");
}
