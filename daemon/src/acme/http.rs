//! Requests to one authority: signed, with a nonce each, and its answers read.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use reqwest::{Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    AccountKey, AcmeError, Authorization, Order, Problem, RenewalInfo, RetryAfter, Window, objects::Directory,
};
use crate::config::{AcmeConfig, Config};

/// The whole of one request. Authorities may look at a name before they answer.
const TIME: Duration = Duration::from_secs(60);

/// How often a request is repeated whose nonce was refused: it may be old, and they may be lost
/// between the authority's own machines.
const NONCES: usize = 12;

/// Longest answer that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// An authority, by its directory.
pub struct Authority {
    directory: String,
    host: String,
    binding: Option<Binding>,
    http: reqwest::Client,
    addresses: OnceCell<Directory>,
    nonces: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What binds an account to one that was made by hand.
pub struct Binding {
    pub(super) key_id: String,
    pub(super) key: Vec<u8>,
}

impl Binding {
    /// Reads `KID:KEY`, the key in base64url.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "it must be the key's id and the HMAC key in base64url, as KID:KEY";
        let (key_id, key) = text.split_once(':').filter(|(id, _)| !id.is_empty()).ok_or(form)?;
        let key = BASE64.decode(key.trim_end_matches('=')).map_err(|_| form)?;
        if key.is_empty() { Err(form.to_owned()) } else { Ok(Self { key_id: key_id.to_owned(), key }) }
    }
}

/// Us, at one authority.
#[derive(Debug)]
pub struct Account {
    /// What requests are signed with.
    pub key: AccountKey,
    /// The account's address there.
    pub url: String,
}

impl Authority {
    /// Those of the settings, the first before the second.
    pub fn all(config: &Config) -> Result<Vec<Self>, AcmeError> {
        let AcmeConfig { directory, eab, fallback, fallback_eab, .. } = &config.acme;
        let mut all = vec![Self::new(config, directory, "PAAS_ACME_EAB", eab.as_deref())?];
        if let Some(fallback) = fallback.as_deref().filter(|fallback| !fallback.is_empty() && fallback != directory) {
            all.push(Self::new(config, fallback, "PAAS_ACME_FALLBACK_EAB", fallback_eab.as_deref())?);
        }
        Ok(all)
    }

    fn new(config: &Config, directory: &str, setting: &str, binding: Option<&str>) -> Result<Self, AcmeError> {
        let wrong = |what: &str, why: &dyn std::fmt::Display| AcmeError::Settings(format!("{what}: {why}."));
        let url = url::Url::parse(directory).map_err(|e| wrong(directory, &e))?;
        let binding = binding.filter(|text| !text.is_empty()).map(Binding::parse).transpose();
        let binding = binding.map_err(|why| wrong(setting, &why))?;
        let mut roots = Vec::new();
        for path in [&config.ca_bundle, &config.acme.ca_file].into_iter().flatten() {
            let text = std::fs::read(path).map_err(|e| wrong(&path.display().to_string(), &e))?;
            let found = reqwest::Certificate::from_pem_bundle(&text);
            roots.extend(found.map_err(|e| wrong(&path.display().to_string(), &e))?);
        }
        // A proxy of the daemon's environment is used: whom we ask is the administrator's choice.
        let http = reqwest::Client::builder()
            .user_agent(concat!("paas/", env!("CARGO_PKG_VERSION")))
            .timeout(TIME)
            .connect_timeout(Duration::from_secs(15))
            .tls_certs_merge(roots)
            .build()
            .map_err(|e| wrong("HTTPS", &e))?;
        Ok(Self {
            directory: directory.to_owned(),
            host: url.host_str().unwrap_or(directory).to_owned(),
            binding,
            http,
            addresses: OnceCell::new(),
            nonces: Mutex::default(),
        })
    }

    /// The address of its directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The machine that it is on, for people.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Reads the directory, to see that it is there.
    pub async fn look(&self) -> Result<(), AcmeError> {
        self.addresses().await.map(|_| ())
    }

    /// Registers a key, or finds the account that it has: the account's address.
    pub async fn register(&self, key: &AccountKey, email: &str) -> Result<String, AcmeError> {
        let url = &self.addresses().await?.new_account;
        let mut payload = json!({"termsOfServiceAgreed": true, "contact": [format!("mailto:{email}")]});
        if let Some(binding) = &self.binding {
            payload["externalAccountBinding"] = key.bound(binding, url);
        }
        let answer = self.post(key, None, url, Some(&payload)).await?;
        self.location(&answer)
    }

    /// Orders a certificate for one name; `replaces`: the one that it is to come in place of. The
    /// order's address.
    pub async fn order(&self, by: &Account, name: &str, replaces: Option<&str>) -> Result<String, AcmeError> {
        let addresses = self.addresses().await?;
        let mut payload = json!({"identifiers": [{"type": "dns", "value": name}]});
        if let (Some(_), Some(replaces)) = (&addresses.renewal_info, replaces) {
            payload["replaces"] = json!(replaces);
        }
        let answer = self.post(&by.key, Some(&by.url), &addresses.new_order, Some(&payload)).await?;
        self.location(&answer)
    }

    /// How an order is, and when to ask again.
    pub async fn look_at_order(&self, by: &Account, url: &str) -> Result<(Order, Option<RetryAfter>), AcmeError> {
        self.get_as(by, url).await
    }

    /// How the proof for a name is, and when to ask again.
    pub async fn authorization(
        &self,
        by: &Account,
        url: &str,
    ) -> Result<(Authorization, Option<RetryAfter>), AcmeError> {
        self.get_as(by, url).await
    }

    /// Says that the answer to a challenge is in its place.
    pub async fn ready(&self, by: &Account, challenge: &str) -> Result<(), AcmeError> {
        self.post(&by.key, Some(&by.url), challenge, Some(&json!({}))).await.map(|_| ())
    }

    /// Hands in the signing request of an order.
    pub async fn finalize(&self, by: &Account, url: &str, request: &[u8]) -> Result<(), AcmeError> {
        let payload = json!({"csr": BASE64.encode(request)});
        self.post(&by.key, Some(&by.url), url, Some(&payload)).await.map(|_| ())
    }

    /// A certificate and what it is signed by, PEM.
    pub async fn certificate(&self, by: &Account, url: &str) -> Result<String, AcmeError> {
        let answer = self.post(&by.key, Some(&by.url), url, None).await?;
        let bytes = self.body(answer).await?;
        String::from_utf8(bytes).map_err(|_| self.nonsense("the certificate is not text"))
    }

    /// When a certificate should be renewed, and when to ask again; nothing where the authority
    /// does not say.
    pub async fn renewal(&self, id: &str) -> Result<Option<(Window, Option<RetryAfter>)>, AcmeError> {
        let Some(base) = &self.addresses().await?.renewal_info else { return Ok(None) };
        let url = format!("{}/{id}", base.trim_end_matches('/'));
        let answer = self.http.get(url).send().await.map_err(|e| self.unreachable(&e))?;
        let answer = self.checked(answer).await?;
        let again = retry_after(&answer);
        let info: RenewalInfo = self.read(answer).await?;
        Ok(Some((info.suggested_window, again)))
    }

    async fn addresses(&self) -> Result<&Directory, AcmeError> {
        let read = || async {
            let answer = self.http.get(&self.directory).send().await.map_err(|e| self.unreachable(&e))?;
            self.read(self.checked(answer).await?).await
        };
        self.addresses.get_or_try_init(read).await
    }

    async fn get_as<T: DeserializeOwned>(&self, by: &Account, url: &str) -> Result<(T, Option<RetryAfter>), AcmeError> {
        let answer = self.post(&by.key, Some(&by.url), url, None).await?;
        let again = retry_after(&answer);
        Ok((self.read(answer).await?, again))
    }

    async fn post(
        &self,
        key: &AccountKey,
        kid: Option<&str>,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Response, AcmeError> {
        let mut refused = 0;
        loop {
            let nonce = self.nonce().await?;
            let body = key.sign(kid, &nonce, url, payload)?.to_string();
            let request = self.http.post(url).header(header::CONTENT_TYPE, "application/jose+json").body(body);
            let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
            self.keep_nonce(&answer);
            match self.checked(answer).await {
                Err(AcmeError::Refused { problem, .. }) if problem.name() == "badNonce" && refused < NONCES => {
                    refused += 1;
                }
                other => return other,
            }
        }
    }

    async fn nonce(&self) -> Result<String, AcmeError> {
        let kept = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(nonce) = kept {
            return Ok(nonce);
        }
        let url = &self.addresses().await?.new_nonce;
        let answer = self.http.head(url).send().await.map_err(|e| self.unreachable(&e))?;
        let answer = self.checked(answer).await?;
        let nonce = nonce_of(&answer);
        nonce.ok_or_else(|| self.nonsense("there is no nonce"))
    }

    fn keep_nonce(&self, answer: &Response) {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        // More than are used at once grow old.
        if nonces.len() < 4 {
            nonces.extend(nonce_of(answer));
        }
    }

    async fn checked(&self, answer: Response) -> Result<Response, AcmeError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let retry_after = retry_after(&answer);
        let body = self.body(answer).await.unwrap_or_default();
        let problem: Option<Problem> = serde_json::from_slice(&body).ok();
        let host = self.host.clone();
        let limited = problem.as_ref().is_some_and(|problem| problem.name() == "rateLimited");
        if limited || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(AcmeError::RateLimited { host, problem: problem.unwrap_or_default(), retry_after });
        }
        match problem {
            Some(problem) if status.is_client_error() => Err(AcmeError::Refused { host, problem }),
            Some(problem) => Err(AcmeError::Unreachable { host, why: problem.to_string() }),
            None if status.is_client_error() => Err(self.nonsense(&format!("HTTP status {status}"))),
            None => Err(AcmeError::Unreachable { host, why: format!("HTTP status {status}") }),
        }
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, AcmeError> {
        let body = self.body(answer).await?;
        serde_json::from_slice(&body).map_err(|e| self.nonsense(&e.to_string()))
    }

    async fn body(&self, mut answer: Response) -> Result<Vec<u8>, AcmeError> {
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| self.unreachable(&e))? {
            if body.len() + part.len() > LONGEST {
                return Err(self.nonsense("the answer has no end"));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn location(&self, answer: &Response) -> Result<String, AcmeError> {
        let found = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        found.map(str::to_owned).ok_or_else(|| self.nonsense("there is no address in the answer"))
    }

    fn unreachable(&self, error: &reqwest::Error) -> AcmeError {
        let mut why = String::new();
        let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
        while let Some(cause) = next {
            why = cause.to_string();
            next = cause.source();
        }
        if error.is_timeout() {
            why = format!("no answer within {} s", TIME.as_secs());
        }
        let why = if why.is_empty() { error.to_string() } else { why };
        AcmeError::Unreachable { host: self.host.clone(), why }
    }

    fn nonsense(&self, why: &str) -> AcmeError {
        AcmeError::Nonsense { host: self.host.clone(), why: why.to_owned() }
    }
}

fn nonce_of(answer: &Response) -> Option<String> {
    Some(answer.headers().get("replay-nonce")?.to_str().ok()?.to_owned())
}

fn retry_after(answer: &Response) -> Option<RetryAfter> {
    RetryAfter::parse(answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_an_id_and_a_key() {
        assert!(Binding::parse("kid-1:zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W").is_ok());
        assert!(Binding::parse("kid:AAAA==").is_ok());
        for bad in ["", "kid", "kid:", ":AAAA", "kid:not base64"] {
            assert!(Binding::parse(bad).is_err(), "{bad:?}");
        }
    }
}
