//! `/pipeline-couplings`: which app is in which pipeline, and at which stage.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Identity, Named};

/// An app in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineCoupling {
    /// The app. Its name is ours.
    pub app: Named,
    /// Since when.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// The pipeline. Its name is not in Heroku's schema, but its clients show it.
    pub pipeline: Named,
    /// Where in it.
    pub stage: Stage,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// A place in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Test runs.
    Test,
    /// Review apps, one a branch.
    Review,
    /// Where work begins.
    Development,
    /// Where it is looked at.
    Staging,
    /// What users see.
    Production,
}

impl Stage {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Where a promotion goes from here when nobody says where.
    #[must_use]
    pub const fn downstream(self) -> Option<Self> {
        match self {
            Self::Development => Some(Self::Staging),
            Self::Staging => Some(Self::Production),
            Self::Test | Self::Review | Self::Production => None,
        }
    }
}

/// `POST /pipeline-couplings`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PipelineCouplingCreate {
    /// The app.
    pub app: Identity,
    /// The pipeline.
    pub pipeline: Identity,
    /// Where in it.
    pub stage: Stage,
}

/// `PATCH /pipeline-couplings/{coupling}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PipelineCouplingUpdate {
    /// Where it moves to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
}
