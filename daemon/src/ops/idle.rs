//! Idling, Heroku's way of its smallest dynos: the web dynos of an app that nobody has asked for
//! sleep, and its first request wakes them. An app has to want it (the feature `web-idling`).
//!
//! That an app sleeps is a mark with a time in its row. A release, a restart, a change of the web
//! formation or of the feature that comes after that time makes the mark void: nobody who changes
//! an app needs to know of sleep.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Utc};
use paas_domain::plan::DynoKind;
use serde_json::json;
use uuid::Uuid;

use super::{Platform, features, releases};
use crate::{
    error::Result,
    store::{
        self, Conn,
        apps::{self, App},
        dynos::{self, Dyno},
        events::Event,
        formations::{self, Formation},
        releases::Release,
    },
};

/// Minutes without a request before web dynos sleep, where the app says nothing else. Heroku: 30.
pub const DEFAULT_MINUTES: i64 = 30;

/// The minutes that can be set: up to 30 days.
pub const MINUTES: RangeInclusive<i64> = 1..=30 * 24 * 60;

/// What a web dyno that sleeps would run.
struct Asleep {
    since: DateTime<Utc>,
    web: Formation,
    release: Release,
}

/// The time without a request after which an app's web dynos sleep, where it has `web-idling` on.
pub fn after(app: &App) -> Duration {
    Duration::from_secs(u64::try_from(app.idle_after.unwrap_or(DEFAULT_MINUTES * 60)).unwrap_or_default())
}

/// Since when an app's web dynos sleep, if they do.
pub async fn since(c: &mut Conn, app: &App) -> Result<Option<DateTime<Utc>>> {
    Ok(asleep(c, app).await?.map(|asleep| asleep.since))
}

async fn asleep(c: &mut Conn, app: &App) -> Result<Option<Asleep>> {
    let Some(since) = app.idle_since else { return Ok(None) };
    if features::on_since(c, app.id, features::WEB_IDLING).await?.is_none_or(|at| at > since) {
        return Ok(None);
    }
    let web = formations::find(c, app.id, "web").await?.filter(|web| web.quantity > 0 && web.updated_at <= since);
    let release = store::releases::running(c, app.id).await?.filter(|release| release.updated_at <= since);
    Ok(web.zip(release).map(|(web, release)| Asleep { since, web, release }))
}

/// Puts an app's web dynos to sleep, which the router says have had no request for its time.
/// Gives when to ask again, if it was too early: dynos that a user has just started are given
/// their time, too.
pub async fn sleep(p: &Platform, app_id: Uuid) -> Result<Option<Duration>> {
    let now = p.cx.now();
    let mut change = p.change(app_id).await?;
    let Some(app) = apps::by_id(&mut change, app_id).await? else { return Ok(None) };
    let wanted = features::is_on(&mut change, app_id, features::WEB_IDLING).await? && !app.deleting;
    let web = formations::find(&mut change, app_id, "web").await?.filter(|web| web.quantity > 0);
    if !wanted || web.is_none() || since(&mut change, &app).await?.is_some() {
        return Ok(None);
    }
    let rows: Vec<Dyno> = dynos::list(&mut change, app_id).await?.into_iter().filter(is_web).collect();
    // Those that only come back from a crash have had it before.
    let newest = rows.iter().filter(|dyno| dyno.crashes == 0).map(|dyno| dyno.created_at).max();
    let age = newest.map_or(Duration::MAX, |at| (now - at).to_std().unwrap_or_default());
    if age < after(&app) {
        return Ok(Some(after(&app) - age));
    }
    apps::set_idle_since(&mut change, app_id, Some(now)).await?;
    p.commit(change, Event::new("dyno.idle", "paas", json!({"type": "web"}))).await?;
    for dyno in rows.iter().filter(|dyno| dyno.phase == "up") {
        p.logs.platform(app_id, &dyno.name(), "Idling");
    }
    Ok(None)
}

/// Wakes an app whose first request has come; whether it slept.
pub async fn wake(p: &Platform, app_id: Uuid) -> Result<bool> {
    let mut c = p.db.read().await?;
    let sleeps = match apps::by_id(&mut c, app_id).await? {
        Some(app) => since(&mut c, &app).await?.is_some(),
        None => false,
    };
    drop(c);
    if !sleeps {
        return Ok(false);
    }
    let mut change = p.change(app_id).await?;
    let Some(app) = apps::by_id(&mut change, app_id).await? else { return Ok(false) };
    // Somebody may have been faster.
    let Some(asleep) = asleep(&mut change, &app).await? else { return Ok(false) };
    let left = dynos::list(&mut change, app_id).await?;
    apps::set_idle_since(&mut change, app_id, None).await?;
    p.commit(change, Event::new("dyno.wake", "paas", json!({"type": "web"}))).await?;
    for number in 1..=asleep.web.quantity {
        let name = format!("web.{number}");
        p.logs.platform(app_id, &name, "Unidling");
        if !left.iter().any(|dyno| dyno.name() == name && dyno.phase == "up") {
            p.logs.platform(app_id, &name, "State changed from down to starting");
        }
    }
    Ok(true)
}

/// The dynos of an app as its users see them, out of their `rows`: where web dynos sleep, those
/// stand for what is left of their last run.
pub(super) async fn shown(c: &mut Conn, app: &App, rows: Vec<Dyno>) -> Result<Vec<Dyno>> {
    let Some(asleep) = asleep(c, app).await? else { return Ok(rows) };
    let slug = releases::slug_of(c, &asleep.release).await?;
    let command = slug.and_then(|slug| slug.process_types.get("web").cloned()).unwrap_or_default();
    let mut shown: Vec<Dyno> = rows.into_iter().filter(|dyno| !is_web(dyno)).collect();
    shown.extend((1..=asleep.web.quantity).map(|number| asleep.dyno(app, number, &command)));
    shown.sort_by(|a, b| a.process_type.cmp(&b.process_type).then(a.number.cmp(&b.number)));
    Ok(shown)
}

fn is_web(dyno: &Dyno) -> bool {
    dyno.kind == "formation" && dyno.process_type == "web"
}

impl Asleep {
    fn dyno(&self, app: &App, number: i64, command: &str) -> Dyno {
        let id = super::stacks::stable_id("idle dyno", &format!("{}/web.{number}", app.id));
        Dyno {
            size: self.web.size.clone(),
            command: command.to_owned(),
            epoch: self.web.epoch,
            phase: "idle".into(),
            ..Dyno::new(id, &self.release, DynoKind::Formation, "web", number, self.since)
        }
    }
}
