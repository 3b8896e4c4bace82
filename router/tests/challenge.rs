//! What certificate authorities ask for is answered from the table.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::Arc;

use paas_domain::route::{Challenge, ChallengeCertificate, RouteState, RouteTable, Rules};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use util::backend::Dyno;
use util::client::{get, send, status_of};
use util::{House, app, patient, serving, table};

const PATH: &str = "/.well-known/acme-challenge/token-1";

/// A challenge for `host`, and the certificate that answers it over TLS.
fn challenge(host: &str) -> (Challenge, CertificateDer<'static>) {
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let certificate = Some(ChallengeCertificate { chain, key: key.serialize_pem() });
    (Challenge { host: host.to_owned(), token: "token-1".into(), answer: "token-1.answer".into(), certificate }, der)
}

#[tokio::test]
async fn a_known_token_is_answered_whatever_the_app_does() {
    let dyno = Dyno::text("the app").await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let ask = async |path: &str, lines: &str| send(house.addr, &get(path, lines)).await;
    assert!(ask(PATH, "").await.ends_with("the app"), "a token that nobody knows is the app's affair");

    let challenges = vec![challenge("demo.localhost").0];
    let mut states = vec![app(RouteState::Serving, &[dyno.addr])];
    for state in [RouteState::Blank, RouteState::NoWeb, RouteState::Crashed, RouteState::Idle] {
        states.push(app(state, &[]));
    }
    let mut maintained = app(RouteState::Serving, &[dyno.addr]);
    maintained.maintenance = true;
    let mut secure = app(RouteState::Serving, &[dyno.addr]);
    secure.rules = Rules { https_only: true, ..Rules::default() };
    states.extend([maintained, secure]);
    for (generation, app) in (2..).zip(states) {
        let what = format!("{app:?}");
        house.set(RouteTable { challenges: challenges.clone(), ..table(generation, vec![app]) }).await;
        let answer = ask(PATH, "").await;
        assert!(status_of(&answer) == 200 && answer.ends_with("\r\n\r\ntoken-1.answer"), "{what}: {answer}");
    }

    house.set(RouteTable { challenges, ..serving(20, &[dyno.addr]) }).await;
    for other in ["/.well-known/acme-challenge/token-2", "/.well-known/acme-challenge/", "/token-1"] {
        assert!(ask(other, "").await.ends_with("the app"), "{other}");
    }
    let posted = "POST /.well-known/acme-challenge/token-1 HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(send(house.addr, posted).await.ends_with("the app"));
    let elsewhere = format!("GET {PATH} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n");
    assert!(send(house.addr, &elsewhere).await.ends_with("the app"), "another name's token");
    house.set(serving(21, &[dyno.addr])).await;
    assert!(ask(PATH, "").await.ends_with("the app"), "it is over");
}

#[tokio::test]
async fn over_tls_only_who_asks_for_nothing_else_gets_the_certificate() {
    let dyno = Dyno::text("the app").await;
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["demo.localhost".to_owned()]).unwrap();
    std::fs::create_dir_all(dir.path().join("tls")).unwrap();
    std::fs::write(dir.path().join("tls/key.pem"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.path().join("tls/cert.pem"), own.cert.pem()).unwrap();
    let mut settings = util::settings(dir.path(), patient());
    settings.https_listen = paas_router::Listen(Some(([127, 0, 0, 1], 0).into()));
    let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();
    let (challenge, der) = challenge("demo.localhost");

    dial(&addr, &[b"acme-tls/1"]).await.expect_err("there is no challenge");
    house.set(RouteTable { challenges: vec![challenge], ..serving(2, &[dyno.addr]) }).await;
    let (shown, mut stream) = dial(&addr, &[b"acme-tls/1"]).await.unwrap();
    assert_eq!(shown, der);
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "the connection is closed: nothing is served on it");
    // Everybody else gets what they got.
    for alpn in [&[b"h2" as &[u8], b"acme-tls/1"][..], &[b"http/1.1"], &[]] {
        let (shown, stream) = dial(&addr, alpn).await.unwrap();
        assert_eq!(&shown, own.cert.der(), "{alpn:?}");
        assert_ne!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    }
    house.set(serving(3, &[dyno.addr])).await;
    dial(&addr, &[b"acme-tls/1"]).await.expect_err("it is over");
}

/// The certificate that is shown to a client of these protocols, and the connection.
async fn dial(
    addr: &str,
    alpn: &[&[u8]],
) -> std::io::Result<(CertificateDer<'static>, tokio_rustls::client::TlsStream<TcpStream>)> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("demo.localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    Ok((shown, stream))
}

/// Takes every certificate: the test looks at it.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
