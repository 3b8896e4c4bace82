//! Add-ons: made, attached, detached, renamed, changed, destroyed; `show` finds them and
//! puts together what is shown of them.

mod show;

use std::sync::Arc;

use paas_domain::name::{AddonName, ConfigKey};
use serde_json::json;
use uuid::Uuid;

pub use show::{Shown, find, list, list_all, resolve, show};

use super::{Actor, Platform, apps, apps::sentence, config, releases};
use crate::{
    addons::{Instance, Plan, Provider},
    context::new_id,
    engine::{AppNetwork, ServiceNetwork},
    error::{Error, Result},
    store::{
        Conn,
        addons::{self, Addon, Attachment},
        apps::App,
        events::Event,
    },
};

/// What tells a second Redis from the first in its config var: `HEROKU_REDIS_<COLOR>_URL`.
const COLORS: [&str; 16] = [
    "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "CHARCOAL", "CYAN", "GOLD", "GRAY", "GREEN", "IVORY", "MAROON", "NAVY",
    "ORANGE", "PURPLE", "TEAL",
];

/// `redis`, `redis:mini`, `heroku-redis:premium-0` as provider and plan.
pub fn resolve_plan(p: &Platform, text: &str) -> Result<(Arc<dyn Provider>, &'static Plan)> {
    let (service, plan) = text.split_once(':').map_or((text, None), |(service, plan)| (service, Some(plan)));
    let Some((provider, default)) = p.catalog.find(service) else {
        let known: Vec<_> = p.catalog.all().iter().map(|provider| provider.service().name).collect();
        return Err(Error::NotFound(crate::error::NotFound {
            resource: "addon_service",
            asked: format!("Couldn't find the add-on service {service:?}. There are: {}.", known.join(", ")),
        }));
    };
    let offered = provider.service();
    let plan = offered.plan(plan.unwrap_or(default)).ok_or_else(|| {
        let known: Vec<_> = offered.plans.iter().map(|plan| plan.name).collect();
        Error::NotFound(crate::error::NotFound {
            resource: "plan",
            asked: format!("Couldn't find that plan of {}. Its plans are: {}.", offered.name, known.join(", ")),
        })
    })?;
    Ok((provider.clone(), plan))
}

/// Makes an add-on and attaches it; it is brought up in the background, and a release
/// brings its config vars to the app when it answers.
pub async fn create(
    p: &Platform,
    actor: &Actor,
    app: &App,
    plan: &str,
    name: Option<&str>,
    attachment: Option<&str>,
) -> Result<Shown> {
    let (provider, plan) = resolve_plan(p, plan)?;
    let service = provider.service();
    let chosen = name.map(AddonName::parse).transpose().map_err(|e| Error::invalid(sentence(&e)))?;
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let name = match chosen {
        Some(name) => name,
        None => {
            let mut tries = 0;
            loop {
                let name =
                    AddonName::random(service.name, rand::random::<u64>).map_err(|e| Error::invalid(sentence(&e)))?;
                tries += 1;
                if tries > 20 || addons::by_name(&mut change, name.as_str()).await?.is_none() {
                    break name;
                }
            }
        }
    };
    let as_name = attachment_name(p, &mut change, app, provider.as_ref(), attachment).await?;
    let id = new_id();
    let secrets = provider.secrets(name.as_str());
    let addon = Addon {
        id,
        app_id: app.id,
        name: name.to_string(),
        service: service.name.into(),
        plan: plan.name.into(),
        state: "provisioning".into(),
        config: config::seal_addon(p, id, &secrets)?,
        message: None,
        created_at: now,
        updated_at: now,
    };
    addons::insert(&mut change, &addon).await.map_err(|e| {
        if e.is_duplicate() {
            Error::invalid(format!("The add-on name {name} is already taken. Choose another with --name."))
        } else {
            e.into()
        }
    })?;
    let row =
        Attachment { id: new_id(), addon_id: id, app_id: app.id, name: as_name, created_at: now, updated_at: now };
    addons::attach(&mut change, &row).await?;
    let event = json!({"addon": addon.name, "plan": format!("{}:{}", addon.service, addon.plan)});
    p.commit(change, Event::new("addon.create", actor.name(), event)).await?;
    p.tell(app.id, format!("Create add-on {} ({}:{}) by user {}", addon.name, addon.service, addon.plan, actor.name()));
    show(p, addon).await
}

/// What follows when an add-on answers for the first time: its config vars, by a release of
/// every app that it is attached to.
pub async fn provisioned(p: &Platform, id: Uuid) -> Result<()> {
    let Some(addon) = addons::by_id(&mut p.db.read().await?, id).await? else { return Ok(()) };
    let attachments = addons::attachments_of_addon(&mut p.db.read().await?, id).await?;
    let mut change = p.change(addon.app_id).await?;
    let Some(mut addon) = addons::by_id(&mut change, id).await?.filter(|addon| addon.state == "provisioning") else {
        return Ok(());
    };
    addon.state = "provisioned".into();
    addon.message = None;
    addon.updated_at = p.cx.now();
    addons::update(&mut change, &addon).await?;
    let owner = owner(p, &mut change, addon.app_id).await?;
    for attachment in attachments.iter().filter(|attachment| attachment.app_id == addon.app_id) {
        let new = releases::New { phase: false, ..releases::New::keep(&attach_text(&attachment.name, &addon.name)) };
        releases::insert(p, &mut change, &owner, new).await?;
    }
    p.commit(change, Event::new("addon.provisioned", "paas", json!({"addon": addon.name}))).await?;
    p.tell(addon.app_id, format!("Provisioned add-on {}", addon.name));
    for attachment in attachments.iter().filter(|attachment| attachment.app_id != addon.app_id) {
        release_for(p, &owner, attachment.app_id, &attach_text(&attachment.name, &addon.name)).await?;
    }
    Ok(())
}

/// What goes on while it is being made, for `addons:info`.
pub async fn note(p: &Platform, id: Uuid, message: Option<&str>) -> Result<()> {
    let Some(addon) = addons::by_id(&mut p.db.read().await?, id).await? else { return Ok(()) };
    if addon.message.as_deref() == message {
        return Ok(());
    }
    let mut tx = p.db.begin().await?;
    if let Some(mut addon) = addons::by_id(&mut tx, id).await? {
        addon.message = message.map(str::to_owned);
        addons::update(&mut tx, &addon).await?;
        tx.commit(None).await?;
    }
    Ok(())
}

/// Destroys an add-on with all its data. What is attached elsewhere too needs `force`.
pub async fn destroy(p: &Platform, actor: &Actor, shown: &Shown, force: bool) -> Result<Shown> {
    let addon = &shown.addon;
    let others: Vec<&str> = shown
        .attachments
        .iter()
        .filter(|(row, _)| row.app_id != addon.app_id)
        .map(|(_, app)| app.name.as_str())
        .collect();
    if !others.is_empty() && !force {
        return Err(Error::invalid(format!(
            "{} is also attached to {}. Detach it there first, or repeat with --force.",
            addon.name,
            others.join(", ")
        )));
    }
    let now = p.cx.now();
    let mut change = p.change(addon.app_id).await?;
    let mut row = addons::by_id(&mut change, addon.id)
        .await?
        .filter(|row| row.state != "deprovisioning")
        .ok_or_else(|| Error::not_found("add_on", addon.name.as_str()))?;
    let had_values = row.state == "provisioned";
    row.state = "deprovisioning".into();
    row.updated_at = now;
    addons::update(&mut change, &row).await?;
    for (attachment, _) in &shown.attachments {
        addons::detach(&mut change, attachment.id).await?;
        if had_values && attachment.app_id == addon.app_id {
            let new = releases::New::keep(&detach_text(&attachment.name, &addon.name));
            releases::insert(p, &mut change, actor, new).await?;
        }
    }
    p.commit(change, Event::new("addon.destroy", actor.name(), json!({"addon": addon.name}))).await?;
    p.tell(addon.app_id, format!("Destroy add-on {} by user {}", addon.name, actor.name()));
    for (attachment, app) in shown.attachments.iter().filter(|(row, _)| had_values && row.app_id != addon.app_id) {
        release_for(p, actor, app.id, &detach_text(&attachment.name, &addon.name)).await?;
    }
    let mut gone = shown.clone();
    gone.addon = row;
    Ok(gone)
}

/// Its data is gone: so is its row.
pub async fn deprovisioned(p: &Platform, id: Uuid) -> Result<()> {
    let mut tx = p.db.begin().await?;
    addons::delete(&mut tx, id).await?;
    tx.commit(None).await?;
    Ok(())
}

/// Renames it. The config vars keep the host name that it was made with, which stays valid.
pub async fn rename(p: &Platform, actor: &Actor, shown: &Shown, name: &str) -> Result<Shown> {
    let name = AddonName::parse(name).map_err(|e| Error::invalid(sentence(&e)))?;
    update(p, actor, shown, "addon.rename", format!("Rename add-on {} to {name}", shown.addon.name), |addon| {
        addon.name = name.to_string();
        Ok(())
    })
    .await
}

/// Gives it another plan of the same service; its server restarts with it.
pub async fn change_plan(p: &Platform, actor: &Actor, shown: &Shown, plan: &str) -> Result<Shown> {
    let text = if plan.contains(':') { plan.to_owned() } else { format!("{}:{plan}", shown.addon.service) };
    let (provider, plan) = resolve_plan(p, &text)?;
    if provider.service().name != shown.addon.service {
        return Err(Error::invalid(format!(
            "{} is a {} add-on and can only change to another plan of it.",
            shown.addon.name, shown.addon.service
        )));
    }
    let told = format!("Change plan of {} to {}:{}", shown.addon.name, shown.addon.service, plan.name);
    update(p, actor, shown, "addon.update", told, |addon| {
        addon.plan = plan.name.into();
        Ok(())
    })
    .await
}

/// Changes one of the provider's own settings (eviction policy, idle time-out).
pub async fn configure(
    p: &Platform,
    actor: &Actor,
    shown: &Shown,
    key: &str,
    value: serde_json::Value,
) -> Result<Shown> {
    let told = format!("Set {key} of {} to {value}", shown.addon.name);
    update(p, actor, shown, "addon.update", told, |addon| {
        let mut secrets = config::open_addon(p, addon)?;
        if let Some(private) = secrets.private.as_object_mut() {
            private.insert(key.to_owned(), value);
        }
        addon.config = config::seal_addon(p, addon.id, &secrets)?;
        Ok(())
    })
    .await
}

/// Gives it a new password, and every app attached a release with it.
pub async fn rotate(p: &Platform, actor: &Actor, shown: &Shown) -> Result<Shown> {
    let provider = shown.provider.clone();
    let told = format!("Reset credentials of {}", shown.addon.name);
    let after = update(p, actor, shown, "addon.rotate", told, |addon| {
        let secrets = config::open_addon(p, addon)?;
        let host = addon_host(&secrets).unwrap_or_else(|| addon.name.clone());
        addon.config = config::seal_addon(p, addon.id, &provider.rotate(&host, &secrets))?;
        Ok(())
    })
    .await?;
    for (attachment, app) in &after.attachments {
        let description = format!("Update {} by {}", attachment.name, after.addon.name);
        release_for(p, actor, app.id, &description).await?;
    }
    Ok(after)
}

async fn update(
    p: &Platform,
    actor: &Actor,
    shown: &Shown,
    kind: &'static str,
    told: String,
    with: impl FnOnce(&mut Addon) -> Result<()>,
) -> Result<Shown> {
    let mut change = p.change(shown.addon.app_id).await?;
    let mut row = addons::by_id(&mut change, shown.addon.id)
        .await?
        .ok_or_else(|| Error::not_found("add_on", shown.addon.name.as_str()))?;
    with(&mut row)?;
    row.updated_at = p.cx.now();
    addons::update(&mut change, &row).await.map_err(|e| {
        if e.is_duplicate() {
            Error::invalid(format!("The add-on name {} is already taken.", row.name))
        } else {
            e.into()
        }
    })?;
    p.commit(change, Event::new(kind, actor.name(), json!({"addon": row.name}))).await?;
    p.tell(shown.addon.app_id, format!("{told} by user {}", actor.name()));
    show(p, row).await
}

/// Attaches an add-on to an app, under a name of the caller's or a free one.
pub async fn attach(p: &Platform, actor: &Actor, shown: &Shown, app: &App, name: Option<&str>) -> Result<Attachment> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let name = attachment_name(p, &mut change, app, shown.provider.as_ref(), name).await?;
    let row =
        Attachment { id: new_id(), addon_id: shown.addon.id, app_id: app.id, name, created_at: now, updated_at: now };
    addons::attach(&mut change, &row).await?;
    let text = attach_text(&row.name, &shown.addon.name);
    if shown.addon.state == "provisioned" {
        releases::insert(p, &mut change, actor, releases::New::keep(&text)).await?;
    }
    p.commit(change, Event::new("addon.attach", actor.name(), json!({"addon": shown.addon.name, "as": row.name})))
        .await?;
    p.tell(app.id, format!("{text} by user {}", actor.name()));
    Ok(row)
}

/// Detaches it. The last attachment to its own app stays: that is what destroy is for.
pub async fn detach(p: &Platform, actor: &Actor, attachment: &Attachment) -> Result<()> {
    let mut change = p.change(attachment.app_id).await?;
    let addon = addons::by_id(&mut change, attachment.addon_id)
        .await?
        .ok_or_else(|| Error::not_found("add_on", attachment.addon_id.to_string()))?;
    let all = addons::attachments_of_addon(&mut change, addon.id).await?;
    if all.len() <= 1 {
        return Err(Error::invalid(format!(
            "{} is {}'s only attachment. To be rid of it with its data: addons:destroy {}",
            attachment.name, addon.name, addon.name
        )));
    }
    addons::detach(&mut change, attachment.id).await?;
    let text = detach_text(&attachment.name, &addon.name);
    releases::insert(p, &mut change, actor, releases::New::keep(&text)).await?;
    p.commit(change, Event::new("addon.detach", actor.name(), json!({"addon": addon.name, "as": attachment.name})))
        .await?;
    p.tell(attachment.app_id, format!("{text} by user {}", actor.name()));
    Ok(())
}

/// An add-on as its provider sees it.
pub async fn instance(p: &Platform, addon: &Addon) -> Result<(Arc<dyn Provider>, Instance)> {
    let (provider, plan) = resolve_plan(p, &format!("{}:{}", addon.service, addon.plan))?;
    let secrets = config::open_addon(p, addon)?;
    let host = addon_host(&secrets).unwrap_or_else(|| addon.name.clone());
    let mut c = p.db.read().await?;
    let mut networks: Vec<ServiceNetwork> = Vec::new();
    let mut app_ids = vec![addon.app_id];
    app_ids.extend(addons::attachments_of_addon(&mut c, addon.id).await?.into_iter().map(|row| row.app_id));
    for app_id in app_ids {
        if networks.iter().any(|network| network.app.app_id == app_id) {
            continue;
        }
        if let Some(app) = crate::store::apps::by_id(&mut c, app_id).await?.filter(|app| !app.deleting) {
            networks
                .push(ServiceNetwork { app: AppNetwork { app_id, app_name: app.name }, aliases: vec![host.clone()] });
        }
    }
    Ok((provider, Instance { id: addon.id, name: addon.name.clone(), plan, secrets, networks }))
}

/// The host name in an add-on's address, which stays when it is renamed.
fn addon_host(secrets: &crate::addons::Secrets) -> Option<String> {
    let url = secrets.values.get("URL")?;
    let host = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
    Some(host.split([':', '/']).next()?.to_owned())
}

async fn attachment_name(
    p: &Platform,
    c: &mut Conn,
    app: &App,
    provider: &dyn Provider,
    chosen: Option<&str>,
) -> Result<String> {
    let taken: Vec<String> =
        addons::attachments_of_app(c, app.id).await?.into_iter().map(|attachment| attachment.name).collect();
    if let Some(name) = chosen {
        let name = name.trim().to_uppercase().replace('-', "_");
        ConfigKey::parse(&format!("{name}_URL")).map_err(|e| Error::invalid(sentence(&e)))?;
        if taken.contains(&name) {
            return Err(Error::invalid(format!(
                "{name} is already an attachment of {}. Choose another name with --as.",
                app.name
            )));
        }
        return Ok(name);
    }
    let default = provider.service().attachment;
    if !taken.iter().any(|name| name == default) {
        return Ok(default.to_owned());
    }
    let _ = p;
    let start = usize::from(rand::random::<u8>());
    (0..COLORS.len())
        .map(|i| format!("HEROKU_{default}_{}", COLORS[(start + i) % COLORS.len()]))
        .find(|name| !taken.contains(name))
        .ok_or_else(|| Error::invalid("Every default name is taken. Choose one with --as."))
}

async fn release_for(p: &Platform, actor: &Actor, app_id: Uuid, description: &str) -> Result<()> {
    // An app that goes away meanwhile needs no release.
    let Some(mut change) = p.db.change(app_id).await? else { return Ok(()) };
    match releases::insert(p, &mut change, actor, releases::New { phase: false, ..releases::New::keep(description) })
        .await
    {
        Ok(release) => {
            let event = json!({"version": release.version, "description": description});
            p.commit(change, Event::new("release.create", actor.name(), event)).await
        }
        Err(Error::NotFound(_)) => Ok(()),
        Err(e) => Err(e),
    }
}

async fn owner(p: &Platform, c: &mut Conn, app_id: Uuid) -> Result<Actor> {
    let app = apps::current(c, app_id).await?;
    let owner = apps::with_owner(p, app).await?.owner;
    Ok(Actor { user: owner, authorization_id: None })
}

fn attach_text(attachment: &str, addon: &str) -> String {
    format!("Attach {attachment} (@ref:{addon})")
}

fn detach_text(attachment: &str, addon: &str) -> String {
    format!("Detach {attachment} (@ref:{addon})")
}
