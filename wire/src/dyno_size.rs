//! `/dyno-sizes`: how large a dyno can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// A size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DynoSize {
    /// `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// CPU share, 1 and up.
    pub compute: u32,
    /// What it costs; always absent here.
    #[serde(default)]
    pub cost: Option<DynoCost>,
    /// Whether it has a machine to itself.
    #[serde(default)]
    pub dedicated: bool,
    /// Generation of the platform.
    #[serde(default)]
    pub generation: Option<Named>,
    /// Id.
    pub id: Uuid,
    /// Gigabytes of memory: 0.5 is 512 MB.
    pub memory: f64,
    /// E.g. `Standard-1X`.
    pub name: String,
    /// Dyno units a dyno of it uses up.
    #[serde(default)]
    pub precise_dyno_units: f64,
    /// Whether it is for private networks only.
    #[serde(default)]
    pub private_space_only: bool,
}

/// Price of a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DynoCost {
    /// Cents a unit.
    pub cents: u64,
    /// Per `month`, …
    pub unit: String,
}
