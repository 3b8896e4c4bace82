//! Every code of Heroku's that this router gives, each with its exact line.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Response;
use paas_domain::route::RouteState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use util::backend::{Deaf, Dyno, head, nobody};
use util::client::{connect, get, read_to, rest, send, status_of};
use util::{House, app, limits, serving, table, time};

const WHERE: &str = "method=GET path=\"/a\" host=demo.localhost request_id=0123456789abcdef0123 fwd=\"127.0.0.1\"";

#[tokio::test]
async fn a_request_that_went_well() {
    let dyno = Dyno::text("Hello, world!").await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let answer = send(house.addr, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 200);
    assert!(answer.ends_with("\r\n\r\nHello, world!"), "{answer}");
    assert_eq!(
        house.line("").await,
        format!("at=info {WHERE} dyno=web.1 connect=Nms service=Nms status=200 bytes=13 protocol=http1.1 tls=false")
    );
}

/// The app can't serve, for a reason that the table tells: no dyno is asked.
#[tokio::test]
async fn h10_h14_h80_h81() {
    let house = House::new(table(1, vec![])).await;
    let mut generation = 1;
    for (state, maintenance, at, code, desc, page) in [
        (RouteState::Crashed, false, "error", "H10", "App crashed", "Application error"),
        (RouteState::NoWeb, false, "error", "H14", "No web processes running", "Application error"),
        (RouteState::Serving, true, "info", "H80", "Maintenance mode", "Down for maintenance"),
        (RouteState::Blank, false, "info", "H81", "Blank app", "Nothing here yet"),
    ] {
        let mut app = app(state, &[]);
        app.maintenance = maintenance;
        generation += 1;
        house.set(table(generation, vec![app])).await;
        let answer = send(house.addr, &get("/a", "")).await;
        assert_eq!(status_of(&answer), 503, "{code}");
        assert!(answer.contains(&format!("<h1>{page}</h1>")), "{code}: {answer}");
        assert!(answer.contains("cache-control: no-cache, no-store"), "{code}: {answer}");
        assert_eq!(
            house.line("").await,
            format!(
                "at={at} code={code} desc=\"{desc}\" {WHERE} dyno= connect= service= status=503 bytes=0 \
                 protocol=http1.1 tls=false"
            )
        );
    }
}

#[tokio::test]
async fn pages_of_the_apps_own() {
    let mut down = app(RouteState::Crashed, &[]);
    down.error_page_url = Some("https://cdn.example/error.html?a=1&b=\"2".to_owned());
    down.maintenance_page_url = Some("https://cdn.example/maintenance.html".to_owned());
    let house = House::new(table(1, vec![down.clone()])).await;
    let answer = send(house.addr, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 503);
    assert!(answer.contains("<iframe src=\"https://cdn.example/error.html?a=1&amp;b=&quot;2\" "), "{answer}");
    assert!(answer.contains("<title>Application error</title>"), "{answer}");
    down.maintenance = true;
    house.set(table(2, vec![down.clone()])).await;
    let answer = send(house.addr, &get("/a", "")).await;
    assert!(answer.contains("<iframe src=\"https://cdn.example/maintenance.html\" "), "{answer}");
    assert!(answer.contains("<title>Down for maintenance</title>"), "{answer}");
    down.maintenance_page_url = Some("javascript:alert(1)".to_owned());
    house.set(table(3, vec![down])).await;
    let answer = send(house.addr, &get("/a", "")).await;
    assert!(answer.contains("<h1>Down for maintenance</h1>") && !answer.contains("alert"), "{answer}");
}

#[tokio::test]
async fn unknown_hosts_get_a_page_and_no_line() {
    let dyno = Dyno::text("ok").await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let answer = send(house.addr, "GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status_of(&answer), 404);
    assert!(answer.contains("<h1>No such app</h1>"), "{answer}");
    send(house.addr, &get("/after", "")).await;
    house.line("path=\"/after\"").await;
    assert_eq!(house.daemon.lines(), []);
}

/// What the dyno does, and the line that tells of it.
async fn failing(dyno: &Dyno, request: &str) -> (String, String) {
    let house = House::new(serving(1, &[dyno.addr])).await;
    let answer = send(house.addr, request).await;
    (answer, house.line("").await)
}

fn dyno_line(rest: &str) -> String {
    rest.replace("WHERE", &format!("{WHERE} dyno=web.1 connect=Nms service=Nms")) + " protocol=http1.1 tls=false"
}

#[tokio::test]
async fn h12_no_first_byte() {
    let dyno = Dyno::says_and_holds("").await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let answer = send(house.addr, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 503);
    let line = house.daemon.raw_line("").await;
    assert!(u128::from(time(&line, "service")) >= limits().first_byte.as_millis(), "{line}");
    assert_eq!(
        util::without_times(&line),
        dyno_line("at=error code=H12 desc=\"Request timeout\" WHERE status=503 bytes=0")
    );
    // The dyno is told by the end of the connection.
    dyno.has_open(0).await;
}

#[tokio::test]
async fn h13_closed_without_a_byte() {
    let (answer, line) = failing(&Dyno::says("").await, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 503);
    assert_eq!(
        line,
        dyno_line("at=error code=H13 desc=\"Connection closed without response\" WHERE status=503 bytes=0")
    );
}

#[tokio::test]
async fn h15_a_response_that_goes_silent() {
    let dyno = Dyno::says_and_holds("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789").await;
    let (answer, line) = failing(&dyno, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 200);
    assert!(answer.ends_with("0123456789"), "{answer}");
    assert_eq!(line, dyno_line("at=error code=H15 desc=\"Idle connection\" WHERE status=503 bytes=10"));
}

#[tokio::test]
async fn h17_no_http() {
    for noise in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"] {
        let (answer, line) = failing(&Dyno::says(noise).await, &get("/a", "")).await;
        assert_eq!(status_of(&answer), 503, "{noise:?}");
        assert_eq!(
            line,
            dyno_line("at=error code=H17 desc=\"Poorly formatted HTTP response\" WHERE status=503 bytes=0"),
            "{noise:?}"
        );
    }
}

#[tokio::test]
async fn h18_broken_off_in_the_response() {
    let dyno = Dyno::says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789").await;
    let (answer, line) = failing(&dyno, &get("/a", "")).await;
    assert!(answer.ends_with("0123456789"), "{answer}");
    assert_eq!(
        line,
        dyno_line("sock=backend at=error code=H18 desc=\"Server Request Interrupted\" WHERE status=503 bytes=10")
    );
}

#[tokio::test]
async fn h18_broken_off_in_the_request() {
    let dyno = Dyno::says("").await;
    let house = House::with(serving(1, &[dyno.addr]), util::patient()).await;
    let mut client = connect(house.addr).await;
    let request = get("/a", "Content-Length: 100\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client.write_all(b"0123456789").await.unwrap();
    assert_eq!(status_of(&rest(&mut client).await), 503);
    assert_eq!(
        house.line("").await,
        dyno_line("sock=backend at=error code=H18 desc=\"Server Request Interrupted\" WHERE status=503 bytes=0")
    );
}

#[tokio::test]
async fn h19_no_connection_in_time() {
    let deaf = Deaf::new();
    let house = House::new(serving(1, &[deaf.addr])).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    let line = house.daemon.raw_line("").await;
    assert!(u128::from(time(&line, "connect")) >= limits().connect.as_millis(), "{line}");
    assert_eq!(
        util::without_times(&line),
        format!(
            "at=error code=H19 desc=\"Backend connection timeout\" {WHERE} dyno=web.1 connect=Nms service= status=503 \
             bytes=0 protocol=http1.1 tls=false"
        )
    );
}

#[tokio::test]
async fn h20_no_dyno_in_time() {
    let house = House::new(table(1, vec![app(RouteState::Booting, &[])])).await;
    let started = std::time::Instant::now();
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(started.elapsed() >= limits().queue, "{:?}", started.elapsed());
    assert_eq!(
        house.line("").await,
        format!(
            "at=error code=H20 desc=\"App boot timeout\" {WHERE} dyno= connect= service= status=503 bytes=0 \
             protocol=http1.1 tls=false"
        )
    );
}

#[tokio::test]
async fn h21_refused() {
    let house = House::new(serving(1, &[nobody().await])).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert_eq!(
        house.line("").await,
        format!(
            "at=error code=H21 desc=\"Backend connection refused\" {WHERE} dyno=web.1 connect=Nms service= status=503 \
             bytes=0 protocol=http1.1 tls=false"
        )
    );
}

#[tokio::test]
async fn h25_a_response_beyond_the_limits() {
    for (name, length, cause) in [("Set-Cookie", 9000, "oversized cookie"), ("X-Long", 600_000, "oversized header")] {
        let dyno = Dyno::raw(move |mut stream| async move {
            head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\n{name}: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(length));
            // The router may stop reading.
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let (answer, line) = failing(&dyno, &get("/a", "")).await;
        assert_eq!(status_of(&answer), 502, "{cause}");
        assert_eq!(
            line,
            dyno_line(&format!(
                "at=error code=H25 desc=\"HTTP Restriction\" cause=\"{cause}\" WHERE status=502 bytes=0"
            ))
        );
    }
}

#[tokio::test]
async fn h26_a_request_beyond_the_limits() {
    let dyno = Dyno::text("never asked").await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let long = format!("X-Long: {}\r\n", "x".repeat(8192));
    for (lines, status, cause) in
        [("Expect: a-miracle\r\n", 417, "unsupported expect header value"), (&long, 400, "bad header")]
    {
        assert_eq!(status_of(&send(house.addr, &get("/a", lines)).await), status, "{cause}");
        assert_eq!(
            house.line("").await,
            format!(
                "at=error code=H26 desc=\"Request Error\" cause=\"{cause}\" {WHERE} dyno= connect= service= \
                 status={status} bytes=0 protocol=http1.1 tls=false"
            )
        );
    }
    assert_eq!(dyno.connections(), 0);
}

#[tokio::test]
async fn h26_a_bad_chunk() {
    let (told, mut whole) = tokio::sync::mpsc::channel(1);
    let dyno = Dyno::http(move |request| {
        let told = told.clone();
        async move {
            let body = request.into_body().collect().await;
            told.send(body.is_ok()).await.unwrap();
            Response::new(Full::from("thanks"))
        }
    })
    .await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let request = get("/a", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\nxyz\r\n";
    assert_eq!(status_of(&send(house.addr, &request).await), 400);
    assert!(!whole.recv().await.unwrap(), "the dyno took a piece of a body for all of it");
    assert_eq!(
        house.line("").await,
        dyno_line("at=error code=H26 desc=\"Request Error\" cause=\"bad chunk\" WHERE status=400 bytes=0")
    );
}

#[tokio::test]
async fn h27_the_client_goes_away() {
    // The line has the times of connecting and waiting only once the dyno has the request.
    let (read, mut reads) = tokio::sync::mpsc::unbounded_channel();
    let dyno = Dyno::raw(move |mut stream| {
        let read = read.clone();
        async move {
            head(&mut stream).await;
            read.send(()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), util::patient()).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "").as_bytes()).await.unwrap();
    reads.recv().await.unwrap();
    drop(client);
    assert_eq!(
        house.line("").await,
        dyno_line("sock=client at=warning code=H27 desc=\"Client Request Interrupted\" WHERE status=499 bytes=0")
    );
    dyno.has_open(0).await;
}

#[tokio::test]
async fn h27_the_client_goes_away_while_it_waits_for_a_dyno() {
    let house = House::with(table(1, vec![app(RouteState::Booting, &[])]), util::patient()).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "").as_bytes()).await.unwrap();
    house.until(|status| status.waiting == 1).await;
    drop(client);
    assert_eq!(
        house.line("").await,
        format!(
            "sock=client at=warning code=H27 desc=\"Client Request Interrupted\" {WHERE} dyno= connect= service= \
             status=499 bytes=0 protocol=http1.1 tls=false"
        )
    );
}

#[tokio::test]
async fn h28_the_client_stops_sending() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "Content-Length: 100\r\n").as_bytes()).await.unwrap();
    client.write_all(b"0123456789").await.unwrap();
    assert_eq!(
        house.line("").await,
        dyno_line("at=warning code=H28 desc=\"Client Connection Idle\" WHERE status=499 bytes=0")
    );
}

#[tokio::test]
async fn h28_the_client_stops_reading() {
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
    })
    .await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "").as_bytes()).await.unwrap();
    read_to(&mut client, "\r\n\r\n").await;
    let line = house.line("").await;
    let (before, bytes) = line.split_once("bytes=").unwrap();
    assert_eq!(
        before,
        dyno_line("at=warning code=H28 desc=\"Client Connection Idle\" WHERE status=499")
            .trim_end_matches("protocol=http1.1 tls=false")
    );
    assert!(bytes.split(' ').next().unwrap().parse::<u64>().unwrap() > 65536, "{line}");
    dyno.has_open(0).await;
}

#[tokio::test]
async fn h99_this_machines_own_fault() {
    // A link-local address without its link can't be connected to from anywhere.
    let house = House::new(serving(1, &["[fe80::1]:80".parse().unwrap()])).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert_eq!(
        house.line("").await,
        format!(
            "at=error code=H99 desc=\"Platform error\" {WHERE} dyno=web.1 connect=Nms service= status=503 bytes=0 \
             protocol=http1.1 tls=false"
        )
    );
}

#[tokio::test]
async fn connect_is_refused() {
    let house = House::new(table(1, vec![])).await;
    let answer = send(house.addr, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert_eq!(status_of(&answer), 405);
}

/// A slow upload is no slow dyno: the clock of the first byte starts when the request is sent.
#[tokio::test]
async fn a_slow_upload_is_no_timeout() {
    let dyno = Dyno::mirror().await;
    let house = House::new(serving(1, &[dyno.addr])).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "Content-Length: 8\r\n").as_bytes()).await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        client.write_all(b"x").await.unwrap();
    }
    let answer = rest(&mut client).await;
    assert_eq!(status_of(&answer), 200);
    assert!(answer.ends_with("xxxxxxxx"), "{answer}");
}

#[tokio::test]
async fn a_broken_client_is_told_in_plain_words() {
    let house = House::new(table(1, vec![])).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: demo.localhost:80\" status=1\r\n\r\n",
    ] {
        let mut client = connect(house.addr).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\n").await;
        assert_eq!(status_of(&answer), 400, "{request:?}: {answer}");
    }
    let mut client = connect(house.addr).await;
    client.write_all(b"\x16\x03\x01 this is TLS\r\n\r\n").await.unwrap();
    assert_eq!(status_of(&rest(&mut client).await), 400);
    let mut client = connect(house.addr).await;
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status_of(&answer), 404);
}
