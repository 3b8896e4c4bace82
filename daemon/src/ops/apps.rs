//! Apps: made, found, renamed, put into maintenance, destroyed.

use std::collections::HashMap;

use paas_domain::name::AppName;
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform, access, releases, stacks};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Change, Conn, acme, addons,
        apps::{self, App},
        cleanups, domains,
        events::Event,
        sni_endpoints,
        teams::{self, Team},
        users::{self, User},
    },
};

/// An app with its owner: what is shown of it.
#[derive(Debug, Clone)]
pub struct OwnedApp {
    /// The app.
    pub app: App,
    /// Whose it is; for an app of a team, who made it or brought it in.
    pub owner: User,
    /// The team it belongs to, if to one.
    pub team: Option<Team>,
}

/// What may be changed of an app.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// A new name: its host name and git address change with it.
    pub name: Option<String>,
    /// Answer with the maintenance page, or no longer.
    pub maintenance: Option<bool>,
    /// The stack of the next build.
    pub build_stack: Option<String>,
}

/// What somebody wants to do with an app, by Heroku's names of what may be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// See it: its dynos, releases, logs, add-ons.
    View,
    /// Push code, build, release, roll back; config vars too.
    Deploy,
    /// Change how it runs: scale, restart, config vars, domains, add-ons, drains, features.
    Operate,
    /// Change whose it is: rename, transfer, delete, collaborators.
    Manage,
}

/// What changing what an app runs with takes: either of the two who work on it, by Heroku's list.
pub const WORK: [Permission; 2] = [Permission::Deploy, Permission::Operate];

/// Finds an app by name or identity, for somebody who may do that with it.
pub async fn find_for(p: &Platform, actor: &Actor, name: &str, permission: Permission) -> Result<App> {
    find_any(p, actor, name, &[permission]).await
}

/// The same, for somebody who may do one of these with it.
pub async fn find_any(p: &Platform, actor: &Actor, name: &str, permissions: &[Permission]) -> Result<App> {
    let mut c = p.db.read().await?;
    let app = by_name(&mut c, name).await?;
    check(&mut c, actor, &app, permissions).await?;
    Ok(app)
}

/// Whether somebody may do one of these with an app; why not, if not.
pub async fn check(c: &mut Conn, actor: &Actor, app: &App, permissions: &[Permission]) -> Result<()> {
    let access = access::of(c, &actor.user, app).await?;
    if access.may_any(permissions) {
        return Ok(());
    }
    if !access.may(Permission::View) {
        let member = app.locked && access.role.is_some();
        let hint = if member { " It is locked: somebody who manages it can add you." } else { "" };
        return Err(Error::Forbidden(format!("You do not have access to the app {}.{hint}", app.name)));
    }
    if app.team_id.is_none() {
        return Err(Error::Forbidden(format!("Only the owner of {} may do this.", app.name)));
    }
    let needed: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
    Err(Error::Forbidden(format!(
        "You do not have the {} permission on the app {}. Somebody who manages it gives it with: paas access:update {} --permissions {} --app {}",
        needed.join(" or "),
        app.name,
        actor.name(),
        needed.first().unwrap_or(&"view"),
        app.name
    )))
}

/// Whether somebody may do that with an app.
pub async fn may(p: &Platform, actor: &Actor, app: &App, permission: Permission) -> Result<bool> {
    Ok(access::of(&mut p.db.read().await?, &actor.user, app).await?.may(permission))
}

/// An app by name or identity, whosever it is.
pub(super) async fn by_name(c: &mut Conn, name: &str) -> Result<App> {
    if name.contains('\0') {
        return Err(Error::not_found("app", "a name with a NUL"));
    }
    let app = match name.parse::<Uuid>() {
        Ok(id) => apps::by_id(c, id).await?,
        Err(_) => apps::by_name(c, name).await?,
    };
    app.filter(|app| !app.deleting).ok_or_else(|| Error::not_found("app", name))
}

/// Finds an app by name or identity, for somebody who may see it.
pub async fn find(p: &Platform, actor: &Actor, name: &str) -> Result<App> {
    find_for(p, actor, name, Permission::View).await
}

/// Adds to an app whose it is.
pub async fn with_owner(p: &Platform, app: App) -> Result<OwnedApp> {
    let mut c = p.db.read().await?;
    let owner = users::by_id(&mut c, app.owner_id)
        .await?
        .ok_or_else(|| Error::internal("The app's owner is missing.", "no such row in users"))?;
    let team = match app.team_id {
        Some(id) => teams::by_id(&mut c, id).await?,
        None => None,
    };
    Ok(OwnedApp { app, owner, team })
}

/// Adds to several apps whose they are.
pub async fn with_owners(c: &mut Conn, found: Vec<App>) -> Result<Vec<OwnedApp>> {
    let owners: HashMap<Uuid, User> = users::list(c).await?.into_iter().map(|user| (user.id, user)).collect();
    let teams: HashMap<Uuid, Team> = teams::list(c).await?.into_iter().map(|team| (team.id, team)).collect();
    Ok(found
        .into_iter()
        .filter_map(|app| {
            let team = app.team_id.and_then(|id| teams.get(&id).cloned());
            owners.get(&app.owner_id).cloned().map(|owner| OwnedApp { app, owner, team })
        })
        .collect())
}

/// The apps that somebody may see, by name; an administrator sees all.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<OwnedApp>> {
    let mut c = p.db.read().await?;
    let found = if actor.user.admin {
        apps::list(&mut c).await?.into_iter().filter(|app| !app.deleting).collect()
    } else {
        apps::of_user(&mut c, actor.user.id).await?
    };
    with_owners(&mut c, found).await
}

/// The apps of no team that somebody owns or works on, by name. Only an administrator may ask
/// that of others.
pub async fn list_of(p: &Platform, actor: &Actor, who: &str) -> Result<Vec<OwnedApp>> {
    let mut c = p.db.read().await?;
    let user = access::find_user(&mut c, actor, who).await?;
    if user.id != actor.user.id && !actor.user.admin {
        return Err(Error::not_found("user", who));
    }
    let found = apps::personal(&mut c, user.id).await?;
    with_owners(&mut c, found).await
}

/// What a new app is.
#[derive(Debug, Clone, Default)]
pub struct New<'n> {
    /// Its name; one is made up where none is given.
    pub name: Option<&'n str>,
    /// Its stack; the platform's own where none is given.
    pub stack: Option<&'n str>,
    /// The team it belongs to; none: to who makes it.
    pub team: Option<Uuid>,
    /// Members of the team can't join it by themselves.
    pub locked: bool,
}

/// Makes an app of one's own.
pub async fn create(p: &Platform, actor: &Actor, name: Option<&str>, stack: Option<&str>) -> Result<OwnedApp> {
    create_as(p, actor, New { name, stack, ..New::default() }).await
}

/// Makes an app, with a name of its own or a made-up one, and its first release. Who makes an
/// app of a team works on it.
pub async fn create_as(p: &Platform, actor: &Actor, new: New<'_>) -> Result<OwnedApp> {
    let (change, app) = begin(p, actor, new).await?;
    p.commit(change, created(actor, &app)).await?;
    p.tell(app.id, first_words(actor));
    with_owner(p, app).await
}

/// The event of a new app.
fn created(actor: &Actor, app: &App) -> Event {
    Event::new("app.create", actor.name(), json!({"name": app.name, "stack": app.stack}))
}

/// What the log of a new app begins with.
pub(super) fn first_words(actor: &Actor) -> String {
    format!("Initial release by user {}", actor.name())
}

/// The same, for an app that is made for something: whoever asks adds that to the change, and
/// commits both. Killed in between, nothing is left of either.
pub(super) async fn begin_for(p: &Platform, actor: &Actor, new: New<'_>) -> Result<(Change, App)> {
    let (mut change, app) = begin(p, actor, new).await?;
    change.also(created(actor, &app), app.created_at).await?;
    Ok((change, app))
}

async fn begin(p: &Platform, actor: &Actor, new: New<'_>) -> Result<(Change, App)> {
    let stack = stacks::parse(p, new.stack.unwrap_or(&p.cx.config().stack))?;
    let chosen = new.name.map(AppName::parse).transpose().map_err(|e| Error::invalid(sentence(&e)))?;
    for attempt in 0..20 {
        let name = chosen.clone().unwrap_or_else(|| AppName::random(rand::random::<u64>));
        check_free(p, name.as_str())?;
        let now = p.cx.now();
        let app = App {
            id: new_id(),
            name: name.to_string(),
            owner_id: actor.user.id,
            team_id: new.team,
            locked: new.team.is_some() && new.locked,
            stack: stack.clone(),
            build_stack: stack.clone(),
            maintenance: false,
            buildpack_description: None,
            generation: 0,
            deleting: false,
            last_version: 0,
            repo_size: None,
            slug_size: None,
            route_state: None,
            acm: false,
            acm_chosen: false,
            idle_after: None,
            idle_since: None,
            created_at: now,
            updated_at: now,
            released_at: None,
        };
        let mut tx = p.db.begin().await?;
        match apps::insert(&mut tx, &app).await {
            Ok(()) => {}
            Err(e) if e.is_duplicate() && chosen.is_none() && attempt < 19 => continue,
            Err(e) if e.is_duplicate() => {
                return Err(Error::invalid(format!("Name {name} is already taken.")));
            }
            Err(e) => return Err(e.into()),
        }
        if new.team.is_some() {
            let all = Permission::join(&Permission::ALL);
            apps::add_collaborator(&mut tx, new_id(), (app.id, actor.user.id), Some(&all), now).await?;
        }
        let change = tx.change(app.id).await?;
        let mut change = change.ok_or_else(|| Error::internal("The app was lost.", "no such row in apps"))?;
        releases::insert(p, &mut change, actor, releases::New::first("Initial release")).await?;
        let app = current(&mut change, app.id).await?;
        return Ok((change, app));
    }
    Err(Error::Unavailable("No free name was found. Try again, or give a name.".into()))
}

/// Changes name, maintenance or the stack of the next build.
pub async fn update(p: &Platform, actor: &Actor, app: &App, changes: Changes) -> Result<OwnedApp> {
    let name = changes.name.map(|name| AppName::parse(&name)).transpose().map_err(|e| Error::invalid(sentence(&e)))?;
    let build_stack = changes.build_stack.map(|stack| stacks::parse(p, &stack)).transpose()?;
    if let Some(name) = &name {
        check_free(p, name.as_str())?;
    }
    let mut change = p.change(app.id).await?;
    let mut row = current(&mut change, app.id).await?;
    let mut told = Vec::new();
    if let Some(name) = name.filter(|name| name.as_str() != row.name) {
        told.push(format!("Rename app to {name} by user {}", actor.name()));
        row.name = name.to_string();
    }
    if let Some(on) = changes.maintenance.filter(|on| *on != row.maintenance) {
        told.push(format!("{} maintenance mode by user {}", if on { "Enabled" } else { "Disabled" }, actor.name()));
        row.maintenance = on;
    }
    if let Some(stack) = build_stack.filter(|stack| *stack != row.build_stack) {
        told.push(format!("Upgrade stack from {} to {stack} by user {}", row.build_stack, actor.name()));
        row.build_stack = stack;
    }
    row.updated_at = p.cx.now();
    apps::update(&mut change, &row).await.map_err(|e| {
        if e.is_duplicate() { Error::invalid(format!("Name {} is already taken.", row.name)) } else { e.into() }
    })?;
    let event = json!({"name": row.name, "maintenance": row.maintenance, "build_stack": row.build_stack});
    p.commit(change, Event::new("app.update", actor.name(), event)).await?;
    for line in told {
        p.tell(app.id, line);
    }
    with_owner(p, row).await
}

/// Destroys an app: it is gone for users at once; its dynos, add-ons, network, slugs,
/// repository and logs are removed by the tasks that look after them, however often the
/// daemon is killed in between. Refused while other apps use its add-ons: their data would
/// be gone.
pub async fn destroy(p: &Platform, actor: &Actor, app: &App) -> Result<OwnedApp> {
    destroy_in(p, p.change(app.id).await?, actor, app).await
}

/// The same, in a change that has made sure that it may go.
pub(super) async fn destroy_in(p: &Platform, mut change: Change, actor: &Actor, app: &App) -> Result<OwnedApp> {
    let now = p.cx.now();
    let mut row = current(&mut change, app.id).await?;
    let mut owned = Vec::new();
    for addon in addons::of_app(&mut change, app.id).await? {
        owned.extend(addons::locked(&mut change, addon.id).await?);
    }
    check_unused(&mut change, app).await?;
    row.deleting = true;
    // The names are free again at once: its own, its domains', its certificates'.
    row.name = format!("{}~{}", row.name, row.id.simple());
    row.updated_at = now;
    apps::update(&mut change, &row).await?;
    acme::delete_all(&mut change, app.id).await?;
    domains::delete_all(&mut change, app.id).await?;
    sni_endpoints::delete_all(&mut change, app.id).await?;
    addons::detach_all(&mut change, app.id).await?;
    for mut addon in owned {
        addon.state = "deprovisioning".into();
        addon.updated_at = now;
        addons::update(&mut change, &addon).await?;
    }
    cleanups::insert(&mut change, "app", json!({"app_id": app.id, "name": app.name}), now).await?;
    p.commit(change, Event::new("app.destroy", actor.name(), json!({"name": app.name}))).await?;
    let mut shown = app.clone();
    shown.updated_at = now;
    with_owner(p, shown).await
}

/// That no other app uses the add-ons of one.
pub(super) async fn check_unused(c: &mut Conn, app: &App) -> Result<()> {
    for addon in addons::of_app(c, app.id).await? {
        let others = super::addons::other_apps(c, &addon).await?;
        if addon.state != "deprovisioning" && !others.is_empty() {
            return Err(Error::invalid(format!(
                "The add-on {} of {} is also attached to {}. Detach it there first, or destroy it with: addons:destroy {} --force",
                addon.name,
                app.name,
                others.join(", "),
                addon.name
            )));
        }
    }
    Ok(())
}

/// The app's row as it stands inside a change.
pub(super) async fn current(c: &mut Conn, id: Uuid) -> Result<App> {
    let row = apps::by_id(c, id).await?;
    row.filter(|app| !app.deleting).ok_or_else(|| Error::not_found("app", id.to_string()))
}

/// A typed error of the domain as a sentence: capital first, full stop last.
pub(super) fn sentence(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}

fn check_free(p: &Platform, name: &str) -> Result<()> {
    // These host names are the platform's own.
    if matches!(name, "api" | "git" | "www") {
        return Err(Error::invalid(format!(
            "Name {name} is reserved: {} is the platform's own.",
            p.cx.config().app_host(name)
        )));
    }
    Ok(())
}
