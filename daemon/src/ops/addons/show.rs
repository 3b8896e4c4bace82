//! Add-ons found by what users call them, with all that is shown of each.

use std::sync::Arc;

use super::resolve_plan;
use crate::{
    addons::{Plan, Provider},
    error::{Error, Result},
    ops::{
        Actor, Platform, access,
        apps::{self, Permission, WORK},
        config,
    },
    store::{
        addons::{self, Addon, Attachment},
        apps::App,
    },
};

/// An add-on with all that is shown of it.
#[derive(Clone)]
pub struct Shown {
    /// The add-on.
    pub addon: Addon,
    /// The app that it belongs to.
    pub app: App,
    /// Where it is attached, oldest first, each with its app.
    pub attachments: Vec<(Attachment, App)>,
    /// Its provider.
    pub provider: Arc<dyn Provider>,
    /// Its plan.
    pub plan: &'static Plan,
    /// The config vars that it brings to its own app.
    pub config_vars: Vec<String>,
    /// The address of its page.
    pub dashboard: String,
}
/// All that is shown of an add-on.
pub async fn show(p: &Platform, addon: Addon) -> Result<Shown> {
    let mut c = p.db.read().await?;
    let (provider, plan) = resolve_plan(p, &format!("{}:{}", addon.service, addon.plan))?;
    let app = crate::store::apps::by_id(&mut c, addon.app_id)
        .await?
        .ok_or_else(|| Error::not_found("app", addon.app_id.to_string()))?;
    let secrets = config::open_addon(p, &addon)?;
    let mut attachments = Vec::new();
    let mut config_vars = Vec::new();
    for row in addons::attachments_of_addon(&mut c, addon.id).await? {
        if let Some(app) = crate::store::apps::by_id(&mut c, row.app_id).await? {
            if row.app_id == addon.app_id {
                config_vars.extend(secrets.vars(&row.name).into_keys());
            }
            attachments.push((row, app));
        }
    }
    let dashboard = format!("{}/addons/{}/dashboard", p.cx.config().api_url(), addon.id);
    Ok(Shown { addon, app, attachments, provider, plan, config_vars, dashboard })
}

/// The add-ons that an app has or uses, oldest first.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Shown>> {
    let mut c = p.db.read().await?;
    let mut rows = addons::of_app(&mut c, app.id).await?;
    for attachment in addons::attachments_of_app(&mut c, app.id).await? {
        if !rows.iter().any(|row| row.id == attachment.addon_id) {
            rows.extend(addons::by_id(&mut c, attachment.addon_id).await?);
        }
    }
    drop(c);
    let mut all = Vec::new();
    for row in rows.into_iter().filter(|row| row.state != "deprovisioning") {
        all.push(show(p, row).await?);
    }
    Ok(all)
}

/// Every add-on that somebody may see.
pub async fn list_all(p: &Platform, actor: &Actor) -> Result<Vec<Shown>> {
    let mut all: Vec<Shown> = Vec::new();
    for owned in apps::list(p, actor).await? {
        for shown in list(p, &owned.app).await? {
            if !all.iter().any(|have| have.addon.id == shown.addon.id) {
                all.push(shown);
            }
        }
    }
    Ok(all)
}

/// Whoever works on an app that an add-on is attached to may use it, and see its secrets: they
/// are among the app's config vars.
pub async fn check_may_use(p: &Platform, actor: &Actor, shown: &Shown) -> Result<()> {
    let mut c = p.db.read().await?;
    for (_, app) in &shown.attachments {
        if access::of(&mut c, &actor.user, app).await?.may_any(&WORK) {
            return Ok(());
        }
    }
    apps::check(&mut c, actor, &shown.app, &WORK).await
}

/// Whoever may work on an add-on's own app may change it. To have it attached to another app
/// is not enough.
pub async fn check_may_change(p: &Platform, actor: &Actor, shown: &Shown) -> Result<()> {
    let mut c = p.db.read().await?;
    if !access::of(&mut c, &actor.user, &shown.app).await?.may(Permission::View) {
        return Err(Error::Forbidden(format!(
            "{} belongs to the app {}, to which you do not have access. Ask somebody who works on it.",
            shown.addon.name, shown.app.name
        )));
    }
    apps::check(&mut c, actor, &shown.app, &WORK).await
}

/// The attachments to apps that somebody may work on, with their add-ons and apps.
pub async fn attachments(p: &Platform, actor: &Actor) -> Result<Vec<(Shown, Attachment, App)>> {
    let mut all = Vec::new();
    for owned in apps::list(p, actor).await? {
        for shown in list(p, &owned.app).await? {
            let here = shown.attachments.iter().filter(|(row, _)| row.app_id == owned.app.id).cloned();
            all.extend(here.map(|(row, app)| (shown.clone(), row, app)).collect::<Vec<_>>());
        }
    }
    Ok(all)
}

/// Reads `APP::NAME`, in which names of add-ons and attachments are shown: the app, if it is
/// said, and the name within it.
pub async fn within<'a>(p: &Platform, actor: &Actor, text: &'a str) -> Result<(Option<App>, &'a str)> {
    match text.split_once("::") {
        Some((app, name)) => Ok((Some(apps::find_for(p, actor, app, Permission::View).await?), name)),
        None => Ok((None, text)),
    }
}

/// Finds add-ons by name, identity, `APP::ATTACHMENT` or, within an app, attachment name or
/// service.
pub async fn resolve(p: &Platform, actor: &Actor, app: Option<&App>, name: &str) -> Result<Vec<Shown>> {
    let (named, name) = within(p, actor, name).await?;
    let app = named.as_ref().or(app);
    let candidates = match app {
        Some(app) => list(p, app).await?,
        None => list_all(p, actor).await?,
    };
    let exact: Vec<Shown> =
        candidates.iter().filter(|s| s.addon.name == name || s.addon.id.to_string() == name).cloned().collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let name_as = name.strip_suffix("_URL").unwrap_or(name);
    let service = name.split(':').next().unwrap_or(name);
    Ok(candidates
        .into_iter()
        .filter(|shown| {
            let here = |row: &Attachment| app.is_none_or(|app| row.app_id == app.id);
            shown.attachments.iter().any(|(row, _)| here(row) && row.name.eq_ignore_ascii_case(name_as))
                || (app.is_some()
                    && p.catalog.find(service).is_some_and(|(found, _)| found.service().name == shown.addon.service))
        })
        .collect())
}

/// Exactly one add-on of that name.
pub async fn find(p: &Platform, actor: &Actor, app: Option<&App>, name: &str) -> Result<Shown> {
    let mut found = resolve(p, actor, app, name).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::not_found("add_on", name)),
        _ => Err(Error::MultipleMatches(format!(
            "Ambiguous identifier; multiple matching add-ons found: {}. Give the name of one.",
            found.iter().map(|s| s.addon.name.as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}
