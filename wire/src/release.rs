//! `/apps/{app}/releases`: each slug with each configuration that an app ever ran.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IdRef, Named, UserRef};

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// Plans of the add-ons that the app had.
    #[serde(default)]
    pub addon_plan_names: Vec<String>,
    /// Its app.
    pub app: Named,
    /// What it runs.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Whether it is the one that runs.
    #[serde(default)]
    pub current: bool,
    /// Why it was made, e.g. `Set FOO config vars`, `Deploy 5ec1351`.
    pub description: String,
    /// Whether one can roll back to it.
    #[serde(default)]
    pub eligible_for_rollback: bool,
    /// Id.
    pub id: Uuid,
    /// Output of its release phase as a plain text stream; absent when it has none.
    #[serde(default)]
    pub output_stream_url: Option<String>,
    /// Its slug.
    #[serde(default)]
    pub slug: Option<IdRef>,
    /// How its release phase went.
    pub status: ReleaseStatus,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Who made it.
    pub user: UserRef,
    /// Number from 1: 7 is v7.
    pub version: u64,
}

/// Something a release runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// `slug`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the slug.
    pub id: Uuid,
}

/// How a release went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Its release phase runs.
    Pending,
    /// It is or was in use.
    Succeeded,
    /// Its release phase failed; it never ran.
    Failed,
    /// Its slug is no longer kept.
    Expired,
}

impl ReleaseStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// `POST /apps/{app}/releases`: a slug to run, or a release to roll back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseCreate {
    /// Id or version of a release to roll back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Id of a slug to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// An OCI image to run: it is seen to be there, and refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci_image: Option<String>,
    /// Why, for a slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
