//! Add-ons of any provider, and Redis.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn addons() {
    let h = Heroku::fake("addons").await;
    h.app.create("shop").await;
    h.app.create("blog").await;
    h.ok("addons:services", "", &["heroku-redis", "Slug", "State"]).await;
    h.ok("addons:plans", "heroku-redis", &["heroku-redis:mini", "Price"]).await;
    h.ok("addons:plans", "heroku-redis --json", &[r#""name": "heroku-redis:mini""#]).await;
    h.ok(
        "addons:create",
        "heroku-redis:mini -a shop --name cache",
        &["Creating heroku-redis:mini on", "shop", "cache"],
    )
    .await;
    h.fails("addons:create", "nothing:big -a shop", &["Couldn't find"]).await;
    h.ok("addons:wait", "cache -a shop --wait-interval 1", &[]).await;
    h.ok("addons:create", "heroku-redis:mini -a shop --as QUEUE --wait", &["QUEUE"]).await;
    h.ok("addons", "-a shop", &["heroku-redis (cache)", "mini", "created", "as REDIS"]).await;
    h.ok("addons", "--all", &["cache", "shop"]).await;
    let all = h.ok("addons", "-a shop --json", &[]).await.json();
    h.check("addons", "the JSON has both", all.as_array().is_some_and(|all| all.len() == 2));
    h.ok(
        "addons:info",
        "cache",
        &["=== cache", "Attachments:", "Owning app:", "Plan:", "heroku-redis:mini", "State:", "created"],
    )
    .await;
    h.ok(
        "addons:attach",
        "cache -a blog --as STORE",
        &["Attaching", "cache", "STORE", "done", "Setting STORE config vars and restarting"],
    )
    .await;
    h.fails("addons:attach", "nope -a blog", &["Couldn't find that add-on"]).await;
    h.ok("addons:detach", "STORE -a blog", &["Detaching STORE to", "from", "Unsetting STORE config vars"]).await;
    h.ok("addons:rename", "cache memory", &["cache successfully renamed to memory."]).await;
    h.ok(
        "addons:upgrade",
        "memory heroku-redis:premium-0 -a shop",
        &["Changing memory on", "from heroku-redis:mini to heroku-redis:premium-0", "done"],
    )
    .await;
    h.ok("addons:open", "memory -a shop --show-url", &[&h.host(), "/dashboard"]).await;
    h.ok("addons:docs", "heroku-redis --show-url", &["heroku-redis"]).await;
    h.fails("addons:destroy", "memory -a shop --confirm blog", &["did not match"]).await;
    h.ok("addons:destroy", "memory -a shop --confirm shop", &["Destroying memory on"]).await;
    h.fails("addons:info", "memory", &["Couldn't find"]).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    let h = Heroku::docker("redis").await;
    h.app.create("shop").await;
    h.ok("addons:create", "heroku-redis:mini -a shop --name cache --wait", &["cache"]).await;
    h.ok("redis:wait", "cache -a shop --wait-interval 1", &[]).await;
    h.ok("redis:info", "-a shop", &["=== cache (", "Plan:", "Version:", "Maxmemory:", "noeviction", "Connections:"])
        .await;
    let all = h.ok("redis:info", "-a shop --json", &[]).await.json();
    h.check("redis:info", "the JSON has it", all[0]["addon"]["name"] == "cache" || all[0]["name"] == "cache");
    h.ok("redis:timeout", "-a shop --seconds 60", &["Timeout for cache (", "set to 60 seconds"]).await;
    h.ok("redis:maxmemory", "-a shop --policy allkeys-lru", &["Maxmemory policy for cache (", "set to allkeys-lru"])
        .await;
    h.fails("redis:maxmemory", "-a shop --policy nonsense", &["nonsense"]).await;
    h.ok(
        "redis:keyspace-notifications",
        "-a shop --config AKE",
        &["Keyspace notifications for cache (", "set to 'AKE'"],
    )
    .await;
    let before = h.ok("redis:credentials", "-a shop", &["redis://"]).await.out;
    h.ok("redis:credentials", "-a shop --reset", &["Resetting credentials for cache"]).await;
    let after = h.ok("redis:credentials", "-a shop", &["redis://"]).await.out;
    h.check("redis:credentials", "the password is another", before != after);
    h.ok("redis:stats-reset", "-a shop --confirm shop", &["Resetting stats on cache", "have been reset"]).await;
    h.ok("redis:upgrade", "-a shop --version 7.0 --confirm shop", &["Requesting upgrade of cache to 7.0"]).await;
    h.ok("addons:create", "heroku-redis:mini -a shop --name second --wait", &["second"]).await;
    h.ok("redis:promote", "second -a shop", &["Promoting second to REDIS_URL on shop"]).await;
    let typed = [("> ", "PING\r"), ("PONG", "SET a b\r"), ("OK", "QUIT\r")];
    let said = h.on_terminal("redis:cli", "second -a shop --confirm shop", &typed).await;
    h.judge("redis:cli", "second -a shop", &said, Some(0), &["PONG"]);
    h.app.destroy("shop").await;
    h.done().await;
}
