//! `/router`: how the router is, and how apps fare with it. Ours; Heroku has no such resource.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// The router, and those apps of whoever asks that have dynos or had requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Router {
    /// Whether it answers. Where it doesn't, there is nothing else to tell.
    pub answers: bool,
    /// Version of the program.
    pub version: Option<String>,
    /// When it started; what is counted begins there.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub started_at: Option<DateTime<Utc>>,
    /// Whether it follows the daemon; else it goes on by the routing table that it has.
    pub follows: bool,
    /// What concerns the whole machine: for administrators.
    pub process: Option<RouterProcess>,
    /// Apps, by name.
    pub apps: Vec<RouterApp>,
}

/// The router's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterProcess {
    /// Its number.
    pub pid: u32,
    /// Of the routing table in use; it grows with every change.
    pub generation: u64,
    /// Apps in that table.
    pub apps: u64,
    /// Client connections and tunnels that are open.
    pub connections: u64,
    /// Requests that wait for a dyno.
    pub waiting: u64,
    /// Where it takes HTTP.
    pub http: Vec<String>,
    /// Where it takes HTTPS.
    pub https: Vec<String>,
    /// Access lines on their way into the apps' logs.
    pub log_lines_waiting: u64,
    /// Access lines that were lost since its start.
    pub log_lines_dropped: u64,
}

/// An app as the router sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouterApp {
    /// Which.
    pub app: Named,
    /// Requests under way, WebSockets among them.
    pub in_flight: u64,
    /// Requests that wait for a dyno.
    pub waiting: u64,
    /// WebSockets and their like that are open.
    pub tunnels: u64,
    /// Requests that have ended since the router started.
    pub requests: u64,
    /// The last minutes; `null` before the first request.
    pub recent: Option<RouterRecent>,
    /// Its web dynos, and those that left and still have requests.
    pub dynos: Vec<RouterDyno>,
}

/// The requests of an app that ended lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouterRecent {
    /// How long ago this begins, seconds.
    pub seconds: f64,
    /// How many ended.
    pub requests: u64,
    /// The same by status class: `2xx`.
    pub statuses: BTreeMap<String, u64>,
    /// Failed ones by code: `H12`.
    pub codes: BTreeMap<String, u64>,
    /// Bytes of responses' bodies.
    pub bytes: u64,
    /// Half of them took no longer, milliseconds, to the last byte of the response. As near as a
    /// histogram tells; WebSockets are left out.
    pub p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
}

/// A web dyno as the router sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterDyno {
    /// Its id.
    pub id: Uuid,
    /// Its name, `web.1`.
    pub name: String,
    /// Requests and tunnels on it.
    pub in_flight: u64,
    /// `up`; `quarantined`: left alone for some seconds since it couldn't be connected to; `leaving`:
    /// it gets no new requests.
    pub state: String,
}

/// Query of `GET /router`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RouterQuery {
    /// Only the app of this name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}
