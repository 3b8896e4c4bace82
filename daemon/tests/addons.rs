//! The Redis add-on on the real engine, from creation to destruction.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use paas_daemon::engine::Owned;
use serde_json::{Value, json};
use util::TestApp;

/// What a one-off dyno of the app gets as an answer from Redis: it has no client, so bash
/// speaks the protocol.
async fn redis(t: &TestApp, app: &str, url_var: &str, command: &str) -> String {
    let script = format!(
        r#"u=${{{url_var}#redis://:}}; pw=${{u%%@*}}; hp=${{u#*@}}; exec 3<>/dev/tcp/${{hp%%:*}}/${{hp##*:}} || {{ echo answer: unreachable; exit; }}; printf 'AUTH %s\r\n{command}\r\n' "$pw" >&3; read -r -u3 a; read -r -u3 b; case $b in \$*) read -r -u3 b;; esac; echo "answer: ${{a%$'\r'}} ${{b%$'\r'}}""#
    );
    let run = t.post(&format!("/apps/{app}/dynos"), json!({"command": script})).await.ok();
    let name = run["name"].as_str().unwrap().to_owned();
    let prefix = format!("app[{name}]: answer: ");
    t.until("Redis's answer", || async {
        t.log(app).await.iter().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    })
    .await
}

fn descriptions(releases: &Value) -> Vec<String> {
    releases.as_array().unwrap().iter().map(|r| r["description"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_creation_to_destruction() {
    let mut t = TestApp::docker().await;
    t.create("shop").await;
    t.deploy("shop", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    t.patch("/apps/shop/config-vars", json!({"REDIS_PROVIDER": "REDISTOGO_URL"})).await.ok();
    let made = t.post("/apps/shop/addons", json!({"plan": "redistogo"})).await.ok();
    assert_eq!((&made["state"], &made["plan"]["name"]), (&json!("provisioned"), &json!("redis:nano")));
    let name = made["name"].as_str().unwrap().to_owned();

    let config = t.get("/apps/shop/config-vars").await.ok();
    assert_eq!(config["REDIS_PROVIDER"], "REDISTOGO_URL", "what the user set is left alone");
    assert_eq!(config["REDIS_URL"], config["REDISTOGO_URL"]);
    let releases = t.get("/apps/shop/releases").await.ok();
    assert_eq!(descriptions(&releases).last().unwrap(), &format!("Attach REDIS (@ref:{name})"));
    let (_, why) = t.patch("/apps/shop/config-vars", json!({"REDIS_URL": "redis://elsewhere"})).await.error(422);
    assert!(why.contains("Cannot overwrite attachment values REDIS_URL"), "{why}");

    assert_eq!(redis(&t, "shop", "REDIS_URL", "SET colour green").await, "+OK +OK");
    assert_eq!(redis(&t, "shop", "REDIS_URL", "GET colour").await, "+OK green");

    // Another app reaches it only once it is attached there.
    t.create("stall").await;
    t.deploy("stall", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    let url = config["REDIS_URL"].as_str().unwrap();
    t.patch("/apps/stall/config-vars", json!({"STOLEN_URL": url})).await.ok();
    assert_eq!(redis(&t, "stall", "STOLEN_URL", "GET colour").await, "unreachable");
    let attached = t.post("/addon-attachments", json!({"addon": name, "app": "stall", "name": "cache"})).await.ok();
    assert_eq!(attached["config_vars"], json!(["CACHE_URL"]));
    t.until("the network to be joined", || async {
        (redis(&t, "stall", "CACHE_URL", "GET colour").await == "+OK green").then_some(())
    })
    .await;

    // Data survives a restart of the daemon, another plan, another policy, other credentials.
    t.restart().await;
    t.patch(&format!("/apps/shop/addons/{name}"), json!({"plan": "premium-0"})).await.ok();
    t.patch(&format!("/redis/v0/databases/{name}/config"), json!({"maxmemory_policy": "allkeys-lru"})).await.ok();
    t.until("the new settings", || async {
        let info = t.get(&format!("/redis/v0/databases/{name}")).await;
        let text = info.body.to_string();
        (text.contains("of 50 MB") && text.contains("allkeys-lru")).then_some(())
    })
    .await;
    let (_, why) =
        t.patch(&format!("/redis/v0/databases/{name}/config"), json!({"maxmemory_policy": "none"})).await.error(422);
    assert!(why.contains("noeviction"), "{why}");
    t.post(&format!("/redis/v0/databases/{name}/credentials_rotation"), json!({})).await.ok();
    let after = t.get("/apps/shop/config-vars").await.ok();
    assert_ne!(after["REDIS_URL"], config["REDIS_URL"]);
    t.until("the new password to work", || async {
        (redis(&t, "shop", "REDIS_URL", "GET colour").await == "+OK green").then_some(())
    })
    .await;

    // A second one gets a name of its own; detach and destroy say what they do.
    let second = t.post("/apps/shop/addons", json!({"plan": "heroku-redis:mini"})).await.ok();
    let vars = second["config_vars"].as_array().unwrap();
    assert!(vars.len() == 1 && vars[0].as_str().unwrap().starts_with("HEROKU_REDIS_"), "{vars:?}");
    let (_, why) = t.delete("/addon-attachments/HEROKU_REDIS_NOPE").await.error(404);
    assert!(why.contains("attachment"), "{why}");
    let (_, why) = t.delete(&format!("/apps/shop/addons/{name}")).await.error(422);
    assert!(why.contains("stall"), "{why}");
    let id = attached["id"].as_str().unwrap();
    t.delete(&format!("/addon-attachments/{id}")).await.ok();
    assert!(t.get("/apps/stall/config-vars").await.ok().get("CACHE_URL").is_none());
    let gone = t.delete(&format!("/apps/shop/addons/{name}")).await.ok();
    assert_eq!(gone["state"], "deprovisioning");
    let config = t.get("/apps/shop/config-vars").await.ok();
    assert!(config.get("REDIS_URL").is_none() && config.get("REDISTOGO_URL").is_none(), "{config}");
    let first: uuid::Uuid = made["id"].as_str().unwrap().parse().unwrap();
    t.until("its data to be gone", || async {
        let there =
            t.owned().await.iter().any(|o| matches!(o, Owned::Service(id) | Owned::ServiceVolume(id) if *id == first));
        (!there).then_some(())
    })
    .await;
    t.destroy("stall").await;
    let id: uuid::Uuid = second["id"].as_str().unwrap().parse().unwrap();
    assert!(t.owned().await.contains(&Owned::ServiceVolume(id)), "what is in use stays");
    t.destroy("shop").await;
}
