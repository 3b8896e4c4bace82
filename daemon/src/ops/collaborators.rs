//! Who works on an app besides its owner.

use serde_json::json;

use super::{
    Actor, Platform,
    access::{self, Role},
    apps::{Permission, check},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Conn,
        apps::{self, App, Collaborator},
        events::Event,
        users::User,
    },
};

/// Everybody who works on it, the owner not among them.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Collaborator>> {
    Ok(apps::collaborators(&mut p.db.read().await?, app.id).await?)
}

/// One of them, by address or identity.
pub async fn find(p: &Platform, actor: &Actor, app: &App, who: &str) -> Result<Collaborator> {
    list(p, app)
        .await?
        .into_iter()
        .find(|c| {
            c.user.email.eq_ignore_ascii_case(who)
                || c.user.id.to_string() == who
                || c.collaborator_id.to_string() == who
                || (who == "~" && c.user.id == actor.user.id)
        })
        .ok_or_else(|| Error::not_found("collaborator", who))
}

/// A collaborator with what they are in the app's team.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The collaborator.
    pub row: Collaborator,
    /// What they are.
    pub role: Role,
    /// What they may do.
    pub permissions: Vec<Permission>,
}

/// All that is shown of one.
pub async fn show(p: &Platform, app: &App, row: Collaborator) -> Result<Shown> {
    let access = access::of(&mut p.db.read().await?, &row.user, app).await?;
    let role = match (app.team_id, access.role) {
        (Some(_), Some(role)) => role,
        (Some(_), None) | (None, _) => Role::Collaborator,
    };
    let permissions = match app.team_id {
        Some(_) => access.permissions,
        None => Permission::USUAL.to_vec(),
    };
    Ok(Shown { row, role, permissions })
}

/// Lets somebody with an account work on the app; who may not say so of others may join an app
/// of their team that is not locked. `names` are of permissions, which only apps of teams have.
pub async fn add(p: &Platform, actor: &Actor, app: &App, who: &str, names: Option<&[String]>) -> Result<Collaborator> {
    let wanted = permissions(app, names)?;
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let app = &super::apps::current(&mut change, app.id).await?;
    let user = match access::find_user(&mut change, actor, who).await {
        Ok(user) => Some(user),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    // Before anything is told of whom there is.
    if !may_join(&mut change, actor, app, user.as_ref(), wanted.as_deref()).await? {
        check(&mut change, actor, app, &[Permission::Manage]).await?;
    }
    let user = user.ok_or_else(|| {
        Error::invalid(format!(
            "{who} has no account here. An administrator makes one with: paas members:add {who} --team TEAM (or paasd admin user:create {who})"
        ))
    })?;
    if app.team_id.is_none() && user.id == app.owner_id {
        return Err(Error::invalid(format!("{} is the owner of {} already.", user.email, app.name)));
    }
    let kept = wanted.as_deref().map(Permission::join);
    apps::add_collaborator(&mut change, new_id(), (app.id, user.id), kept.as_deref(), now).await.map_err(|e| {
        if e.is_duplicate() {
            Error::invalid(format!("{} is already a collaborator on {}.", user.email, app.name))
        } else {
            e.into()
        }
    })?;
    let data = json!({"email": user.email, "permissions": kept});
    p.commit(change, Event::new("collaborator.create", actor.name(), data)).await?;
    p.tell(app.id, format!("Add {} to collaborators by user {}", user.email, actor.name()));
    find(p, actor, app, &user.email).await
}

/// Whether somebody puts themselves on an app of their team that is open to them.
async fn may_join(
    c: &mut Conn,
    actor: &Actor,
    app: &App,
    user: Option<&User>,
    wanted: Option<&[Permission]>,
) -> Result<bool> {
    let access = access::of(c, &actor.user, app).await?;
    let modest = wanted.is_none_or(|wanted| !wanted.contains(&Permission::Manage));
    let oneself = user.is_some_and(|user| user.id == actor.user.id);
    Ok(oneself && app.team_id.is_some() && !app.locked && modest && access.role == Some(Role::Member))
}

/// Changes what somebody may do with an app of a team.
pub async fn update(p: &Platform, actor: &Actor, app: &App, who: &str, names: &[String]) -> Result<Collaborator> {
    let wanted = permissions(app, Some(names))?.unwrap_or_default();
    let found = find(p, actor, app, who).await?;
    let kept = Permission::join(&wanted);
    let mut change = p.change(app.id).await?;
    let app = &super::apps::current(&mut change, app.id).await?;
    check(&mut change, actor, app, &[Permission::Manage]).await?;
    if !apps::set_permissions(&mut change, (app.id, found.user.id), Some(&kept), p.cx.now()).await? {
        return Err(Error::not_found("collaborator", who));
    }
    let data = json!({"email": found.user.email, "permissions": kept});
    p.commit(change, Event::new("collaborator.update", actor.name(), data)).await?;
    p.tell(app.id, format!("Set permissions of {} to {kept} by user {}", found.user.email, actor.name()));
    find(p, actor, app, &found.user.email).await
}

/// Ends it. Who manages the app may do so with everybody, and everybody with themselves.
pub async fn remove(p: &Platform, actor: &Actor, app: &App, who: &str) -> Result<Collaborator> {
    let found = find(p, actor, app, who).await?;
    let mut change = p.change(app.id).await?;
    if found.user.id != actor.user.id {
        check(&mut change, actor, app, &[Permission::Manage]).await?;
    }
    apps::remove_collaborator(&mut change, app.id, found.user.id).await?;
    let data = json!({"email": found.user.email, "id": found.collaborator_id});
    p.commit(change, Event::new("collaborator.destroy", actor.name(), data)).await?;
    p.tell(app.id, format!("Remove {} from collaborators by user {}", found.user.email, actor.name()));
    Ok(found)
}

/// The permissions of these names, for an app that has such.
fn permissions(app: &App, names: Option<&[String]>) -> Result<Option<Vec<Permission>>> {
    let Some(names) = names else { return Ok(None) };
    if app.team_id.is_none() {
        return Err(Error::invalid(format!(
            "permissions: {} is owned by no team, so its collaborators may do all but manage it.",
            app.name
        )));
    }
    Permission::parse_all(names).map(Some)
}
