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
            "Starting promotion to production...",
            "Waiting for promotion to complete...",
            "Promotion successful",
            "shop: succeeded",
        ],
    )
    .await;
    let promoted = h.app.get("/apps/shop/releases").await.body;
    let promoted = promoted.as_array().and_then(|list| list.iter().find(|one| one["version"] == 2)).cloned();
    h.check(
        "pipelines:promote",
        "it is a release with a slug",
        promoted.is_some_and(|one| one["slug"]["id"].is_string()),
    );
    h.fails("pipelines:transfer", "nobody@example.com -p stores --confirm stores", &["Cannot find a team or account"])
        .await;
    let to = &["Transferring stores pipeline to the default team... done"];
    h.ok("pipelines:transfer", "default -p stores --confirm stores", to).await;
    h.ok("pipelines:create", "gone -a shop-dev --stage staging", &["done"]).await;
    h.ok("pipelines:destroy", "gone", &["Destroying gone pipeline... done"]).await;
    h.fails("pipelines:info", "gone", &["Pipeline not found"]).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn review_apps() {
    let h = Heroku::fake("reviewapps").await;
    h.app.create("shop").await;
    h.ok("pipelines:create", "shops -a shop --stage staging", &["done"]).await;
    repository(&h).await;
    let pipeline = h.app.get("/pipelines/shops").await.body["id"].clone();
    let id = pipeline.as_str().unwrap_or("none");
    h.app.post(&format!("/pipelines/{id}/repo"), json!({"repo_url": "shop"})).await.ok();
    h.ok("reviewapps:enable", "-p shops", &["Configuring pipeline... done"]).await;
    h.ok("reviewapps:enable", "-p shops --autodeploy --autodestroy", &["Configuring pipeline... done"]).await;
    h.ok("reviewapps:disable", "-p shops --no-autodeploy", &["Configuring pipeline... done"]).await;
    h.ok("reviewapps:create", "-p shops -b main", &["Creating review app from main"]).await;
    h.fails("reviewapps:create", "-p shops -b nothing", &["The branch nothing doesn't exist."]).await;
    let app = h
        .app
        .until("the review app's app", async || {
            let all = h.app.get(&format!("/pipelines/{id}/review-apps")).await.ok();
            let app = all[0]["app"]["id"].as_str()?.to_owned();
            (h.app.get(&format!("/apps/{app}/review-app")).await.status == 200).then_some(app)
        })
        .await;
    // Its postdeploy script stays until it is ended.
    let ready = async {
        let script =
            async || Some(h.app.get(&format!("/apps/{app}/dynos")).await.ok()[0]["id"].as_str()?.parse().unwrap());
        let script = h.app.until("the script", script).await;
        h.app.fake.as_ref().unwrap().exit(script, 0, false);
    };
    let wait = "Review app is building and will be ready when complete";
    let said = h.raw_while("reviewapps:wait", &format!("{app} --wait-interval 1"), wait, ready).await;
    h.judge("reviewapps:wait", "APP", &said, Some(0), &[wait, "done"]);
    let review = h.app.get(&format!("/apps/{app}/review-app")).await.ok();
    h.check("reviewapps:wait", "the review app is there", review["status"] == "created");
    h.ok("reviewapps:disable", "-p shops", &["Configuring pipeline... done"]).await;
    h.done().await;
}

/// Gives the app a repository with a branch, as a push would have.
async fn repository(h: &Heroku) {
    let id = h.app.get("/apps/shop").await.ok()["id"].as_str().unwrap().to_owned();
    std::fs::write(h.place.join("Procfile"), "web: serve\n").unwrap();
    std::fs::write(
        h.place.join("app.json"),
        r#"{"environments": {"review": {"scripts": {"postdeploy": "sleep for long"}}}}"#,
    )
    .unwrap();
    for line in ["init -q", "add .", "commit -qm one"] {
        h.tool("git", line).await;
    }
    h.tool("git", &format!("clone -q --bare . {}", h.app.dir.join("git").join(format!("{id}.git")).display())).await;
}
