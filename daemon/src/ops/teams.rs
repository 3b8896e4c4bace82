//! Teams: the built-in one, which everybody is in, and those that administrators make.
//!
//! Who is in one is [`super::members`]' affair, what that allows [`super::access`]'s.

use uuid::Uuid;

use super::{
    Actor, Platform,
    access::{self, Role},
    apps::{self, OwnedApp, Permission},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Conn, StoreError,
        apps::{self as app_rows, App},
        team_members,
        teams::{self, AllowedService, Team},
        users::User,
    },
};

/// What the built-in team is called at first.
pub const BUILT_IN: &str = "default";

/// Names that stand in addresses where a team's would.
const RESERVED: [&str; 3] = ["apps", "invitations", "permissions"];

/// Makes the built-in team, if it is not there yet: at every start.
pub async fn ensure_built_in(p: &Platform) -> Result<()> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    if teams::built_in(&mut tx).await?.is_none() {
        let team = Team {
            id: new_id(),
            name: BUILT_IN.into(),
            built_in: true,
            addons_controls: false,
            created_at: now,
            updated_at: now,
        };
        teams::insert(&mut tx, &team).await?;
    }
    Ok(tx.commit(None).await?)
}

/// A team with what who asks is in it, and whether it is the one they mean where none is named.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The team.
    pub team: Team,
    /// Their role.
    pub role: Role,
    /// Whether it is their default.
    pub default: bool,
}

/// The team of that name or identity, for somebody who is in it or works on one of its apps.
pub async fn find(p: &Platform, actor: &Actor, name: &str) -> Result<Seen> {
    find_in(&mut p.db.read().await?, actor, name).await
}

/// The same, for somebody with one of these roles.
pub async fn find_as(p: &Platform, actor: &Actor, name: &str, roles: &[Role]) -> Result<Seen> {
    let seen = find(p, actor, name).await?;
    check_role(&seen, roles)?;
    Ok(seen)
}

/// Whether somebody has one of these roles.
pub(super) fn check_role(seen: &Seen, roles: &[Role]) -> Result<()> {
    if roles.contains(&seen.role) {
        return Ok(());
    }
    let names: Vec<String> = roles.iter().map(|role| format!("{}s", role.name())).collect();
    Err(Error::Forbidden(format!(
        "Only {} of the team {} may do this; you are a {} of it.",
        names.join(" and "),
        seen.team.name,
        seen.role.name()
    )))
}

pub(super) async fn find_in(c: &mut Conn, actor: &Actor, name: &str) -> Result<Seen> {
    let team = if name.contains('\0') {
        None
    } else {
        match name.parse::<Uuid>() {
            Ok(id) => teams::by_id(c, id).await?,
            Err(_) => teams::by_name(c, name).await?,
        }
    };
    let team = team.ok_or_else(|| Error::not_found("team", name))?;
    let role = access::role_in(c, &team, &actor.user)
        .await?
        .ok_or_else(|| Error::Forbidden(format!("You do not have access to the team {}.", team.name)))?;
    let default = teams::default_of(c, actor.user.id).await?.is_some_and(|default| default.id == team.id);
    Ok(Seen { team, role, default })
}

/// The teams that somebody is in, by name; an administrator is an admin of all.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<Seen>> {
    let mut c = p.db.read().await?;
    let default = teams::default_of(&mut c, actor.user.id).await?.map(|team| team.id);
    let mut all = Vec::new();
    for team in teams::list(&mut c).await? {
        if let Some(role) = access::role_in(&mut c, &team, &actor.user).await? {
            all.push(Seen { default: default == Some(team.id), team, role });
        }
    }
    Ok(all)
}

/// Makes a team; whoever does is its first admin.
pub async fn create(p: &Platform, actor: &Actor, name: &str) -> Result<Seen> {
    let name = check_name(name)?;
    if !actor.user.admin {
        return Err(Error::Forbidden("Only administrators of this platform may make teams.".into()));
    }
    let now = p.cx.now();
    let team = Team { id: new_id(), name, built_in: false, addons_controls: false, created_at: now, updated_at: now };
    let mut tx = p.db.begin().await?;
    teams::insert(&mut tx, &team).await.map_err(|e| taken(e, &team.name))?;
    team_members::put(&mut tx, new_id(), (team.id, actor.user.id), Role::Admin.name(), now).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), team = team.name, "a team was made");
    Ok(Seen { team, role: Role::Admin, default: false })
}

/// Renames a team, or makes it the one that its user means where none is named.
pub async fn update(
    p: &Platform,
    actor: &Actor,
    name: &str,
    new_name: Option<&str>,
    default: Option<bool>,
) -> Result<Seen> {
    let new_name = new_name.map(check_name).transpose()?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let mut seen = find_in(&mut tx, actor, name).await?;
    if let Some(new_name) = new_name.filter(|new_name| *new_name != seen.team.name) {
        check_role(&seen, &[Role::Admin])?;
        tracing::info!(user = actor.name(), team = seen.team.name, name = new_name, "a team was renamed");
        seen.team.name = new_name;
        seen.team.updated_at = now;
        teams::update(&mut tx, &seen.team).await.map_err(|e| taken(e, &seen.team.name))?;
    }
    if let Some(default) = default.filter(|default| *default != seen.default) {
        teams::set_default(&mut tx, actor.user.id, default.then_some(seen.team.id)).await?;
        seen.default = default;
    }
    tx.commit(None).await?;
    Ok(seen)
}

/// Says whether members may add only add-ons of allowed services.
pub async fn set_addons_controls(p: &Platform, actor: &Actor, name: &str, on: bool) -> Result<Team> {
    let mut tx = p.db.begin().await?;
    let mut seen = find_in(&mut tx, actor, name).await?;
    check_role(&seen, &[Role::Admin])?;
    seen.team.addons_controls = on;
    seen.team.updated_at = p.cx.now();
    teams::update(&mut tx, &seen.team).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), team = seen.team.name, on, "add-on controls were set");
    Ok(seen.team)
}

/// Removes a team that has no apps any more.
pub async fn destroy(p: &Platform, actor: &Actor, name: &str) -> Result<Seen> {
    let mut tx = p.db.begin().await?;
    let seen = find_in(&mut tx, actor, name).await?;
    check_role(&seen, &[Role::Admin])?;
    if seen.team.built_in {
        return Err(Error::invalid(format!(
            "{} is the built-in team, which everybody is in: it stays.",
            seen.team.name
        )));
    }
    teams::lock(&mut tx, seen.team.id, p.cx.now()).await?;
    let apps = app_rows::count_of_team(&mut tx, seen.team.id).await?;
    if apps > 0 {
        return Err(Error::invalid(format!(
            "{} still has apps ({apps}, those that are being removed among them). Transfer or destroy them first.",
            seen.team.name
        )));
    }
    let pipelines = crate::store::pipelines::count_of_team(&mut tx, seen.team.id).await?;
    if pipelines > 0 {
        return Err(Error::invalid(format!(
            "{} still has pipelines ({pipelines}). Transfer or destroy them first.",
            seen.team.name
        )));
    }
    teams::delete(&mut tx, seen.team.id).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), team = seen.team.name, "a team was removed");
    Ok(seen)
}

/// The apps of a team that who asks may know of; those they can't see yet are among them, so that
/// they can ask to be added. Each with whether they work on it.
pub async fn apps(p: &Platform, seen: &Seen, actor: &Actor) -> Result<Vec<(OwnedApp, bool)>> {
    let mut c = p.db.read().await?;
    let mut found = app_rows::of_team(&mut c, seen.team.id).await?;
    let joined = app_rows::joined(&mut c, actor.user.id).await?;
    if seen.role == Role::Collaborator {
        found.retain(|app| joined.contains(&app.id));
    }
    let owned = apps::with_owners(&mut c, found).await?;
    Ok(owned
        .into_iter()
        .map(|owned| {
            let has_joined = joined.contains(&owned.app.id);
            (owned, has_joined)
        })
        .collect())
}

/// Makes an app of a team: the one named, else the default one of who makes it, if they have
/// chosen one that they may make apps in. Without any it is their own.
pub async fn create_app(
    p: &Platform,
    actor: &Actor,
    team: Option<&str>,
    personal: bool,
    new: apps::New<'_>,
) -> Result<OwnedApp> {
    let team = team_of_new(p, actor, team, personal, new.locked).await?;
    apps::create_as(p, actor, apps::New { team, ..new }).await
}

/// The team that a new app is to belong to; none: to who makes it.
pub(super) async fn team_of_new(
    p: &Platform,
    actor: &Actor,
    team: Option<&str>,
    personal: bool,
    locked: bool,
) -> Result<Option<Uuid>> {
    let makers = [Role::Admin, Role::Member];
    let chosen = match (team, personal) {
        (Some(_), true) => return Err(Error::invalid("personal: an app is either one's own or a team's.")),
        (Some(name), false) => Some(find_as(p, actor, name, &makers).await?.team),
        (None, true) => None,
        (None, false) => {
            let mut c = p.db.read().await?;
            match teams::default_of(&mut c, actor.user.id).await? {
                Some(team) => {
                    let role = access::role_in(&mut c, &team, &actor.user).await?;
                    role.is_some_and(|role| makers.contains(&role)).then_some(team)
                }
                None => None,
            }
        }
    };
    if chosen.is_none() && locked {
        return Err(Error::invalid("locked: only an app of a team can be locked."));
    }
    Ok(chosen.map(|team| team.id))
}

/// The add-on services that members of a team may use.
pub async fn services(p: &Platform, seen: &Seen) -> Result<Vec<AllowedService>> {
    Ok(teams::services(&mut p.db.read().await?, seen.team.id).await?)
}

/// Allows one more; all of them then.
pub async fn allow_service(p: &Platform, actor: &Actor, seen: &Seen, service: &str) -> Result<Vec<AllowedService>> {
    check_role(seen, &[Role::Admin])?;
    let row = AllowedService {
        id: new_id(),
        team_id: seen.team.id,
        service: service.to_owned(),
        added_by_id: actor.user.id,
        added_by: actor.user.email.clone(),
        added_at: p.cx.now(),
    };
    let mut tx = p.db.begin().await?;
    match teams::allow_service(&mut tx, &row).await {
        Ok(()) => tx.commit(None).await?,
        // Said twice is said once.
        Err(e) if e.is_duplicate() => drop(tx),
        Err(e) => return Err(e.into()),
    }
    services(p, seen).await
}

/// Takes one back, found by identity or name.
pub async fn forbid_service(p: &Platform, seen: &Seen, name: &str) -> Result<AllowedService> {
    check_role(seen, &[Role::Admin])?;
    let found = services(p, seen).await?.into_iter().find(|row| row.id.to_string() == name || row.service == name);
    let row = found.ok_or_else(|| Error::not_found("allowed add-on service", name))?;
    let mut tx = p.db.begin().await?;
    teams::forbid_service(&mut tx, row.id).await?;
    tx.commit(None).await?;
    Ok(row)
}

/// Refuses an add-on that the app's team lets only its admins add.
pub async fn check_addon(p: &Platform, actor: &Actor, app: &App, service: &str) -> Result<()> {
    let mut c = p.db.read().await?;
    let Some(team_id) = app.team_id else { return Ok(()) };
    let Some(team) = teams::by_id(&mut c, team_id).await?.filter(|team| team.addons_controls) else { return Ok(()) };
    let role = access::role_in(&mut c, &team, &actor.user).await?;
    if role == Some(Role::Admin) || teams::services(&mut c, team.id).await?.iter().any(|row| row.service == service) {
        return Ok(());
    }
    Err(Error::Forbidden(format!("{service} is not among the add-on services that the team {} allows.", team.name)))
}

/// An app with all who may do something with it.
pub type Permitted = (App, Vec<(User, Vec<Permission>)>);

/// Who may do what with the apps of a team: its admins and who works on each.
pub async fn permissions(p: &Platform, seen: &Seen) -> Result<Vec<Permitted>> {
    let admins: Vec<_> = super::members::list(p, seen)
        .await?
        .into_iter()
        .filter(|member| member.role == Role::Admin)
        .map(|member| member.user)
        .collect();
    let mut c = p.db.read().await?;
    let mut all = Vec::new();
    for app in app_rows::of_team(&mut c, seen.team.id).await? {
        let mut users: Vec<_> = admins.iter().map(|user| (user.clone(), Permission::ALL.to_vec())).collect();
        for row in app_rows::collaborators(&mut c, app.id).await? {
            if !admins.iter().any(|user| user.id == row.user.id) {
                users.push((row.user, Permission::kept(row.permissions.as_deref())));
            }
        }
        all.push((app, users));
    }
    Ok(all)
}

fn check_name(name: &str) -> Result<String> {
    let letter = |c: char| c.is_ascii_lowercase();
    let good = (2..=30).contains(&name.len())
        && name.starts_with(letter)
        && !name.ends_with('-')
        && name.chars().all(|c| letter(c) || c.is_ascii_digit() || c == '-');
    if !good {
        return Err(Error::invalid(format!(
            "name: {name:?} can't be a team's. It begins with a letter, has 2 to 30 lower-case letters, digits and hyphens, and does not end with a hyphen."
        )));
    }
    if RESERVED.contains(&name) {
        return Err(Error::invalid(format!("name: {name} is reserved: it has a meaning of its own in addresses.")));
    }
    Ok(name.to_owned())
}

fn taken(error: StoreError, name: &str) -> Error {
    if error.is_duplicate() { Error::invalid(format!("Name {name} is already taken.")) } else { error.into() }
}
