//! Automatic Certificate Management: which domains are to have a certificate got for them, and
//! what is written down of each step. The steps themselves, and when they are taken, are in
//! `tasks/acm`.
//!
//! Each domain has a certificate of its own. One certificate for all of an app's, as Heroku gets
//! it, would be held up by any name that doesn't lead here, and every new domain would order all
//! names anew.

use chrono::{DateTime, Utc};
use paas_domain::name::AppName;
use serde_json::json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    apps::{self, OwnedApp},
    certificate,
    sni_endpoints::{check, event, place},
};
use crate::{
    acme::AccountKey,
    context::new_id,
    error::{Error, Result},
    store::{
        Change,
        acme::{self, Account, Certificate},
        apps::App,
        domains::{self, Domain},
        events::Event,
        sni_endpoints::{self, SniEndpoint},
    },
};

/// Who does it, in events.
const WHO: &str = "paas";

/// After how many failures in a row a domain is `failed`, which ends the waiting of Heroku's
/// command line. It is tried on, more and more seldom.
const FAILED: i64 = 5;

/// Certificates are to be got automatically for the app's domains, or no longer. Without, those that were got go.
pub async fn set(p: &Platform, actor: &Actor, app: &App, acm: bool) -> Result<OwnedApp> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let before = apps::current(&mut change, app.id).await?;
    crate::store::apps::set_acm(&mut change, app.id, acm, true, now).await?;
    if !acm {
        acme::delete_all(&mut change, app.id).await?;
        for row in sni_endpoints::list(&mut change, app.id).await?.into_iter().filter(|row| row.acm) {
            sni_endpoints::delete(&mut change, row.id).await?;
            change.also(event("sni-endpoint.destroy", actor.name(), &row), now).await?;
        }
    }
    let row = apps::current(&mut change, app.id).await?;
    p.commit(change, Event::new("app.update", actor.name(), json!({"acm": acm}))).await?;
    if before.acm != acm {
        let word = if acm { "Enable" } else { "Disable" };
        p.tell(app.id, format!("{word} Automatic Certificate Management by user {}", actor.name()));
    }
    apps::with_owner(p, row).await
}

/// An app has got a domain: certificates are got for it from now on, where that is set up and
/// nobody has said otherwise. Whether that is new.
pub(super) async fn begin(p: &Platform, change: &mut Change, app_id: Uuid) -> Result<bool> {
    let app = apps::current(change, app_id).await?;
    let begins = p.cx.config().acme.is_on() && !app.acm && !app.acm_chosen;
    if begins {
        crate::store::apps::set_acm(change, app_id, true, false, p.cx.now()).await?;
    }
    Ok(begins)
}

/// Has what failed tried again at once.
pub async fn refresh(p: &Platform, actor: &Actor, app: &App) -> Result<OwnedApp> {
    let mut change = p.change(app.id).await?;
    let row = apps::current(&mut change, app.id).await?;
    if !row.acm {
        return Err(Error::invalid(
            "Automatic Certificate Management is not enabled on this app. Enable it first, with: certs:auto:enable",
        ));
    }
    acme::refresh(&mut change, app.id, p.cx.now()).await?;
    p.commit(change, Event::new("acm.refresh", actor.name(), json!({}))).await?;
    apps::with_owner(p, row).await
}

/// Makes rows for domains that should have a certificate got, and removes what is wanted no more.
pub async fn tidy(p: &Platform) -> Result<()> {
    let now = p.cx.now();
    let (missing, unused) = {
        let mut c = p.db.read().await?;
        (acme::missing(&mut c).await?, sni_endpoints::unused(&mut c).await?)
    };
    let mut tx = p.db.begin().await?;
    acme::delete_unwanted(&mut tx).await?;
    acme::renew_lost(&mut tx, now).await?;
    tx.commit(None).await?;
    for domain in missing {
        let mut tx = p.db.begin().await?;
        // It may have gone meanwhile.
        if domains::by_id(&mut tx, domain.id).await?.is_some() && acme::by_domain(&mut tx, domain.id).await?.is_none() {
            acme::insert(&mut tx, &new(&domain, now)).await?;
            tx.commit(None).await?;
        }
    }
    for row in unused {
        let Some(mut change) = p.db.change(row.app_id).await? else { continue };
        let served = domains::list(&mut change, row.app_id).await?;
        let is_used = served.iter().any(|domain| domain.sni_endpoint_id == Some(row.id));
        let acm = apps::current(&mut change, row.app_id).await.is_ok_and(|app| app.acm);
        if (!is_used || !acm) && sni_endpoints::delete(&mut change, row.id).await? {
            p.commit(change, event("sni-endpoint.destroy", WHO, &row)).await?;
        }
    }
    Ok(())
}

fn new(domain: &Domain, now: DateTime<Utc>) -> Certificate {
    Certificate {
        domain_id: domain.id,
        app_id: domain.app_id,
        status: "pending".into(),
        reason: None,
        directory: None,
        order_url: None,
        private_key: None,
        challenge_token: None,
        challenge_answer: None,
        challenge_chain: None,
        challenge_key: None,
        attempts: 0,
        next_at: now,
        renew_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// Writes how far one is; whether it is still wanted.
pub async fn save(p: &Platform, row: &mut Certificate) -> Result<bool> {
    row.updated_at = p.cx.now();
    let mut tx = p.db.begin().await?;
    let there = acme::update(&mut tx, row).await?;
    tx.commit(None).await?;
    Ok(there)
}

/// Notes a failure, and when to try again. The app's log is told when it is another than before.
pub async fn fail(
    p: &Platform,
    row: &mut Certificate,
    hostname: &str,
    reason: &str,
    next_at: DateTime<Utc>,
) -> Result<()> {
    let told = row.reason.as_deref() == Some(reason);
    row.attempts += 1;
    row.reason = Some(reason.to_owned());
    row.next_at = next_at;
    // While the one that is there is good, visitors notice nothing.
    if row.status != "cert issued" || !has_good(p, row).await? {
        row.status = if row.attempts >= FAILED { "failed" } else { "failing" }.into();
    }
    if save(p, row).await? && !told {
        p.tell(row.app_id, format!("Certificate for {hostname} can't be got yet: {reason}"));
    }
    Ok(())
}

/// Whether the domain is served with a certificate of ours that has not ended.
async fn has_good(p: &Platform, row: &Certificate) -> Result<bool> {
    let mut c = p.db.read().await?;
    let Some(domain) = domains::by_id(&mut c, row.domain_id).await? else { return Ok(false) };
    let Some(id) = domain.sni_endpoint_id else { return Ok(false) };
    let Some(endpoint) = sni_endpoints::by_id(&mut c, id).await? else { return Ok(false) };
    Ok(certificate::read(&endpoint.certificate_chain)?.expires_at > p.cx.now())
}

/// The certificate that serves a domain now, if it was got automatically; PEM.
pub async fn chain(p: &Platform, domain: &Domain) -> Result<Option<String>> {
    let Some(id) = domain.sni_endpoint_id else { return Ok(None) };
    let row = sni_endpoints::by_id(&mut p.db.read().await?, id).await?;
    Ok(row.filter(|row| row.acm).map(|row| row.certificate_chain))
}

/// Serves a domain with a certificate that has come, whose key is in the row. The row says what is next.
/// False where it is wanted no more.
pub async fn install(p: &Platform, row: &mut Certificate, chain: &str, by: &str) -> Result<bool> {
    let key = key(p, row)?.ok_or_else(|| Error::invalid("The certificate has come without its key."))?;
    let good = check(p, chain, &key).await?;
    let now = p.cx.now();
    let Some(mut change) = p.db.change(row.app_id).await? else { return Ok(false) };
    let app = apps::current(&mut change, row.app_id).await?;
    let Some(domain) = domains::by_id(&mut change, row.domain_id).await? else { return Ok(false) };
    if !good.said.covers(&domain.hostname) {
        return Err(Error::invalid(format!("The certificate that has come is not for {}.", domain.hostname)));
    }
    let current = match domain.sni_endpoint_id {
        Some(id) => sni_endpoints::by_id(&mut change, id).await?,
        None => None,
    };
    if !app.acm || app.deleting || current.as_ref().is_some_and(|current| !current.acm) {
        return Ok(false);
    }
    // One that is another domain's own, such as a wildcard's, stays that one's.
    let own = |current: &SniEndpoint| {
        certificate::read(&current.certificate_chain).is_ok_and(|said| said.names == [domain.hostname.as_str()])
    };
    let current = current.filter(own);
    let renewed = current.is_some();
    let id = current.as_ref().map_or_else(new_id, |current| current.id);
    let endpoint = SniEndpoint {
        id,
        app_id: app.id,
        name: current.as_ref().map_or_else(|| AppName::random(rand::random::<u64>).to_string(), |row| row.name.clone()),
        certificate_chain: good.chain,
        private_key: p.cx.sealer().seal(&place(id), key.as_bytes()),
        certificate_id: new_id(),
        ca_signed: good.ca_signed,
        acm: true,
        created_at: current.as_ref().map_or(now, |current| current.created_at),
        updated_at: now,
    };
    let kind = if renewed { "sni-endpoint.update" } else { "sni-endpoint.create" };
    if renewed {
        sni_endpoints::update(&mut change, &endpoint).await?;
    } else {
        sni_endpoints::insert(&mut change, &endpoint).await?;
        domains::set_sni_endpoint(&mut change, domain.id, Some(id), now).await?;
    }
    row.status = "cert issued".into();
    row.reason = None;
    row.attempts = 0;
    row.updated_at = now;
    clear(row);
    if !acme::update(&mut change, row).await? {
        return Ok(false);
    }
    p.commit(change, event(kind, WHO, &endpoint)).await?;
    let word = if renewed { "renewed" } else { "issued" };
    p.tell(
        app.id,
        format!(
            "Certificate for {} {word} by {by}, good until {}",
            domain.hostname,
            good.said.expires_at.format("%F %R UTC")
        ),
    );
    Ok(true)
}

/// Forgets an order and what belonged to it.
pub fn clear(row: &mut Certificate) {
    row.order_url = None;
    row.private_key = None;
    clear_challenge(row);
}

/// Forgets what the router was told to answer.
pub fn clear_challenge(row: &mut Certificate) {
    row.challenge_token = None;
    row.challenge_answer = None;
    row.challenge_chain = None;
    row.challenge_key = None;
}

fn key_place(domain_id: Uuid) -> String {
    format!("acme-certificate/{domain_id}")
}

/// The key of the certificate that is under way, PEM.
pub fn key(p: &Platform, row: &Certificate) -> Result<Option<String>> {
    let Some(sealed) = &row.private_key else { return Ok(None) };
    let failed = |e: &dyn std::fmt::Display| Error::internal("A certificate's key can't be read.", e.to_string());
    let plain = p.cx.sealer().open(&key_place(row.domain_id), sealed).map_err(|e| failed(&e))?;
    String::from_utf8(plain).map(Some).map_err(|e| failed(&e))
}

/// Keeps the key of a certificate, before it is asked for.
pub fn set_key(p: &Platform, row: &mut Certificate, pem: &str) {
    row.private_key = Some(p.cx.sealer().seal(&key_place(row.domain_id), pem.as_bytes()));
}

fn account_place(directory: &str) -> String {
    format!("acme-account/{directory}")
}

/// Our account at an authority and its key, which is made and kept before the authority hears of it.
pub async fn account(p: &Platform, directory: &str) -> Result<(Account, AccountKey)> {
    let failed =
        |e: &dyn std::fmt::Display| Error::internal("The key of the ACME account can't be used.", e.to_string());
    let known = acme::account(&mut p.db.read().await?, directory).await?;
    let row = match known {
        Some(row) => row,
        None => {
            let mut tx = p.db.begin().await?;
            let row = match acme::account(&mut tx, directory).await? {
                Some(row) => row,
                None => {
                    let key = AccountKey::generate().map_err(|e| failed(&e))?;
                    let row = Account {
                        directory: directory.to_owned(),
                        url: None,
                        private_key: p.cx.sealer().seal(&account_place(directory), &key),
                        blocked_until: None,
                        created_at: p.cx.now(),
                    };
                    acme::save_account(&mut tx, &row).await?;
                    row
                }
            };
            tx.commit(None).await?;
            row
        }
    };
    let der = p.cx.sealer().open(&account_place(directory), &row.private_key).map_err(|e| failed(&e))?;
    let key = AccountKey::from_pkcs8(&der).map_err(|e| failed(&e))?;
    Ok((row, key))
}

/// Keeps what is known of an account.
pub async fn save_account(p: &Platform, row: &Account) -> Result<()> {
    let mut tx = p.db.begin().await?;
    acme::save_account(&mut tx, row).await?;
    Ok(tx.commit(None).await?)
}
