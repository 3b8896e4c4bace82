//! `/test-runs`: a commit's tests, the node that they ran on, and their cases.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Account, IdRef, Identity, NameRef};

/// A run of a commit's tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestRun {
    /// Who asked for it.
    pub actor_email: String,
    /// How its app is set up.
    #[serde(default)]
    pub app_setup: Option<TestSetup>,
    /// Whether the cache of builds was emptied.
    #[serde(default)]
    pub clear_cache: Option<bool>,
    /// The branch.
    pub commit_branch: String,
    /// The commit's message.
    pub commit_message: String,
    /// The commit.
    pub commit_sha: String,
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Whether it stops before the tests.
    pub debug: bool,
    /// The dyno that the tests ran on.
    #[serde(default)]
    pub dyno: Option<TestDyno>,
    /// Id.
    pub id: Uuid,
    /// Why it did not come to an end.
    #[serde(default)]
    pub message: Option<String>,
    /// Its number in the pipeline.
    pub number: i64,
    /// The team.
    #[serde(default)]
    pub organization: Option<NameRef>,
    /// Its pipeline.
    pub pipeline: IdRef,
    /// Where its source came from.
    pub source_blob_url: String,
    /// How far it is.
    pub status: TestStatus,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Who asked for it.
    pub user: Account,
    /// What should be known about it.
    #[serde(default)]
    pub warning_message: Option<String>,
}

/// How the app of a run is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestSetup {
    /// Id.
    pub id: Uuid,
    /// The app's name, while it is there. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
}

/// The dyno of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestDyno {
    /// Its size.
    pub size: String,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    /// It waits.
    Pending,
    /// A user has ended it.
    Cancelled,
    /// Its app is being made.
    Creating,
    /// Its source is being built.
    Building,
    /// Its tests run.
    Running,
    /// They passed.
    Succeeded,
    /// They did not.
    Failed,
    /// It never came to them.
    Errored,
    /// Somebody looks around in it.
    Debugging,
}

impl TestStatus {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Cancelled,
        Self::Creating,
        Self::Building,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Errored,
        Self::Debugging,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Cancelled => "cancelled",
            Self::Creating => "creating",
            Self::Building => "building",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Debugging => "debugging",
        }
    }

    /// Whether nothing more comes.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Errored | Self::Cancelled)
    }
}

/// `POST /test-runs`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestRunCreate {
    /// The branch.
    pub commit_branch: String,
    /// The commit's message.
    pub commit_message: String,
    /// The commit.
    pub commit_sha: String,
    /// Stop before the tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Identity>,
    /// Its pipeline.
    pub pipeline: Identity,
    /// The address of its source.
    pub source_blob_url: String,
}

/// `PATCH /test-runs/{test_run}`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestRunUpdate {
    /// `cancelled`: nothing else is for users to say.
    pub status: TestStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The machine that a run's tests ran on: there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestNode {
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Its dyno.
    #[serde(default)]
    pub dyno: Option<NodeDyno>,
    /// At which status it went wrong.
    #[serde(default)]
    pub error_status: Option<String>,
    /// How its tests ended.
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// Id.
    pub id: Uuid,
    /// Its place among the nodes.
    pub index: i64,
    /// Why it did not come to an end.
    #[serde(default)]
    pub message: Option<String>,
    /// What its tests say, as a plain text stream.
    pub output_stream_url: String,
    /// Its pipeline.
    pub pipeline: IdRef,
    /// What its build says, as a plain text stream.
    pub setup_stream_url: String,
    /// How far it is.
    pub status: TestStatus,
    /// Its run.
    pub test_run: IdRef,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// The dyno of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDyno {
    /// Id.
    pub id: Uuid,
    /// Where one attaches to it.
    #[serde(default)]
    pub attach_url: Option<String>,
}

/// A case that a run has told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestCase {
    /// When it was told.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What it is about. Not in the schema.
    pub description: String,
    /// What was said about it.
    pub diagnostic: String,
    /// `SKIP …`, `TODO …`.
    pub directive: String,
    /// Id.
    pub id: Uuid,
    /// Its number.
    pub number: i64,
    /// Whether it passed.
    pub passed: bool,
    /// Where it ran.
    pub test_node: IdRef,
    /// Its run.
    pub test_run: IdRef,
    /// When it was told.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}
