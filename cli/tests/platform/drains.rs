//! `paas drains` and `paas telemetry`.

use paas_wire::telemetry_drain::{
    TelemetryExporter, TelemetryOwner, TelemetryOwnerKind, TelemetrySignal, TelemetryTransport,
};
use paas_wire::*;
use serde_json::Value;

use crate::util::World;
use crate::util::things::*;

fn log_drain(number: u128, url: &str, addon: Option<&str>) -> LogDrain {
    LogDrain {
        addon: addon.map(|name| LogDrainAddon { id: id(9), name: name.to_owned(), app: named("myapp") }),
        app: Some(named("myapp")),
        created_at: at(),
        id: id(number),
        token: format!("d.{}", id(number)),
        updated_at: at(),
        url: url.to_owned(),
    }
}

fn telemetry_drain() -> TelemetryDrain {
    TelemetryDrain {
        created_at: at(),
        exporter: TelemetryExporter {
            kind: TelemetryTransport::Otlphttp,
            endpoint: "https://otel.example.com".to_owned(),
            headers: [("x-api-key".to_owned(), "value".to_owned())].into(),
        },
        id: id(5),
        owner: TelemetryOwner { id: id(1).to_string(), kind: TelemetryOwnerKind::App },
        signals: vec![TelemetrySignal::Logs, TelemetrySignal::Traces],
        updated_at: at(),
    }
}

/// Answers for every one of these commands; what `telemetry:info` and `telemetry:update` are
/// called with.
pub(crate) fn for_all(world: &World) -> [String; 2] {
    let (one, drain) = (log_drain(1, "syslog://logs.example.com:514", None), telemetry_drain());
    let path = format!("/telemetry-drains/{}", drain.id);
    world
        .stub
        .json("GET /apps/myapp/log-drains", &[&one])
        .json("POST /apps/myapp/log-drains", &one)
        .json("GET /apps/myapp/telemetry-drains", &[&drain])
        .json("POST /telemetry-drains", &drain)
        .json(&format!("GET {path}"), &drain)
        .json(&format!("PATCH {path}"), &drain);
    [drain.id.to_string(), format!("{} --signals=all", drain.id)]
}

#[test]
fn drains() {
    let world = World::new();
    let one = log_drain(1, "syslog+tls://logs.example.com:6514", None);
    world
        .stub
        .json("GET /apps/myapp/log-drains", &[one.clone(), log_drain(2, "https://x.example.com/y", Some("calm-1"))])
        .json("GET /apps/empty/log-drains", &Vec::<Value>::new())
        .json("POST /apps/myapp/log-drains", &one)
        .json("DELETE /apps/myapp/log-drains/syslog%2Btls%3A%2F%2Flogs.example.com%3A6514", &one);
    insta::assert_snapshot!(world.shows(&[
        "drains",
        "drains --json",
        "drains -a empty",
        "drains:add syslog+tls://logs.example.com:6514",
        "drains:remove syslog+tls://logs.example.com:6514",
        "drains:add",
    ]));
    let calls = world.stub.calls();
    assert!(
        calls.contains(&r#"POST /apps/myapp/log-drains {"url":"syslog+tls://logs.example.com:6514"}"#.to_owned()),
        "{calls:#?}"
    );
}

#[test]
fn telemetry() {
    let world = World::new();
    let drain = telemetry_drain();
    let one = format!("/telemetry-drains/{}", drain.id);
    world
        .stub
        .json("GET /apps/myapp/telemetry-drains", &[&drain])
        .json("GET /apps/empty/telemetry-drains", &Vec::<Value>::new())
        .json(&format!("GET /apps/{}", id(1)), &app("myapp"))
        .json("POST /telemetry-drains", &drain)
        .json(&format!("GET {one}"), &drain)
        .json(&format!("PATCH {one}"), &drain)
        .json(&format!("DELETE {one}"), &drain);
    let of = |command: &str| format!("{command} {}", drain.id);
    insta::assert_snapshot!(world.shows(&[
        "telemetry",
        "telemetry -a empty",
        "telemetry:add https://otel.example.com",
        r#"telemetry:add https://otel.example.com --signals logs,traces --headers {"x-api-key":"value"}"#,
        "telemetry:add https://otel.example.com --signals smoke",
        "telemetry:add https://otel.example.com --headers nonsense",
        &of("telemetry:info"),
        &of("telemetry:update"),
        &format!("{} --signals all --endpoint https://b.example.com", of("telemetry:update")),
        &of("telemetry:remove"),
        "telemetry:remove",
    ]));
    let calls = world.stub.calls();
    for wanted in [
        r#"POST /telemetry-drains {"owner":{"id":"myapp","type":"app"},"signals":["traces","metrics","logs"],"exporter":{"type":"otlphttp","endpoint":"https://otel.example.com","headers":{}}}"#.to_owned(),
        r#"POST /telemetry-drains {"owner":{"id":"myapp","type":"app"},"signals":["logs","traces"],"exporter":{"type":"otlphttp","endpoint":"https://otel.example.com","headers":{"x-api-key":"value"}}}"#.to_owned(),
        format!(r#"PATCH {one} {{"signals":["traces","metrics","logs"],"exporter":{{"endpoint":"https://b.example.com"}}}}"#),
    ] {
        assert!(calls.contains(&wanted), "{wanted}\n{calls:#?}");
    }
    assert_eq!(calls.iter().filter(|call| call.starts_with("DELETE")).count(), 2);
}
