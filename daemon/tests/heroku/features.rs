//! Features of accounts and apps.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn features() {
    let h = Heroku::fake("features").await;
    h.app.create("shop").await;
    let listed = h.app.get("/apps/shop/features").await.body;
    let has = |name: &str| listed.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name));
    h.check("features", "log-runtime-metrics is one", has("log-runtime-metrics"));
    h.ok("features", "-a shop", &["App Features shop", "preboot"]).await;
    let feature = "log-runtime-metrics";
    h.ok("features:info", &format!("{feature} -a shop"), &[feature, "Description:", "Enabled:", "false"]).await;
    h.ok("features:enable", &format!("{feature} -a shop"), &["Enabling", feature, "done"]).await;
    h.fails("features:enable", &format!("{feature} -a shop"), &["already enabled"]).await;
    h.ok("features:disable", &format!("{feature} -a shop"), &["Disabling", feature, "done"]).await;
    h.fails("features:info", "nothing -a shop", &["Couldn't find that"]).await;

    h.ok("labs", "-a shop", &["User Features owner@example.com", "App Features"]).await;
    h.ok("labs", "--json", &["\"user\""]).await;
    h.ok("labs:info", &format!("{feature} -a shop"), &[feature, "Enabled:"]).await;
    h.ok("labs:enable", &format!("{feature} -a shop"), &["Enabling", feature, "done"]).await;
    h.ok("labs:disable", &format!("{feature} -a shop --confirm shop"), &["Disabling", feature, "done"]).await;
    h.ok(
        "autocomplete",
        "bash",
        &["Building the autocomplete cache... done", "Setup Instructions for HEROKU CLI Autocomplete"],
    )
    .await;
    h.done().await;
}
