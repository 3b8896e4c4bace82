//! OpenTelemetry's JSON form of logs, traces and metrics (OTLP/HTTP). Whole numbers of 64 bits
//! are texts in it.
//!
//! Traces are what the router knows: one span of kind SERVER for each request, made of its log
//! line. The trace's identity is the request's, so that an app that logs `X-Request-Id` can be
//! brought together with it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::frame::Piece;
use crate::logs::{Line, Source};

/// What telemetry is of, and which of it lines are made into.
#[derive(Debug, Clone)]
pub(super) struct Telemetry {
    pub(super) app_id: Uuid,
    pub(super) app_name: String,
    pub(super) logs: bool,
    pub(super) traces: bool,
    /// Requests as they are read, for metrics.
    pub(super) counts: Arc<Counts>,
}

/// Requests since a time, by status.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) since: DateTime<Utc>,
    by_status: Mutex<BTreeMap<u16, Requests>>,
}

/// Requests of one status.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Requests {
    pub(super) count: u64,
    /// How long dynos took for all of them together.
    pub(super) service_ms: u64,
}

impl Counts {
    pub(super) fn new(since: DateTime<Utc>) -> Self {
        Self { since, by_status: Mutex::default() }
    }

    fn count(&self, facts: &Facts<'_>) {
        let mut by_status = self.by_status.lock().unwrap_or_else(PoisonError::into_inner);
        let of_status = by_status.entry(facts.status()).or_default();
        of_status.count += 1;
        of_status.service_ms = of_status.service_ms.saturating_add(facts.milliseconds("service"));
    }

    pub(super) fn by_status(&self) -> BTreeMap<u16, Requests> {
        self.by_status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Telemetry {
    /// The requests that these lines are sent by; none when nothing of them is wanted.
    pub(super) fn pieces(&self, lines: &[Line]) -> Vec<Piece> {
        let mut requests: Vec<(&Line, Facts<'_>)> = Vec::new();
        for line in lines.iter().filter(|line| line.source == Source::Heroku && line.process == "router") {
            if let Some(facts) = Facts::parse(&line.message) {
                self.counts.count(&facts);
                requests.push((line, facts));
            }
        }
        let mut pieces = Vec::new();
        if self.logs && !lines.is_empty() {
            pieces.push(piece("/v1/logs", &self.logs(lines)));
        }
        if self.traces && !requests.is_empty() {
            pieces.push(piece("/v1/traces", &self.traces(&requests)));
        }
        pieces
    }

    /// What all telemetry of one process is of.
    pub(super) fn resource(&self, process: &str) -> Value {
        json!({"attributes": [
            text("service.name", &self.app_name),
            text("service.instance.id", process),
            text("paas.app.id", &self.app_id.to_string()),
            text("paas.app.name", &self.app_name),
            text("paas.process.type", process.split('.').next().unwrap_or(process)),
        ]})
    }

    fn logs(&self, lines: &[Line]) -> Value {
        let mut by_process: Vec<(&str, Vec<Value>)> = Vec::new();
        for line in lines {
            let record = log_record(line);
            match by_process.iter_mut().find(|(process, _)| *process == line.process) {
                Some((_, records)) => records.push(record),
                None => by_process.push((&line.process, vec![record])),
            }
        }
        let all = by_process.into_iter().map(|(process, records)| {
            json!({"resource": self.resource(process), "scopeLogs": [{"scope": scope(), "logRecords": records}]})
        });
        json!({"resourceLogs": all.collect::<Vec<_>>()})
    }

    fn traces(&self, requests: &[(&Line, Facts<'_>)]) -> Value {
        let spans: Vec<Value> = requests.iter().map(|(line, facts)| span(self.app_id, line, facts)).collect();
        json!({"resourceSpans": [{"resource": self.resource("router"), "scopeSpans": [{"scope": scope(), "spans": spans}]}]})
    }
}

/// A request of JSON.
pub(super) fn piece(path: &'static str, body: &Value) -> Piece {
    Piece { path, content_type: "application/json", headers: Vec::new(), body: body.to_string().into() }
}

pub(super) fn scope() -> Value {
    json!({"name": "paas", "version": env!("CARGO_PKG_VERSION")})
}

pub(super) fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

pub(super) fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

/// Nanoseconds since 1970.
pub(super) fn nanos(at: DateTime<Utc>) -> String {
    (i128::from(at.timestamp_micros()) * 1000).to_string()
}

fn log_record(line: &Line) -> Value {
    let is_error =
        line.source == Source::Heroku && (line.message.starts_with("Error ") || line.message.contains("at=error "));
    let (severity, name) = if is_error { (17, "ERROR") } else { (9, "INFO") };
    json!({
        "timeUnixNano": nanos(line.at),
        "observedTimeUnixNano": nanos(line.at),
        "severityNumber": severity,
        "severityText": name,
        "body": {"stringValue": line.message},
        "attributes": [
            text("paas.log.source", line.source.as_str()),
            text("paas.log.process", &line.process),
            number("paas.log.sequence", line.seq),
        ],
    })
}

/// A request's span: it ended when its line was written.
pub(crate) fn span(app_id: Uuid, line: &Line, facts: &Facts<'_>) -> Value {
    let took = facts.milliseconds("connect").saturating_add(facts.milliseconds("service"));
    let took = i64::try_from(took).ok().and_then(TimeDelta::try_milliseconds);
    let start = took.and_then(|took| line.at.checked_sub_signed(took)).unwrap_or(line.at);
    let request = facts.get("request_id");
    let trace = match request.parse::<Uuid>() {
        Ok(id) => id.simple().to_string(),
        Err(_) => hex::encode(&Sha256::digest(request.as_bytes())[..16]),
    };
    // The same line is the same span, should it come twice.
    let own = hex::encode(&Sha256::digest(format!("{app_id}/{}", line.seq))[..8]);
    let path = facts.get("path");
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let mut attributes = vec![
        text("http.request.method", &facts.get("method")),
        text("url.path", path),
        text("server.address", &facts.get("host")),
        number("http.response.status_code", facts.status().into()),
        text("paas.request.id", &request),
    ];
    let forwarded = facts.get("fwd");
    let client = forwarded.split(',').next().unwrap_or_default().trim();
    let code = facts.get("code");
    let dyno = facts.get("dyno");
    for (key, value) in [("url.query", query), ("client.address", client), ("paas.dyno", &dyno), ("error.type", &code)]
    {
        if !value.is_empty() {
            attributes.push(text(key, value));
        }
    }
    let failed = !code.is_empty() || facts.status() >= 500;
    json!({
        "traceId": trace,
        "spanId": own,
        "name": facts.get("method"),
        "kind": 2,
        "startTimeUnixNano": nanos(start),
        "endTimeUnixNano": nanos(line.at),
        "attributes": attributes,
        "status": if failed { json!({"code": 2, "message": facts.get("desc")}) } else { json!({}) },
    })
}

/// What a line of the router says, by name.
pub(crate) struct Facts<'l>(HashMap<&'l str, String>);

impl<'l> Facts<'l> {
    /// Reads `name=value name="quoted value"`; nothing of what is no line of a request.
    pub(crate) fn parse(line: &'l str) -> Option<Self> {
        let mut facts = HashMap::new();
        let mut rest = line;
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_start();
            if let Some(quoted) = after.strip_prefix('"') {
                let mut value = String::new();
                let mut escaped = false;
                let end = quoted.char_indices().find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    let begins = *c == '\\' && !escaped;
                    if !ends && !begins {
                        value.push(*c);
                    }
                    escaped = begins;
                    ends
                })?;
                facts.insert(name, value);
                rest = &quoted[end.0 + 1..];
            } else {
                let end = after.find(' ').unwrap_or(after.len());
                facts.insert(name, after[..end].to_owned());
                rest = &after[end..];
            }
        }
        ["at", "method", "path", "status"].iter().all(|name| facts.contains_key(name)).then_some(Self(facts))
    }

    fn get(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn status(&self) -> u16 {
        self.0.get("status").and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Of `12ms`.
    fn milliseconds(&self, name: &str) -> u64 {
        self.0.get(name).and_then(|text| text.strip_suffix("ms")?.parse().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const OK: &str = r#"at=info method=GET path="/a?b=\"1\"" host=shop.example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="1.2.3.4,5.6.7.8" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http1.1 tls=false"#;
    const BAD: &str = r#"at=error code=H12 desc="Request timeout" method=GET path="/" host=h request_id=mine-and-not-a-uuid-at-all fwd="" dyno=web.1 connect=1ms service=30000ms status=503 bytes=0 protocol=http1.1 tls=false"#;

    fn line(seq: u64, process: &str, message: &str) -> Line {
        let at = DateTime::from_timestamp_micros(1_700_000_000_000_000).unwrap();
        Line { seq, at, source: Source::Heroku, process: process.into(), message: message.into() }
    }

    #[test]
    fn times_that_no_clock_has_are_no_panic() {
        let line = line(1, "router", &OK.replace("18ms", "18446744073709551615ms"));
        let telemetry = telemetry(false, true);
        let pieces = telemetry.pieces(&[line.clone(), line]);
        let span = body(&pieces[0])["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();
        assert_eq!(span["endTimeUnixNano"], "1700000000000000000");
        assert_eq!(telemetry.counts.by_status()[&200].count, 2);
    }

    fn telemetry(logs: bool, traces: bool) -> Telemetry {
        let counts = Arc::new(Counts::new(DateTime::UNIX_EPOCH));
        Telemetry { app_id: Uuid::from_u128(7), app_name: "shop".into(), logs, traces, counts }
    }

    fn body(piece: &Piece) -> Value {
        serde_json::from_slice(&piece.body).unwrap()
    }

    #[test]
    fn a_request_is_a_span_with_the_requests_identity() {
        let all = telemetry(false, true);
        let lines =
            [line(1, "router", OK), line(2, "web.1", OK), line(3, "router", "no request"), line(4, "router", BAD)];
        let pieces = all.pieces(&lines);
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].path, "/v1/traces");
        let spans = body(&pieces[0])["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
        assert_eq!(spans.as_array().unwrap().len(), 2);
        assert_eq!(spans[0]["traceId"], "8601b5556a834c12826997c8e32cdb22");
        assert_eq!(spans[0]["endTimeUnixNano"], "1700000000000000000");
        assert_eq!(spans[0]["startTimeUnixNano"], "1699999999981000000");
        let attributes = spans[0]["attributes"].as_array().unwrap();
        for wanted in [
            text("url.path", "/a"),
            text("url.query", "b=\"1\""),
            text("client.address", "1.2.3.4"),
            number("http.response.status_code", 200),
        ] {
            assert!(attributes.contains(&wanted), "{wanted} in {attributes:#?}");
        }
        assert_eq!(spans[0]["status"], json!({}));
        assert_eq!(spans[1]["status"], json!({"code": 2, "message": "Request timeout"}));
        assert_eq!(spans[1]["traceId"].as_str().unwrap().len(), 32);
        let counts = all.counts.by_status();
        assert_eq!((counts[&200].count, counts[&200].service_ms, counts[&503].count), (1, 18, 1));
    }

    #[test]
    fn lines_are_log_records_of_their_process() {
        let all = telemetry(true, false);
        let lines = [line(1, "web.1", "hello"), line(2, "web.2", "Error R14 (Memory quota exceeded)")];
        let pieces = all.pieces(&lines);
        assert_eq!((pieces.len(), pieces[0].path), (1, "/v1/logs"));
        let logs = body(&pieces[0]);
        let record = |at: usize| logs["resourceLogs"][at]["scopeLogs"][0]["logRecords"][0].clone();
        assert_eq!(record(0)["body"]["stringValue"], "hello");
        assert_eq!(record(0)["severityNumber"], 9);
        assert_eq!(record(1)["severityText"], "ERROR");
        let resource = logs["resourceLogs"][1]["resource"]["attributes"].as_array().unwrap();
        assert!(resource.contains(&text("service.instance.id", "web.2")));
        assert!(telemetry(false, false).pieces(&lines).is_empty());
    }
}
