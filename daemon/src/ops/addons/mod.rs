//! Add-ons: made, renamed, changed, destroyed. `attach` has where they are used, `due` the
//! releases that this brings to apps, `show` finds them and puts together what is shown.

mod attach;
mod due;
mod show;

use std::{collections::BTreeMap, sync::Arc};

use paas_domain::name::AddonName;
use serde_json::json;
use uuid::Uuid;

pub use attach::{attach, attachment_name, detach};
pub use due::settle;
pub use show::{Shown, attachments, check_may_change, check_may_use, find, list, list_all, resolve, show, within};

use super::{Actor, Platform, apps, apps::sentence, config, releases, stacks};
use crate::{
    addons::{Instance, Plan, Provider, Secrets},
    context::new_id,
    engine::{AppNetwork, ServiceNetwork},
    error::{Error, Result},
    store::{
        Change, Conn,
        addons::{self, Addon, Attachment},
        apps::App,
        events::Event,
    },
};

/// Bytes of a MiB, in which plans are told.
const MIB: u64 = 1024 * 1024;

/// An add-on about to be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct New<'a> {
    /// `redis`, `redis:mini`, or a plan's id.
    pub plan: &'a str,
    /// Its name; one is made up when absent.
    pub name: Option<&'a str>,
    /// The name of its first attachment.
    pub attachment: Option<&'a str>,
    /// Options of the service: `maxmemory_policy`.
    pub options: Option<&'a BTreeMap<String, String>>,
}

/// What a plan's id stands for, with that name of the service under which it has this id:
/// `heroku-redis:mini`.
pub fn plan_of_id(p: &Platform, text: &str) -> Option<String> {
    let id: Uuid = text.parse().ok()?;
    let services = p.catalog.all().iter().map(|provider| provider.service());
    let names = services.flat_map(|service| service.names().map(move |name| (service, name)));
    let mut plans =
        names.flat_map(|(service, name)| service.plans.iter().map(move |plan| format!("{name}:{}", plan.name)));
    plans.find(|plan| stacks::stable_id("plan", plan) == id)
}

/// `redis`, `redis:mini`, `heroku-redis:premium-0` or a plan's id as provider and plan.
pub fn resolve_plan(p: &Platform, text: &str) -> Result<(Arc<dyn Provider>, &'static Plan)> {
    let named = plan_of_id(p, text);
    let text = named.as_deref().unwrap_or(text);
    let (service, plan) = text.split_once(':').map_or((text, None), |(service, plan)| (service, Some(plan)));
    let Some((provider, default)) = p.catalog.find(service) else {
        let services = p.catalog.all().iter().map(|provider| provider.service());
        let known: Vec<_> = services
            .flat_map(|service| std::iter::once(service.name).chain(service.aliases.iter().map(|(name, _)| *name)))
            .collect();
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

/// The other name of a service that a plan's text names it by, if it is one.
fn sold_as(provider: &dyn Provider, text: &str) -> Option<String> {
    let name = text.split(':').next().unwrap_or(text);
    provider.service().aliases.iter().any(|(alias, _)| *alias == name).then(|| name.to_owned())
}

/// Makes an add-on and attaches it; it is brought up in the background, and a release
/// brings its config vars to the app when it answers.
pub async fn create(p: &Platform, actor: &Actor, app: &App, new: New<'_>) -> Result<Shown> {
    let (provider, plan) = resolve_plan(p, new.plan)?;
    let service = provider.service();
    super::teams::check_addon(p, actor, app, service.name).await?;
    let chosen = new.name.map(AddonName::parse).transpose().map_err(|e| Error::invalid(sentence(&e)))?;
    let now = p.cx.now();
    let id = new_id();
    let mut secrets = provider.secrets(&service.host(id));
    set_options(provider.as_ref(), &mut secrets, new.options.unwrap_or(&BTreeMap::new()))?;
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
    let taken = addons::attachments_of_app(&mut change, app.id).await?;
    let sold_as = sold_as(provider.as_ref(), plan_of_id(p, new.plan).as_deref().unwrap_or(new.plan));
    let as_name = attach::name(&taken, provider.as_ref(), new.attachment)?;
    if taken.iter().any(|row| row.name == as_name) {
        return Err(Error::invalid(format!(
            "{as_name} is already an attachment of {}. Choose another name with --as; once the add-on is there, it can take this one over with: addons:attach ADDON --as {as_name} --confirm {}",
            app.name, app.name
        )));
    }
    let addon = Addon {
        id,
        app_id: app.id,
        name: name.to_string(),
        service: service.name.into(),
        sold_as,
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
    let row = Attachment {
        id: new_id(),
        addon_id: id,
        app_id: app.id,
        name: as_name,
        release_due: None,
        created_at: now,
        updated_at: now,
    };
    addons::attach(&mut change, &row).await?;
    let plan = format!("{}:{}", addon.service_name(), addon.plan);
    let event = json!({"id": addon.id, "attachment": row.id, "addon": addon.name, "plan": plan});
    p.commit(change, Event::new("addon.create", actor.name(), event)).await?;
    p.tell(app.id, format!("Create add-on {} ({plan}) by user {}", addon.name, actor.name()));
    show(p, addon).await
}

/// What follows when an add-on answers for the first time: its config vars, by a release of
/// every app that it is attached to.
pub async fn provisioned(p: &Platform, id: Uuid) -> Result<()> {
    let Some(addon) = addons::by_id(&mut p.db.read().await?, id).await? else { return Ok(()) };
    let mut change = p.change(addon.app_id).await?;
    let row = addons::locked(&mut change, id).await?;
    let Some(mut addon) = row.filter(|addon| addon.state == "provisioning") else { return Ok(()) };
    addon.state = "provisioned".into();
    addon.message = None;
    addon.updated_at = p.cx.now();
    addons::update(&mut change, &addon).await?;
    let owner = owner(p, &mut change, addon.app_id).await?;
    let text = |row: &Attachment| attach::attach_text(&row.name, &addon.name);
    due::release_all(p, &mut change, &owner, &addon, true, text).await?;
    p.commit(change, Event::new("addon.provisioned", "paas", json!({"id": addon.id, "addon": addon.name}))).await?;
    p.tell(addon.app_id, format!("Provisioned add-on {}", addon.name));
    Ok(())
}

/// What goes on while it is being made, for `addons:info`.
pub async fn note(p: &Platform, addon: &Addon, message: Option<&str>) -> Result<()> {
    if addon.message.as_deref() == message {
        return Ok(());
    }
    let mut tx = p.db.begin().await?;
    addons::set_message(&mut tx, addon.id, message).await?;
    tx.commit(None).await?;
    Ok(())
}

/// Destroys an add-on with all its data. What is attached elsewhere too needs `force`.
pub async fn destroy(p: &Platform, actor: &Actor, shown: &Shown, force: bool) -> Result<Shown> {
    let (mut change, mut row) = begin(p, actor, shown).await?;
    let others = other_apps(&mut change, &row).await?;
    if !others.is_empty() && !force {
        return Err(Error::invalid(format!(
            "{} is also attached to {}. Detach it there first, or repeat with --force.",
            row.name,
            others.join(", ")
        )));
    }
    let had_values = row.state == "provisioned";
    let mut detached = Vec::new();
    row.state = "deprovisioning".into();
    save(p, &mut change, &mut row).await?;
    for attachment in addons::attachments_of_addon(&mut change, row.id).await? {
        let text = attach::detach_text(&attachment.name, &row.name);
        if had_values && attachment.app_id != row.app_id {
            // It goes with the release that its app gets.
            due::owe(&mut change, actor, &attachment, &text, true).await?;
            continue;
        }
        addons::detach(&mut change, attachment.id).await?;
        detached.extend((attachment.app_id == row.app_id).then(|| attachment.clone()));
        if had_values {
            releases::insert(p, &mut change, actor, releases::New::keep(&text)).await?;
        }
    }
    let event = json!({"id": row.id, "addon": row.name, "detached": detached});
    p.commit(change, Event::new("addon.destroy", actor.name(), event)).await?;
    p.tell(row.app_id, format!("Destroy add-on {} by user {}", row.name, actor.name()));
    let mut gone = shown.clone();
    gone.addon = row;
    Ok(gone)
}

/// The names of the other apps that an add-on is attached to, oldest attachment first.
pub(super) async fn other_apps(c: &mut Conn, addon: &Addon) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for row in addons::attachments_of_addon(c, addon.id).await? {
        let app = crate::store::apps::by_id(c, row.app_id).await?;
        names.extend(app.filter(|app| app.id != addon.app_id).map(|app| app.name));
    }
    names.dedup();
    Ok(names)
}

/// Its data is gone: so is its row.
pub async fn deprovisioned(p: &Platform, id: Uuid) -> Result<()> {
    let mut tx = p.db.begin().await?;
    addons::delete(&mut tx, id).await?;
    tx.commit(None).await?;
    Ok(())
}

/// What may be changed of an add-on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes<'a> {
    /// Another plan of the same service; its server restarts with it.
    pub plan: Option<&'a str>,
    /// How many bytes of data it has, if it tells: a plan that they don't fit into would end
    /// the server again and again.
    pub held: Option<u64>,
    /// Another name. The config vars keep the host name that it was made with, which stays valid.
    pub name: Option<&'a str>,
}

/// Changes plan, name or both, all or none.
pub async fn change(p: &Platform, actor: &Actor, shown: &Shown, changes: Changes<'_>) -> Result<Shown> {
    let name = changes.name.map(AddonName::parse).transpose().map_err(|e| Error::invalid(sentence(&e)))?;
    let plan = changes.plan.map(|plan| other_plan(p, shown, plan, changes.held)).transpose()?;
    let mut told = Vec::new();
    if let Some((plan, sold_as)) = &plan {
        let service = sold_as.as_deref().unwrap_or(&shown.addon.service);
        told.push(format!("Change plan of {} to {service}:{}", shown.addon.name, plan.name));
    }
    if let Some(name) = &name {
        told.push(format!("Rename add-on {} to {name}", shown.addon.name));
    }
    update(p, actor, shown, told.join(", "), |addon| {
        if let Some((plan, sold_as)) = plan {
            addon.plan = plan.name.into();
            addon.sold_as = sold_as;
        }
        if let Some(name) = name {
            addon.name = name.to_string();
        }
        Ok(())
    })
    .await
}

/// A plan that an add-on can change to, with the other name of its service that this gives it.
fn other_plan(p: &Platform, shown: &Shown, plan: &str, held: Option<u64>) -> Result<(&'static Plan, Option<String>)> {
    let named = plan_of_id(p, plan);
    let plan = named.as_deref().unwrap_or(plan);
    let text_names = plan.contains(':');
    let text = if text_names { plan.to_owned() } else { format!("{}:{plan}", shown.addon.service) };
    let (provider, plan) = resolve_plan(p, &text)?;
    if provider.service().name != shown.addon.service {
        return Err(Error::invalid(format!(
            "{} is a {} add-on and can only change to another plan of it.",
            shown.addon.name, shown.addon.service
        )));
    }
    if plan.memory_mib < shown.plan.memory_mib && shown.addon.state == "provisioned" {
        let name = &shown.addon.name;
        let Some(held) = held else {
            return Err(Error::Unavailable(format!(
                "{name} does not tell how much data it holds, so it can't change to the smaller plan {} now. Try again in a moment.",
                plan.name
            )));
        };
        if held > plan.memory_mib * MIB {
            let fits = provider.service().plans.iter().find(|plan| held <= plan.memory_mib * MIB);
            return Err(Error::invalid(format!(
                "{name} holds {} MB, which do not fit into the {} MB of {}. The smallest plan that fits is {}; for a smaller one, delete data first.",
                held.div_ceil(MIB),
                plan.memory_mib,
                plan.name,
                fits.unwrap_or(shown.plan).name
            )));
        }
    }
    // `SERVICE:PLAN` may give it another of the service's names, too.
    let sold_as = if text_names { sold_as(provider.as_ref(), &text) } else { shown.addon.sold_as.clone() };
    Ok((plan, sold_as))
}

/// Changes settings of the provider's own (eviction policy, idle time-out), all or none.
pub async fn configure(
    p: &Platform,
    actor: &Actor,
    shown: &Shown,
    options: &BTreeMap<String, String>,
) -> Result<Shown> {
    let words: Vec<String> = options.iter().map(|(key, value)| format!("{key} to {value}")).collect();
    let told = format!("Set {} of {}", words.join(", "), shown.addon.name);
    update(p, actor, shown, told, |addon| {
        let mut secrets = config::open_addon(p, addon)?;
        set_options(shown.provider.as_ref(), &mut secrets, options)?;
        addon.config = config::seal_addon(p, addon.id, &secrets)?;
        Ok(())
    })
    .await
}

fn set_options(provider: &dyn Provider, secrets: &mut Secrets, options: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in options {
        let value = provider.option(key, value).map_err(Error::Invalid)?;
        if let Some(private) = secrets.private.as_object_mut() {
            private.insert(key.clone(), value);
        }
    }
    Ok(())
}

/// Writes down that its counters have been set back.
pub async fn stats_reset(p: &Platform, actor: &Actor, shown: &Shown) -> Result<()> {
    let change = p.change(shown.addon.app_id).await?;
    p.commit(change, Event::new("addon.stats-reset", actor.name(), json!({"addon": shown.addon.name}))).await?;
    p.tell(shown.addon.app_id, format!("Reset stats of {} by user {}", shown.addon.name, actor.name()));
    Ok(())
}

/// Gives it a new password, and every app attached a release with it.
pub async fn rotate(p: &Platform, actor: &Actor, shown: &Shown) -> Result<Shown> {
    let (mut change, mut row) = begin(p, actor, shown).await?;
    let secrets = config::open_addon(p, &row)?;
    let host = shown.provider.service().host(row.id);
    row.config = config::seal_addon(p, row.id, &shown.provider.rotate(&host, &secrets))?;
    save(p, &mut change, &mut row).await?;
    if row.state == "provisioned" {
        let text = |attachment: &Attachment| format!("Update {} by {}", attachment.name, row.name);
        due::release_all(p, &mut change, actor, &row, false, text).await?;
    }
    p.commit(change, Event::new("addon.rotate", actor.name(), json!({"id": row.id, "addon": row.name}))).await?;
    p.tell(row.app_id, format!("Reset credentials of {} by user {}", row.name, actor.name()));
    show(p, row).await
}

async fn update(
    p: &Platform,
    actor: &Actor,
    shown: &Shown,
    told: String,
    with: impl FnOnce(&mut Addon) -> Result<()>,
) -> Result<Shown> {
    let (mut change, mut row) = begin(p, actor, shown).await?;
    with(&mut row)?;
    save(p, &mut change, &mut row).await?;
    p.commit(change, Event::new("addon.update", actor.name(), json!({"id": row.id, "addon": row.name}))).await?;
    p.tell(row.app_id, format!("{told} by user {}", actor.name()));
    show(p, row).await
}

/// Begins a change of an add-on, for somebody who may: the change of its app, and its row as
/// it stands in it.
async fn begin(p: &Platform, actor: &Actor, shown: &Shown) -> Result<(Change, Addon)> {
    check_may_change(p, actor, shown).await?;
    let mut change = p.change(shown.addon.app_id).await?;
    let row = there(&mut change, &shown.addon).await?;
    Ok((change, row))
}

/// The add-on's row as it stands inside a change, locked, unless it is on its way out.
async fn there(c: &mut Conn, addon: &Addon) -> Result<Addon> {
    let row = addons::locked(c, addon.id).await?.filter(|row| row.state != "deprovisioning");
    row.ok_or_else(|| Error::not_found("add_on", addon.name.as_str()))
}

async fn save(p: &Platform, c: &mut Conn, row: &mut Addon) -> Result<()> {
    row.updated_at = p.cx.now();
    addons::update(c, row).await.map_err(|e| {
        if e.is_duplicate() {
            Error::invalid(format!("The add-on name {} is already taken.", row.name))
        } else {
            e.into()
        }
    })
}

/// An add-on as its provider sees it.
pub async fn instance(p: &Platform, addon: &Addon) -> Result<(Arc<dyn Provider>, Instance)> {
    let (provider, plan) = resolve_plan(p, &format!("{}:{}", addon.service, addon.plan))?;
    let secrets = config::open_addon(p, addon)?;
    let host = provider.service().host(addon.id);
    let mut c = p.db.read().await?;
    let mut networks: Vec<ServiceNetwork> = Vec::new();
    for row in addons::attachments_of_addon(&mut c, addon.id).await? {
        if networks.iter().any(|network| network.app.app_id == row.app_id) {
            continue;
        }
        if let Some(app) = crate::store::apps::by_id(&mut c, row.app_id).await?.filter(|app| !app.deleting) {
            let network = AppNetwork { app_id: app.id, app_name: app.name };
            networks.push(ServiceNetwork { app: network, aliases: vec![host.clone()] });
        }
    }
    Ok((provider, Instance { id: addon.id, name: addon.name.clone(), host, plan, secrets, networks }))
}

async fn owner(p: &Platform, c: &mut Conn, app_id: Uuid) -> Result<Actor> {
    let app = apps::current(c, app_id).await?;
    let owner = apps::with_owner(p, app).await?.owner;
    Ok(Actor { user: owner, authorization_id: None })
}
