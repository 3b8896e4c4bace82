//! Who works on an app besides its owner.

use serde_json::json;

use super::{Actor, Platform};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        apps::{self, App, Collaborator},
        events::Event,
        users,
    },
};

/// Everybody who works on it, the owner not among them.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Collaborator>> {
    Ok(apps::collaborators(&mut p.db.read().await?, app.id).await?)
}

/// One of them, by address or identity.
pub async fn find(p: &Platform, app: &App, who: &str) -> Result<Collaborator> {
    list(p, app)
        .await?
        .into_iter()
        .find(|c| {
            c.user.email.eq_ignore_ascii_case(who)
                || c.user.id.to_string() == who
                || c.collaborator_id.to_string() == who
        })
        .ok_or_else(|| Error::not_found("collaborator", who))
}

/// Lets somebody with an account work on the app.
pub async fn add(p: &Platform, actor: &Actor, app: &App, email: &str) -> Result<Collaborator> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let user = users::by_email(&mut change, &email.trim().to_lowercase()).await?.ok_or_else(|| {
        Error::invalid(format!(
            "{email} has no account here. An administrator makes one with: paasd admin user:create {email}"
        ))
    })?;
    if user.id == app.owner_id {
        return Err(Error::invalid(format!("{email} is the owner of {} already.", app.name)));
    }
    apps::add_collaborator(&mut change, new_id(), app.id, user.id, now).await.map_err(|e| {
        if e.is_duplicate() {
            Error::invalid(format!("{email} is already a collaborator on {}.", app.name))
        } else {
            e.into()
        }
    })?;
    p.commit(change, Event::new("collaborator.create", actor.name(), json!({"email": user.email}))).await?;
    p.tell(app.id, format!("Add {} to collaborators by user {}", user.email, actor.name()));
    find(p, app, &user.email).await
}

/// Ends it. The owner may do so with everybody, and everybody with themselves.
pub async fn remove(p: &Platform, actor: &Actor, app: &App, who: &str) -> Result<Collaborator> {
    let found = find(p, app, who).await?;
    if app.owner_id != actor.user.id && !actor.user.admin && found.user.id != actor.user.id {
        return Err(Error::Forbidden(format!("Only the owner of {} may remove others from it.", app.name)));
    }
    let mut change = p.change(app.id).await?;
    apps::remove_collaborator(&mut change, app.id, found.user.id).await?;
    let event = json!({"id": found.collaborator_id, "email": found.user.email});
    p.commit(change, Event::new("collaborator.destroy", actor.name(), event)).await?;
    p.tell(app.id, format!("Remove {} from collaborators by user {}", found.user.email, actor.name()));
    Ok(found)
}
