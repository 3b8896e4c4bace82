//! `/apps/{app}/log-drains`: where an app's log lines are sent.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// A log drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogDrain {
    /// The add-on that made it, if one did.
    #[serde(default)]
    pub addon: Option<LogDrainAddon>,
    /// Whose lines it gets.
    #[serde(default)]
    pub app: Option<Named>,
    /// When it was added.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// What its receiver knows it by: `d.` and a UUID.
    pub token: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Where the lines go: `syslog://`, `syslog+tls://`, `https://` or `http://`.
    pub url: String,
}

/// The add-on of a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogDrainAddon {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The app that it belongs to.
    pub app: Named,
}

/// `POST /apps/{app}/log-drains`, `PUT /addons/{addon}/log-drains/{drain}`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogDrainCreate {
    /// Where the lines are to go.
    pub url: String,
}
