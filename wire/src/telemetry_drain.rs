//! `/telemetry-drains`: logs, metrics and traces of an app, sent in OpenTelemetry's form.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A telemetry drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryDrain {
    /// When it was added.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Where and how it sends.
    pub exporter: TelemetryExporter,
    /// Id.
    pub id: Uuid,
    /// Whose telemetry it gets.
    pub owner: TelemetryOwner,
    /// What it sends.
    pub signals: Vec<TelemetrySignal>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Where and how a telemetry drain sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryExporter {
    /// Over which transport.
    #[serde(rename = "type")]
    pub kind: TelemetryTransport,
    /// The receiver's address; `/v1/logs`, `/v1/metrics` and `/v1/traces` are put to its end.
    pub endpoint: String,
    /// What is said to it with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryTransport {
    /// OTLP over HTTP.
    Otlphttp,
    /// OTLP over gRPC.
    Otlp,
}

/// What a telemetry drain may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TelemetrySignal {
    /// A span for each request that the router carried.
    Traces,
    /// What dynos use, and how many requests there were.
    Metrics,
    /// Log lines.
    Logs,
}

/// Whose a telemetry drain is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryOwner {
    /// The app's id; its name will do in a request.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: TelemetryOwnerKind,
}

/// What may own a telemetry drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryOwnerKind {
    /// An app.
    App,
    /// A private space: there are none here.
    Space,
}

/// `POST /telemetry-drains`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryDrainCreate {
    /// For whom.
    pub owner: TelemetryOwner,
    /// What to send.
    pub signals: Vec<TelemetrySignal>,
    /// Where and how.
    pub exporter: TelemetryExporter,
}

/// `PATCH /telemetry-drains/{drain}`: what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryDrainUpdate {
    /// What to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<Vec<TelemetrySignal>>,
    /// Where and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter: Option<TelemetryExporterUpdate>,
}

/// What is to change of an exporter: clients send the parts that do.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryExporterUpdate {
    /// Over which transport.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TelemetryTransport>,
    /// The receiver's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What is said to it; takes the place of all that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
}
