//! `/pipelines`: apps that follow each other from development to production.
//!
//! Beside the pipeline itself: its transfer (`POST /pipeline-transfers`) and the stack that
//! its review apps and tests get (`GET /pipelines/{id}/pipeline-stack`).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IdRef, Identity, Named};

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Generation of the platform.
    #[serde(default)]
    pub generation: Option<Named>,
    /// Id.
    pub id: Uuid,
    /// Its name: unique among those of its owner.
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<PipelineOwner>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Whose a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineOwner {
    /// Id of the account or team.
    pub id: Uuid,
    /// Which of the two.
    #[serde(rename = "type")]
    pub kind: OwnerKind,
}

/// What may own a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// An account.
    User,
    /// A team.
    Team,
}

impl OwnerKind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Team => "team",
        }
    }
}

/// `POST /pipelines`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PipelineCreate {
    /// Its name.
    pub name: String,
    /// Whose it will be; the account that asks when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PipelineOwner>,
}

/// `PATCH /pipelines/{pipeline}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PipelineUpdate {
    /// Its new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Query of `GET /pipelines`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PipelineQuery {
    /// Only those of this name.
    #[serde(rename = "eq[name]", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A pipeline that was given to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineTransfer {
    /// Whose it is now.
    pub new_owner: PipelineOwner,
    /// The pipeline.
    pub pipeline: IdRef,
    /// Whose it was.
    pub previous_owner: PipelineOwner,
}

/// `POST /pipeline-transfers`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PipelineTransferCreate {
    /// Whose it will be.
    pub new_owner: PipelineOwner,
    /// The pipeline.
    pub pipeline: Identity,
}

/// The stack of builds that name none themselves, in tests and review apps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStack {
    /// The stack.
    #[serde(default)]
    pub stack: Option<Named>,
}
