//! `/app-setups`: apps that are made from an archive with an app.json.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BuildStatus, Identity, Named, SourceBlob};

/// An app on its way from an archive to an app that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppSetup {
    /// The app; it is gone again when the setup fails before its build.
    pub app: Named,
    /// Its build, once there is one.
    #[serde(default)]
    pub build: Option<SetupBuild>,
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Why it failed.
    #[serde(default)]
    pub failure_message: Option<String>,
    /// Id.
    pub id: Uuid,
    /// What is wrong with its app.json.
    #[serde(default)]
    pub manifest_errors: Vec<String>,
    /// What its `postdeploy` script said.
    #[serde(default)]
    pub postdeploy: Option<Postdeploy>,
    /// Where its user goes when all is done.
    #[serde(default)]
    pub resolved_success_url: Option<String>,
    /// How far it is.
    pub status: SetupStatus,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// How far a setup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupStatus {
    /// It goes on.
    Pending,
    /// All is done.
    Succeeded,
    /// It ended before all was done.
    Failed,
}

/// The build of a setup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupBuild {
    /// Id.
    pub id: Uuid,
    /// Its output as a plain text stream.
    pub output_stream_url: String,
    /// How it went.
    pub status: BuildStatus,
}

/// The script that ran after the deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Postdeploy {
    /// How it ended.
    pub exit_code: i64,
    /// What it said.
    pub output: String,
}

/// `POST /app-setups`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AppSetupCreate {
    /// The archive.
    pub source_blob: SourceBlob,
    /// The app to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<SetupApp>,
    /// What counts before app.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<SetupOverrides>,
}

/// The app of a setup.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SetupApp {
    /// Its name; one is made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Stack by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Identity>,
    /// The team that it is to belong to.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "team")]
    pub organization: Option<Identity>,
    /// Whether members of the team can't join it by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// Whether it is to belong to its user in spite of a default team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<bool>,
}

/// What counts before app.json.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SetupOverrides {
    /// Buildpacks in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<SetupBuildpack>>,
    /// Config vars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
}

/// A buildpack.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetupBuildpack {
    /// An address, or a name such as `heroku/ruby`.
    pub url: String,
}
