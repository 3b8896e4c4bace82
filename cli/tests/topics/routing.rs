//! How the router treats an app, and how it is itself.

use serde_json::{Value, json};

use crate::util::World;
use crate::util::things::*;

fn routing(own: Value) -> Value {
    let mut routing = json!({
        "app": {"id": id(1), "name": "myapp"}, "connect_ms": 5000, "queue_ms": 75000, "first_byte_ms": 30000,
        "idle_ms": 55000, "concurrency": 200, "balancing": "random", "https_only": false, "hsts_max_age": null,
        "hsts_include_subdomains": false, "hsts_preload": false, "session_affinity": true, "http2_to_dynos": false,
        "idle_after_ms": 3_600_000, "web_idling": false,
        "own": own.as_object().unwrap().keys().collect::<Vec<_>>(), "updated_at": null,
    });
    for (name, value) in own.as_object().unwrap() {
        routing[name] = value.clone();
    }
    routing
}

fn router() -> Value {
    let recent = json!({
        "seconds": 180.5, "requests": 722, "statuses": {"2xx": 700, "5xx": 22}, "codes": {"H12": 2, "H27": 20},
        "bytes": 1000, "p50_ms": 0.4, "p95_ms": 42.3, "p99_ms": 30000.0,
    });
    let dyno = |number: u8, in_flight: u64, state: &str| json!({"id": id(number.into()), "name": format!("web.{number}"), "in_flight": in_flight, "state": state});
    let none = json!({
        "app": {"id": id(2), "name": "quiet"}, "in_flight": 0, "waiting": 0, "tunnels": 0, "requests": 0, "recent": null,
        "dynos": [dyno(1, 0, "up")],
    });
    json!({
        "answers": true, "version": "1.2.3", "started_at": "2026-01-01T00:00:00Z", "follows": true,
        "process": {
            "pid": 4711, "generation": 17, "apps": 2, "connections": 12, "waiting": 3, "http": ["0.0.0.0:80"],
            "https": ["0.0.0.0:443"], "log_lines_waiting": 4, "log_lines_dropped": 5,
        },
        "apps": [{
            "app": {"id": id(1), "name": "myapp"}, "in_flight": 6, "waiting": 3, "tunnels": 1, "requests": 5000,
            "recent": recent, "dynos": [dyno(1, 2, "up"), dyno(2, 1, "quarantined"), dyno(3, 3, "leaving")],
        }, none],
    })
}

/// What the test of all commands asks of this topic.
pub(crate) fn for_all(world: &World) {
    let routing = routing(json!({}));
    world
        .stub
        .json("GET /apps/myapp/routing", &routing)
        .json("PATCH /apps/myapp/routing", &routing)
        .json("GET /router", &router());
}

#[test]
fn settings_of_an_apps_routing() {
    let world = World::new();
    let own = json!({"first_byte_ms": 90000, "balancing": "least-connections", "hsts_max_age": 31_536_000});
    world
        .stub
        .json("GET /apps/myapp/routing", &routing(json!({})))
        .json("GET /apps/myapp/routing", &routing(own.clone()))
        .json("PATCH /apps/myapp/routing", &routing(own));
    insta::assert_snapshot!(world.shows(&[
        "routing",
        "routing:set first-byte=90s connect=0.5s queue=2m idle=1h concurrency=500 balancing=least-connections",
        "routing:set https-only=on hsts=1y hsts-include-subdomains=on hsts-preload=off",
        "routing",
        "routing:set hsts=off",
        "routing:reset idle balancing",
        "routing:reset",
        "routing:set",
        "routing:set idle",
        "routing:set idle=60",
        "routing:set idel=60s",
        "routing:set concurrency=many",
        "routing:set https-only=maybe",
        "routing:reset everything",
    ]));
    let calls: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    insta::assert_snapshot!(calls.join("\n"));
}

#[test]
fn how_the_router_is() {
    let world = World::new();
    let mut away = router();
    away["follows"] = false.into();
    away["process"] = Value::Null;
    away["apps"] = json!([]);
    let silent = json!({
        "answers": false, "version": null, "started_at": null, "follows": false, "process": null, "apps": [],
    });
    world
        .stub
        .json("GET /router", &router())
        .json("GET /router", &away)
        .json("GET /router", &silent)
        .json("GET /router?app=my%20app", &router());
    let shown = world.shows(&["router:status", "router:status", "router:status"]);
    // How long ago that was is another thing each day.
    let shown: Vec<&str> = shown.lines().map(|line| line.split(" (~").next().unwrap_or(line)).collect();
    insta::assert_snapshot!(shown.join("\n"));
    let json: Value = serde_json::from_str(&world.run(&["router:status", "--json", "--app", "my app"]).stdout).unwrap();
    assert_eq!(json, router());
}
