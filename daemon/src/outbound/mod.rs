//! Connections to servers that users name: the receivers of their drains.
//!
//! [`target`] reads an address, [`guard`] says which places nobody may be sent to, and
//! [`Outbound::connect`] opens a connection, plain or TLS, to one that it has looked up and
//! checked itself: a name can't be checked first and lead elsewhere then. No proxy is used,
//! and nothing follows redirects.

pub mod guard;
pub mod target;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

pub use guard::Guard;
pub use target::Target;

use crate::config::Config;

/// How long a name, a connection and TLS may take together.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboundError {
    /// The settings have no certificates to check others by.
    #[error("no TLS connection can be checked: {0}")]
    Roots(String),
    /// The name leads nowhere.
    #[error("the name can't be resolved: {0}")]
    Name(String),
    /// It leads where nobody may be sent.
    #[error("{0} belongs to this machine or its network itself; its administrator can allow it: PAAS_ALLOW_LOOPBACK")]
    NotAllowed(String),
    /// Nobody answers there.
    #[error("{0}")]
    Connect(String),
    /// Its certificate is not good.
    #[error("{0}")]
    Certificate(String),
    /// It took too long.
    #[error("no connection within {} s", CONNECT.as_secs())]
    TimedOut,
}

/// Opens connections; cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    tls: Arc<ClientConfig>,
    guard: Guard,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbound")
    }
}

impl Outbound {
    /// Trusts what the machine trusts, and the bundle of the settings.
    pub fn new(config: &Config) -> Result<Self, OutboundError> {
        let problem = |why: String| OutboundError::Roots(why);
        let mut extra = Vec::new();
        if let Some(bundle) = &config.ca_bundle {
            let found = CertificateDer::pem_file_iter(bundle);
            let found = found.map_err(|e| problem(format!("{} can't be read: {e}", bundle.display())))?;
            extra.extend(found.flatten());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone())
            .map_err(|e| problem(e.to_string()))?;
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| problem(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), guard: Guard::new(config) })
    }

    /// Connects to where a target leads.
    pub async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, OutboundError> {
        tokio::time::timeout(CONNECT, self.open(target)).await.unwrap_or(Err(OutboundError::TimedOut))
    }

    async fn open(&self, target: &Target) -> Result<Box<dyn Stream>, OutboundError> {
        let found = tokio::net::lookup_host((target.host(), target.port())).await;
        let found: Vec<SocketAddr> = found.map_err(|e| OutboundError::Name(e.to_string()))?.collect();
        let mut last = OutboundError::Name("it has no address".into());
        for address in found {
            if !self.guard.allows(address) {
                last = OutboundError::NotAllowed(address.to_string());
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return self.secure(target, stream).await;
                }
                Err(error) => last = OutboundError::Connect(error.to_string()),
            }
        }
        Err(last)
    }

    async fn secure(&self, target: &Target, stream: TcpStream) -> Result<Box<dyn Stream>, OutboundError> {
        if !target.tls() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(target.host().to_owned()).map_err(|e| OutboundError::Name(e.to_string()))?;
        match TlsConnector::from(self.tls.clone()).connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(why)) => OutboundError::Certificate(why.to_string()),
                Some(_) | None => OutboundError::Connect(format!("TLS: {error}")),
            }),
        }
    }
}
