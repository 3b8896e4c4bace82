//! `/apps/{app}/routing`: how the router treats an app. Ours; Heroku has no such resource.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Named;

/// How the router treats an app: each value counts, whether the app has it for itself (then its
/// name is in `own`) or it is as for all apps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Routing {
    /// Which app.
    pub app: Named,
    /// Time for connecting to one dyno, milliseconds (H19).
    pub connect_ms: u64,
    /// Time for waiting for a dyno and connecting, together, milliseconds (H20).
    pub queue_ms: u64,
    /// Time from the last byte of a request to the first of its response, milliseconds (H12).
    pub first_byte_ms: u64,
    /// Silence in both directions after that, milliseconds (H15, H28).
    pub idle_ms: u64,
    /// Requests at once for each web dyno that is up, all dynos together (H11).
    pub concurrency: u32,
    /// How a dyno is chosen: `random` or `least-connections`.
    pub balancing: String,
    /// Whether plain HTTP is answered with a redirect to HTTPS.
    pub https_only: bool,
    /// `max-age` of `Strict-Transport-Security`, seconds; `null`: there is no such header.
    pub hsts_max_age: Option<u64>,
    /// Whether names below the app's are meant, too.
    pub hsts_include_subdomains: bool,
    /// Whether the name may go into browsers' built-in lists.
    pub hsts_preload: bool,
    /// Whether visitors come back to the dyno that answered first: the feature
    /// `http-session-affinity`.
    pub session_affinity: bool,
    /// Whether dynos are asked by HTTP/2: the feature `http2-to-dynos`.
    pub http2_to_dynos: bool,
    /// Time without a request after which web dynos sleep where `web_idling` is on, milliseconds.
    pub idle_after_ms: u64,
    /// Whether web dynos sleep while nobody asks for the app: the feature `web-idling`.
    pub web_idling: bool,
    /// Names of the fields that the app has for itself.
    pub own: Vec<String>,
    /// When it was last changed, if ever.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// `PATCH /apps/{app}/routing`: what is absent stays, `null` makes it as for all apps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingUpdate {
    /// 100 to 60000.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub connect_ms: Option<Option<i64>>,
    /// 1000 to 600000.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub queue_ms: Option<Option<i64>>,
    /// 1000 to 3600000.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub first_byte_ms: Option<Option<i64>>,
    /// 1000 to 86400000.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub idle_ms: Option<Option<i64>>,
    /// 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub concurrency: Option<Option<i64>>,
    /// `random` or `least-connections`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<String>")]
    pub balancing: Option<Option<String>>,
    /// See [`Routing::https_only`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub https_only: Option<Option<bool>>,
    /// 0 (browsers forget it) to 315360000.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub hsts_max_age: Option<Option<i64>>,
    /// Needs `hsts_max_age`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub hsts_include_subdomains: Option<Option<bool>>,
    /// Whole minutes, 60000 to 2592000000 (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<i64>")]
    pub idle_after_ms: Option<Option<i64>>,
    /// Needs `hsts_include_subdomains` and an `hsts_max_age` of a year.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub hsts_preload: Option<Option<bool>>,
}
