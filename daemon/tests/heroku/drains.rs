//! Log drains and telemetry drains.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn drains() {
    let h = Heroku::fake("drains").await;
    h.app.create("shop").await;
    h.ok(
        "drains:add",
        "syslog://logs.example.com:514 -a shop",
        &["Successfully added drain syslog://logs.example.com:514"],
    )
    .await;
    h.ok("drains:add", "https://user:pass@logs.example.com/in -a shop", &["Successfully added drain"]).await;
    h.fails("drains:add", "nonsense -a shop", &["nvalid"]).await;
    h.ok("drains", "-a shop", &["=== Drains", "syslog://logs.example.com:514 (d."]).await;
    let all = h.ok("drains", "-a shop --json", &[]).await.json();
    h.check("drains", "the JSON has both", all.as_array().is_some_and(|all| all.len() == 2));
    h.ok(
        "drains:remove",
        "syslog://logs.example.com:514 -a shop",
        &["Successfully removed drain syslog://logs.example.com:514"],
    )
    .await;
    h.fails("drains:remove", "syslog://logs.example.com:514 -a shop", &["Couldn't find that"]).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry() {
    let h = Heroku::fake("telemetry").await;
    h.app.create("shop").await;
    h.ok("telemetry", "-a shop", &["no telemetry drains"]).await;
    h.ok(
        "telemetry:add",
        "https://otel.example.com -a shop --signals logs,metrics --transport http",
        &["successfully added drain https://otel.example.com"],
    )
    .await;
    let made = h.app.get("/apps/shop/telemetry-drains").await;
    let id = made.body[0]["id"].as_str().unwrap_or("none").to_owned();
    h.ok("telemetry", "-a shop", &[&id, "https://otel.example.com"]).await;
    h.ok("telemetry:info", &id, &[&id, "shop", "https://otel.example.com", "logs", "metrics"]).await;
    h.ok(
        "telemetry:update",
        &format!("{id} --endpoint https://other.example.com"),
        &["Updating telemetry drain", "done", "https://other.example.com"],
    )
    .await;
    h.fails("telemetry:add", "nonsense -a shop", &[]).await;
    h.ok("telemetry:remove", &id, &["Removing telemetry drain", "done"]).await;
    h.ok("telemetry:add", "https://otel.example.com -a shop --transport http", &["successfully added"]).await;
    h.ok("telemetry:remove", "-a shop", &["Removing all telemetry drains from app shop... done"]).await;
    h.done().await;
}
