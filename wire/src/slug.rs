//! `/apps/{app}/slugs`: a built app, ready to run.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Identity, Named};

/// A slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slug {
    /// Where its archive is.
    pub blob: SlugBlob,
    /// What the buildpack calls itself.
    #[serde(default)]
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and hex digits.
    #[serde(default)]
    pub checksum: Option<String>,
    /// Commit it was built from.
    #[serde(default)]
    pub commit: Option<String>,
    /// The commit's message.
    #[serde(default)]
    pub commit_description: Option<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// When its archive was taken away.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub deleted_at: Option<DateTime<Utc>>,
    /// Id.
    pub id: Uuid,
    /// Command by process type.
    #[serde(default)]
    pub process_types: BTreeMap<String, String>,
    /// Bytes of the archive.
    #[serde(default)]
    pub size: Option<u64>,
    /// The stack it needs.
    pub stack: Named,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Where a slug's archive is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlugBlob {
    /// `GET`, or `PUT` for a slug that was just made.
    pub method: String,
    /// Address; whoever has it needs no credentials.
    pub url: String,
}

/// `POST /apps/{app}/slugs`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SlugCreate {
    /// Command by process type.
    pub process_types: BTreeMap<String, String>,
    /// What the buildpack calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:` and hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Commit it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_description: Option<String>,
    /// Stack by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Identity>,
}
