//! HTTP/1 byte by byte: what is read strictly, what is framed anew, and what is not waited
//! for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use util::backend::{Dyno, head};
use util::client::{connect, get, mirrored, read_to, rest, send, status_of};
use util::{House, patient, serving};

const ASK: &str = "GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n";

#[tokio::test]
async fn requests_that_come_together_are_answered_in_order() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    let mut requests = String::from("\r\n\r\n");
    for number in 0..50 {
        requests += &format!("GET /{number} HTTP/1.1\r\nHost: demo.localhost\r\n\r\n");
        requests += &format!("POST /{number} HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 3\r\n\r\n{number:03}");
        requests += &format!(
            "PUT /{number} HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
            number % 10
        );
    }
    requests += &get("/last", "");
    client.write_all(requests.as_bytes()).await.unwrap();
    let answers = rest(&mut client).await;
    let lines: Vec<&str> =
        answers.lines().filter(|line| line.ends_with(" HTTP/1.1") && !line.starts_with("via")).collect();
    let expected: Vec<String> = (0..50)
        .flat_map(|number| ["GET", "POST", "PUT"].map(|method| format!("{method} /{number} HTTP/1.1")))
        .chain(["GET /last HTTP/1.1".to_owned()])
        .collect();
    assert_eq!(lines, expected);
    assert!(answers.contains("\n\n049HTTP/1.1 200 OK\r\n"), "{answers}");
}

/// A head that comes letter by letter.
#[tokio::test]
async fn a_head_in_pieces() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    for byte in get("/a", "X-One: 1\r\n").bytes() {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = rest(&mut client).await;
    assert_eq!(mirrored(&answer)["x-one"], "1");
}

/// HTTP/1.0 knows no chunks, and keeps a connection only when it asks for that.
#[tokio::test]
async fn clients_of_http_1_0() {
    let dyno = Dyno::raw(|mut stream| async move {
        loop {
            let asked = head(&mut stream).await;
            let answer = if asked.starts_with("GET /chunks ") {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            } else if asked.starts_with("GET ") {
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
            } else {
                return;
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    let ask = |path: &str| format!("GET {path} HTTP/1.0\r\nHost: demo.localhost\r\nConnection: keep-alive\r\n\r\n");
    for _ in 0..2 {
        client.write_all(ask("/").as_bytes()).await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\nhello").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nconnection: keep-alive\r\n"),
            "{answer}"
        );
    }
    client.write_all(ask("/chunks").as_bytes()).await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.ends_with("\r\n\r\nhello") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    let answer = send(house.addr, "GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn words_between_dyno_and_router_stay_there() {
    let dyno = Dyno::says(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let answer = send(house.addr, &get("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 Fine\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
}

/// What two servers could read differently goes to none.
#[tokio::test]
async fn requests_with_an_unclear_end_are_refused() {
    let dyno = Dyno::text("never asked").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    for lines in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: demo.localhost\r\n{lines}\r\nabc{ASK}");
        let answer = send(house.addr, &request).await;
        assert_eq!(status_of(&answer), 400, "{lines:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines:?}: {answer}");
        let line = house.line("").await;
        assert!(line.contains("code=H26 desc=\"Request Error\" cause=\"bad header\" method=POST"), "{line}");
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: demo.localhost\nX: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: a\0b\r\n\r\n",
        "GET demo.localhost HTTP/1.1\r\nHost: demo.localhost\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: demo.localhost\r\n\r\n",
    ] {
        assert_eq!(status_of(&send(house.addr, request).await), 400, "{request:?}");
    }
    assert_eq!(dyno.connections(), 0);
}

/// Chunks win over a length, but whoever sends both is not trusted with another request.
#[tokio::test]
async fn both_ends_at_once_are_the_connections_last_request() {
    let dyno = Dyno::mirror().await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{ASK}"
    );
    let answer = send(house.addr, &request).await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}

/// Chunks are framed anew, without what their sizes carried along.
#[tokio::test]
async fn extensions_and_wrong_trailers_go_no_further() {
    let dyno = Dyno::raw(|mut stream| async move {
        let asked = head(&mut stream).await;
        assert!(asked.to_lowercase().contains("transfer-encoding: chunked"), "{asked}");
        let body = read_to(&mut stream, "\r\n\r\n").await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let lines = "Transfer-Encoding: CHUNKED\r\n";
    let body = "003;a=\"b\"\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Length: 4\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n";
    let answer = send(house.addr, &(get("/", lines) + body)).await;
    assert!(answer.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn responses_with_an_unclear_end_are_refused() {
    let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(9000));
    for (said, code, status) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "H25 desc=\"HTTP Restriction\" cause=\"invalid content length\"",
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "H25 desc=\"HTTP Restriction\" cause=\"invalid content length\"",
            502,
        ),
        (long.as_str(), "H25 desc=\"HTTP Restriction\" cause=\"oversized status line\"", 502),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "H17 desc=\"Poorly formatted HTTP response\"", 503),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "H17 desc=\"Poorly formatted HTTP response\"", 503),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "H17 desc=\"Poorly formatted HTTP response\"", 503),
        ("HTTP/1.1 200 OK\r\nX: y", "H18 desc=\"Server Request Interrupted\"", 503),
    ] {
        let dyno = Dyno::says(said).await;
        let house = House::with(serving(1, &[dyno.addr]), patient()).await;
        assert_eq!(status_of(&send(house.addr, &get("/", "")).await), status, "{said:?}");
        let socket = if code.starts_with("H18") { "sock=backend " } else { "" };
        assert_eq!(
            house.line("").await,
            format!(
                "{socket}at=error code={code} method=GET path=\"/\" host=demo.localhost \
                 request_id=0123456789abcdef0123 fwd=\"127.0.0.1\" dyno=web.1 connect=Nms service=Nms \
                 status={status} bytes=0 protocol=http1.1 tls=false"
            ),
            "{said:?}"
        );
    }
    let dyno = Dyno::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let answer = send(house.addr, &get("/", "")).await;
    assert!(answer.ends_with("\r\n\r\n3\r\nabc\r\n"), "no last chunk: {answer}");
    assert!(house.line("").await.contains("code=H17 "));
}

/// The dyno doesn't want the body, says so, and closes.
#[tokio::test]
async fn an_early_answer_arrives_although_the_upload_goes_on() {
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!").await.unwrap();
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "Content-Length: 100000000\r\n").as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    // The router hears it out for a while and closes then: what was answered is there to be read.
    let upload = async {
        while writing.write_all(&[b'x'; 65536]).await.is_ok() {}
        std::future::pending::<()>().await
    };
    let answer = async {
        let answer = read_to(&mut reading, "no!").await;
        assert_eq!(status_of(&answer), 413);
    };
    tokio::select! {
        () = answer => {}
        () = upload => {}
    }
    assert!(house.line("").await.contains(" status=413 bytes=3 "));
}

/// What has said all that it has to say is free for others, however slowly a client reads.
#[tokio::test]
async fn a_slow_reader_holds_no_dyno_for_a_small_response() {
    let size = 1_000_000;
    let dyno = Dyno::raw(move |mut stream| async move {
        head(&mut stream).await;
        let answer =
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes(), vec![b'x'; size]].concat();
        stream.write_all(&answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(house.addr).await.unwrap();
    client.write_all(get("/a", "").as_bytes()).await.unwrap();
    // Not a byte was read.
    assert!(house.line("").await.contains(&format!("status=200 bytes={size} ")));
    house.until(|status| status.backends[0].in_flight == 0).await;
    let answer = rest(&mut client).await;
    assert!(answer.len() > size && answer.ends_with("xxx"), "{} bytes", answer.len());
}

/// What either side sends before it knows that the other has agreed is not lost.
#[tokio::test]
async fn early_bytes_of_a_tunnel() {
    let dyno = Dyno::raw(|mut stream| async move {
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly dyno;")
            .await
            .unwrap();
        let early = read_to(&mut stream, ";").await;
        stream.write_all(early.to_uppercase().as_bytes()).await.unwrap();
        // The client has said all, and still hears.
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        stream.write_all(b" bye").await.unwrap();
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    let request = "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly client;";
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = read_to(&mut client, "\r\n\r\n").await;
    assert!(status_of(&answer) == 101 && answer.contains("\r\nupgrade: x\r\n"), "{answer}");
    read_to(&mut client, "early dyno;EARLY CLIENT;").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, " bye");
    let line = house.line("").await;
    assert!(line.contains(" status=101 bytes=28 "), "{line}");
}

/// A dyno that sends a body where there must be none, a moment later: what would be read as the
/// next visitor's answer.
#[tokio::test]
async fn bytes_behind_an_answer_are_nobody_elses() {
    for stray in ["HEAD /a", "GET /none", "GET /same", "GET /short"] {
        let written = Arc::new(Semaphore::new(0));
        let tell = Arc::clone(&written);
        let dyno = Dyno::raw(move |mut stream| {
            let tell = Arc::clone(&tell);
            async move {
                loop {
                    let asked = head(&mut stream).await;
                    if asked.is_empty() {
                        return;
                    }
                    let answer: &[u8] = if asked.starts_with("HEAD") {
                        b"HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n"
                    } else if asked.contains("/none") {
                        b"HTTP/1.1 204 No Content\r\nContent-Length: 36\r\n\r\n"
                    } else if asked.contains("/same") {
                        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 36\r\n\r\n"
                    } else if asked.contains("/short") {
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                    } else {
                        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
                    };
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                    if !asked.contains("/next") {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                        tell.add_permits(1);
                    }
                }
            }
        })
        .await;
        let house = House::with(serving(1, &[dyno.addr]), patient()).await;
        for _ in 0..20 {
            let mut client = connect(house.addr).await;
            client.write_all(format!("{stray} HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").as_bytes()).await.unwrap();
            read_to(&mut client, if stray.ends_with("short") { "ok" } else { "\r\n\r\n" }).await;
            written.acquire().await.unwrap().forget();
            let answer = send(house.addr, &get("/next", "")).await;
            assert!(answer.ends_with("mine"), "{stray}: {answer}");
        }
    }
}

/// The client is told that the connection ends when its body was not wanted to the end.
#[tokio::test]
async fn an_early_answer_ends_the_connection_and_says_so() {
    let dyno = Dyno::says_and_holds("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno!").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let mut client = connect(house.addr).await;
    client.write_all(get("/a", "Content-Length: 200000\r\n").as_bytes()).await.unwrap();
    let answer = read_to(&mut client, "no!").await;
    assert!(status_of(&answer) == 401 && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn what_costs_much_to_look_at_is_refused() {
    let dyno = Dyno::text("fine").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let words = format!("Connection: {}\r\n", "a,".repeat(4000));
    assert_eq!(status_of(&send(house.addr, &get("/", &words)).await), 400);
    for host in ["demo.localhost:1:2", "demo.localhost:]", "demo.localhost:http", "[::1", "[x]"] {
        let answer = send(house.addr, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status_of(&answer), 400, "{host}");
    }
    let empty = "\r\n".repeat(100);
    assert_eq!(status_of(&send(house.addr, &format!("{empty}{}", get("/", ""))).await), 400);
    assert_eq!(status_of(&send(house.addr, &format!("\r\n{}", get("/", ""))).await), 200);
}
