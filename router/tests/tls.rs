//! TLS as clients meet it: versions, resumption, certificates by name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::{Resumption, Tls12Resumption};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use util::backend::Dyno;
use util::client::{get, rest};
use util::{House, patient, serving};

/// The router's own certificate, for these names; what a client is to trust.
fn certificate(dir: &Path, names: &[&str]) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::create_dir_all(dir.join("tls")).unwrap();
    std::fs::write(dir.join("tls/key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls/cert.pem"), made.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

async fn house(dyno: &Dyno, dir: tempfile::TempDir, threads: usize) -> (House, String) {
    let mut settings = util::settings(dir.path(), patient());
    settings.threads = Some(threads);
    settings.https_listen = paas_router::Listen(Some(([127, 0, 0, 1], 0).into()));
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();
    (house, addr)
}

/// A client that remembers its sessions.
fn client(
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    resumption: Resumption,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = resumption;
    Arc::new(config)
}

/// One connection with one request; how its handshake went.
async fn visit(config: &Arc<ClientConfig>, addr: &str, name: &'static str) -> std::io::Result<HandshakeKind> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name).unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    stream.write_all(get("/", "").as_bytes()).await?;
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("hello"), "{answer}");
    Ok(kind)
}

/// A visitor comes to another worker than the last time, or after a restart.
#[tokio::test]
async fn sessions_are_resumed_by_any_worker_and_a_restart_costs_a_full_handshake_only() {
    let dyno = Dyno::text("hello").await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path(), &["demo.localhost"]);
    let (mut first, addr) = house(&dyno, dir, 4).await;
    let sessions = || Resumption::in_memory_sessions(32);
    let clients = [
        ("1.3, tickets", client(&trusted, &TLS13, sessions())),
        ("1.2, tickets", client(&trusted, &TLS12, sessions())),
        ("1.2, session ids", client(&trusted, &TLS12, sessions().tls12_resumption(Tls12Resumption::SessionIdOnly))),
    ];
    for (what, config) in &clients {
        assert_eq!(visit(config, &addr, "demo.localhost").await.unwrap(), HandshakeKind::Full, "{what}");
        for time in 0..16 {
            let kind = visit(config, &addr, "demo.localhost").await.unwrap();
            assert_eq!(kind, HandshakeKind::Resumed, "{what}, {time}");
        }
    }
    first.stop().await;
    // The keys of the tickets were in its memory only.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("tls")).unwrap();
    for file in ["tls/key.pem", "tls/cert.pem"] {
        std::fs::copy(first.dir.path().join(file), dir.path().join(file)).unwrap();
    }
    let (_second, addr) = house(&dyno, dir, 1).await;
    for (what, config) in &clients {
        assert_eq!(visit(config, &addr, "demo.localhost").await.unwrap(), HandshakeKind::Full, "{what}");
        assert_eq!(visit(config, &addr, "demo.localhost").await.unwrap(), HandshakeKind::Resumed, "{what}");
    }
}

/// The router's own certificate is for whoever asks for a name that nobody has brought one
/// for, or for none.
#[tokio::test]
async fn names_without_a_certificate_get_the_routers_own() {
    let dyno = Dyno::text("hello").await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path(), &["demo.localhost", "unknown.example.org", "*.example.net", "127.0.0.1"]);
    let (_house, addr) = house(&dyno, dir, 2).await;
    let config = client(&trusted, &TLS13, Resumption::disabled());
    // An address is no name: nothing is asked for.
    for name in ["demo.localhost", "unknown.example.org", "a.example.net", "127.0.0.1"] {
        visit(&config, &addr, name).await.unwrap();
    }
    let refused = visit(&config, &addr, "a.b.example.net").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData, "the certificate doesn't fit, and the client says so");
}

/// A ClientHello that offers TLS 1.1 at most.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session; TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA and its RSA sister; no compression.
    hello.extend([0, 0, 4, 0xc0, 0x09, 0xc0, 0x13, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

#[tokio::test]
async fn what_is_older_than_tls_1_2_is_refused() {
    let dyno = Dyno::text("hello").await;
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), &["demo.localhost"]);
    let (house, addr) = house(&dyno, dir, 1).await;
    let mut stream = TcpStream::connect(&addr).await.unwrap();
    stream.write_all(&old_hello()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // Nothing but a fatal alert (RFC 5246, 7.2): handshake_failure or protocol_version.
    assert!(answer.len() == 7 && answer[0] == 0x15 && answer[5] == 2 && [40, 70].contains(&answer[6]), "{answer:?}");
    house.until(|status| status.connections == 0).await;
}
