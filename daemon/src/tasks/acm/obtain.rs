//! From a domain without a certificate to one: the name is tried, the certificate ordered, proved
//! and fetched. What an authority knows of it is in the row first.

use std::{sync::PoisonError, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Acm,
    proof::{Wait, answer, prove, record_hook, save},
    replaced,
};
use crate::{
    acme::{Account, AcmeError, Authority, CertificateKey, Order, reach},
    error::Error,
    ops::acm,
    store::{self, StoreError, acme::Certificate, domains::Domain},
};

/// How long an authority may take to sign.
const SIGN: Duration = Duration::from_secs(300);

/// How long one is left alone that has had enough of us and doesn't say for how long.
const ENOUGH: TimeDelta = TimeDelta::hours(1);

/// After so many failures of a name the other authority is asked, and so on.
pub(super) const IN_A_ROW: i64 = 3;

/// Why there is no certificate yet; the sentences are for the app's user.
#[derive(Debug)]
pub(super) enum Stop {
    /// The name does not lead here: nothing was ordered.
    NotHere(String),
    /// The authority refuses the name.
    Name(String),
    /// What it has signed can't be served.
    Unusable(String),
    /// The authority is down or has had enough of us.
    Authority {
        /// In words.
        reason: String,
        /// Until then, if it says so.
        until: Option<DateTime<Utc>>,
    },
    /// It is wanted no more.
    Gone,
    /// A failure of our own.
    Own(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Own(error.into())
    }
}

impl From<AcmeError> for Stop {
    fn from(error: AcmeError) -> Self {
        match error {
            AcmeError::Refused { .. } => Self::Name(format!("{error}.")),
            AcmeError::Unreachable { .. }
            | AcmeError::RateLimited { .. }
            | AcmeError::Nonsense { .. }
            | AcmeError::Settings(_) => Self::Authority { reason: format!("{error}."), until: None },
        }
    }
}

/// Gets a certificate: the chain, and who has signed it. Its key is in the row.
pub(super) async fn obtain(acm: &Acm, row: &mut Certificate, domain: &Domain) -> Result<(String, String), Stop> {
    match go_on(acm, row, domain).await {
        Ok(None) => {}
        Ok(Some(done)) => return Ok(done),
        // After some failures it is the other one's turn, whatever is under way here.
        Err(Stop::Authority { .. })
            if row.attempts >= IN_A_ROW
                && in_turn(&acm.authorities, row.attempts).next().map(Authority::directory)
                    != row.directory.as_deref() =>
        {
            acm::clear(row);
        }
        Err(stop) => return Err(stop),
    }
    try_name(acm, row, domain).await?;
    let mut last = None;
    for authority in in_turn(&acm.authorities, row.attempts) {
        match order(acm, authority, row, domain).await {
            // Another one may be well, and knows nothing of this one's limits.
            Err(stop @ Stop::Authority { .. }) => last = Some(later(last, stop)),
            other => return other.map(|chain| (chain, authority.host().to_owned())),
        }
    }
    Err(last.unwrap_or(Stop::Gone))
}

/// The authorities, the one first whose turn it is.
fn in_turn(all: &[Authority], attempts: i64) -> impl Iterator<Item = &Authority> {
    let first = usize::try_from(attempts / IN_A_ROW).unwrap_or_default();
    (0..all.len()).filter_map(move |at| all.get((first + at) % all.len()))
}

/// Of two that stopped us, what is said: both, and the earlier time.
fn later(before: Option<Stop>, now: Stop) -> Stop {
    match (before, now) {
        (Some(Stop::Authority { reason: one, until: a }), Stop::Authority { reason: two, until: b }) => {
            Stop::Authority { reason: format!("{one} {two}"), until: a.zip(b).map(|(a, b)| a.min(b)) }
        }
        (_, now) => now,
    }
}

/// Goes on with the order that is under way, if one is.
async fn go_on(acm: &Acm, row: &mut Certificate, domain: &Domain) -> Result<Option<(String, String)>, Stop> {
    let Some(url) = row.order_url.clone() else { return Ok(None) };
    let authority = acm.authorities.iter().find(|one| row.directory.as_deref() == Some(one.directory()));
    if let Some(authority) = authority {
        let by = account(acm, authority).await?;
        match authority.look_at_order(&by, &url).await {
            Ok((order, _)) if order.status != "invalid" => {
                let chain = through(acm, authority, &by, row, domain, &url).await?;
                return Ok(Some((chain, authority.host().to_owned())));
            }
            // Forgotten there, or spoilt: another one is made.
            Ok(_) | Err(AcmeError::Refused { .. } | AcmeError::Nonsense { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    acm::clear(row);
    Ok(None)
}

/// Tries that the name leads here, and notes by which way it can be proved.
async fn try_name(acm: &Acm, row: &mut Certificate, domain: &Domain) -> Result<(), Stop> {
    let config = acm.p.cx.config();
    if let Some(parent) = domain.hostname.strip_prefix("*.") {
        return record_hook(&config.acme, parent).map(|_| ());
    }
    let token = format!("preflight-{}", hex::encode(rand::random::<[u8; 16]>()));
    let value = format!("{token}.{}", hex::encode(rand::random::<[u8; 16]>()));
    if !config.acme.preflight {
        // Unseen, one way is as good as the other.
        return answer(acm, row, &domain.hostname, (&token, &value), row.attempts % 2 == 1).await;
    }
    answer(acm, row, &domain.hostname, (&token, &value), true).await?;
    let app = store::apps::by_id(&mut acm.p.db.read().await?, row.app_id).await?.ok_or(Stop::Gone)?;
    let probe = reach::Probe { token: &token, answer: &value };
    let way = reach::way(config, &domain.hostname, &config.app_host(&app.name), probe).await.map_err(Stop::NotHere)?;
    if way != reach::Way::Tls {
        row.challenge_chain = None;
        row.challenge_key = None;
    }
    if row.renew_at.is_none() {
        row.status = "dns-verified".into();
        row.reason = None;
    }
    save(acm, row).await
}

async fn order(acm: &Acm, authority: &Authority, row: &mut Certificate, domain: &Domain) -> Result<String, Stop> {
    let mut by = registered(acm, authority).await?;
    let limit = (authority.directory().to_owned(), domain.id);
    let until = acm.limited.lock().unwrap_or_else(PoisonError::into_inner).get(&limit).copied();
    if let Some(until) = until.filter(|until| *until > acm.p.cx.now()) {
        return Err(no_more(authority, until));
    }
    let replaces = replaced(acm, row, domain, authority).await?;
    let mut ordered = begun(authority, &by, domain, replaces.as_deref()).await;
    if ordered.as_ref().is_err_and(has_forgotten_us) {
        forget_account(acm, authority).await?;
        by = registered(acm, authority).await?;
        ordered = begun(authority, &by, domain, None).await;
    }
    let url = match ordered {
        Ok(url) => url,
        Err(error) => return Err(refused(acm, authority, domain, error).await?),
    };
    row.directory = Some(authority.directory().to_owned());
    row.order_url = Some(url.clone());
    row.private_key = None;
    if row.renew_at.is_none() {
        row.status = "verified".into();
        row.reason = None;
    }
    save(acm, row).await?;
    through(acm, authority, &by, row, domain, &url).await
}

/// Our account there; that there is none is the fault of no name.
async fn registered(acm: &Acm, authority: &Authority) -> Result<Account, Stop> {
    match account(acm, authority).await {
        Err(Stop::Name(reason)) => Err(Stop::Authority { reason, until: None }),
        other => other,
    }
}

/// A new order's address.
async fn begun(
    authority: &Authority,
    by: &Account,
    domain: &Domain,
    replaces: Option<&str>,
) -> Result<String, AcmeError> {
    match authority.order(by, &domain.hostname, replaces).await {
        // It knows nothing of that one, or has replaced it already.
        Err(AcmeError::Refused { .. }) if replaces.is_some() => authority.order(by, &domain.hostname, None).await,
        other => other,
    }
}

/// Brings an order to its end.
async fn through(
    acm: &Acm,
    authority: &Authority,
    by: &Account,
    row: &mut Certificate,
    domain: &Domain,
    url: &str,
) -> Result<String, Stop> {
    let mut wait = Wait::new(SIGN);
    let own = |e: rcgen::Error| Error::internal("A certificate's key can't be made.", e);
    loop {
        let (order, again) = authority.look_at_order(by, url).await?;
        match order.status.as_str() {
            "pending" => {
                for one in &order.authorizations {
                    prove(acm, authority, by, row, domain, one).await?;
                }
            }
            "ready" => {
                let key = match acm::key(&acm.p, row)? {
                    Some(pem) => CertificateKey::from_pem(&pem).map_err(own)?,
                    None => {
                        let key = CertificateKey::generate().map_err(own)?;
                        acm::set_key(&acm.p, row, &key.pem());
                        // Kept before it is used: what is signed then is of worth wherever we are ended.
                        save(acm, row).await?;
                        key
                    }
                };
                let request = key.request(&domain.hostname).map_err(own)?;
                match authority.finalize(by, &order.finalize, &request).await {
                    Ok(()) => {}
                    Err(error) => return Err(refused(acm, authority, domain, error).await?),
                }
            }
            "processing" => {}
            "valid" => {
                let Some(at) = &order.certificate else { return Err(spoilt(authority, &order)) };
                if row.private_key.is_none() {
                    return Err(Stop::Name("The certificate's key was lost on the way; it is ordered anew.".into()));
                }
                return Ok(authority.certificate(by, at).await?);
            }
            _ => return Err(spoilt(authority, &order)),
        }
        if !wait.again(&acm.p.cx, again).await {
            let reason = format!("{} takes too long to sign.", authority.host());
            return Err(Stop::Authority { reason, until: None });
        }
    }
}

fn spoilt(authority: &Authority, order: &Order) -> Stop {
    let why = order.error.as_ref().map_or_else(|| format!("it is {}", order.status), ToString::to_string);
    Stop::Name(format!("{} has given up the order: {why}.", authority.host()))
}

/// Our account there, registered when it is needed first.
async fn account(acm: &Acm, authority: &Authority) -> Result<Account, Stop> {
    let p = &acm.p;
    let (mut row, key) = acm::account(p, authority.directory()).await?;
    if let Some(until) = row.blocked_until.filter(|until| *until > p.cx.now()) {
        return Err(no_more(authority, until));
    }
    let url = match &row.url {
        Some(url) => url.clone(),
        None => {
            let email = p.cx.config().acme.email.clone().unwrap_or_default();
            let url = match authority.register(&key, &email).await {
                Ok(url) => url,
                Err(error) => return Err(blocked(acm, authority, error).await?),
            };
            row.url = Some(url.clone());
            acm::save_account(p, &row).await?;
            url
        }
    };
    Ok(Account { key, url })
}

fn no_more(authority: &Authority, until: DateTime<Utc>) -> Stop {
    let reason = format!("{} takes no more from us until {}.", authority.host(), until.format("%F %R UTC"));
    Stop::Authority { reason, until: Some(until) }
}

/// Notes that an authority has had enough of all of us.
async fn blocked(acm: &Acm, authority: &Authority, error: AcmeError) -> Result<Stop, Error> {
    let Some(until) = limit(acm, &error) else { return Ok(error.into()) };
    let (mut row, _) = acm::account(&acm.p, authority.directory()).await?;
    row.blocked_until = Some(until);
    acm::save_account(&acm.p, &row).await?;
    Ok(Stop::Authority { reason: format!("{error}."), until: Some(until) })
}

/// Notes what an authority says to an order: that it has had enough of this name, or has forgotten us.
async fn refused(acm: &Acm, authority: &Authority, domain: &Domain, error: AcmeError) -> Result<Stop, Error> {
    if let Some(until) = limit(acm, &error) {
        let mut limited = acm.limited.lock().unwrap_or_else(PoisonError::into_inner);
        limited.retain(|_, until| *until > acm.p.cx.now());
        limited.insert((authority.directory().to_owned(), domain.id), until);
        return Ok(Stop::Authority { reason: format!("{error}."), until: Some(until) });
    }
    if has_forgotten_us(&error) {
        forget_account(acm, authority).await?;
        return Ok(Stop::Authority { reason: format!("{error}."), until: None });
    }
    Ok(error.into())
}

fn has_forgotten_us(error: &AcmeError) -> bool {
    matches!(error, AcmeError::Refused { problem, .. } if problem.name() == "accountDoesNotExist")
}

/// Its key is registered anew then.
async fn forget_account(acm: &Acm, authority: &Authority) -> Result<(), Error> {
    let (mut row, _) = acm::account(&acm.p, authority.directory()).await?;
    row.url = None;
    acm::save_account(&acm.p, &row).await
}

/// Until when it wants no more, if that is what it says.
fn limit(acm: &Acm, error: &AcmeError) -> Option<DateTime<Utc>> {
    let AcmeError::RateLimited { retry_after, .. } = error else { return None };
    let now = acm.p.cx.now();
    Some(retry_after.map_or(now + ENOUGH, |after| after.at(now)))
}
