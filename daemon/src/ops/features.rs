//! What can be switched on and off for an app, and what is said of an account in that form.
//!
//! Each of them does something here; Heroku's others are not listed. What can't be switched is
//! listed because clients ask for it, and says so.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform};
use crate::{
    error::{Error, Result},
    store::{
        Conn,
        apps::App,
        events::Event,
        features::{self, AppFeature},
    },
};

/// A switch that there is.
#[derive(Debug)]
pub struct Known {
    /// Heroku's name for it.
    pub name: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Where Heroku's manual tells of it.
    pub doc_url: &'static str,
    /// `general`: settled, listed by `features`; `public`: listed by `labs`.
    pub state: &'static str,
    /// Whether it is on until somebody switches it.
    pub default: bool,
    /// Why it can't be switched, if it can't.
    pub fixed: Option<&'static str>,
}

/// Lines with what dynos use, in the app's log.
pub const LOG_RUNTIME_METRICS: &str = "log-runtime-metrics";

/// New web dynos start before the old ones stop.
pub const PREBOOT: &str = "preboot";

/// Visitors come back to the dyno that answered first.
pub const SESSION_AFFINITY: &str = "http-session-affinity";

/// The router speaks HTTP/2 with dynos.
pub const HTTP2_TO_DYNOS: &str = "http2-to-dynos";

/// Web dynos sleep while nobody asks for the app.
pub const WEB_IDLING: &str = "web-idling";

/// Those of apps, by name.
pub const OF_APPS: [Known; 7] = [
    Known {
        name: "http-routing-2-dot-0",
        display_name: "Router 2.0",
        description: "Route requests as Heroku's Router 2.0 does, HTTP/2 included; always on",
        doc_url: "https://devcenter.heroku.com/articles/http-routing",
        state: "general",
        default: true,
        fixed: Some("http-routing-2-dot-0 is always on: there is no older router here."),
    },
    Known {
        name: SESSION_AFFINITY,
        display_name: "Session affinity",
        description: "Send each visitor to the web dyno that answered first, for as long as it is up",
        doc_url: "https://devcenter.heroku.com/articles/session-affinity",
        state: "general",
        default: false,
        fixed: None,
    },
    Known {
        name: HTTP2_TO_DYNOS,
        display_name: "HTTP/2 to dynos",
        description: "Speak HTTP/2 with web dynos, without TLS and by prior knowledge (h2c), as gRPC needs it",
        // Not one of Heroku's.
        doc_url: "https://devcenter.heroku.com/articles/http-routing",
        state: "general",
        default: false,
        fixed: None,
    },
    Known {
        name: LOG_RUNTIME_METRICS,
        display_name: "Runtime metrics in the log",
        description: "Emit dyno resource usage information into app logs",
        doc_url: "https://devcenter.heroku.com/articles/log-runtime-metrics",
        state: "public",
        default: false,
        fixed: None,
    },
    Known {
        name: PREBOOT,
        display_name: "Preboot",
        description: "Start new web dynos and wait until they answer before the old ones are stopped",
        doc_url: "https://devcenter.heroku.com/articles/preboot",
        state: "general",
        default: true,
        fixed: None,
    },
    Known {
        name: "runtime-dyno-metadata",
        display_name: "Dyno metadata",
        description: "Tell dynos about app, release and commit in HEROKU_ config vars; always on",
        doc_url: "https://devcenter.heroku.com/articles/dyno-metadata",
        state: "public",
        default: true,
        fixed: Some("runtime-dyno-metadata is always on: every dyno gets HEROKU_APP_NAME and its like."),
    },
    Known {
        name: WEB_IDLING,
        display_name: "Web idling",
        description: "Let web dynos sleep after half an hour without a request; the next request wakes them and waits",
        doc_url: "https://devcenter.heroku.com/articles/eco-dyno-hours#dyno-sleeping",
        state: "general",
        default: false,
        fixed: None,
    },
];

/// Those of accounts.
pub const OF_ACCOUNTS: [Known; 1] = [Known {
    name: "dashboard-repositories-api",
    display_name: "Repositories API",
    description: "Ask this API, not another service, about the repositories of pipelines; always on",
    doc_url: "https://devcenter.heroku.com/articles/github-integration",
    state: "public",
    default: true,
    fixed: Some("dashboard-repositories-api is always on: there is no other service here."),
}];

/// A switch as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// Which.
    pub known: &'static Known,
    /// Whose: an app or an account.
    pub of: Uuid,
    /// Whether it is on.
    pub enabled: bool,
    /// When its app or account was made.
    pub created_at: DateTime<Utc>,
    /// When last switched.
    pub updated_at: DateTime<Utc>,
}

static APPS: &[Known] = &OF_APPS;
static ACCOUNTS: &[Known] = &OF_ACCOUNTS;

fn shown(known: &'static Known, app: &App, rows: &[AppFeature]) -> Feature {
    let row = rows.iter().find(|row| row.name == known.name);
    Feature {
        known,
        of: app.id,
        enabled: row.map_or(known.default, |row| row.enabled),
        created_at: app.created_at,
        updated_at: row.map_or(app.created_at, |row| row.updated_at),
    }
}

/// All of an app.
pub async fn of_app(p: &Platform, app: &App) -> Result<Vec<Feature>> {
    let rows = features::list(&mut p.db.read().await?, app.id).await?;
    Ok(APPS.iter().map(|known| shown(known, app, &rows)).collect())
}

/// Whether one is on for an app.
pub async fn is_on(c: &mut Conn, app_id: Uuid, name: &str) -> Result<bool> {
    let default = APPS.iter().any(|known| known.name == name && known.default);
    Ok(features::find(c, app_id, name).await?.map_or(default, |row| row.enabled))
}

/// Since when one is on that has to be switched on.
pub async fn on_since(c: &mut Conn, app_id: Uuid, name: &str) -> Result<Option<DateTime<Utc>>> {
    let row = features::find(c, app_id, name).await?;
    Ok(row.filter(|row| row.enabled).map(|row| row.updated_at))
}

/// One of an app; `is_it` tells it by name or identity.
pub async fn find(p: &Platform, app: &App, name: &str, is_it: impl Fn(&Feature) -> bool) -> Result<Feature> {
    let found = of_app(p, app).await?.into_iter().find(|feature| feature.known.name == name || is_it(feature));
    found.ok_or_else(|| Error::not_found("feature", name))
}

/// Switches one.
pub async fn switch(p: &Platform, actor: &Actor, app: &App, feature: Feature, enabled: bool) -> Result<Feature> {
    let known = feature.known;
    if enabled == feature.enabled {
        return Ok(feature);
    }
    if let Some(why) = known.fixed {
        return Err(Error::invalid(why));
    }
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    features::put(&mut change, app.id, known.name, enabled, now).await?;
    let event = json!({"name": known.name, "enabled": enabled});
    p.commit(change, Event::new("feature.update", actor.name(), event)).await?;
    let word = if enabled { "Enable" } else { "Disable" };
    p.tell(app.id, format!("{word} {} by user {}", known.name, actor.name()));
    Ok(Feature { enabled, updated_at: now, ..feature })
}

/// All of an account.
pub fn of_account(actor: &Actor) -> Vec<Feature> {
    let at = actor.user.created_at;
    let of = actor.user.id;
    ACCOUNTS.iter().map(|known| Feature { known, of, enabled: known.default, created_at: at, updated_at: at }).collect()
}

/// Switches one of an account: all that there are stay as they are, and say why.
pub fn switch_account(feature: Feature, enabled: bool) -> Result<Feature> {
    match feature.known.fixed {
        Some(why) if enabled != feature.enabled => Err(Error::invalid(why)),
        Some(_) | None => Ok(feature),
    }
}
