//! `/regions`: where apps can run.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place where apps run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Country.
    pub country: String,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What people read.
    pub description: String,
    /// Id.
    pub id: Uuid,
    /// Place in the country.
    pub locale: String,
    /// Unique name.
    pub name: String,
    /// Whether private networks can be had.
    #[serde(default)]
    pub private_capable: bool,
    /// Who runs the machines.
    pub provider: RegionProvider,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Who runs a region's machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionProvider {
    /// Name.
    pub name: String,
    /// Their name for the region.
    pub region: String,
}
