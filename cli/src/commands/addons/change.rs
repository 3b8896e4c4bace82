//! Commands that change something.

use std::collections::BTreeMap;

use clap::Args;
use paas_wire::addon::{AddonCreateAttachment, AddonDelete};
use paas_wire::error::CONFIRMATION_REQUIRED;
use paas_wire::{Addon, AddonAttachment, AddonCreate, AddonState, AddonUpdate, AttachmentCreate, Identity};
use reqwest::Method;

use super::{PATIENCE, find, wait};
use crate::app::AppArgs;
use crate::client::{Client, app_path, refusal_id, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{confirm, output};

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// SERVICE:PLAN, or SERVICE for its default plan
    #[arg(value_name = "SERVICE:PLAN")]
    plan: String,
    /// Options of the service: KEY=VALUE
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    /// Name of its attachment: CACHE makes CACHE_URL
    #[arg(long = "as", value_name = "NAME")]
    attachment: Option<String>,
    /// Name of the add-on (one is made up if you leave it out)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait until it is ready
    #[arg(long)]
    wait: bool,
    /// The app's name, where a config var is overwritten
    #[arg(long, value_name = "APP")]
    confirm: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `addons:create`
pub(super) async fn create(context: &Context, arguments: CreateArgs) -> anyhow::Result<()> {
    let config = options(&arguments.options)?;
    let (app, client) = context.app(&arguments.app)?;
    let mut body = AddonCreate {
        plan: Identity(arguments.plan.clone()),
        name: arguments.name,
        attachment: arguments.attachment.map(|name| AddonCreateAttachment { name: Some(name) }),
        config: (!config.is_empty()).then_some(config),
        confirm: arguments.confirm,
    };
    let path = app_path(&app, "/addons");
    let start = || Action::start(format!("Creating {} on {}", arguments.plan, output::app(&app)));
    let action = start();
    let (action, mut addon) = match client.send_json(Method::POST, &path, &body).await {
        Err(error) if body.confirm.is_none() && refusal_id(&error) == Some(CONFIRMATION_REQUIRED) => {
            action.end("!");
            confirm::destruction(&error.to_string(), &app, None)?;
            body.confirm = Some(app.clone());
            (start(), client.send_json::<_, Addon>(Method::POST, &path, &body).await?)
        }
        other => (action, other?),
    };
    action.done();
    if arguments.wait {
        addon = wait(client, addon, PATIENCE).await?;
    }
    if arguments.json {
        return output::json(&addon);
    }
    if let Some(message) = Some(&addon.provision_message).filter(|message| !message.is_empty()) {
        output::line(message);
    }
    if addon.state == AddonState::Provisioning {
        output::line(format_args!("{} is being created in the background.", addon.name));
        output::line(format_args!("The app restarts when it is ready. To wait: paas addons:wait {}", addon.name));
    } else {
        output::line(format_args!("Created {} as {}", addon.name, addon.config_vars.join(", ")));
    }
    Ok(())
}

fn options(options: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    options
        .iter()
        .map(|option| {
            let option = option.trim_start_matches("--");
            option.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| {
                Failure::usage(format!("{option:?} is no option of the form KEY=VALUE."))
                    .hint("For example: paas addons:create redis:mini maxmemory_policy=allkeys-lru")
            })
        })
        .collect()
}

/// `addons:destroy`
pub(super) async fn destroy(
    client: &Client,
    app: Option<String>,
    names: Vec<String>,
    confirm: Option<&str>,
    force: bool,
) -> anyhow::Result<()> {
    for name in names {
        let addon = find(client, app.clone(), &name).await?;
        let owner = &addon.app.name;
        let what = format!("This destroys the add-on {} of the app {owner} with its data.", addon.name);
        confirm::destruction(&what, owner, confirm)?;
        let action = Action::start(format!("Destroying {} on {}", addon.name, output::app(owner)));
        let path = app_path(owner, &format!("/addons/{}", addon.id));
        let body = AddonDelete { force: force.then_some(true) };
        let gone: Addon = client.send_json(Method::DELETE, &path, &body).await?;
        match gone.state {
            AddonState::Deprovisioned => action.done(),
            AddonState::Provisioning | AddonState::Provisioned | AddonState::Deprovisioning => {
                action.done_with("being taken down");
            }
        }
    }
    Ok(())
}

/// `addons:attach`
pub(super) async fn attach(
    client: &Client,
    app: &str,
    addon: String,
    name: Option<String>,
    confirm: Option<String>,
) -> anyhow::Result<()> {
    let words = name.as_ref().map(|name| format!(" as {name}")).unwrap_or_default();
    let action = Action::start(format!("Attaching {addon}{words} to {}", output::app(app)));
    let body =
        AttachmentCreate { addon: Identity(addon), app: Identity(app.to_owned()), confirm, name, namespace: None };
    let made: AddonAttachment = client.send_json(Method::POST, "/addon-attachments", &body).await?;
    action.done();
    let vars = if made.config_vars.is_empty() { format!("{}_URL", made.name) } else { made.config_vars.join(", ") };
    output::line(format_args!("{} is now attached as {} ({vars})", made.addon.name, made.name));
    Ok(())
}

/// `addons:detach`
pub(super) async fn detach(client: &Client, app: &str, name: &str) -> anyhow::Result<()> {
    let path = app_path(app, &format!("/addon-attachments/{}", segment(name)));
    let attachment: AddonAttachment = client.get(&path).await?;
    let action =
        Action::start(format!("Detaching {} ({}) from {}", attachment.name, attachment.addon.name, output::app(app)));
    client.delete(&format!("/addon-attachments/{}", attachment.id)).await?;
    action.done();
    Ok(())
}

/// `addons:rename`
pub(super) async fn rename(client: &Client, name: String, new: String) -> anyhow::Result<()> {
    let addon: Addon = client.get(&format!("/addons/{}", segment(&name))).await?;
    let path = app_path(&addon.app.name, &format!("/addons/{}", addon.id));
    let body = AddonUpdate { name: Some(new), plan: None };
    let action = Action::start(format!("Renaming {}", addon.name));
    let renamed: Addon = client.send_json(Method::PATCH, &path, &body).await?;
    action.done_with(renamed.name);
    Ok(())
}

/// `addons:upgrade`
pub(super) async fn upgrade(
    client: &Client,
    app: Option<String>,
    name: &str,
    plan: Option<String>,
) -> anyhow::Result<()> {
    // `APP::ATTACHMENT` names an add-on, `SERVICE:PLAN` the one of that service and its new plan.
    let (name, plan) = match (plan, name.split_once(':')) {
        (Some(plan), _) => (name, plan),
        (None, Some((service, plan))) if !plan.starts_with(':') => (service, format!("{service}:{plan}")),
        (None, _) => {
            return Err(Failure::usage(format!("To which plan is {name} to move?"))
                .hint(format!(
                    "Name it: paas addons:upgrade {name} PLAN. `paas addons:plans SERVICE` lists a service's plans."
                ))
                .into());
        }
    };
    let addon = find(client, app, name).await?;
    let plan = if plan.contains(':') { plan } else { format!("{}:{plan}", addon.addon_service.name) };
    let owner = &addon.app.name;
    let action = Action::start(format!("Changing {} on {} to {plan}", addon.name, output::app(owner)));
    let path = app_path(owner, &format!("/addons/{}", addon.id));
    let body = AddonUpdate { name: None, plan: Some(Identity(plan)) };
    let changed: Addon = client.send_json(Method::PATCH, &path, &body).await?;
    action.done();
    if let Some(message) = Some(changed.provision_message).filter(|message| !message.is_empty()) {
        output::line(message);
    }
    Ok(())
}
