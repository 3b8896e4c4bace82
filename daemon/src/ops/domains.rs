//! Custom domains.

use paas_domain::name::Hostname;
use serde_json::json;

use super::{Actor, Platform, acm, apps::sentence, sni_endpoints};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Conn,
        apps::{self, App},
        domains::{self, Domain},
        events::Event,
    },
};

/// The custom domains of an app.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Domain>> {
    Ok(domains::list(&mut p.db.read().await?, app.id).await?)
}

/// One of them, by name or identity.
pub async fn find(p: &Platform, app: &App, name: &str) -> Result<Domain> {
    list(p, app)
        .await?
        .into_iter()
        .find(|domain| domain.hostname.eq_ignore_ascii_case(name) || domain.id.to_string() == name)
        .ok_or_else(|| Error::not_found("domain", name))
}

/// Adds one, with a certificate or without; it answers as soon as the router has it, its DNS
/// being its owner's affair.
pub async fn add(p: &Platform, actor: &Actor, app: &App, hostname: &str, sni_endpoint: Option<&str>) -> Result<Domain> {
    let hostname = Hostname::parse(hostname).map_err(|e| Error::invalid(sentence(&e)))?;
    let base = &p.cx.config().base_domain.trim_end_matches('.').to_ascii_lowercase();
    let below = hostname.as_str().strip_suffix(base.as_str()).is_some_and(|rest| rest.ends_with('.'));
    if below || hostname.covers(base) {
        return Err(Error::invalid(format!(
            "{hostname} belongs to the platform: names under {base} are given to apps by their own names."
        )));
    }
    if let Some(parent) = hostname.as_str().strip_prefix("*.")
        && psl::suffix_str(parent) == Some(parent)
    {
        return Err(Error::invalid(format!(
            "{hostname} can't be added: names under {parent} belong to many owners. Add those that are yours, such as example.{parent}."
        )));
    }
    let now = p.cx.now();
    let mut domain = Domain {
        id: new_id(),
        app_id: app.id,
        hostname: hostname.to_string(),
        kind: "custom".into(),
        sni_endpoint_id: None,
        created_at: now,
        updated_at: now,
    };
    let mut change = p.change(app.id).await?;
    if let Some(other) = domains::by_hostname(&mut change, hostname.as_str()).await? {
        let whose = if other.app_id == app.id { "this app" } else { "another app" };
        return Err(Error::invalid(format!("{hostname} is currently in use by {whose}.")));
    }
    check_covered(&mut change, app, &hostname).await?;
    if let Some(name) = sni_endpoint {
        let endpoint = sni_endpoints::for_domain(&mut change, app.id, name, hostname.as_str()).await?;
        domain.sni_endpoint_id = Some(endpoint.id);
    }
    domains::insert(&mut change, &domain).await?;
    let automatic = acm::begin(p, &mut change, app.id).await?;
    let event = json!({"id": domain.id, "hostname": domain.hostname, "was": domain});
    p.commit(change, Event::new("domain.create", actor.name(), event)).await?;
    p.tell(app.id, format!("Add {hostname} to domains by user {}", actor.name()));
    if automatic {
        p.tell(app.id, "Enable Automatic Certificate Management, as the app has a domain");
    }
    Ok(domain)
}

/// A wildcard, the names that it covers and the one that it is under go to apps of one owner.
async fn check_covered(c: &mut Conn, app: &App, hostname: &Hostname) -> Result<()> {
    for other in domains::all(c).await?.into_iter().filter(|other| other.app_id != app.id) {
        let Ok(theirs) = Hostname::parse(&other.hostname) else { continue };
        let covers = |a: &Hostname, b: &Hostname| {
            a.covers(b.as_str()) || a.as_str().strip_prefix("*.").is_some_and(|parent| parent == b.as_str())
        };
        let covered = covers(hostname, &theirs) || covers(&theirs, hostname);
        if !covered {
            continue;
        }
        // An app of a team is the team's, whoever made it.
        let owner = |app: &App| app.team_id.unwrap_or(app.owner_id);
        if apps::by_id(c, other.app_id).await?.is_some_and(|other| owner(&other) != owner(app)) {
            return Err(Error::invalid(format!(
                "{hostname} can't be added: {} is currently in use by an app of another owner.",
                other.hostname
            )));
        }
    }
    Ok(())
}

/// Serves it with another certificate of the app, or with the router's own.
pub async fn update(p: &Platform, actor: &Actor, app: &App, name: &str, sni_endpoint: Option<&str>) -> Result<Domain> {
    let found = find(p, app, name).await?;
    let mut change = p.change(app.id).await?;
    let endpoint = match sni_endpoint {
        Some(name) => Some(sni_endpoints::for_domain(&mut change, app.id, name, &found.hostname).await?),
        None => None,
    };
    domains::set_sni_endpoint(&mut change, found.id, endpoint.as_ref().map(|row| row.id), p.cx.now()).await?;
    let gone = || Error::not_found("domain", name);
    let domain = domains::by_id(&mut change, found.id).await?.ok_or_else(gone)?;
    let event = json!({"id": domain.id, "hostname": domain.hostname, "was": domain});
    p.commit(change, Event::new("domain.update", actor.name(), event)).await?;
    let with =
        endpoint.map_or_else(|| "the server's own certificate".to_owned(), |row| format!("certificate {}", row.name));
    p.tell(app.id, format!("Serve {} with {with} by user {}", domain.hostname, actor.name()));
    Ok(domain)
}

/// Removes one.
pub async fn remove(p: &Platform, actor: &Actor, app: &App, name: &str) -> Result<Domain> {
    let domain = find(p, app, name).await?;
    let mut change = p.change(app.id).await?;
    if !domains::delete(&mut change, domain.id).await? {
        return Err(Error::not_found("domain", name));
    }
    let event = json!({"id": domain.id, "hostname": domain.hostname, "was": domain});
    p.commit(change, Event::new("domain.destroy", actor.name(), event)).await?;
    p.tell(app.id, format!("Remove {} from domains by user {}", domain.hostname, actor.name()));
    Ok(domain)
}
