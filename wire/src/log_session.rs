//! `/apps/{app}/log-sessions`: a URL to read log lines from.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A permission to read log lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogSession {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// GET it, without credentials: plain text lines, or server-sent events when asked for by
    /// `Accept: text/event-stream`.
    pub logplex_url: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// `POST /apps/{app}/log-sessions`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LogSessionCreate {
    /// Only lines of this dyno (`web.1`) or type (`web`).
    #[serde(default, alias = "dyno_name", skip_serializing_if = "Option::is_none")]
    pub dyno: Option<String>,
    /// How many lines of the past; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::number")]
    #[schemars(with = "Option<u64>")]
    pub lines: Option<u64>,
    /// Only lines of this source: `app`, `heroku`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether to go on with new lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<bool>,
    /// Only lines of this process type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}
