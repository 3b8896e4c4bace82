//! `/redis/v0/databases/{addon}`: the Redis data API, as Heroku's command line uses it.
//!
//! | request | answer |
//! |---|---|
//! | `GET …/{addon}` | [`RedisInfo`] |
//! | `PATCH …/{addon}/config` with [`RedisConfigUpdate`] | [`RedisConfig`] |
//! | `GET …/{addon}/config` (ours) | [`RedisConfig`] |
//! | `POST …/{addon}/credentials_rotation` | [`RedisMessage`] |
//! | `POST …/{addon}/stats/reset` | [`RedisMessage`] |
//! | `POST …/{addon}/upgrade` with [`RedisUpgrade`] | [`RedisMessage`] |
//! | `GET …/{addon}/wait` | [`RedisWait`] |
//! | `POST …/{addon}/cli` with [`RedisCliCreate`] (ours) | [`RedisCli`] |

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A Redis and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisInfo {
    /// Id of the add-on.
    pub addon_id: Uuid,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The servers behind it.
    pub formation: RedisFormation,
    /// Rows for people: plan, status, version, memory …
    #[serde(default)]
    pub info: Vec<RedisInfoRow>,
    /// Where it runs, in Heroku's words.
    #[serde(default)]
    pub metaas_source: String,
    /// Name of the add-on.
    pub name: String,
    /// Name of the plan.
    pub plan: String,
    /// TCP port inside the app's network.
    pub port: u16,
    /// Whether the URL is for TLS; false here, since the app's network is its own.
    #[serde(default)]
    pub prefer_native_tls: bool,
    /// URL with password, as the app sees it.
    pub resource_url: String,
    /// Version of the server, e.g. `7.0.15`.
    pub version: String,
}

/// The servers behind a Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisFormation {
    /// Id.
    pub id: Uuid,
    /// Which one is written to.
    #[serde(default)]
    pub primary: Option<String>,
}

/// One row of information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisInfoRow {
    /// What it is about.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}

/// Settings that can be changed. Changing one restarts nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RedisConfig {
    /// What happens when the memory is used up.
    pub maxmemory_policy: RedisSetting,
    /// Which keyspace events are published.
    pub notify_keyspace_events: RedisSetting,
    /// Seconds after which an idle connection is closed; 0 never.
    pub timeout: RedisSetting,
}

/// One setting with what people need to choose it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RedisSetting {
    /// What it does.
    pub desc: String,
    /// The present value: a text or a number.
    pub value: Value,
    /// The value it starts with.
    pub default: Value,
    /// What the possible values mean.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// `PATCH …/config`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RedisConfigUpdate {
    /// E.g. `allkeys-lru`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxmemory_policy: Option<String>,
    /// E.g. `AKE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_keyspace_events: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::number")]
    #[schemars(with = "Option<u64>")]
    pub timeout: Option<u64>,
}

/// The eviction policies of Redis, with what they mean, for [`RedisSetting::values`].
pub const MAXMEMORY_POLICIES: [(&str, &str); 8] = [
    ("noeviction", "answers writes with an error when the memory is used up"),
    ("allkeys-lru", "drops the keys that were used longest ago"),
    ("allkeys-lfu", "drops the keys that are used least often"),
    ("allkeys-random", "drops any keys"),
    ("volatile-lru", "drops the keys with an expiry that were used longest ago"),
    ("volatile-lfu", "drops the keys with an expiry that are used least often"),
    ("volatile-random", "drops any keys with an expiry"),
    ("volatile-ttl", "drops the keys that expire soonest"),
];

/// A sentence about what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisMessage {
    /// The sentence.
    pub message: String,
}

/// `POST …/upgrade`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RedisUpgrade {
    /// The version of Redis that is wanted, e.g. `7`.
    pub version: String,
}

/// Whether a Redis can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisWait {
    /// How it is.
    pub message: String,
    /// Whether to ask again.
    #[serde(rename = "waiting?")]
    pub waiting: bool,
}

/// `POST …/cli`: opens `redis-cli` on it. Ours.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RedisCliCreate {
    /// Whether it gets pipes instead of a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_no_tty: Option<bool>,
    /// Width of the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u16>,
    /// Height of the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u16>,
    /// Arguments for `redis-cli`; none opens its prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// Where to attach to it: the last path segment is the secret for `/streams/attach/SECRET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedisCli {
    /// As for dynos: `rendezvous://HOST:PORT/SECRET`.
    pub attach_url: String,
}
