//! What an app wants of HTTPS, and requests that are on another name's connection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use paas_domain::route::{AppRoute, Hsts, RouteState};
use util::backend::Dyno;
use util::client::{get, send, status_of};
use util::tls::{self, brought};
use util::{House, app, patient, serving, table};

fn https_only(backends: &[std::net::SocketAddr]) -> AppRoute {
    let mut app = app(RouteState::Serving, backends);
    app.rules.https_only = true;
    app
}

fn location(answer: &str) -> &str {
    answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn plain_requests_are_sent_to_https() {
    let dyno = Dyno::text("hello").await;
    let (house, addr, trusted) = tls::house(table(1, vec![https_only(&[dyno.addr])]), patient()).await;
    let port = addr.rsplit(':').next().unwrap();
    let answer = send(house.addr, &get("/a?b=c&d", "")).await;
    assert_eq!(status_of(&answer), 301);
    assert_eq!(location(&answer), format!("https://demo.localhost:{port}/a?b=c&d"));
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(
        house.line("").await,
        "at=info method=GET path=\"/a?b=c&d\" host=demo.localhost request_id=0123456789abcdef0123 fwd=\"127.0.0.1\" \
         dyno= connect= service= status=301 bytes=0 protocol=http1.1 tls=false"
    );
    // What has a body is to be sent again as it is, and not as a GET.
    let post = get("/a", "Content-Length: 5\r\n").replace("GET ", "POST ") + "hello";
    let answer = send(house.addr, &post).await;
    assert_eq!((status_of(&answer), location(&answer)), (308, format!("https://demo.localhost:{port}/a").as_str()));
    assert_eq!(dyno.connections(), 0);
    // Certificate authorities look by plain HTTP.
    let challenge = send(house.addr, &get("/.well-known/acme-challenge/token", "")).await;
    assert_eq!(status_of(&challenge), 200);
    let answer = tls::send("demo.localhost", &addr, &trusted, &get("/a", "")).await;
    assert_eq!(status_of(&answer), 200);
    // The address comes before what is found there.
    let mut down = https_only(&[dyno.addr]);
    down.maintenance = true;
    house.set(table(2, vec![down])).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 301);
    assert_eq!(status_of(&tls::send("demo.localhost", &addr, &trusted, &get("/a", "")).await), 503);
}

#[tokio::test]
async fn the_port_of_redirects_is_that_of_the_visitors() {
    let dyno = Dyno::text("hello").await;
    let dir = tempfile::tempdir().unwrap();
    let settings = paas_router::Settings { https_port: Some(443), ..util::settings(dir.path(), patient()) };
    let house = House::from(dir, table(1, vec![https_only(&[dyno.addr])]), settings).await;
    assert_eq!(location(&send(house.addr, &get("/a", "")).await), "https://demo.localhost/a");
}

/// There is nowhere to be sent to.
#[tokio::test]
async fn without_https_such_an_app_is_served_all_the_same() {
    let dyno = Dyno::text("hello").await;
    let house = House::with(table(1, vec![https_only(&[dyno.addr])]), patient()).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 200);
}

#[tokio::test]
async fn hsts_is_on_everything_that_goes_out_by_https() {
    let dyno = Dyno::text("hello").await;
    let own = Dyno::says("HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n").await;
    let of = |generation, state, backends: &[std::net::SocketAddr]| {
        let mut app = app(state, backends);
        app.rules.hsts = Some(Hsts { max_age: 31_536_000, include_subdomains: true, preload: false });
        table(generation, vec![app])
    };
    let (house, addr, trusted) = tls::house(of(1, RouteState::Serving, &[dyno.addr]), patient()).await;
    let hsts = "\r\nstrict-transport-security: max-age=31536000; includeSubDomains\r\n";
    let secure = async || tls::send("demo.localhost", &addr, &trusted, &get("/a", "")).await;
    assert!(secure().await.contains(hsts));
    let mut http2 = tls::http2("demo.localhost", &addr, &trusted).await;
    let request = hyper::Request::get("https://demo.localhost/").body(Full::new(Bytes::new())).unwrap();
    let response = http2.send_request(request).await.unwrap();
    assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains");
    // Browsers are to ignore it by plain HTTP, where anybody could have put it in.
    assert!(!send(house.addr, &get("/a", "")).await.contains("strict-transport-security"));
    house.set(of(2, RouteState::Serving, &[own.addr])).await;
    let answer = secure().await;
    assert!(
        answer.contains("\r\nstrict-transport-security: max-age=1\r\n") && !answer.contains("31536000"),
        "{answer}"
    );
    house.set(of(3, RouteState::Crashed, &[])).await;
    let answer = secure().await;
    assert!(status_of(&answer) == 503 && answer.contains(hsts), "{answer}");
}

#[tokio::test]
async fn h31_h32_a_request_on_another_names_connection() {
    let dyno = Dyno::text("hello").await;
    let mut all = app(RouteState::Serving, &[dyno.addr]);
    all.hosts.extend(["second.localhost".to_owned(), "*.wild.example".to_owned()]);
    let certificates = [
        brought(1, &["shop.example.com", "pay.example.com"]),
        brought(2, &["blog.example.com"]),
        brought(3, &["*.wild.example"]),
        brought(4, &["x.wild.example"]),
    ];
    let (house, addr, own) = tls::house(serving(1, &[dyno.addr]), patient()).await;
    let mut with = table(2, vec![all]);
    with.certificates = certificates.iter().map(|(certificate, _)| certificate.clone()).collect();
    house.set(with).await;
    let [shop, blog, wild, x] = certificates.map(|(_, trusted)| trusted);
    for (name, trusted, host, code) in [
        ("shop.example.com", &shop, "shop.example.com", None),
        ("shop.example.com", &shop, "Shop.Example.Com.:443", None),
        // One certificate for both: browsers use one connection for both.
        ("shop.example.com", &shop, "pay.example.com", None),
        ("a.wild.example", &wild, "b.wild.example", None),
        ("a.wild.example", &wild, "x.wild.example", None),
        ("demo.localhost", &own, "second.localhost", None),
        // No name, no promise.
        ("127.0.0.1", &own, "shop.example.com", None),
        ("shop.example.com", &shop, "blog.example.com", Some("H31 desc=\"Misdirected Request\"")),
        ("blog.example.com", &blog, "shop.example.com", Some("H31 desc=\"Misdirected Request\"")),
        ("x.wild.example", &x, "a.wild.example", Some("H31 desc=\"Misdirected Request\"")),
        ("demo.localhost", &own, "shop.example.com", Some("H31 desc=\"Misdirected Request\"")),
        ("shop.example.com", &shop, "demo.localhost", Some("H32 desc=\"TLS Certificate Mismatch\"")),
        ("shop.example.com", &shop, "b.example.com", Some("H32 desc=\"TLS Certificate Mismatch\"")),
    ] {
        let request = get("/a", "").replace("demo.localhost", host);
        let answer = tls::send(name, &addr, trusted, &request).await;
        let line = house.line("").await;
        let (begin, end) = match code {
            None => {
                assert_eq!(status_of(&answer), 200, "{name} {host}");
                ("at=info".to_owned(), "dyno=web.1 connect=Nms service=Nms status=200 bytes=5")
            }
            Some(code) => {
                assert_eq!(status_of(&answer), 421, "{name} {host}");
                assert!(answer.contains("<h1>Misdirected request</h1>"), "{answer}");
                (format!("at=error code={code}"), "dyno= connect= service= status=421 bytes=0")
            }
        };
        assert_eq!(
            line,
            format!(
                "{begin} method=GET path=\"/a\" host={host} request_id=0123456789abcdef0123 fwd=\"127.0.0.1\" {end} \
                 protocol=http1.1 tls=true tls_version=tls1.3"
            ),
            "{name}"
        );
    }
    let mut http2 = tls::http2("shop.example.com", &addr, &shop).await;
    for (host, status) in [("blog.example.com", 421), ("pay.example.com", 200), ("shop.example.com", 200)] {
        let request = hyper::Request::get(format!("https://{host}/h2")).body(Full::new(Bytes::new())).unwrap();
        assert_eq!(http2.send_request(request).await.unwrap().status(), status, "{host}");
    }
    let line = house.line("code=H31").await;
    assert!(line.ends_with(" status=421 bytes=0 protocol=http2.0 tls=true tls_version=tls1.3"), "{line}");
}

/// The body has another length than was said. Where it ends early the dyno must not take it for whole.
#[tokio::test]
async fn h33_a_stream_against_the_rules() {
    let dyno = Dyno::mirror().await;
    let (house, addr, trusted) = tls::house(serving(1, &[dyno.addr]), patient()).await;
    let stream = TokioIo::new(tls::dial("demo.localhost", &addr, &trusted, b"h2").await);
    let (mut http2, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let pieces = futures_util::stream::unfold(Some(ended), async |ended| {
        // The first time it is told to go on, and then it is over.
        ended?.await.unwrap();
        Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"hello"))), None))
    });
    let request = hyper::Request::post("https://demo.localhost/a")
        .header("x-request-id", util::REQUEST_ID)
        .header("content-length", "10")
        .body(StreamBody::new(Box::pin(pieces)).boxed())
        .unwrap();
    let response = tokio::spawn(http2.send_request(request));
    dyno.has_open(1).await;
    house.until(|status| status.backends[0].in_flight == 1).await;
    end.send(()).unwrap();
    response.await.unwrap().unwrap_err();
    let line = house.line("").await;
    assert_eq!(
        line,
        "at=error code=H33 desc=\"HTTP/2 Stream Broken\" method=POST path=\"/a\" host=demo.localhost \
         request_id=0123456789abcdef0123 fwd=\"127.0.0.1\" dyno=web.1 connect=Nms service=Nms status=400 bytes=0 \
         protocol=http2.0 tls=true tls_version=tls1.3"
    );
    // The connection goes on.
    let none = Empty::new().map_err(|never| match never {}).boxed();
    let request = hyper::Request::get("https://demo.localhost/b").body(none).unwrap();
    assert_eq!(http2.send_request(request).await.unwrap().status(), 200);
}
