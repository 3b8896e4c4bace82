//! Whether a name leads to this server, tried as an authority would try it: by the name's own
//! addresses, on the ports that the world uses. An order that can't succeed is not made, since
//! authorities count failures.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::redirect::Policy;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::dns;
use crate::{config::Config, outbound::Guard};

/// Connecting to one address and its answer.
const TIME: Duration = Duration::from_secs(10);

/// Most addresses of a name that are tried.
const ADDRESSES: usize = 6;

/// How an authority can have it proved that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// HTTP-01: a page on port 80.
    Http,
    /// TLS-ALPN-01: a certificate on port 443.
    Tls,
    /// DNS-01: a TXT record.
    Dns,
}

impl Way {
    /// The challenge's name.
    pub fn challenge(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::Tls => "tls-alpn-01",
            Self::Dns => "dns-01",
        }
    }
}

/// What the router has been told to answer.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// To a request for this.
    pub token: &'a str,
    /// This, over HTTP and in a certificate.
    pub answer: &'a str,
}

/// Who is at an address.
enum Met {
    /// This server.
    Ours,
    /// Nobody.
    Nobody(String),
    /// Another one.
    Other(String),
}

/// By which way `name` leads here; an error is a sentence for the app's user. `target` is what
/// their DNS record should point to.
pub async fn way(config: &Config, name: &str, target: &str, probe: Probe<'_>) -> Result<Way, String> {
    let acme = &config.acme;
    let found = dns::addresses(acme.resolver, name).await.map_err(|why| format!("{name} {why}."))?;
    let guard = Guard::for_router(config, [acme.http_port, acme.https_port]);
    let at = |port: u16| found.iter().take(ADDRESSES).map(move |ip| SocketAddr::new(*ip, port));
    let mut http = Vec::new();
    for address in at(acme.http_port) {
        http.push((address, by_http(&guard, name, address, probe).await));
    }
    if leads_here(&http) {
        return Ok(Way::Http);
    }
    let mut tls = Vec::new();
    for address in at(acme.https_port) {
        tls.push((address, by_tls(&guard, name, address, probe).await));
    }
    if leads_here(&tls) { Ok(Way::Tls) } else { Err(sentence(name, target, &http)) }
}

/// An authority tries one of the addresses; where one can't be connected to, the next. So all that
/// answer have to be ours.
fn leads_here(tried: &[(SocketAddr, Met)]) -> bool {
    let none_other = !tried.iter().any(|(_, met)| matches!(met, Met::Other(_)));
    none_other && tried.iter().any(|(_, met)| matches!(met, Met::Ours))
}

fn sentence(name: &str, target: &str, tried: &[(SocketAddr, Met)]) -> String {
    let ours = tried.iter().any(|(_, met)| matches!(met, Met::Ours));
    for (address, met) in tried {
        if let Met::Other(what) = met {
            let ip = address.ip();
            return match ours {
                true => format!(
                    "{name} leads to this server and to {ip}, which is another one ({what}): remove that record."
                ),
                false => format!("{name} leads to {ip}, which is not this server ({what}): point it at {target}."),
            };
        }
    }
    let ips: Vec<String> = tried.iter().map(|(address, _)| address.ip().to_string()).collect();
    let (port, why) = match tried.first() {
        Some((address, Met::Nobody(why))) => (address.port(), why.as_str()),
        Some((address, Met::Ours | Met::Other(_))) => (address.port(), ""),
        None => (80, "it has no address"),
    };
    format!(
        "{name} leads to {}, where nothing answers on port {port} ({why}): point it at {target}, and open the port.",
        ips.join(", ")
    )
}

async fn by_http(guard: &Guard, name: &str, address: SocketAddr, probe: Probe<'_>) -> Met {
    if let Some(why) = guard.refusal(address) {
        return Met::Other(format!("it {why}"));
    }
    let own = name.to_owned();
    // As authorities do: to HTTPS, whatever its certificate; but never to another name.
    let redirects = Policy::custom(move |attempt| {
        let same = attempt.url().host_str() == Some(own.as_str()) && attempt.previous().len() < 5;
        if same { attempt.follow() } else { attempt.stop() }
    });
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIME)
        .connect_timeout(TIME / 2)
        .redirect(redirects)
        .tls_danger_accept_invalid_certs(true)
        .resolve(name, SocketAddr::new(address.ip(), 0))
        .user_agent(concat!("paas-preflight/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = match client {
        Ok(client) => client,
        Err(e) => return Met::Nobody(e.to_string()),
    };
    let port = if address.port() == 80 { String::new() } else { format!(":{}", address.port()) };
    let url = format!("http://{name}{port}/.well-known/acme-challenge/{}", probe.token);
    let mut answer = match client.get(url).send().await {
        Ok(answer) => answer,
        Err(e) if e.is_connect() => return Met::Nobody(last(&e)),
        Err(e) if e.is_timeout() => return Met::Nobody("no answer".into()),
        Err(e) => return Met::Other(last(&e)),
    };
    let status = answer.status();
    let mut body = Vec::new();
    while body.len() <= probe.answer.len() {
        match answer.chunk().await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) | Err(_) => break,
        }
    }
    if status.is_success() && body.trim_ascii() == probe.answer.as_bytes() {
        return Met::Ours;
    }
    Met::Other(format!("it answers with HTTP status {}", status.as_u16()))
}

async fn by_tls(guard: &Guard, name: &str, address: SocketAddr, probe: Probe<'_>) -> Met {
    if guard.refusal(address).is_some() {
        return Met::Other(String::new());
    }
    let provider = Arc::new(ring::default_provider());
    let built = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let (Ok(built), Ok(server)) = (built, ServerName::try_from(name.to_owned())) else {
        return Met::Other(String::new());
    };
    let mut config = built.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let asked = async {
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(server, stream).await
    };
    let stream = match tokio::time::timeout(TIME, asked).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Met::Nobody(e.to_string()),
        Err(_) => return Met::Nobody("no answer".into()),
    };
    let session = stream.get_ref().1;
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let good = session.alpn_protocol() == Some(b"acme-tls/1") && shown.is_some_and(|der| carries(der, probe.answer));
    if good { Met::Ours } else { Met::Other(String::new()) }
}

/// Whether a certificate carries an answer: its digest, as an octet string, in an extension of its own.
pub(crate) fn carries(der: &CertificateDer<'_>, answer: &str) -> bool {
    let wanted = [&[4, 32][..], &Sha256::digest(answer)[..]].concat();
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return false };
    parsed
        .extensions()
        .iter()
        .any(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31" && extension.value == wanted)
}

fn last(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    text
}

/// Takes every certificate: it is looked at afterwards, and nothing is said over the connection.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn all_that_answer_have_to_be_ours() {
        let at = |ip: &str, met| (SocketAddr::new(ip.parse().unwrap(), 80), met);
        let other = || Met::Other("it answers with HTTP status 404".into());
        let nobody = || Met::Nobody("Connection refused".into());
        assert!(leads_here(&[at("::1", nobody()), at("192.0.2.1", Met::Ours)]));
        assert!(!leads_here(&[at("192.0.2.1", Met::Ours), at("192.0.2.2", other())]));
        assert!(!leads_here(&[at("192.0.2.1", nobody())]) && !leads_here(&[]));
        let say = |tried: &[(SocketAddr, Met)]| sentence("example.com", "app.example.net", tried);
        insta::assert_snapshot!(
            [
                say(&[at("192.0.2.1", Met::Ours), at("192.0.2.2", other())]),
                say(&[at("192.0.2.2", other())]),
                say(&[at("192.0.2.2", nobody()), at("::2", nobody())]),
            ]
            .join("\n"),
            @r"
        example.com leads to this server and to 192.0.2.2, which is another one (it answers with HTTP status 404): remove that record.
        example.com leads to 192.0.2.2, which is not this server (it answers with HTTP status 404): point it at app.example.net.
        example.com leads to 192.0.2.2, ::2, where nothing answers on port 80 (Connection refused): point it at app.example.net, and open the port.
        "
        );
    }

    #[test]
    fn a_certificate_carries_its_answer() {
        use rustls::pki_types::pem::PemObject as _;
        let (chain, _) = super::super::tls_answer("example.com", "token.thumbprint").unwrap();
        let der = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        assert!(carries(&der, "token.thumbprint") && !carries(&der, "token.other"));
    }
}
