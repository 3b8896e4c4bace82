//! `/apps/{app}/buildpack-installations`: which buildpacks the next build runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One buildpack of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildpackInstallation {
    /// Its place in the order, from 0.
    pub ordinal: u32,
    /// Which one.
    pub buildpack: InstalledBuildpack,
}

/// A buildpack as an app names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstalledBuildpack {
    /// Where it comes from: a git or tgz URL, or `urn:buildpack:NAME` for one of the catalog.
    pub url: String,
    /// Its name in the catalog, else its URL.
    pub name: String,
}

/// `PUT /apps/{app}/buildpack-installations`: the whole list, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct BuildpackInstallationsUpdate {
    /// All buildpacks; empty goes back to detection.
    #[serde(default)]
    pub updates: Vec<BuildpackInstallationUpdate>,
}

/// One entry of the list.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BuildpackInstallationUpdate {
    /// Name or URL.
    pub buildpack: String,
}
