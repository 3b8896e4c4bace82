//! Certificates: one for 127.0.0.1 that lasts as long as the forwarder, and the one that a
//! server without TLS for its API has for git all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::settings::Settings;

/// How long the server may take to show its certificate.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes `ca.pem`, to which `others` are added, and `cert.pem` with `key.pem` in the folder.
pub(super) fn make(folder: &Path, others: Option<&Path>) -> anyhow::Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "paas heroku");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = params.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let cert = params.signed_by(&key, &issuer)?.pem();
    let others = others.map(std::fs::read_to_string).and_then(Result::ok).unwrap_or_default();
    for (name, text) in [("ca.pem", format!("{ca}{others}")), ("cert.pem", cert), ("key.pem", key.serialize_pem())] {
        std::fs::write(folder.join(name), text).with_context(|| format!("{name} can't be written"))?;
    }
    Ok(())
}

/// What answers TLS with the certificate in the folder.
pub(super) fn acceptor(folder: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(folder.join("cert.pem"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Looks at the certificate authority that a server shows and keeps it in a file: `PAAS_CA_CERT`,
/// where that is set, else what the server shows for itself. That is believed only of servers
/// whose API has no TLS, where the token is already without protection on its way, and once:
/// another one later is not taken.
pub(super) async fn learn(settings: &Settings) -> anyhow::Result<PathBuf> {
    if let Some(file) = &settings.ca_cert {
        return file.canonicalize().with_context(|| format!("PAAS_CA_CERT: {} can't be read", file.display()));
    }
    let data = settings.data.as_ref().context("Neither HOME nor XDG_DATA_HOME is set")?;
    let file = data.join("paas/authorities").join(format!("{}.pem", settings.machine().replace(':', "_")));
    if file.exists() {
        return Ok(file);
    }
    let host = settings.host.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = settings.host.port_or_known_default().unwrap_or_default();
    let shown = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Looks))
            .with_no_client_auth();
        let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok::<_, std::io::Error>(chain.last().map(|last| last.to_vec()))
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await.context("The server showed no certificate in time")?;
    let authority = shown.context("The server showed no certificate")?.context("The server has no certificate")?;
    let folder = file.parent().unwrap_or(data);
    std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    std::fs::write(&file, pem(&authority)).with_context(|| format!("{} can't be written", file.display()))?;
    Ok(file)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for at in (0..text.len()).step_by(64) {
        pem.push_str(text.get(at..(at + 64).min(text.len())).unwrap_or_default());
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// Looks at a certificate and sends nothing.
#[derive(Debug)]
struct Looks;

impl ServerCertVerifier for Looks {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
