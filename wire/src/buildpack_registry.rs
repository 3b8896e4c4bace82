//! `/buildpacks`: the registry of buildpacks that have a name (`namespace/name`), as Heroku's
//! clients read it. It wants no credentials.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A buildpack of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegisteredBuildpack {
    /// What to set an app to, for this buildpack: an address that
    /// `/apps/{app}/buildpack-installations` takes.
    pub blob_url: String,
    /// `languages`, `tools` or `packages`.
    pub category: String,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What it is for, in a sentence.
    pub description: String,
    /// Id.
    pub id: Uuid,
    /// Its name within the namespace.
    pub name: String,
    /// E.g. `heroku`.
    pub namespace: String,
    /// Where its source is.
    pub source: RegistrySource,
    /// Who helps.
    pub support: RegistrySupport,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Where a buildpack's source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrySource {
    /// `embedded`: in the server itself; `archive`: at its blob's address.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Who helps with a buildpack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrySupport {
    /// Where to ask.
    pub address: String,
    /// `email`, `github`, `website` or `unsupported`.
    pub method: String,
}

/// A version of a buildpack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildpackRevision {
    /// When it was released.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Its license.
    #[serde(default)]
    pub license: Option<String>,
    /// The server's version that it comes with.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Number, from 1.
    pub release: u64,
    /// `published`.
    pub status: String,
}

/// What a buildpack says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildpackReadme {
    /// The text, in Base64.
    pub content: String,
    /// `base64`.
    pub encoding: String,
}
