//! Apps that nobody asks for sleep, and wake. The router is played here, so that half an hour
//! without a request is over when a test says so.

use std::sync::{Arc, Mutex};

use paas_daemon::{config::CrashPolicy, engine::Engine as _, ops, store, tasks};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use crate::{features::answer_for_dynos, util::TestApp};

/// What the router that is played says of every app: milliseconds without a request, open requests.
type Says = Arc<Mutex<(u64, u64)>>;

const HOUR: u64 = 3_600_000;

fn play_router(t: &TestApp) -> Says {
    let says: Says = Says::default();
    let socket = t.dir.join("run/router.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    let said = says.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 8192];
            let count = stream.read(&mut question).await.unwrap();
            let question = String::from_utf8_lossy(&question[..count]).into_owned();
            let (quiet, open) = *said.lock().unwrap();
            let body = match question.split_once("apps=") {
                Some((_, rest)) => {
                    let ids = rest.split(' ').next().unwrap().split(',');
                    let known = ids.map(|id| json!({"app_id": id, "quiet_ms": quiet, "open": open}));
                    json!(known.collect::<Vec<_>>())
                }
                None => json!({"backends": []}),
            };
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{body}").as_bytes()).await;
        }
    });
    says
}

/// A daemon with an app `shop` of two web dynos and a worker that may idle, and its router.
struct House {
    t: TestApp,
    says: Says,
    _answers: tokio::task::JoinHandle<()>,
}

const UP: [&str; 3] = ["web.1 up", "web.2 up", "worker.1 up"];
const IDLE: [&str; 3] = ["web.1 idle", "web.2 idle", "worker.1 up"];

impl House {
    async fn new() -> Self {
        Self::with(TestApp::fake().await).await
    }

    async fn with(t: TestApp) -> Self {
        let (says, _answers) = (play_router(&t), answer_for_dynos(&t));
        t.create("shop").await;
        t.deploy("shop", &[("a", "a")], &[("web", "run"), ("worker", "run")]).await;
        t.patch(
            "/apps/shop/formation",
            json!({"updates": [{"type": "web", "quantity": 2}, {"type": "worker", "quantity": 1}]}),
        )
        .await
        .ok();
        t.until_dynos("shop", &UP).await;
        t.patch("/apps/shop/features/web-idling", json!({"enabled": true})).await.ok();
        Self { t, says, _answers }
    }

    fn says(&self, quiet: u64, open: u64) {
        *self.says.lock().unwrap() = (quiet, open);
    }

    async fn app(&self) -> store::apps::App {
        ops::apps::find(self.t.platform(), &self.t.actor().await, "shop").await.unwrap()
    }

    /// So much time without a request is enough, whatever may be set.
    async fn after_seconds(&self, seconds: i64) {
        let (p, app) = (self.t.platform(), self.app().await);
        let mut tx = p.db.begin().await.unwrap();
        store::apps::set_idle_after(&mut tx, app.id, Some(seconds), p.cx.now()).await.unwrap();
        tx.commit(Some(store::Wake { app_id: None, kind: "app.update" })).await.unwrap();
    }

    /// The app falls asleep; later looks of the daemon find it in use.
    async fn sleeps(&self) {
        self.says(HOUR, 0);
        self.t
            .until("sleep", || async {
                tasks::idle::look(self.t.platform()).await.unwrap();
                (self.t.dynos("shop").await == IDLE).then_some(())
            })
            .await;
        self.says(0, 1);
        self.runs(&["worker"]).await;
    }

    /// Waits until the engine runs these, by type, and no others.
    async fn runs(&self, types: &[&str]) {
        let p = self.t.platform();
        self.t
            .until("the engine to run what is wanted", || async {
                let rows = store::dynos::all(&mut p.db.read().await.unwrap()).await.unwrap();
                let seen = self.t.fake.as_ref().unwrap().list(None).await.unwrap();
                let mut have: Vec<String> = seen
                    .iter()
                    .filter_map(|seen| Some(rows.iter().find(|row| row.id == seen.id)?.process_type.clone()))
                    .collect();
                have.sort();
                (have == types).then_some(())
            })
            .await;
    }

    async fn wake(&self) {
        let (status, said) =
            self.t.control("POST /router/wake", &json!({"apps": [self.app().await.id]}).to_string()).await;
        assert_eq!(status, 204, "{said}");
    }

    async fn route_state(&self) -> String {
        let (_, table) = self.t.control("GET /router/table?after=0", "").await;
        table["apps"][0]["state"].as_str().unwrap().to_owned()
    }

    async fn said(&self, text: &str) -> usize {
        self.t.log("shop").await.iter().filter(|line| line.contains(text)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_dynos_sleep_when_nobody_asks_and_wake_with_the_first_request() {
    let mut h = House::new().await;
    // In use, in use for long, and quiet with dynos that are too young.
    for (quiet, open) in [(0, 0), (HOUR, 1), (HOUR, 0)] {
        h.says(quiet, open);
        tasks::idle::look(h.t.platform()).await.unwrap();
        assert_eq!(h.t.dynos("shop").await, UP, "{quiet} {open}");
    }
    h.says(0, 1);
    h.after_seconds(0).await;
    h.sleeps().await;
    for dyno in ["web.1", "web.2"] {
        for text in ["Idling", "Stopping all processes with SIGTERM", "State changed from up to down"] {
            h.t.until_logged("shop", &format!("heroku[{dyno}]: {text}")).await;
        }
    }
    assert_eq!(h.route_state().await, "idle");
    let dyno = h.t.get("/apps/shop/dynos/web.2").await.ok();
    assert_eq!((&dyno["state"], &dyno["command"], &dyno["type"]), (&json!("idle"), &json!("run"), &json!("web")));
    assert_eq!(h.t.get(&format!("/apps/shop/dynos/{}", dyno["id"].as_str().unwrap())).await.ok(), dyno);
    h.t.post("/apps/shop/dynos/web.1", json!({"command": "ls"})).await.error(409);
    // There is nothing to stop, and asking for it wakes nobody.
    h.t.post("/apps/shop/dynos/web.1/actions/stop", json!({})).await.ok();

    h.t.restart().await;
    h.says = play_router(&h.t);
    h.says(0, 1);
    h.runs(&["worker"]).await;
    assert_eq!(h.t.dynos("shop").await, IDLE);

    // Ten visitors at once, through however many routers.
    futures_util::future::join_all((0..10).map(|_| h.wake())).await;
    h.t.until_dynos("shop", &UP).await;
    h.t.until("the table", || async { (h.route_state().await == "serving").then_some(()) }).await;
    h.wake().await;
    for dyno in ["web.1", "web.2"] {
        for text in ["Unidling", "State changed from down to starting"] {
            h.t.until_logged("shop", &format!("heroku[{dyno}]: {text}")).await;
            assert_eq!(h.said(&format!("heroku[{dyno}]: {text}")).await, 1, "{dyno} {text}");
        }
    }
    h.t.destroy("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_the_app_wakes_it() {
    let h = House::new().await;
    h.after_seconds(0).await;
    let t = &h.t;
    let web = |quantity: u32| json!({"updates": [{"type": "web", "quantity": quantity}]});
    h.sleeps().await;
    t.deploy("shop", &[("a", "b")], &[("web", "run"), ("worker", "run")]).await;
    t.until_dynos("shop", &UP).await;
    h.sleeps().await;
    t.patch("/apps/shop/config-vars", json!({"A": "1"})).await.ok();
    t.until_dynos("shop", &UP).await;
    h.sleeps().await;
    t.delete("/apps/shop/dynos").await.ok();
    t.until_dynos("shop", &UP).await;
    h.sleeps().await;
    t.delete("/apps/shop/dynos/web.1").await.ok();
    t.until_dynos("shop", &UP).await;
    h.sleeps().await;
    t.patch("/apps/shop/formation", web(0)).await.ok();
    t.until_dynos("shop", &["worker.1 up"]).await;
    t.until("no web", || async { (h.route_state().await == "no_web").then_some(()) }).await;
    t.patch("/apps/shop/formation", web(2)).await.ok();
    t.until_dynos("shop", &UP).await;
    h.sleeps().await;
    t.patch("/apps/shop/features/web-idling", json!({"enabled": false})).await.ok();
    t.until_dynos("shop", &UP).await;
    // The mark of before counts no more.
    t.patch("/apps/shop/features/web-idling", json!({"enabled": true})).await.ok();
    tasks::idle::look(t.platform()).await.unwrap();
    assert_eq!(t.dynos("shop").await, UP);
    assert_eq!(h.said("Unidling").await, 0, "no request was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_change_of_its_web_dynos_lets_it_sleep() {
    let h = House::new().await;
    h.after_seconds(0).await;
    h.sleeps().await;
    let t = &h.t;
    t.patch("/apps/shop", json!({"maintenance": true})).await.ok();
    t.delete("/apps/shop/formations/worker").await.ok();
    t.until_logged("shop", "heroku[worker.1]: Restarting").await;
    t.until_dynos("shop", &IDLE).await;
    let (_, table) = t.control("GET /router/table?after=0", "").await;
    assert_eq!((&table["apps"][0]["state"], &table["apps"][0]["maintenance"]), (&json!("idle"), &json!(true)));
    let events = store::events::list_some(&mut t.platform().db.read().await.unwrap(), h.app().await.id, 0, 1000).await;
    assert!(events.unwrap().iter().any(|event| event.kind == "dyno.idle"));
    t.destroy("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_after_the_first_request_wakes_the_app_when_it_is_back() {
    let mut h = House::new().await;
    h.after_seconds(0).await;
    h.sleeps().await;
    let fake = h.t.fake.clone().unwrap();
    fake.set_down(true);
    h.wake().await;
    h.t.restart().await;
    h.says = play_router(&h.t);
    h.says(0, 1);
    fake.set_down(false);
    h.t.until_dynos("shop", &UP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_crashes_when_it_is_woken_is_crashed() {
    // By Heroku's policy what crashes twice waits for long, even by the clock of the engine in memory.
    let h = House::with(TestApp::fake_with(|config| config.crash_policy = CrashPolicy::Heroku).await).await;
    h.t.patch("/apps/shop/formation", json!({"updates": [{"type": "web", "quantity": 1}]})).await.ok();
    h.t.patch("/apps/shop/features/preboot", json!({"enabled": false})).await.ok();
    h.t.deploy("shop", &[("a", "b")], &[("web", "exit 1"), ("worker", "run")]).await;
    h.t.until("the crash of the deploy", || async { (h.route_state().await == "crashed").then_some(()) }).await;
    h.after_seconds(0).await;
    h.says(HOUR, 0);
    // A crash is no reason to stay awake.
    h.t.until_dynos("shop", &["web.1 idle", "worker.1 up"]).await;
    h.says(0, 1);
    h.wake().await;
    h.t.until("the crash again", || async { (h.route_state().await == "crashed").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_are_set_within_bounds() {
    let h = House::new().await;
    let usual = h.t.get("/apps/shop/routing").await.ok();
    assert_eq!((&usual["idle_after_ms"], &usual["own"]), (&json!(1_800_000), &json!([])));
    for bad in [i64::MIN, -1, 0, 59_999, 90_000, 2_592_060_000, i64::MAX] {
        let (id, why) = h.t.patch("/apps/shop/routing", json!({"idle_after_ms": bad})).await.error(422);
        assert!(id == "invalid_params" && why.contains("1 minute to 30 days"), "{id}: {why}");
    }
    for good in [60_000, 2_592_000_000_i64] {
        let shown = h.t.patch("/apps/shop/routing", json!({"idle_after_ms": good})).await.ok();
        assert_eq!((&shown["idle_after_ms"], &shown["own"]), (&json!(good), &json!(["idle_after_ms"])));
        assert_eq!(ops::idle::after(&h.app().await), std::time::Duration::from_millis(good.unsigned_abs()));
    }
    h.t.until_logged("shop", "Set routing: idle-after 43200 minutes by user owner@example.com").await;
    let shown = h.t.patch("/apps/shop/routing", json!({"idle_after_ms": null})).await.ok();
    assert_eq!(shown["idle_after_ms"], usual["idle_after_ms"]);
}
