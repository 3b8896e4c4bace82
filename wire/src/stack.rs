//! `/stacks`: the systems that apps are built and run on.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stack {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Whether new apps get it.
    #[serde(default)]
    pub default: bool,
    /// Id.
    pub id: Uuid,
    /// Unique name, e.g. `debian-12`.
    pub name: String,
    /// `public`, `beta`, `deprecated`.
    pub state: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}
