//! Custom domains.

use paas_domain::name::Hostname;
use serde_json::json;

use super::{Actor, Platform, apps::sentence};
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

/// Adds one; it answers as soon as the router has it, its DNS being its owner's affair.
pub async fn add(p: &Platform, actor: &Actor, app: &App, hostname: &str) -> Result<Domain> {
    let hostname = Hostname::parse(hostname).map_err(|e| Error::invalid(sentence(&e)))?;
    let base = &p.cx.config().base_domain.trim_end_matches('.').to_ascii_lowercase();
    let below = hostname.as_str().strip_suffix(base.as_str()).is_some_and(|rest| rest.ends_with('.'));
    if below || hostname.covers(base) {
        return Err(Error::invalid(format!(
            "{hostname} belongs to the platform: names under {base} are given to apps by their own names."
        )));
    }
    let now = p.cx.now();
    let domain = Domain {
        id: new_id(),
        app_id: app.id,
        hostname: hostname.to_string(),
        kind: "custom".into(),
        created_at: now,
        updated_at: now,
    };
    let mut change = p.change(app.id).await?;
    if let Some(other) = domains::by_hostname(&mut change, hostname.as_str()).await? {
        let whose = if other.app_id == app.id { "this app" } else { "another app" };
        return Err(Error::invalid(format!("{hostname} is currently in use by {whose}.")));
    }
    check_covered(&mut change, app, &hostname).await?;
    domains::insert(&mut change, &domain).await?;
    p.commit(change, Event::new("domain.create", actor.name(), json!({"hostname": domain.hostname}))).await?;
    p.tell(app.id, format!("Add {hostname} to domains by user {}", actor.name()));
    Ok(domain)
}

/// A wildcard keeps the names that it covers for the apps of its owner.
async fn check_covered(c: &mut Conn, app: &App, hostname: &Hostname) -> Result<()> {
    for other in domains::all(c).await?.into_iter().filter(|other| other.app_id != app.id) {
        let covered = hostname.covers(&other.hostname)
            || Hostname::parse(&other.hostname).is_ok_and(|other| other.covers(hostname.as_str()));
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

/// Removes one.
pub async fn remove(p: &Platform, actor: &Actor, app: &App, name: &str) -> Result<Domain> {
    let domain = find(p, app, name).await?;
    let mut change = p.change(app.id).await?;
    domains::delete(&mut change, domain.id).await?;
    p.commit(change, Event::new("domain.destroy", actor.name(), json!({"hostname": domain.hostname}))).await?;
    p.tell(app.id, format!("Remove {} from domains by user {}", domain.hostname, actor.name()));
    Ok(domain)
}
