//! HTTPS and HTTP/2.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use paas_domain::route::{Certificate, RouteTable};
use paas_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use util::backend::{Dyno, head};
use util::client::{get, mirrored, read_to};
use util::{House, patient, serving};
use uuid::Uuid;

/// Makes a certificate of its own for demo.localhost; gives what a client is to trust.
fn certificate(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["demo.localhost".to_owned()]).unwrap();
    std::fs::create_dir_all(dir.join("tls")).unwrap();
    std::fs::write(dir.join("tls/key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls/cert.pem"), made.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

async fn dial(addr: &str, trusted: &CertificateDer<'static>, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    dial_as("demo.localhost", addr, trusted, alpn).await
}

async fn dial_as(
    name: &'static str,
    addr: &str,
    trusted: &CertificateDer<'static>,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await
}

async fn house(dyno: &Dyno, dir: tempfile::TempDir, limits: Limits) -> House {
    let mut settings = util::settings(dir.path(), limits);
    settings.limits.tls_check = util::limits().tls_check;
    settings.https_listen = paas_router::Listen(Some(([127, 0, 0, 1], 0).into()));
    House::from(dir, serving(1, &[dyno.addr]), settings).await
}

/// A client of HTTP/2 that takes 64 KB of each response before it is read further.
async fn http2(
    addr: &str,
    trusted: &CertificateDer<'static>,
) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = dial(addr, trusted, b"h2").await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65535)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

#[tokio::test]
async fn https_and_http2() {
    let dyno = Dyno::mirror().await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let house = house(&dyno, dir, patient()).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();

    let mut client = dial(&addr, &trusted, b"http/1.1").await.unwrap();
    client.write_all(get("/a", "").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    let seen = mirrored(&String::from_utf8(answer).unwrap());
    assert_eq!(seen["x-forwarded-proto"], "https");
    assert!(house.line("").await.ends_with(" protocol=http1.1 tls=true tls_version=tls1.3"));

    let (mut sender, _connection) = http2(&addr, &trusted).await;
    let request = hyper::Request::post("https://demo.localhost/b?c=d")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.starts_with("POST /b?c=d HTTP/1.1\n") && text.ends_with("\n\nhello"), "{text}");
    let seen = mirrored(&format!("\r\n\r\n{text}"));
    assert_eq!(seen["cookie"], "a=1; b=2");
    assert_eq!(seen["host"], "demo.localhost");
    assert_eq!(seen["via"], "2.0 paas-router");
    let line = house.line("").await;
    assert!(line.starts_with("at=info method=POST path=\"/b?c=d\" host=demo.localhost "), "{line}");
    assert!(line.ends_with(" protocol=http2.0 tls=true tls_version=tls1.3"), "{line}");
}

#[tokio::test]
async fn https_opens_late_and_changes_its_certificate() {
    let dyno = Dyno::text("hello").await;
    let house = house(&dyno, tempfile::tempdir().unwrap(), patient()).await;
    assert_eq!(house.router.as_ref().unwrap().https(), Vec::<String>::new());
    let first = certificate(house.dir.path());
    let addr = house.until(|status| !status.https.is_empty()).await.https[0].clone();
    let mut before = dial(&addr, &first, b"http/1.1").await.unwrap();

    // Half a change does no harm: the key doesn't fit yet.
    std::fs::write(house.dir.path().join("tls/cert.pem"), "-----BEGIN").unwrap();
    dial(&addr, &first, b"http/1.1").await.unwrap();

    let second = certificate(house.dir.path());
    let changed = async {
        while dial(&addr, &second, b"http/1.1").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), changed).await.unwrap();
    assert!(dial(&addr, &first, b"http/1.1").await.is_err(), "the old certificate is gone");
    before.write_all(get("/a", "").as_bytes()).await.unwrap();
    read_to(&mut before, "\r\n\r\nhello").await;
}

/// A certificate for these names as the table carries it, and what a client is to trust.
fn brought(id: u128, names: &[&str]) -> (Certificate, CertificateDer<'static>) {
    let hosts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts.clone()).unwrap();
    let trusted = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    (Certificate { id: Uuid::from_u128(id), hosts, chain, key }, trusted)
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_and_swapped_while_connections_go_on() {
    let dyno = Dyno::text("hello").await;
    let dir = tempfile::tempdir().unwrap();
    let own = certificate(dir.path());
    let house = house(&dyno, dir, patient()).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();
    let with = |generation, certificates: &[Certificate]| RouteTable {
        certificates: certificates.to_vec(),
        ..serving(generation, &[dyno.addr])
    };
    let (shop, shop_trusted) = brought(1, &["shop.example.com"]);
    let (all, all_trusted) = brought(2, &["*.example.com"]);
    let broken = Certificate { id: Uuid::from_u128(3), hosts: vec!["demo.localhost".into()], ..shop.clone() };
    let broken = Certificate { key: all.key.clone(), ..broken };
    house.set(with(2, &[shop.clone(), all.clone(), broken])).await;
    let mut before = dial_as("shop.example.com", &addr, &shop_trusted, b"http/1.1").await.unwrap();
    dial_as("www.example.com", &addr, &all_trusted, b"http/1.1").await.unwrap();
    dial_as("shop.example.com", &addr, &all_trusted, b"http/1.1").await.unwrap_err();
    // A key that doesn't fit takes nothing away: the router's own serves that name.
    dial(&addr, &own, b"http/1.1").await.unwrap();

    let (new, new_trusted) = brought(4, &["shop.example.com"]);
    house.set(with(3, &[new, all])).await;
    dial_as("shop.example.com", &addr, &new_trusted, b"http/1.1").await.unwrap();
    dial_as("shop.example.com", &addr, &shop_trusted, b"http/1.1").await.unwrap_err();
    before.write_all(get("/a", "").replace("demo.localhost", "shop.example.com").as_bytes()).await.unwrap();
    read_to(&mut before, "\r\n\r\nhello").await;

    // The keys are on the disk for the next start, and for nobody else.
    let kept = house.dir.path().join("router/table.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    house.set(with(4, &[])).await;
    dial_as("shop.example.com", &addr, &new_trusted, b"http/1.1").await.unwrap_err();
}

/// A client that leaves one response unread and goes on with its others.
#[tokio::test]
async fn a_stream_that_is_not_read_any_more_holds_no_dyno() {
    let dyno = Dyno::raw(|mut stream| async move {
        if head(&mut stream).await.starts_with("GET /endless ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let house = house(&dyno, dir, Limits { idle: util::limits().idle, ..patient() }).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();
    let (mut sender, _connection) = http2(&addr, &trusted).await;
    let request = |path: &str| {
        hyper::Request::get(format!("https://demo.localhost{path}")).body(Full::new(Bytes::new())).unwrap()
    };
    let endless = sender.send_request(request("/endless")).await.unwrap();
    let line = house.line("/endless").await;
    assert!(
        line.starts_with("at=warning code=H28 desc=\"Client Connection Idle\" method=GET path=\"/endless\""),
        "{line}"
    );
    assert!(line.contains(" status=499 "), "{line}");
    dyno.has_open(0).await;
    let response = sender.send_request(request("/other")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    // What is read in the end is broken off.
    endless.into_body().collect().await.unwrap_err();
}

#[tokio::test]
async fn a_connection_without_streams_is_let_go_and_one_in_use_is_not() {
    let client_idle = Duration::from_millis(300);
    let dyno = Dyno::http(move |_| async move {
        tokio::time::sleep(client_idle * 3).await;
        hyper::Response::new(Full::from("late"))
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let house = house(&dyno, dir, Limits { client_idle, ..patient() }).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();
    let (mut sender, connection) = http2(&addr, &trusted).await;
    let request = hyper::Request::get("https://demo.localhost/a").body(Full::new(Bytes::new())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "late");
    tokio::time::timeout(Duration::from_secs(20), connection).await.unwrap().unwrap().unwrap();
    // One that never says a word of HTTP/2 goes, too.
    let mut silent = dial(&addr, &trusted, b"h2").await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut Vec::new())).await;
    assert!(read.is_ok());
    house.until(|status| status.connections == 0).await;
}
