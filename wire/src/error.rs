//! What the API answers when it refuses: `{id, message, url}`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::NameRef;

/// The body of every answer with a status of 400 and above. Clients print `message`, and a
/// few decide by `id` (see the constants of this module).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What kind of error it is, for programs.
    pub id: String,
    /// What failed, why, and what to do next, for people.
    pub message: String,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Which kind of resource was not found, e.g. `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The app whose name confirms a `confirmation_required` request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<NameRef>,
}

impl ErrorBody {
    /// An error with an id and a sentence.
    #[must_use]
    pub fn new(id: impl Into<String>, message: impl Into<String>) -> Self {
        Self { id: id.into(), message: message.into(), url: None, resource: None, app: None }
    }
}

/// 400: the body or a header could not be read.
pub const BAD_REQUEST: &str = "bad_request";
/// 401: no or wrong credentials.
pub const UNAUTHORIZED: &str = "unauthorized";
/// 403: known, but not allowed.
pub const FORBIDDEN: &str = "forbidden";
/// 403: a second factor is wanted.
pub const TWO_FACTOR: &str = "two_factor";
/// 404: no such thing.
pub const NOT_FOUND: &str = "not_found";
/// 405: the path exists, the method does not.
pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
/// 409: it clashes with the present state.
pub const CONFLICT: &str = "conflict";
/// 422: understood, but a value is not acceptable.
pub const INVALID_PARAMS: &str = "invalid_params";
/// 423: send it again with the app's name as `confirm`.
pub const CONFIRMATION_REQUIRED: &str = "confirmation_required";
/// 422: a name fits several resources.
pub const MULTIPLE_MATCHES: &str = "multiple_matches";
/// 429: too many requests.
pub const RATE_LIMIT: &str = "rate_limit";
/// 500: our fault.
pub const INTERNAL_SERVER_ERROR: &str = "internal_server_error";
/// 503: try again in a moment.
pub const SERVICE_UNAVAILABLE: &str = "service_unavailable";
