//! `/apps/{app}/dynos`: running processes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// A dyno.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dyno {
    /// Its app.
    pub app: Named,
    /// For attached one-offs: `rendezvous://HOST:PORT/SECRET`. Our own command line takes the
    /// secret and goes to `/streams/attach/SECRET` of the API instead (see [`crate::attach`]).
    #[serde(default)]
    pub attach_url: Option<String>,
    /// What it runs.
    pub command: String,
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// E.g. `web.1`.
    pub name: String,
    /// The release it runs.
    pub release: DynoRelease,
    /// Name of its size, e.g. `Standard-1X`.
    pub size: String,
    /// How it is.
    pub state: DynoState,
    /// Process type, e.g. `web`, `run`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When its state last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// The release of a dyno.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DynoRelease {
    /// Id.
    pub id: Uuid,
    /// Number, e.g. 7 for v7.
    pub version: u64,
}

/// How a dyno is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DynoState {
    /// Not ready yet.
    Starting,
    /// Running.
    Up,
    /// It ended by itself.
    Crashed,
    /// Asleep for want of requests.
    Idle,
    /// Stopped, or not there at all.
    Down,
}

impl DynoState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Crashed => "crashed",
            Self::Idle => "idle",
            Self::Down => "down",
        }
    }
}

/// `POST /apps/{app}/dynos`: runs a one-off dyno.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DynoCreate {
    /// What to run: a shell line, or a process type with arguments.
    pub command: String,
    /// Whether someone will attach to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// More environment. Values may come as numbers (`COLUMNS`, `LINES`: the terminal's size).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::texts")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub env: Option<BTreeMap<String, String>>,
    /// Whether it gets pipes instead of a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_no_tty: Option<bool>,
    /// Name of a size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Process type to run as; `run` when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Seconds after which it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::number")]
    #[schemars(with = "Option<u64>")]
    pub time_to_live: Option<u64>,
}
