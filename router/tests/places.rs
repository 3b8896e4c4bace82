//! There may be so many connections to dynos: who finds no place for one gets that of an unused
//! one, of whatever worker, or waits for the next that ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::http::Response;
use paas_domain::route::{AppRoute, RouteState, RouteTable};
use paas_router::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use util::backend::Dyno;
use util::client::{connect, get, rest, send};
use util::h2::{END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame};
use util::{House, app, patient, table};
use uuid::Uuid;

/// An app for each dyno: `a.localhost`, `b.localhost`…
fn apps(dynos: &[SocketAddr]) -> Vec<AppRoute> {
    let letters = 'a'..='z';
    letters
        .zip(dynos)
        .map(|(letter, &dyno)| AppRoute {
            id: Uuid::from_u128(u128::from(u32::from(letter))),
            hosts: vec![format!("{letter}.localhost")],
            ..app(RouteState::Serving, &[dyno])
        })
        .collect()
}

async fn house(table: RouteTable, most: usize) -> House {
    House::with(table, Limits { dyno_connections: Some(most), ..patient() }).await
}

fn of(app: &str) -> String {
    get("/", "").replace("demo", app)
}

async fn ask(house: &House, app: &str) -> TcpStream {
    let mut client = connect(house.addr).await;
    client.write_all(of(app).as_bytes()).await.unwrap();
    client
}

/// Waits until the app has so many requests on its dyno, or on their way there.
async fn has_requests(house: &House, app: char, count: u32) {
    let id = Uuid::from_u128(u128::from(u32::from(app)));
    house.until(|status| status.backends.iter().any(|dyno| dyno.app_id == id && dyno.in_flight == count)).await;
}

#[tokio::test]
async fn an_unused_connection_of_any_worker_gives_way() {
    let dynos = [Dyno::text("one").await, Dyno::text("two").await];
    let house = house(table(1, apps(&[dynos[0].addr, dynos[1].addr])), 1).await;
    // By both workers: which one gets a client hangs on its port.
    for _ in 0..16 {
        assert!(send(house.addr, &of("a")).await.ends_with("one"));
        assert!(send(house.addr, &of("b")).await.ends_with("two"));
    }
}

#[tokio::test]
async fn no_more_are_closed_than_are_needed() {
    let gate = Arc::new(Semaphore::new(0));
    let (unused, held) = (Dyno::gated("one", &gate).await, Dyno::gated("two", &gate).await);
    let wanted = Dyno::text("three").await;
    let house = house(table(1, apps(&[unused.addr, held.addr, wanted.addr])), 6).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(ask(&house, "a").await);
    }
    unused.has_open(5).await;
    gate.add_permits(5);
    for mut client in clients {
        assert!(rest(&mut client).await.ends_with("one"));
    }
    let mut waits = ask(&house, "b").await;
    held.has_open(1).await;
    assert!(send(house.addr, &of("c")).await.ends_with("three"));
    unused.has_open(4).await;
    gate.add_permits(1);
    assert!(rest(&mut waits).await.ends_with("two"));
    unused.has_open(4).await;
}

#[tokio::test]
async fn who_finds_no_place_waits_and_who_leaves_keeps_none() {
    let gate = Arc::new(Semaphore::new(0));
    let (busy, wanted) = (Dyno::gated("one", &gate).await, Dyno::text("two").await);
    let house = house(table(1, apps(&[busy.addr, wanted.addr])), 1).await;
    let mut first = ask(&house, "a").await;
    busy.has_open(1).await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(ask(&house, "b").await);
    }
    has_requests(&house, 'b', 8).await;
    for _ in 0..3 {
        drop(waiting.remove(0));
        house.line("code=H27").await;
    }
    assert_eq!(wanted.connections(), 0);
    gate.add_permits(1);
    assert!(rest(&mut first).await.ends_with("one"));
    for mut client in waiting {
        assert!(rest(&mut client).await.ends_with("two"));
    }
}

#[tokio::test]
async fn an_unused_connection_of_http2_gives_way_too() {
    let grpc = Dyno::raw(|stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"one"), true).unwrap();
        }
    })
    .await;
    let dyno = Dyno::text("two").await;
    let mut apps = apps(&[grpc.addr, dyno.addr]);
    apps[0].rules.http2 = true;
    let house = house(table(1, apps), 1).await;
    for _ in 0..16 {
        let answer = send(house.addr, &of("a")).await;
        assert!(answer.contains("one"), "{answer}");
        assert!(send(house.addr, &of("b")).await.ends_with("two"));
    }
}

/// Its place is another's then: it can't stay open for as long as its dyno likes.
#[tokio::test]
async fn a_connection_of_http2_that_gave_way_ends_though_its_dyno_reads_nothing() {
    let (tell, mut ended) = tokio::sync::mpsc::channel(1);
    let grpc = Dyno::raw(move |mut stream| {
        let tell = tell.clone();
        async move {
            // All of an upload may come at once.
            let window = 0x7fff_0000_u32.to_be_bytes();
            let settings = frame(SETTINGS, 0, 0, &[&[0, 4][..], &window].concat());
            stream.write_all(&[settings, frame(WINDOW_UPDATE, 0, 0, &window)].concat()).await.unwrap();
            // The preface, and the beginning of the upload.
            let mut start = vec![0; 32 * 1024];
            stream.read_exact(&mut start).await.unwrap();
            // The rest fills the kernel and stands in the router when the stream ends here; else this would show nothing.
            tokio::time::sleep(Duration::from_millis(500)).await;
            // `:status: 200`, and then NO_ERROR.
            let answer = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
            stream.write_all(&[answer, frame(RST_STREAM, 0, 1, &[0; 4])].concat()).await.unwrap();
            // A socket that is closed answers by a reset.
            while stream.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let _ = tell.send(()).await;
        }
    })
    .await;
    let dyno = Dyno::text("two").await;
    let mut apps = apps(&[grpc.addr, dyno.addr]);
    apps[0].rules.http2 = true;
    let house = house(table(1, apps), 1).await;
    let mut client = connect(house.addr).await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
    let (mut reading, mut writing) = client.split();
    let piece = vec![b'x'; 1 << 20];
    let upload = async {
        for _ in 0..100 {
            if writing.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let answer = async {
        let mut head = [0; 12];
        reading.read_exact(&mut head).await.unwrap();
        head
    };
    tokio::select! {
        () = async { upload.await; std::future::pending().await } => {}
        head = answer => assert_eq!(&head, b"HTTP/1.1 200"),
    }
    drop(client);
    house.line("path=\"/\"").await;
    assert!(send(house.addr, &of("b")).await.ends_with("two"));
    tokio::time::timeout(Duration::from_secs(20), ended.recv()).await.expect("it is open still").unwrap();
}
