//! `/addons/{addon}/config`: what an add-on hands to its apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One value, e.g. `REDIS_URL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonConfig {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: Option<String>,
}

/// `PATCH /addons/{addon}/config`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AddonConfigUpdate {
    /// All values.
    #[serde(default)]
    pub config: Vec<AddonConfig>,
}
