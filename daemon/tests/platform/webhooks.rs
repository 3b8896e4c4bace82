//! Webhooks: made, told, and what receivers do to them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
};
use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::util::{TestApp, free_port};

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answer(u16),
    Redirect,
    Hang,
}

/// Somebody who is told.
#[derive(Clone)]
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    next: Arc<Mutex<VecDeque<Does>>>,
}

impl Receiver {
    async fn new() -> Self {
        Self::at(free_port()).await
    }

    async fn at(port: u16) -> Self {
        let receiver = Self { port, got: Arc::default(), next: Arc::default() };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let this = receiver.clone();
        let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let this = this.clone();
            async move { this.take(headers, body).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    async fn take(&self, headers: HeaderMap, body: Bytes) -> Response {
        self.got.lock().unwrap().push((headers, body));
        let does = self.next.lock().unwrap().pop_front().unwrap_or(Does::Answer(204));
        match does {
            Does::Answer(code) => StatusCode::from_u16(code).unwrap().into_response(),
            Does::Redirect => Redirect::temporary(&format!("http://127.0.0.1:{}/elsewhere", self.port)).into_response(),
            Does::Hang => std::future::pending().await,
        }
    }

    fn will(&self, does: &[Does]) {
        self.next.lock().unwrap().extend(does);
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    fn got(&self) -> Vec<(HeaderMap, Value)> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(headers, body)| (headers.clone(), serde_json::from_slice(body).unwrap())).collect()
    }

    /// What was told of, as `domain create`.
    fn told(&self) -> Vec<String> {
        let got = self.got();
        got.iter()
            .map(|(_, body)| format!("{} {}", body["resource"].as_str().unwrap(), body["action"].as_str().unwrap()))
            .collect()
    }

    async fn until(&self, t: &TestApp, count: usize) -> Vec<(HeaderMap, Value)> {
        t.until(&format!("{count} requests"), || async {
            let got = self.got();
            (got.len() >= count).then_some(got)
        })
        .await
    }
}

/// HMAC-SHA256 as RFC 2104 defines it, without the code under test.
fn hmac(secret: &str, body: &[u8]) -> String {
    let mut key = [0u8; 64];
    match secret.len() {
        0..=64 => key[..secret.len()].copy_from_slice(secret.as_bytes()),
        _ => key[..32].copy_from_slice(&Sha256::digest(secret.as_bytes())),
    }
    let with = |pad: u8| key.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(with(0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(with(0x5c)).chain_update(inner).finalize();
    base64::engine::general_purpose::STANDARD.encode(outer)
}

async fn hearing() -> TestApp {
    TestApp::fake_with(|config| {
        config.allow_loopback = true;
        config.webhook_retry_s = 0;
        config.webhook_timeout_s = 2;
    })
    .await
}

async fn hook(t: &TestApp, app: &str, url: &str, level: &str, include: &[&str]) -> Value {
    t.post(&format!("/apps/{app}/webhooks"), json!({"url": url, "level": level, "include": include})).await.ok()
}

async fn deliveries(t: &TestApp, app: &str) -> Vec<Value> {
    t.get(&format!("/apps/{app}/webhook-deliveries")).await.ok().as_array().unwrap().clone()
}

/// Waits until every delivery of the app has come to an end.
async fn settled(t: &TestApp, app: &str, count: usize) -> Vec<Value> {
    t.until(&format!("{count} settled deliveries"), || async {
        let all = deliveries(t, app).await;
        let ended = all.iter().filter(|one| matches!(one["status"].as_str(), Some("succeeded" | "failed"))).count();
        (ended >= count && ended == all.len()).then_some(all)
    })
    .await
}

#[tokio::test]
async fn webhooks_are_made_shown_changed_and_removed() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let body =
        json!({"url": "https://example.com/hook", "include": ["api:release", "dyno", "api:dyno"], "level": "sync"});
    let made = t.post("/apps/shop/webhooks", body).await;
    assert_eq!(made.status, 201);
    let secret = made.headers["heroku-webhook-secret"].to_str().unwrap().to_owned();
    assert_eq!(secret.len(), 64);
    let made = made.ok();
    assert_eq!(made["include"], json!(["api:release", "api:dyno"]));
    assert_eq!(made["app"]["name"], "shop");
    let id = made["id"].as_str().unwrap();

    // Its secret is told once.
    let info = t.get(&format!("/apps/shop/webhooks/{id}")).await;
    assert!(!info.headers.contains_key("heroku-webhook-secret"));
    assert_eq!(info.ok(), made);
    let list = t.get("/apps/shop/webhooks").await.ok();
    assert_eq!(list, json!([made]));
    assert!(!list.to_string().contains(&secret));

    // A secret and an authorization of one's own, sealed.
    let own = json!({"url": "http://10.1.2.3/", "include": ["api:app"], "level": "notify", "secret": "open sesame",
        "authorization": "Bearer deadbeef"});
    let own = t.post("/apps/shop/webhooks", own).await;
    assert_eq!(own.headers["heroku-webhook-secret"], "open sesame");
    let own = own.ok();
    assert!(!own.to_string().contains("deadbeef"));
    let files: Vec<u8> =
        ["paas.db", "paas.db-wal"].iter().flat_map(|f| std::fs::read(t.dir.join(f)).unwrap_or_default()).collect();
    for word in ["open sesame", "deadbeef"] {
        assert!(!files.windows(word.len()).any(|window| window == word.as_bytes()), "{word} is in the database");
    }

    let path = format!("/apps/shop/webhooks/{id}");
    let changed = t.patch(&path, json!({"level": "notify", "include": ["api:build"]})).await;
    assert!(!changed.headers.contains_key("heroku-webhook-secret"));
    let changed = changed.ok();
    assert_eq!(
        (&changed["level"], &changed["include"], &changed["url"]),
        (&json!("notify"), &json!(["api:build"]), &made["url"])
    );
    let renewed = t.patch(&path, json!({"secret": null})).await;
    assert_ne!(renewed.headers["heroku-webhook-secret"], secret.as_str());

    for (body, word) in [
        (json!({"include": ["api:app"], "level": "sync"}), "url"),
        (json!({"url": "https://example.com", "level": "sync"}), "include"),
        (json!({"url": "https://example.com", "include": ["api:app"]}), "level"),
        (json!({"url": "https://example.com", "include": [], "level": "sync"}), "include"),
        (json!({"url": "https://example.com", "include": ["api:moon"], "level": "sync"}), "api:moon"),
        (json!({"url": "https://example.com", "include": "api:app", "level": "sync"}), "include"),
        (json!({"url": "https://example.com", "include": ["api:app"], "level": "loud"}), "level"),
        (json!({"url": "example.com", "include": ["api:app"], "level": "sync"}), "url"),
        (json!({"url": "http://127.0.0.1:5000/", "include": ["api:app"], "level": "sync"}), "127.0.0.1"),
        (json!({"url": "http://169.254.169.254/", "include": ["api:app"], "level": "sync"}), "link-local"),
        (json!({"url": "https://a:b@example.com", "include": ["api:app"], "level": "sync"}), "url"),
        (
            json!({"url": "https://example.com", "include": ["api:app"], "level": "sync", "authorization": "a\nb"}),
            "authorization",
        ),
        (json!({"url": "https://example.com", "include": ["api:app"], "level": "sync", "secret": ""}), "secret"),
        (json!({"url": "https://example.com", "include": ["api:app"], "level": "sync", "secret": 7}), "secret"),
    ] {
        let (id, message) = t.post("/apps/shop/webhooks", body.clone()).await.error(422);
        assert!(id == "invalid_params" && message.contains(word), "{body}: {message}");
    }
    let stranger = t.other("stranger@example.com").await;
    for path in ["webhooks", "webhook-events", "webhook-deliveries", &format!("webhooks/{id}")] {
        t.send("GET", &format!("/apps/shop/{path}"), Some(&stranger), None).await.error(403);
        t.send("GET", &format!("/apps/shop/{path}"), None, None).await.error(401);
    }
    t.send("DELETE", &path, Some(&stranger), None).await.error(403);
    assert_eq!(t.delete(&path).await.ok()["id"], made["id"]);
    t.delete(&path).await.error(404);
    t.get(&path).await.error(404);
    for kind in ["webhooks", "webhook-events", "webhook-deliveries"] {
        t.get(&format!("/apps/shop/{kind}/nothing")).await.error(404);
        t.get(&format!("/apps/shop/{kind}/01234567-89ab-cdef-0123-456789abcdef")).await.error(404);
    }
}

#[tokio::test]
async fn what_happens_is_told_as_the_api_shows_it() {
    let t = hearing().await;
    t.other("friend@example.com").await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "old.example.com"})).await.ok();
    let receiver = Receiver::new().await;
    let made = t
        .post(
            "/apps/shop/webhooks",
            json!({"url": receiver.url(), "level": "sync", "secret": "s3cret", "authorization": "Bearer me",
                "include": ["api:app", "api:build", "api:collaborator", "api:domain", "api:dyno", "api:formation",
                    "api:release", "api:addon", "api:addon-attachment"]}),
        )
        .await
        .ok();
    let domain = t.post("/apps/shop/domains", json!({"hostname": "www.example.com"})).await.ok();
    let (headers, body) = receiver.until(&t, 1).await.remove(0);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["authorization"], "Bearer me");
    let raw = receiver.got.lock().unwrap()[0].1.clone();
    assert_eq!(headers["heroku-webhook-hmac-sha256"], hmac("s3cret", &raw).as_str());
    assert_eq!(body["data"], domain);
    assert_eq!(body["data"], t.get("/apps/shop/domains/www.example.com").await.ok());
    let owner = t.actor().await.user;
    assert_eq!(body["actor"], json!({"email": owner.email, "id": owner.id}));
    assert_eq!((&body["action"], &body["resource"]), (&json!("create"), &json!("domain")));
    assert_eq!((&body["previous_data"], &body["sequence"]), (&json!({}), &json!(1)));
    assert_eq!(body["version"], "application/vnd.heroku+json; version=3");
    assert_eq!(body["webhook_metadata"]["webhook"]["id"], made["id"]);
    assert_eq!(body["webhook_metadata"]["event"], json!({"id": body["id"], "include": "api:domain"}));
    for key in ["created_at", "updated_at", "published_at"] {
        assert!(body[key].as_str().unwrap().ends_with('Z'), "{body}");
    }

    // The event and its delivery are there to be looked at.
    let event = t.get(&format!("/apps/shop/webhook-events/{}", body["id"].as_str().unwrap())).await.ok();
    assert_eq!((&event["include"], &event["payload"]["data"]), (&json!("api:domain"), &domain));
    assert_eq!(t.get("/apps/shop/webhook-events").await.ok(), json!([event]));
    let delivery = &settled(&t, "shop", 1).await[0];
    assert_eq!(delivery["id"], body["webhook_metadata"]["delivery"]["id"]);
    assert_eq!((&delivery["status"], &delivery["num_attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(delivery["event"], json!({"id": body["id"], "include": "api:domain"}));
    assert_eq!(delivery["webhook"], json!({"id": made["id"], "level": "sync"}));
    assert_eq!(delivery["last_attempt"]["id"], body["webhook_metadata"]["attempt"]["id"]);
    assert_eq!(
        (&delivery["last_attempt"]["code"], &delivery["last_attempt"]["status"]),
        (&json!(204), &json!("succeeded"))
    );
    assert_eq!(delivery["next_attempt_at"], Value::Null);
    let path = format!("/apps/shop/webhook-deliveries/{}", delivery["id"].as_str().unwrap());
    assert_eq!(t.get(&path).await.ok(), *delivery);

    // What is gone is told of as it was, what has changed with what it was before.
    t.delete("/apps/shop/domains/old.example.com").await.ok();
    assert_eq!(receiver.until(&t, 2).await[1].1["data"]["hostname"], "old.example.com");
    t.patch("/apps/shop", json!({"maintenance": true})).await.ok();
    t.patch("/apps/shop", json!({"maintenance": false})).await.ok();
    let got = receiver.until(&t, 4).await;
    let mut last = got.iter().map(|(_, body)| body).filter(|body| body["resource"] == "app").collect::<Vec<_>>();
    last.sort_by_key(|body| body["sequence"].as_i64());
    assert_eq!(last[1]["action"], "update");
    t.patch("/apps/shop/config-vars", json!({"A": "b"})).await.ok();
    t.post("/apps/shop/collaborators", json!({"user": "friend@example.com"})).await.ok();
    t.delete("/apps/shop/collaborators/friend@example.com").await.ok();
    t.deploy("shop", &[("Procfile", "worker: x")], &[("worker", "sleep 1000")]).await;
    t.patch("/apps/shop/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_dynos("shop", &["worker.1 up"]).await;
    t.patch("/apps/shop/formation/worker", json!({"quantity": 0})).await.ok();
    t.until_dynos("shop", &[]).await;
    let addon = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    let addon_path = format!("/apps/shop/addons/{}", addon["name"].as_str().unwrap());
    t.until("the add-on", || async { (t.get(&addon_path).await.ok()["state"] == "provisioned").then_some(()) }).await;
    t.delete(&addon_path).await.ok();
    for wanted in [
        "domain create",
        "domain destroy",
        "app update",
        "release create",
        "collaborator create",
        "collaborator destroy",
        "formation create",
        "formation update",
        "dyno create",
        "dyno update",
        "dyno destroy",
        "addon create",
        "addon update",
        "addon destroy",
        "addon-attachment create",
        "addon-attachment destroy",
    ] {
        t.until(wanted, || async { receiver.told().iter().any(|told| told == wanted).then_some(()) }).await;
    }
    let bodies: Vec<Value> = receiver.got().into_iter().map(|(_, body)| body).collect();
    let of = |resource: &'static str| bodies.iter().filter(move |body| body["resource"] == resource);
    // v1 was there before; config and deploy and add-on made three or more.
    let versions: Vec<i64> = of("release").map(|body| body["data"]["version"].as_i64().unwrap()).collect();
    assert!(versions.contains(&2) && versions.contains(&3) && !versions.contains(&1), "{versions:?}");
    let states: Vec<&str> = of("dyno").map(|body| body["data"]["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"starting") && states.contains(&"up") && states.contains(&"down"), "{states:?}");
    assert!(of("dyno").all(|body| body["actor"]["email"] == "paas@localhost"));
    assert!(of("dyno").all(|body| body["data"]["name"] == "worker.1" && body["data"]["command"] == "sleep 1000"));
    let told = of("collaborator").map(|body| body["data"]["user"]["email"].clone()).collect::<Vec<_>>();
    assert_eq!(told, ["friend@example.com", "friend@example.com"]);
    let sequence: std::collections::BTreeSet<i64> =
        bodies.iter().map(|body| body["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequence.len(), bodies.len(), "something was told twice");
}

#[tokio::test]
async fn a_new_webhook_hears_only_of_what_comes_after_it() {
    let t = hearing().await;
    t.create("shop").await;
    let first = hook(&t, "shop", "http://10.1.2.3/", "notify", &["api:app"]).await;
    t.delete(&format!("/apps/shop/webhooks/{}", first["id"].as_str().unwrap())).await.ok();
    for value in ["1", "2"] {
        t.patch("/apps/shop/config-vars", json!({"A": value})).await.ok();
    }
    let receiver = Receiver::new().await;
    hook(&t, "shop", &receiver.url(), "sync", &["api:release"]).await;
    t.patch("/apps/shop/config-vars", json!({"A": "3"})).await.ok();
    let late = Receiver::new().await;
    hook(&t, "shop", &late.url(), "sync", &["api:release"]).await;
    t.patch("/apps/shop/config-vars", json!({"A": "4"})).await.ok();
    receiver.until(&t, 2).await;
    late.until(&t, 1).await;
    settled(&t, "shop", 3).await;
    let versions = |of: &Receiver| {
        of.got()
            .iter()
            .map(|(_, body)| body["data"]["version"].as_i64().unwrap())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(versions(&receiver), [4, 5].into());
    assert_eq!(versions(&late), [5].into());
}

#[tokio::test]
async fn a_certificate_is_told_of_without_its_key() {
    let t = hearing().await;
    t.create("shop").await;
    let receiver = Receiver::new().await;
    hook(&t, "shop", &receiver.url(), "sync", &["api:sni-endpoint", "api:domain"]).await;
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let body = json!({"certificate_chain": chain, "private_key": key});
    let endpoint = t.post("/apps/shop/sni-endpoints", body).await.ok();
    t.post("/apps/shop/domains", json!({"hostname": "www.example.com", "sni_endpoint": null})).await.ok();
    t.patch("/apps/shop/domains/www.example.com", json!({"sni_endpoint": endpoint["name"]})).await.ok();
    t.until("the change", || async { receiver.told().contains(&"domain update".to_owned()).then_some(()) }).await;
    t.delete(&format!("/apps/shop/sni-endpoints/{}", endpoint["id"].as_str().unwrap())).await.ok();
    t.until("all four", || async {
        let mut told = receiver.told();
        told.sort();
        (told == ["domain create", "domain update", "sni-endpoint create", "sni-endpoint destroy"]).then_some(())
    })
    .await;
    for (_, body) in receiver.got() {
        assert!(!body.to_string().contains("PRIVATE KEY"), "{body}");
        if body["resource"] == "sni-endpoint" {
            assert_eq!(
                (&body["data"]["id"], &body["data"]["ssl_cert"]["id"]),
                (&endpoint["id"], &endpoint["ssl_cert"]["id"])
            );
        }
        if body["action"] == "update" {
            assert_eq!(body["previous_data"]["sni_endpoint"], Value::Null);
            assert!(body["previous_data"].as_object().unwrap().contains_key("sni_endpoint"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_build_is_told_of_from_queue_to_end() {
    let t = hearing().await;
    t.create("shop").await;
    let receiver = Receiver::new().await;
    hook(&t, "shop", &receiver.url(), "notify", &["api:build"]).await;
    let (p, actor) = (t.platform(), t.actor().await);
    let app = paas_daemon::ops::apps::find(p, &actor, "shop").await.unwrap();
    let body = json!({"source_blob": {"url": "http://127.0.0.1:1/none.tgz", "version": "abc"}});
    let build = t.post("/apps/shop/builds", body).await.ok();
    let path = format!("/apps/{}/builds/{}", app.id, build["id"].as_str().unwrap());
    t.until("the build's end", || async { (t.get(&path).await.ok()["status"] != "pending").then_some(()) }).await;
    t.until("the build's end to be told", || async {
        let got = receiver.got();
        got.iter().any(|(_, body)| body["action"] == "update" && body["data"]["status"] == "failed").then_some(())
    })
    .await;
    let (_, first) = &receiver.got()[0];
    assert_eq!((&first["action"], &first["data"]["id"]), (&json!("create"), &build["id"]));
}

#[tokio::test]
async fn a_sync_is_tried_until_it_succeeds_and_a_notify_once() {
    let t = hearing().await;
    t.create("shop").await;
    let (sync, notify) = (Receiver::new().await, Receiver::new().await);
    sync.will(&[Does::Answer(500), Does::Redirect, Does::Hang]);
    notify.will(&[Does::Answer(404)]);
    hook(&t, "shop", &sync.url(), "sync", &["api:domain"]).await;
    hook(&t, "shop", &notify.url(), "notify", &["api:domain"]).await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.com"})).await.ok();
    let all = settled(&t, "shop", 2).await;
    let of = |level: &str| all.iter().find(|one| one["webhook"]["level"] == level).unwrap().clone();
    let (synced, notified) = (of("sync"), of("notify"));
    assert_eq!((&synced["status"], &synced["num_attempts"]), (&json!("succeeded"), &json!(4)));
    assert_eq!((&notified["status"], &notified["num_attempts"]), (&json!("failed"), &json!(1)));
    assert_eq!(
        (&notified["last_attempt"]["code"], &notified["last_attempt"]["error_class"]),
        (&json!(404), &json!("ClientError"))
    );
    assert_eq!(notify.got().len(), 1);
    let got = sync.got();
    assert_eq!(got.len(), 4, "a redirect was followed");
    let ids: std::collections::BTreeSet<String> =
        got.iter().map(|(_, body)| body["webhook_metadata"]["attempt"]["id"].to_string()).collect();
    assert_eq!(ids.len(), 4);
    assert!(got.iter().all(|(_, body)| body["webhook_metadata"]["delivery"]["id"] == synced["id"]));

    let failed = t.get("/apps/shop/webhook-deliveries?eq[status]=failed").await.ok();
    assert_eq!(failed, json!([notified]));
    let newest = [("authorization", &*format!("Bearer {}", t.token)), ("range", "seq ..; order=desc,max=1")];
    let page = t.send_with("GET", "/apps/shop/webhook-deliveries", &newest, "").await;
    assert_eq!((page.status, &page.headers["next-range"]), (206, &"seq ]2..; max=1, order=desc".parse().unwrap()));
    assert_eq!(page.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_away_is_given_up_after_ten_attempts() {
    let t = hearing().await;
    t.create("shop").await;
    hook(&t, "shop", &format!("http://127.0.0.1:{}/", free_port()), "sync", &["api:domain"]).await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.com"})).await.ok();
    let one = settled(&t, "shop", 1).await.remove(0);
    assert_eq!(
        (&one["status"], &one["num_attempts"], &one["next_attempt_at"]),
        (&json!("failed"), &json!(10), &Value::Null)
    );
    assert_eq!(
        (&one["last_attempt"]["code"], &one["last_attempt"]["error_class"]),
        (&Value::Null, &json!("ConnectionRefused"))
    );
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody_and_names_of_this_machine_stay_closed() {
    let t = TestApp::fake_with(|config| config.webhook_timeout_s = 60).await;
    t.create("shop").await;
    // A name is looked at when it is connected to; only the router's ports are open.
    let closed = Receiver::new().await;
    hook(&t, "shop", &format!("http://localhost:{}/", closed.port), "notify", &["api:domain"]).await;
    t.post("/apps/shop/domains", json!({"hostname": "a.example.com"})).await.ok();
    let one = settled(&t, "shop", 1).await.remove(0);
    assert_eq!(one["last_attempt"]["error_class"], "AddressNotAllowed");
    assert_eq!(closed.got().len(), 0);

    let t = hearing().await;
    t.create("shop").await;
    let (slow, quick) = (Receiver::new().await, Receiver::new().await);
    slow.will(&[Does::Hang; 200]);
    hook(&t, "shop", &slow.url(), "sync", &["api:domain"]).await;
    hook(&t, "shop", &quick.url(), "sync", &["api:domain"]).await;
    for at in 0..10 {
        t.post("/apps/shop/domains", json!({"hostname": format!("{at}.example.com")})).await.ok();
    }
    quick.until(&t, 10).await;
    // Ten at four a time and 2 s each: there are some to come.
    assert!(slow.got().len() < 20, "{}", slow.got().len());
}

#[tokio::test]
async fn many_dead_receivers_of_one_hold_up_nobody_else() {
    let mut t = TestApp::fake_with(|config| {
        config.allow_loopback = true;
        config.webhook_timeout_s = 600;
    })
    .await;
    t.create("shop").await;
    t.create("second").await;
    let (dead, quick) = (Receiver::new().await, Receiver::new().await);
    dead.will(&[Does::Hang; 100]);
    for app in ["shop", "second"] {
        for _ in 0..3 {
            hook(&t, app, &dead.url(), "sync", &["api:domain"]).await;
        }
        for at in 0..4 {
            t.post(&format!("/apps/{app}/domains"), json!({"hostname": format!("{at}.{app}.example.com")})).await.ok();
        }
    }
    dead.until(&t, 16).await;
    t.token = t.other("other@example.com").await;
    t.create("other").await;
    hook(&t, "other", &quick.url(), "sync", &["api:domain"]).await;
    t.post("/apps/other/domains", json!({"hostname": "other.example.com"})).await.ok();
    quick.until(&t, 1).await;
    // The other eight wait.
    assert_eq!(dead.got().len(), 16);
}

#[tokio::test]
async fn nothing_is_lost_or_told_of_twice_over_a_restart() {
    let mut t = TestApp::fake_with(|config| {
        config.allow_loopback = true;
        config.webhook_retry_s = 1;
    })
    .await;
    t.create("shop").await;
    let port = free_port();
    hook(&t, "shop", &format!("http://127.0.0.1:{port}/"), "sync", &["api:domain", "api:app"]).await;
    for at in 0..5 {
        t.post("/apps/shop/domains", json!({"hostname": format!("{at}.example.com")})).await.ok();
    }
    // At once: some are not even written down as tellings yet.
    t.restart().await;
    t.post("/apps/shop/domains", json!({"hostname": "5.example.com"})).await.ok();
    t.until("an attempt that failed", || async {
        deliveries(&t, "shop").await.iter().any(|one| one["status"] == "retrying").then_some(())
    })
    .await;
    t.restart().await;
    let receiver = Receiver::at(port).await;
    let all = settled(&t, "shop", 6).await;
    assert!(all.iter().all(|one| one["status"] == "succeeded"), "{all:#?}");
    assert_eq!(all.len(), 6);
    // An attempt may come twice over a restart, but nothing is told of as two events.
    let told: std::collections::BTreeSet<(String, String)> =
        receiver.got().iter().map(|(_, body)| (body["data"]["hostname"].to_string(), body["id"].to_string())).collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(told.iter().map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>().len(), 6, "{told:?}");
}

#[tokio::test]
async fn the_end_of_an_app_is_told_and_leaves_nothing() {
    let t = hearing().await;
    t.create("shop").await;
    let receiver = Receiver::new().await;
    hook(&t, "shop", &receiver.url(), "sync", &["api:app"]).await;
    t.destroy("shop").await;
    let (_, body) = receiver.until(&t, 1).await.remove(0);
    assert_eq!((&body["action"], &body["data"]["name"]), (&json!("destroy"), &json!("shop")));
    t.until("no rows", || async {
        paas_daemon::tasks::webhooks::prune(t.platform()).await.unwrap();
        let mut c = t.platform().db.read().await.unwrap();
        let id = body["data"]["id"].as_str().unwrap().parse().unwrap();
        paas_daemon::store::webhooks::list(&mut c, id).await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_addon_s_webhooks_hear_of_no_other_addon_and_a_removed_one_of_nothing() {
    let t = hearing().await;
    t.create("shop").await;
    let first = t.post("/apps/shop/addons", json!({"plan": "redis", "name": "first"})).await.ok();
    let receiver = Receiver::new().await;
    let body = json!({"url": receiver.url(), "level": "sync", "include": ["api:addon", "api:addon-attachment"]});
    let made = t.post("/addons/first/webhooks", body.clone()).await.ok();
    assert_eq!(made["addon"], json!({"id": first["id"], "name": "first"}));
    let id = made["id"].as_str().unwrap();
    assert_eq!(t.get("/apps/shop/webhooks").await.ok(), json!([]));
    assert_eq!(t.get("/addons/first/webhooks").await.ok(), json!([made]));
    t.get(&format!("/apps/shop/webhooks/{id}")).await.error(404);
    let stranger = t.other("stranger@example.com").await;
    let status = t.send("GET", "/addons/first/webhooks", Some(&stranger), None).await.status;
    assert!(matches!(status, 403 | 404), "{status}");

    t.post("/apps/shop/addons", json!({"plan": "redis", "name": "second"})).await.ok();
    t.patch("/apps/shop/addons/first", json!({"name": "renamed"})).await.ok();
    t.until("the new name", || async {
        receiver.got().iter().any(|(_, body)| body["data"]["name"] == "renamed").then_some(())
    })
    .await;
    assert!(receiver.got().iter().all(|(_, body)| body["data"]["id"] == first["id"]), "{:#?}", receiver.got());
    let all = t.get("/addons/renamed/webhook-deliveries").await.ok();
    assert!(!all.as_array().unwrap().is_empty());
    assert_eq!(t.get("/apps/shop/webhook-deliveries").await.ok(), json!([]));
    assert_eq!(t.get("/apps/shop/webhook-events").await.ok(), json!([]));

    // What is on its way to one that is removed is given up.
    let away = format!("http://127.0.0.1:{}/", free_port());
    let other = hook(&t, "shop", &away, "sync", &["api:domain"]).await;
    t.delete(&format!("/addons/renamed/webhooks/{id}")).await.ok();
    t.delete(&format!("/apps/shop/webhooks/{}", other["id"].as_str().unwrap())).await.ok();
    let before = receiver.got().len();
    let heard = Receiver::new().await;
    hook(&t, "shop", &heard.url(), "sync", &["api:addon"]).await;
    t.delete("/apps/shop/addons/renamed").await.ok();
    heard.until(&t, 1).await;
    assert_eq!(receiver.got().len(), before);
}
