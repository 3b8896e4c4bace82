//! The API's answers, good and bad, on whichever database is set.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use paas_daemon::store;
use serde_json::{Value, json};
use util::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_from_creation_to_destruction() {
    let t = TestApp::fake().await;
    let app = t.create("brave-river").await;
    assert_eq!(app["name"], "brave-river");
    assert_eq!(app["stack"]["name"], "debian-12");
    assert!(app["git_url"].as_str().unwrap().ends_with("/brave-river.git"));
    let made_up = t.post("/apps", json!({})).await.ok();
    let name = made_up["name"].as_str().unwrap();
    assert_eq!(name.split('-').count(), 3, "{name}");

    let releases = t.get("/apps/brave-river/releases").await.ok();
    assert_eq!(releases[0]["description"], "Initial release");
    assert_eq!(releases[0]["version"], 1);

    let renamed = t.patch("/apps/brave-river", json!({"name": "calm-river", "maintenance": true})).await.ok();
    assert_eq!((&renamed["name"], &renamed["maintenance"]), (&json!("calm-river"), &json!(true)));
    t.get("/apps/brave-river").await.error(404);
    t.destroy("calm-river").await;
    t.get("/apps/calm-river").await.error(404);
    // The name is free again.
    t.create("calm-river").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn config_vars_make_releases_and_come_back_with_a_rollback() {
    let t = TestApp::fake().await;
    t.create("conf").await;
    t.deploy("conf", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    let vars = t.patch("/apps/conf/config-vars", json!({"A": "1", "B": "two words", "E": ""})).await.ok();
    assert_eq!(vars, json!({"A": "1", "B": "two words", "E": ""}));
    let version = |list: &serde_json::Value| list.as_array().unwrap().last().unwrap()["version"].as_i64().unwrap();
    let after_set = version(&t.get("/apps/conf/releases").await.ok());
    // The same once more changes nothing, so nothing is released.
    t.patch("/apps/conf/config-vars", json!({"A": "1"})).await.ok();
    assert_eq!(version(&t.get("/apps/conf/releases").await.ok()), after_set);
    let vars = t.patch("/apps/conf/config-vars", json!({"A": null, "C": "3"})).await.ok();
    assert_eq!(vars, json!({"B": "two words", "C": "3", "E": ""}));
    let list = t.get("/apps/conf/releases").await.ok();
    let descriptions: Vec<&str> = list.as_array().unwrap().iter().map(|r| r["description"].as_str().unwrap()).collect();
    assert_eq!(
        descriptions,
        ["Initial release", "Deploy 5ec1351", "Set A, B, E config vars", "Set C and remove A config vars"]
    );
    let back = t.post("/apps/conf/releases", json!({"release": "v3"})).await.ok();
    assert_eq!(back["description"], "Rollback to v3");
    assert_eq!(t.get("/apps/conf/config-vars").await.ok(), json!({"A": "1", "B": "two words", "E": ""}));
    let (_, why) = t.post("/apps/conf/releases", json!({"release": "v1"})).await.error(422);
    assert!(why.contains("no slug"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn config_is_sealed_at_rest() {
    let t = TestApp::fake().await;
    t.create("sealed").await;
    t.patch("/apps/sealed/config-vars", json!({"PASSPHRASE": "squeamish-ossifrage-4711"})).await.ok();
    for file in std::fs::read_dir(&t.dir).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let found = bytes.windows(24).any(|w| w == b"squeamish-ossifrage-4711");
        assert!(!found, "{} has the value in the clear", file.path().display());
    }
    use std::os::unix::fs::PermissionsExt as _;
    let key = std::fs::metadata(t.dir.join("secret.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_clear_answer() {
    let t = TestApp::fake().await;
    t.create("one").await;
    t.deploy("one", &[("x", "y")], &[("web", "sleep 1000"), ("worker", "sleep 1000")]).await;

    for name in ["", "a", "1abc", "Abc", "has space", "a_b", "ends-", &"x".repeat(31), "../../etc", "api"] {
        let (id, why) = t.post("/apps", json!({"name": name})).await.error(422);
        assert_eq!(id, "invalid_params");
        assert!(why.ends_with('.'), "{why}");
    }
    let (_, why) = t.post("/apps", json!({"name": "one"})).await.error(422);
    assert_eq!(why, "Name one is already taken.");

    let (id, why) = t.send("POST", "/apps", Some(&t.token), Some(b"{\"name\": ".to_vec())).await.error(400);
    assert_eq!(id, "bad_request");
    assert!(why.contains("as JSON"), "{why}");
    let (_, why) = t.post("/apps", json!({"name": 5})).await.error(422);
    assert!(why.starts_with("name:"), "the field is named: {why}");
    t.send("POST", "/apps", Some(&t.token), Some(b"[]".to_vec())).await.error(422);
    t.send("POST", "/apps", Some(&t.token), Some(vec![0xff, 0xfe])).await.error(400);
    t.send("POST", "/apps", Some(&t.token), Some(vec![b' '; 5 * 1024 * 1024])).await.error(413);
    t.send("PUT", "/apps/one", Some(&t.token), None).await.error(405);
    t.get("/nothing/here").await.error(404);

    t.get("/apps/nobody").await.error(404);
    t.get("/apps/%00").await.error(404);
    for (quantity, status) in
        [(json!(-1), 422), (json!("abc"), 422), (json!(1000), 422), (json!("-5"), 422), (json!(1.5), 422)]
    {
        let (_, why) = t.patch("/apps/one/formation/web", json!({"quantity": quantity})).await.error(status);
        assert!(!why.is_empty());
    }
    let (id, why) = t.patch("/apps/one/formation/clock", json!({"quantity": 1})).await.error(404);
    assert_eq!((id.as_str(), why.contains("clock")), ("not_found", true), "{why}");
    let (_, why) = t.patch("/apps/one/formation/web", json!({"dyno_size": "huge"})).await.error(422);
    assert!(why.contains("standard-1x"), "{why}");

    for key in ["1A", "A B", "", "__X", "HEROKU_X", "A-B", "É"] {
        t.patch("/apps/one/config-vars", json!({ key: "x" })).await.error(422);
    }
    t.patch("/apps/one/config-vars", json!({"A": "x".repeat(65 * 1024)})).await.error(422);
    t.patch("/apps/one/config-vars", json!({"A": "a\u{0}b"})).await.error(422);
    t.patch("/apps/one/config-vars", json!({"A": {"nested": 1}})).await.error(422);
    assert_eq!(t.get("/apps/one/config-vars").await.ok(), json!({}), "nothing of it was kept");
    for host in ["*.localhost", "*.one.localhost"] {
        t.post("/apps/one/domains", json!({"hostname": host})).await.error(422);
    }

    for host in ["no dots", "-a.com", "a..b", "x.localhost", "localhost", &format!("{}.com", "a".repeat(64))] {
        t.post("/apps/one/domains", json!({"hostname": host})).await.error(422);
    }
    let (_, why) = t.post("/apps/one/addons", json!({"plan": "mongodb"})).await.error(404);
    assert!(why.contains("redis"), "{why}");
    t.post("/apps/one/addons", json!({"plan": "redis:enormous"})).await.error(404);
    t.post("/apps/one/dynos", json!({"command": " "})).await.error(422);
    t.post("/apps/one/releases", json!({"slug": "not-an-id"})).await.error(422);
    t.get("/apps/one/releases/999").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let t = TestApp::fake().await;
    t.create("mine").await;
    let other = t.other("other@example.com").await;
    t.send("GET", "/apps/mine", None, None).await.error(401);
    t.send("GET", "/apps/mine", Some("HRKU-wrong"), None).await.error(401);
    let (id, why) = t.send("GET", "/apps/mine", Some(&other), None).await.error(403);
    assert_eq!((id.as_str(), why.as_str()), ("forbidden", "You do not have access to the app mine."));
    assert_eq!(t.send("GET", "/apps", Some(&other), None).await.ok(), json!([]));
    t.post("/apps/mine/collaborators", json!({"user": "other@example.com"})).await.ok();
    t.send("GET", "/apps/mine", Some(&other), None).await.ok();
    t.send("DELETE", "/apps/mine", Some(&other), None).await.error(403);
    t.delete("/apps/mine/collaborators/other@example.com").await.ok();
    t.send("GET", "/apps/mine", Some(&other), None).await.error(403);

    // Who works on an app that an add-on is attached to may use it, and change nothing of it.
    t.create("stall").await;
    t.post("/apps/stall/collaborators", json!({"user": "other@example.com"})).await.ok();
    let addon = t.post("/apps/mine/addons", json!({"plan": "redis"})).await.ok();
    let addon = addon["name"].as_str().unwrap();
    let own = t.get("/apps/mine/addon-attachments/REDIS").await.ok();
    t.post("/addon-attachments", json!({"addon": addon, "app": "stall", "name": "cache"})).await.ok();
    t.send("POST", "/apps", Some(&other), Some(b"{\"name\": \"theirs\"}".to_vec())).await.ok();
    t.send("GET", &format!("/addons/{addon}"), Some(&other), None).await.ok();
    for path in ["/addon-attachments".to_owned(), format!("/addons/{addon}/addon-attachments")] {
        let seen = t.send("GET", &path, Some(&other), None).await.ok();
        let names: Vec<&str> = seen.as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["CACHE"], "{path}");
    }
    for name in [own["id"].as_str().unwrap(), "REDIS"] {
        t.send("DELETE", &format!("/addon-attachments/{name}"), Some(&other), None).await.error(404);
    }
    let redis = format!("/redis/v0/databases/{addon}");
    for (method, path, body) in [
        ("PATCH", format!("/addons/{addon}"), json!({"name": "stolen"})),
        ("PATCH", format!("/apps/stall/addons/{addon}"), json!({"plan": "premium-0"})),
        ("DELETE", format!("/apps/stall/addons/{addon}"), json!({"force": true})),
        ("POST", "/addon-attachments".into(), json!({"addon": addon, "app": "theirs"})),
        ("PATCH", format!("{redis}/config"), json!({"maxmemory_policy": "allkeys-lru"})),
        ("POST", format!("{redis}/credentials_rotation"), json!({})),
    ] {
        let body = Some(body.to_string().into_bytes());
        let (id, why) = t.send(method, &path, Some(&other), body).await.error(403);
        assert!(id == "forbidden" && why.contains("mine"), "{method} {path}: {why}");
    }
    t.send("DELETE", "/addon-attachments/CACHE", Some(&other), None).await.ok();
    t.get("/apps/mine/addon-attachments/REDIS").await.ok();

    let made = t.post("/oauth/authorizations", json!({"description": "laptop"})).await.ok();
    let token = made["access_token"]["token"].as_str().unwrap().to_owned();
    t.send("GET", "/account", Some(&token), None).await.ok();
    t.delete(&format!("/oauth/authorizations/{}", made["id"].as_str().unwrap())).await.ok();
    t.send("GET", "/account", Some(&token), None).await.error(401);
    let (_, why) = t.post("/oauth/authorizations", json!({"scope": ["all"]})).await.error(422);
    assert!(why.starts_with("scope:"), "{why}");

    // Basic: the token as the password; name and password only where tokens are made.
    use base64::Engine as _;
    let basic = |user: &str, secret: &str| {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")))
    };
    let by_token = basic("", &t.token);
    let by_password = basic("owner@example.com", "correct horse");
    t.send_with("GET", "/account", &[("Authorization", &by_token)], "").await.ok();
    t.send_with("GET", "/account", &[("Authorization", &by_password)], "").await.error(401);
    t.send_with("POST", "/oauth/authorizations", &[("Authorization", &by_password)], "").await.ok();
    let wrong = basic("owner@example.com", "wrong horse");
    t.send_with("POST", "/oauth/authorizations", &[("Authorization", &wrong)], "").await.error(401);

    let made = t.post("/oauth/authorizations", json!({"expires_in": 1})).await.ok();
    let token = made["access_token"]["token"].as_str().unwrap();
    t.until("the token to expire", || async {
        (t.send("GET", "/account", Some(token), None).await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_in_the_form_of_the_api() {
    let t = TestApp::fake().await;
    t.create("one").await;
    let (id, why) = t.get("/apps/%FF").await.error(400);
    assert!(id == "bad_request" && why.contains("UTF-8"), "{why}");
    let (id, _) = t.patch("/apps/one/config-vars?restart=no", json!({"A": "1"})).await.error(422);
    assert_eq!(id, "invalid_params");
    let bearer = format!("Bearer {}", t.token);
    for (body, status) in
        [("nul", 400), ("tru", 400), ("-", 400), ("1x", 400), ("[1", 400), ("a=1", 400), ("null", 422)]
    {
        t.send_with("PATCH", "/apps/one", &[("Authorization", &bearer)], body).await.error(status);
    }
    // The body counts, not what it is said to be.
    let form = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    t.send_with("PATCH", "/apps/one", &form, "name=two").await.error(400);
    t.send_with("PATCH", "/apps/one", &form, "{\"maintenance\": true}").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_the_range_that_is_asked_for() {
    let t = TestApp::fake().await;
    t.create("many").await;
    for value in 2..=9 {
        t.patch("/apps/many/config-vars", json!({"A": value.to_string()})).await.ok();
    }
    let bearer = format!("Bearer {}", t.token);
    for (range, status, wanted, next) in [
        ("version ..", 200, vec![1, 2, 3, 4, 5, 6, 7, 8, 9], None),
        ("version 3..7", 200, vec![3, 4, 5, 6, 7], None),
        ("version ]3..7; max=2", 206, vec![4, 5], Some("version ]5..7; max=2")),
        ("version ]5..7; max=2", 200, vec![6, 7], None),
        ("version ..; max=2, order=desc", 206, vec![9, 8], Some("version ]8..; max=2, order=desc")),
        ("version 7..5; order=desc", 200, vec![7, 6, 5], None),
        ("version 20..", 200, vec![], None),
        ("version ]9..3; order=desc, max=3", 206, vec![8, 7, 6], Some("version ]6..3; max=3, order=desc")),
        ("version ..; max=9", 200, vec![1, 2, 3, 4, 5, 6, 7, 8, 9], None),
        ("version ..; max=8", 206, vec![1, 2, 3, 4, 5, 6, 7, 8], Some("version ]8..; max=8")),
        ("version x..; max=2", 200, vec![], None),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("Range", range)];
        let answer = t.send_with("GET", "/apps/many/releases", &headers, "").await;
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.headers.get("next-range").map(|value| value.to_str().unwrap()), next, "{range}");
        let versions: Vec<i64> =
            answer.ok().as_array().unwrap().iter().map(|release| release["version"].as_i64().unwrap()).collect();
        assert_eq!(versions, wanted, "{range}");
    }
    // Thousands of releases are not read for a page, and no config vars with any.
    let mut c = t.platform().db.read().await.unwrap();
    let app = store::apps::by_name(&mut c, "many").await.unwrap().unwrap();
    let part = store::releases::Part { most: 2, highest: true, ..store::releases::Part::ALL };
    let rows = store::releases::list(&mut c, app.id, part).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.version).collect::<Vec<_>>(), [8, 9]);
    assert!(rows.iter().all(|row| row.config.is_empty()));
    assert!(!store::releases::latest(&mut c, app.id).await.unwrap().unwrap().config.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_keeps_its_names_for_its_owner() {
    let t = TestApp::fake().await;
    t.create("mine").await;
    t.create("too").await;
    let other = t.other("other@example.com").await;
    t.send("POST", "/apps", Some(&other), Some(b"{\"name\": \"theirs\"}".to_vec())).await.ok();
    t.post("/apps/mine/domains", json!({"hostname": "*.example.com"})).await.ok();
    let theirs = |name: &str| {
        let body = json!({"hostname": name}).to_string().into_bytes();
        t.send("POST", "/apps/theirs/domains", Some(&other), Some(body))
    };
    let (_, why) = theirs("www.example.com").await.error(422);
    assert!(why.contains("*.example.com is currently in use by an app of another owner"), "{why}");
    theirs("a.www.example.com").await.ok();
    t.post("/apps/too/domains", json!({"hostname": "www.example.com"})).await.ok();
    t.post("/apps/mine/domains", json!({"hostname": "*.www.example.com"})).await.error(422);
    // The name that it is under goes with it, whichever was first.
    theirs("example.com").await.error(422);
    theirs("their.example").await.ok();
    t.post("/apps/mine/domains", json!({"hostname": "*.their.example"})).await.error(422);
    theirs("*.their.example").await.ok();
    // Nobody's are the names right under a suffix that many register at.
    for name in ["*.co.uk", "*.github.io"] {
        let (_, why) = theirs(name).await.error(422);
        assert!(why.contains("belong to many owners"), "{why}");
    }
    theirs("*.shop.co.uk").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_free_as_soon_as_its_app_is_destroyed() {
    let t = TestApp::fake().await;
    t.create("mine").await;
    t.post("/apps/mine/domains", json!({"hostname": "www.example.com"})).await.ok();
    // Nothing of it can be removed now.
    t.fake.as_ref().unwrap().set_down(true);
    t.delete("/apps/mine").await.ok();
    t.create("mine").await;
    t.post("/apps/mine/domains", json!({"hostname": "www.example.com"})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_survives_a_restart() {
    let mut t = TestApp::fake().await;
    t.create("kept").await;
    t.deploy("kept", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    t.patch("/apps/kept/config-vars", json!({"A": "1"})).await.ok();
    t.patch("/apps/kept/formation/worker", json!({"quantity": "+2", "dyno_size": "Standard-2X"})).await.ok();
    t.until_dynos("kept", &["worker.1 up", "worker.2 up"]).await;
    let before = t.get("/apps/kept/dynos").await.ok();
    let log = t.log("kept").await;
    t.restart().await;
    assert_eq!(t.get("/apps/kept/config-vars").await.ok(), json!({"A": "1"}));
    t.until_dynos("kept", &["worker.1 up", "worker.2 up"]).await;
    assert_eq!(t.get("/apps/kept/dynos").await.ok(), before, "running dynos are not touched");
    assert_eq!(t.log("kept").await, log, "no line lost or repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_slugs_are_taken_only_where_they_were_asked_for() {
    let t = TestApp::fake().await;
    t.create("sources").await;
    let body = || Some(b"an archive".to_vec());
    let made = t.post("/sources", json!({})).await.ok();
    let path = |url: &Value| {
        let url = url.as_str().unwrap();
        url[url.find("/sources/").unwrap()..].to_owned()
    };
    let (put, get) = (path(&made["source_blob"]["put_url"]), path(&made["source_blob"]["get_url"]));
    t.send("PUT", &put, None, body()).await.ok();
    assert_eq!(t.send("GET", &get, None, None).await.ok(), "an archive");
    // Each opens only what it was given out for, and the bare address nothing.
    let bare = put.split('?').next().unwrap();
    for wrong in [&get, bare] {
        t.send("PUT", wrong, None, Some(b"evil".to_vec())).await.error(403);
    }
    for wrong in [&put, bare] {
        t.send("GET", wrong, Some(&t.token), None).await.error(403);
    }
    // What is kept and shown of a build is the bare one, which is no source for another.
    let build = |url: &Value| json!({"source_blob": {"url": url}});
    let built = t.post("/apps/sources/builds", build(&made["source_blob"]["get_url"])).await.ok();
    assert_eq!(path(&built["source_blob"]["url"]), bare);
    for wrong in [&built["source_blob"]["url"], &made["source_blob"]["put_url"]] {
        let (_, why) = t.post("/apps/sources/builds", build(wrong)).await.error(422);
        assert!(why.contains("get_url"), "{why}");
        t.post("/app-setups", build(wrong)).await.error(422);
    }
    assert_eq!(t.send("GET", &get, None, None).await.ok(), "an archive");
    // The right shape, but nobody was given it.
    let made_up = format!("/sources/{}", uuid::Uuid::new_v4());
    t.send("PUT", &made_up, None, body()).await.error(404);
    t.send("GET", &made_up, None, None).await.error(404);
    let bad = json!({"process_types": {"web": "x"}, "stack": "../x"});
    t.post("/apps/sources/slugs", bad).await.error(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_there_is_no_room_for_or_that_breaks_off_is_no_fault_of_ours() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut t = TestApp::fake().await;
    t.create("uploads").await;
    let path = |url: &Value| url.as_str().unwrap().splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap();
    let slug = t.post("/apps/uploads/slugs", json!({"process_types": {"web": "x"}})).await.ok();
    let source = t.post("/sources", json!({})).await.ok();
    let places = [path(&slug["blob"]["url"]), path(&source["source_blob"]["put_url"])];
    for place in &places {
        let head = format!("PUT {place} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(t.config.api_listen).await.unwrap();
        stream.write_all(format!("{head}4\r\nsome\r\nno size\r\n").as_bytes()).await.unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(std::str::from_utf8(&said).unwrap(), "HTTP/1.1 400");
    }
    t.down().await;
    t.config.disk_reserve_mib = 1 << 40;
    t.up().await;
    for place in &places {
        let (_, why) = t.send("PUT", place, None, Some(b"bytes".to_vec())).await.error(503);
        assert!(why.contains("keeps 1099511627776 MB in reserve"), "{why}");
    }
    let left = |dir: &str| std::fs::read_dir(t.dir.join(dir)).unwrap().count();
    // The empty file of the place, and nothing of what was refused.
    assert_eq!((left("sources"), left("slugs")), (1, 0));
}
