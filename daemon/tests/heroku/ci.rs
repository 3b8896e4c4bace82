//! Test runs and the config vars of tests.

use serde_json::json;

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn ci() {
    let h = Heroku::fake("ci").await;
    h.app.create("shop").await;
    h.ok("pipelines:create", "shops -a shop --stage staging", &["done"]).await;
    h.ok("ci:config:set", "-p shops KEY=value OTHER=2", &["Setting KEY, OTHER... done", "KEY:", "value"]).await;
    h.ok("ci:config", "-p shops", &["shops test config vars", "KEY:", "value"]).await;
    let key = h.ok("ci:config:get", "-p shops KEY", &[]).await;
    h.check("ci:config:get", "the value alone is printed", key.out.trim() == "value");
    h.ok("ci:config:unset", "-p shops OTHER", &["Unsetting OTHER... done"]).await;
    let left = h.ok("ci:config", "-p shops --json", &[]).await;
    h.check("ci:config:unset", "it is gone", left.json()["OTHER"].is_null());

    h.ok("ci", "-p shops", &["shops"]).await;
    let pipeline = h.app.get("/pipelines/shops").await.body["id"].clone();
    let run = json!({
        "commit_branch": "main", "commit_message": "A change", "commit_sha": "5ec1351abcdef5ec1351abcdef5ec1351abcdef00",
        "pipeline": pipeline, "source_blob_url": format!("{}/nothing.tar.gz", h.host()),
    });
    h.app.post("/test-runs", run).await;
    h.ok("ci", "-p shops", &["main", "5ec1351"]).await;
    h.ok("ci:info", "-p shops 1", &["main:5ec1351"]).await;
    h.ok("ci:last", "-p shops", &["main:5ec1351"]).await;
    h.done().await;
}
