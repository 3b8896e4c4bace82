//! Apps that change hands: from account to account when who gets it agrees, and to and from
//! teams at once.

use serde_json::json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    access::{self, Role},
    apps::{self as app_ops, OwnedApp, Permission, check},
    teams,
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Change, Conn,
        apps::{self, App},
        events::Event,
        teams::Team,
        transfers::{self, Transfer},
        users::{self, User},
    },
};

/// A transfer with all that is shown of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The transfer.
    pub row: Transfer,
    /// The app.
    pub app: App,
    /// Who gives it.
    pub owner: User,
    /// Who is to have it.
    pub recipient: User,
}

async fn show(c: &mut Conn, row: Transfer) -> Result<Shown> {
    let gone = || Error::not_found("app_transfer", row.id.to_string());
    let app = apps::by_id(c, row.app_id).await?.filter(|app| !app.deleting).ok_or_else(gone)?;
    let owner = users::by_id(c, row.owner_id).await?.ok_or_else(gone)?;
    let recipient = users::by_id(c, row.recipient_id).await?.ok_or_else(gone)?;
    Ok(Shown { row, app, owner, recipient })
}

/// The transfers that somebody gives or is to have, oldest first.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<Shown>> {
    let mut c = p.db.read().await?;
    let mut all = Vec::new();
    for row in transfers::of_user(&mut c, actor.user.id).await? {
        all.push(show(&mut c, row).await?);
    }
    Ok(all)
}

/// One of them, by its identity or by its app's name or identity: the newest then.
pub async fn find(p: &Platform, actor: &Actor, name: &str) -> Result<Shown> {
    let mut c = p.db.read().await?;
    let none = || Error::not_found("app_transfer", name);
    let by_id = match name.parse::<Uuid>() {
        Ok(id) => transfers::by_id(&mut c, id).await?,
        Err(_) => None,
    };
    let row = match by_id {
        Some(row) => row,
        None => {
            let app = app_ops::by_name(&mut c, name)
                .await
                .map_err(|error| if let Error::NotFound(_) = error { none() } else { error })?;
            transfers::newest(&mut c, app.id).await?.ok_or_else(none)?
        }
    };
    if ![row.owner_id, row.recipient_id].contains(&actor.user.id) && !actor.user.admin {
        return Err(none());
    }
    show(&mut c, row).await
}

/// Offers an app of one's own to somebody. Who takes it for themselves, as an administrator can,
/// has it at once. The same offer made again is the first one.
pub async fn create(p: &Platform, actor: &Actor, app: &App, recipient: &str) -> Result<Shown> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let mut app = app_ops::current(&mut change, app.id).await?;
    check(&mut change, actor, &app, &[Permission::Manage]).await?;
    if app.team_id.is_some() {
        return Err(Error::invalid(format!(
            "{} belongs to a team: it is transferred at once, with PATCH /teams/apps/{}.",
            app.name, app.name
        )));
    }
    let to = access::find_user(&mut change, actor, recipient).await?;
    if to.id == app.owner_id {
        return Err(Error::invalid(format!("recipient: {} is the owner of {} already.", to.email, app.name)));
    }
    if let Some(row) = transfers::pending(&mut change, app.id).await? {
        let other = users::by_id(&mut change, row.recipient_id).await?.map(|user| user.email).unwrap_or_default();
        if row.recipient_id != to.id {
            return Err(Error::invalid(format!(
                "{} is already being transferred to {other}. Cancel that first.",
                app.name
            )));
        }
        return show(&mut change, row).await;
    }
    let mut row = Transfer {
        id: new_id(),
        app_id: app.id,
        owner_id: app.owner_id,
        recipient_id: to.id,
        state: "pending".into(),
        created_at: now,
        updated_at: now,
    };
    if to.id == actor.user.id {
        row.state = "accepted".into();
        hand_over(p, &mut change, &mut app, &to).await?;
    }
    transfers::insert(&mut change, &row).await?;
    let shown = show(&mut change, row).await?;
    let data = json!({"recipient": to.email, "state": shown.row.state});
    p.commit(change, Event::new("app_transfer.create", actor.name(), data)).await?;
    p.tell(app.id, format!("Transfer to {} by user {} ({})", to.email, actor.name(), shown.row.state));
    Ok(shown)
}

/// Takes what was offered, or says that one doesn't want it; only who it was offered to may.
pub async fn answer(p: &Platform, actor: &Actor, shown: &Shown, accept: bool) -> Result<Shown> {
    if shown.row.recipient_id != actor.user.id {
        return Err(Error::Forbidden(format!("Only {} may accept or decline this transfer.", shown.recipient.email)));
    }
    let state = if accept { "accepted" } else { "declined" };
    let now = p.cx.now();
    let mut change = p.change(shown.row.app_id).await?;
    let mut app = app_ops::current(&mut change, shown.row.app_id).await?;
    let row = transfers::by_id(&mut change, shown.row.id).await?;
    let row = row.ok_or_else(|| Error::not_found("app_transfer", shown.row.id.to_string()))?;
    if row.state == state {
        return show(&mut change, row).await;
    }
    if row.state != "pending" {
        return Err(Error::invalid(format!("state: this transfer was {} already.", row.state)));
    }
    transfers::set_state(&mut change, row.id, state, now).await?;
    if accept {
        hand_over(p, &mut change, &mut app, &actor.user).await?;
    }
    let row = Transfer { state: state.into(), updated_at: now, ..row };
    let shown = show(&mut change, row).await?;
    let data = json!({"recipient": shown.recipient.email, "state": state});
    p.commit(change, Event::new("app_transfer.update", actor.name(), data)).await?;
    p.tell(app.id, format!("Transfer to {} {state} by user {}", shown.recipient.email, actor.name()));
    Ok(shown)
}

/// Takes an offer back.
pub async fn cancel(p: &Platform, actor: &Actor, shown: &Shown) -> Result<Shown> {
    let mut change = p.change(shown.row.app_id).await?;
    let app = app_ops::current(&mut change, shown.row.app_id).await?;
    check(&mut change, actor, &app, &[Permission::Manage]).await?;
    let row = transfers::by_id(&mut change, shown.row.id).await?;
    let row = row.ok_or_else(|| Error::not_found("app_transfer", shown.row.id.to_string()))?;
    if row.state != "pending" {
        return Err(Error::invalid(format!("This transfer was {} already.", row.state)));
    }
    transfers::delete(&mut change, row.id).await?;
    let shown = show(&mut change, row).await?;
    let data = json!({"recipient": shown.recipient.email});
    p.commit(change, Event::new("app_transfer.destroy", actor.name(), data)).await?;
    p.tell(app.id, format!("Cancel transfer to {} by user {}", shown.recipient.email, actor.name()));
    Ok(shown)
}

/// From one account to another: who had the app goes on working on it.
async fn hand_over(p: &Platform, change: &mut Change, app: &mut App, to: &User) -> Result<()> {
    let now = p.cx.now();
    let before = app.owner_id;
    apps::remove_collaborator(change, app.id, to.id).await?;
    apps::remove_collaborator(change, app.id, before).await?;
    apps::add_collaborator(change, new_id(), (app.id, before), None, now).await?;
    app.owner_id = to.id;
    app.updated_at = now;
    Ok(apps::update(change, app).await?)
}

/// Whom an app shall belong to.
enum To {
    Team(Team),
    Account(User),
}

/// Gives an app to a team, or a team's app to an account, at once. From account to account goes
/// by [`create`] only: who gets it must agree, unless it is who asks.
pub async fn transfer(p: &Platform, actor: &Actor, app: &App, owner: &str) -> Result<OwnedApp> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let mut app = app_ops::current(&mut change, app.id).await?;
    check(&mut change, actor, &app, &[Permission::Manage]).await?;
    let to = recipient(&mut change, actor, owner).await?;
    let name = match &to {
        To::Team(team) if app.team_id == Some(team.id) => {
            return Err(Error::invalid(format!("owner: {} belongs to {} already.", app.name, team.name)));
        }
        To::Team(team) => {
            if app.team_id.is_none() {
                // What they could do they still can; its owner is one of those who work on it now.
                let usual = Permission::join(&Permission::USUAL);
                for row in apps::collaborators(&mut change, app.id).await? {
                    apps::set_permissions(&mut change, (app.id, row.user.id), Some(&usual), now).await?;
                }
                let all = Permission::join(&Permission::ALL);
                let id = (app.id, app.owner_id);
                if !apps::set_permissions(&mut change, id, Some(&all), now).await? {
                    apps::add_collaborator(&mut change, new_id(), id, Some(&all), now).await?;
                }
            }
            app.team_id = Some(team.id);
            team.name.clone()
        }
        To::Account(user) if app.team_id.is_none() => {
            if user.id == app.owner_id {
                return Err(Error::invalid(format!("owner: {} is the owner of {} already.", user.email, app.name)));
            }
            if user.id != actor.user.id {
                return Err(Error::invalid(format!(
                    "owner: {} has to agree to that. Offer {} with: paas apps:transfer {} --app {}",
                    user.email, app.name, user.email, app.name
                )));
            }
            hand_over(p, &mut change, &mut app, user).await?;
            user.email.clone()
        }
        To::Account(user) => {
            apps::remove_collaborators(&mut change, app.id).await?;
            app.team_id = None;
            app.locked = false;
            app.owner_id = user.id;
            user.email.clone()
        }
    };
    app.updated_at = now;
    apps::update(&mut change, &app).await?;
    transfers::withdraw(&mut change, app.id).await?;
    p.commit(change, Event::new("app.transfer", actor.name(), json!({"name": app.name, "owner": name}))).await?;
    p.tell(app.id, format!("Transfer to {name} by user {}", actor.name()));
    app_ops::with_owner(p, app).await
}

/// Accounts go by address, identity or `~`, teams by name or identity.
async fn recipient(c: &mut Conn, actor: &Actor, owner: &str) -> Result<To> {
    match access::find_user(c, actor, owner).await {
        Ok(user) => return Ok(To::Account(user)),
        Err(Error::NotFound(_)) if owner.contains('@') => return Err(Error::not_found("user", owner)),
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let seen = teams::find_in(c, actor, owner).await?;
    teams::check_role(&seen, &[Role::Admin, Role::Member])?;
    Ok(To::Team(seen.team))
}

/// Lets members of its team join an app by themselves, or no longer.
pub async fn set_locked(p: &Platform, actor: &Actor, app: &App, locked: bool) -> Result<OwnedApp> {
    let mut change = p.change(app.id).await?;
    let mut app = app_ops::current(&mut change, app.id).await?;
    check(&mut change, actor, &app, &[Permission::Manage]).await?;
    if app.team_id.is_none() {
        return Err(Error::invalid(format!("locked: {} belongs to no team, so nobody can join it.", app.name)));
    }
    if app.locked != locked {
        app.locked = locked;
        app.updated_at = p.cx.now();
        apps::update(&mut change, &app).await?;
        let kind = if locked { "app.lock" } else { "app.unlock" };
        p.commit(change, Event::new(kind, actor.name(), json!({"name": app.name, "locked": locked}))).await?;
        p.tell(app.id, format!("{} by user {}", if locked { "Lock" } else { "Unlock" }, actor.name()));
    }
    app_ops::with_owner(p, app).await
}
