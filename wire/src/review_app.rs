//! `/review-apps`, `/pipelines/{pipeline}/review-app-config` and `/pipelines/{pipeline}/repo`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::{IdRef, Identity};

/// A branch as an app of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewApp {
    /// The app.
    #[serde(default)]
    pub app: Option<IdRef>,
    /// How it is set up.
    #[serde(default)]
    pub app_setup: Option<IdRef>,
    /// The branch.
    pub branch: String,
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Who asked for it.
    pub creator: IdRef,
    /// At which status it went wrong.
    #[serde(default)]
    pub error_status: Option<String>,
    /// The fork that the branch is in.
    #[serde(default)]
    pub fork_repo: Option<RepoRef>,
    /// Id.
    pub id: Uuid,
    /// What went wrong.
    #[serde(default)]
    pub message: Option<String>,
    /// Its pipeline.
    pub pipeline: IdRef,
    /// The number of the pull request.
    #[serde(default)]
    pub pr_number: Option<i64>,
    /// How far it is: `pending`, `creating`, `created`, `deleting`, `deleted`, `errored`.
    pub status: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whether it waits for its tests.
    #[serde(default)]
    pub wait_for_ci: bool,
}

/// A repository by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepoRef {
    /// Its number.
    pub id: i64,
}

/// `POST /review-apps`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReviewAppCreate {
    /// The branch.
    pub branch: String,
    /// Its pipeline.
    pub pipeline: Identity,
    /// Its source.
    pub source_blob: ReviewSource,
    /// Config vars of this one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::texts")]
    pub environment: Option<BTreeMap<String, String>>,
    /// The fork that the branch is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_repo_id: Option<i64>,
    /// The number of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pr_number: Option<i64>,
}

/// The source of a review app.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReviewSource {
    /// The address of an archive; `resolve`: the branch of the pipeline's repository.
    pub url: String,
    /// Usually the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// How a pipeline makes review apps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewAppConfig {
    /// Every branch gets one.
    pub automatic_review_apps: bool,
    /// What their names begin with.
    #[serde(default)]
    pub base_name: Option<String>,
    /// Where they are made.
    #[serde(default)]
    pub deploy_target: Option<DeployTarget>,
    /// Those that nobody deploys go.
    pub destroy_stale_apps: bool,
    /// Its pipeline.
    pub pipeline_id: Uuid,
    /// The repository.
    pub repo: RepoRef,
    /// After how many days.
    pub stale_days: i64,
    /// Not before its tests have passed.
    pub wait_for_ci: bool,
}

/// Where review apps are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeployTarget {
    /// Id of the region.
    pub id: String,
    /// `region`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `POST` and `PATCH /pipelines/{pipeline}/review-app-config`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReviewAppConfigChange {
    /// Every branch gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_review_apps: Option<bool>,
    /// What their names begin with; null: the pipeline's name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub base_name: Option<Option<String>>,
    /// Where they are made: there is one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_target: Option<DeployTarget>,
    /// Those that nobody deploys go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_stale_apps: Option<bool>,
    /// `owner/name` of the repository that the pipeline is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// After how many days without a deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_days: Option<i64>,
    /// Not before its tests have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_ci: Option<bool>,
}

/// Tells `null` from absence.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// The repository that a pipeline is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineRepo {
    /// When it was connected.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// `owner/name`.
    pub full_name: String,
    /// Its number.
    pub id: i64,
    /// The last part of its name.
    pub name: String,
    /// Its pipeline.
    pub pipeline: IdRef,
    /// Its address, without user and password.
    pub repo_url: String,
}

/// `POST /pipelines/{pipeline}/repo`. Ours.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PipelineRepoCreate {
    /// The https address of a git repository, or the name of an app of this server.
    pub repo_url: String,
}

/// A branch of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Branch {
    /// Where its tree is to be had as an archive, for a while and without credentials.
    pub archive_link: String,
    /// Where it is.
    pub commit: Commit,
    /// Its name.
    pub name: String,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commit {
    /// Its hash.
    pub sha: String,
}
