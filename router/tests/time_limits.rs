//! Time limits: what they count together, what begins them anew, and what is there when they are over.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::time::Duration;

use paas_domain::route::{AppRoute, RouteState};
use paas_router::{Limits, Settings, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use util::backend::{Deaf, Dyno, Shut, head};
use util::client::{connect, get, read_to, rest, send, status_of};
use util::{House, app, patient, serving, table};
use uuid::Uuid;

async fn ask(house: &House, request: &str) -> TcpStream {
    let mut client = connect(house.addr).await;
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// Who has waited for a dyno has less time left for connecting to it: it gives up before one that
/// came later and had to connect only.
#[tokio::test]
async fn waiting_for_a_dyno_and_connecting_have_one_time_together() {
    let (deaf, other_deaf) = (Deaf::new(), Deaf::new());
    let limits = Limits { queue: Duration::from_secs(3), ..patient() };
    let dir = tempfile::tempdir().unwrap();
    // On one worker the order of timers is that of the lines.
    let settings = Settings { threads: Some(1), ..util::settings(dir.path(), limits) };
    let other = AppRoute {
        id: Uuid::from_u128(0xB),
        hosts: vec!["other.localhost".to_owned()],
        ..app(RouteState::Serving, &[other_deaf.addr])
    };
    let house = House::from(dir, table(1, vec![app(RouteState::Booting, &[]), other.clone()]), settings).await;
    let mut first = ask(&house, &get("/a", "")).await;
    house.until(|status| status.waiting == 1).await;
    // A third of its time goes by.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut second = ask(&house, &get("/a", "").replace("demo.localhost", "other.localhost")).await;
    house.until(|status| status.backends.iter().any(|backend| backend.in_flight == 1)).await;
    house.set(table(2, vec![app(RouteState::Serving, &[deaf.addr]), other])).await;
    assert_eq!(status_of(&rest(&mut first).await), 503);
    assert_eq!(status_of(&rest(&mut second).await), 503);
    house.daemon.has_lines(2).await;
    for host in ["demo.localhost", "other.localhost"] {
        assert_eq!(
            house.line("").await,
            format!(
                "at=error code=H19 desc=\"Backend connection timeout\" method=GET path=\"/a\" host={host} \
                 request_id=0123456789abcdef0123 fwd=\"127.0.0.1\" dyno=web.1 connect=Nms service= status=503 \
                 bytes=0 protocol=http1.1 tls=false"
            )
        );
    }
}

/// However many dynos there are to be tried.
#[tokio::test]
async fn connecting_to_one_dyno_after_the_other_has_one_time_together() {
    let deaf: Vec<Deaf> = (0..8).map(|_| Deaf::new()).collect();
    let addrs: Vec<_> = deaf.iter().map(|deaf| deaf.addr).collect();
    let limits = Limits {
        connect: Duration::from_millis(400),
        queue: Duration::from_secs(1),
        quarantine: patient().queue,
        ..patient()
    };
    let house = House::with(serving(1, &addrs), limits).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(house.line("").await.starts_with("at=error code=H19 "));
    let status = house.until(|_| true).await;
    let tried = status.backends.iter().filter(|backend| backend.quarantined).count();
    assert!((1..=3).contains(&tried), "{tried} dynos were tried, 0.4 s each, in 1 s");
}

const IDLE: Duration = Duration::from_secs(2);

/// More of them than there may be silence.
const STEPS: usize = 30;

/// A byte now and then, for longer than there may be silence.
async fn trickle(stream: &mut (impl AsyncWriteExt + Unpin)) {
    for _ in 0..STEPS {
        tokio::time::sleep(IDLE / 20).await;
        stream.write_all(b".").await.unwrap();
    }
}

/// Says a byte now and then, or hears some and says nothing until the end.
async fn talkative() -> Dyno {
    Dyno::raw(|mut stream| async move {
        let asked = head(&mut stream).await;
        let upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let path = asked.split(' ').nth(1).unwrap();
        let answer = match path {
            "/says" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", STEPS + 4),
            "/hears" => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_owned(),
            _ => upgraded.to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if path.ends_with("says") {
            trickle(&mut stream).await;
        } else {
            stream.read_exact(&mut [0; STEPS]).await.unwrap();
        }
        stream.write_all(b"done").await.unwrap();
    })
    .await
}

/// 55 seconds are of silence, not of a response: each byte, in either direction, begins them anew.
#[tokio::test]
async fn a_byte_in_either_direction_begins_the_time_of_silence_anew() {
    let dyno = talkative().await;
    let house = House::with(serving(1, &[dyno.addr]), Limits { idle: IDLE, ..patient() }).await;
    let addr = house.addr;
    let clients: Vec<_> = ["/says", "/hears", "/socket-says", "/socket-hears"]
        .into_iter()
        .map(|path| {
            tokio::spawn(async move {
                let lines = match path {
                    "/says" => "Connection: close\r\n".to_owned(),
                    "/hears" => format!("Connection: close\r\nContent-Length: {STEPS}\r\n"),
                    _ => "Connection: upgrade\r\nUpgrade: x\r\n".to_owned(),
                };
                let mut client = connect(addr).await;
                let request = format!("GET {path} HTTP/1.1\r\nHost: demo.localhost\r\n{lines}\r\n");
                client.write_all(request.as_bytes()).await.unwrap();
                let answer = read_to(&mut client, "\r\n\r\n").await;
                let status = if path.starts_with("/socket") { 101 } else { 200 };
                assert_eq!(status_of(&answer), status, "{path}: {answer}");
                if path.ends_with("hears") {
                    trickle(&mut client).await;
                }
                let rest = rest(&mut client).await;
                let expected = if path.ends_with("hears") { 4 } else { STEPS + 4 };
                assert!(rest.len() == expected && rest.ends_with("done"), "{path}: {rest}");
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    house.daemon.has_lines(4).await;
    let lines = house.daemon.lines();
    assert!(lines.iter().all(|line| line.line.starts_with("at=info ")), "{lines:#?}");
}

/// Its time over, a dyno is asked again: it comes back into quarantine, or is back.
#[tokio::test]
async fn a_dyno_is_asked_again_after_its_quarantine() {
    let (shut, good) = (Shut::new(), Dyno::text("good").await);
    let limits = Limits { quarantine: Duration::from_millis(500), ..patient() };
    let house = House::with(serving(1, &[shut.addr(), good.addr]), limits).await;
    let quarantined =
        |status: &Status| status.backends.iter().any(|backend| backend.dyno == "web.1" && backend.quarantined);
    let within = Duration::from_secs(20);
    for _ in 0..2 {
        let asked = async {
            while !quarantined(&house.until(|_| true).await) {
                assert!(send(house.addr, &get("/a", "")).await.ends_with("good"));
            }
        };
        tokio::time::timeout(within, asked).await.expect("it is not asked");
        house.until(|status| !quarantined(status)).await;
    }
    let _again = Dyno::on(shut.opens(), |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain").await;
    });
    let asked = async { while !send(house.addr, &get("/a", "")).await.ends_with("again") {} };
    tokio::time::timeout(within, asked).await.expect("it is not asked again");
    assert!(!house.daemon.lines().iter().any(|line| line.line.contains("code=")));
}
