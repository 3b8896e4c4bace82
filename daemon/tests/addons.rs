//! Add-ons: what they mean for apps, on the fake engine; Redis on the real one, from creation
//! to destruction.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::time::{Duration, Instant};

use paas_daemon::{engine::Owned, store};
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

/// What `redis-cli` says beside the server, its lines put together.
async fn redis_cli(addon: &Value, t: &TestApp, command: &str) -> String {
    use futures_util::StreamExt as _;
    let id = addon["id"].as_str().unwrap().parse().unwrap();
    let p = t.platform();
    let row = store::addons::by_id(&mut p.db.read().await.unwrap(), id).await.unwrap().unwrap();
    let secrets = paas_daemon::ops::config::open_addon(p, &row).unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let spec = paas_daemon::addons::redis::cli(&secrets, &words, false);
    let session = p.engine.exec(paas_daemon::engine::Target::Service(id), &spec).await;
    // While it is remade there is nothing to ask.
    let Ok(mut session) = session else { return String::new() };
    let mut text = String::new();
    while let Some(piece) = session.output.next().await {
        text.push_str(&String::from_utf8_lossy(&piece.unwrap().1));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An app with an add-on on the fake engine that another app uses as CACHE: the add-on.
async fn shared(t: &TestApp) -> Value {
    t.create("shop").await;
    t.create("stall").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    assert_eq!(made["state"], "provisioned");
    t.post("/addon-attachments", json!({"addon": made["name"], "app": "stall", "name": "cache"})).await.ok();
    made
}

async fn last_release(t: &TestApp, app: &str) -> String {
    descriptions(&t.get(&format!("/apps/{app}/releases")).await.ok()).pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_means_for_other_apps_is_done_after_a_crash() {
    let t = TestApp::fake().await;
    let made = shared(&t).await;
    let name = made["name"].as_str().unwrap();
    assert_eq!(last_release(&t, "stall").await, format!("Attach CACHE (@ref:{name})"));
    t.post(&format!("/redis/v0/databases/{name}/credentials_rotation"), json!({})).await.ok();
    assert_eq!(last_release(&t, "shop").await, format!("Update REDIS by {name}"));
    let update = format!("Update CACHE by {name}");
    t.until("the other app's release", || async { (last_release(&t, "stall").await == update).then_some(()) }).await;

    // As a daemon leaves it that was killed right after its change.
    let (p, id) = (t.platform(), made["id"].as_str().unwrap().parse().unwrap());
    let rows = store::addons::attachments_of_addon(&mut p.db.read().await.unwrap(), id).await.unwrap();
    let row = rows.iter().find(|row| row.name == "CACHE").unwrap();
    let due = store::addons::ReleaseDue {
        description: "Update after all".into(),
        user_id: t.actor().await.user.id,
        phase: false,
    };
    let mut tx = p.db.begin().await.unwrap();
    store::addons::set_due(&mut tx, row.id, Some(&due)).await.unwrap();
    tx.commit(Some(store::Wake { app_id: None, kind: "addon.rotate" })).await.unwrap();
    t.until("the release that is owed", || async {
        (last_release(&t, "stall").await == "Update after all").then_some(())
    })
    .await;
    let row = store::addons::attachment(&mut p.db.read().await.unwrap(), row.id).await.unwrap().unwrap();
    assert_eq!(row.release_due, None);

    // Neither app nor add-on goes while others use it, unless that is said.
    for path in ["/apps/shop".to_owned(), format!("/apps/shop/addons/{name}")] {
        let (_, why) = t.delete(&path).await.error(422);
        assert!(why.contains("also attached to stall"), "{why}");
    }
    let force = json!({"force": true}).to_string().into_bytes();
    t.send("DELETE", &format!("/apps/shop/addons/{name}"), Some(&t.token), Some(force)).await.ok();
    let detach = format!("Detach CACHE (@ref:{name})");
    t.until("the other app to be told", || async { (last_release(&t, "stall").await == detach).then_some(()) }).await;
    assert_eq!(last_release(&t, "shop").await, format!("Detach REDIS (@ref:{name})"));
    t.until("its data to be gone", || async {
        let there =
            t.owned().await.iter().any(|o| matches!(o, Owned::Service(of) | Owned::ServiceVolume(of) if *of == id));
        (!there).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_on_is_on_the_networks_of_the_apps_attached_and_no_others() {
    let t = TestApp::fake().await;
    let made = shared(&t).await;
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let stall: uuid::Uuid = t.get("/apps/stall").await.ok()["id"].as_str().unwrap().parse().unwrap();
    let shown = t.get("/apps/shop/addons/shop::REDIS").await.ok();
    assert_eq!(shown["id"], made["id"], "APP::ATTACHMENT means the add-on");
    t.delete("/addon-attachments/shop::REDIS").await.ok();
    t.until("its own app's network to be left", || async {
        (t.fake.as_ref().unwrap().networks_of(id) == [stall]).then_some(())
    })
    .await;
    t.delete("/addon-attachments/CACHE").await.error(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_add_on_is_in_nobody_elses_way() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    let (id, name) = (made["id"].as_str().unwrap().parse().unwrap(), made["name"].as_str().unwrap());
    t.fake.as_ref().unwrap().silence(id);
    // Wakes the task, which asks the silent one first.
    t.patch(&format!("/redis/v0/databases/{name}/config"), json!({"timeout": 100})).await.ok();
    t.create("stall").await;
    let other = t.post("/apps/stall/addons", json!({"plan": "redis"})).await.ok();
    assert_eq!(other["state"], "provisioned");
    let asked = Instant::now();
    let info = t.get(&format!("/redis/v0/databases/{name}")).await.ok();
    assert!(info["info"].to_string().contains("does not answer"), "{info}");
    assert!(asked.elapsed() < Duration::from_secs(30));
    t.until("its message", || async {
        let shown = t.get(&format!("/apps/shop/addons/{name}")).await.ok();
        (shown["provision_message"] == "redis-server does not answer").then_some(())
    })
    .await;
    let (id, why) = t.patch(&format!("/apps/shop/addons/{name}"), json!({"plan": "nano"})).await.error(503);
    assert!(id == "service_unavailable" && why.contains("smaller plan nano"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_and_names_are_taken_as_given_or_refused() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    for config in [json!({"maxmemory_policy": "none"}), json!({"timeout": "soon"}), json!({"colour": "red"})] {
        let (_, why) = t.post("/apps/shop/addons", json!({"plan": "redis", "config": config})).await.error(422);
        assert!(why.starts_with(config.as_object().unwrap().keys().next().unwrap().as_str()), "{why}");
    }
    assert_eq!(t.get("/apps/shop/addons").await.ok(), json!([]), "nothing of it was made");
    let body = json!({"plan": "redis", "config": {"maxmemory_policy": "allkeys-lru", "timeout": "60"}});
    let empty = json!({"plan": "redis", "attachment": {"name": ""}});
    let (_, why) = t.post("/apps/shop/addons", empty).await.error(422);
    assert!(why.contains("must start with a letter"), "{why}");
    let first = t.post("/apps/shop/addons", body).await.ok();
    let config = t.get("/redis/v0/databases/REDIS/config?app=shop").await.ok();
    assert_eq!(config["maxmemory_policy"]["value"], "allkeys-lru");
    assert_eq!(config["timeout"]["value"], 60);

    let body = json!({"args": ["-h", "elsewhere.example", "--rdb", "/data/more"]});
    let (_, why) = t.post("/redis/v0/databases/REDIS/cli?app=shop", body).await.error(422);
    assert!(why.contains("--rdb"), "{why}");

    // The name of an attachment passes on only when that is said; what had it gets another.
    let second = t.post("/apps/shop/addons", json!({"plan": "redis", "attachment": {"name": "SPARE"}})).await.ok();
    t.post("/apps/shop/addons", json!({"plan": "redis", "attachment": {"name": "SPARE"}})).await.error(422);
    let mut body = json!({"addon": second["name"], "app": "shop", "name": "REDIS"});
    let (id, why) = t.post("/addon-attachments", body.clone()).await.error(423);
    assert!(id == "confirmation_required" && why.contains("--confirm shop"), "{id}: {why}");
    body["confirm"] = json!("shop");
    t.post("/addon-attachments", body).await.ok();
    let config = t.get("/apps/shop/config-vars").await.ok();
    assert_eq!(config["REDIS_URL"], config["SPARE_URL"]);
    let first = t.get(&format!("/addons/{}", first["name"].as_str().unwrap())).await.ok();
    let old = first["config_vars"][0].as_str().unwrap();
    assert!(old.starts_with("HEROKU_REDIS_") && config[old] != config["REDIS_URL"], "{first}");

    // What add-ons bring may be the bytes too many: getting smaller is not refused for it.
    t.create("full").await;
    t.patch("/apps/full/config-vars", json!({"BIG": "x".repeat(64 * 1024 - 20), "SMALL": "1"})).await.ok();
    t.post("/apps/full/addons", json!({"plan": "redis"})).await.ok();
    t.patch("/apps/full/config-vars", json!({"MORE": "1"})).await.error(422);
    t.patch("/apps/full/config-vars", json!({"SMALL": null})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_and_name_change_together_or_not_at_all() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let by_id = |plan: Value| json!({"plan": plan["id"]});
    let premium = t.get("/addon-services/heroku-redis/plans/premium-0").await.ok();
    let made = t.post("/apps/shop/addons", by_id(premium.clone())).await.ok();
    assert_eq!(made["plan"]["name"], "heroku-redis:premium-0");
    let path = format!("/addons/{}", made["id"].as_str().unwrap());
    for name in ["bad name", "other"] {
        t.post("/apps/shop/addons", json!({"plan": "redis", "name": "other", "attachment": {"name": "B"}})).await;
        t.patch(&path, json!({"plan": "heroku-redis:premium-1", "name": name})).await.error(422);
        assert_eq!(t.get(&path).await.ok()["plan"]["name"], "heroku-redis:premium-0", "{name}");
    }
    let set = t.patch(&path, json!({"plan": "premium-1", "name": "cache"})).await.ok();
    assert_eq!((&set["plan"]["name"], &set["name"]), (&json!("heroku-redis:premium-1"), &json!("cache")));
    let plan = t.get("/addon-services/redis/plans/premium-2").await.ok();
    assert_eq!(t.patch(&path, by_id(plan)).await.ok()["plan"]["name"], "redis:premium-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_being_made_takes_no_name_away() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    let before = t.get("/apps/shop/config-vars").await.ok();
    t.fake.as_ref().unwrap().set_down(true);
    let second = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    assert_eq!(second["state"], "provisioning");
    let body = json!({"app": "shop", "addon": second["name"], "name": "REDIS", "confirm": "shop"});
    let (_, why) = t.post("/addon-attachments", body.clone()).await.error(422);
    assert!(why.contains("still being made"), "{why}");
    assert_eq!(t.get("/apps/shop/config-vars").await.ok(), before);
    t.fake.as_ref().unwrap().set_down(false);
    t.until("it to be made", || async {
        (t.post("/addon-attachments", body.clone()).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_creation_to_destruction() {
    let mut t = TestApp::docker().await;
    t.create("shop").await;
    t.deploy("shop", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    t.patch("/apps/shop/config-vars", json!({"REDIS_PROVIDER": "REDISTOGO_URL"})).await.ok();
    let made = t.post("/apps/shop/addons", json!({"plan": "redistogo"})).await.ok();
    assert_eq!((&made["state"], &made["plan"]["name"]), (&json!("provisioned"), &json!("redistogo:nano")));
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

    // What leads out of the plan or locks others out is refused, also in a script.
    for command in [
        "CONFIG SET maxmemory 0",
        "CONFIG SET auto-aof-rewrite-percentage 0",
        "REPLICAOF 10.0.0.1 1",
        "ACL SETUSER default nopass",
        "CLIENT PAUSE 100000",
        "BGSAVE",
        "SHUTDOWN NOSAVE",
    ] {
        assert!(redis_cli(&made, &t, command).await.contains("NOPERM"), "{command}");
    }
    let script = "EVAL return(redis.call('config','set','maxmemory','0')) 0";
    assert!(redis_cli(&made, &t, script).await.starts_with("ERR"));
    assert_eq!(redis_cli(&made, &t, "CONFIG GET maxmemory").await, "maxmemory 5242880");
    for (command, says) in [("CLIENT SETNAME me", "OK"), ("INFO server", "redis_version"), ("CLIENT LIST", "addr=")] {
        assert!(redis_cli(&made, &t, command).await.contains(says), "{command}");
    }

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

    t.until("the release that brings it", || async {
        let releases = descriptions(&t.get("/apps/stall/releases").await.ok());
        (releases.last().unwrap() == &format!("Attach CACHE (@ref:{name})")).then_some(())
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
    let settings = "CONFIG GET maxmemory maxmemory-policy";
    t.until("the server to have them", || async {
        let has = redis_cli(&made, &t, settings).await;
        (has.contains("maxmemory 52428800") && has.contains("maxmemory-policy allkeys-lru")).then_some(())
    })
    .await;

    // A plan that its data does not fit into is refused; another name changes no address.
    let fill = "EVAL return(redis.call('set','big',string.rep('x',8388608)).ok) 0";
    assert_eq!(redis_cli(&made, &t, fill).await, "OK");
    let (_, why) = t.patch(&format!("/apps/shop/addons/{name}"), json!({"plan": "nano"})).await.error(422);
    assert!(why.contains("The smallest plan that fits is mini"), "{why}");
    assert_eq!(redis_cli(&made, &t, "DEL big").await, "1");
    t.patch(&format!("/apps/shop/addons/{name}"), json!({"name": "Shop_Redis"})).await.ok();
    assert_eq!(t.get("/apps/shop/config-vars").await.ok()["REDIS_URL"], config["REDIS_URL"]);
    assert_eq!(redis(&t, "shop", "REDIS_URL", "GET colour").await, "+OK green");
    t.patch("/apps/shop/addons/Shop_Redis", json!({"name": name})).await.ok();

    t.patch("/apps/shop/config-vars", json!({"OLD_URL": config["REDIS_URL"]})).await.ok();
    t.post(&format!("/redis/v0/databases/{name}/credentials_rotation"), json!({})).await.ok();
    let after = t.get("/apps/shop/config-vars").await.ok();
    assert_ne!(after["REDIS_URL"], config["REDIS_URL"]);
    t.until("the new password to work", || async {
        (redis(&t, "shop", "REDIS_URL", "GET colour").await == "+OK green").then_some(())
    })
    .await;

    assert!(redis(&t, "shop", "OLD_URL", "GET colour").await.starts_with("-WRONGPASS"), "the old password is refused");

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
    t.patch("/apps/stall/config-vars", json!({"STOLEN_URL": after["REDIS_URL"]})).await.ok();
    t.until("the network to be left", || async {
        (redis(&t, "stall", "STOLEN_URL", "GET colour").await == "unreachable").then_some(())
    })
    .await;
    let gone = t.delete(&format!("/apps/shop/addons/{name}")).await.ok();
    assert_eq!(gone["state"], "deprovisioned");
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
