//! `/apps/{app}/config-vars`: an app's configuration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All config vars of an app, by name.
pub type ConfigVars = BTreeMap<String, String>;

/// `PATCH /apps/{app}/config-vars`: values to set; `null` takes a var away.
pub type ConfigVarsUpdate = BTreeMap<String, Option<String>>;

/// Query of `PATCH /apps/{app}/config-vars`. Ours.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConfigVarsQuery {
    /// `false` makes the release without restarting the dynos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<bool>,
}
