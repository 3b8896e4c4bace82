//! Commands that only look.

use paas_wire::{Addon, AddonAttachment, AddonService, AddonState, Plan, Price};

use reqwest::StatusCode;

use crate::client::{Client, app_path, segment, status_of};
use crate::{output, when};

/// Add-ons of an app.
pub(super) async fn of_app(client: &Client, app: &str) -> anyhow::Result<Vec<Addon>> {
    client.list(&app_path(app, "/addons")).await
}

/// `addons --all`
pub(super) async fn all(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut addons: Vec<Addon> = client.list("/addons").await?;
    addons.sort_by(|a, b| (&a.app.name, &a.name).cmp(&(&b.app.name, &b.name)));
    if json {
        return output::json(&addons);
    }
    if addons.is_empty() {
        output::line("You have no add-ons.");
        return Ok(());
    }
    let rows = addons
        .into_iter()
        .map(|addon| vec![addon.app.name, addon.name, addon.plan.name, price(addon.plan.price), state(addon.state)]);
    output::table(&["App", "Add-on", "Plan", "Price", "State"], rows.collect());
    Ok(())
}

/// `addons`
pub(super) async fn list(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let addons = of_app(client, app).await?;
    if json {
        return output::json(&addons);
    }
    let attachments: Vec<AddonAttachment> = client.list(&app_path(app, "/addon-attachments")).await?;
    if addons.is_empty() && attachments.is_empty() {
        output::line(format_args!("{} has no add-ons. `paas addons:services` lists what there is.", output::app(app)));
        return Ok(());
    }
    let mut rows = Vec::new();
    for addon in &addons {
        rows.push(vec![
            format!("{} ({})", addon.addon_service.name, addon.name),
            addon.plan.name.clone(),
            price(addon.plan.price.clone()),
            state(addon.state),
        ]);
        let names: Vec<&AddonAttachment> =
            attachments.iter().filter(|attachment| attachment.addon.id == addon.id).collect();
        for (number, attachment) in names.iter().enumerate() {
            let branch = if number + 1 == names.len() { "└─" } else { "├─" };
            rows.push(vec![format!(" {branch} as {}", attachment.name)]);
        }
    }
    for attachment in &attachments {
        if addons.iter().any(|addon| addon.id == attachment.addon.id) {
            continue;
        }
        let plan = attachment.addon.plan.as_ref().map(|plan| plan.name.clone());
        let of = format!("of {}", attachment.addon.app.name);
        rows.push(vec![attachment.addon.name.clone(), plan.unwrap_or_default(), of]);
        rows.push(vec![format!(" └─ as {}", attachment.name)]);
    }
    output::table(&["Add-on", "Plan", "Price", "State"], rows);
    Ok(())
}

fn price(price: Option<Price>) -> String {
    match price {
        Some(price) if price.cents > 0 => {
            format!("${}.{:02}/{}", price.cents / 100, price.cents % 100, price.unit)
        }
        _ => "free".to_owned(),
    }
}

/// States in the words that Heroku's users know.
fn state(state: AddonState) -> String {
    match state {
        AddonState::Provisioning => "creating",
        AddonState::Provisioned => "created",
        AddonState::Deprovisioning => "destroying",
        AddonState::Deprovisioned => "destroyed",
    }
    .to_owned()
}

/// `addons:info`
pub(super) async fn info(client: &Client, addon: Addon, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&addon);
    }
    let attachments: Vec<AddonAttachment> = client.list(&format!("/addons/{}/addon-attachments", addon.id)).await?;
    let names: Vec<String> =
        attachments.into_iter().map(|attachment| format!("{}::{}", attachment.app.name, attachment.name)).collect();
    output::heading(&addon.name);
    output::fields(&[
        ("Attachments", names.join("\n")),
        ("Config vars", addon.config_vars.join("\n")),
        ("Created", when::local(addon.created_at)),
        ("Owning app", addon.app.name),
        ("Plan", addon.plan.name),
        ("Price", price(addon.plan.price)),
        ("State", state(addon.state)),
        ("Message", addon.provision_message),
    ]);
    Ok(())
}

/// `addons:plans`
pub(super) async fn plans(client: &Client, service: &str, json: bool) -> anyhow::Result<()> {
    let path = format!("/addon-services/{}/plans", segment(service));
    let plans: Vec<Plan> = client.list(&path).await?;
    if json {
        return output::json(&plans);
    }
    let rows = plans.into_iter().map(|plan| {
        let default = if plan.default { "default" } else { "" };
        vec![plan.name, plan.description, price(Some(plan.price)), default.to_owned()]
    });
    output::table(&["Plan", "What one gets", "Price", ""], rows.collect());
    Ok(())
}

/// `addons:services`
pub(super) async fn services(client: &Client, json: bool) -> anyhow::Result<()> {
    let services: Vec<AddonService> = client.list("/addon-services").await?;
    if json {
        return output::json(&services);
    }
    let rows = services.into_iter().map(|service| vec![service.name, service.human_name, service.state]);
    output::table(&["Service", "Name", "State"], rows.collect());
    output::line("\nPlans of one: paas addons:plans SERVICE");
    Ok(())
}

/// `addons:docs`: the address of a service's manual.
pub(super) async fn manual(client: &Client, app: Option<String>, name: &str) -> anyhow::Result<String> {
    let service = name.split(':').next().unwrap_or(name);
    let found = client.get::<AddonService>(&format!("/addon-services/{}", segment(service))).await;
    let service = match found {
        Ok(service) => service.name,
        Err(error) if status_of(&error) == Some(StatusCode::NOT_FOUND) => {
            super::find(client, app, name).await?.addon_service.name
        }
        Err(error) => return Err(error),
    };
    Ok(match service.as_str() {
        "redis" | "redistogo" | "rediscloud" => "https://redis.io/docs/latest/".to_owned(),
        service => format!("https://devcenter.heroku.com/articles/{service}"),
    })
}
