//! The certificates that apps have brought, found by the name that a visitor asks for.

use std::collections::HashMap;
use std::sync::Arc;

use paas_domain::route::Certificate;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use uuid::Uuid;

/// Certificates made ready, as of one table.
#[derive(Debug, Default)]
pub(crate) struct AppCertificates {
    by_id: HashMap<Uuid, Arc<CertifiedKey>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    below: HashMap<String, Arc<CertifiedKey>>,
}

impl AppCertificates {
    /// Those of a table; what `before` has made ready already is taken from there. One that
    /// can't be used is told of and left out: its names get the router's own.
    pub(crate) fn new(certificates: &[Certificate], before: &AppCertificates) -> AppCertificates {
        let mut ready = AppCertificates::default();
        for certificate in certificates {
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
}

fn certified(certificate: &Certificate) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not in PEM form ({error})"))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())
        .map_err(|error| format!("its key is not in PEM form ({error})"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| error.to_string())
}
