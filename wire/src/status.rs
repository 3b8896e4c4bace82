//! `/api/v4/current-status`: how the platform is. It wants no credentials.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the platform is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentStatus {
    /// What is wrong now.
    pub incidents: Vec<Incident>,
    /// What is going to be worked on; always empty here.
    pub scheduled: Vec<Incident>,
    /// Each part and how it is.
    pub status: Vec<SystemStatus>,
}

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SystemStatus {
    /// `green`, `yellow` or `red`.
    pub status: String,
    /// `Apps`, `Data` or `Tools`.
    pub system: String,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Since when it is known.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Where to read more.
    pub full_url: String,
    /// Number, from 1.
    pub id: u64,
    /// `open`.
    pub state: String,
    /// In a few words.
    pub title: String,
    /// What is said of it, the latest first.
    pub updates: Vec<IncidentUpdate>,
}

/// Something said of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentUpdate {
    /// The text.
    pub contents: String,
    /// When it was said.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// `issue`.
    pub update_type: String,
    /// When it was last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}
