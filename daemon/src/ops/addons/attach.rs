//! Which apps use an add-on, and under which name.

use paas_domain::name::ConfigKey;
use serde_json::json;

use super::{Shown, check_may_change, due, there};
use crate::{
    addons::Provider,
    context::new_id,
    error::{Error, Result},
    ops::{Actor, Platform, apps, apps::sentence, releases},
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

/// Attaches an add-on to an app, under a name of the caller's or a free one. Its release
/// follows in the background, once the add-on is on the app's network. A name that is taken
/// needs `confirm`, the app's name, and is taken away from what had it.
pub async fn attach(
    p: &Platform,
    actor: &Actor,
    shown: &Shown,
    app: &App,
    chosen: Option<&str>,
    confirm: Option<&str>,
) -> Result<Attachment> {
    check_may_change(p, actor, shown).await?;
    crate::ops::teams::check_addon(p, actor, app, &shown.addon.service).await?;
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let addon = there(&mut change, &shown.addon).await?;
    let taken = addons::attachments_of_app(&mut change, app.id).await?;
    let name = name(&taken, shown.provider.as_ref(), chosen)?;
    if let Some(before) = taken.iter().find(|row| row.name == name) {
        replace(p, &mut change, &addon, before, (app, &taken), confirm).await?;
    }
    let row = Attachment {
        id: new_id(),
        addon_id: addon.id,
        app_id: app.id,
        name,
        release_due: None,
        created_at: now,
        updated_at: now,
    };
    addons::attach(&mut change, &row).await?;
    let text = attach_text(&row.name, &addon.name);
    if addon.state == "provisioned" {
        due::owe(&mut change, actor, &row, &text, true).await?;
    }
    let event = json!({"id": addon.id, "attachment": row.id, "addon": addon.name, "as": row.name});
    p.commit(change, Event::new("addon.attach", actor.name(), event)).await?;
    p.tell(app.id, format!("{text} by user {}", actor.name()));
    Ok(row)
}

/// Takes a name away from what has it, if the user has said so. What has no other
/// attachment gets a free name instead: nobody loses sight of its data.
async fn replace(
    p: &Platform,
    c: &mut Conn,
    addon: &Addon,
    before: &Attachment,
    (app, taken): (&App, &[Attachment]),
    confirm: Option<&str>,
) -> Result<()> {
    if before.addon_id == addon.id {
        return Err(Error::invalid(format!("{} is already attached to {} as {}.", addon.name, app.name, before.name)));
    }
    if addon.state != "provisioned" {
        return Err(Error::invalid(format!(
            "{} is still being made, and {} would have no {}_URL until it is there. Wait for it (`paas addons:wait {}`), then repeat.",
            addon.name, app.name, before.name, addon.name
        )));
    }
    let old = addons::by_id(c, before.addon_id).await?;
    let old_name = old.as_ref().map_or("another add-on", |old| old.name.as_str());
    if confirm != Some(app.name.as_str()) {
        return Err(Error::ConfirmationRequired {
            confirm: app.name.clone(),
            message: format!(
                "{} is {old_name} on {} so far. To put {} in its place, repeat with --confirm {}; or choose another name with --as.",
                before.name, app.name, addon.name, app.name
            ),
        });
    }
    if let Some(old) = &old {
        if addons::attachments_of_addon(c, old.id).await?.len() == 1 {
            let (provider, _) = p.catalog.find(&old.service).ok_or_else(|| {
                Error::internal("The add-on's service is missing.", "no such provider in the catalog")
            })?;
            addons::rename_attachment(c, before.id, &spare(taken, provider.as_ref())?).await?;
        } else {
            take(c, old, before).await?;
        }
    }
    Ok(())
}

/// Detaches it. The last attachment stays: that is what destroy is for.
pub async fn detach(p: &Platform, actor: &Actor, attachment: &Attachment) -> Result<()> {
    apps::find_any(p, actor, &attachment.app_id.to_string(), &apps::WORK).await?;
    let mut change = p.change(attachment.app_id).await?;
    let addon = addons::locked(&mut change, attachment.addon_id)
        .await?
        .ok_or_else(|| Error::not_found("add_on", attachment.addon_id.to_string()))?;
    take(&mut change, &addon, attachment).await?;
    let text = detach_text(&attachment.name, &addon.name);
    if addon.state != "provisioning" {
        releases::insert(p, &mut change, actor, releases::New::keep(&text)).await?;
    }
    let event = json!({"id": addon.id, "addon": addon.name, "as": attachment.name, "was": attachment});
    p.commit(change, Event::new("addon.detach", actor.name(), event)).await?;
    p.tell(attachment.app_id, format!("{text} by user {}", actor.name()));
    Ok(())
}

/// Removes an attachment that is there and is not its add-on's only one.
async fn take(c: &mut Conn, addon: &Addon, attachment: &Attachment) -> Result<()> {
    let all = addons::attachments_of_addon(c, addon.id).await?;
    if !all.iter().any(|row| row.id == attachment.id) {
        return Err(Error::not_found("attachment", attachment.name.as_str()));
    }
    if all.len() == 1 {
        return Err(Error::invalid(format!(
            "{} is {}'s only attachment. To be rid of it with its data: addons:destroy {}",
            attachment.name, addon.name, addon.name
        )));
    }
    addons::detach(c, attachment.id).await?;
    Ok(())
}

/// The name for an attachment to an app that has these: the one chosen, or a free one.
pub(super) fn name(taken: &[Attachment], provider: &dyn Provider, chosen: Option<&str>) -> Result<String> {
    if let Some(name) = chosen {
        let name = attachment_name(name);
        ConfigKey::parse(&format!("{name}_URL")).map_err(|e| Error::invalid(sentence(&e)))?;
        if !name.starts_with(|first: char| first.is_ascii_uppercase()) {
            return Err(Error::invalid(format!(
                "The attachment name {name:?} must start with a letter, such as CACHE."
            )));
        }
        return Ok(name);
    }
    let free = |name: &str| !taken.iter().any(|row| row.name == name);
    let default = provider.service().attachment;
    if free(default) {
        return Ok(default.to_owned());
    }
    spare(taken, provider)
}

/// How a name that somebody has chosen is written.
pub fn attachment_name(name: &str) -> String {
    name.trim().to_uppercase().replace('-', "_")
}

/// A free name that tells by a color which of several it is.
fn spare(taken: &[Attachment], provider: &dyn Provider) -> Result<String> {
    let default = provider.service().attachment;
    let free = |name: &str| !taken.iter().any(|row| row.name == name);
    let start = usize::from(rand::random::<u8>());
    (0..COLORS.len())
        .map(|i| format!("HEROKU_{default}_{}", COLORS[(start + i) % COLORS.len()]))
        .find(|name| free(name))
        .ok_or_else(|| Error::invalid("Every default name is taken. Choose one with --as."))
}

pub(super) fn attach_text(attachment: &str, addon: &str) -> String {
    format!("Attach {attachment} (@ref:{addon})")
}

pub(super) fn detach_text(attachment: &str, addon: &str) -> String {
    format!("Detach {attachment} (@ref:{addon})")
}
