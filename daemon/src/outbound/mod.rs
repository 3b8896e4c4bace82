//! Connections to servers that users name: the receivers of their drains.
//!
//! [`target`] reads an address, [`guard`] says which places nobody may be sent to, and
//! [`Outbound::connect`] opens a connection, plain or TLS, to one that it has looked up and
//! checked itself: a name can't be checked first and lead elsewhere then. No proxy is used,
//! and nothing follows redirects.

pub mod guard;
pub mod target;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustix::net::sockopt;
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

/// How long one of several addresses of a name may take before the next is tried.
const TRY: Duration = Duration::from_secs(3);

/// A connection on which nothing is said is asked after so long, so often, whether it is there.
const IDLE: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_secs(10);
const ASKED: u32 = 3;

/// What was sent and is not acknowledged for so long, or not taken, ends a connection (without
/// this, the system goes on for a quarter of an hour).
const UNHEARD: Duration = Duration::from_secs(120);

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
    #[error("{0} {1}")]
    NotAllowed(SocketAddr, &'static str),
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
        let stream = reach(&found, |address| self.guard.refusal(address)).await?;
        watch(&stream);
        self.secure(target, stream).await
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

/// Connects to the first of the addresses that is allowed and answers.
async fn reach(
    found: &[SocketAddr],
    refusal: impl Fn(SocketAddr) -> Option<&'static str>,
) -> Result<TcpStream, OutboundError> {
    let mut failure = OutboundError::Name("it has no address".into());
    for (i, address) in found.iter().enumerate() {
        if let Some(why) = refusal(*address) {
            failure = OutboundError::NotAllowed(*address, why);
            continue;
        }
        let limit = if i + 1 < found.len() { TRY } else { CONNECT };
        failure = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => OutboundError::Connect(error.to_string()),
            Err(_) => OutboundError::TimedOut,
        };
    }
    Err(failure)
}

/// Has the system notice when the other side is gone without a word. Best effort.
fn watch(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, ASK_EVERY);
    let _ = sockopt::set_tcp_keepcnt(stream, ASKED);
    let _ = sockopt::set_tcp_user_timeout(stream, u32::try_from(UNHEARD.as_millis()).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn an_address_that_does_not_answer_keeps_nobody_from_the_next() {
        // One that takes no connection any more, as one behind a wall that drops packets.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let found = [address, good.local_addr().unwrap()];
        let stream = tokio::time::timeout(CONNECT, reach(&found, |_| None)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), found[1]);
        watch(&stream);
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 120_000);
        let refused = reach(&found, |_| Some("is closed")).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("{} is closed", found[1]));
    }
}
