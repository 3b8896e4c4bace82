//! How the router treats an app: what is set, and what the router's table has of it.

use paas_domain::route::{Balancing, Hsts, Rules};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::util::TestApp;

/// The rules of an app as the daemon's control socket gives them to the router.
async fn rules(t: &TestApp, app: &str) -> Rules {
    let mut stream = tokio::net::UnixStream::connect(t.dir.join("run/control.sock")).await.unwrap();
    stream.write_all(b"GET /router/table HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let table: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let route = table["apps"].as_array().unwrap().iter().find(|route| route["name"] == app).unwrap();
    serde_json::from_value(route["rules"].clone()).unwrap()
}

async fn until_rules(t: &TestApp, app: &str, wanted: &Rules) {
    t.until(&format!("{wanted:?}"), async || (rules(t, app).await == *wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_counts_until_it_is_taken_back() {
    let mut t = TestApp::fake().await;
    let app = t.create("app").await;
    let usual = t.get("/apps/app/routing").await.ok();
    let as_for_all = json!({
        "app": {"id": app["id"], "name": "app"}, "connect_ms": 5000, "queue_ms": 75000, "first_byte_ms": 30000,
        "idle_ms": 55000, "concurrency": 200, "balancing": "random", "https_only": false, "hsts_max_age": null,
        "hsts_include_subdomains": false, "hsts_preload": false, "session_affinity": false, "http2_to_dynos": false,
        "idle_after_ms": 1800000, "web_idling": false, "own": [], "updated_at": null,
    });
    assert_eq!(usual, as_for_all);
    assert_eq!(rules(&t, "app").await, Rules::default());

    let set = json!({
        "connect_ms": 100, "queue_ms": 1000, "first_byte_ms": 60000, "idle_ms": 86400000, "concurrency": 500,
        "balancing": "least-connections", "https_only": true, "hsts_max_age": 31536000,
        "hsts_include_subdomains": true, "hsts_preload": true,
    });
    let shown = t.patch("/apps/app/routing", set.clone()).await.ok();
    for (name, value) in set.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!(shown["own"].as_array().unwrap().len(), 10);
    t.until_logged("app", "Set routing: connect 100 ms, queue 1000 ms, first-byte 60000 ms").await;
    let all = Rules {
        connect_ms: Some(100),
        queue_ms: Some(1000),
        first_byte_ms: Some(60000),
        idle_ms: Some(86_400_000),
        concurrency: Some(500),
        balancing: Balancing::LeastConnections,
        affinity: false,
        http2: false,
        https_only: true,
        hsts: Some(Hsts { max_age: 31_536_000, include_subdomains: true, preload: true }),
    };
    until_rules(&t, "app", &all).await;
    t.restart().await;
    assert_eq!(t.get("/apps/app/routing").await.ok(), shown);
    assert_eq!(rules(&t, "app").await, all);
    // Nothing new is nothing done.
    assert_eq!(t.patch("/apps/app/routing", json!({"concurrency": 500})).await.ok(), shown);
    assert_eq!(t.patch("/apps/app/routing", json!({})).await.ok(), shown);

    let back: Value = set.as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
    let mut shown = t.patch("/apps/app/routing", back).await.ok();
    assert!(shown["updated_at"].take().is_string());
    assert_eq!(shown, as_for_all);
    t.until_logged("app", "connect as for all apps").await;
    until_rules(&t, "app", &Rules::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_reach_the_router() {
    let t = TestApp::fake().await;
    t.create("app").await;
    t.create("other").await;
    for (feature, field) in [("http-session-affinity", "session_affinity"), ("http2-to-dynos", "http2_to_dynos")] {
        for on in [true, false] {
            t.patch(&format!("/apps/app/features/{feature}"), json!({"enabled": on})).await.ok();
            assert_eq!(t.get("/apps/app/routing").await.ok()[field], on);
            let is_affinity = feature == "http-session-affinity";
            let wanted = Rules { affinity: on && is_affinity, http2: on && !is_affinity, ..Rules::default() };
            until_rules(&t, "app", &wanted).await;
            assert_eq!(rules(&t, "other").await, Rules::default());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_what_is_allowed_and_changes_nothing() {
    let t = TestApp::fake().await;
    t.create("app").await;
    let before = t.get("/apps/app/routing").await.ok();
    for (bad, words) in [
        (json!({"connect_ms": 99}), "connect_ms: must be milliseconds, 100 to 60000"),
        (json!({"connect_ms": 60001}), "100 to 60000"),
        (json!({"queue_ms": 999}), "1000 to 600000"),
        (json!({"queue_ms": 600001}), "1000 to 600000"),
        (json!({"first_byte_ms": 0}), "1000 to 3600000"),
        (json!({"first_byte_ms": 3600001}), "1000 to 3600000"),
        (json!({"idle_ms": -1}), "1000 to 86400000"),
        (json!({"idle_ms": 86400001}), "1000 to 86400000"),
        (json!({"concurrency": 0}), "1 to 10000"),
        (json!({"concurrency": 10001}), "1 to 10000"),
        (json!({"concurrency": 1.5}), "concurrency"),
        (json!({"balancing": "best"}), "random or least-connections"),
        (json!({"balancing": 1}), "balancing"),
        (json!({"https_only": "yes"}), "https_only"),
        (json!({"hsts_max_age": -1}), "0 (browsers forget it) to 315360000"),
        (json!({"hsts_max_age": 315360001}), "315360000"),
        (json!({"hsts_preload": true}), "give hsts_max_age with it"),
        (json!({"hsts_include_subdomains": true}), "give hsts_max_age with it"),
        (json!({"hsts_max_age": 60, "hsts_include_subdomains": true, "hsts_preload": true}), "31536000"),
        (json!({"hsts_max_age": 31536000, "hsts_preload": true}), "hsts_include_subdomains"),
        // One that is good beside it is not taken, either.
        (json!({"idle_ms": 2000, "concurrency": 0}), "1 to 10000"),
        (json!({"connect_ms": 99999999999999999999u128 as f64}), "connect_ms"),
    ] {
        let (id, why) = t.patch("/apps/app/routing", bad.clone()).await.error(422);
        assert!(id == "invalid_params" && why.contains(words), "{bad}: {id} {why}");
    }
    t.patch("/apps/none/routing", json!({})).await.error(404);
    let stranger = t.other("stranger@example.com").await;
    t.send("GET", "/apps/app/routing", Some(&stranger), None).await.error(403);
    let body = json!({"https_only": true}).to_string().into_bytes();
    t.send("PATCH", "/apps/app/routing", Some(&stranger), Some(body)).await.error(403);
    assert_eq!(t.get("/apps/app/routing").await.ok(), before);
    assert_eq!(rules(&t, "app").await, Rules::default());
}
