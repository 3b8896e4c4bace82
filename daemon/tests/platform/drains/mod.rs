//! Log drains and telemetry drains: who may have them, and that lines really arrive.

mod receivers;
mod sending;
mod telemetry;

use paas_daemon::{
    error::Error,
    logs::{NewLine, Source},
    ops::{self, telemetry_drains::Changes},
    store,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::util::TestApp;

/// A daemon whose drains may lead to this machine, with the app `shop`.
async fn shop() -> (TestApp, Uuid) {
    let t = TestApp::fake_with(|config| config.allow_loopback = true).await;
    let id = t.create("shop").await["id"].as_str().unwrap().parse().unwrap();
    (t, id)
}

/// Says lines as `app[web.1]`, all in one write.
async fn say(t: &TestApp, app: Uuid, lines: &[String]) {
    let line = |text: &String| NewLine {
        at: t.platform().cx.now(),
        source: Source::App,
        process: "web.1".into(),
        message: text.clone().into_bytes(),
        origin: None,
    };
    t.platform().logs.store().append(app, lines.iter().map(line).collect()).await.unwrap();
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

async fn drain(t: &TestApp, url: &str) -> Value {
    t.post("/apps/shop/log-drains", json!({"url": url})).await.ok()
}

fn encoded(url: &str) -> String {
    percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn a_drain_is_made_found_and_removed_by_any_of_its_names() {
    let (t, _) = shop().await;
    let url = "https://me:secret@logs.example.com:8443/in?key=1";
    let made = t.post("/apps/shop/log-drains", json!({"url": url})).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!(made["url"], url);
    assert_eq!(made["addon"], Value::Null);
    assert_eq!(made["app"]["name"], "shop");
    let token = made["token"].as_str().unwrap();
    token.strip_prefix("d.").unwrap().parse::<Uuid>().unwrap();
    assert_eq!(t.get("/apps/shop/log-drains").await.ok(), json!([made]));
    for name in [made["id"].as_str().unwrap(), token, &encoded(url)] {
        assert_eq!(t.get(&format!("/apps/shop/log-drains/{name}")).await.ok(), made, "{name}");
    }
    // Not readable where it is kept, and nowhere else.
    let rows = store::log_drains::all(&mut t.platform().db.read().await.unwrap()).await.unwrap();
    assert!(!String::from_utf8_lossy(&rows[0].url).contains("secret"));
    let log = t.log("shop").await;
    let told = format!("app[api]: Add log drain {token} to https://logs.example.com:8443 by user {}", t.email);
    assert!(log.contains(&told) && !log.iter().any(|line| line.contains("secret")), "{log:?}");
    let app = made["app"]["id"].as_str().unwrap().parse().unwrap();
    let events = store::events::list(&mut t.platform().db.read().await.unwrap(), app, 0).await.unwrap();
    assert!(events.iter().any(|event| event.kind == "log-drain.create"));
    assert!(events.iter().all(|event| !event.data.to_string().contains("secret")));

    let (id, why) = t.post("/apps/shop/log-drains", json!({"url": url})).await.error(422);
    assert_eq!((id.as_str(), why.as_str()), ("invalid_params", "Url has already been taken"));
    assert_eq!(t.delete(&format!("/apps/shop/log-drains/{}", encoded(url))).await.ok(), made);
    let (id, why) = t.delete(&format!("/apps/shop/log-drains/{}", encoded(url))).await.error(404);
    assert_eq!((id.as_str(), why.as_str()), ("not_found", "Couldn't find that log drain."));
    assert_eq!(t.get("/apps/shop/log-drains").await.ok(), json!([]));
}

#[tokio::test]
async fn what_is_no_address_of_a_receiver_is_refused() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let no_addresses = ["", "nonsense", "ftp://h", "udp://h:514", "syslog://", "https://h/a b", "syslog://a:b@h:514"];
    // Nor what is the daemon's own machine, however it is written.
    let own = [
        "syslog://127.0.0.1:514",
        "http://127.9.9.9/",
        "syslog+tls://[::1]",
        "https://[::ffff:127.0.0.1]:5000/",
        "http://169.254.169.254/",
        "http://0.0.0.0:1/",
    ];
    for url in no_addresses.iter().chain(&own) {
        let (id, why) = t.post("/apps/shop/log-drains", json!({"url": url})).await.error(422);
        assert!(id == "invalid_params" && why.starts_with("url: "), "{url}: {why}");
    }
    for (url, why) in [
        ("http://10.208.3.4/", "url: 10.208.3.4 is in the apps' own networks, which are not reached from outside."),
        (
            "http://100.100.100.200/",
            "url: 100.100.100.200 is where clouds hand out a machine's credentials, and is not reached.",
        ),
    ] {
        assert_eq!(t.post("/apps/shop/log-drains", json!({"url": url})).await.error(422).1, why);
        let drain = json!({"owner": {"type": "app", "id": "shop"}, "signals": ["logs"],
            "exporter": {"type": "otlphttp", "endpoint": url}});
        let (_, said) = t.post("/telemetry-drains", drain).await.error(422);
        assert_eq!(said, why.replace("url:", "exporter.endpoint:"));
    }
    for body in [json!({}), json!({"url": null}), json!({"url": 1}), json!({"url": ["syslog://h:1"]})] {
        let (id, _) = t.post("/apps/shop/log-drains", body.clone()).await.error(422);
        assert_eq!(id, "invalid_params", "{body}");
    }
    t.post("/apps/shop/log-drains", json!({"url": format!("https://h/{}", "x".repeat(3000))})).await.error(422);
    for url in ["syslog://10.0.0.1:514", "syslog+tls://logs.example.com:6514", "https://logs.example.com", "http://h"] {
        t.post("/apps/shop/log-drains", json!({"url": url, "unknown": 1})).await.ok();
    }
}

#[tokio::test]
async fn a_name_that_leads_to_the_daemon_itself_is_not_connected_to() {
    let t = TestApp::fake().await;
    let app: Uuid = t.create("shop").await["id"].as_str().unwrap().parse().unwrap();
    let receiver = receivers::Syslog::start(None).await;
    drain(&t, &format!("syslog://localhost:{}", receiver.address.port())).await;
    t.until("it to be told", || async {
        say(&t, app, &["hello".into()]).await;
        t.log("shop")
            .await
            .iter()
            .any(|line| line.contains("takes no messages: 127.0.0.1") || line.contains("takes no messages: [::1]"))
            .then_some(())
    })
    .await;
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn only_who_works_on_an_app_may_see_and_change_its_drains() {
    let (t, _) = shop().await;
    let made = drain(&t, "syslog://logs.example.com:514").await;
    let one = format!("/apps/shop/log-drains/{}", made["id"].as_str().unwrap());
    let stranger = t.other("stranger@example.com").await;
    let body = || Some(json!({"url": "syslog://h:1"}).to_string().into_bytes());
    for (method, path) in
        [("GET", "/apps/shop/log-drains"), ("POST", "/apps/shop/log-drains"), ("GET", &one), ("DELETE", &one)]
    {
        let (id, _) = t.send(method, path, Some(&stranger), body()).await.error(403);
        assert_eq!(id, "forbidden");
        t.send(method, path, None, body()).await.error(401);
        t.send(method, path, Some("HRKU-nobody"), body()).await.error(401);
    }
    t.get("/apps/nowhere/log-drains").await.error(404);
    t.get("/apps/shop/log-drains/d.nothing").await.error(404);
    assert_eq!(t.get("/apps/shop/log-drains").await.ok(), json!([made]));
}

#[tokio::test]
async fn an_add_ons_drain_goes_with_the_add_on_only() {
    let (t, _) = shop().await;
    let addon = t.post("/apps/shop/addons", json!({"plan": "redis"})).await.ok();
    let (p, actor) = (t.platform(), t.actor().await);
    let found = ops::addons::find(p, &actor, None, addon["name"].as_str().unwrap()).await.unwrap();
    let url = "https://logs.example.com/of-addon";
    let made = ops::log_drains::add(p, &actor, &found.app, Some(&found.addon), url).await.unwrap();
    let token = &made.drain.token;
    let list = format!("/addons/{}/log-drains", found.addon.name);
    let shown = t.get(&list).await.ok();
    assert_eq!(shown[0]["addon"]["name"], addon["name"]);
    assert_eq!(shown[0]["addon"]["app"]["name"], "shop");
    assert_eq!(t.get("/apps/shop/log-drains").await.ok(), shown);
    let (id, why) = t.delete(&format!("/apps/shop/log-drains/{token}")).await.error(403);
    assert!(id == "forbidden" && why.contains("can only be removed by removing the add-on"), "{why}");

    let put = |path: String, url: &str, token: String| {
        let body = json!({"url": url}).to_string().into_bytes();
        let t = &t;
        async move { t.send("PUT", &path, Some(&token), Some(body)).await }
    };
    let elsewhere = "https://logs.example.com/elsewhere";
    let changed = put(format!("{list}/{token}"), elsewhere, t.token.clone()).await.ok();
    assert_eq!((&changed["url"], &changed["token"]), (&json!(elsewhere), &json!(token)));
    put(format!("{list}/{token}"), "nonsense", t.token.clone()).await.error(422);
    put(format!("{list}/d.other"), elsewhere, t.token.clone()).await.error(404);
    drain(&t, "https://logs.example.com/mine").await;
    put(format!("{list}/{token}"), "https://logs.example.com/mine", t.token.clone()).await.error(422);
    let stranger = t.other("stranger@example.com").await;
    put(format!("{list}/{token}"), elsewhere, stranger.clone()).await.error(404);
    t.send("GET", &list, Some(&stranger), None).await.error(404);

    ops::addons::destroy(p, &actor, &found, false).await.unwrap();
    t.until("the drain to be gone", || async {
        (t.get("/apps/shop/log-drains").await.ok().as_array().unwrap().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_drain_is_removed_once_and_changed_as_it_is_then() {
    let (t, _) = shop().await;
    let made = drain(&t, "syslog://logs.example.com:514").await;
    let path = format!("/apps/shop/log-drains/{}", made["id"].as_str().unwrap());
    let answers = futures_util::future::join_all((0..6).map(|_| t.delete(&path))).await;
    let mut codes: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    codes.sort_unstable();
    assert_eq!(codes, [200, 404, 404, 404, 404, 404]);

    let body = json!({"owner": {"type": "app", "id": "shop"}, "signals": ["logs"],
        "exporter": {"type": "otlphttp", "endpoint": "https://otel.example.com"}});
    let made = t.post("/telemetry-drains", body).await.ok();
    let (p, actor) = (t.platform(), t.actor().await);
    let found = ops::telemetry_drains::find(p, &actor, made["id"].as_str().unwrap()).await.unwrap();
    let signals = Changes { signals: Some(vec!["traces".into()]), ..Changes::default() };
    let endpoint = Changes { endpoint: Some("https://other.example.com".into()), ..Changes::default() };
    ops::telemetry_drains::update(p, &actor, found.clone(), signals.clone()).await.unwrap();
    let both = ops::telemetry_drains::update(p, &actor, found.clone(), endpoint).await.unwrap();
    assert_eq!(
        (&*both.drain.signals.0, &*both.exporter.endpoint),
        (&["traces".into()][..], "https://other.example.com")
    );
    ops::telemetry_drains::remove(p, &actor, found.clone()).await.unwrap();
    for late in [
        ops::telemetry_drains::remove(p, &actor, found.clone()).await,
        ops::telemetry_drains::update(p, &actor, found, signals).await,
    ] {
        assert!(matches!(late, Err(Error::NotFound(_))), "{late:?}");
    }
}

#[tokio::test]
async fn a_drain_that_can_not_be_read_holds_up_no_other() {
    let (t, _) = shop().await;
    let broken = drain(&t, "syslog://logs.example.com:514").await;
    let mut tx = t.platform().db.begin().await.unwrap();
    let id = broken["id"].as_str().unwrap().parse().unwrap();
    store::log_drains::set_url(&mut tx, id, b"\0", t.platform().cx.now()).await.unwrap();
    tx.commit(None).await.unwrap();
    t.create("other").await;
    let receiver = receivers::Syslog::start(None).await;
    let url = receiver.url();
    t.post("/apps/other/log-drains", json!({"url": url})).await.ok();
    let other = t.get("/apps/other").await.ok()["id"].as_str().unwrap().parse().unwrap();
    say(&t, other, &["hello".into()]).await;
    receiver.until(" - - hello").await;
}
