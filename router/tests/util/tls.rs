//! Visitors by HTTPS, and the certificates that they trust.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use paas_domain::route::{Certificate, RouteTable};
use paas_router::{Limits, Listen};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use uuid::Uuid;

use super::House;

pub type Trusted = CertificateDer<'static>;

/// A router with HTTPS and a certificate of its own for demo.localhost.
pub async fn house(table: RouteTable, limits: Limits) -> (House, String, Trusted) {
    let dir = tempfile::tempdir().unwrap();
    let trusted = own(dir.path());
    let mut settings = super::settings(dir.path(), limits);
    settings.https_listen = Listen(Some(([127, 0, 0, 1], 0).into()));
    let house = House::from(dir, table, settings).await;
    let addr = house.router.as_ref().unwrap().https()[0].clone();
    (house, addr, trusted)
}

/// Makes the router's own certificate. With an address clients send no name (SNI).
pub fn own(dir: &Path) -> Trusted {
    let names = ["demo.localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::create_dir_all(dir.join("tls")).unwrap();
    std::fs::write(dir.join("tls/key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls/cert.pem"), made.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

/// A certificate for these names as the table carries it.
pub fn brought(id: u128, names: &[&str]) -> (Certificate, Trusted) {
    let hosts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts.clone()).unwrap();
    let trusted = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    (Certificate { id: Uuid::from_u128(id), hosts, chain, key }, trusted)
}

/// A connection that was begun with `name`.
pub async fn dial(name: &'static str, addr: &str, trusted: &Trusted, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(addr).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await.unwrap()
}

/// Sends `request` by HTTP/1.1 and reads until the router closes.
pub async fn send(name: &'static str, addr: &str, trusted: &Trusted, request: &str) -> String {
    let mut stream = dial(name, addr, trusted, b"http/1.1").await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    super::client::rest(&mut stream).await
}

/// A client of HTTP/2.
pub async fn http2(name: &'static str, addr: &str, trusted: &Trusted) -> SendRequest<Full<Bytes>> {
    let stream = dial(name, addr, trusted, b"h2").await;
    let (sender, connection) =
        hyper::client::conn::http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}
