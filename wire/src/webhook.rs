//! `/apps/{app}/webhooks`, `/addons/{addon}/webhooks`: who is told of what, and what became
//! of each telling.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Named, UserRef};

/// A webhook of an app or an add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    /// The add-on, when it is an add-on's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<Named>,
    /// The app, when it is an app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Named>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// What it is told of: `api:release`, `api:dyno` …
    pub include: Vec<String>,
    /// How hard it is tried.
    pub level: WebhookLevel,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Where to.
    pub url: String,
}

/// How hard it is tried to tell a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookLevel {
    /// Once.
    Notify,
    /// Until it succeeds, or a limit is reached.
    Sync,
}

impl WebhookLevel {
    /// `notify` or `sync`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Sync => "sync",
        }
    }
}

/// `POST …/webhooks`
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct WebhookCreate {
    /// A value for the `Authorization` header of what is sent.
    #[serde(default)]
    pub authorization: Option<String>,
    /// What it is told of.
    pub include: Vec<String>,
    /// How hard it is tried.
    pub level: WebhookLevel,
    /// What it is signed with; made when left out.
    #[serde(default)]
    pub secret: Option<String>,
    /// Where to.
    pub url: String,
}

/// `PATCH …/webhooks/{webhook}`
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct WebhookUpdate {
    /// Another value for the `Authorization` header; `null` for none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub authorization: Option<Option<String>>,
    /// What it is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    /// How hard it is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<WebhookLevel>,
    /// Another secret; `null` for a new one of the server's making.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub secret: Option<Option<String>>,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Tells `null` from what is left out.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl std::fmt::Debug for WebhookCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookCreate").field("url", &self.url).field("include", &self.include).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WebhookUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookUpdate").field("url", &self.url).field("include", &self.include).finish_non_exhaustive()
    }
}

/// Something that webhooks are told of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookEvent {
    /// When it happened.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Its kind: `api:release` …
    pub include: String,
    /// What is told.
    pub payload: WebhookPayload,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookPayload {
    /// `create`, `update` or `destroy`.
    pub action: String,
    /// Who did it.
    pub actor: UserRef,
    /// The resource, as its own address shows it.
    pub data: Value,
    /// What was different before.
    pub previous_data: Value,
    /// Not in the schema, read by clients: when it was made known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub published_at: Option<DateTime<Utc>>,
    /// The kind of resource: `release` …
    pub resource: String,
    /// How `data` is to be read.
    pub version: String,
}

/// One event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookDelivery {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The event.
    pub event: DeliveredEvent,
    /// Id.
    pub id: Uuid,
    /// The last attempt.
    #[serde(default)]
    pub last_attempt: Option<WebhookAttempt>,
    /// When it is tried next.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// How often it was tried.
    pub num_attempts: u64,
    /// Its place in the order of deliveries: what lists are paged by. Not shown.
    #[serde(skip)]
    #[schemars(skip)]
    pub seq: i64,
    /// `pending`, `retrying`, `succeeded` or `failed`.
    pub status: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// The webhook.
    pub webhook: DeliveredTo,
}

/// The event of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredEvent {
    /// Id.
    pub id: Uuid,
    /// Its kind.
    pub include: String,
}

/// The webhook of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredTo {
    /// Id.
    pub id: Uuid,
    /// How hard it is tried.
    pub level: WebhookLevel,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookAttempt {
    /// The status that the receiver answered with.
    #[serde(default)]
    pub code: Option<i64>,
    /// When it was begun.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What went wrong: `ConnectionRefused`, `Timeout` …
    #[serde(default)]
    pub error_class: Option<String>,
    /// Id.
    pub id: Uuid,
    /// `succeeded` or `failed`.
    pub status: String,
    /// When it ended.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// What may stand after `?` in `GET …/webhook-deliveries`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DeliveriesQuery {
    /// Only those with this status.
    #[serde(default, rename = "eq[status]", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}
