//! `/addon-services`: the services that add-ons are made of.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

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
    pub supported_generations: Vec<Named>,
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
    /// The name that people read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_name: Option<String>,
    /// The rest of it; there when the client asked to expand it.
    #[serde(flatten)]
    pub rest: Option<AddonServiceRest>,
}

impl From<AddonService> for AddonServiceRef {
    fn from(service: AddonService) -> Self {
        Self {
            id: service.id,
            name: service.name,
            human_name: Some(service.human_name),
            rest: Some(AddonServiceRest {
                cli_plugin_name: service.cli_plugin_name,
                created_at: service.created_at,
                state: service.state,
                supported_generations: service.supported_generations,
                supports_multiple_installations: service.supports_multiple_installations,
                supports_sharing: service.supports_sharing,
                updated_at: service.updated_at,
            }),
        }
    }
}

/// What an expanded service has besides its names; as in [`AddonService`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonServiceRest {
    /// A plugin of the client for it.
    pub cli_plugin_name: Option<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// `alpha`, `beta`, `ga` or `shutdown`.
    pub state: String,
    /// Generations of the platform that it works on.
    pub supported_generations: Vec<Named>,
    /// Whether an app may have several of it.
    pub supports_multiple_installations: bool,
    /// Whether an add-on may be attached to other apps.
    pub supports_sharing: bool,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}
