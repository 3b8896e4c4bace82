//! `/account/features` and `/apps/{app}/features`: what can be switched on and off.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A switch of an account or an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// When it was first switched.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What it does.
    pub description: String,
    /// Its name for people.
    pub display_name: String,
    /// Where to read about it.
    pub doc_url: String,
    /// Whether it is on.
    pub enabled: bool,
    /// Whom to tell about it.
    pub feedback_email: String,
    /// Id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `general` (listed by `features`) or `public` (listed by `labs`).
    pub state: String,
    /// When it was last switched.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// `PATCH …/features/{feature}`
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FeatureUpdate {
    /// See [`Feature::enabled`].
    pub enabled: bool,
}
