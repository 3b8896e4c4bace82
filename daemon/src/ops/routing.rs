//! How the router treats an app: its time limits, how many requests at once, how a dyno is
//! chosen, HTTPS. What is not set is as for all apps, which is as Heroku has it.

use std::{fmt::Write as _, ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Utc};
use paas_domain::route::{Balancing, Hsts, Rules, usual};
use serde_json::json;

use super::{Actor, Platform, features, idle};
use crate::{
    error::{Error, Result},
    store::{
        apps::{self, App},
        events::Event,
        routing::{self, AppRouting},
    },
};

/// What browsers' built-in lists of HTTPS names ask for (hstspreload.org), seconds: a year.
const PRELOAD_AGE: i64 = 31_536_000;

/// A value that was given: `Some(None)` takes the app's own away.
type Given<T> = Option<Option<T>>;

/// What is to change; what is not given stays.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Milliseconds.
    pub connect_ms: Given<i64>,
    /// Milliseconds.
    pub queue_ms: Given<i64>,
    /// Milliseconds.
    pub first_byte_ms: Given<i64>,
    /// Milliseconds.
    pub idle_ms: Given<i64>,
    /// Requests at once for each web dyno.
    pub concurrency: Given<i64>,
    /// `random` or `least-connections`.
    pub balancing: Given<String>,
    /// Whether plain HTTP is answered with a redirect.
    pub https_only: Given<bool>,
    /// Seconds.
    pub hsts_max_age: Given<i64>,
    /// Needs `hsts_max_age`.
    pub hsts_include_subdomains: Given<bool>,
    /// Needs both.
    pub hsts_preload: Given<bool>,
    /// Time without a request after which web dynos may sleep, milliseconds.
    pub idle_after_ms: Given<i64>,
}

/// How an app is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What counts now, with what is usual filled in.
    pub rules: Rules,
    /// The time without a request after which web dynos sleep, where they may.
    pub idle_after: Duration,
    /// Whether they may.
    pub web_idling: bool,
    /// The fields that the app has for itself, by their names in the API.
    pub own: Vec<&'static str>,
    /// When last changed, if ever.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A number that was kept; it was checked before.
fn number(kept: Option<i64>) -> Option<u64> {
    kept.and_then(|kept| u64::try_from(kept).ok())
}

/// What was set, as the router reads it: without affinity and HTTP/2, which are features.
pub fn rules(row: &AppRouting) -> Rules {
    Rules {
        connect_ms: number(row.connect_ms),
        queue_ms: number(row.queue_ms),
        first_byte_ms: number(row.first_byte_ms),
        idle_ms: number(row.idle_ms),
        concurrency: row.concurrency.and_then(|kept| u32::try_from(kept).ok()),
        balancing: row.balancing.as_deref().and_then(Balancing::parse).unwrap_or_default(),
        affinity: false,
        http2: false,
        https_only: row.https_only.unwrap_or_default(),
        hsts: number(row.hsts_max_age).map(|max_age| Hsts {
            max_age,
            include_subdomains: row.hsts_include_subdomains.unwrap_or_default(),
            preload: row.hsts_preload.unwrap_or_default(),
        }),
    }
}

fn own(row: &AppRouting) -> Vec<&'static str> {
    let fields = [
        ("connect_ms", row.connect_ms.is_some()),
        ("queue_ms", row.queue_ms.is_some()),
        ("first_byte_ms", row.first_byte_ms.is_some()),
        ("idle_ms", row.idle_ms.is_some()),
        ("concurrency", row.concurrency.is_some()),
        ("balancing", row.balancing.is_some()),
        ("https_only", row.https_only.is_some()),
        ("hsts_max_age", row.hsts_max_age.is_some()),
        ("hsts_include_subdomains", row.hsts_include_subdomains.is_some()),
        ("hsts_preload", row.hsts_preload.is_some()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

/// How an app is treated now.
pub async fn show(p: &Platform, app: &App) -> Result<Shown> {
    let mut c = p.db.read().await?;
    let row = routing::of_app(&mut c, app.id).await?;
    let app = apps::by_id(&mut c, app.id).await?.ok_or_else(|| Error::not_found("app", app.name.as_str()))?;
    let mut own = row.as_ref().map(own).unwrap_or_default();
    own.extend(app.idle_after.map(|_| "idle_after_ms"));
    let mut rules = row.as_ref().map(rules).unwrap_or_default();
    rules.connect_ms.get_or_insert(usual::CONNECT_MS);
    rules.queue_ms.get_or_insert(usual::QUEUE_MS);
    rules.first_byte_ms.get_or_insert(usual::FIRST_BYTE_MS);
    rules.idle_ms.get_or_insert(usual::IDLE_MS);
    rules.concurrency.get_or_insert(usual::CONCURRENCY);
    rules.affinity = features::is_on(&mut c, app.id, features::SESSION_AFFINITY).await?;
    rules.http2 = features::is_on(&mut c, app.id, features::HTTP2_TO_DYNOS).await?;
    let web_idling = features::is_on(&mut c, app.id, features::WEB_IDLING).await?;
    Ok(Shown { rules, idle_after: idle::after(&app), web_idling, own, updated_at: row.map(|row| row.updated_at) })
}

/// Takes a number that was given if it is one of those that are allowed.
fn take(
    kept: &mut Option<i64>,
    given: Given<i64>,
    field: &str,
    allowed: RangeInclusive<i64>,
    words: &str,
) -> Result<()> {
    if let Some(given) = given {
        if let Some(value) = given
            && !allowed.contains(&value)
        {
            return Err(Error::invalid(format!("{field}: must be {words}; {value} is not.")));
        }
        *kept = given;
    }
    Ok(())
}

fn apply(row: &mut AppRouting, changes: Changes) -> Result<()> {
    let milliseconds = "milliseconds, ";
    let of = |from: &str, to: &str| format!("{milliseconds}{from} to {to}");
    take(&mut row.connect_ms, changes.connect_ms, "connect_ms", 100..=60_000, &of("100", "60000 (0.1 s to 1 minute)"))?;
    take(&mut row.queue_ms, changes.queue_ms, "queue_ms", 1_000..=600_000, &of("1000", "600000 (1 s to 10 minutes)"))?;
    let hour = of("1000", "3600000 (1 s to 1 hour)");
    take(&mut row.first_byte_ms, changes.first_byte_ms, "first_byte_ms", 1_000..=3_600_000, &hour)?;
    let day = of("1000", "86400000 (1 s to 1 day)");
    take(&mut row.idle_ms, changes.idle_ms, "idle_ms", 1_000..=86_400_000, &day)?;
    let requests = "a number of requests for each web dyno, 1 to 10000";
    take(&mut row.concurrency, changes.concurrency, "concurrency", 1..=10_000, requests)?;
    let decade = "seconds, 0 (browsers forget it) to 315360000 (10 years)";
    take(&mut row.hsts_max_age, changes.hsts_max_age, "hsts_max_age", 0..=315_360_000, decade)?;
    if let Some(balancing) = changes.balancing {
        if let Some(name) = balancing.as_deref()
            && Balancing::parse(name).is_none()
        {
            let all = Balancing::ALL.map(Balancing::name).join(" or ");
            return Err(Error::invalid(format!("balancing: must be {all}; {name:?} is not.")));
        }
        row.balancing = balancing;
    }
    row.https_only = changes.https_only.unwrap_or(row.https_only);
    row.hsts_include_subdomains = changes.hsts_include_subdomains.unwrap_or(row.hsts_include_subdomains);
    row.hsts_preload = changes.hsts_preload.unwrap_or(row.hsts_preload);
    let below = row.hsts_include_subdomains.unwrap_or_default();
    let preload = row.hsts_preload.unwrap_or_default();
    if row.hsts_max_age.is_none() && (below || preload) {
        let field = if below { "hsts_include_subdomains" } else { "hsts_preload" };
        return Err(Error::invalid(format!(
            "{field}: says something of HSTS, which is off: give hsts_max_age with it, or take this away."
        )));
    }
    if preload && !(below && row.hsts_max_age.is_some_and(|age| age >= PRELOAD_AGE)) {
        return Err(Error::invalid(format!(
            "hsts_preload: browsers' lists take only names with hsts_include_subdomains and an hsts_max_age of {PRELOAD_AGE} (a year) or more."
        )));
    }
    Ok(())
}

/// What was said, for the app's log: `first-byte 60000 ms`.
fn told(before: &AppRouting, now: &AppRouting) -> String {
    let mut text = String::new();
    let mut say = |name: &str, was: Option<String>, is: Option<String>| {
        if was != is {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a String can't fail.
            let _ = write!(text, "{comma}{name} {}", is.as_deref().unwrap_or("as for all apps"));
        }
    };
    let ms = |value: Option<i64>| value.map(|value| format!("{value} ms"));
    let plain = |value: Option<i64>| value.map(|value| value.to_string());
    let switch = |value: Option<bool>| value.map(|on| if on { "on" } else { "off" }.to_owned());
    say("connect", ms(before.connect_ms), ms(now.connect_ms));
    say("queue", ms(before.queue_ms), ms(now.queue_ms));
    say("first-byte", ms(before.first_byte_ms), ms(now.first_byte_ms));
    say("idle", ms(before.idle_ms), ms(now.idle_ms));
    say("concurrency", plain(before.concurrency), plain(now.concurrency));
    say("balancing", before.balancing.clone(), now.balancing.clone());
    say("https-only", switch(before.https_only), switch(now.https_only));
    let seconds = |value: Option<i64>| value.map(|value| format!("{value} s"));
    say("hsts", seconds(before.hsts_max_age), seconds(now.hsts_max_age));
    say("hsts-include-subdomains", switch(before.hsts_include_subdomains), switch(now.hsts_include_subdomains));
    say("hsts-preload", switch(before.hsts_preload), switch(now.hsts_preload));
    text
}

/// The seconds that are to be kept of a time without a request.
fn idle_after(given: Option<i64>) -> Result<Option<i64>> {
    match given {
        Some(milliseconds) if milliseconds % 60_000 != 0 || !idle::MINUTES.contains(&(milliseconds / 60_000)) => {
            Err(Error::invalid(format!(
                "idle_after_ms: must be milliseconds, whole minutes from 60000 to 2592000000 (1 minute to 30 days); {milliseconds} is not."
            )))
        }
        given => Ok(given.map(|milliseconds| milliseconds / 1000)),
    }
}

/// Changes how an app is treated.
pub async fn update(p: &Platform, actor: &Actor, app: &App, changes: Changes) -> Result<Shown> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let before = routing::of_app(&mut change, app.id).await?.unwrap_or_else(|| AppRouting::none(app.id, now));
    let mut row = before.clone();
    let kept = apps::by_id(&mut change, app.id).await?.and_then(|app| app.idle_after);
    let idle_after = changes.idle_after_ms.map(idle_after).transpose()?.unwrap_or(kept);
    apply(&mut row, changes)?;
    let mut told = told(&before, &row);
    if idle_after != kept {
        let time = idle_after.map_or("as usual".to_owned(), |seconds| format!("{} minutes", seconds / 60));
        told = [told, format!("idle-after {time}")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        apps::set_idle_after(&mut change, app.id, idle_after, now).await?;
    }
    if !told.is_empty() {
        row.updated_at = now;
        routing::put(&mut change, &row).await?;
        let event = json!({"was": rules(&before), "rules": rules(&row), "idle_after": idle_after});
        p.commit(change, Event::new("routing.update", actor.name(), event)).await?;
        p.tell(app.id, format!("Set routing: {told} by user {}", actor.name()));
    }
    show(p, app).await
}
