//! Log drains: where an app's lines are sent. `tasks/drains` sends them.

use std::net::IpAddr;

use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform};
use crate::{
    context::new_id,
    error::{Error, Result},
    outbound::{Guard, Target},
    store::{
        addons::{self, Addon},
        apps::{self, App},
        events::Event,
        log_drains::{self, LogDrain},
    },
};

/// Most drains of an app.
pub const MOST: usize = 100;

/// A drain with what is shown of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The drain.
    pub drain: LogDrain,
    /// Its address, which may carry a password.
    pub url: String,
    /// Its app.
    pub app: App,
    /// The add-on that made it, and the app of that.
    pub addon: Option<(Addon, App)>,
}

fn place(id: Uuid) -> String {
    format!("log-drain/{id}")
}

/// The address of a drain. A secret: it may carry a password.
pub fn url(p: &Platform, drain: &LogDrain) -> Result<String> {
    let url = p.cx.sealer().open(&place(drain.id), &drain.url);
    let url = url.map_err(|e| Error::internal("A log drain's address can't be read.", e))?;
    Ok(String::from_utf8_lossy(&url).into_owned())
}

async fn show(p: &Platform, app: &App, rows: Vec<LogDrain>) -> Result<Vec<Shown>> {
    let mut c = p.db.read().await?;
    let mut all = Vec::with_capacity(rows.len());
    for drain in rows {
        let addon = match drain.addon_id {
            Some(id) => addons::by_id(&mut c, id).await?,
            None => None,
        };
        let addon = match addon {
            Some(addon) => apps::by_id(&mut c, addon.app_id).await?.map(|owner| (addon, owner)),
            None => None,
        };
        all.push(Shown { url: url(p, &drain)?, drain, app: app.clone(), addon });
    }
    Ok(all)
}

/// The drains of an app, oldest first.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Shown>> {
    let rows = log_drains::list(&mut p.db.read().await?, app.id).await?;
    show(p, app, rows).await
}

/// Those that an add-on made; `app` is the add-on's own.
pub async fn of_addon(p: &Platform, app: &App, addon: &Addon) -> Result<Vec<Shown>> {
    let rows = log_drains::of_addon(&mut p.db.read().await?, addon.id).await?;
    show(p, app, rows).await
}

fn choose(all: Vec<Shown>, name: &str) -> Result<Shown> {
    let id = name.parse::<Uuid>().ok();
    let is_it = |shown: &Shown| Some(shown.drain.id) == id || shown.drain.token == name || shown.url == name;
    all.into_iter().find(is_it).ok_or_else(gone)
}

fn gone() -> Error {
    Error::not_found("log_drain", "a log drain")
}

/// One of an app, by identity, token or address.
pub async fn find(p: &Platform, app: &App, name: &str) -> Result<Shown> {
    choose(list(p, app).await?, name)
}

/// Reads an address as one of a drain.
fn check(p: &Platform, url: &str) -> Result<Target> {
    let target = Target::parse(url).map_err(|why| {
        Error::invalid(format!("url: this is no address of a log drain ({why}). Use syslog://host:port, syslog+tls://host:port or https://host/path."))
    })?;
    // A name is looked up when it is connected to; an address can be refused now.
    let ip = target.host().parse::<IpAddr>().ok();
    match ip.and_then(|ip| Guard::new(p.cx.config()).refusal((ip, target.port()).into())) {
        Some(why) => Err(Error::invalid(format!("url: {} {why}.", target.host()))),
        None => Ok(target),
    }
}

/// Adds one: it gets every line from now on. `addon` is the add-on that makes it.
pub async fn add(p: &Platform, actor: &Actor, app: &App, addon: Option<&Addon>, url: &str) -> Result<Shown> {
    let target = check(p, url)?;
    let end = p.logs.store().end(app.id).await.map_err(|e| Error::Unavailable(e.to_string()))?;
    let (id, now) = (new_id(), p.cx.now());
    let drain = LogDrain {
        id,
        app_id: app.id,
        addon_id: addon.map(|addon| addon.id),
        token: format!("d.{}", Uuid::new_v4()),
        url: p.cx.sealer().seal(&place(id), url.as_bytes()),
        position: i64::try_from(end).unwrap_or(i64::MAX),
        created_at: now,
        updated_at: now,
    };
    let mut change = p.change(app.id).await?;
    let others = log_drains::list(&mut change, app.id).await?;
    check_free(p, &others, None, url)?;
    if others.len() >= MOST {
        return Err(Error::invalid(format!("You've reached the limit of {MOST} log drains for this app. Remove one.")));
    }
    log_drains::insert(&mut change, &drain).await?;
    let data = json!({"id": id, "token": drain.token, "to": target.shown()});
    p.commit(change, Event::new("log-drain.create", actor.name(), data)).await?;
    p.tell(app.id, format!("Add log drain {} to {} by user {}", drain.token, target.shown(), actor.name()));
    one(p, app, drain).await
}

fn check_free(p: &Platform, others: &[LogDrain], but: Option<Uuid>, address: &str) -> Result<()> {
    for other in others.iter().filter(|other| Some(other.id) != but) {
        if url(p, other)? == address {
            // Heroku's words.
            return Err(Error::invalid("Url has already been taken"));
        }
    }
    Ok(())
}

async fn one(p: &Platform, app: &App, drain: LogDrain) -> Result<Shown> {
    let shown = show(p, app, vec![drain]).await?.pop();
    shown.ok_or_else(gone)
}

/// Sends an add-on's drain elsewhere, found by identity, token or address.
pub async fn update(p: &Platform, actor: &Actor, app: &App, addon: &Addon, name: &str, url: &str) -> Result<Shown> {
    let found = choose(of_addon(p, app, addon).await?, name)?;
    let target = check(p, url)?;
    let sealed = p.cx.sealer().seal(&place(found.drain.id), url.as_bytes());
    let now = p.cx.now();
    let mut change = p.change(found.drain.app_id).await?;
    let others = log_drains::list(&mut change, found.drain.app_id).await?;
    if others.iter().all(|other| other.id != found.drain.id) {
        return Err(gone());
    }
    check_free(p, &others, Some(found.drain.id), url)?;
    log_drains::set_url(&mut change, found.drain.id, &sealed, now).await?;
    let data = json!({"id": found.drain.id, "token": found.drain.token, "to": target.shown()});
    p.commit(change, Event::new("log-drain.update", actor.name(), data)).await?;
    one(p, app, LogDrain { url: sealed, updated_at: now, ..found.drain }).await
}

/// Removes one of a user's; what an add-on made goes with that.
pub async fn remove(p: &Platform, actor: &Actor, app: &App, name: &str) -> Result<Shown> {
    let found = find(p, app, name).await?;
    if let Some((addon, _)) = &found.addon {
        return Err(Error::Forbidden(format!(
            "Log drains added by add-ons can only be removed by removing the add-on: {}.",
            addon.name
        )));
    }
    let mut change = p.change(app.id).await?;
    if !log_drains::delete(&mut change, found.drain.id).await? {
        return Err(gone());
    }
    let data = json!({"id": found.drain.id, "token": found.drain.token});
    p.commit(change, Event::new("log-drain.destroy", actor.name(), data)).await?;
    p.tell(app.id, format!("Remove log drain {} by user {}", found.drain.token, actor.name()));
    Ok(found)
}
