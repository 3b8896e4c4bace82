//! Places for clients are scarce: those connections go that have been unused for longest.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use paas_router::{Limits, Listen};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use util::backend::Dyno;
use util::client::{connect, read_to, rest};
use util::h2::{self, ACK, Client, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, PING, frame};
use util::tls::{self, Trusted};
use util::{House, patient, serving};

/// With six connections it is crowded.
const MOST: usize = 8;

struct Place {
    house: House,
    https: SocketAddr,
    trusted: Trusted,
    /// Lets a request for `/slow` be answered.
    gate: Arc<Semaphore>,
    _dyno: Dyno,
}

impl Place {
    /// One worker, so that all connections are side by side.
    async fn new(crowded_idle: Duration) -> Place {
        let gate = Arc::new(Semaphore::new(0));
        let wait = Arc::clone(&gate);
        let dyno = Dyno::http(move |request| {
            let wait = Arc::clone(&wait);
            async move {
                if request.uri().path() == "/slow" {
                    wait.acquire().await.unwrap().forget();
                }
                Response::new(Full::from("fine"))
            }
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let trusted = tls::own(dir.path());
        let limits = Limits { connections: Some(MOST), crowded_idle, ..patient() };
        let mut settings = util::settings(dir.path(), limits);
        settings.https_listen = Listen(Some(([127, 0, 0, 1], 0).into()));
        settings.threads = Some(1);
        let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
        let https = house.router.as_ref().unwrap().https()[0].parse().unwrap();
        Place { house, https, trusted, gate, _dyno: dyno }
    }

    async fn has(&self, count: usize) {
        self.house.until(|status| status.connections == count).await;
    }

    /// A connection of HTTP/2 that has had an answer.
    async fn http2(&self) -> Client {
        let mut client = Client::new(self.https, &self.trusted, &[]).await;
        self.answered(&mut client, 1).await;
        client
    }

    async fn answered(&self, client: &mut Client, stream: u32) {
        assert_eq!(client.ask(stream, "/").await, End::Answered(200, "fine".to_owned()));
    }

    /// The same of HTTP/1.
    async fn http1(&self) -> TcpStream {
        let mut stream = connect(self.house.addr).await;
        self.answered1(&mut stream).await;
        stream
    }

    async fn answered1(&self, stream: &mut TcpStream) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        read_to(stream, "fine").await;
    }
}

/// Reads until the end; the errors of each GOAWAY. `answers`: pings are.
async fn sent_away(client: &mut Client, answers: bool) -> Vec<u32> {
    let mut errors = Vec::new();
    while let Some(came) = client.read().await {
        if came.kind == GOAWAY {
            errors.push(came.error());
        } else if came.kind == PING && came.flags & ACK == 0 && answers {
            client.write(&frame(PING, ACK, 0, &came.payload)).await;
        }
    }
    errors
}

#[tokio::test]
async fn the_longest_unused_connections_of_http2_are_told_to_go() {
    let place = Place::new(Duration::ZERO).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(place.http2().await);
    }
    // The first one is used again, the second has a request under way.
    place.answered(&mut clients[0], 3).await;
    clients[1].write(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &h2::get("/slow"))).await;
    place.house.until(|status| status.backends[0].in_flight == 1).await;
    place.has(6).await;

    clients.push(place.http2().await);
    let errors = sent_away(&mut clients[2], true).await;
    assert!(!errors.is_empty() && errors.iter().all(|error| *error == 0), "{errors:?}");
    place.has(6).await;
    // Who answers no ping isn't waited for.
    clients.push(place.http2().await);
    assert!(!sent_away(&mut clients[3], false).await.is_empty());
    place.has(6).await;

    place.gate.add_permits(1);
    assert_eq!(clients[1].end(3).await, End::Answered(200, "fine".to_owned()));
    for at in [0, 4, 5, 6, 7] {
        place.answered(&mut clients[at], 5).await;
    }
}

#[tokio::test]
async fn the_longest_unused_go_whatever_they_speak() {
    let place = Place::new(Duration::ZERO).await;
    let mut one = place.http1().await;
    let mut kept = place.http1().await;
    // Connections that never asked for anything: plain, and with no more than a handshake of HTTP/2.
    let mut silent = connect(place.house.addr).await;
    let mut speechless = tls::over(connect(place.https).await, &place.trusted, b"h2").await.unwrap();
    let mut two = place.http2().await;
    let mut slow = connect(place.house.addr).await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
    place.house.until(|status| status.backends[0].in_flight == 1).await;
    place.answered1(&mut kept).await;
    place.has(6).await;

    let mut more = vec![place.http1().await];
    assert_eq!(rest(&mut one).await, "");
    place.has(6).await;
    more.push(place.http1().await);
    assert_eq!(rest(&mut silent).await, "");
    place.has(6).await;
    more.push(place.http1().await);
    rest(&mut speechless).await;
    place.has(6).await;
    more.push(place.http1().await);
    assert!(!sent_away(&mut two, true).await.is_empty());
    place.has(6).await;

    place.gate.add_permits(1);
    read_to(&mut slow, "fine").await;
    place.answered1(&mut kept).await;
    for stream in &mut more {
        place.answered1(stream).await;
    }
}

/// Where every place is taken, those who wait get one when others have been unused for long enough.
#[tokio::test]
async fn unused_connections_give_their_places_to_those_who_wait() {
    let place = Place::new(Duration::from_millis(200)).await;
    let (addr, mut visitors) = (place.house.addr, Vec::new());
    for _ in 0..20 {
        visitors.push(tokio::spawn(async move {
            let mut stream = connect(addr).await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
            read_to(&mut stream, "fine").await;
            stream
        }));
    }
    let mut streams = Vec::new();
    for visitor in visitors {
        streams.push(visitor.await.unwrap());
    }
    place.has(6).await;
}
