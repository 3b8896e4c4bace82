//! The API's client: one connection, JSON in and out, errors turned into sentences.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::time::Duration;

use anyhow::Context as _;
use paas_wire::{ErrorBody, Range, headers};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, LOCATION, RANGE, UPGRADE};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// How long an ordinary request may take; streams have no limit.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What to say when a request that changes something was sent and its answer is not known.
pub(crate) const UNSURE: &str = "The server had been asked and may have done it all the same.\n\
                                 `paas releases` and `paas apps:info` show what is so now.";

/// A client of one API host.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    request_ids: RefCell<Option<String>>,
    changing: Cell<bool>,
}

/// The server refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// What it said.
    pub(crate) body: ErrorBody,
}

impl Client {
    /// What reaches the API's host as the settings say.
    pub(crate) fn builder(settings: &Settings) -> anyhow::Result<reqwest::ClientBuilder> {
        // The first provider stays; that it is there already is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("paas/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true);
        let host = settings.host.host_str().unwrap_or_default();
        if matches!(host, "localhost" | "[::1]") || host.starts_with("127.") {
            builder = builder.no_proxy();
        }
        if settings.host.scheme() == "http" {
            // Reading the system's certificates costs more than a whole request.
            builder = builder.tls_certs_only([]);
        } else if let Some(file) = &settings.ca_cert {
            let pem = fs::read(file).with_context(|| format!("PAAS_CA_CERT: {} can't be read", file.display()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("PAAS_CA_CERT: {} is no PEM file", file.display()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(builder)
    }

    /// A client; nothing is connected yet.
    pub(crate) fn new(settings: &Settings, token: Option<String>) -> anyhow::Result<Self> {
        let http = Self::builder(settings)?.build().context("The HTTP client can't be set up")?;
        Ok(Self {
            http,
            base: settings.host.clone(),
            token,
            request_ids: RefCell::new(None),
            changing: Cell::new(false),
        })
    }

    /// GET, one thing, however long its answer takes.
    pub(crate) async fn wait_for<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        self.json(response).await
    }

    /// GET, one thing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(self.request(Method::GET, path)?).await
    }

    /// GET, a listing with all its pages.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut all = Vec::new();
        let mut range = None::<String>;
        loop {
            let mut request = self.request(Method::GET, path)?;
            if let Some(range) = &range {
                request = request.header(RANGE, range);
            }
            let response = self.send(request.timeout(TIMEOUT)).await?;
            range = (response.status() == StatusCode::PARTIAL_CONTENT)
                .then(|| text_header(response.headers(), headers::NEXT_RANGE))
                .flatten();
            let page: Vec<T> = self.json(response).await?;
            let last = range.is_none() || page.is_empty();
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// GET, the part of a listing that `range` names.
    pub(crate) async fn page<T: DeserializeOwned>(&self, path: &str, range: &Range) -> anyhow::Result<Vec<T>> {
        self.call(self.request(Method::GET, path)?.header(RANGE, range.to_string())).await
    }

    /// Any request with a body.
    pub(crate) async fn send_json<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        self.call(self.request(method, path)?.json(body)).await
    }

    /// The same, with the value of a header of the answer.
    pub(crate) async fn send_json_for_header<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        header: &str,
    ) -> anyhow::Result<(T, Option<String>)> {
        let response = self.send(self.request(method, path)?.json(body).timeout(TIMEOUT)).await?;
        let value = text_header(response.headers(), header);
        Ok((self.json(response).await?, value))
    }

    /// Any request without a body.
    pub(crate) async fn send_empty<T: DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<T> {
        self.call(self.request(method, path)?).await
    }

    /// DELETE; what it answers does not matter.
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request = self.request(Method::DELETE, path)?.timeout(TIMEOUT);
        self.send(request).await.map(drop)
    }

    /// POST with e-mail address and password in place of a token.
    pub(crate) async fn post_as<B: Serialize, T: DeserializeOwned>(
        &self,
        user: &str,
        password: &str,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let request = self
            .http
            .post(self.url(path)?)
            .basic_auth(user, Some(password))
            .header(ACCEPT, headers::ACCEPT_V3)
            .json(body);
        self.call(request).await
    }

    /// GET of a stream of text. `url` is one that the API handed out; only its path counts,
    /// since the server may know itself by another name than this machine does. `None` when
    /// there is no such stream (yet).
    pub(crate) async fn text(&self, url: &str) -> anyhow::Result<Option<Response>> {
        self.stream(url, "text/plain", None).await
    }

    /// The same as server-sent events, those behind the one with the id `after`.
    pub(crate) async fn events(&self, url: &str, after: Option<&str>) -> anyhow::Result<Option<Response>> {
        self.stream(url, "text/event-stream", after).await
    }

    async fn stream(&self, url: &str, kind: &str, after: Option<&str>) -> anyhow::Result<Option<Response>> {
        let parsed = Url::parse(url).with_context(|| format!("The API answered a bad URL: {url}"))?;
        let mut ours = self.base.clone();
        ours.set_path(parsed.path());
        ours.set_query(parsed.query());
        let mut request = self.http.get(ours).header(ACCEPT, kind);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        match self.send(request).await {
            Ok(response) => Ok(Some(response)),
            Err(error) if status_of(&error) == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// PUT of a file to a URL that the API handed out.
    pub(crate) async fn upload(&self, url: &str, content: Vec<u8>) -> anyhow::Result<()> {
        let request = self.http.put(url).header(CONTENT_TYPE, "application/gzip").body(content);
        self.send(request).await.map(drop)
    }

    /// Turns a connection into a two-way stream.
    pub(crate) async fn upgrade(&self, path: &str, protocol: &str) -> anyhow::Result<reqwest::Upgraded> {
        let request = self.request(Method::GET, path)?.header(CONNECTION, "Upgrade").header(UPGRADE, protocol);
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::new(format!("{} did not open a stream (HTTP {}).", self.base(), response.status()))
                .hint("A proxy on the way may not let connections be upgraded.")
                .into());
        }
        response.upgrade().await.context("The stream can't be opened")
    }

    /// Whether a request that changes something has been sent and not been answered.
    pub(crate) fn is_changing(&self) -> bool {
        self.changing.get()
    }

    fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(path).with_context(|| format!("{path} is no path of the API"))
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let mut request = self.http.request(method, self.url(path)?).header(ACCEPT, headers::ACCEPT_V3);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(ids) = self.request_ids.borrow().as_deref() {
            request = request.header(headers::REQUEST_ID, ids);
        }
        Ok(request)
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = self.send(request.timeout(TIMEOUT)).await?;
        self.json(response).await
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| {
            let version = env!("CARGO_PKG_VERSION");
            Failure::new(format!("This version of paas ({version}) can't read what {} answered: {error}.", self.base()))
                .hint("Are paas and the server of the same version?")
                .into()
        })
    }

    /// Sends a request; every answer below 400 is fine, but one that sends us elsewhere: nothing
    /// was done then, and the token is for this host only.
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let request = request.build().context("The request can't be made")?;
        // Stays set when this is dropped before the answer is there (Ctrl-C), or when none comes.
        self.changing.set(changes(&request));
        let response = self.http.execute(request).await.map_err(|error| {
            if error.is_connect() {
                self.changing.set(false);
            }
            self.unreachable(&error)
        })?;
        self.changing.set(false);
        if let Some(ids) = text_header(response.headers(), headers::REQUEST_ID) {
            *self.request_ids.borrow_mut() = Some(ids);
        }
        if let Some(warning) = text_header(response.headers(), headers::WARNING) {
            output::complain(&format!("Warning: {warning}"));
        }
        if response.status().is_redirection() {
            return Err(self.led_elsewhere(&response).into());
        }
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(self.refused(response).await);
        }
        Ok(response)
    }

    fn led_elsewhere(&self, response: &Response) -> Failure {
        let (base, status) = (self.base(), response.status());
        let place = text_header(response.headers(), LOCATION.as_str());
        let failure = |to: &str| Failure::new(format!("{base} answered HTTP {status}{to}; nothing was done."));
        match place.and_then(|place| self.base.join(&place).ok()).filter(|place| place.origin() != self.base.origin()) {
            Some(place) => {
                let origin = place.origin().ascii_serialization();
                failure(&format!(", which leads to {origin}"))
                    .hint(format!("If that is your server, set PAAS_HOST to {origin}."))
            }
            None => failure("").hint("Is PAAS_HOST the address of a paas API?"),
        }
    }

    async fn refused(&self, response: Response) -> anyhow::Error {
        let status = response.status();
        let request_id = text_header(response.headers(), headers::REQUEST_ID);
        // Streams refuse in plain words.
        let plain =
            text_header(response.headers(), CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("text/plain"));
        let bytes = response.bytes().await.unwrap_or_default();
        let Ok(body) = serde_json::from_slice::<ErrorBody>(&bytes) else {
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            let failure = if plain && !text.is_empty() && text.len() < 500 {
                Failure::new(text.clone()).hint(format!("{} answered this with HTTP {status}.", self.base()))
            } else {
                Failure::new(format!("{} answered HTTP {status}, not in paas's way.", self.base()))
                    .hint("Is PAAS_HOST the address of a paas API?")
            };
            let body = ErrorBody::new("", text);
            return anyhow::Error::new(failure).context(Refusal { status, body });
        };
        let hint = self.hint(status, &body, request_id.as_deref());
        let mut failure = Failure::new(body.message.clone());
        if let Some(hint) = hint {
            failure = failure.hint(hint);
        }
        anyhow::Error::new(failure).context(Refusal { status, body })
    }

    fn hint(&self, status: StatusCode, body: &ErrorBody, request_id: Option<&str>) -> Option<String> {
        if let Some(url) = &body.url {
            return Some(format!("See {url}"));
        }
        if status == StatusCode::UNAUTHORIZED {
            return Some(format!("Log in to {} with `paas login`, or check PAAS_API_KEY.", self.base()));
        }
        if status == StatusCode::NOT_FOUND {
            return body.resource.as_deref().and_then(where_listed).map(str::to_owned);
        }
        if status.is_server_error() {
            let last = request_id.and_then(|ids| headers::request_ids(ids).last())?;
            return Some(format!("The server's log tells more; look for request {last}."));
        }
        None
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let base = self.base();
        let mut cause = None;
        let mut reason = String::new();
        let mut source: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                cause = Some(error.kind());
            }
            reason = error.to_string();
            source = error.source();
        }
        let failure = if error.is_timeout() {
            Failure::new(format!("{base} did not answer in time."))
                .hint("Try again in a moment; if it stays so, look at the server with `paasd doctor`.")
        } else if cause == Some(io::ErrorKind::ConnectionRefused) {
            Failure::new(format!("Nothing answers at {base}: connection refused."))
                .hint("Start the server there (`paasd serve`), or point PAAS_HOST at yours.")
        } else if reason.contains("certificate") || reason.contains("UnknownIssuer") {
            Failure::new(format!("The certificate of {base} is not trusted: {reason}."))
                .hint("If the server made its own, set PAAS_CA_CERT to its ca.pem.")
        } else {
            Failure::new(format!("{base} can't be reached: {reason}.")).hint("Check PAAS_HOST and the network.")
        };
        failure.into()
    }
}

/// How to find out what there is of a kind of thing, for who named one that there is not.
fn where_listed(resource: &str) -> Option<&'static str> {
    Some(match resource {
        "app" => "`paas apps` lists the apps that you can use.",
        "add_on" => "`paas addons --all` lists the add-ons that you can use.",
        "attachment" | "add_on attachment" => "`paas addons` lists the app's add-ons and by which names it has them.",
        "authorization" => "`paas authorizations` lists your tokens.",
        "build" => "`paas builds` lists the app's builds.",
        "collaborator" => "`paas access` lists who may work on the app.",
        "sni_endpoint" => "`paas certs` lists the app's certificates.",
        "webhook" => "`paas webhooks` lists the app's webhooks.",
        "webhook_delivery" | "webhook_event" => "`paas webhooks:deliveries` lists what was sent.",
        "domain" => "`paas domains` lists the app's domains.",
        "dyno" => "`paas ps` lists the app's dynos.",
        "formation" => "`paas ps:scale` lists the app's process types.",
        "feature" => "`paas features` and `paas labs` list what there is.",
        "key" => "`paas keys` lists your SSH keys.",
        "oauth_client" => "`paas clients` lists your OAuth clients.",
        "release" => "`paas releases` lists the app's releases.",
        "session" => "`paas sessions` lists your sessions.",
        "team" => "`paas teams` lists the teams that you are in.",
        "team_member" => "`paas members` lists who is in the team.",
        "app_transfer" => "`paas apps:transfers` lists the apps that you offer or are offered.",
        _ => return None,
    })
}

/// Whether a request changes something that its user would ask about.
fn changes(request: &Request) -> bool {
    // An upload has no credentials, and is nothing yet.
    let ours = request.headers().contains_key(AUTHORIZATION);
    let path = request.url().path();
    let looks = ["/log-sessions", "/actions/addons/resolve", "/oauth/authorizations"];
    ours && !request.method().is_safe() && !looks.iter().any(|end| path.ends_with(end))
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.body.message)
    }
}

impl std::error::Error for Refusal {}

/// The status with which the server refused, if it did.
pub(crate) fn status_of(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<Refusal>().map(|refusal| refusal.status)
}

/// The kind of error (`ErrorBody::id`) with which the server refused, if it did.
pub(crate) fn refusal_id(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Refusal>().map(|refusal| refusal.body.id.as_str())
}

/// The kind of thing that the server did not find, if it was that.
pub(crate) fn missing(error: &anyhow::Error) -> Option<&str> {
    let refusal = error.downcast_ref::<Refusal>().filter(|refusal| refusal.status == StatusCode::NOT_FOUND)?;
    refusal.body.resource.as_deref()
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A name as a segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// The path of something of an app: `/apps/APP` and the rest.
pub(crate) fn app_path(app: &str, rest: &str) -> String {
    format!("/apps/{}{rest}", segment(app))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        assert_eq!(segment("web.1"), "web.1");
        assert_eq!(segment("a/b ü?"), "a%2Fb%20%C3%BC%3F");
    }
}
