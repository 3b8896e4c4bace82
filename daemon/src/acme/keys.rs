//! What is made for a certificate: its key and signing request, the answers of challenges, and
//! the name that it has for renewals.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

/// The key of a certificate: P-256.
pub struct CertificateKey {
    pair: KeyPair,
}

impl std::fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateKey(..)")
    }
}

impl CertificateKey {
    /// A new one.
    pub fn generate() -> Result<Self, rcgen::Error> {
        Ok(Self { pair: KeyPair::generate()? })
    }

    /// Reads one, PEM.
    pub fn from_pem(pem: &str) -> Result<Self, rcgen::Error> {
        Ok(Self { pair: KeyPair::from_pem(pem)? })
    }

    /// The key, PEM.
    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The signing request for one name, DER.
    pub fn request(&self, name: &str) -> Result<Vec<u8>, rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.pair)?.der().to_vec())
    }
}

/// The value of the TXT record that answers a challenge (RFC 8555 §8.4).
pub fn dns_value(answer: &str) -> String {
    BASE64.encode(Sha256::digest(answer))
}

/// The certificate that answers a challenge over TLS (RFC 8737), and its key, both PEM.
pub fn tls_answer(name: &str, answer: &str) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&Sha256::digest(answer))];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// How renewal information is asked for (RFC 9773 §4.1): by who has signed a certificate, and its number.
pub fn renewal_id(chain: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    let signer = parsed.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(found) = extension.parsed_extension() else { return None };
        found.key_identifier.as_ref().map(|id| id.0)
    })?;
    Some(format!("{}.{}", BASE64.encode(signer), BASE64.encode(parsed.raw_serial())))
}
