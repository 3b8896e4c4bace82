//! TLS in front: the certificates that apps have brought, by the name that is asked for, and
//! one from files for all other names. Both are swapped while connections go on.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::challenge;
use crate::table::Routes;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{path} can't be read: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no {what} in PEM form: {why}", path = path.display())]
    Pem { path: PathBuf, what: &'static str, why: String },
    #[error("the key in {path} doesn't fit the certificate: {why}", path = path.display())]
    Mismatch { path: PathBuf, why: String },
}

/// The certificates in use.
#[derive(Debug)]
pub(crate) struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    /// Where those of the apps are.
    routes: Arc<Routes>,
    current: ArcSwapOption<CertifiedKey>,
    /// What the current one was made of.
    read: std::sync::Mutex<Option<(Vec<u8>, Vec<u8>)>>,
}

impl Certificates {
    pub(crate) fn new(cert: PathBuf, key: PathBuf, routes: Arc<Routes>) -> Certificates {
        Certificates { cert, key, routes, current: ArcSwapOption::empty(), read: std::sync::Mutex::new(None) }
    }

    /// Reads the files. True when the certificate in use is another one now.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source });
        let files = (read(&self.cert)?, read(&self.key)?);
        let mut last = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.as_ref() == Some(&files) {
            return Ok(false);
        }
        let certified = self.certified(&files.0, &files.1)?;
        self.current.store(Some(Arc::new(certified)));
        *last = Some(files);
        Ok(true)
    }

    fn certified(&self, cert: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
        let pem = |path: &PathBuf, what, why: String| TlsError::Pem { path: path.clone(), what, why };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert)
            .collect::<Result<_, _>>()
            .map_err(|error| pem(&self.cert, "certificate", error.to_string()))?;
        if chain.is_empty() {
            return Err(pem(&self.cert, "certificate", "there is none".to_owned()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| pem(&self.key, "private key", error.to_string()))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| TlsError::Mismatch { path: self.key.clone(), why: error.to_string() })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A certificate authority, which asks for nothing else.
        if hello.alpn().is_some_and(|mut offered| offered.all(|one| one == challenge::ALPN)) {
            return self.routes.load().challenges.certificate(hello.server_name()?);
        }
        let of_app = hello.server_name().and_then(|name| self.routes.load().certificates.find(name));
        of_app.or_else(|| self.current.load_full())
    }
}

/// Sessions kept for clients of TLS 1.2 that take no tickets, some hundred bytes each.
const SESSIONS: usize = 4096;

/// Takes TLS connections with what `certificates` has at the time. There is one of it for all
/// workers, so that any of them resumes what another one has begun. The keys of the tickets are
/// made here, changed every few hours and kept nowhere: after a restart or a hand-over a client
/// needs one full handshake.
pub(crate) fn acceptor(certificates: Arc<Certificates>) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), challenge::ALPN.to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(TlsAcceptor::from(Arc::new(config)))
}
