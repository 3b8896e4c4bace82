//! From what happened to what is told: follows the events of apps that have webhooks, shows
//! what each is about as the API does, and writes it down for every webhook that wants it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use paas_domain::webhook;
use paas_wire::UserRef;
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use super::about::About;
use crate::{
    context::new_id,
    error::{Error, Result},
    ops::Platform,
    store::{
        apps,
        events::{self, EventRow},
        webhooks::{
            self, Cursor, Webhook,
            deliveries::{self, Delivery},
            events::{self as tellings, WebhookEvent},
        },
    },
};

/// Most events of an app in one transaction.
const MOST: i64 = 100;

/// The form of what is told.
const VERSION: &str = "application/vnd.heroku+json; version=3";

/// Something to be told.
#[derive(Debug)]
pub(super) struct Telling {
    /// `api:release` …
    pub(super) include: &'static str,
    /// `create`, `update` or `destroy`.
    pub(super) action: &'static str,
    /// Who did it.
    pub(super) actor: UserRef,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// The app's generation then.
    pub(super) generation: i64,
    /// Of what.
    pub(super) resource_id: Uuid,
    /// How it is shown.
    pub(super) data: Value,
}

/// Tells of all that has happened since the last time.
pub async fn pass(p: &Platform) -> Result<()> {
    loop {
        let behind = webhooks::behind(&mut p.db.read().await?).await?;
        if behind.is_empty() {
            return Ok(());
        }
        for cursor in behind {
            of_app(p, &cursor).await?;
        }
    }
}

/// The next events of one app.
async fn of_app(p: &Platform, cursor: &Cursor) -> Result<()> {
    let mut c = p.db.read().await?;
    let rows = events::list_some(&mut c, cursor.app_id, cursor.generation, MOST).await?;
    let app = apps::by_id(&mut c, cursor.app_id).await?;
    let hooks = webhooks::list(&mut c, cursor.app_id).await?;
    drop(c);
    let mut next = cursor.clone();
    next.generation = rows.last().map_or(next.generation, |row| row.generation);
    let mut all = Vec::new();
    if hooks.is_empty() {
        // Whoever comes later hears of later ones.
        next.release_version = app.as_ref().map_or(next.release_version, |app| app.last_version);
    } else {
        let about = About { p, app: app.as_ref(), cursor };
        for telling in about.releases(next.generation).await? {
            next.release_version = next.release_version.max(telling.0);
            all.push(telling.1);
        }
        for row in &rows {
            all.extend(of_event(&about, row).await?);
        }
        all.extend(about.new_formation(&all, next.generation).await?);
    }
    write(p, cursor, next, &hooks, all).await
}

/// What an event is about. What can't be shown any more is left out: nothing must stand in the
/// way of what follows.
async fn of_event(about: &About<'_>, row: &EventRow) -> Result<Vec<Telling>> {
    match about.event(row).await {
        Ok(tellings) => Ok(tellings),
        Err(error @ (Error::Internal { .. } | Error::Unavailable(_))) => Err(error),
        Err(
            error @ (Error::NotFound(_)
            | Error::Invalid(_)
            | Error::Conflict(_)
            | Error::Forbidden(_)
            | Error::Unauthorized(_)
            | Error::MultipleMatches(_)
            | Error::ConfirmationRequired { .. }),
        ) => {
            tracing::debug!(event.kind = row.kind, %error, "what an event was about is gone; webhooks are not told of it");
            Ok(Vec::new())
        }
    }
}

/// Writes all of it, and that it was written, at once.
async fn write(p: &Platform, from: &Cursor, mut to: Cursor, hooks: &[Webhook], all: Vec<Telling>) -> Result<()> {
    let mut known: HashMap<(&'static str, Uuid), Value> = HashMap::new();
    let mut rows = Vec::new();
    let now = p.cx.now();
    for telling in all {
        let heard: Vec<&Webhook> = hooks.iter().filter(|hook| hears(hook, &telling)).collect();
        if heard.is_empty() {
            continue;
        }
        let key = (telling.include, telling.resource_id);
        let before = match known.get(&key) {
            Some(before) => Some(before.clone()),
            None => last(p, from.app_id, key).await?,
        };
        known.insert(key, telling.data.clone());
        to.event_seq += 1;
        let event = event(from.app_id, to.event_seq, telling, before.as_ref(), now);
        let sent: Vec<Delivery> = heard
            .into_iter()
            .map(|hook| {
                to.delivery_seq += 1;
                delivery(hook, &event, to.delivery_seq, now)
            })
            .collect();
        rows.push((event, sent));
    }
    let mut tx = p.db.begin().await?;
    if !webhooks::advance(&mut tx, from.generation, &to).await? {
        return Ok(());
    }
    for (event, sent) in rows {
        tellings::insert(&mut tx, &event).await?;
        for delivery in sent {
            deliveries::insert(&mut tx, &delivery).await?;
        }
    }
    tx.commit(None).await?;
    Ok(())
}

async fn last(p: &Platform, app_id: Uuid, (include, id): (&str, Uuid)) -> Result<Option<Value>> {
    let last = tellings::last(&mut p.db.read().await?, app_id, include, id).await?;
    Ok(last.and_then(|mut event| event.payload.0.get_mut("data").map(Value::take)))
}

/// Whether a webhook wants to hear it. An add-on's hears of no other add-on.
fn hears(hook: &Webhook, telling: &Telling) -> bool {
    let own = |id: Option<&str>| hook.addon_id.is_none_or(|addon| id == Some(addon.to_string().as_str()));
    let of = match telling.include {
        "api:addon" => own(telling.data["id"].as_str()),
        "api:addon-attachment" => own(telling.data["addon"]["id"].as_str()),
        _ => true,
    };
    // A release is found by its version, not by an event, so its own time tells.
    let later =
        hook.generation < telling.generation && (telling.include != "api:release" || hook.created_at <= telling.at);
    of && later && hook.include.iter().any(|include| include == telling.include)
}

fn event(app_id: Uuid, seq: i64, telling: Telling, before: Option<&Value>, now: DateTime<Utc>) -> WebhookEvent {
    let id = new_id();
    let time = |time: &DateTime<Utc>| paas_wire::time::format(time);
    let previous = before.filter(|_| telling.action == "update").map(|before| changed(before, &telling.data));
    let payload = json!({
        "action": telling.action,
        "actor": telling.actor,
        "created_at": time(&telling.at),
        "data": telling.data,
        "id": id,
        "previous_data": previous.unwrap_or_else(|| json!({})),
        "published_at": time(&now),
        "resource": webhook::resource(telling.include),
        "sequence": seq,
        "updated_at": time(&now),
        "version": VERSION,
    });
    WebhookEvent {
        id,
        app_id,
        seq,
        include: telling.include.to_owned(),
        resource_id: telling.resource_id,
        payload: Json(payload),
        created_at: telling.at,
        updated_at: now,
    }
}

/// What was different before. Addresses of output are keys, which change with the time alone.
fn changed(before: &Value, after: &Value) -> Value {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return json!({}) };
    let same = |key: &str, value: &Value| match (key, value, after.get(key)) {
        ("output_stream_url", Value::String(before), Some(Value::String(after))) => {
            before.split('?').next() == after.split('?').next()
        }
        (_, before, after) => after == Some(before),
    };
    let different = before.iter().filter(|(key, value)| !same(key, value));
    Value::Object(different.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

fn delivery(hook: &Webhook, event: &WebhookEvent, seq: i64, now: DateTime<Utc>) -> Delivery {
    Delivery {
        id: new_id(),
        app_id: event.app_id,
        addon_id: hook.addon_id,
        webhook_id: hook.id,
        level: hook.level.clone(),
        event_id: event.id,
        include: event.include.clone(),
        seq,
        status: "pending".into(),
        num_attempts: 0,
        next_attempt_at: Some(now),
        attempt_id: None,
        attempt_code: None,
        attempt_error: None,
        attempt_status: None,
        attempt_at: None,
        attempt_ended_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_differs_is_no_change() {
        let build = |status: &str, url: &str| json!({"id": 1, "output_stream_url": url, "status": status});
        let before = build("pending", "http://x/streams/builds/1?expires=1");
        let after = build("succeeded", "http://x/streams/builds/1?expires=2");
        assert_eq!(changed(&before, &after), json!({"status": "pending"}));
        let other = build("pending", "http://x/streams/builds/2?expires=1");
        assert_eq!(
            changed(&other, &after),
            json!({"output_stream_url": other["output_stream_url"], "status": "pending"})
        );
    }
}
