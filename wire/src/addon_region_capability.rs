//! `/addon-region-capabilities`: which services can be had in which regions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AddonService, Region};

/// A service in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonRegionCapability {
    /// The service.
    pub addon_service: AddonService,
    /// Id.
    pub id: Uuid,
    /// The region.
    pub region: Region,
    /// Whether it can be had in a private network of that region.
    pub supports_private_networking: bool,
}
