//! `/account/rate-limits`: how many more requests may be made. The same number is in the
//! header [`crate::headers::RATE_LIMIT_REMAINING`] of every answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateLimit {
    /// Requests that may be made at once.
    pub remaining: u64,
}
