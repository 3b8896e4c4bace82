//! Webhooks, and that they arrive.

use crate::client::{Heroku, until};

#[tokio::test(flavor = "multi_thread")]
async fn webhooks() {
    let h = Heroku::fake("webhooks").await;
    h.app.create("shop").await;
    h.ok("webhooks", "-a shop", &["no webhooks"]).await;
    h.ok(
        "webhooks:add",
        "-i api:release -l notify -u https://hooks.example.com/in -a shop",
        &["Adding webhook to", "done", "Webhooks Signing Secret"],
    )
    .await;
    h.fails("webhooks:add", "-i nonsense -l notify -u https://hooks.example.com/ -a shop", &["nonsense"]).await;
    let listed = h.app.get("/apps/shop/webhooks").await.body;
    let id = listed[0]["id"].as_str().unwrap_or("none").to_owned();
    h.ok("webhooks", "-a shop", &[&id, "https://hooks.example.com/in", "api:release", "notify"]).await;
    h.ok("webhooks:info", &format!("{id} -a shop"), &[&id, "https://hooks.example.com/in", "notify"]).await;
    h.ok(
        "webhooks:update",
        &format!("{id} -i api:release,api:app -l notify -u https://hooks.example.com/2 -a shop"),
        &["Updating webhook", "done"],
    )
    .await;
    h.ok("config:set", "A=1 -a shop", &[]).await;
    let _ = tokio::time::timeout(
        std::time::Duration::from_secs(20),
        until("an event", async || {
            h.app.get("/apps/shop/webhook-events").await.body.as_array().is_some_and(|all| !all.is_empty())
        }),
    )
    .await;
    let events = h.app.get("/apps/shop/webhook-events").await.body;
    let event = events[0]["id"].as_str().unwrap_or("none").to_owned();
    h.ok("webhooks:events", "-a shop", &[&event, "release"]).await;
    h.ok("webhooks:events:info", &format!("{event} -a shop"), &[&event, "payload"]).await;
    let deliveries = h.app.get("/apps/shop/webhook-deliveries").await.body;
    let delivery = deliveries[0]["id"].as_str().unwrap_or("none").to_owned();
    h.ok("webhooks:deliveries", "-a shop", &[&delivery]).await;
    h.ok("webhooks:deliveries:info", &format!("{delivery} -a shop"), &[&delivery, "Event"]).await;
    h.ok("webhooks:remove", &format!("{id} -a shop"), &["Removing webhook", "done"]).await;
    h.fails("webhooks:info", &format!("{id} -a shop"), &["Couldn't find that"]).await;
    h.done().await;
}
