//! `/pipeline-promotions`: what an app runs is released on other apps of its pipeline.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::IdRef;

/// A promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelinePromotion {
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Its pipeline.
    pub pipeline: IdRef,
    /// Where it comes from.
    pub source: PromotionSource,
    /// Whether all targets have ended.
    pub status: PromotionStatus,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Where a promotion comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionSource {
    /// The app.
    pub app: IdRef,
    /// Its release.
    pub release: IdRef,
}

/// How far a promotion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromotionStatus {
    /// Some targets are still at it.
    Pending,
    /// All have ended, well or not.
    Completed,
}

/// What became of a promotion on one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionTarget {
    /// The app.
    pub app: IdRef,
    /// Why it failed.
    #[serde(default)]
    pub error_message: Option<String>,
    /// Id.
    pub id: Uuid,
    /// Its promotion.
    pub pipeline_promotion: IdRef,
    /// The release that it made there; absent before it is made.
    #[serde(default)]
    pub release: Option<IdRef>,
    /// How it went.
    pub status: TargetStatus,
}

/// How a promotion went on one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetStatus {
    /// The release is still to come, or its release phase runs.
    Pending,
    /// It is released.
    Succeeded,
    /// It is not: `error_message` says why.
    Failed,
}

impl TargetStatus {
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

/// `POST /pipeline-promotions`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PipelinePromotionCreate {
    /// The pipeline.
    pub pipeline: IdRef,
    /// What is promoted.
    pub source: PromotionSourceCreate,
    /// Where to.
    pub targets: Vec<PromotionTargetCreate>,
}

/// What is promoted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PromotionSourceCreate {
    /// The app.
    pub app: IdRef,
    /// One of its releases; its current one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<IdRef>,
}

/// Where a promotion goes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PromotionTargetCreate {
    /// The app.
    pub app: IdRef,
}
