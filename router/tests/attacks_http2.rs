//! Floods of HTTP/2 frames. Each has to be ended or to come to nothing, another client is
//! served meanwhile, and the process doesn't grow with what was sent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paas_router::{Limits, Listen};
use tokio::io::{AsyncRead, AsyncWrite};
use util::backend::Dyno;
use util::client::{send, status_of};
use util::daemon::StubDaemon;
use util::h2::{
    self, ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, End, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, indexed, remembered,
};
use util::tls::{self, Trusted};
use util::{House, limits, patient, serving, until};

/// RFC 9113, 7.
const ENHANCE_YOUR_CALM: u32 = 0xb;
const FLOW_CONTROL: u32 = 3;
const PROTOCOL: u32 = 1;
const REFUSED_STREAM: u32 = 7;

struct Place {
    house: House,
    addr: SocketAddr,
    trusted: Trusted,
    dyno: Dyno,
}

impl Place {
    async fn new(dyno: Dyno, limits: Limits) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let trusted = tls::own(dir.path());
        let mut settings = util::settings(dir.path(), limits);
        settings.https_listen = Listen(Some(([127, 0, 0, 1], 0).into()));
        // The attacker and the visitor are to be on the same one.
        settings.threads = Some(1);
        let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
        let addr = house.router.as_ref().unwrap().https()[0].parse().unwrap();
        Place { house, addr, trusted, dyno }
    }

    async fn client(&self) -> Client {
        Client::new(self.addr, &self.trusted, &[]).await
    }

    /// A visitor by each protocol gets an answer.
    async fn serves(&self) {
        let plain = "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(status_of(&send(self.house.addr, plain).await), 200);
        let mut client = self.client().await;
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get("/"))).await;
        assert!(matches!(client.end(1).await, End::Answered(200, _)));
    }
}

/// Writes what `next` makes until the router closes or `count` pieces are out. The answers
/// are read at the same time, as an attacker does who wants to go on. Gives the error of
/// GOAWAY, if one came, and whether all was taken.
async fn flood<S>(client: Client<S>, count: usize, mut next: impl FnMut(usize) -> Vec<u8>) -> (Option<u32>, bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut reading, mut writing) = tokio::io::split(client.0);
    let heard = tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut error = None;
        loop {
            match reading.read(&mut buffer).await {
                Ok(0) | Err(_) => return error,
                Ok(read) => all.extend(&buffer[..read]),
            }
            while all.len() >= 9 {
                let length = u32::from_be_bytes([0, all[0], all[1], all[2]]) as usize;
                if all.len() < 9 + length {
                    break;
                }
                if all[3] == h2::GOAWAY {
                    error = Some(u32::from_be_bytes(all[13..17].try_into().unwrap()));
                }
                all.drain(..9 + length);
            }
        }
    });
    let wrote = tokio::time::timeout(Duration::from_secs(60), async {
        use tokio::io::AsyncWriteExt;
        for at in 0..count {
            if writing.write_all(&next(at)).await.is_err() {
                return false;
            }
        }
        writing.flush().await.is_ok()
    })
    .await
    .expect("the router neither reads nor closes");
    let error = if wrote {
        heard.abort();
        None
    } else {
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("no end").unwrap()
    };
    (error, wrote)
}

#[tokio::test]
async fn rapid_reset() {
    // Were each request begun before its reset is seen, the dyno would get them all.
    let dyno = Dyno::says_and_holds("").await;
    let place = Place::new(dyno, patient()).await;
    let reset = |at: usize| {
        let stream = u32::try_from(at).unwrap() * 2 + 1;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get("/"));
        [request, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let by_tls = flood(place.client().await, 100_000, reset).await;
    let plain = flood(Client::plain(place.house.addr).await, 100_000, reset).await;
    for (error, all) in [by_tls, plain] {
        assert!(!all, "it goes on for ever");
        // The GOAWAY may be lost in the reset of the connection that follows what wasn't read.
        assert!(error.is_none_or(|error| error == ENHANCE_YOUR_CALM), "{error:?}");
    }
    assert!(place.dyno.connections() < 2000, "{} requests reached the dyno", place.dyno.connections());
    let status = place.house.until(|status| status.connections == 0).await;
    assert_eq!(status.backends[0].in_flight, 0);
}

#[tokio::test]
async fn resets_of_answers_that_have_begun() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    // No byte of a body may be sent, so that none of them ends.
    let mut client = Client::new(place.addr, &place.trusted, &[(4, 0)]).await;
    let mut given_up = 0;
    'connection: loop {
        let stream = given_up * 2 + 1;
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get("/"))).await;
        loop {
            match client.read().await {
                Some(frame) if frame.kind == HEADERS && frame.stream == stream => break,
                Some(frame) if frame.kind == h2::GOAWAY => assert_eq!(frame.error(), ENHANCE_YOUR_CALM),
                Some(_) => {}
                None => break 'connection,
            }
        }
        client.write(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await;
        given_up += 1;
        assert!(given_up < 1000, "it goes on for ever");
    }
    place.serves().await;
}

/// What visitors of a trusted proxy give up is no fault of those who share its connection.
#[tokio::test]
async fn a_proxys_other_visitors_are_served_whatever_one_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let dyno = Dyno::text("fine").await;
    let mut settings = util::settings(dir.path(), patient());
    settings.front.trusted_proxies = "127.0.0.1".parse().unwrap();
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    // No byte of a body may be sent before it is allowed.
    let mut client = Client::plain(house.addr).await;
    client.write(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    for stream in (1..700).step_by(2) {
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get("/"))).await;
        loop {
            let frame = client.read().await.expect("the connection is cut off");
            assert_ne!(frame.kind, h2::GOAWAY);
            if frame.kind == HEADERS && frame.stream == stream {
                break;
            }
        }
        // The first is another's.
        if stream > 1 {
            client.write(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await;
        }
    }
    house.until(|status| status.backends[0].in_flight == 1).await;
    client.write(&frame(WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes())).await;
    let (mut body, mut ended) = (Vec::new(), false);
    while !ended {
        let frame = client.read().await.expect("the connection is cut off");
        if frame.kind == DATA && frame.stream == 1 {
            body.extend(frame.payload);
            ended = frame.flags & END_STREAM != 0;
        }
    }
    assert_eq!(body, b"fine");
}

#[tokio::test]
async fn rapid_reset_by_the_routers_own_hand() {
    // The client makes the router reset its streams, by a window that overflows.
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    let provoke = |at: usize| {
        let stream = u32::try_from(at).unwrap() * 2 + 1;
        let request = frame(HEADERS, END_HEADERS, stream, &h2::pseudo("POST", "/"));
        [request, frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())].concat()
    };
    let (error, all) = flood(place.client().await, 100_000, provoke).await;
    assert!(!all, "it goes on for ever");
    assert!(error.is_none_or(|error| error == ENHANCE_YOUR_CALM || error == FLOW_CONTROL), "{error:?}");
    place.serves().await;
}

#[tokio::test]
async fn continuations_without_end() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    for piece in [h2::header("x", "a".repeat(1000)), vec![], h2::header("x", "a")] {
        let part = |at: usize| {
            if at == 0 { frame(HEADERS, END_STREAM, 1, &h2::get("/")) } else { frame(CONTINUATION, 0, 1, &piece) }
        };
        let (error, all) = flood(place.client().await, 1_000_000, part).await;
        assert!(!all, "it goes on for ever");
        assert!(error.is_none_or(|error| error == ENHANCE_YOUR_CALM || error == PROTOCOL), "{error:?}");
        place.serves().await;
    }
}

#[tokio::test]
async fn a_head_that_refers_to_one_long_header_a_thousand_times() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    // 4 KB, the whole table; then a byte for each of them: 64 MB in a frame of 16 KB.
    let mut head = h2::get("/");
    head.extend(remembered("x", "a".repeat(4000)));
    head.extend(indexed(62).repeat(12_000));
    let mut client = place.client().await;
    assert!(client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await);
    let end = client.end(1).await;
    let refused = matches!(end, End::Answered(400 | 431, _) | End::Reset(_) | End::Gone(_) | End::Closed);
    assert!(refused, "{end:?}");
    assert_eq!(place.dyno.connections(), 0);
    place.serves().await;
}

#[tokio::test]
async fn cookies_in_a_hundred_thousand_crumbs() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    let mut head = h2::get("/");
    head.extend(remembered("cookie", "a=b"));
    head.extend(indexed(62).repeat(14_000));
    let mut client = place.client().await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    let end = client.end(1).await;
    let refused = matches!(end, End::Answered(400 | 431, _) | End::Reset(_) | End::Gone(_) | End::Closed);
    assert!(refused, "{end:?}");
    place.serves().await;
}

/// Floods that the protocol allows: they cost their sender as much as us, as long as nothing
/// piles up here. The connection may go on or be ended; a visitor doesn't wait.
#[tokio::test]
async fn floods_of_small_frames_keep_nobody_waiting() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    let open = frame(HEADERS, END_HEADERS, 1, &h2::pseudo("POST", "/"));
    let kinds: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("pings", vec![], frame(PING, 0, 0, &[0; 8])),
        ("settings", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("acknowledged settings", vec![], frame(SETTINGS, ACK, 0, &[])),
        ("priorities", vec![], frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16])),
        ("empty data", open.clone(), frame(DATA, 0, 1, &[])),
        ("windows", open, frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
    ];
    for (name, before, one) in kinds {
        let mut client = place.client().await;
        client.write(&before).await;
        let batch = one.repeat(100);
        let flooding = tokio::spawn(flood(client, 3000, move |_| batch.clone()));
        for _ in 0..5 {
            tokio::time::timeout(Duration::from_secs(20), place.serves()).await.unwrap_or_else(|_| panic!("{name}"));
        }
        let (error, _) = flooding.await.unwrap();
        assert!(error.is_none_or(|error| error == ENHANCE_YOUR_CALM || error == PROTOCOL), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn questions_whose_answers_are_not_read() {
    // Each ping wants an answer; a client that never reads must not fill our memory with them.
    let limits = Limits { client_idle: Duration::from_secs(1), ..limits() };
    let place = Place::new(Dyno::text("fine").await, limits).await;
    for one in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])] {
        let mut client = place.client().await;
        let batch = one.repeat(1000);
        // 340 MB of them.
        let taken = async {
            use tokio::io::AsyncWriteExt;
            let mut taken = 0;
            while taken < 20_000 && client.0.write_all(&batch).await.is_ok() {
                taken += 1;
            }
            taken
        };
        // It is either not read any more, and closed after a while, or closed at once.
        let taken = tokio::time::timeout(Duration::from_secs(20), taken).await.expect("it is neither read nor closed");
        assert!(taken < 20_000, "all of it was taken");
        place.serves().await;
    }
    place.house.until(|status| status.connections == 0).await;
}

#[tokio::test]
async fn a_window_that_is_held_at_zero_ends_the_stream() {
    // More than may be buffered on the way.
    let place = Place::new(Dyno::text("fine".repeat(1 << 20).leak()).await, limits()).await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0: no byte of a body may be sent.
    let mut client = Client::new(place.addr, &place.trusted, &[(4, 0)]).await;
    for stream in [1, 3, 5] {
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get("/held"))).await;
    }
    for _ in 0..3 {
        let line = place.house.line("path=\"/held\"").await;
        assert!(line.starts_with("at=warning code=H28 "), "{line}");
    }
    assert!(!matches!(client.end(5).await, End::Answered(..)));
    place.house.until(|status| status.backends[0].in_flight == 0).await;
}

#[tokio::test]
async fn a_window_of_one_byte_is_served_byte_by_byte() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    let mut client = Client::new(place.addr, &place.trusted, &[(4, 1)]).await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get("/"))).await;
    for _ in 0..3 {
        client.write(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).await;
    }
    assert_eq!(client.end(1).await, End::Answered(200, "fine".to_owned()));
}

#[tokio::test]
async fn frames_out_of_place_end_the_connection() {
    let place = Place::new(Dyno::text("fine").await, patient()).await;
    let request = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get("/"));
    for (name, bytes) in [
        ("data of no stream", frame(DATA, 0, 0, b"x")),
        ("data of a stream that never began", frame(DATA, 0, 7, b"x")),
        ("a reset of a stream that never began", frame(RST_STREAM, 0, 7, &[0; 4])),
        ("a window of a stream that never began", frame(WINDOW_UPDATE, 0, 7, &1_u32.to_be_bytes())),
        ("an even stream", request(2)),
        ("a stream below one that was there", [request(5), request(3)].concat()),
        ("a request of no stream", request(0)),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &h2::get("/"))),
        (
            "another frame in the middle of a head",
            [frame(HEADERS, 0, 1, &h2::get("/")), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("a window of 2^31", frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])),
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a frame that is too long", frame(DATA, 0, 1, &[0; 20_000])),
        ("padding that is longer than its frame", frame(HEADERS, END_HEADERS | END_STREAM | 8, 1, &[200, 0x82])),
        ("a push", frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
        ("a head that refers to nothing", frame(HEADERS, END_HEADERS | END_STREAM, 1, &indexed(1000))),
        ("a head that ends in the middle", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x40, 0x7f, 0xff])),
        ("a table of 1 GB", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x03])),
        ("no HTTP/2 at all", b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n".to_vec()),
    ] {
        let mut client = place.client().await;
        client.write(&bytes).await;
        let error = tokio::time::timeout(Duration::from_secs(20), client.gone()).await;
        let error = error.unwrap_or_else(|_| panic!("{name}: the connection goes on"));
        assert_ne!(error, Some(0), "{name}");
    }
    place.serves().await;
}

#[tokio::test]
async fn more_streams_than_there_may_be_are_refused() {
    let dyno = Dyno::says_and_holds("").await;
    let place = Place::new(dyno, patient()).await;
    let mut client = place.client().await;
    for at in 0..400 {
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, at * 2 + 1, &h2::get("/"))).await;
    }
    // The first of them is refused, unless all are with the connection.
    while let Some(frame) = client.read().await {
        if frame.kind == RST_STREAM || frame.kind == h2::GOAWAY {
            assert!([REFUSED_STREAM, ENHANCE_YOUR_CALM, PROTOCOL].contains(&frame.error()), "{frame:?}");
            break;
        }
    }
    // What is behind a ping's answer has been seen.
    client.write(&frame(PING, 0, 0, &[0; 8])).await;
    while client.read().await.is_some_and(|frame| frame.kind != PING) {}
    let status = place.house.until(|_| true).await;
    assert!(status.backends[0].in_flight <= 250, "{status:?}");
    drop(client);
    place.house.until(|status| status.backends[0].in_flight == 0 && status.connections == 0).await;
}

/// A ping's answer stands behind what a slow client still has to read.
#[tokio::test]
async fn who_answers_no_ping_is_served_while_bytes_move() {
    let dyno = Dyno::raw(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        util::backend::head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n").await.unwrap();
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            stream.write_all(b"x").await.unwrap();
        }
    })
    .await;
    let limits = Limits { client_idle: Duration::from_millis(200), ..patient() };
    let place = Place::new(dyno, limits).await;
    let mut client = place.client().await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get("/"))).await;
    let (mut pings, mut bytes) = (0, 0);
    while bytes < 40 {
        let frame = client.read().await.expect("cut off in the middle");
        pings += u32::from(frame.kind == PING);
        bytes += if frame.kind == h2::DATA { frame.payload.len() } else { 0 };
    }
    assert!(pings > 0);
    // Without streams and without an answer it ends.
    while client.read().await.is_some() {}
}

/// What waits behind other answers to the same client is not idle while those go on.
#[tokio::test]
async fn who_reads_slowly_gets_many_answers_whole() {
    let limits = Limits { idle: Duration::from_secs(1), ..patient() };
    let place = Place::new(Dyno::text("fine".repeat(16 * 1024).leak()).await, limits).await;
    let mut client = Client::new(place.addr, &place.trusted, &[(4, 0x7fff_ffff)]).await;
    client.write(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes())).await;
    let ask = |at: u32| frame(HEADERS, END_HEADERS | END_STREAM, at * 2 + 1, &h2::get("/"));
    client.write(&(0..200).flat_map(ask).collect::<Vec<u8>>()).await;
    let mut ended = 0;
    while ended < 200 {
        let frame = client.read().await.expect("cut off in the middle");
        assert_ne!(frame.kind, RST_STREAM, "{ended} were answered whole");
        if frame.kind == DATA && frame.flags & END_STREAM != 0 {
            ended += 1;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
}

/// A router process that does not outlive its test.
struct Router(Child);

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Router {
    /// Bytes of memory that it has.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

/// A router process, with what its visitors need: its address, and whom they trust.
async fn process(dir: &std::path::Path, dyno: SocketAddr) -> (Router, SocketAddr, Trusted, StubDaemon) {
    let trusted = tls::own(dir);
    let daemon = StubDaemon::start(dir);
    daemon.set(serving(1, &[dyno]));
    let child = Command::new(env!("CARGO_BIN_EXE_paas-router"))
        .env("PAAS_DATA_DIR", dir)
        .env("PAAS_HTTP_LISTEN", "")
        .env("PAAS_HTTPS_LISTEN", "127.0.0.1:0")
        .env("PAAS_ROUTER_THREADS", "1")
        .env_remove("LISTEN_FDS")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let router = Router(child.unwrap());
    let addr = until(dir, |status| status.generation > 0).await.https[0].parse().unwrap();
    (router, addr, trusted, daemon)
}

#[tokio::test]
async fn the_process_does_not_grow_with_answers_that_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let dyno = Dyno::text("fine".repeat(16 * 1024).leak()).await;
    let (router, addr, trusted, daemon) = process(dir.path(), dyno.addr).await;
    // All that there is may be sent.
    let client = async || {
        let mut client = Client::new(addr, &trusted, &[(4, 0x7fff_ffff)]).await;
        client.write(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes())).await;
        client
    };
    let ask = |at: u32| frame(HEADERS, END_HEADERS | END_STREAM, at * 2 + 1, &h2::get("/"));
    let all: Vec<u8> = (0..200).flat_map(ask).collect();
    // Who reads gets everything, however much at once.
    let mut reader = client().await;
    reader.write(&all).await;
    let (mut bytes, mut ended) = (0, 0);
    while ended < 200 {
        let frame = reader.read().await.expect("the connection ends");
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == DATA {
            bytes += frame.payload.len();
            ended += u32::from(frame.flags & END_STREAM);
        }
    }
    assert_eq!(bytes, 200 * 64 * 1024);
    let before = router.memory();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = client().await;
        client.write(&all).await;
        clients.push(client);
    }
    // Each was answered or refused by now, or is one that nobody has taken the answer of.
    until(dir.path(), |status| {
        let told = daemon.lines().iter().filter(|line| line.line.contains("path=\"/\"")).count();
        let waiting = status.backends[0].in_flight as usize;
        waiting > 0 && told + waiting == 9 * 200
    })
    .await;
    let grown = router.memory().saturating_sub(before);
    assert!(grown < 48 << 20, "it grew by {} MB", grown >> 20);
    // Another gets an answer as soon as there is room among the app's requests.
    clients.truncate(1);
    until(dir.path(), |status| status.backends[0].in_flight < 200).await;
    let mut other = client().await;
    other.write(&ask(0)).await;
    assert!(matches!(other.end(1).await, End::Answered(200, _)));
    drop(clients);
    until(dir.path(), |status| status.backends[0].in_flight == 0).await;
}

#[tokio::test]
async fn the_process_does_not_grow_with_an_attack() {
    let dir = tempfile::tempdir().unwrap();
    let dyno = Dyno::text("fine").await;
    let (router, addr, trusted, _daemon) = process(dir.path(), dyno.addr).await;
    let client = async || Client::new(addr, &trusted, &[]).await;
    let served = async || {
        let mut client = client().await;
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get("/"))).await;
        assert_eq!(client.end(1).await, End::Answered(200, "fine".to_owned()));
    };
    served().await;
    let before = router.memory();
    let mut bomb = h2::get("/");
    bomb.extend(remembered("x", "a".repeat(4000)));
    bomb.extend(indexed(62).repeat(12_000));
    let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    for _ in 0..5 {
        flood(client().await, 1, |_| bomb.clone()).await;
        flood(client().await, 20_000, |at| {
            if at == 0 {
                frame(HEADERS, END_STREAM, 1, &h2::get("/"))
            } else {
                frame(CONTINUATION, 0, 1, &h2::header("x", [b'a'; 1000]))
            }
        })
        .await;
        flood(client().await, 20_000, |at| {
            let stream = u32::try_from(at).unwrap() * 2 + 1;
            let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2::get("/"));
            [request, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .await;
        flood(client().await, 2000, |_| frame(PING, 0, 0, &[0; 8]).repeat(100)).await;
        served().await;
    }
    let grown = router.memory().saturating_sub(before);
    assert!(grown < 32 << 20, "it grew by {} MB", grown >> 20);
}
