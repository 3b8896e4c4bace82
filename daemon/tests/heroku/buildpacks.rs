//! Buildpacks of an app, and the registry.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn buildpacks() {
    let h = Heroku::fake("buildpacks").await;
    h.app.create("shop").await;
    h.ok("buildpacks", "-a shop", &["shop has no Buildpacks."]).await;
    h.ok("buildpacks:set", "heroku/ruby -a shop", &["Buildpack set. Next release on", "will use heroku/ruby"]).await;
    h.ok(
        "buildpacks:add",
        "heroku/nodejs --index 1 -a shop",
        &["Buildpack added. Next release on", "1. heroku/nodejs", "2. heroku/ruby"],
    )
    .await;
    h.ok("buildpacks:add", "https://github.com/some/pack -a shop", &["3. https://github.com/some/pack"]).await;
    h.ok("buildpacks", "-a shop", &["Buildpacks", "heroku/nodejs", "heroku/ruby"]).await;
    let all = h.ok("buildpacks", "-a shop --json", &[]).await.json();
    h.check("buildpacks", "the JSON has all", all.as_array().is_some_and(|all| all.len() == 3));
    h.ok("buildpacks:remove", "heroku/nodejs -a shop", &["Buildpack removed. Next release on"]).await;
    h.ok("buildpacks:remove", "--index 2 -a shop", &["Buildpack removed."]).await;
    h.fails("buildpacks:add", "heroku/nothing-there -a shop", &["buildpack"]).await;
    h.ok("buildpacks:clear", "-a shop", &["Buildpacks cleared. Next release on"]).await;
    h.ok("buildpacks:search", "ruby", &["heroku/ruby", "buildpack"]).await;
    h.ok("buildpacks:search", "--namespace heroku", &["heroku/nodejs"]).await;
    h.ok("buildpacks:info", "heroku/ruby", &["=== heroku/ruby", "category:", "description:"]).await;
    h.ok("buildpacks:versions", "heroku/ruby", &["Version", "Status"]).await;
    h.fails("buildpacks:info", "heroku/nothing-there", &["heroku/nothing-there"]).await;
    h.done().await;
}
