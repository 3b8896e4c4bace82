//! `/apps/{app}/builds`: from source to slug.
//!
//! `DELETE /apps/{app}/builds/{id}` cancels a build, `DELETE /apps/{app}/build-cache` drops
//! the app's cache.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IdRef, UserRef};

/// A build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Its app.
    pub app: IdRef,
    /// The buildpacks that ran, in order.
    #[serde(default)]
    pub buildpacks: Option<Vec<BuildBuildpack>>,
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Generation of the platform.
    #[serde(default)]
    pub generation: Option<String>,
    /// Id.
    pub id: Uuid,
    /// Its output as a plain text stream: GET, no credentials, ends with the build.
    pub output_stream_url: String,
    /// The release it led to.
    #[serde(default)]
    pub release: Option<IdRef>,
    /// The slug it made.
    #[serde(default)]
    pub slug: Option<IdRef>,
    /// Where the source came from.
    pub source_blob: SourceBlob,
    /// Name of the stack it ran on.
    pub stack: String,
    /// How it went.
    pub status: BuildStatus,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Who asked for it.
    pub user: UserRef,
}

/// How a build went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    /// Queued or running.
    Pending,
    /// There is a slug.
    Succeeded,
    /// It failed or was cancelled.
    Failed,
}

impl BuildStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// A buildpack of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildBuildpack {
    /// Where it comes from.
    #[serde(default)]
    pub url: String,
    /// Its name in the catalog, e.g. `heroku/ruby`; clients may send this alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl BuildBuildpack {
    /// What a client has given: the address, else the name.
    #[must_use]
    pub fn given(&self) -> &str {
        if self.url.is_empty() { self.name.as_deref().unwrap_or_default() } else { &self.url }
    }
}

/// The source of a build: a gzipped tar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceBlob {
    /// `SHA256:` and hex digits, to check it by.
    #[serde(default)]
    pub checksum: Option<String>,
    /// Where to get it.
    #[serde(default)]
    pub url: String,
    /// Usually the commit.
    #[serde(default)]
    pub version: Option<String>,
    /// Usually the commit's message.
    #[serde(default)]
    pub version_description: Option<String>,
}

/// `POST /apps/{app}/builds`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BuildCreate {
    /// The source.
    pub source_blob: SourceBlob,
    /// Buildpacks for this build only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<BuildBuildpack>>,
}
