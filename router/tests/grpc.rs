//! Dynos that speak HTTP/2 without TLS, and gRPC through to them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::{Request, Response};
use paas_domain::route::{RouteState, RouteTable};
use paas_router::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use util::backend::{Dyno, head};
use util::client::{get, read_to, send, status_of};
use util::{House, app, patient, table};

/// A dyno of HTTP/2 that hands each stream to `serve`.
async fn dyno<F, R>(serve: F) -> Dyno
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Dyno::raw(move |stream| {
        let serve = serve.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(serve(request, respond));
            }
        }
    })
    .await
}

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers
}

/// Echoes each piece as it comes, then says how it went and what trailers came.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    assert_eq!(request.uri().authority().unwrap(), "demo.localhost");
    let te = request.headers().get("te").cloned();
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
    response.headers_mut().insert("x-forwarded", request.headers()["x-forwarded-for"].clone());
    let mut stream = respond.send_response(response, false).unwrap();
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        stream.send_data(data, false).unwrap();
    }
    let mut end = trailers("0");
    if let Some(came) = body.trailers().await.unwrap() {
        end.insert("x-came", came["x-sum"].clone());
    }
    stream.send_trailers(end).unwrap();
}

fn grpc(dynos: &[&Dyno]) -> RouteTable {
    let addrs: Vec<_> = dynos.iter().map(|dyno| dyno.addr).collect();
    let mut app = app(RouteState::Serving, &addrs);
    app.rules.http2 = true;
    table(1, vec![app])
}

/// A router with one worker, and a client of HTTP/2 by TLS.
async fn house(table: RouteTable) -> (House, SendRequest<Bytes>) {
    house_behind("", table).await
}

/// The same, where clients from `proxies` are believed.
async fn house_behind(proxies: &str, table: RouteTable) -> (House, SendRequest<Bytes>) {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["demo.localhost".to_owned()]).unwrap();
    std::fs::create_dir_all(dir.path().join("tls")).unwrap();
    std::fs::write(dir.path().join("tls/key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.path().join("tls/cert.pem"), made.cert.pem()).unwrap();
    let trusted = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let mut settings = util::settings(dir.path(), patient());
    settings.https_listen = paas_router::Listen(Some(([127, 0, 0, 1], 0).into()));
    settings.threads = Some(1);
    settings.front.trusted_proxies = proxies.parse().unwrap();
    let house = House::from(dir, table, settings).await;
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(&house.router.as_ref().unwrap().https()[0]).await.unwrap();
    let name = ServerName::try_from("demo.localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder.initial_max_send_streams(250).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    (house, sender.ready().await.unwrap())
}

fn call(sender: &mut SendRequest<Bytes>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let request = Request::post("https://demo.localhost/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    sender.send_request(request, false).unwrap()
}

async fn rest(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// A conversation, in which each side waits for the other, and trailers of both.
#[tokio::test]
async fn grpc_passes_through() {
    let dyno = dyno(echo).await;
    let (house, sender) = house(grpc(&[&dyno])).await;
    conversation(&house, sender, "tls=true tls_version=tls1.3").await;
    // And without TLS.
    let stream = TcpStream::connect(house.addr).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    conversation(&house, sender.ready().await.unwrap(), "tls=false").await;
}

async fn conversation(house: &House, mut sender: SendRequest<Bytes>, way: &str) {
    let (response, mut stream) = call(&mut sender);
    let response = response.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].as_bytes()),
        (200, &b"application/grpc"[..])
    );
    assert_eq!(
        (&response.headers()["x-te"], &response.headers()["x-forwarded"]),
        (&"trailers".parse().unwrap(), &"127.0.0.1".parse::<HeaderValue>().unwrap())
    );
    assert!(!response.headers().contains_key("connection") && !response.headers().contains_key("transfer-encoding"));
    let mut body = response.into_body();
    for message in ["one", "two", "three"] {
        stream.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
        let data = body.data().await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        assert_eq!(data, message);
    }
    let mut sums = HeaderMap::new();
    sums.insert("x-sum", HeaderValue::from_static("7"));
    stream.send_trailers(sums).unwrap();
    assert!(body.data().await.is_none());
    let end = body.trailers().await.unwrap().unwrap();
    assert_eq!(
        (&end["grpc-status"], &end["x-came"]),
        (&"0".parse::<HeaderValue>().unwrap(), &"7".parse::<HeaderValue>().unwrap())
    );
    let line = house.line("").await;
    assert!(line.starts_with("at=info method=POST path=\"/pkg.Service/Method\" host=demo.localhost "), "{line}");
    let end = format!("dyno=web.1 connect=Nms service=Nms status=200 bytes=11 protocol=http2.0 {way}");
    assert!(line.ends_with(&end), "{line}");
}

/// An error that has no body at all.
#[tokio::test]
async fn trailers_only() {
    let dyno = dyno(|_, mut respond| async move {
        let mut response = Response::new(());
        *response.headers_mut() = trailers("5");
        respond.send_response(response, true).unwrap();
    })
    .await;
    let (_house, mut sender) = house(grpc(&[&dyno])).await;
    let (response, mut stream) = call(&mut sender);
    stream.send_data(Bytes::from_static(b"x"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "5");
    assert!(response.body().is_end_stream());
}

/// Metadata of a call's end is no header of HTTP/1 that there would be a limit for.
#[tokio::test]
async fn trailers_and_headers_are_all_handed_on_however_many() {
    let many = |count: usize| {
        let mut many = HeaderMap::new();
        for at in 0..count {
            many.append("x", HeaderValue::from(at));
        }
        many
    };
    let dyno = dyno(move |_, mut respond: SendResponse<Bytes>| async move {
        let mut response = Response::new(());
        *response.headers_mut() = many(1100);
        let mut stream = respond.send_response(response, false).unwrap();
        let mut end = many(100);
        end.extend(trailers("3"));
        stream.send_trailers(end).unwrap();
    })
    .await;
    let (_house, mut sender) = house(grpc(&[&dyno])).await;
    let (response, _stream) = call(&mut sender);
    let response = response.await.unwrap();
    assert_eq!(response.headers().get_all("x").iter().count(), 1100);
    let mut body = response.into_body();
    assert_eq!(rest(&mut body).await.unwrap(), b"");
    let end = body.trailers().await.unwrap().unwrap();
    assert_eq!((&end["grpc-status"], end.get_all("x").iter().count()), (&HeaderValue::from_static("3"), 100));
}

/// As many headers as a dyno of HTTP/1 may send, and ours.
#[tokio::test]
async fn a_head_of_http_1_is_whole_in_http_2() {
    let lines: String = (0..999).map(|at| format!("x: {at}\r\n")).collect();
    let dyno = Dyno::says(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n")).await;
    let (_house, mut sender) = house(table(1, vec![app(RouteState::Serving, &[dyno.addr])])).await;
    let (response, _stream) = call(&mut sender);
    let response = response.await.unwrap();
    assert_eq!(response.headers().get_all("x").iter().count(), 999);
    assert!(response.headers().contains_key("via") && response.headers().contains_key("date"));
}

/// A body larger than every window on the way, both ways at once.
#[tokio::test]
async fn big_bodies_pass_whole() {
    let dyno = dyno(echo_with_flow_control).await;
    let (_house, mut sender) = house(grpc(&[&dyno])).await;
    let (response, mut stream) = call(&mut sender);
    let all: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
    let sent = all.clone();
    let upload = tokio::spawn(async move {
        send_all(&mut stream, Bytes::from(sent)).await;
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let mut body = response.await.unwrap().into_body();
    assert!(rest(&mut body).await.unwrap() == all);
    upload.await.unwrap();
}

async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes) {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        stream.send_data(data.split_to(room.min(data.len())), false).unwrap();
    }
}

async fn echo_with_flow_control(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        let length = data.len();
        send_all(&mut stream, data).await;
        body.flow_control().release_capacity(length).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
}

/// A dyno that talks faster than the client listens is held up by HTTP/2's own means.
#[tokio::test]
async fn who_reads_slowly_is_not_read_ahead_for() {
    let (told, mut sent) = tokio::sync::watch::channel(0_usize);
    let dyno = dyno(move |_, mut respond| {
        let told = told.clone();
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            loop {
                stream.reserve_capacity(16384);
                let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
                if stream.send_data(Bytes::from(vec![0; room]), false).is_err() {
                    return;
                }
                told.send_modify(|sent| *sent += room);
            }
        }
    })
    .await;
    let (_house, mut sender) = house(grpc(&[&dyno])).await;
    let (response, _stream) = call(&mut sender);
    let response = response.await.unwrap();
    // A window is filled, and then nothing has come for a while: no longer, and the dyno would still be sending.
    sent.wait_for(|sent| *sent >= 65_535).await.unwrap();
    while tokio::time::timeout(std::time::Duration::from_millis(300), sent.changed()).await.is_ok() {}
    let stuck_at = *sent.borrow();
    assert!(stuck_at < 2_000_000, "{stuck_at} bytes were taken from the dyno");
    drop(response);
}

/// Many requests at once share a connection, and one more is opened only beyond its limit.
#[tokio::test]
async fn streams_share_a_connection() {
    let together = Arc::new(tokio::sync::Barrier::new(150));
    let dyno = dyno(move |_, mut respond| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            respond.send_response(Response::new(()), true).unwrap();
        }
    })
    .await;
    let (_house, sender) = house(grpc(&[&dyno])).await;
    let calls: Vec<_> = (0..150)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                sender = sender.ready().await.unwrap();
                let request = Request::get("https://demo.localhost/").body(()).unwrap();
                sender.send_request(request, true).unwrap().0.await.unwrap().status().as_u16()
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    // A hundred streams on one, the others on another.
    assert_eq!(dyno.connections(), 2);
}

#[tokio::test]
async fn clients_of_http_1() {
    let dyno = dyno(|request, respond| async move {
        assert!(!request.headers().contains_key("upgrade"), "{request:?}");
        assert!(!request.headers().contains_key("connection"), "{request:?}");
        echo(request, respond).await;
    })
    .await;
    let (house, _sender) = house(grpc(&[&dyno])).await;
    let lines = "TE: trailers\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n";
    let body = "2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let answer = send(house.addr, &(get("/", lines) + body)).await;
    assert_eq!(status_of(&answer), 200);
    assert!(answer.ends_with("\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\nx-came: 7\r\n\r\n"), "{answer}");
    assert!(house.line("").await.contains(" status=200 bytes=2 protocol=http1.1 "));
}

#[tokio::test]
async fn a_dyno_that_speaks_something_else() {
    let dyno = Dyno::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (house, _sender) = house(grpc(&[&dyno])).await;
    assert_eq!(status_of(&send(house.addr, &get("/", "")).await), 503);
    let line = house.line("").await;
    assert!(line.contains("code=H17 "), "{line}");
}

/// The dyno ends its connections now and then, as servers of HTTP/2 do.
#[tokio::test]
async fn a_connection_that_ends_fails_no_later_request() {
    let dyno = Dyno::raw(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        if let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        }
    })
    .await;
    let (house, _sender) = house(grpc(&[&dyno])).await;
    for _ in 0..50 {
        assert_eq!(status_of(&send(house.addr, &get("/", "")).await), 200);
    }
    assert!(dyno.connections() > 1);
}

/// HTTP/2 has stricter rules for a path; the worker goes on.
#[tokio::test]
async fn what_http_2_cannot_say_is_refused() {
    let dyno = dyno(echo).await;
    let (house, _) = house(grpc(&[&dyno])).await;
    // There is a connection already.
    assert_eq!(status_of(&send(house.addr, &get("/", "")).await), 200);
    for target in ["/a`b", "/<script>", "/a|b{c}"] {
        let status = status_of(&send(house.addr, &get(target, "")).await);
        assert!([200, 400].contains(&status), "{target}: {status}");
    }
    assert_eq!(status_of(&send(house.addr, &get("/a`b", "")).await), 400);
    assert!(house.line("code=H26").await.contains("cause=\"bad header\""));
    assert_eq!(status_of(&send(house.addr, &get("/", "")).await), 200);
}

/// Most servers of gRPC send their head at once, before they have read anything.
#[tokio::test]
async fn a_dyno_that_answers_at_once_still_gets_the_whole_request() {
    for ends_first in [false, true] {
        let (done, mut counted) = tokio::sync::mpsc::channel(1);
        let answered = Arc::new(Semaphore::new(0));
        let asked = Arc::clone(&answered);
        let dyno = dyno(move |request, mut respond| {
            let (asked, done) = (Arc::clone(&asked), done.clone());
            async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(b"yes"), ends_first).unwrap();
                // What it allows by itself, 64 KB, is less than what comes.
                asked.acquire().await.unwrap().forget();
                let count = rest(&mut request.into_body()).await.map(|body| body.len());
                let _ = done.send(count.unwrap_or_default()).await;
                if !ends_first {
                    stream.send_data(Bytes::new(), true).unwrap();
                }
            }
        })
        .await;
        let (house, _) = house(grpc(&[&dyno])).await;
        let mut client = util::client::connect(house.addr).await;
        let head = "POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 100000\r\n\r\n";
        client.write_all(&[head.as_bytes(), &[b'x'; 100_000]].concat()).await.unwrap();
        read_to(&mut client, "yes\r\n").await;
        answered.add_permits(1);
        assert_eq!(counted.recv().await, Some(100_000), "ends_first: {ends_first}");
        assert_eq!(read_to(&mut client, "0\r\n\r\n").await, "0\r\n\r\n");
        assert!(house.line("").await.contains(" status=200 "));
    }
}

/// Answers at once, takes of the request what it allows by itself, 64 KB, and the rest when `gate` lets it; then it
/// tells how much came.
async fn quick_dyno(gate: &Arc<Semaphore>, told: &tokio::sync::mpsc::Sender<usize>) -> Dyno {
    let (gate, told) = (Arc::clone(gate), told.clone());
    dyno(move |request, mut respond| {
        let (gate, told) = (Arc::clone(&gate), told.clone());
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"yes"), true).unwrap();
            gate.acquire().await.unwrap().forget();
            let count = rest(&mut request.into_body()).await.map(|body| body.len());
            let _ = told.send(count.unwrap_or_default()).await;
        }
    })
    .await
}

/// A request whose answer comes before its end was taken.
async fn early(house: &House) -> TcpStream {
    let mut client = util::client::connect(house.addr).await;
    let head = "POST / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n";
    client.write_all(&[head.as_bytes(), &[b'x'; 100_000]].concat()).await.unwrap();
    read_to(&mut client, "yes\r\n").await;
    client
}

/// Many close when they have their answer.
#[tokio::test]
async fn a_request_reaches_a_quick_dyno_whole_also_when_its_client_has_gone() {
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let dyno = quick_dyno(&gate, &tell).await;
    let (house, _) = house(grpc(&[&dyno])).await;
    drop(early(&house).await);
    gate.add_permits(1);
    assert_eq!(told.recv().await, Some(100_000));
    assert!(house.line("").await.contains(" status=200 "));
    house.until(|status| status.backends[0].in_flight == 0).await;
}

/// What it doesn't take is not kept for it for ever.
#[tokio::test]
async fn a_quick_dyno_that_takes_nothing_more_is_not_waited_for_long() {
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(60));
    for (linger, linger_idle) in [(long, short), (short, long)] {
        let (tell, _told) = tokio::sync::mpsc::channel(1);
        let dyno = quick_dyno(&Arc::new(Semaphore::new(0)), &tell).await;
        let limits = Limits { idle: long, client_idle: long, linger, linger_idle, ..patient() };
        let house = House::with(grpc(&[&dyno]), limits).await;
        let mut client = early(&house).await;
        // A client that reads until the end gets it.
        assert_eq!(util::client::rest(&mut client).await, "0\r\n\r\n");
        assert!(house.line("").await.contains(" status=200 "));
        house.until(|status| status.backends[0].in_flight == 0).await;
    }
}

/// Streams of many clients share a connection to the dyno.
#[tokio::test]
async fn who_takes_nothing_holds_up_nobody_else() {
    let big = Bytes::from(vec![b'x'; 4 << 20]);
    let dyno = dyno(move |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        let big = big.clone();
        async move {
            let small = request.uri().path() == "/small";
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            send_all(&mut stream, if small { Bytes::from_static(b"small") } else { big }).await;
            let _ = stream.send_trailers(trailers("0"));
        }
    })
    .await;
    let (house, mut sender) = house(grpc(&[&dyno])).await;
    let mut taking_nothing = Vec::new();
    for _ in 0..12 {
        taking_nothing.push(call(&mut sender).0.await.unwrap());
    }
    for _ in 0..3 {
        let answer = send(house.addr, &get("/small", "")).await;
        assert!(answer.contains("small"), "{answer}");
    }
    drop(taking_nothing);
}

/// So do those of a proxy in front, on its one connection.
#[tokio::test]
async fn uploads_that_nobody_takes_hold_up_no_other_visitor_of_a_proxy() {
    let dyno = Dyno::raw(|mut stream| async move {
        if head(&mut stream).await.starts_with("POST /stuck ") {
            std::future::pending::<()>().await;
        }
        let _ = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 5]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let table = table(1, vec![app(RouteState::Serving, &[dyno.addr])]);
    let (_house, mut sender) = house_behind("127.0.0.1", table).await;
    let mut post = |path: &str, length: &str| {
        let request = Request::post(format!("https://demo.localhost{path}")).header("content-length", length);
        sender.send_request(request.body(()).unwrap(), false).unwrap()
    };
    let (told, mut sent) = tokio::sync::watch::channel(0_usize);
    let mut stuck = Vec::new();
    for _ in 0..6 {
        let (response, mut stream) = post("/stuck", "1000000000");
        let told = told.clone();
        stuck.push(response);
        tokio::spawn(async move {
            loop {
                send_all(&mut stream, Bytes::from(vec![0; 16 * 1024])).await;
                told.send_modify(|sent| *sent += 1);
            }
        });
    }
    // Until nothing has gone for a while.
    while tokio::time::timeout(std::time::Duration::from_millis(300), sent.changed()).await.is_ok() {}
    let (response, mut stream) = post("/", "5");
    stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
    // Before the others are given up.
    let response = tokio::time::timeout(patient().first_byte / 2, response).await;
    assert_eq!(response.expect("it waits for the others").unwrap().status(), 200);
    drop(stuck);
}
