//! What the router tells of an app's requests: answer to `GET /apps` on its own socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An app that has had requests since the router started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppTraffic {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Requests that have ended since the router started.
    pub requests: u64,
    /// Requests under way, tunnels among them.
    pub in_flight: u64,
    /// Requests that wait for a dyno.
    pub waiting: u64,
    /// WebSockets and their like that are open.
    pub tunnels: u64,
    /// The last minutes.
    pub recent: Recent,
}

/// An app's requests that ended lately.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// How long ago this begins, seconds.
    pub seconds: f64,
    /// How many ended.
    pub requests: u64,
    /// The same by status class, `2xx`; those that had none are left out.
    pub statuses: BTreeMap<String, u64>,
    /// By code, `H12`; those that had none are left out.
    pub codes: BTreeMap<String, u64>,
    /// Bytes of responses' bodies.
    pub bytes: u64,
    /// Half of them took no longer, milliseconds, from their head to the last byte of the
    /// response; as near as the buckets of the histogram tell. Tunnels are left out.
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    pub p99_ms: Option<f64>,
}
