//! Features of apps and accounts: each that can be switched does something.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use paas_daemon::{engine::Engine as _, ops};
use serde_json::json;
use tokio::net::TcpListener;

use crate::util::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn features_are_listed_and_switched() {
    let mut t = TestApp::fake().await;
    t.create("app").await;
    let list = t.get("/apps/app/features").await.ok();
    let shown: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|f| format!("{} {} {}", f["name"].as_str().unwrap(), f["state"].as_str().unwrap(), f["enabled"]))
        .collect();
    assert_eq!(
        shown,
        [
            "http-routing-2-dot-0 general true",
            "http-session-affinity general false",
            "http2-to-dynos general false",
            "log-runtime-metrics public false",
            "preboot general true",
            "runtime-dyno-metadata public true",
            "web-idling general false"
        ]
    );
    let on = t.patch("/apps/app/features/log-runtime-metrics", json!({"enabled": true})).await.ok();
    assert_eq!(on["enabled"], true);
    t.until_logged("app", "Enable log-runtime-metrics by user owner@example.com").await;
    t.restart().await;
    let by_id = format!("/apps/app/features/{}", on["id"].as_str().unwrap());
    assert_eq!(t.get(&by_id).await.ok(), on);

    for fixed in ["/apps/app/features/runtime-dyno-metadata", "/apps/app/features/http-routing-2-dot-0"] {
        let (_, why) = t.patch(fixed, json!({"enabled": false})).await.error(422);
        assert!(why.contains("always on"), "{why}");
        t.patch(fixed, json!({"enabled": true})).await.ok();
    }
    for bad in [json!({}), json!({"enabled": "yes"})] {
        let (_, why) = t.patch("/apps/app/features/preboot", bad).await.error(422);
        assert!(why.contains("enabled"), "{why}");
    }
    t.get("/apps/app/features/runtime-heroku-exec").await.error(404);
    let other = t.other("other@example.com").await;
    let body = json!({"enabled": false}).to_string().into_bytes();
    t.send("PATCH", "/apps/app/features/preboot", Some(&other), Some(body)).await.error(403);
    t.send("GET", "/apps/app/features", Some(&other), None).await.error(403);

    let account = t.get("/account/features/dashboard-repositories-api").await.ok();
    assert_eq!((&account["enabled"], t.get("/account/features").await.ok()), (&json!(true), json!([account])));
    t.patch("/account/features/dashboard-repositories-api", json!({"enabled": false})).await.error(422);
    t.get("/account/features/preboot").await.error(404);
}

/// Answers for each web dyno of the engine in memory, as soon as there is one.
pub(crate) fn answer_for_dynos(t: &TestApp) -> tokio::task::JoinHandle<()> {
    let fake = t.fake.clone().unwrap();
    tokio::spawn(async move {
        let mut listeners = HashMap::new();
        loop {
            for dyno in fake.list(None).await.unwrap_or_default() {
                if let (Some(address), false) = (dyno.address, listeners.contains_key(&dyno.id)) {
                    let at = SocketAddr::new(address, ops::spec::port(dyno.id));
                    listeners.insert(dyno.id, TcpListener::bind(at).await.unwrap());
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn without_preboot_the_old_web_dyno_stops_first() {
    let t = TestApp::fake().await;
    let answers = answer_for_dynos(&t);
    t.create("app").await;
    t.deploy("app", &[("a", "a")], &[("web", "run")]).await;
    t.until_dynos("app", &["web.1 up"]).await;
    let change = async |value: &str| {
        let before = t.log("app").await.len();
        t.patch("/apps/app/config-vars", json!({"A": value})).await.ok();
        before
    };
    // Where in the log from a line on something is said, once it is.
    let said = async |before: usize, text: &'static str| {
        t.until(text, || async { t.log("app").await[before..].iter().position(|line| line.contains(text)) }).await
    };
    t.patch("/apps/app/features/preboot", json!({"enabled": false})).await.ok();
    let before = change("1").await;
    let start = said(before, "Starting process").await;
    assert!(said(before, "Stopping all processes").await < start, "without preboot the old one stops first");
    t.until_dynos("app", &["web.1 up"]).await;
    t.patch("/apps/app/features/preboot", json!({"enabled": true})).await.ok();
    let before = change("2").await;
    let start = said(before, "Starting process").await;
    let stop = t.log("app").await[before..].iter().position(|line| line.contains("Stopping all processes"));
    assert!(stop.is_none_or(|stop| stop > start), "with it the new one starts first");
    answers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_metrics_are_logged_for_the_app_that_wants_them() {
    let t = TestApp::fake().await;
    for app in ["quiet", "told"] {
        t.create(app).await;
        t.deploy(app, &[("a", "a")], &[("worker", "run")]).await;
        t.patch(&format!("/apps/{app}/formation/worker"), json!({"quantity": 1})).await.ok();
    }
    t.patch("/apps/told/features/log-runtime-metrics", json!({"enabled": true})).await.ok();
    for app in ["quiet", "told"] {
        t.until_dynos(app, &["worker.1 up"]).await;
    }
    t.until_logged("told", "sample#memory_total=").await;
    assert!(!t.log("quiet").await.iter().any(|line| line.contains("sample#")));
}
