//! Proves to an authority that a name is ours: puts the answer to its challenge where it will look.

use std::{net::SocketAddr, path::Path, time::Duration};

use chrono::{DateTime, Utc};

use super::{Acm, obtain::Stop};
use crate::{
    acme::{Account, Authority, Challenge, RetryAfter, dns, dns_value, hook, reach::Way, tls_answer},
    config::AcmeConfig,
    context::Context,
    error::Error,
    ops::acm,
    store::{acme::Certificate, domains::Domain},
};

/// How long the router may take to follow: longer than a question of it is held, should one still be
/// held by the daemon before.
const ROUTER: Duration = Duration::from_secs(45);

/// How long an authority may take to look.
const LOOK: Duration = Duration::from_secs(300);

/// How long a record may take to be seen, after the hook has ended.
const SEEN: Duration = Duration::from_secs(120);

/// Has the router answer for a name: over HTTP, and over TLS where `tls`.
pub(super) async fn answer(
    acm: &Acm,
    row: &mut Certificate,
    name: &str,
    (token, answer): (&str, &str),
    tls: bool,
) -> Result<(), Stop> {
    acm::clear_challenge(row);
    row.challenge_token = Some(token.to_owned());
    row.challenge_answer = Some(answer.to_owned());
    if tls {
        let made = tls_answer(name, answer);
        let (chain, key) = made.map_err(|e| Error::internal("The certificate of a challenge can't be made.", e))?;
        row.challenge_chain = Some(chain);
        row.challenge_key = Some(key);
    }
    save(acm, row).await?;
    if acm.routes.followed(ROUTER).await? {
        return Ok(());
    }
    Err(Stop::NotHere("This server's router does not answer: its administrator should look at `paasd doctor`.".into()))
}

pub(super) async fn save(acm: &Acm, row: &mut Certificate) -> Result<(), Stop> {
    if acm::save(&acm.p, row).await? { Ok(()) } else { Err(Stop::Gone) }
}

/// Proves one authorization of an order.
pub(super) async fn prove(
    acm: &Acm,
    authority: &Authority,
    by: &Account,
    row: &mut Certificate,
    domain: &Domain,
    url: &str,
) -> Result<(), Stop> {
    let (found, _) = authority.authorization(by, url).await?;
    match found.status.as_str() {
        "valid" => return Ok(()),
        "pending" => {}
        other => {
            return Err(Stop::Name(format!("{} has the proof for {} as {other}.", authority.host(), domain.hostname)));
        }
    }
    let way = match domain.hostname.strip_prefix("*.") {
        Some(_) => Way::Dns,
        None if row.challenge_chain.is_some() => Way::Tls,
        None => Way::Http,
    };
    let challenge = found.challenges.iter().find(|challenge| challenge.kind == way.challenge()).ok_or_else(|| {
        Stop::Name(format!("{} does not offer {} for {}.", authority.host(), way.challenge(), domain.hostname))
    })?;
    let value = by.key.answer(&challenge.token);
    match domain.hostname.strip_prefix("*.") {
        Some(parent) => {
            let (record, text) = (format!("_acme-challenge.{parent}"), dns_value(&value));
            let proved = by_record(acm, authority, by, domain, url, challenge, (&record, &text)).await;
            if let Some(hook) = &acm.p.cx.config().acme.dns_hook
                && let Err(why) = hook::run(hook, "cleanup", &record, &text).await
            {
                tracing::warn!("a DNS record could not be removed: {why}");
            }
            proved
        }
        None => {
            answer(acm, row, &domain.hostname, (&challenge.token, &value), way == Way::Tls).await?;
            if challenge.status == "pending" {
                authority.ready(by, &challenge.url).await?;
            }
            until_proved(acm, authority, by, &domain.hostname, url).await
        }
    }
}

/// By a DNS record, which a program of the administrator's writes.
async fn by_record(
    acm: &Acm,
    authority: &Authority,
    by: &Account,
    domain: &Domain,
    url: &str,
    challenge: &Challenge,
    (record, text): (&str, &str),
) -> Result<(), Stop> {
    let config = &acm.p.cx.config().acme;
    let hook = record_hook(config, domain.hostname.trim_start_matches("*."))?;
    hook::run(hook, "present", record, text).await.map_err(|why| {
        tracing::error!("the DNS hook failed: {why}");
        Stop::NotHere(format!("The DNS record {record} could not be written: this server's log says why."))
    })?;
    if let Some(server) = config.resolver.or_else(system_resolver) {
        let begun = std::time::Instant::now();
        // A resolver may have kept that there is none; the authority asks others.
        while begun.elapsed() < SEEN && !dns::has_text(server, record, text).await {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
    if challenge.status == "pending" {
        authority.ready(by, &challenge.url).await?;
    }
    until_proved(acm, authority, by, &domain.hostname, url).await
}

/// The program that writes records, where it may for the names below `parent`. Any user may add any
/// wildcard, and a record proves it wherever its names lead: the administrator says whose are theirs.
pub(super) fn record_hook<'a>(config: &'a AcmeConfig, parent: &str) -> Result<&'a Path, Stop> {
    let hook = config.dns_hook.as_deref().ok_or_else(|| Stop::NotHere(no_hook(parent)))?;
    match config.is_in_dns_zones(parent) {
        true => Ok(hook),
        false => Err(Stop::NotHere(format!(
            "A certificate for the wildcard *.{parent} needs DNS records in a zone that this server may write to, and this is none: its administrator can add it to PAAS_ACME_DNS_ZONES. Or add the names one by one."
        ))),
    }
}

/// What the app's user is told of a wildcard that nobody can prove.
fn no_hook(parent: &str) -> String {
    format!(
        "A certificate for the wildcard *.{parent} needs DNS records, which this server can't write: its administrator can set PAAS_ACME_DNS_HOOK. Or add the names one by one."
    )
}

/// The DNS server that the machine asks first.
fn system_resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let server = text.lines().find_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())?;
    Some(SocketAddr::new(server, 53))
}

async fn until_proved(acm: &Acm, authority: &Authority, by: &Account, name: &str, url: &str) -> Result<(), Stop> {
    let mut wait = Wait::new(LOOK);
    loop {
        let (found, again) = authority.authorization(by, url).await?;
        match found.status.as_str() {
            "valid" => return Ok(()),
            "pending" | "processing" => {}
            _ => {
                let why = found.challenges.iter().find_map(|challenge| challenge.error.as_ref());
                let why = why.map_or_else(|| "no reason is given".to_owned(), ToString::to_string);
                return Err(Stop::Name(format!("{} could not see that {name} leads here: {why}.", authority.host())));
            }
        }
        if !wait.again(&acm.p.cx, again).await {
            return Err(Stop::Authority {
                reason: format!("{} takes too long to look at {name}.", authority.host()),
                until: None,
            });
        }
    }
}

/// Pauses between questions: as the authority says, else growing, and not for ever.
pub(super) struct Wait {
    begun: std::time::Instant,
    longest: Duration,
    pause: Duration,
}

impl Wait {
    pub(super) fn new(longest: Duration) -> Self {
        Self { begun: std::time::Instant::now(), longest, pause: Duration::from_millis(250) }
    }

    /// Waits; false when it has been long enough.
    pub(super) async fn again(&mut self, cx: &Context, said: Option<RetryAfter>) -> bool {
        if self.begun.elapsed() > self.longest {
            return false;
        }
        let now: DateTime<Utc> = cx.now();
        let said = said.and_then(|said| (said.at(now) - now).to_std().ok());
        let pause = said.unwrap_or(self.pause).clamp(Duration::from_millis(100), Duration::from_secs(60));
        self.pause = (self.pause * 3 / 2).min(Duration::from_secs(10));
        tokio::time::sleep(pause).await;
        true
    }
}
