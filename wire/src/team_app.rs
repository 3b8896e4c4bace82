//! `/teams/apps` and `/filters/apps`: apps as teams see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{App, Identity};

/// An app with what a team knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamApp {
    /// The app.
    #[serde(flatten)]
    pub app: App,
    /// Whether who asks works on it.
    #[serde(default)]
    pub joined: bool,
    /// Whether members of the team can't join it by themselves.
    #[serde(default)]
    pub locked: bool,
}

/// `POST /teams/apps`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TeamAppCreate {
    /// See [`TeamApp::locked`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// The name; the server makes one up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The team by name or id; absent: the default team of who asks, if they have chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Identity>,
    /// Make it one's own, whatever one's default team is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<bool>,
    /// Region by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Identity>,
    /// Stack by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Identity>,
    /// A private network; there are none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Identity>,
    /// Whether it can be reached from inside a private network only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_routing: Option<bool>,
}

/// `PATCH /teams/apps/{app}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TeamAppUpdate {
    /// See [`TeamApp::locked`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// Whom it shall belong to: a team by name or id, or an account by address, id or `~`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Identity>,
}

/// `POST /filters/apps`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FilterApps {
    /// Which.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub of: Option<FilterAppsIn>,
}

/// Which apps; both lists absent: all.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FilterAppsIn {
    /// By id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Vec<Uuid>>,
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Vec<String>>,
}
