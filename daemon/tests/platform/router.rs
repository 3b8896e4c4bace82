//! How the router is, for people and for Prometheus: what a router says on its socket is what
//! they are told, each as far as it is their affair.

use std::net::SocketAddr;

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use tokio::{net::UnixListener, task::AbortHandle};

#[path = "../../../router/tests/util/exposition.rs"]
mod exposition;

use crate::{
    people::Person,
    util::{TestApp, free_port},
};

/// A router that says this; ended by its handle.
async fn says(t: &TestApp, status: Value, apps: Value, metrics: &'static str) -> AbortHandle {
    let socket = t.dir.join("run/router.sock");
    let _ = std::fs::remove_file(&socket);
    let router = Router::new()
        .route("/status", get(move || async move { Json(status) }))
        .route("/apps", get(move || async move { Json(apps) }))
        .route("/metrics", get(move || async move { metrics }));
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }).abort_handle()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_of_their_own_apps_and_administrators_of_the_process() {
    let t = TestApp::fake().await;
    let (mine, quiet) = (t.create("mine").await["id"].clone(), t.create("quiet").await["id"].clone());
    let other = Person::new(&t, "other").await;
    let theirs = other.post("/apps", json!({"name": "theirs"})).await.ok()["id"].clone();
    let root = Person::admin(&t, "root").await;

    let silent = json!({
        "answers": false, "version": null, "started_at": null, "follows": false, "process": null, "apps": [],
    });
    for who in [&root, &other] {
        assert_eq!(who.get("/router").await.ok(), silent, "no router answers yet");
    }

    let dyno = |app: &Value, name: &str, current: bool, quarantined: bool| {
        json!({
            "app_id": app, "id": "00000000-0000-0000-0000-000000000001", "dyno": name, "current": current,
            "quarantined": quarantined, "in_flight": 2,
        })
    };
    let status = json!({
        "pid": 4711, "version": "1.2.3", "router": theirs, "instance": theirs, "generation": 17, "apps": 3,
        "daemon_connected": true, "connections": 5, "waiting": 1, "uptime_seconds": 3600, "http": ["0.0.0.0:80"],
        "https": [], "log_waiting": 3, "log_dropped": 4,
        "backends": [dyno(&mine, "web.2", true, true), dyno(&mine, "web.1", true, false),
            dyno(&mine, "web.3", false, false), dyno(&theirs, "web.1", true, false)],
    });
    let recent = json!({
        "seconds": 60.0, "requests": 10, "statuses": {"2xx": 9, "5xx": 1}, "codes": {"H12": 1}, "bytes": 100,
        "p50_ms": 1.5, "p95_ms": 20.0, "p99_ms": null,
    });
    let traffic = |id: &Value, name: &str| {
        json!({
            "id": id, "name": name, "requests": 100, "in_flight": 6, "waiting": 1, "tunnels": 2, "recent": recent,
        })
    };
    let up = says(&t, status, json!([traffic(&mine, "mine"), traffic(&theirs, "theirs")]), "").await;
    let all = root.get("/router").await.ok();
    assert_eq!((&all["answers"], &all["follows"], &all["version"]), (&json!(true), &json!(true), &json!("1.2.3")));
    assert_eq!(
        all["process"],
        json!({
            "pid": 4711, "generation": 17, "apps": 3, "connections": 5, "waiting": 1, "http": ["0.0.0.0:80"],
            "https": [], "log_lines_waiting": 3, "log_lines_dropped": 4,
        })
    );
    let names = |of: &Value| -> Vec<String> {
        of["apps"].as_array().unwrap().iter().map(|app| app["app"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all), ["mine", "theirs"], "one without dynos and requests is left out");

    let of_owner = t.get("/router").await.ok();
    assert_eq!((names(&of_owner), &of_owner["process"]), (vec!["mine".to_owned()], &Value::Null));
    let app = &of_owner["apps"][0];
    assert_eq!((&app["recent"], &app["requests"], &app["tunnels"]), (&recent, &json!(100), &json!(2)));
    let dynos: Vec<String> = app["dynos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dyno| format!("{} {}", dyno["name"].as_str().unwrap(), dyno["state"].as_str().unwrap()))
        .collect();
    assert_eq!(dynos, ["web.1 up", "web.2 quarantined", "web.3 leaving"]);

    let one = t.get("/router?app=quiet").await.ok();
    assert_eq!(one["apps"][0]["app"], json!({"id": quiet, "name": "quiet"}), "one that is named is told of");
    assert_eq!(one["apps"][0]["recent"], Value::Null);
    t.get("/router?app=theirs").await.error(403);
    t.get("/router?app=none").await.error(404);
    up.abort();
    let _ = std::fs::remove_file(t.dir.join("run/router.sock"));
    assert_eq!(t.get("/router").await.ok(), silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_read_by_whoever_brings_the_token() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut t = TestApp::fake_with(|config| {
        config.metrics_listen = Some(address);
        config.metrics_token = Some("s3cret".into());
    })
    .await;
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let ask = async |path: &str, token: Option<&str>| {
        let mut request = http.get(format!("http://{address}{path}"));
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let answer = request.send().await.unwrap();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (answer.status().as_u16(), kind.unwrap_or_default(), answer.text().await.unwrap())
    };
    for token in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic s3cret"), Some("s3cret")] {
        let (status, _, text) = ask("/metrics", token).await;
        assert!(
            status == 401 && text.contains("PAAS_METRICS_TOKEN") && !text.contains("paas_apps"),
            "{token:?}: {text}"
        );
    }
    assert_eq!(ask("/", Some("Bearer s3cret")).await.0, 404);
    let metrics = async || {
        let (status, kind, text) = ask("/metrics", Some("Bearer s3cret")).await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"), "{text}");
        exposition::Metrics::parse(&text)
    };
    let empty = metrics().await;
    assert_eq!((empty.get("paas_apps"), empty.get("paas_router_up")), (0.0, 0.0));
    assert!(!empty.has("paas_dynos{"));

    t.create("app").await;
    t.deploy("app", &[("a", "a")], &[("worker", "run")]).await;
    t.patch("/apps/app/formation/worker", json!({"quantity": 2})).await.ok();
    t.until_dynos("app", &["worker.1 up", "worker.2 up"]).await;
    let counts = t
        .until("dynos and passes to be counted", async || {
            let counts = metrics().await;
            (counts.has("state=\"up\"") && counts.get("paas_reconcile_passes_total{result=\"ok\"}") > 0.0)
                .then_some(counts)
        })
        .await;
    assert_eq!(counts.get("paas_dynos{kind=\"formation\",state=\"up\"}"), 2.0);
    assert_eq!((counts.get("paas_apps"), counts.get("paas_reconcile_passes_total{result=\"failed\"}")), (1.0, 0.0));
    assert_eq!((counts.get("paas_builds{state=\"queued\"}"), counts.get("paas_builds{state=\"running\"}")), (0.0, 0.0));
    assert!(counts.get("paas_log_lines_total") > 0.0 && counts.get("paas_daemon_uptime_seconds") > 0.0);

    let theirs = "# HELP paas_router_requests_total Requests.\n# TYPE paas_router_requests_total counter\npaas_router_requests_total{app=\"app\",status=\"2xx\"} 5\n";
    let up = says(&t, json!({}), json!([]), theirs).await;
    let both = metrics().await;
    assert_eq!((both.get("paas_router_up"), both.get("paas_apps")), (1.0, 1.0));
    assert_eq!(both.get("paas_router_requests_total{app=\"app\",status=\"2xx\"}"), 5.0);
    up.abort();

    // The address is free again for the next daemon.
    t.restart().await;
    assert_eq!(metrics().await.get("paas_apps"), 1.0);
}
