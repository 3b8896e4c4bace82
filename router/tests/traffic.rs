//! What passes through, and how it looks on the other side.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use http_body_util::{BodyExt, Full};
use hyper::Response;
use paas_domain::route::AppRoute;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use util::backend::{Dyno, head};
use util::client::{connect, get, mirrored, read_to, rest, send, status_of};
use util::{House, REQUEST_ID, patient, serving, table, with_control};

#[tokio::test]
async fn the_dyno_is_told_where_the_request_comes_from() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let answer = send(house.addr, &get("/a?b=c", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n")).await;
    assert!(answer.contains("GET /a?b=c HTTP/1.1\n"), "{answer}");
    let seen = mirrored(&answer);
    assert_eq!(seen["host"], "demo.localhost");
    assert_eq!(seen["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 127.0.0.1");
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert_eq!(seen["x-forwarded-port"], house.addr.port().to_string());
    assert_eq!(seen["x-request-id"], REQUEST_ID);
    assert_eq!(seen["via"], "1.1 paas-router");
    let start: u128 = seen["x-request-start"].parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(now.abs_diff(start) < 60_000, "{start} is no time of day in milliseconds");
    assert!(answer.contains("\r\nvia: 1.1 paas-router\r\n"), "{answer}");
    let line = house.line("").await;
    assert!(line.contains("fwd=\"1.1.1.1, 2.2.2.2, 127.0.0.1\""), "{line}");
    assert!(line.contains("path=\"/a?b=c\""), "{line}");
}

#[tokio::test]
async fn a_request_id_that_is_none_is_replaced() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let long = "x".repeat(201);
    for bad in ["short", "with spaces in the middle of it", long.as_str()] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\nX-Request-Id: {bad}\r\n\r\n");
        let seen = mirrored(&send(house.addr, &request).await);
        let id: uuid::Uuid = seen["x-request-id"].parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        house.line(&format!("request_id={id} ")).await;
    }
    // One that is kept is the only one.
    let answer = send(house.addr, &get("/", "X-Request-Id: another-0123456789abcdef\r\n")).await;
    assert_eq!(mirrored(&answer)["x-request-id"], REQUEST_ID);
    assert!(!answer.contains("another-"), "{answer}");
}

/// Many servers tell `X_Forwarded_Proto` and `X-Forwarded-Proto` not apart.
#[tokio::test]
async fn what_looks_like_a_header_of_ours_is_dropped() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let lines = "X_Forwarded_Proto: https\r\nX-Forwarded_For: 9.9.9.9\r\nX_FORWARDED-PORT: 443\r\nx_request_id: x\r\n\
                 X_Request_Start: 1\r\nX_Other: stays\r\n";
    let seen = mirrored(&send(house.addr, &get("/", lines)).await);
    let with_underscores: Vec<_> = seen.keys().filter(|name| name.contains('_')).collect();
    assert_eq!(with_underscores, ["x_other"]);
    assert_eq!((seen["x-forwarded-proto"].as_str(), seen["x-forwarded-for"].as_str()), ("http", "127.0.0.1"));
}

/// What spoke HTTP/2 with the dyno itself would pass by every rule of the router.
#[tokio::test]
async fn an_upgrade_to_http2_does_not_pass() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    for protocols in ["h2c", "H2C", "websocket, h2c"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: {protocols}\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        );
        let seen = mirrored(&send(house.addr, &request).await);
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(!seen.contains_key(name), "{name} of {protocols}: {seen:?}");
        }
    }
}

/// Where a body ends is said in several ways, and sometimes in two at once.
#[tokio::test]
async fn bodies_end_where_they_end() {
    let until_the_end = "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end";
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (said, via, body) in [
        (until_the_end, "1.0", "\r\n\r\nD\r\nuntil the end\r\n0\r\n\r\n"),
        (both, "1.1", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let dyno = Dyno::says(said).await;
        let house = House::new(serving(1, &[dyno.addr])).await;
        let answer = send(house.addr, &get("/", "")).await;
        assert!(answer.ends_with(body) && answer.contains(&format!("\r\nvia: {via} paas-router\r\n")), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
        assert!(house.line("").await.starts_with("at=info "), "{said}");
    }
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let request = "POST / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\nContent-Length: 3\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = send(house.addr, request).await;
    let seen = mirrored(&answer);
    assert_eq!((seen.get("content-length"), seen["transfer-encoding"].as_str()), (None, "chunked"));
    assert!(answer.ends_with("\n\nhello"), "{answer}");
}

#[tokio::test]
async fn a_304_has_no_body_whatever_its_length_says() {
    let dyno = Dyno::raw(|mut stream| async move {
        for _ in 0..2 {
            head(&mut stream).await;
            let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 12\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let mut client = connect(house.addr).await;
    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\nIf-None-Match: \"x\"\r\n\r\n").await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\n").await;
        assert!(status_of(&answer) == 304 && answer.contains("etag: \"x\""), "{answer}");
        assert!(house.line("").await.contains(" status=304 bytes=0 "));
    }
    // What the length may announce could still come: the next request gets a connection of its own.
    assert_eq!(dyno.connections(), 2);
}

#[tokio::test]
async fn what_belongs_to_one_connection_stays_there() {
    let dyno = Dyno::raw(|mut stream| async move {
        let head = head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: close, X-Secret\r\nKeep-Alive: timeout=5\r\nX-Secret: 1\r\n\
             X-Public: 1\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let request = "GET /a HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close, X-Hop, Host, X-Forwarded-For\r\n\
                   X-Hop: 1\r\nX-End: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic eDp4\r\n\
                   Proxy-Connection: keep-alive\r\nTE: gzip\r\n\r\n";
    let answer = send(house.addr, request).await.to_lowercase();
    let (answered, asked) = answer.split_once("\r\n\r\n").unwrap();
    for (part, of, there) in [
        ("x-hop:", asked, false),
        ("keep-alive:", asked, false),
        ("proxy-", asked, false),
        ("te:", asked, false),
        ("connection:", asked, false),
        ("x-end: 1", asked, true),
        ("host: demo.localhost", asked, true),
        ("x-forwarded-for: 127.0.0.1", asked, true),
        ("x-secret", answered, false),
        ("keep-alive", answered, false),
        ("x-public: 1", answered, true),
    ] {
        assert_eq!(of.contains(&format!("\n{part}")), there, "{part} in {of}");
    }
}

#[tokio::test]
async fn hosts_by_wildcard_port_case_and_whole_url() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    for (target, host, seen) in [
        ("/", "b.example.com", "b.example.com"),
        ("/", "DEMO.localhost:8080", "DEMO.localhost:8080"),
        ("/", "demo.localhost.", "demo.localhost."),
        ("http://demo.localhost/x", "other.localhost", "demo.localhost"),
    ] {
        let answer =
            send(house.addr, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status_of(&answer), 200, "{host}");
        assert_eq!(mirrored(&answer)["host"], seen);
    }
    let answer = send(house.addr, "GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n").await;
    assert_eq!(status_of(&answer), 200);
}

#[tokio::test]
async fn head_and_empty_answers_keep_the_connection() {
    let dyno = Dyno::http(|request| async move {
        let mut response = Response::new(Full::from("twelve bytes"));
        if request.uri().path() == "/none" {
            *response.status_mut() = hyper::StatusCode::NO_CONTENT;
            *response.body_mut() = Full::default();
        }
        response
    })
    .await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let mut client = connect(house.addr).await;
    for _ in 0..3 {
        client.write_all(b"HEAD /head HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\n").await;
        assert!(answer.contains("content-length: 12"), "{answer}");
        client.write_all(b"GET /none HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        assert_eq!(status_of(&read_to(&mut client, "\r\n\r\n").await), 204);
        client.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").await.unwrap();
        read_to(&mut client, "twelve bytes").await;
    }
    // Not after a HEAD: some dynos send the body all the same.
    assert_eq!(dyno.connections(), 4, "the connection to the dyno is used again");
    house.daemon.has_lines(9).await;
    let lines = house.daemon.lines();
    assert!(lines.iter().all(|line| line.line.starts_with("at=info ")), "{lines:#?}");
    assert!(lines[0].line.contains("status=200 bytes=0 "), "{lines:#?}");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    // The dyno answers each piece of the request before the next is sent.
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        for _ in 0..3 {
            // One chunk: 1\r\nx\r\n
            let mut chunk = [0; 6];
            stream.read_exact(&mut chunk).await.unwrap();
            stream.write_all(&[b"2\r\n", &chunk[3..4], b"!\r\n"].concat()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        read_to(&mut stream, "0\r\n\r\n").await;
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "Transfer-Encoding: chunked\r\n").as_bytes()).await.unwrap();
    read_to(&mut client, "\r\n\r\n").await;
    for letter in ["a", "b", "c"] {
        client.write_all(format!("1\r\n{letter}\r\n").as_bytes()).await.unwrap();
        assert_eq!(read_to(&mut client, "!\r\n").await, format!("2\r\n{letter}!\r\n"));
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut client).await, "0\r\n\r\n");
    assert!(house.line("").await.contains("status=200 bytes=6 "));
}

#[tokio::test]
async fn trailers_pass() {
    let dyno = Dyno::raw(|mut stream| async move {
        assert!(head(&mut stream).await.to_lowercase().contains("te: trailers"));
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n",
            )
            .await
            .unwrap();
    })
    .await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let answer = send(house.addr, &get("/a", "TE: trailers\r\n")).await;
    assert!(answer.ends_with("2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn the_client_is_told_to_continue() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "Expect: 100-continue\r\nContent-Length: 5\r\n").as_bytes()).await.unwrap();
    assert_eq!(read_to(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.ends_with("\n\nhello"), "{answer}");
    assert!(!answer.contains("expect"), "{answer}");
}

#[tokio::test]
async fn a_big_body_arrives_whole() {
    let dyno = Dyno::http(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(body))
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", &format!("Content-Length: {}\r\n", body.len())).as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let mut answer = Vec::new();
    let (sent, got) = tokio::join!(writing.write_all(&body), reading.read_to_end(&mut answer));
    sent.unwrap();
    got.unwrap();
    assert!(answer.ends_with(&body), "{} bytes came back", answer.len());
    assert!(house.line("").await.contains("bytes=5000000 "));
}

/// An echo of WebSocket messages behind a handshake made by hand.
async fn echo_dyno() -> Dyno {
    Dyno::raw(|mut stream| async move {
        let head = head(&mut stream).await.to_lowercase();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await
            .unwrap();
        let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(Ok(message)) = futures_next(&mut socket).await {
            if message.is_close() {
                break;
            }
            futures_send(&mut socket, message).await;
        }
    })
    .await
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn futures_next(socket: &mut Socket) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    use futures_util::StreamExt;
    socket.next().await
}

async fn futures_send(socket: &mut Socket, message: Message) {
    use futures_util::SinkExt;
    socket.send(message).await.unwrap();
}

async fn upgraded(house: &House) -> Socket {
    let mut client = connect(house.addr).await;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nX-Request-Id: {REQUEST_ID}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = read_to(&mut client, "\r\n\r\n").await;
    assert_eq!(status_of(&answer), 101, "{answer}");
    assert!(answer.to_lowercase().contains("upgrade: websocket"), "{answer}");
    Socket::from_raw_socket(client, Role::Client, None).await
}

#[tokio::test]
async fn websockets() {
    let dyno = echo_dyno().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut socket = upgraded(&house).await;
    for size in [1, 1000, 1_000_000] {
        let message = Message::binary(vec![7; size]);
        futures_send(&mut socket, message.clone()).await;
        assert_eq!(futures_next(&mut socket).await.unwrap().unwrap(), message);
    }
    house.until(|status| status.backends[0].in_flight == 1).await;
    socket.close(None).await.unwrap();
    while futures_next(&mut socket).await.is_some() {}
    let line = house.line("").await;
    assert!(line.starts_with("at=info method=GET path=\"/ws\" "), "{line}");
    assert!(line.contains("dyno=web.1 connect=Nms service=Nms status=101 bytes=100"), "{line}");
    house.until(|status| status.backends[0].in_flight == 0).await;
}

#[tokio::test]
async fn a_websocket_ends_with_its_dyno() {
    let dyno = echo_dyno().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut socket = upgraded(&house).await;
    futures_send(&mut socket, Message::text("are you there")).await;
    assert_eq!(futures_next(&mut socket).await.unwrap().unwrap(), Message::text("are you there"));
    dyno.dies();
    assert!(!matches!(futures_next(&mut socket).await, Some(Ok(_))), "the connection is broken off");
    let line = house.line("").await;
    assert!(line.starts_with("at=info method=GET path=\"/ws\" ") && line.contains(" status=101 "), "{line}");
    house.until(|status| status.backends[0].in_flight == 0 && status.connections == 0).await;
}

#[tokio::test]
async fn a_silent_websocket_is_idle() {
    let dyno = echo_dyno().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let mut socket = upgraded(&house).await;
    assert!(!matches!(futures_next(&mut socket).await, Some(Ok(_))));
    let line = house.line("").await;
    assert!(line.starts_with("at=error code=H15 desc=\"Idle connection\" method=GET path=\"/ws\""), "{line}");
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_no_answer() {
    let dyno = Dyno::says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(house.line("").await.contains("code=H17"));
}

#[tokio::test]
async fn the_daemons_own_names_have_no_limits() {
    let api = Dyno::raw(|mut stream| async move {
        let head = head(&mut stream).await;
        assert!(head.to_lowercase().contains("x-forwarded-for: 127.0.0.1"), "{head}");
        // Silent for longer than any app may be, before the first byte and after it.
        tokio::time::sleep(util::limits().idle * 2).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nda").await.unwrap();
        tokio::time::sleep(util::limits().idle * 2).await;
        stream.write_all(b"ta").await.unwrap();
    })
    .await;
    let house = House::new(with_control(table(1, Vec::<AppRoute>::new()), api.addr)).await;
    let request = "GET /apps HTTP/1.1\r\nHost: api.localhost\r\nConnection: close\r\n\r\n";
    let answer = send(house.addr, request).await;
    assert!(answer.ends_with("\r\n\r\ndata"), "{answer}");
    assert_eq!(house.daemon.lines(), []);
}

#[tokio::test]
async fn a_daemon_that_is_away_is_waited_for_and_then_excused() {
    let addr = util::backend::nobody().await;
    let house = House::new(with_control(table(1, vec![]), addr)).await;
    let request = "GET /apps HTTP/1.1\r\nHost: api.localhost\r\nConnection: close\r\n\r\n";
    let waiting = tokio::spawn(send(house.addr, request));
    house.until(|status| status.connections == 1).await;
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(status_of(&waiting.await.unwrap()), 200);
    drop(stream);
    drop(listener);
    let answer = send(house.addr, request).await;
    assert_eq!(status_of(&answer), 503);
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["id"], "service_unavailable");
}

#[tokio::test]
async fn before_the_first_table_nothing_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let router = paas_router::start(util::settings(dir.path(), patient()), paas_router::Inherited::default()).unwrap();
    let answer = send(router.http()[0], &get("/a", "")).await;
    assert_eq!(status_of(&answer), 503);
    assert!(answer.contains("<h1>Starting</h1>"), "{answer}");
    router.stop();
    tokio::task::spawn_blocking(|| router.join()).await.unwrap();
}
