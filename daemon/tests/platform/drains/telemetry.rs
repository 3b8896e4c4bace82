//! Telemetry drains: the resource, and OpenTelemetry's requests at a real receiver.

use paas_daemon::store;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    receivers::{Http, Request},
    say, shop,
};

fn wanted(app: &str, endpoint: &str, signals: Value) -> Value {
    json!({
        "owner": {"id": app, "type": "app"},
        "signals": signals,
        "exporter": {"type": "otlphttp", "endpoint": endpoint, "headers": {"x-api-key": "secret"}},
    })
}

#[tokio::test]
async fn a_telemetry_drain_from_its_making_to_its_end() {
    let (t, app) = shop().await;
    let body = wanted(&app.to_string(), "https://otel.example.com/in", json!(["traces", "metrics", "logs"]));
    let made = t.post("/telemetry-drains", body).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!(made["owner"], json!({"id": app, "type": "app"}));
    assert_eq!(made["signals"], json!(["traces", "metrics", "logs"]));
    assert_eq!(made["exporter"]["headers"], json!({"x-api-key": "secret"}));
    let one = format!("/telemetry-drains/{}", made["id"].as_str().unwrap());
    assert_eq!(t.get(&one).await.ok(), made);
    assert_eq!(t.get("/apps/shop/telemetry-drains").await.ok(), json!([made]));
    let rows = store::telemetry_drains::all(&mut t.platform().db.read().await.unwrap()).await.unwrap();
    assert!(!String::from_utf8_lossy(&rows[0].exporter).contains("secret"));
    let events = store::events::list(&mut t.platform().db.read().await.unwrap(), app, 0).await.unwrap();
    assert!(events.iter().all(|event| !event.data.to_string().contains("secret")));

    // What is not named stays.
    let body = json!({"exporter": {"endpoint": "https://elsewhere.example.com"}});
    let changed = t.patch(&one, body).await.ok();
    assert_eq!(changed["exporter"]["endpoint"], "https://elsewhere.example.com");
    assert_eq!(changed["exporter"]["headers"], made["exporter"]["headers"]);
    assert_eq!(changed["signals"], made["signals"]);
    let changed = t.patch(&one, json!({"signals": ["logs"], "exporter": {"headers": {}}})).await.ok();
    assert_eq!((&changed["signals"], &changed["exporter"]["headers"]), (&json!(["logs"]), &json!({})));

    let stranger = t.other("stranger@example.com").await;
    for method in ["GET", "PATCH", "DELETE"] {
        t.send(method, &one, Some(&stranger), Some(b"{}".to_vec())).await.error(404);
        t.send(method, &one, None, Some(b"{}".to_vec())).await.error(401);
    }
    t.send("GET", "/apps/shop/telemetry-drains", Some(&stranger), None).await.error(403);
    let body = wanted("shop", "https://h", json!(["logs"])).to_string().into_bytes();
    t.send("POST", "/telemetry-drains", Some(&stranger), Some(body)).await.error(403);

    assert_eq!(t.delete(&one).await.ok()["id"], made["id"]);
    t.delete(&one).await.error(404);
    t.get("/telemetry-drains/nonsense").await.error(404);
    assert_eq!(t.get("/apps/shop/telemetry-drains").await.ok(), json!([]));
}

#[tokio::test]
async fn what_can_not_be_sent_is_refused_with_the_field_that_says_it() {
    let (t, _) = shop().await;
    let good = wanted("shop", "https://otel.example.com", json!(["logs"]));
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (format!("h{n}"), json!("v"))).collect();
    for (body, field) in [
        (json!({}), "owner"),
        (with("/owner/type", json!("space")), "owner.type"),
        (with("/owner/type", json!("team")), "owner.type"),
        (with("/signals", json!([])), "signals"),
        (with("/signals", json!(["logs", "logs"])), "signals"),
        (with("/signals", json!(["smoke"])), "signals"),
        (with("/signals", json!("logs")), "signals"),
        (with("/exporter/type", json!("otlp")), "exporter.type"),
        (with("/exporter/type", json!("splunk")), "exporter.type"),
        (with("/exporter/endpoint", json!("syslog://h:1")), "exporter.endpoint"),
        (with("/exporter/endpoint", json!("nonsense")), "exporter.endpoint"),
        (with("/exporter/endpoint", json!(format!("https://h/{}", "x".repeat(1000)))), "exporter.endpoint"),
        (with("/exporter/headers", json!({"a b": "v"})), "exporter.headers"),
        (with("/exporter/headers", json!({"a": "v\nw"})), "exporter.headers"),
        (with("/exporter/headers", json!({"a": 1})), "exporter.headers"),
        (with("/exporter/headers", json!({"Content-Type": "x"})), "exporter.headers"),
        (with("/exporter/headers", json!({"a": "x".repeat(1001)})), "exporter.headers"),
        (with("/exporter/headers", Value::Object(many)), "exporter.headers"),
    ] {
        let (id, why) = t.post("/telemetry-drains", body.clone()).await.error(422);
        assert!(id == "invalid_params" && why.contains(field), "{body}: {why}");
    }
    let made = t.post("/telemetry-drains", good).await.ok();
    let one = format!("/telemetry-drains/{}", made["id"].as_str().unwrap());
    for body in [json!({"signals": []}), json!({"exporter": {"type": "otlp"}}), json!({"exporter": {"endpoint": "x"}})]
    {
        t.patch(&one, body).await.error(422);
    }
    assert_eq!(t.get(&one).await.ok(), made);
}

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

#[tokio::test]
async fn logs_traces_and_metrics_arrive() {
    let (t, app) = shop().await;
    t.deploy("shop", &[], &[("worker", "work")]).await;
    t.patch("/apps/shop/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_dynos("shop", &["worker.1 up"]).await;
    let receiver = Http::start(&[503]).await;
    let endpoint = format!("http://{}/otel/", receiver.address);
    t.post("/telemetry-drains", wanted("shop", &endpoint, json!(["traces", "metrics", "logs"]))).await.ok();
    let id = Uuid::new_v4();
    let request = format!(
        "at=info method=GET path=\"/hello\" host=shop.localhost request_id={id} fwd=\"1.2.3.4\" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http1.1 tls=false"
    );
    say(&t, app, &["hello".into()]).await;
    t.platform().logs.platform(app, "router", &request);
    let of = |path: &'static str, text: String| {
        move |requests: &[Request]| requests.iter().any(|r| r.path == path && r.status == 204 && r.body.contains(&text))
    };
    receiver.until("logs", of("/otel/v1/logs", "{\"stringValue\":\"hello\"}".into())).await;
    let requests = receiver.until("traces", of("/otel/v1/traces", id.simple().to_string())).await;
    let traces: Vec<Value> = requests.iter().filter(|r| r.path == "/otel/v1/traces").map(body).collect();
    let span = &traces[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!((&span["name"], &span["kind"]), (&json!("GET"), &json!(2)));
    let requests = receiver.until("metrics", of("/otel/v1/metrics", "paas.router.requests".into())).await;
    for request in &requests {
        assert_eq!(request.header("x-api-key"), "secret");
        assert_eq!(request.header("content-type"), "application/json");
    }
    let last = requests.iter().rev().find(|r| r.body.contains("paas.router.requests")).map(body).unwrap();
    let metrics: Vec<&Value> = last["resourceMetrics"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|resource| resource["scopeMetrics"][0]["metrics"].as_array().unwrap())
        .collect();
    let named = |name: &str| *metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let point = &named("paas.router.requests")["sum"]["dataPoints"][0];
    assert_eq!(
        (&point["asInt"], named("paas.router.service_time")["sum"]["dataPoints"][0]["asInt"].as_str()),
        (&json!("1"), Some("18"))
    );
    assert_eq!(named("paas.dyno.memory.quota")["gauge"]["dataPoints"][0]["asInt"], json!((512u64 << 20).to_string()));
    // The first answer was 503: the same came again.
    assert!(requests.iter().any(|r| r.status == 503));
}

#[tokio::test]
async fn a_receiver_that_takes_no_metrics_is_told_of() {
    let (t, _) = shop().await;
    t.deploy("shop", &[], &[("worker", "work")]).await;
    t.patch("/apps/shop/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_dynos("shop", &["worker.1 up"]).await;
    let receiver = Http::start(&[401; 9]).await;
    let endpoint = format!("http://{}", receiver.address);
    let made = t.post("/telemetry-drains", wanted("shop", &endpoint, json!(["metrics"]))).await.ok();
    let told =
        format!("Drain '{}' to {endpoint} takes no metrics: it answers with status 401.", made["id"].as_str().unwrap());
    t.until_logged("shop", &told).await;
}
