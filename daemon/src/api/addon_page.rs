//! `/addons/{addon}/dashboard`: an add-on as a page for a browser, which is what its `web_url`
//! leads to. It has no secrets: who works on the app has those in the config vars.

use std::fmt::Write as _;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::TimeDelta;
use uuid::Uuid;

use super::{
    endpoints::{Endpoints, Html},
    error::ApiResult,
    extract::{Form, Path, Peer, Query},
    pages::{self, Ask, Said, escape},
};
use crate::{
    error::{Error, Result},
    ops::{
        self, Platform,
        addons::Shown,
        addresses::{self, Key},
    },
    store,
};

/// What the addresses of [`sign`] are good for.
const PURPOSE: &str = "addon/dashboard";

/// How long such an address lasts: one goes there at once.
const LASTS: TimeDelta = TimeDelta::minutes(5);

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/addons/{addon}/dashboard", ask).post("/addons/{addon}/dashboard", answer)
}

/// The address that leads to the page at once, without logging in there.
pub(super) fn sign(p: &Platform, shown: &Shown) -> String {
    format!("{}?{}", shown.dashboard, addresses::sign(p, PURPOSE, shown.addon.id, LASTS))
}

fn form(p: &Platform, headers: &HeaderMap, again: Option<(StatusCode, String, &str)>) -> Response {
    let (status, problem, email) = match again {
        Some((status, problem, email)) => (status, Some(problem), email),
        None => (StatusCode::OK, None, ""),
    };
    let about = "<p>Who may see its app may see it.</p>".to_owned();
    let title = "Log in to see this add-on";
    Ask { title, about, hidden: &[], yes: "Log in", problem, email, leads_to: None }.show(p, headers, status)
}

async fn ask(
    State(p): State<Platform>,
    headers: HeaderMap,
    Path(addon): Path<String>,
    Query(key): Query<Key>,
) -> ApiResult<Html> {
    let id = addon.parse::<Uuid>().ok().filter(|id| addresses::is_key(&p, PURPOSE, *id, &key));
    let Some(id) = id else { return Ok(Html(form(&p, &headers, None))) };
    let row = store::addons::by_id(&mut p.db.read().await?, id).await.map_err(Error::from)?;
    Ok(Html(match row {
        Some(row) => page(&p, &ops::addons::show(&p, row).await?)?,
        None => missing(),
    }))
}

async fn answer(
    State(p): State<Platform>,
    headers: HeaderMap,
    Peer(peer): Peer,
    Path(addon): Path<String>,
    form: Form,
) -> ApiResult<Html> {
    let actor = match pages::said(&p, &headers, &peer, &form).await? {
        Said::Yes(actor) => actor,
        Said::No => return Ok(Html(pages::message(StatusCode::OK, "Cancelled", "Nothing was shown."))),
        Said::Again(status, problem) => {
            return Ok(Html(self::form(&p, &headers, Some((status, problem, form.get("email"))))));
        }
    };
    Ok(Html(match ops::addons::find(&p, &actor, None, &addon).await {
        Ok(shown) => page(&p, &shown)?,
        Err(Error::NotFound(_) | Error::Forbidden(_)) => missing(),
        Err(error) => return Err(error.into()),
    }))
}

fn missing() -> Response {
    let text = "There is no such add-on, or it is of an app that you don't work on. `paas addons --all` lists yours.";
    pages::message(StatusCode::NOT_FOUND, "This add-on can't be shown", text)
}

fn page(p: &Platform, shown: &Shown) -> Result<Response> {
    let (addon, plan, service) = (&shown.addon, shown.plan, shown.provider.service());
    let secrets = ops::config::open_addon(p, addon)?;
    let sold_as = addon.sold_as.as_deref().unwrap_or(&addon.service);
    let mut rows = vec![
        ("Service", service.human_name.to_owned()),
        ("Plan", format!("{sold_as}:{} ({} MB, {} connections)", plan.name, plan.memory_mib, plan.connections)),
        ("State", addon.state.clone()),
        ("App", shown.app.name.clone()),
        ("Made", addon.created_at.format("%Y-%m-%d %H:%M UTC").to_string()),
        ("Config vars", shown.config_vars.join(", ")),
    ];
    let attached = shown.attachments.iter().map(|(attachment, app)| format!("{} as {}", app.name, attachment.name));
    rows.push(("Attached to", attached.collect::<Vec<_>>().join(", ")));
    let options = shown.provider.options(&secrets);
    rows.extend(options.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let mut inside = String::from("<dl>");
    for (name, value) in rows {
        let value = if value.is_empty() { "–".to_owned() } else { escape(&value) };
        let _ = write!(inside, "<dt>{}</dt><dd>{value}</dd>", escape(name));
    }
    let name = escape(&addon.name);
    let _ = write!(
        inside,
        "</dl><p class=\"small\">More: <code>paas addons:info {name}</code> · <code>paas redis:info {name}</code> · \
         <code>paas redis:cli {name}</code></p>"
    );
    Ok(pages::page(StatusCode::OK, &addon.name, &inside, None))
}
