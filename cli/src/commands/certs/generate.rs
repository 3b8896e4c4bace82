//! `certs:generate`: a key, and a signing request or a certificate that signs itself.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::endpoints;
use crate::app::AppArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// How long a certificate that signs itself is good.
const DAYS: i64 = 365;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Host name that the certificate is for
    #[arg(value_name = "DOMAIN")]
    domain: String,
    #[command(flatten)]
    app: AppArgs,
    /// Make a certificate that signs itself, not a signing request
    #[arg(long)]
    selfsigned: bool,
    /// Make an RSA key of so many bits (with the program openssl); a P-256 key when left out
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(2048..=8192))]
    keysize: Option<u32>,
    /// Organisation that it belongs to
    #[arg(long)]
    owner: Option<String>,
    /// Country, by two letters
    #[arg(long)]
    country: Option<String>,
    /// State or province
    #[arg(long)]
    area: Option<String>,
    /// City
    #[arg(long)]
    city: Option<String>,
    /// The whole subject: /C=SE/O=Example/CN=example.com
    #[arg(long)]
    subject: Option<String>,
    /// Ask for nothing
    #[arg(long)]
    now: bool,
}

impl Arguments {
    pub(crate) async fn run(mut self, context: &Context) -> anyhow::Result<()> {
        let (app, client) = context.app(&self.app)?;
        let named = self.domain.strip_prefix("*.").unwrap_or(&self.domain);
        if named.is_empty() || named.starts_with('.') || named.contains(['/', '\\']) {
            return Err(Failure::usage(format!("{:?} is no host name.", self.domain)).into());
        }
        let known = endpoints(client, &app).await?;
        let known = known.iter().any(|endpoint| endpoint.ssl_cert.cert_domains.contains(&self.domain));
        let command = if known { "update" } else { "add" };
        self.ask()?;
        let key = self.key()?;
        let mut params = CertificateParams::new(vec![self.domain.clone()])
            .with_context(|| format!("{} is no host name for a certificate", self.domain))?;
        params.distinguished_name = self.subject()?;
        let file = |ending: &str| format!("{}.{ending}", self.domain);
        let (key_file, crt_file, csr_file) = (file("key"), file("crt"), file("csr"));
        write(Path::new(&key_file), &key.serialize_pem(), 0o600)?;
        if self.selfsigned {
            let now = today();
            let day = |time: chrono::DateTime<chrono::Utc>| {
                use chrono::Datelike as _;
                rcgen::date_time_ymd(
                    time.year(),
                    u8::try_from(time.month()).unwrap_or(1),
                    u8::try_from(time.day()).unwrap_or(1),
                )
            };
            params.not_before = day(now - chrono::TimeDelta::days(1));
            params.not_after = day(now + chrono::TimeDelta::days(DAYS));
            let cert = params.self_signed(&key).context("The certificate can't be made")?;
            write(Path::new(&crt_file), &cert.pem(), 0o644)?;
            output::note("Your key and self-signed certificate have been made. Next, run:");
            output::note(format_args!("  paas certs:{command} {crt_file} {key_file} -a {app}"));
            return Ok(());
        }
        let request = params.serialize_request(&key).context("The signing request can't be made")?;
        write(Path::new(&csr_file), &request.pem().context("The signing request can't be made")?, 0o644)?;
        output::note(format_args!("Your key and certificate signing request have been made. Give {csr_file} to the"));
        output::note("certificate authority of your choice. When you have its certificate, run:");
        output::note(format_args!("  paas certs:{command} CERTFILE {key_file} -a {app}"));
        Ok(())
    }

    /// Asks for what the certificate says of its owner, unless some of it was given.
    fn ask(&mut self) -> anyhow::Result<()> {
        let given = [&self.subject, &self.owner, &self.country, &self.area, &self.city];
        if self.now || given.iter().any(|part| part.is_some()) || !std::io::stdin().is_terminal() {
            return Ok(());
        }
        let ask = |what: &str| -> anyhow::Result<Option<String>> {
            let said = inquire::Text::new(what).prompt()?;
            Ok(Some(said.trim().to_owned()).filter(|said| !said.is_empty()))
        };
        self.owner = ask("Owner of this certificate")?;
        self.country = ask("Country of owner (two letters)")?;
        self.area = ask("State/province/etc. of owner")?;
        self.city = ask("City of owner")?;
        Ok(())
    }

    fn subject(&self) -> anyhow::Result<DistinguishedName> {
        let mut name = DistinguishedName::new();
        if let Some(subject) = &self.subject {
            for part in subject.split('/').filter(|part| !part.is_empty()) {
                let (kind, value) = part.split_once('=').unwrap_or((part, ""));
                let kind = match kind {
                    "C" => DnType::CountryName,
                    "ST" => DnType::StateOrProvinceName,
                    "L" => DnType::LocalityName,
                    "O" => DnType::OrganizationName,
                    "OU" => DnType::OrganizationalUnitName,
                    "CN" => DnType::CommonName,
                    _ => {
                        return Err(Failure::usage(format!("{part:?} in --subject can't be read."))
                            .hint("It is written like this: /C=SE/ST=Area/L=City/O=Owner/OU=Unit/CN=example.com")
                            .into());
                    }
                };
                name.push(kind, value);
            }
            return Ok(name);
        }
        let parts = [
            (DnType::CountryName, &self.country),
            (DnType::StateOrProvinceName, &self.area),
            (DnType::LocalityName, &self.city),
            (DnType::OrganizationName, &self.owner),
        ];
        for (kind, value) in parts {
            if let Some(value) = value {
                name.push(kind, value.as_str());
            }
        }
        name.push(DnType::CommonName, self.domain.as_str());
        Ok(name)
    }

    fn key(&self) -> anyhow::Result<KeyPair> {
        let Some(bits) = self.keysize else { return KeyPair::generate().context("The key can't be made") };
        let made = std::process::Command::new("openssl")
            .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])
            .stderr(std::process::Stdio::null())
            .output();
        let made = made.ok().filter(|made| made.status.success()).ok_or_else(|| {
            Failure::new("An RSA key could not be made: the program openssl is missing or failed.")
                .hint("Without --keysize a P-256 key is made, which needs no other program.")
        })?;
        KeyPair::from_pem(&String::from_utf8_lossy(&made.stdout)).context("The key can't be read")
    }
}

#[allow(clippy::disallowed_methods, reason = "a certificate begins today")]
fn today() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

/// Writes a new file: a key that is there may be the only one.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| {
        let failure = Failure::new(format!("{} can't be written: {error}.", path.display()));
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            failure.hint("Move it away first, so that nothing is lost.")
        } else {
            failure
        }
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} can't be written", path.display()))
}
