//! Apps, stacks, regions and the server's state.

use crate::client::Heroku;

/// Opens nothing, but writes down what.
const BROWSER: &str = "#!/bin/sh\necho \"$@\" >> \"$HOME/opened\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn apps() {
    let h = Heroku::fake("apps").await;
    let host = h.host();
    h.ok("apps:create", "shop --no-remote", &["Creating", "shop... done", "http://shop.localhost"]).await;
    let made = h.ok("apps:create", "blog --json --stack debian-12 --region local", &[r#""name": "blog""#]).await;
    h.check("apps:create", "the JSON is of the app", made.json()["name"] == "blog");
    h.fails("apps:create", "shop", &["Name shop is already taken"]).await;
    h.fails("apps:create", "Bad_Name", &["Name"]).await;
    h.ok("apps", "", &["blog", "shop"]).await;
    let listed = h.ok("apps", "--json", &[]).await;
    h.check("apps", "the JSON has two", listed.json().as_array().is_some_and(|apps| apps.len() == 2));
    h.ok("apps:info", "-a shop", &["=== shop", "Owner:", "owner@example.com", "Git URL:", "Stack:", "debian-12"]).await;
    h.ok("apps:info", "-a shop --shell", &["git_url=", "web_url=http://shop.localhost", "stack=debian-12"]).await;
    let info = h.ok("apps:info", "-a shop --json", &[]).await;
    h.check("apps:info", "the JSON has the app", info.json()["app"]["name"] == "shop");
    h.fails("apps:info", "-a nope", &["Couldn't find that app."]).await;

    h.ok("regions", "", &["local"]).await;
    h.ok("apps:stacks", "-a shop", &["debian-12", "heroku-24"]).await;
    h.ok("apps:stacks:set", "heroku-24 -a shop", &["heroku-24"]).await;
    h.ok("apps:stacks", "-a shop", &["heroku-24 (active on next deploy)"]).await;
    h.ok("apps:stacks:set", "debian-12 -a shop", &["done"]).await;
    h.ok("apps:rename", "store -a shop", &["Renaming", "store... done"]).await;
    h.ok("apps:rename", "shop -a store", &["shop... done"]).await;

    h.place_program("xdg-open", BROWSER);
    h.place_program("browser", BROWSER);
    h.ok("apps:open", "-a shop", &["Opening"]).await;
    h.ok("apps:open", "some/path -a shop", &["some/path"]).await;

    // A repository that was made for an app knows it.
    h.tool("git", "init -q").await;
    h.ok("git:remote", "-a shop", &["set git remote heroku to https://localhost"]).await;
    let remote = h.tool("git", "remote get-url heroku").await.out;
    h.check(
        "git:remote",
        "the remote is TLS",
        remote.trim() == format!("{}/shop.git", host.replace("http:", "https:")),
    );
    h.ok("apps:info", "", &["=== shop"]).await;

    h.app.deploy("shop", &[("a.txt", "1")], &[("worker", "work")]).await;
    h.app.deploy("blog", &[("a.txt", "2")], &[("worker", "work")]).await;
    h.ok("config:set", "A=1 -a shop", &[]).await;
    h.ok("apps:diff", "shop blog", &["config (A)"]).await;

    h.app.other("new@example.com").await;
    h.ok("access:add", "new@example.com -a blog", &[]).await;
    h.ok("apps:transfer", "new@example.com -a blog", &["Initiating transfer of blog to new@example.com", "email sent"])
        .await;

    h.fails("apps:destroy", "-a shop --confirm other", &["did not match", "Aborted"]).await;
    h.ok("apps:destroy", "-a shop --confirm shop", &["Destroying", "shop", "done"]).await;
    let typed = h.on_terminal("apps:destroy", "-a blog", &[("--confirm blog", "blog\r")]).await;
    h.judge("apps:destroy", "-a blog (confirmed by hand)", &typed, Some(0), &["done"]);
    h.ok("status", "", &["Apps:", "No known issues"]).await;
    if let Some(fake) = &h.app.fake {
        fake.set_down(true);
    }
    h.ok("status", "", &["Apps:", "Red"]).await;
    h.done().await;
}
