//! What certificate authorities ask for, to see that a name leads here (ACME): answered from the
//! table, whatever state the app is in. Whatever else looks like it goes to the app.

use std::collections::HashMap;
use std::sync::Arc;

use paas_domain::route::{Challenge, ChallengeCertificate, host_name};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The protocol that authorities ask by over TLS, and nothing else speaks (RFC 8737).
pub(crate) const ALPN: &[u8] = b"acme-tls/1";

/// Where they ask over HTTP (RFC 8555 §8.3).
const PATH: &str = "/.well-known/acme-challenge/";

/// The challenges of a table, by host name.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    by_host: HashMap<String, Vec<Ready>>,
}

#[derive(Debug)]
struct Ready {
    challenge: Challenge,
    certificate: Option<Arc<CertifiedKey>>,
}

impl Challenges {
    /// Those of a table; what `before` has made ready already, or told that it can't be, is taken
    /// from there.
    pub(crate) fn new(challenges: Vec<Challenge>, before: &Challenges) -> Challenges {
        let mut by_host: HashMap<String, Vec<Ready>> = HashMap::new();
        for challenge in challenges {
            let host = challenge.host.trim_end_matches('.').to_ascii_lowercase();
            let mut known = before.by_host.get(&host).into_iter().flatten();
            let certificate = match known.find(|ready| ready.challenge == challenge) {
                Some(ready) => ready.certificate.clone(),
                None => challenge.certificate.as_ref().and_then(|certificate| match certified(certificate) {
                    Ok(key) => Some(Arc::new(key)),
                    Err(why) => {
                        tracing::warn!("The certificate of a challenge for {host} can't be used: {why}");
                        None
                    }
                }),
            };
            by_host.entry(host).or_default().push(Ready { challenge, certificate });
        }
        Challenges { by_host }
    }

    /// The answer to a request with this head (as HTTP/1), if it is one for a challenge that is known.
    pub(crate) fn answer(&self, head: &[u8], host: &str) -> Option<&str> {
        if self.by_host.is_empty() {
            return None;
        }
        let target = head.strip_prefix(b"GET ").or_else(|| head.strip_prefix(b"HEAD "))?;
        let token = target.strip_prefix(PATH.as_bytes())?.split(|byte| *byte == b' ').next()?;
        let ready = self.by_host.get(&host_name(host).to_ascii_lowercase())?;
        let found = ready.iter().find(|ready| ready.challenge.token.as_bytes() == token)?;
        Some(&found.challenge.answer)
    }

    /// The certificate for a name that is asked for by [`ALPN`].
    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.by_host.get(&name)?.iter().find_map(|ready| ready.certificate.clone())
    }
}

fn certified(certificate: &ChallengeCertificate) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not in PEM form ({error})"))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())
        .map_err(|error| format!("its key is not in PEM form ({error})"))?;
    let key = ring::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    // Not compared with the key: its extension is one that a verifier must refuse.
    Ok(CertifiedKey::new(chain, key))
}
