//! The certificates that apps have brought, found by the name that a visitor asks for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use paas_domain::route::{Certificate, host_name};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use uuid::Uuid;

/// Whether a request is on a connection that was made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The connection's certificate is the one that the request's host is served with, or is
    /// for that host as well.
    Right,
    /// The host has another certificate.
    Another,
    /// The host has none of its own, and this one is for others.
    None,
}

/// Certificates made ready, as of one table.
#[derive(Debug, Default)]
pub(crate) struct AppCertificates {
    by_id: HashMap<Uuid, Arc<CertifiedKey>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    below: HashMap<String, Arc<CertifiedKey>>,
    /// Those that can't be used.
    refused: HashSet<Uuid>,
}

impl AppCertificates {
    /// Those of a table; what `before` has made ready already is taken from there. One that
    /// can't be used is told of, once, and left out: its names get the router's own.
    pub(crate) fn new(certificates: &[Certificate], before: &AppCertificates) -> AppCertificates {
        let mut ready = AppCertificates::default();
        for certificate in certificates {
            if before.refused.contains(&certificate.id) {
                ready.refused.insert(certificate.id);
                continue;
            }
            let made = match before.by_id.get(&certificate.id) {
                Some(made) => Ok(Arc::clone(made)),
                None => certified(certificate).map(Arc::new),
            };
            let key = match made {
                Ok(key) => key,
                Err(why) => {
                    tracing::warn!(
                        certificate.id = %certificate.id,
                        certificate.hosts = certificate.hosts.join(", "),
                        "A certificate can't be used: {why}. Its names are served with the router's own",
                    );
                    ready.refused.insert(certificate.id);
                    continue;
                }
            };
            for host in &certificate.hosts {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                match host.strip_prefix("*.") {
                    Some(parent) => ready.below.entry(parent.to_owned()).or_insert_with(|| Arc::clone(&key)),
                    None => ready.exact.entry(host).or_insert_with(|| Arc::clone(&key)),
                };
            }
            ready.by_id.insert(certificate.id, key);
        }
        ready
    }

    /// The one for a name: that of the exact name first, then the wildcard's, as with routes.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(key) = self.exact.get(&name) {
            return Some(Arc::clone(key));
        }
        let (first, parent) = name.split_once('.')?;
        self.below.get(parent).filter(|_| !first.is_empty()).cloned()
    }

    /// How a request for `host` (the value of a `Host` header) fits a connection that was made
    /// to `asked` (SNI). Two names that are served with the router's own certificate fit, whatever
    /// names are in it: visitors who take it for one take it for the other.
    pub(crate) fn fit(&self, asked: &str, host: &str) -> Fit {
        let host = host_name(host);
        if asked.eq_ignore_ascii_case(host) {
            return Fit::Right;
        }
        match (self.find(asked), self.find(host)) {
            (None, None) => Fit::Right,
            (None, Some(_)) => Fit::Another,
            (Some(shown), other) if other.as_ref().is_some_and(|other| Arc::ptr_eq(&shown, other)) => Fit::Right,
            // Browsers use a connection for every name that its certificate is for.
            (Some(shown), _) if self.is_for(&shown, host) => Fit::Right,
            (Some(_), Some(_)) => Fit::Another,
            (Some(_), None) => Fit::None,
        }
    }

    /// Whether the app names `host` for this certificate, be it that another one comes first.
    fn is_for(&self, key: &Arc<CertifiedKey>, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let below = host.split_once('.').and_then(|(_, parent)| self.below.get(parent));
        [self.exact.get(&host), below].into_iter().flatten().any(|other| Arc::ptr_eq(key, other))
    }
}

fn certified(certificate: &Certificate) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not in PEM form ({error})"))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())
        .map_err(|error| format!("its key is not in PEM form ({error})"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| error.to_string())
}
