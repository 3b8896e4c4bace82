//! What a telemetry drain gets of metrics: memory and load of each dyno, and how many requests
//! the router carried. Measured when it is sent; a receiver that is away misses what was
//! measured meanwhile, but no request that this drain has read of, since those are counted on.

use std::{collections::HashMap, time::Duration};

use paas_domain::size::Size;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    drain::{TOLD_AFTER, Trouble},
    otlp::{Requests, Telemetry, nanos, number, piece, scope},
    send::Sender,
};
use crate::{
    engine::DynoState,
    error::Result,
    ops::Platform,
    store::dynos,
    tasks::metrics::{Load, PERIOD},
};

/// Begins soon, so that its user sees whether it works.
const FIRST: Duration = Duration::from_secs(1);

/// Measures and sends until `stop` becomes true.
pub(super) async fn run(
    p: Platform,
    of: Telemetry,
    mut sender: Sender,
    mut trouble: Trouble,
    mut stop: watch::Receiver<bool>,
) {
    let mut loads = HashMap::new();
    let mut failures = 0;
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = PERIOD,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let measured = match measure(&p, &of, &mut loads).await {
            Ok(measured) => measured,
            Err(error) => {
                tracing::debug!(%error, app.id = %of.app_id, "an app could not be measured");
                continue;
            }
        };
        let Some(measured) = measured else { continue };
        match sender.send(&piece("/v1/metrics", &measured)).await {
            Ok(()) => failures = 0,
            Err(failure) => {
                failures += if failure.is_refusal() { TOLD_AFTER } else { 1 };
                trouble.tell(&sender, "metrics", &failure, failures);
            }
        }
    }
}

/// All there is to say now; nothing where there is nothing.
async fn measure(p: &Platform, of: &Telemetry, loads: &mut HashMap<Uuid, Load>) -> Result<Option<Value>> {
    let now = nanos(p.cx.now());
    let running: Vec<Uuid> = p
        .engine
        .list(Some(of.app_id))
        .await?
        .into_iter()
        .filter(|dyno| matches!(dyno.state, DynoState::Running { .. }))
        .map(|dyno| dyno.id)
        .collect();
    loads.retain(|id, _| running.contains(id));
    let rows = dynos::list(&mut p.db.read().await?, of.app_id).await?;
    let mut resources = Vec::new();
    for row in rows.into_iter().filter(|row| running.contains(&row.id)) {
        let Some(usage) = p.engine.usage(row.id).await? else { continue };
        let quota = Size::parse(&row.size).unwrap_or_default().memory_bytes();
        let mut metrics: Vec<Value> = [
            ("memory.total", usage.memory_total),
            ("memory.rss", usage.rss),
            ("memory.cache", usage.cache),
            ("memory.swap", usage.swap),
            ("memory.quota", quota),
        ]
        .into_iter()
        .map(|(name, bytes)| gauge(&format!("paas.dyno.{name}"), "By", json!({"asInt": bytes.to_string()}), &now))
        .collect();
        if let Some(runnable) = usage.runnable {
            let load = loads.entry(row.id).or_default();
            load.take(runnable);
            for (minutes, value) in [1, 5, 15].into_iter().zip(load.averages()) {
                let name = format!("paas.dyno.load_avg_{minutes}m");
                metrics.push(gauge(&name, "1", json!({"asDouble": value}), &now));
            }
        }
        resources.push(json!({
            "resource": of.resource(&row.name()),
            "scopeMetrics": [{"scope": scope(), "metrics": metrics}],
        }));
    }
    let by_status = of.counts.by_status();
    if !by_status.is_empty() {
        let since = nanos(of.counts.since);
        let points = |value: fn(&Requests) -> u64| -> Vec<Value> {
            let point = |(status, requests): (&u16, &Requests)| {
                json!({
                    "attributes": [number("http.response.status_code", u64::from(*status))],
                    "startTimeUnixNano": since,
                    "timeUnixNano": now,
                    "asInt": value(requests).to_string(),
                })
            };
            by_status.iter().map(point).collect()
        };
        resources.push(json!({
            "resource": of.resource("router"),
            "scopeMetrics": [{"scope": scope(), "metrics": [
                sum("paas.router.requests", "{request}", points(|requests| requests.count)),
                sum("paas.router.service_time", "ms", points(|requests| requests.service_ms)),
            ]}],
        }));
    }
    Ok((!resources.is_empty()).then(|| json!({"resourceMetrics": resources})))
}

fn gauge(name: &str, unit: &str, value: Value, now: &str) -> Value {
    let mut point = json!({"timeUnixNano": now});
    if let (Value::Object(point), Value::Object(value)) = (&mut point, value) {
        point.extend(value);
    }
    json!({"name": name, "unit": unit, "gauge": {"dataPoints": [point]}})
}

/// A count that only rises, since its start.
fn sum(name: &str, unit: &str, points: Vec<Value>) -> Value {
    json!({"name": name, "unit": unit, "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}})
}
