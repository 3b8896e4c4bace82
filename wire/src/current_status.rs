//! `/api/v4/current-status`: how the platform is, as Heroku's status page tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How everything is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentStatus {
    /// A line for each part.
    pub status: Vec<SystemStatus>,
    /// What is wrong now; known by [`CurrentStatus::status`] alone here.
    pub incidents: Vec<serde_json::Value>,
    /// What is planned.
    pub scheduled: Vec<serde_json::Value>,
}

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SystemStatus {
    /// `Apps`, `Data` or `Tools`.
    pub system: String,
    /// `green`, `yellow` or `red`.
    pub status: String,
}
