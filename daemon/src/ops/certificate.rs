//! What a certificate says, and whether it can be served: read from PEM, with its key.

use chrono::{DateTime, Utc};
use rustls::{
    client::danger::ServerCertVerifier as _,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

use crate::error::{Error, Result};

/// Most certificates in a chain.
const LONGEST: usize = 10;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whose it is: `/C=SE/O=Example/CN=example.com`.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The host names that it is for.
    pub names: Vec<String>,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Its issuer is itself.
    pub self_signed: bool,
    /// SHA-256 of it, in hexadecimal.
    pub fingerprint: String,
}

impl Said {
    /// Whether visitors of `host` (or of all that `*.…` stands for) accept it.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| {
            let name = name.to_ascii_lowercase();
            name == host || name.strip_prefix("*.").is_some_and(|suffix| Some(suffix) == parent)
        })
    }
}

/// A certificate that can be served.
#[derive(Debug)]
pub struct Good {
    /// What it says.
    pub said: Said,
    /// Certificate and what it is signed by, PEM, and nothing else.
    pub chain: String,
    /// Somebody whom this machine trusts has signed it.
    pub ca_signed: bool,
}

fn invalid(text: impl Into<String>) -> Error {
    Error::invalid(text)
}

/// What the first certificate of a chain says.
pub fn read(chain: &str) -> Result<Said> {
    let ders = certificates(chain)?;
    let first = ders.first().ok_or_else(|| invalid("certificate_chain: there is no certificate in it."))?;
    said(first)
}

/// Checks that chain and key can be served: that they are what they should be, belong
/// together, come in order, and that the time is not over. Reads the trusted authorities from
/// the disk.
pub fn check(chain: &str, key: &str, now: DateTime<Utc>) -> Result<Good> {
    let ders = certificates(chain)?;
    let Some((first, rest)) = ders.split_first() else {
        return Err(invalid(
            "certificate_chain: there is no certificate in it. It must be PEM: -----BEGIN CERTIFICATE----- …",
        ));
    };
    if ders.len() > LONGEST {
        return Err(invalid(format!("certificate_chain: it has {} certificates; {LONGEST} are the most.", ders.len())));
    }
    let said = said(first)?;
    check_order(&ders)?;
    if said.expires_at <= now {
        return Err(invalid(format!(
            "certificate_chain: the certificate of {} ended at {}.",
            said.subject,
            said.expires_at.format("%Y-%m-%d %H:%M UTC")
        )));
    }
    if said.names.is_empty() {
        return Err(invalid("certificate_chain: the certificate is for no host name."));
    }
    check_key(&ders, key)?;
    let ca_signed = !said.self_signed && is_trusted(first, rest, &said, now);
    Ok(Good { ca_signed, chain: pem(&ders), said })
}

fn certificates(chain: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| invalid(format!("certificate_chain: it is not PEM ({e}).")))
}

fn parse<'d>(der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(invalid("certificate_chain: one of its parts is not an X.509 certificate.")),
    }
}

fn said(der: &CertificateDer<'_>) -> Result<Said> {
    let parsed = parse(der)?;
    let time = |time: &x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0).unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    if let Ok(Some(others)) = parsed.subject_alternative_name() {
        for name in &others.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push((*name).to_owned());
            }
        }
    }
    if names.is_empty() {
        names.extend(parsed.subject().iter_common_name().filter_map(|name| Some(name.as_str().ok()?.to_owned())));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(Said {
        subject: one_line(parsed.subject()),
        issuer: one_line(parsed.issuer()),
        names,
        starts_at: time(&parsed.validity().not_before),
        expires_at: time(&parsed.validity().not_after),
        self_signed: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        fingerprint: hex::encode(Sha256::digest(der)),
    })
}

/// `/C=SE/O=Example/CN=example.com`
fn one_line(name: &X509Name<'_>) -> String {
    let short = |oid| x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry()).map(str::to_owned);
    let parts = name.iter_attributes().map(|part| {
        let key = short(part.attr_type()).unwrap_or_else(|_| part.attr_type().to_id_string());
        format!("/{key}={}", part.as_str().unwrap_or("?"))
    });
    parts.collect()
}

/// Each is signed by the next.
fn check_order(ders: &[CertificateDer<'_>]) -> Result<()> {
    for pair in ders.windows(2) {
        let (below, above) = (parse(&pair[0])?, parse(&pair[1])?);
        if below.issuer().as_raw() != above.subject().as_raw() {
            return Err(invalid(format!(
                "certificate_chain: {} is signed by {}, but {} follows it. The app's own certificate comes first, then who has signed it, and so on.",
                one_line(below.subject()),
                one_line(below.issuer()),
                one_line(above.subject())
            )));
        }
    }
    Ok(())
}

fn check_key(ders: &[CertificateDer<'static>], key: &str) -> Result<()> {
    if key.contains("ENCRYPTED") {
        return Err(invalid(
            "private_key: it is locked with a passphrase. Unlock it first, with: openssl pkey -in LOCKED.key -out OPEN.key",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| invalid("private_key: it is no private key in PEM form: -----BEGIN PRIVATE KEY----- …"))?;
    match CertifiedKey::from_der(ders.to_vec(), key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(invalid("private_key: it is not the key of the first certificate in certificate_chain."))
        }
        Err(_) => Err(invalid(
            "private_key: a key of this kind can't be served. RSA from 2048 bits on, P-256, P-384 and Ed25519 can.",
        )),
    }
}

fn is_trusted(first: &CertificateDer<'_>, rest: &[CertificateDer<'_>], said: &Said, now: DateTime<Utc>) -> bool {
    let Some(name) = said.names.first().map(|name| name.replacen('*', "any", 1)) else { return false };
    let Ok(name) = ServerName::try_from(name) else { return false };
    let since = std::time::Duration::from_secs(u64::try_from(now.timestamp()).unwrap_or_default());
    rustls_platform_verifier::Verifier::new(std::sync::Arc::new(ring::default_provider())).is_ok_and(|verifier| {
        verifier.verify_server_cert(first, rest, &name, &[], UnixTime::since_unix_epoch(since)).is_ok()
    })
}

fn pem(ders: &[CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for der in ders {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        for (at, c) in body.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                text.push('\n');
            }
            text.push(c);
        }
        text.push_str("\n-----END CERTIFICATE-----\n");
    }
    text
}
