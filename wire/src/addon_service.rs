//! `/addon-services`: the services that add-ons are made of.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A service such as `redis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonService {
    /// A plugin of the client for it.
    #[serde(default)]
    pub cli_plugin_name: Option<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The name that people read, e.g. `Redis`.
    pub human_name: String,
    /// Id.
    pub id: Uuid,
    /// Unique name, e.g. `redis`.
    pub name: String,
    /// `alpha`, `beta`, `ga` or `shutdown`.
    pub state: String,
    /// Generations of the platform that it works on.
    #[serde(default)]
    pub supported_generations: Vec<serde_json::Value>,
    /// Whether an app may have several of it.
    #[serde(default)]
    pub supports_multiple_installations: bool,
    /// Whether an add-on may be attached to other apps.
    #[serde(default)]
    pub supports_sharing: bool,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// A service as plans and add-ons name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonServiceRef {
    /// Id.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
    /// The name that people read; there when the client asked to expand it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_name: Option<String>,
}
