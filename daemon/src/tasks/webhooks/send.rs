//! Takes tellings to their receivers: several at once, a few to one webhook and of one app, so
//! that a slow receiver holds up only itself, and many only their app. Redirects are not followed; how an answer reads decides
//! whether it is tried again.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use paas_domain::webhook;
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
    redirect::Policy,
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    config::Config,
    context::{Context, new_id},
    error::{Error, Result},
    ops::{Platform, outward, webhooks::secrets},
    store::webhooks::{
        self, Webhook,
        deliveries::{self, Delivery},
        events,
    },
};

/// Most attempts at once.
const AT_ONCE: usize = 256;

/// Of them, most of the apps of one team or account.
const OF_OWNER: usize = 16;

/// Of them, most to one webhook.
const TO_ONE: usize = 4;

/// Connecting.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the signature is.
const SIGNATURE: HeaderName = HeaderName::from_static("heroku-webhook-hmac-sha256");

/// How an attempt ended: the receiver's status, or what was in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    code: Option<u16>,
    error: Option<&'static str>,
}

impl Outcome {
    fn failed(error: &'static str) -> Self {
        Self { code: None, error: Some(error) }
    }

    fn answered(code: u16) -> Self {
        let error = match code {
            200..=299 => None,
            300..=399 => Some("Redirected"),
            400..=499 => Some("ClientError"),
            _ => Some("ServerError"),
        };
        Self { code: Some(code), error }
    }
}

/// What attempts have in common.
#[derive(Clone)]
struct Clients {
    /// For the router's ports, which the loopback is open for.
    router: Client,
    /// For all others.
    other: Client,
}

/// Attempts under way.
pub struct Sender {
    clients: Option<Clients>,
    attempts: JoinSet<Uuid>,
    /// The webhook of each delivery that is under way, and whose its app is.
    under_way: HashMap<Uuid, (Uuid, Uuid)>,
}

impl Sender {
    /// None yet.
    pub fn new(p: &Platform) -> Self {
        let made = clients(&p.cx);
        if let Err(error) = &made {
            tracing::error!(%error, "webhooks can't be told: no client for them could be made");
        }
        Self { clients: made.ok(), attempts: JoinSet::new(), under_way: HashMap::new() }
    }

    /// Begins what is due; when to look again, if time alone decides.
    pub async fn start_due(&mut self, p: &Platform) -> Result<Option<Duration>> {
        let Some(clients) = self.clients.clone() else { return Ok(None) };
        let now = p.cx.now();
        let mut due = deliveries::webhooks_due(&mut p.db.read().await?, now).await?;
        // Whoever has the least under way has their turn first.
        due.sort_by_cached_key(|(_, owner)| self.busy(|(_, of)| of == owner));
        for (webhook_id, owner) in due {
            let free = TO_ONE
                .saturating_sub(self.busy(|(to, _)| *to == webhook_id))
                .min(OF_OWNER.saturating_sub(self.busy(|(_, of)| *of == owner)))
                .min(AT_ONCE.saturating_sub(self.under_way.len()));
            if free == 0 {
                continue;
            }
            let most = i64::try_from(TO_ONE).unwrap_or(1);
            let mut c = p.db.read().await?;
            let rows = deliveries::due(&mut c, webhook_id, now, most).await?;
            let hook = webhooks::by_id(&mut c, webhook_id).await?;
            drop(c);
            let fresh: Vec<Delivery> =
                rows.into_iter().filter(|row| !self.under_way.contains_key(&row.id)).take(free).collect();
            for delivery in fresh {
                self.under_way.insert(delivery.id, (webhook_id, owner));
                let (p, clients, hook) = (p.clone(), clients.clone(), hook.clone());
                self.attempts.spawn(async move {
                    let id = delivery.id;
                    if let Err(error) = attempt(&p, &clients, hook, delivery).await {
                        tracing::warn!(%error, "what became of a webhook's delivery could not be written; it is tried again");
                        // Not at once: whatever is in the way needs time.
                        tokio::time::sleep(CONNECT).await;
                    }
                    id
                });
            }
        }
        let next = deliveries::next_after(&mut p.db.read().await?, now).await?;
        let next = next.and_then(|row| row.next_attempt_at);
        Ok(next.map(|at| (at - p.cx.now()).to_std().unwrap_or_default()))
    }

    fn busy(&self, which: impl Fn(&(Uuid, Uuid)) -> bool) -> usize {
        self.under_way.values().filter(|of| which(of)).count()
    }

    /// Waits until an attempt has ended.
    pub async fn ended(&mut self) {
        match self.attempts.join_next().await {
            Some(Ok(delivery)) => {
                self.under_way.remove(&delivery);
            }
            // One that panicked is forgotten with all others: they are looked up anew.
            Some(Err(_)) => self.under_way.clear(),
            None => std::future::pending().await,
        }
    }
}

/// One attempt, and what has become of it.
async fn attempt(p: &Platform, clients: &Clients, hook: Option<Webhook>, mut delivery: Delivery) -> Result<()> {
    let attempt_id = new_id();
    let begun = p.cx.now();
    let removed = hook.is_none();
    let outcome = match hook {
        Some(hook) => send(p, clients, &hook, &delivery, attempt_id).await?,
        None => Outcome::failed("WebhookRemoved"),
    };
    let now = p.cx.now();
    let good = outcome.error.is_none();
    delivery.num_attempts += 1;
    delivery.attempt_id = Some(attempt_id);
    delivery.attempt_code = outcome.code.map(i64::from);
    delivery.attempt_error = outcome.error.map(str::to_owned);
    delivery.attempt_status = Some(if good { "succeeded" } else { "failed" }.into());
    delivery.attempt_at = Some(begun);
    delivery.attempt_ended_at = Some(now);
    delivery.updated_at = now;
    let made = u32::try_from(delivery.num_attempts).unwrap_or(u32::MAX);
    let first = Duration::from_secs(p.cx.config().webhook_retry_s);
    let again = if good || removed { None } else { webhook::pause(delivery.level == "sync", made, first) };
    delivery.next_attempt_at = again.map(|pause| now + pause);
    delivery.status = match (good, again) {
        (true, _) => "succeeded",
        (false, Some(_)) => "retrying",
        (false, None) => "failed",
    }
    .into();
    let mut tx = p.db.begin().await?;
    deliveries::update(&mut tx, &delivery).await?;
    tx.commit(None).await?;
    Ok(())
}

async fn send(
    p: &Platform,
    clients: &Clients,
    hook: &Webhook,
    delivery: &Delivery,
    attempt_id: Uuid,
) -> Result<Outcome> {
    let config = p.cx.config();
    let event = events::by_id(&mut p.db.read().await?, delivery.event_id).await?;
    let Some(event) = event else { return Ok(Outcome::failed("EventRemoved")) };
    let Ok(url) = outward::parse(config, &hook.url) else { return Ok(Outcome::failed("AddressNotAllowed")) };
    let (secret, authorization) = match secrets(p, hook) {
        Ok(secrets) => secrets,
        Err(error) => {
            tracing::warn!(webhook.id = %hook.id, %error, "a webhook's secrets can't be read");
            return Ok(Outcome::failed("SecretUnreadable"));
        }
    };
    let mut payload = event.payload.0;
    if let Value::Object(fields) = &mut payload {
        let metadata = json!({
            "attempt": {"id": attempt_id},
            "delivery": {"id": delivery.id},
            "event": {"id": event.id, "include": event.include},
            "webhook": {"id": hook.id},
        });
        fields.insert("webhook_metadata".into(), metadata);
    }
    let body = payload.to_string();
    let client = if outward::is_router(config, url.port_or_known_default().unwrap_or_default()) {
        &clients.router
    } else {
        &clients.other
    };
    let mut request = client
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(SIGNATURE, sign(&secret, &body)?)
        .timeout(Duration::from_secs(config.webhook_timeout_s.max(1)));
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    Ok(match request.body(body).send().await {
        Ok(response) => Outcome::answered(response.status().as_u16()),
        Err(error) => Outcome::failed(class(&error)),
    })
}

/// HMAC-SHA256 of the body in base64, as Heroku's receivers check it.
fn sign(secret: &str, body: &str) -> Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.map_err(|e| Error::internal("The webhook could not be signed.", e))?;
    mac.update(body.as_bytes());
    Ok(base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()))
}

/// What was in the way, in one word.
fn class(error: &reqwest::Error) -> &'static str {
    let mut causes = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    if causes.iter().any(|cause| cause.is::<Closed>()) {
        return "AddressNotAllowed";
    }
    if causes.iter().any(|cause| cause.is::<Unresolved>()) {
        return "NameNotFound";
    }
    if error.is_timeout() {
        return "Timeout";
    }
    if causes.iter().any(|cause| cause.is::<rustls::Error>()) {
        return "CertificateNotAccepted";
    }
    let io = causes.iter().find_map(|cause| {
        // rustls' errors come inside of one of these.
        cause.downcast_ref::<std::io::Error>()
    });
    if io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>()) {
        return "CertificateNotAccepted";
    }
    match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionRefused) => "ConnectionRefused",
        Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => "ConnectionReset",
        _ if error.is_connect() => "ConnectionFailed",
        _ => "RequestFailed",
    }
}

/// No address of a name may be reached.
#[derive(Debug, thiserror::Error)]
#[error("the addresses of the name may not be reached")]
struct Closed;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct Unresolved;

/// Finds addresses of names and leaves out those that may not be reached: what a name leads to
/// is decided when it is connected to, not before.
struct OpenOnly {
    config: Arc<Config>,
    /// A port as the connections will have it.
    port: u16,
}

impl Resolve for OpenOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let (config, port) = (Arc::clone(&self.config), self.port);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Unresolved)?;
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(Unresolved.into());
            }
            let is_open = |ip: IpAddr| outward::closed(&config, ip, port).is_none();
            let open: Vec<SocketAddr> = found.into_iter().filter(|addr| is_open(addr.ip())).collect();
            if open.is_empty() {
                return Err(Closed.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

fn clients(cx: &Context) -> std::result::Result<Clients, String> {
    let config = Arc::new(cx.config().clone());
    let mut roots = Vec::new();
    if let Some(path) = &config.ca_bundle {
        let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        roots = reqwest::Certificate::from_pem_bundle(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let client = |port: u16| {
        Client::builder()
            .user_agent(concat!("paas-webhook/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // A proxy would go where we may not.
            .no_proxy()
            .connect_timeout(CONNECT)
            .tls_certs_merge(roots.clone())
            .dns_resolver(OpenOnly { config: Arc::clone(&config), port })
            .build()
            .map_err(|e| e.to_string())
    };
    // 0 is no port of the router's.
    let ports = [config.http_listen.port(), config.https_listen.port()];
    let of_router = ports.into_iter().find(|port| *port != 0).unwrap_or_default();
    Ok(Clients { router: client(of_router)?, other: client(0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_compute() {
        // RFC 4231, test case 2.
        let signed = sign("Jefe", "what do ya want for nothing?").unwrap_or_default();
        assert_eq!(signed, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }

    #[test]
    fn only_a_2xx_is_a_success() {
        for (code, error) in [
            (200, None),
            (204, None),
            (302, Some("Redirected")),
            (404, Some("ClientError")),
            (500, Some("ServerError")),
        ] {
            assert_eq!(Outcome::answered(code).error, error, "{code}");
        }
    }
}
