//! Releases and back again.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn releases() {
    let h = Heroku::fake("releases").await;
    h.app.create("shop").await;
    h.ok("releases", "-a shop", &["shop Releases", "v1", "Initial release"]).await;
    h.app.deploy("shop", &[("a", "1")], &[("worker", "one")]).await;
    h.ok("config:set", "A=1 -a shop", &[]).await;
    h.app.deploy("shop", &[("a", "2")], &[("worker", "two")]).await;
    h.app
        .until("the release to be done", async || {
            let list = h.app.get("/apps/shop/releases").await.ok();
            list.as_array()?.iter().all(|release| release["status"] != "pending").then_some(())
        })
        .await;
    h.ok("releases", "-a shop -n 3", &["v4", "Deploy 5ec1351", "owner@example.com", "Set A config vars"]).await;
    let all = h.ok("releases", "-a shop --json", &[]).await.json();
    h.check("releases", "the newest is first", all[0]["version"] == 4);
    h.ok(
        "releases:info",
        "-a shop",
        &["=== Release v4", "By:", "Change:", "Deploy 5ec1351", "When:", "Config vars", "A:"],
    )
    .await;
    h.ok("releases:info", "v3 -a shop", &["=== Release v3"]).await;
    h.fails("releases:info", "v99 -a shop", &["Couldn't find that"]).await;
    h.ok("releases:output", "v4 -a shop", &["no release output available"]).await;
    h.ok("releases:rollback", "-a shop", &["Rolling back", "v3", "done, v5"]).await;
    h.ok("releases:rollback", "v2 -a shop", &["v2", "done, v6"]).await;
    h.fails("releases:rollback", "v99 -a shop", &["Couldn't find that"]).await;
    h.cannot("container:rm", "worker -a shop", "it is for the stack `container`, which there is not").await;
    h.done().await;
}
