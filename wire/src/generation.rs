//! `/generations`: generations of the platform.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Generation {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Unique name, e.g. `cedar`.
    pub name: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}
