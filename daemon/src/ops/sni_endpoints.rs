//! Certificates that apps bring: checked, kept with their keys sealed, served by the router to
//! visitors of the domains that they are given to. Those that are got automatically ([`acm`]) are
//! kept with them.
//!
//! [`acm`]: super::acm

use paas_domain::name::AppName;
use serde_json::json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    apps::{self, sentence},
    certificate::{self, Good, Said},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Conn,
        apps::App,
        domains,
        events::Event,
        sni_endpoints::{self, SniEndpoint},
    },
};

/// A certificate with what it says and whom it serves.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its row.
    pub row: SniEndpoint,
    /// What the certificate says.
    pub said: Said,
    /// The domains that are served with it.
    pub domains: Vec<Uuid>,
}

/// What a certificate's key is sealed with.
pub(super) fn place(id: Uuid) -> String {
    format!("sni-endpoint/{id}")
}

/// The key of one, PEM.
pub fn key(p: &Platform, row: &SniEndpoint) -> Result<String> {
    let plain = p.cx.sealer().open(&place(row.id), &row.private_key);
    let plain = plain.map_err(|e| Error::internal("The certificate's key can't be read.", e))?;
    String::from_utf8(plain).map_err(|e| Error::internal("The certificate's key can't be read.", e))
}

/// Those of an app, by name.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Shown>> {
    let mut c = p.db.read().await?;
    let domains = domains::list(&mut c, app.id).await?;
    let mut all = Vec::new();
    for row in sni_endpoints::list(&mut c, app.id).await? {
        all.push(show(row, &domains)?);
    }
    Ok(all)
}

fn show(row: SniEndpoint, domains: &[domains::Domain]) -> Result<Shown> {
    let said = certificate::read(&row.certificate_chain)?;
    let served = domains.iter().filter(|domain| domain.sni_endpoint_id == Some(row.id));
    Ok(Shown { domains: served.map(|domain| domain.id).collect(), said, row })
}

/// What is shown of a row that may be gone.
pub fn alone(row: SniEndpoint) -> Result<Shown> {
    show(row, &[])
}

/// One of an app's, by name or identity.
pub async fn find(p: &Platform, app: &App, name: &str) -> Result<Shown> {
    let found = list(p, app).await?.into_iter().find(|shown| is(&shown.row, name));
    found.ok_or_else(|| Error::not_found("sni_endpoint", name))
}

fn is(row: &SniEndpoint, name: &str) -> bool {
    row.name == name || row.id.to_string() == name
}

/// The same inside a change, for a domain that is to be served with it.
pub(super) async fn for_domain(c: &mut Conn, app_id: Uuid, name: &str, hostname: &str) -> Result<SniEndpoint> {
    let found = sni_endpoints::list(c, app_id).await?.into_iter().find(|row| is(row, name));
    let row = found.ok_or_else(|| Error::not_found("sni_endpoint", name))?;
    let said = certificate::read(&row.certificate_chain)?;
    if !said.covers(hostname) {
        return Err(Error::invalid(format!(
            "The certificate {} is for {}; visitors of {hostname} would not accept it.",
            row.name,
            said.names.join(", ")
        )));
    }
    Ok(row)
}

/// What is told of one, which has no key in it.
pub(super) fn event(kind: &'static str, who: &str, row: &SniEndpoint) -> Event {
    Event::new(kind, who, json!({"id": row.id, "name": row.name, "was": row}))
}

pub(super) async fn check(p: &Platform, chain: &str, key: &str) -> Result<Good> {
    let (chain, key, now) = (chain.to_owned(), key.to_owned(), p.cx.now());
    let checked = tokio::task::spawn_blocking(move || certificate::check(&chain, &key, now)).await;
    checked.map_err(|e| Error::internal("The certificate could not be looked at.", e))?
}

/// Adds one, under a name of the caller's or a made-up one.
pub async fn create(
    p: &Platform,
    actor: &Actor,
    app: &App,
    name: Option<&str>,
    chain: &str,
    key: &str,
) -> Result<Shown> {
    let good = check(p, chain, key).await?;
    let chosen = name.map(AppName::parse).transpose().map_err(|e| Error::invalid(sentence(&e)))?;
    let now = p.cx.now();
    let id = new_id();
    let row = SniEndpoint {
        id,
        app_id: app.id,
        name: chosen.unwrap_or_else(|| AppName::random(rand::random::<u64>)).to_string(),
        certificate_chain: good.chain,
        private_key: p.cx.sealer().seal(&place(id), key.as_bytes()),
        certificate_id: new_id(),
        ca_signed: good.ca_signed,
        acm: false,
        created_at: now,
        updated_at: now,
    };
    let mut change = p.change(app.id).await?;
    apps::current(&mut change, app.id).await?;
    sni_endpoints::insert(&mut change, &row).await.map_err(|e| {
        if e.is_duplicate() { Error::invalid(format!("Name {} is already taken.", row.name)) } else { e.into() }
    })?;
    p.commit(change, event("sni-endpoint.create", actor.name(), &row)).await?;
    p.tell(app.id, format!("Add certificate {} by user {}", row.name, actor.name()));
    Ok(Shown { row, said: good.said, domains: Vec::new() })
}

/// Those that are got automatically are nobody's to change.
fn check_own(row: &SniEndpoint) -> Result<()> {
    if !row.acm {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} is looked after by Automatic Certificate Management. To serve its domain with another, add that one with certs:add and give it to the domain with domains:update; to have none got any more: certs:auto:disable",
        row.name
    )))
}

/// Puts another certificate in its place: whoever is served with it gets the new one.
pub async fn update(p: &Platform, actor: &Actor, app: &App, shown: &Shown, chain: &str, key: &str) -> Result<Shown> {
    check_own(&shown.row)?;
    let good = check(p, chain, key).await?;
    let mut row = shown.row.clone();
    row.certificate_chain = good.chain;
    row.private_key = p.cx.sealer().seal(&place(row.id), key.as_bytes());
    row.certificate_id = new_id();
    row.ca_signed = good.ca_signed;
    row.updated_at = p.cx.now();
    let mut change = p.change(app.id).await?;
    let domains = domains::list(&mut change, app.id).await?;
    let served = domains.iter().filter(|domain| domain.sni_endpoint_id == Some(row.id));
    let lost: Vec<&str> =
        served.map(|domain| domain.hostname.as_str()).filter(|host| !good.said.covers(host)).collect();
    if !lost.is_empty() {
        return Err(Error::invalid(format!(
            "The new certificate is for {}, not for {}, which {} served with {}. Give it another certificate first, or add the new one beside it.",
            good.said.names.join(", "),
            lost.join(", "),
            if lost.len() == 1 { "is" } else { "are" },
            row.name
        )));
    }
    if !sni_endpoints::update(&mut change, &row).await? {
        return Err(Error::not_found("sni_endpoint", row.name));
    }
    p.commit(change, event("sni-endpoint.update", actor.name(), &row)).await?;
    p.tell(app.id, format!("Update certificate {} by user {}", row.name, actor.name()));
    show(row, &domains)
}

/// Removes one; its domains are served with the router's own certificate again.
pub async fn remove(p: &Platform, actor: &Actor, app: &App, shown: &Shown) -> Result<()> {
    check_own(&shown.row)?;
    let mut change = p.change(app.id).await?;
    if !sni_endpoints::delete(&mut change, shown.row.id).await? {
        return Err(Error::not_found("sni_endpoint", shown.row.name.as_str()));
    }
    p.commit(change, event("sni-endpoint.destroy", actor.name(), &shown.row)).await?;
    p.tell(app.id, format!("Remove certificate {} by user {}", shown.row.name, actor.name()));
    Ok(())
}
