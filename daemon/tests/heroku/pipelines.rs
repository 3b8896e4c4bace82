//! Pipelines, review apps.

use serde_json::json;

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn pipelines() {
    let h = Heroku::fake("pipelines").await;
    for app in ["shop", "shop-staging", "shop-dev"] {
        h.app.create(app).await;
    }
    h.ok(
        "pipelines:create",
        "shops -a shop --stage production",
        &["Creating shops pipeline", "Adding", "shop to shops pipeline as production... done"],
    )
    .await;
    h.ok(
        "pipelines:add",
        "shops -a shop-staging --stage staging",
        &["Adding", "shop-staging to shops pipeline as staging... done"],
    )
    .await;
    h.ok("pipelines:add", "shops -a shop-dev --stage development", &["done"]).await;
    h.fails("pipelines:add", "shops -a shop --stage staging", &[]).await;
    h.ok("pipelines", "", &["My Pipelines", "shops"]).await;
    h.ok("pipelines:info", "shops", &["=== shops", "owner:", "shop-staging", "staging", "production"]).await;
    h.ok("pipelines:update", "-a shop-dev --stage staging", &["Changing", "shop-dev to staging... done"]).await;
    h.ok("pipelines:remove", "-a shop-dev", &["Removing", "shop-dev... done"]).await;
    h.ok("pipelines:rename", "shops stores", &["Renaming shops pipeline to stores... done"]).await;
    h.app.deploy("shop-staging", &[("a", "1")], &[("worker", "work")]).await;
    h.ok(
        "pipelines:promote",
        "-a shop-staging",
        &[
            "Fetching apps from",
            "Starting promotion to production... done",
            "Waiting for promotion to complete... done",
            "Promotion successful",
            "shop: succeeded",
        ],
    )
    .await;
    let (one, other) =
        (h.app.get("/apps/shop/releases").await.body, h.app.get("/apps/shop-staging/releases").await.body);
    let slug =
        |list: &serde_json::Value| list.as_array().and_then(|list| list.last()).map(|last| last["slug"]["id"].clone());
    h.check("pipelines:promote", "the slug is the same", slug(&one).is_some() && slug(&one) == slug(&other));
    h.app.other("friend@example.com").await;
    let friend = h.app.get("/account").await.body["id"].as_str().unwrap_or_default().to_owned();
    h.fails("pipelines:transfer", "nobody@example.com -p stores --confirm stores", &[]).await;
    h.check("pipelines:transfer", "there is an account", !friend.is_empty());
    h.ok(
        "pipelines:transfer",
        "friend@example.com -p stores --confirm stores",
        &["Transferring stores pipeline to the friend@example.com account... done"],
    )
    .await;
    h.ok("pipelines:create", "gone -a shop-dev --stage staging", &["done"]).await;
    h.ok("pipelines:destroy", "gone", &["Destroying gone pipeline... done"]).await;
    h.fails("pipelines:info", "gone", &["Couldn't find that pipeline"]).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn review_apps() {
    let h = Heroku::fake("reviewapps").await;
    h.app.create("shop").await;
    h.ok("pipelines:create", "shops -a shop --stage staging", &["done"]).await;
    h.ok("reviewapps:enable", "-p shops --autodeploy --autodestroy", &["Configuring pipeline", "done"]).await;
    h.ok("reviewapps:disable", "-p shops --no-autodeploy", &["Configuring pipeline", "done"]).await;
    h.ok("reviewapps:enable", "-p shops", &["done"]).await;
    let pipeline = h.app.get("/pipelines/shops").await.body["id"].clone();
    let blob = json!({"url": format!("{}/nothing.tar.gz", h.host()), "version": "1"});
    let made =
        h.app.post("/review-apps", json!({"branch": "main", "pipeline": pipeline, "source_blob": blob})).await.body;
    let app = made["app"]["id"].as_str().map(str::to_owned);
    h.ok("reviewapps:create", "-p shops -b main", &["Creating review app from main"]).await;
    h.ok("reviewapps:wait", &format!("{} --wait-interval 1", app.as_deref().unwrap_or("none")), &[]).await;
    h.done().await;
}
