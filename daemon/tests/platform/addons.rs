//! Add-ons, their services and plans, and the data API of Redis.

use serde_json::{Value, json};

use crate::util::TestApp;

/// A request with `Accept-Expansion`, as Heroku's command line sends it.
async fn expanded(t: &TestApp, method: &str, path: &str, expansion: &str, body: &str) -> Value {
    let token = format!("Bearer {}", t.token);
    let headers =
        [("Authorization", token.as_str()), ("Accept-Expansion", expansion), ("Content-Type", "application/json")];
    t.send_with(method, path, &headers, body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_on_keeps_the_name_of_the_service_that_it_was_made_by() {
    let mut t = TestApp::fake().await;
    t.create("shop").await;
    let own = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    assert_eq!((&own["addon_service"]["name"], &own["plan"]["name"]), (&json!("redis"), &json!("redis:mini")));
    assert_eq!(own["provision_message"], "");
    assert_eq!(own["plan"]["price"], json!({"cents": 0, "contract": false, "unit": "month"}));
    let theirs = t.post("/apps/shop/addons", json!({"plan": {"name": "heroku-redis:premium-0"}})).await.ok();
    assert_eq!(theirs["addon_service"]["name"], "heroku-redis");
    assert_eq!(theirs["plan"]["name"], "heroku-redis:premium-0");
    let name = theirs["name"].as_str().unwrap().to_owned();
    t.restart().await;
    let shown = t.get(&format!("/addons/{name}")).await.ok();
    assert_eq!(shown["plan"], theirs["plan"]);
    // The service means all of its add-ons, by whatever name.
    let (id, why) = t.get("/apps/shop/addons/redis").await.error(422);
    assert!(id == "multiple_matches" && why.contains(&name), "{id}: {why}");
    let both = t.post("/actions/addons/resolve", json!({"addon": "heroku-redis", "app": "shop"})).await.ok();
    assert_eq!(both.as_array().unwrap().len(), 2);
    // Another plan keeps the name; SERVICE:PLAN gives another.
    let path = format!("/apps/shop/addons/{name}");
    let moved = t.patch(&path, json!({"plan": "premium-1"})).await.ok();
    assert_eq!(moved["plan"]["name"], "heroku-redis:premium-1");
    let moved = t.patch(&path, json!({"plan": {"name": "redis:premium-2"}})).await.ok();
    assert_eq!(moved["plan"]["name"], "redis:premium-2");
    let (_, why) = t.patch(&path, json!({})).await.error(422);
    assert!(why.contains("plan") && why.contains("name"), "{why}");
    t.patch(&path, json!({"name": "a b"})).await.error(422);
    assert_eq!(t.patch(&path, json!({"name": "ours"})).await.ok()["name"], "ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expanded_is_whole() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let made = expanded(&t, "POST", "/apps/shop/addons", "plan", r#"{"plan":"heroku-redis"}"#).await;
    let plan = t.get("/addon-services/heroku-redis/plans/mini").await.ok();
    assert_eq!(made["plan"], plan);
    assert!(made["addon_service"].get("state").is_none());
    let service = t.get("/addon-services/heroku-redis").await.ok();
    let list = expanded(&t, "GET", "/apps/shop/addons", "addon_service,plan", "").await;
    assert_eq!((&list[0]["addon_service"], &list[0]["plan"]), (&service, &plan));
    let found = expanded(
        &t,
        "POST",
        "/actions/addons/resolve",
        "addon_service,plan",
        &json!({"addon": made["name"], "app": null}).to_string(),
    )
    .await;
    assert_eq!(found[0]["addon_service"], service);
    let plain = t.get("/apps/shop/addons").await.ok();
    assert!(plain[0]["plan"].get("state").is_none() && plain[0]["plan"]["price"]["cents"] == 0, "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_plans_are_found_by_name_and_id() {
    let t = TestApp::fake().await;
    let services = t.get("/addon-services").await.ok();
    let names: Vec<&str> = services.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"redis") && names.contains(&"heroku-redis"), "{names:?}");
    for service in services.as_array().unwrap() {
        let (id, name) = (service["id"].as_str().unwrap(), service["name"].as_str().unwrap());
        assert_eq!(t.get(&format!("/addon-services/{id}")).await.ok(), *service);
        let plans = t.get(&format!("/addon-services/{name}/plans")).await.ok();
        let plans = plans.as_array().unwrap();
        assert_eq!(plans.iter().filter(|plan| plan["default"] == true).count(), 1, "{name}");
        for plan in plans {
            assert_eq!(t.get(&format!("/plans/{}", plan["id"].as_str().unwrap())).await.ok(), *plan);
            assert_eq!(t.get(&format!("/plans/{}", plan["name"].as_str().unwrap())).await.ok(), *plan);
        }
    }
    let capabilities = t.get("/addon-region-capabilities").await.ok();
    assert_eq!(t.get("/regions/local/addon-region-capabilities").await.ok(), capabilities);
    let one = t.get("/addon-services/redis/region-capabilities").await.ok();
    assert_eq!((&one[0]["region"]["name"], &one[0]["addon_service"]["name"]), (&json!("local"), &json!("redis")));
    for missing in [
        "/addon-services/none",
        "/addon-services/none/plans",
        "/addon-services/redis/plans/none",
        "/addon-services/redis/plans/other:mini",
        "/addon-services/none/region-capabilities",
        "/regions/mars/addon-region-capabilities",
        "/plans/redis:none",
        "/plans/none",
    ] {
        t.get(missing).await.error(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_see_and_change_nothing_of_an_add_on() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    let name = made["name"].as_str().unwrap();
    let other = t.other("other@example.com").await;
    for (method, path) in [
        ("GET", format!("/addons/{name}")),
        ("GET", format!("/addons/{name}/config")),
        ("PATCH", format!("/addons/{name}/config")),
        ("POST", format!("/addons/{name}/actions/provision")),
        ("POST", format!("/addons/{name}/actions/deprovision")),
        ("POST", format!("/redis/v0/databases/{name}/stats/reset")),
        ("GET", format!("/redis/v0/databases/{name}")),
    ] {
        let answer = t.send(method, &path, Some(&other), Some(b"{}".to_vec())).await;
        answer.error(404);
        t.send(method, &path, None, Some(b"{}".to_vec())).await.error(401);
    }
    for (method, path) in [
        ("GET", "/apps/shop/addons/REDIS/sso"),
        ("DELETE", "/apps/shop/addons/REDIS"),
        ("PATCH", "/apps/shop/addons/REDIS"),
    ] {
        t.send(method, path, Some(&other), Some(b"{}".to_vec())).await.error(403);
    }
    assert_eq!(t.send("GET", "/users/~/addons", Some(&other), None).await.ok(), json!([]));
    assert_eq!(t.get("/users/~/addons").await.ok()[0]["name"], name);
    t.get("/users/other@example.com/addons").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_config_and_the_way_to_a_dashboard() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    let name = made["name"].as_str().unwrap();
    let again = t.post(&format!("/addons/{name}/actions/provision"), json!({})).await.ok();
    assert_eq!(again["state"], "provisioned");
    let way = t.get(&format!("/apps/shop/addons/{name}/sso")).await.ok();
    let page = made["web_url"].as_str().unwrap();
    let (signed, address) = (way["action"].as_str().unwrap(), page.split_once("/addons/").unwrap().1);
    assert!(way["method"] == "get" && signed.starts_with(&format!("{page}?")), "{way} {page}");
    let see = async |path: &str| {
        let answer = t.send("GET", path, None, None).await;
        (answer.status, answer.body.as_str().unwrap().to_owned())
    };
    let (status, text) = see(&format!("/addons/{}", signed.split_once("/addons/").unwrap().1)).await;
    assert_eq!(status, 200, "{text}");
    let (value, password) = (t.get("/apps/shop/config-vars").await.ok()["REDIS_URL"].clone(), "redis:mini (");
    let secret = value.as_str().unwrap().split_once("//:").unwrap().1.split_once('@').unwrap().0.to_owned();
    for told in ["<h1>", name, password, "shop as REDIS", "maxmemory_policy"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains(&secret), "{text}");
    // Without the key, one says who one is, and what isn't there is not told from what is another's.
    for path in [format!("/addons/{address}"), format!("/addons/{address}?expires=9999999999&signature=00")] {
        let (status, text) = see(&path).await;
        assert!(status == 200 && text.contains("Log in to see this add-on") && !text.contains("noeviction"), "{text}");
    }

    let path = format!("/addons/{name}/config");
    let value = |config: &Value, name: &str| {
        config.as_array().unwrap().iter().find(|item| item["name"] == name).map(|item| item["value"].clone())
    };
    let before = t.get(&path).await.ok();
    assert!(value(&before, "URL").unwrap().as_str().unwrap().starts_with("redis://"), "{before}");
    assert_eq!(value(&before, "timeout"), Some(json!("300")));
    let mut whole = before.clone();
    for item in whole.as_array_mut().unwrap() {
        if item["name"] == "timeout" {
            item["value"] = json!("60");
        }
    }
    let after = t.patch(&path, json!({"config": whole})).await.ok();
    assert_eq!(value(&after, "timeout"), Some(json!("60")));
    for (config, word) in [
        (json!([{"name": "URL", "value": "redis://x"}]), "URL"),
        (json!([{"name": "colour", "value": "red"}]), "colour"),
        (json!([{"name": "timeout", "value": "soon"}]), "timeout"),
        (json!([{"name": "timeout", "value": 3}]), "config"),
        (json!("timeout"), "config"),
    ] {
        let (_, why) = t.patch(&path, json!({"config": config})).await.error(422);
        assert!(why.contains(word), "{why}");
    }
    assert_eq!(value(&t.get(&path).await.ok(), "timeout"), Some(json!("60")));

    let gone = t.post(&format!("/addons/{name}/actions/deprovision"), json!({})).await.ok();
    assert_eq!(gone["state"], "deprovisioned");
    t.get(&path).await.error(404);
    assert_eq!(t.get("/apps/shop/addons").await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_api_of_redis() {
    let mut t = TestApp::fake().await;
    t.create("shop").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "heroku-redis"})).await.ok();
    let (name, id) = (made["name"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap());
    let base = format!("/redis/v0/databases/{id}");
    let waits = t.get(&format!("{base}/wait")).await.ok();
    assert_eq!(waits["waiting?"], false);
    let said = t.post(&format!("{base}/stats/reset"), json!({})).await.ok();
    assert!(said["message"].as_str().unwrap().contains(&name), "{said}");
    let set = t.patch(&format!("{base}/config"), json!({"notify_keyspace_events": "AKE"})).await.ok();
    assert_eq!(set["notify_keyspace_events"]["value"], "AKE");
    t.restart().await;
    let config = t.get(&format!("{base}/config")).await.ok();
    assert_eq!(config["notify_keyspace_events"]["value"], "AKE");
    let spec = t.until("the server's new settings", || async {
        let spec = t.fake.as_ref().unwrap().service_spec(id.parse().unwrap())?;
        spec.command.iter().any(|word| word == "AKE").then_some(spec)
    });
    assert!(spec.await.command.iter().any(|word| word == "--notify-keyspace-events"));
    t.patch(&format!("{base}/config"), json!({"notify_keyspace_events": "AKE!"})).await.error(422);
    t.patch(&format!("{base}/config"), json!({"timeout": -1})).await.error(422);
    let set = t.patch(&format!("{base}/config"), json!({"notify_keyspace_events": ""})).await.ok();
    assert_eq!(set["notify_keyspace_events"]["value"], "");
    let said = t.post(&format!("{base}/upgrade"), json!({"version": "7.0"})).await.ok();
    assert!(said["message"].as_str().unwrap().contains("already"), "{said}");
    for body in [json!({"version": "8"}), json!({"version": "70"}), json!({}), json!({"version": 7})] {
        let (_, why) = t.post(&format!("{base}/upgrade"), body).await.error(422);
        assert!(why.contains("version"), "{why}");
    }
    t.get("/redis/v0/databases/none").await.error(404);
    // By name with the apps' own address, by id with one through this API.
    let by_name = t.get(&format!("/redis/v0/databases/{name}")).await.ok();
    assert_eq!(by_name["resource_url"], t.get("/apps/shop/config-vars").await.ok()["REDIS_URL"]);
    let by_id = t.get(&base).await.ok();
    let url = by_id["resource_url"].as_str().unwrap();
    assert!(
        url.starts_with("rediss://h:") && url.ends_with(&format!("@localhost:{}", t.config.api_listen.port())),
        "{url}"
    );
    assert_eq!(by_id["prefer_native_tls"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_a_redis_leaves_the_other_attached() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let first = t.post("/apps/shop/addons", json!({"plan": "heroku-redis"})).await.ok();
    let second = t.post("/apps/shop/addons", json!({"plan": "heroku-redis"})).await.ok();
    let before = t.get("/apps/shop/config-vars").await.ok();
    let spare = second["config_vars"][0].as_str().unwrap();
    let body = json!({"addon": {"name": second["name"]}, "app": {"name": "shop"}, "confirm": "shop", "name": "REDIS"});
    let made = t.post("/addon-attachments", body).await.ok();
    assert_eq!(made["namespace"], Value::Null);
    assert!(made["config_vars"].as_array().unwrap().contains(&json!("REDIS_URL")), "{made}");
    let after = t.get("/apps/shop/config-vars").await.ok();
    assert_eq!(after["REDIS_URL"], before[spare]);
    let first = t.get(&format!("/addons/{}", first["name"].as_str().unwrap())).await.ok();
    let kept = first["config_vars"][0].as_str().unwrap();
    assert_eq!(after[kept], before["REDIS_URL"], "{first}");
    let (_, why) = t.get("/apps/shop/addon-attachments/NONE").await.error(404);
    assert!(why.contains("attachment"), "{why}");
    let answer = t.post("/actions/addon-attachments/resolve", json!({"addon_attachment": "NONE", "app": "shop"})).await;
    assert_eq!(answer.body["resource"], "add_on attachment");
    t.post("/actions/addon-attachments/resolve", json!({})).await.error(422);
    t.post("/actions/addons/resolve", json!({"app": "shop"})).await.error(422);
}

/// What `heroku redis:cli` does: TLS without a look at the certificate's name, AUTH, commands.
async fn speak(t: &TestApp, lines: &str) -> String {
    use rustls::pki_types::pem::PemObject as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let ca = std::fs::read(t.dir.join("tls/ca.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(t.config.api_listen).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut said = String::new();
    let read = stream.read_to_string(&mut said);
    tokio::time::timeout(std::time::Duration::from_secs(30), read).await.unwrap().unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_outside_reaches_redis_through_the_api_once() {
    let t = TestApp::docker().await;
    t.create("shop").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "heroku-redis"})).await.ok();
    t.until("Redis to be there", || async {
        let shown = t.get(&format!("/addons/{}", made["name"].as_str().unwrap())).await.ok();
        (shown["state"] == "provisioned").then_some(())
    })
    .await;
    let info = t.get(&format!("/redis/v0/databases/{}", made["id"].as_str().unwrap())).await.ok();
    let url = info["resource_url"].as_str().unwrap();
    let secret = url.trim_start_matches("rediss://h:").split('@').next().unwrap();
    let said = speak(&t, &format!("AUTH {secret}\nSET colour green\nGET colour\nQUIT\n")).await;
    assert_eq!(said, "+OK\r\n+OK\r\n$5\r\ngreen\r\n+OK\r\n");
    let said = speak(&t, &format!("AUTH {secret}\nGET colour\nQUIT\n")).await;
    assert!(said.starts_with("-ERR ") && !said.contains("green"), "{said}");
    t.destroy("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_can_not_be_made_leave_the_database_to_others() {
    let t = TestApp::fake().await;
    t.fake.as_ref().unwrap().set_down(true);
    t.create("shop").await;
    let names: Vec<String> = (0..30).map(|n| format!("cache-{n}")).collect();
    for name in &names {
        // In the database at once: nobody waits for the engine here.
        let actor = t.actor().await;
        let app = paas_daemon::ops::apps::find(t.platform(), &actor, "shop").await.unwrap();
        let attachment = name.to_uppercase().replace('-', "_");
        let attachment = Some(attachment.as_str());
        let new = paas_daemon::ops::addons::New { plan: "redis", name: Some(name), attachment, options: None };
        paas_daemon::ops::addons::create(t.platform(), &actor, &app, new).await.unwrap();
    }
    for round in 0..3 {
        let renames = names.iter().map(async |name| {
            let body = json!({"name": format!("{name}-r{round}")});
            let renamed = t.patch(&format!("/addons/{name}"), body).await.status;
            let back = t.patch(&format!("/addons/{name}-r{round}"), json!({"name": name})).await.status;
            (renamed, back, t.get("/apps/shop").await.status)
        });
        let statuses = futures_util::future::join_all(renames).await;
        assert!(statuses.iter().all(|three| *three == (200, 200, 200)), "{statuses:?}");
    }
}
