//! The releases that a change of an add-on brings to the apps that it is attached to.
//!
//! A change locks one app. That app's release is made in it; what other apps are owed is
//! kept with their attachments in the same transaction, and paid by the task that looks
//! after the add-on, in one change of each app. Killed anywhere, nobody is forgotten.

use serde_json::json;

use crate::{
    engine::ServiceNetwork,
    error::{Error, Result},
    ops::{Actor, Platform, releases},
    store::{
        Change, Conn,
        addons::{self, Addon, Attachment, ReleaseDue},
        events::Event,
        users,
    },
};

/// A release for every app that the add-on is attached to: at once for the app of this
/// change, owed to the others.
pub(super) async fn release_all(
    p: &Platform,
    change: &mut Change,
    actor: &Actor,
    addon: &Addon,
    phase: bool,
    text: impl Fn(&Attachment) -> String,
) -> Result<()> {
    for row in addons::attachments_of_addon(change, addon.id).await? {
        if row.app_id == change.app_id() {
            let new = releases::New { phase, ..releases::New::keep(&text(&row)) };
            releases::insert(p, change, actor, new).await?;
        } else if row.release_due.is_none() {
            owe(change, actor, &row, &text(&row), phase).await?;
        }
    }
    Ok(())
}

/// Remembers that the attachment's app is to get a release.
pub(super) async fn owe(c: &mut Conn, actor: &Actor, row: &Attachment, text: &str, phase: bool) -> Result<()> {
    let due = ReleaseDue { description: text.to_owned(), user_id: actor.user.id, phase };
    Ok(addons::set_due(c, row.id, Some(&due)).await?)
}

/// Makes the releases that are owed because of an add-on, for the apps whose networks it has
/// joined: what their release phases and dynos start with, they can reach. An add-on on its
/// way out has none to join, and its attachments go with the releases.
pub async fn settle(p: &Platform, addon: &Addon, joined: &[ServiceNetwork]) -> Result<()> {
    let rows = addons::attachments_of_addon(&mut p.db.read().await?, addon.id).await?;
    for row in rows.into_iter().filter(|row| row.release_due.is_some()) {
        if addon.state == "deprovisioning" || joined.iter().any(|network| network.app.app_id == row.app_id) {
            pay(p, &row).await?;
        }
    }
    Ok(())
}

async fn pay(p: &Platform, row: &Attachment) -> Result<()> {
    // An app that goes away meanwhile needs no release.
    let Some(mut change) = p.db.change(row.app_id).await? else { return Ok(()) };
    let Some(addon) = addons::locked(&mut change, row.addon_id).await? else { return Ok(()) };
    let Some(row) = addons::attachment(&mut change, row.id).await? else { return Ok(()) };
    let Some(due) = row.release_due.map(|due| due.0) else { return Ok(()) };
    if addon.state == "deprovisioning" {
        addons::detach(&mut change, row.id).await?;
    } else {
        addons::set_due(&mut change, row.id, None).await?;
    }
    let user = users::by_id(&mut change, due.user_id)
        .await?
        .ok_or_else(|| Error::internal("Whoever changed the add-on is missing.", "no such row in users"))?;
    let actor = Actor { user, authorization_id: None };
    let new = releases::New { phase: due.phase, ..releases::New::keep(&due.description) };
    let release = match releases::insert(p, &mut change, &actor, new).await {
        Ok(release) => release,
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let event = json!({"version": release.version, "description": due.description});
    p.commit(change, Event::new("release.create", actor.name(), event)).await
}
