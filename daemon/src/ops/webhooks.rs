//! Webhooks: made, changed and removed. What they are told of is decided in
//! `tasks/webhooks`, which follows the apps' events.

use paas_domain::webhook::INCLUDES;
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Actor, Platform, apps, outward};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        apps::App,
        events::Event,
        webhooks::{
            self, Webhook,
            deliveries::{self, Delivery},
            events::{self, WebhookEvent},
        },
    },
};

/// Most webhooks of an app.
const MOST: usize = 100;

/// Longest secret and `Authorization` value.
const LONGEST: usize = 4096;

/// Whose webhooks: an app's, or an add-on's.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The app that they hear of.
    pub app: App,
    /// The add-on, by identity and name.
    pub addon: Option<(Uuid, String)>,
}

impl Owner {
    fn addon_id(&self) -> Option<Uuid> {
        self.addon.as_ref().map(|(id, _)| *id)
    }
}

/// A webhook about to be made.
#[derive(Clone)]
pub struct New {
    /// Where to.
    pub url: String,
    /// What it is told of.
    pub include: Vec<String>,
    /// Whether it is tried until it succeeds.
    pub sync: bool,
    /// What it is signed with; made when absent.
    pub secret: Option<String>,
    /// A value for its `Authorization` header.
    pub authorization: Option<String>,
}

/// What may be changed of one; what is absent stays.
#[derive(Clone, Default)]
pub struct Changes {
    /// Where to.
    pub url: Option<String>,
    /// What it is told of.
    pub include: Option<Vec<String>>,
    /// Whether it is tried until it succeeds.
    pub sync: Option<bool>,
    /// What it is signed with; none in it: a new one is made.
    pub secret: Option<Option<String>>,
    /// A value for its `Authorization` header; none in it: no header.
    pub authorization: Option<Option<String>>,
}

/// What a webhook's secret is sealed with.
fn place(id: Uuid) -> String {
    format!("webhook/{id}")
}

/// And its `Authorization` value.
fn authorization_place(id: Uuid) -> String {
    format!("webhook/{id}/authorization")
}

fn level(sync: bool) -> String {
    if sync { "sync" } else { "notify" }.to_owned()
}

/// What is needed to tell a webhook: its secret and its `Authorization` value.
pub fn secrets(p: &Platform, webhook: &Webhook) -> Result<(String, Option<String>)> {
    let open = |place: &str, sealed: &[u8]| {
        let plain = p.cx.sealer().open(place, sealed);
        let plain = plain.map_err(|e| Error::internal("The webhook's secret can't be read.", e))?;
        String::from_utf8(plain).map_err(|e| Error::internal("The webhook's secret can't be read.", e))
    };
    let authorization = webhook.authorization_value.as_deref();
    let authorization = authorization.map(|sealed| open(&authorization_place(webhook.id), sealed)).transpose()?;
    Ok((open(&place(webhook.id), &webhook.secret)?, authorization))
}

fn check_include(include: Vec<String>) -> Result<Vec<String>> {
    if include.is_empty() {
        return Err(Error::invalid(format!("include: nothing is named. There are: {}.", INCLUDES.join(", "))));
    }
    let mut good = Vec::new();
    for name in include {
        // Heroku's own pages name some without `api:`.
        let full = if name.contains(':') { name } else { format!("api:{name}") };
        if !INCLUDES.contains(&full.as_str()) {
            let shown: String = full.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(Error::invalid(format!("include: there is no {shown:?}. There are: {}.", INCLUDES.join(", "))));
        }
        if !good.contains(&full) {
            good.push(full);
        }
    }
    Ok(good)
}

fn check_url(p: &Platform, url: &str) -> Result<String> {
    outward::parse(p.cx.config(), url).map(|_| url.to_owned()).map_err(|why| Error::invalid(format!("url: {why}.")))
}

fn check_authorization(value: &str) -> Result<()> {
    let good = !value.is_empty() && value.len() <= LONGEST && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "authorization: it must be a header's value: 1 to {LONGEST} visible ASCII characters, such as Bearer TOKEN."
    )))
}

fn check_secret(secret: Option<String>) -> Result<String> {
    match secret {
        None => Ok(hex::encode(rand::random::<[u8; 32]>())),
        Some(secret) if secret.is_empty() || secret.len() > LONGEST => {
            Err(Error::invalid(format!("secret: it must have 1 to {LONGEST} bytes; leave it out to have one made.")))
        }
        Some(secret) => Ok(secret),
    }
}

/// The webhooks of an app or add-on, oldest first.
pub async fn list(p: &Platform, owner: &Owner) -> Result<Vec<Webhook>> {
    let mut all = webhooks::list(&mut p.db.read().await?, owner.app.id).await?;
    all.retain(|webhook| webhook.addon_id == owner.addon_id());
    Ok(all)
}

/// One of them.
pub async fn find(p: &Platform, owner: &Owner, id: &str) -> Result<Webhook> {
    let found = list(p, owner).await?.into_iter().find(|webhook| webhook.id.to_string() == id);
    found.ok_or_else(|| Error::not_found("webhook", id))
}

/// Makes one: it hears of what happens from now on. Its secret is told this once.
pub async fn create(p: &Platform, actor: &Actor, owner: &Owner, new: New) -> Result<(Webhook, String)> {
    let url = check_url(p, &new.url)?;
    let include = check_include(new.include)?;
    let secret = check_secret(new.secret)?;
    new.authorization.as_deref().map(check_authorization).transpose()?;
    let (id, now) = (new_id(), p.cx.now());
    let mut change = p.change(owner.app.id).await?;
    let app = apps::current(&mut change, owner.app.id).await?;
    let others = webhooks::list(&mut change, app.id).await?;
    if others.len() >= MOST {
        return Err(Error::invalid(format!("{} has {MOST} webhooks already; remove one first.", app.name)));
    }
    let webhook = Webhook {
        id,
        app_id: app.id,
        addon_id: owner.addon_id(),
        url,
        include: Json(include),
        level: level(new.sync),
        secret: p.cx.sealer().seal(&place(id), secret.as_bytes()),
        authorization_value: new.authorization.map(|value| {
            let place = authorization_place(id);
            p.cx.sealer().seal(&place, value.as_bytes())
        }),
        generation: change.generation(),
        created_at: now,
        updated_at: now,
    };
    webhooks::insert(&mut change, &webhook).await?;
    if others.is_empty() {
        let generation = change.generation();
        webhooks::follow(&mut change, app.id, generation, app.last_version, now).await?;
    }
    let event = json!({"id": id, "include": webhook.include.0, "addon": owner.addon_id()});
    p.commit(change, Event::new("webhook.create", actor.name(), event)).await?;
    Ok((webhook, secret))
}

/// Changes one; with a new secret, tells it this once.
pub async fn update(
    p: &Platform,
    actor: &Actor,
    owner: &Owner,
    id: &str,
    changes: Changes,
) -> Result<(Webhook, Option<String>)> {
    let found = find(p, owner, id).await?;
    let url = changes.url.map(|url| check_url(p, &url)).transpose()?;
    let include = changes.include.map(check_include).transpose()?;
    let secret = changes.secret.map(check_secret).transpose()?;
    if let Some(Some(value)) = &changes.authorization {
        check_authorization(value)?;
    }
    let mut change = p.change(owner.app.id).await?;
    let row = webhooks::by_id(&mut change, found.id).await?;
    let mut row = row.ok_or_else(|| Error::not_found("webhook", id))?;
    row.url = url.unwrap_or(row.url);
    row.include = include.map_or(row.include, Json);
    row.level = changes.sync.map_or(row.level, level);
    if let Some(secret) = &secret {
        row.secret = p.cx.sealer().seal(&place(row.id), secret.as_bytes());
    }
    if let Some(value) = changes.authorization {
        let place = authorization_place(row.id);
        row.authorization_value = value.map(|value| p.cx.sealer().seal(&place, value.as_bytes()));
    }
    row.updated_at = p.cx.now();
    webhooks::update(&mut change, &row).await?;
    let event = json!({"id": row.id, "include": row.include.0});
    p.commit(change, Event::new("webhook.update", actor.name(), event)).await?;
    Ok((row, secret))
}

/// Removes one: what is on its way to it is given up.
pub async fn remove(p: &Platform, actor: &Actor, owner: &Owner, id: &str) -> Result<Webhook> {
    let found = find(p, owner, id).await?;
    let mut change = p.change(owner.app.id).await?;
    if !webhooks::delete(&mut change, found.id).await? {
        return Err(Error::not_found("webhook", id));
    }
    deliveries::give_up(&mut change, found.id, p.cx.now()).await?;
    p.commit(change, Event::new("webhook.destroy", actor.name(), json!({"id": found.id}))).await?;
    Ok(found)
}

/// What the webhooks of an app or add-on were told of, oldest first.
pub async fn events(p: &Platform, owner: &Owner) -> Result<Vec<WebhookEvent>> {
    Ok(events::list(&mut p.db.read().await?, owner.app.id, owner.addon_id()).await?)
}

/// One of them.
pub async fn event(p: &Platform, owner: &Owner, id: &str) -> Result<WebhookEvent> {
    let missing = || Error::not_found("webhook_event", id);
    let id: Uuid = id.parse().map_err(|_| missing())?;
    // Whether one of theirs was told of it is what the list knows.
    events(p, owner).await?.into_iter().find(|event| event.id == id).ok_or_else(missing)
}

/// The tellings of an app's or add-on's webhooks, oldest first.
pub async fn deliveries(p: &Platform, owner: &Owner) -> Result<Vec<Delivery>> {
    Ok(deliveries::list(&mut p.db.read().await?, owner.app.id, owner.addon_id()).await?)
}

/// One of them.
pub async fn delivery(p: &Platform, owner: &Owner, id: &str) -> Result<Delivery> {
    let missing = || Error::not_found("webhook_delivery", id);
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let found = deliveries::by_id(&mut p.db.read().await?, id).await?;
    found.filter(|row| row.app_id == owner.app.id && row.addon_id == owner.addon_id()).ok_or_else(missing)
}
