//! `/apps/{app}/webhooks` and `/addons/{addon}/webhooks`, with what they were told of and what
//! became of each telling.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use paas_wire::{
    self as wire,
    webhook::{DeliveredEvent, DeliveredTo, DeliveriesQuery, WebhookAttempt, WebhookLevel},
};

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path, Query},
    list::list,
    view,
};
use crate::{
    error::{Error, Result},
    ops::{
        self, Actor, Platform,
        apps::Permission::{self, Operate, View},
        webhooks::{Changes, New, Owner},
    },
    store::webhooks::{Webhook, deliveries::Delivery, events::WebhookEvent},
};

/// Where a secret is told, this once.
const SECRET: HeaderName = HeaderName::from_static("heroku-webhook-secret");

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/webhooks", index)
        .post("/apps/{app}/webhooks", create)
        .get("/apps/{app}/webhooks/{webhook}", info)
        .patch("/apps/{app}/webhooks/{webhook}", update)
        .delete("/apps/{app}/webhooks/{webhook}", remove)
        .get("/apps/{app}/webhook-events", events)
        .get("/apps/{app}/webhook-events/{event}", event)
        .get("/apps/{app}/webhook-deliveries", deliveries)
        .get("/apps/{app}/webhook-deliveries/{delivery}", delivery)
        .get("/addons/{addon}/webhooks", index_of_addon)
        .post("/addons/{addon}/webhooks", create_of_addon)
        .get("/addons/{addon}/webhooks/{webhook}", info_of_addon)
        .patch("/addons/{addon}/webhooks/{webhook}", update_of_addon)
        .delete("/addons/{addon}/webhooks/{webhook}", remove_of_addon)
        .get("/addons/{addon}/webhook-events", events_of_addon)
        .get("/addons/{addon}/webhook-events/{event}", event_of_addon)
        .get("/addons/{addon}/webhook-deliveries", deliveries_of_addon)
        .get("/addons/{addon}/webhook-deliveries/{delivery}", delivery_of_addon)
}

async fn of_app(p: &Platform, actor: &Actor, app: &str, permission: Permission) -> Result<Owner> {
    Ok(Owner { app: ops::apps::find_for(p, actor, app, permission).await?, addon: None })
}

/// An add-on's webhooks are of whoever may work on its own app.
async fn of_addon(p: &Platform, actor: &Actor, addon: &str, permission: Permission) -> Result<Owner> {
    let shown = ops::addons::find(p, actor, None, addon).await?;
    let app = ops::apps::find_for(p, actor, &shown.app.id.to_string(), permission).await?;
    Ok(Owner { app, addon: Some((shown.addon.id, shown.addon.name)) })
}

fn level(text: &str) -> WebhookLevel {
    if text == "sync" { WebhookLevel::Sync } else { WebhookLevel::Notify }
}

fn show(owner: &Owner, row: &Webhook) -> wire::Webhook {
    let addon = owner.addon.as_ref().map(|(id, name)| wire::Named { id: *id, name: name.clone() });
    wire::Webhook {
        app: addon.is_none().then(|| view::app_ref(&owner.app)),
        addon,
        created_at: row.created_at,
        id: row.id,
        include: row.include.0.clone(),
        level: level(&row.level),
        updated_at: row.updated_at,
        url: row.url.clone(),
    }
}

fn show_event(row: &WebhookEvent) -> Result<wire::WebhookEvent> {
    let payload = serde_json::from_value(row.payload.0.clone());
    Ok(wire::WebhookEvent {
        created_at: row.created_at,
        id: row.id,
        include: row.include.clone(),
        payload: payload.map_err(|e| Error::internal("The webhook event can't be read.", e))?,
        updated_at: row.updated_at,
    })
}

fn show_delivery(row: &Delivery) -> wire::WebhookDelivery {
    let attempt = row.attempt_id.zip(row.attempt_at);
    wire::WebhookDelivery {
        created_at: row.created_at,
        event: DeliveredEvent { id: row.event_id, include: row.include.clone() },
        id: row.id,
        last_attempt: attempt.map(|(id, at)| WebhookAttempt {
            code: row.attempt_code,
            created_at: at,
            error_class: row.attempt_error.clone(),
            id,
            status: row.attempt_status.clone().unwrap_or_else(|| "failed".into()),
            updated_at: row.attempt_ended_at.unwrap_or(at),
        }),
        next_attempt_at: row.next_attempt_at,
        num_attempts: view::unsigned(row.num_attempts),
        seq: row.seq,
        status: row.status.clone(),
        updated_at: row.updated_at,
        webhook: DeliveredTo { id: row.webhook_id, level: level(&row.level) },
    }
}

fn with_secret(secret: Option<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A secret of bytes that no header carries is known to who gave it.
    if let Some(value) = secret.and_then(|secret| HeaderValue::from_str(&secret).ok()) {
        headers.insert(SECRET, value);
    }
    headers
}

async fn list_of(p: &Platform, owner: &Owner, headers: &HeaderMap) -> ApiResult<Page<wire::Webhook>> {
    let all = ops::webhooks::list(p, owner).await?;
    let items = all.iter().map(|row| show(owner, row)).collect();
    Ok(list(headers, "id", items, |item: &wire::Webhook| item.id.to_string()))
}

async fn make(
    p: &Platform,
    actor: &Actor,
    owner: &Owner,
    body: wire::WebhookCreate,
) -> ApiResult<(HeaderMap, Created<wire::Webhook>)> {
    let new = New {
        url: body.url,
        include: body.include,
        sync: body.level == WebhookLevel::Sync,
        secret: body.secret,
        authorization: body.authorization,
    };
    let (row, secret) = ops::webhooks::create(p, actor, owner, new).await?;
    Ok((with_secret(Some(secret)), Created(show(owner, &row))))
}

async fn change(
    p: &Platform,
    actor: &Actor,
    owner: &Owner,
    id: &str,
    body: wire::WebhookUpdate,
) -> ApiResult<(HeaderMap, Json<wire::Webhook>)> {
    let changes = Changes {
        url: body.url,
        include: body.include,
        sync: body.level.map(|level| level == WebhookLevel::Sync),
        secret: body.secret,
        authorization: body.authorization,
    };
    let (row, secret) = ops::webhooks::update(p, actor, owner, id, changes).await?;
    Ok((with_secret(secret), Json(show(owner, &row))))
}

async fn events_of(p: &Platform, owner: &Owner, headers: &HeaderMap) -> ApiResult<Page<wire::WebhookEvent>> {
    let rows = ops::webhooks::events(p, owner).await?;
    let items = rows.iter().map(show_event).collect::<Result<Vec<_>>>()?;
    Ok(list(headers, "id", items, |item: &wire::WebhookEvent| item.id.to_string()))
}

async fn deliveries_of(
    p: &Platform,
    owner: &Owner,
    query: &DeliveriesQuery,
    headers: &HeaderMap,
) -> ApiResult<Page<wire::WebhookDelivery>> {
    let rows = ops::webhooks::deliveries(p, owner).await?;
    let wanted = rows.iter().filter(|row| query.status.as_deref().is_none_or(|status| status == row.status));
    let items = wanted.map(show_delivery).collect();
    Ok(list(headers, "seq", items, |item: &wire::WebhookDelivery| item.seq.to_string()))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Webhook>> {
    list_of(&p, &of_app(&p, &actor, &app, Operate).await?, &headers).await
}

async fn index_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Webhook>> {
    list_of(&p, &of_addon(&p, &actor, &addon, Operate).await?, &headers).await
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::WebhookCreate>,
) -> ApiResult<(HeaderMap, Created<wire::Webhook>)> {
    make(&p, &actor, &of_app(&p, &actor, &app, Operate).await?, body).await
}

async fn create_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    Body(body): Body<wire::WebhookCreate>,
) -> ApiResult<(HeaderMap, Created<wire::Webhook>)> {
    make(&p, &actor, &of_addon(&p, &actor, &addon, Operate).await?, body).await
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::Webhook>> {
    let owner = of_app(&p, &actor, &app, Operate).await?;
    Ok(Json(show(&owner, &ops::webhooks::find(&p, &owner, &id).await?)))
}

async fn info_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((addon, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::Webhook>> {
    let owner = of_addon(&p, &actor, &addon, Operate).await?;
    Ok(Json(show(&owner, &ops::webhooks::find(&p, &owner, &id).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, id)): Path<(String, String)>,
    Body(body): Body<wire::WebhookUpdate>,
) -> ApiResult<(HeaderMap, Json<wire::Webhook>)> {
    change(&p, &actor, &of_app(&p, &actor, &app, Operate).await?, &id, body).await
}

async fn update_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((addon, id)): Path<(String, String)>,
    Body(body): Body<wire::WebhookUpdate>,
) -> ApiResult<(HeaderMap, Json<wire::Webhook>)> {
    change(&p, &actor, &of_addon(&p, &actor, &addon, Operate).await?, &id, body).await
}

async fn remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::Webhook>> {
    let owner = of_app(&p, &actor, &app, Operate).await?;
    Ok(Json(show(&owner, &ops::webhooks::remove(&p, &actor, &owner, &id).await?)))
}

async fn remove_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((addon, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::Webhook>> {
    let owner = of_addon(&p, &actor, &addon, Operate).await?;
    Ok(Json(show(&owner, &ops::webhooks::remove(&p, &actor, &owner, &id).await?)))
}

async fn events(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::WebhookEvent>> {
    events_of(&p, &of_app(&p, &actor, &app, View).await?, &headers).await
}

async fn events_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::WebhookEvent>> {
    events_of(&p, &of_addon(&p, &actor, &addon, View).await?, &headers).await
}

async fn event(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::WebhookEvent>> {
    let owner = of_app(&p, &actor, &app, View).await?;
    Ok(Json(show_event(&ops::webhooks::event(&p, &owner, &id).await?)?))
}

async fn event_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((addon, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::WebhookEvent>> {
    let owner = of_addon(&p, &actor, &addon, View).await?;
    Ok(Json(show_event(&ops::webhooks::event(&p, &owner, &id).await?)?))
}

async fn deliveries(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Query(query): Query<DeliveriesQuery>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::WebhookDelivery>> {
    deliveries_of(&p, &of_app(&p, &actor, &app, View).await?, &query, &headers).await
}

async fn deliveries_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    Query(query): Query<DeliveriesQuery>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::WebhookDelivery>> {
    deliveries_of(&p, &of_addon(&p, &actor, &addon, View).await?, &query, &headers).await
}

async fn delivery(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::WebhookDelivery>> {
    let owner = of_app(&p, &actor, &app, View).await?;
    Ok(Json(show_delivery(&ops::webhooks::delivery(&p, &owner, &id).await?)))
}

async fn delivery_of_addon(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((addon, id)): Path<(String, String)>,
) -> ApiResult<Json<wire::WebhookDelivery>> {
    let owner = of_addon(&p, &actor, &addon, View).await?;
    Ok(Json(show_delivery(&ops::webhooks::delivery(&p, &owner, &id).await?)))
}
