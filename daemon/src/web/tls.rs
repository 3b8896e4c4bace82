//! The local CA and the certificate that it signs for this installation.
//!
//! Made at the first start when no other certificate is configured: Heroku's clients speak
//! TLS to git and rendezvous whatever the API's address is. `tls/ca.pem` is what a client
//! is to trust; `tls/cert.pem` and `tls/key.pem` are the API's and the router's. An administrator
//! may put others there, which are never written over.

use std::{
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::ops::certificate;

/// The name of the CA that is made here.
const LOCAL_CA: &str = "paas local CA";

/// What can go wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or written.
    #[error("the certificate file {path} can't be used: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What is in the files is no certificate with its key.
    #[error("the certificate in {path} can't be used: {why}. Remove the directory to have new ones made.")]
    Bad {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
}

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub struct Files {
    /// What clients are to trust.
    pub ca: PathBuf,
    /// The certificate with its chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Makes CA and certificate in `dir` where there are none for `base_domain` yet. A certificate that this
/// CA has not signed is somebody's own: it stays, with its key.
pub fn ensure(dir: &Path, base_domain: &str) -> Result<Files, TlsError> {
    let files = Files { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    let made_for = dir.join("names");
    let names = names(base_domain);
    let all_there = [&files.ca, &files.cert, &files.key].iter().all(|path| path.exists());
    if all_there && std::fs::read_to_string(&made_for).is_ok_and(|text| text == names.join("\n")) {
        return Ok(files);
    }
    // Looked at before a CA is made: whose it is, the CA that is there tells.
    if files.cert.exists() && !is_ours(&files) {
        tracing::warn!(
            certificate = %files.cert.display(),
            ca = %files.ca.display(),
            "the certificate that is there is not of the local CA: it stays as it is. To have one made for {base_domain}, move it, its key and ca.pem away"
        );
        return Ok(files);
    }
    std::fs::create_dir_all(dir).map_err(|source| TlsError::File { path: dir.display().to_string(), source })?;
    let ca_key_path = dir.join("ca.key");
    let (ca_pem, issuer) = match (std::fs::read_to_string(&files.ca), std::fs::read_to_string(&ca_key_path)) {
        (Ok(pem), Ok(key)) => {
            let issuer = Issuer::from_ca_cert_pem(&pem, KeyPair::from_pem(&key)?)?;
            (pem, issuer)
        }
        (Ok(_), Err(_)) | (Err(_), Ok(_) | Err(_)) => {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(Vec::new())?;
            params.distinguished_name = name(LOCAL_CA);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.not_after = rcgen::date_time_ymd(2046, 1, 1);
            let cert = params.self_signed(&key)?;
            write(&ca_key_path, &key.serialize_pem())?;
            let pem = cert.pem();
            (pem, Issuer::new(params, key))
        }
    };
    write(&files.ca, &ca_pem)?;
    // A key without its certificate may be somebody's own as well, and the only one.
    let key = match std::fs::read_to_string(&files.key) {
        Ok(pem) if !files.cert.exists() => KeyPair::from_pem(&pem)?,
        Ok(_) | Err(_) => KeyPair::generate()?,
    };
    let mut params = CertificateParams::new(names.clone())?;
    params.distinguished_name = name(base_domain);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    let cert = params.signed_by(&key, &issuer)?;
    write(&files.key, &key.serialize_pem())?;
    write(&files.cert, &format!("{}{ca_pem}", cert.pem()))?;
    write(&made_for, &names.join("\n"))?;
    Ok(files)
}

/// Whether the certificate that is there is one that [`ensure`] has made: it names the local CA, and
/// the CA that is there has signed it, whatever the time is now.
fn is_ours(files: &Files) -> bool {
    let Ok(pem) = std::fs::read_to_string(&files.cert) else { return false };
    let Ok(said) = certificate::read(&pem) else { return false };
    if said.issuer != format!("/CN={LOCAL_CA}") {
        return false;
    }
    let Ok(cert) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok(ca) = CertificateDer::from_pem_file(&files.ca) else { return false };
    let mut roots = rustls::RootCertStore::empty();
    if roots.add(ca).is_err() {
        return false;
    }
    let Ok(cert) = rustls::server::ParsedCertificate::try_from(&cert) else { return false };
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let begun = u64::try_from(said.starts_at.timestamp()).unwrap_or_default() + 1;
    let at = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(begun));
    rustls::client::verify_server_cert_signed_by_trust_anchor(&cert, &roots, &[], at, known.all).is_ok()
}

/// The server's TLS settings out of these files: HTTP/2 and HTTP/1.1.
pub fn server_config(files: &Files) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let bad = |path: &Path, why: String| TlsError::Bad { path: path.display().to_string(), why };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(&files.cert, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| bad(&files.key, e.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| bad(&files.cert, e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The platform's own names stand there beside the wildcard: clients don't take one right below a
/// name of one part, which is what `*.localhost` is.
fn names(base: &str) -> Vec<String> {
    let mut names: Vec<String> = ["", "*.", "api.", "git."].map(|first| format!("{first}{base}")).into();
    for name in ["localhost", "*.localhost", "api.localhost", "git.localhost", "127.0.0.1", "::1"] {
        if !names.iter().any(|have| have == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let problem = |source| TlsError::File { path: path.display().to_string(), source };
    let temp = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(if path.extension().is_some_and(|e| e == "key") || path.ends_with("key.pem") { 0o600 } else { 0o644 })
        .open(&temp)
        .map_err(problem)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(problem)?;
    file.sync_all().map_err(problem)?;
    std::fs::rename(&temp, path).map_err(problem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, pki_types::ServerName};

    use super::*;

    /// Whether a client that trusts the CA takes the certificate for this name.
    fn good_for(files: &Files, name: &str) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(server_config(files).unwrap()).unwrap();
        let mut wire = Vec::new();
        while client.is_handshaking() {
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            wire.clear();
            server.process_new_packets()?;
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            wire.clear();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn the_certificate_is_good_for_the_base_domain_and_what_is_below_it() {
        let dir = std::env::temp_dir().join(format!("paas-tls-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let files = ensure(&dir, "apps.example.com").unwrap();
        for name in ["apps.example.com", "api.apps.example.com", "git.apps.example.com", "shop.apps.example.com"] {
            good_for(&files, name).unwrap();
        }
        for name in ["localhost", "api.localhost", "git.localhost", "127.0.0.1", "::1"] {
            good_for(&files, name).unwrap();
        }
        for name in ["example.com", "a.shop.apps.example.com", "www.example.org"] {
            good_for(&files, name).unwrap_err();
        }
        // P-256: a handshake costs a fraction of one with RSA.
        let key = KeyPair::from_pem(&std::fs::read_to_string(&files.key).unwrap()).unwrap();
        assert_eq!(key.algorithm(), &rcgen::PKCS_ECDSA_P256_SHA256);
        // What is there stays; another name makes another one, of the same CA.
        let (cert, ca) = (std::fs::read(&files.cert).unwrap(), std::fs::read(&files.ca).unwrap());
        ensure(&dir, "apps.example.com").unwrap();
        assert_eq!(std::fs::read(&files.cert).unwrap(), cert);
        ensure(&dir, "example.net").unwrap();
        assert_eq!(std::fs::read(&files.ca).unwrap(), ca);
        good_for(&files, "api.example.net").unwrap();
        good_for(&files, "api.apps.example.com").unwrap_err();
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_certificate_of_somebody_elses_is_never_written_over() {
        let dir = std::env::temp_dir().join(format!("paas-tls-own-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let files = ensure(&dir, "apps.example.com").unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["apps.example.com".to_owned()]).unwrap();
        let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        std::fs::write(&files.cert, &cert).unwrap();
        std::fs::write(&files.key, &key).unwrap();
        let unchanged = |why: &str| {
            assert_eq!(std::fs::read_to_string(&files.cert).unwrap(), cert, "{why}");
            assert_eq!(std::fs::read_to_string(&files.key).unwrap(), key, "{why}");
        };
        ensure(&dir, "example.net").unwrap();
        unchanged("another base domain");
        std::fs::write(dir.join("names"), "as an older version has it").unwrap();
        ensure(&dir, "apps.example.com").unwrap();
        unchanged("other names");
        for lost in ["names", "ca.key", "ca.pem"] {
            std::fs::remove_file(dir.join(lost)).unwrap();
            ensure(&dir, "apps.example.com").unwrap();
            unchanged(lost);
        }
        // One that has the local CA's name only isn't of it either.
        let other = dir.join("other");
        let others = ensure(&other, "example.net").unwrap();
        let (cert, key) = (std::fs::read(&others.cert).unwrap(), std::fs::read(&others.key).unwrap());
        std::fs::write(&files.cert, &cert).unwrap();
        std::fs::write(&files.key, &key).unwrap();
        ensure(&dir, "example.net").unwrap();
        assert_eq!((std::fs::read(&files.cert).unwrap(), std::fs::read(&files.key).unwrap()), (cert, key));
        // One of a company's CA, of which everything was put there; it ended long ago.
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = name("Company CA");
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec!["apps.example.com".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let own = KeyPair::generate().unwrap();
        let company = [ca.clone(), params.signed_by(&own, &issuer).unwrap().pem(), own.serialize_pem()];
        let paths = [&files.ca, &files.cert, &files.key];
        for (path, text) in paths.iter().zip(&company) {
            std::fs::write(path, text).unwrap();
        }
        for base in ["example.net", "example.org"] {
            ensure(&dir, base).unwrap();
            assert_eq!(paths.map(|path| std::fs::read_to_string(path).unwrap()), company);
            let _ = std::fs::remove_file(dir.join("ca.key"));
        }
        // Ours is made anew with its CA when the CA's key is lost.
        for path in paths {
            std::fs::remove_file(path).unwrap();
        }
        ensure(&dir, "example.net").unwrap();
        std::fs::remove_file(dir.join("ca.key")).unwrap();
        ensure(&dir, "example.org").unwrap();
        good_for(&files, "api.example.org").unwrap();
        // A key that waits for its certificate stays, too.
        std::fs::remove_file(&files.cert).unwrap();
        let key = std::fs::read(&files.key).unwrap();
        ensure(&dir, "example.net").unwrap();
        assert_eq!(std::fs::read(&files.key).unwrap(), key);
        good_for(&files, "api.example.net").unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
