//! The reconciler on an engine in memory that fails on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use paas_daemon::{
    engine::{EngineError, fake::Call},
    store,
    tasks::routes::Routes,
};
use serde_json::json;
use util::TestApp;
use uuid::Uuid;

const WORKER: [(&str, &str); 1] = [("worker", "sleep 1000")];

async fn with_worker(t: &TestApp, app: &str, types: &[(&str, &str)]) {
    t.create(app).await;
    t.deploy(app, &[("x", "1")], types).await;
    t.patch(&format!("/apps/{app}/formation/worker"), json!({"quantity": 1})).await.ok();
}

/// The engine in memory has a clock of its own, by which every dyno has run for years.
async fn patient() -> TestApp {
    TestApp::fake_with(|config| config.release_timeout_s = 1_000_000_000).await
}

/// The id of the dyno whose name begins so.
async fn dyno(t: &TestApp, app: &str, name: &str) -> Uuid {
    t.until("the dyno", || async {
        let list = t.get(&format!("/apps/{app}/dynos")).await.ok();
        let found = list.as_array().unwrap().iter().find(|dyno| dyno["name"].as_str().unwrap().starts_with(name));
        found.map(|dyno| dyno["id"].as_str().unwrap().parse().unwrap())
    })
    .await
}

async fn until_release(t: &TestApp, app: &str, version: u32, status: &str) {
    t.until("the release", || async {
        let release = t.get(&format!("/apps/{app}/releases/{version}")).await.ok();
        (release["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_panics_is_followed_by_another() {
    let t = TestApp::fake().await;
    let fake = t.fake.clone().unwrap();
    with_worker(&t, "panic", &WORKER).await;
    t.until_dynos("panic", &["worker.1 up"]).await;
    fake.panic_next(Call::Signal);
    t.patch("/apps/panic/formation/worker", json!({"quantity": 0})).await.ok();
    t.until_dynos("panic", &[]).await;
    fake.panic_next(Call::List);
    t.patch("/apps/panic/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_dynos("panic", &["worker.1 up"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_for_a_while_is_told_once_and_keeps_nothing_that_has_ended() {
    let t = TestApp::fake().await;
    let fake = t.fake.clone().unwrap();
    with_worker(&t, "short", &WORKER).await;
    t.until_dynos("short", &["worker.1 up"]).await;
    let first = dyno(&t, "short", "worker.1").await;
    let what = EngineError::OutOfResources { what: "memory".into() };
    fake.fail_next(Call::Start, what.clone());
    fake.fail_next(Call::Start, what);
    fake.exit(first, 1, false);
    t.until_logged("short", "Error R99 (Platform error) -> The dyno could not be started: The machine has no room")
        .await;
    t.until("the crashed one to be gone", || async { fake.spec(first).is_none().then_some(()) }).await;
    t.until_dynos("short", &["worker.1 up"]).await;
    let log = t.log("short").await;
    assert_eq!(log.iter().filter(|line| line.contains("Error R99")).count(), 1, "{log:#?}");
    let lines: Vec<&str> = log
        .iter()
        .filter_map(|line| line.split_once("heroku[worker.1]: ").map(|(_, text)| text))
        .filter(|text| text.starts_with("State changed") || text.starts_with("Starting process"))
        .collect();
    assert_eq!(
        lines,
        [
            "Starting process with command `sleep 1000`",
            "State changed from starting to up",
            "State changed from up to crashed",
            "State changed from crashed to starting",
            "Starting process with command `sleep 1000`",
            "State changed from starting to up",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_phase_that_can_t_start_fails_and_holds_up_nothing() {
    let t = TestApp::fake().await;
    let fake = t.fake.clone().unwrap();
    t.create("held").await;
    t.deploy("held", &[("x", "1")], &WORKER).await;
    for _ in 0..3 {
        fake.fail_next(Call::Start, EngineError::NoSuchImage { image: "paas/stack:gone".into() });
    }
    t.deploy("held", &[("x", "2")], &[("worker", "sleep 1000"), ("release", "exit 0")]).await;
    until_release(&t, "held", 3, "failed").await;
    let log = t.log("held").await.join("\n");
    assert!(log.contains("could not be started: The image paas/stack:gone is not on"), "{log}");
    t.deploy("held", &[("x", "3")], &[("worker", "sleep 1000"), ("release", "exit 0")]).await;
    until_release(&t, "held", 4, "succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_phase_that_was_stopped_has_failed_whatever_it_says() {
    let t = patient().await;
    let fake = t.fake.clone().unwrap();
    t.create("halted").await;
    t.deploy("halted", &[("x", "1")], &[("release", "trap '' TERM; sleep 1000")]).await;
    let id = dyno(&t, "halted", "release.").await;
    t.until_logged("halted", "State changed from starting to up").await;
    t.post("/apps/halted/dynos/release/actions/stop", json!({})).await.ok();
    t.until_logged("halted", "Stop release dynos by user owner@example.com").await;
    t.until_logged("halted", "Stopping all processes with SIGTERM").await;
    fake.exit(id, 0, false);
    until_release(&t, "halted", 2, "failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_a_release_phase_that_was_recorded_only_is_applied() {
    let mut t = patient().await;
    t.create("cut").await;
    t.deploy("cut", &[("x", "1")], &[("release", "sleep 1000")]).await;
    let id = dyno(&t, "cut", "release.").await;
    t.until_logged("cut", "State changed from starting to up").await;
    // As a daemon leaves it that is killed after the row's write.
    t.down().await;
    let fake = t.fake.clone().unwrap();
    fake.exit(id, 0, false);
    let db = store::Db::open(&t.config.database_url()).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let mut row = store::dynos::by_id(&mut tx, id).await.unwrap().unwrap();
    (row.phase, row.exit_code) = ("exited".into(), Some(0));
    store::dynos::update(&mut tx, &row).await.unwrap();
    tx.commit(None).await.unwrap();
    t.up().await;
    until_release(&t, "cut", 2, "succeeded").await;
    let log = t.log("cut").await;
    assert_eq!(log.iter().filter(|line| line.contains("Starting process with command")).count(), 1, "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dynos_are_stopped_by_type() {
    let t = TestApp::fake().await;
    with_worker(&t, "types", &WORKER).await;
    t.until_dynos("types", &["worker.1 up"]).await;
    let worker = dyno(&t, "types", "worker.1").await;
    let runs = [(); 2].map(|()| t.post("/apps/types/dynos", json!({"command": "sleep 1000"})));
    futures_util::future::join_all(runs).await.into_iter().for_each(|answer| drop(answer.ok()));
    t.until("both to be up", || async { (t.dynos("types").await.len() == 3).then_some(()) }).await;
    t.post("/apps/types/dynos/run/actions/stop", json!({})).await.ok();
    t.until_dynos("types", &["worker.1 up"]).await;
    assert_eq!(dyno(&t, "types", "worker.1").await, worker);
    t.until_logged("types", "app[api]: Stop run dynos by user owner@example.com").await;
    t.post("/apps/types/dynos/worker/actions/stop", json!({})).await.ok();
    t.until("another worker", || async { (dyno(&t, "types", "worker.1").await != worker).then_some(()) }).await;
    t.post("/apps/types/dynos/nothing/actions/stop", json!({})).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory_is_told_of_every_kind() {
    let t = TestApp::fake().await;
    let fake = t.fake.clone().unwrap();
    with_worker(&t, "memory", &WORKER).await;
    t.until_dynos("memory", &["worker.1 up"]).await;
    // A process of several: what is left goes on, but not for long.
    fake.kill_child(dyno(&t, "memory", "worker.1").await);
    t.until_logged("memory", "heroku[worker.1]: Error R15 (Memory quota vastly exceeded)").await;
    t.until_logged("memory", "heroku[worker.1]: State changed from up to crashed").await;
    t.until_dynos("memory", &["worker.1 up"]).await;
    t.post("/apps/memory/dynos", json!({"command": "sleep 1000"})).await.ok();
    let id = dyno(&t, "memory", "run.").await;
    t.until("it to run", || async { fake.spec(id).map(drop) }).await;
    fake.exit(id, 137, true);
    t.until("R15 of the one-off", || async {
        let log = t.log("memory").await;
        log.iter().any(|line| line.contains("heroku[run.") && line.contains("Error R15")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_may_know_dynos_of_an_earlier_daemon_is_waited_for() {
    let t = TestApp::fake().await;
    let p = t.platform();
    with_worker(&t, "known", &WORKER).await;
    t.until_dynos("known", &["worker.1 up"]).await;
    let id = dyno(&t, "known", "worker.1").await;
    let mut tx = p.db.begin().await.unwrap();
    let mut row = store::dynos::by_id(&mut tx, id).await.unwrap().unwrap();
    let routes = Routes::new(p.clone()).await.unwrap();
    assert!(routes.acknowledged(row.app_id), "there is nobody to wait for");
    row.unrouted_at = Some(p.cx.now());
    store::dynos::update(&mut tx, &row).await.unwrap();
    tx.commit(None).await.unwrap();
    let routes = Routes::new(p.clone()).await.unwrap();
    assert!(routes.acknowledged(row.app_id), "no router has ever kept a table");

    std::fs::write(p.cx.path("router/table.json"), "").unwrap();
    let routes = Routes::new(p.clone()).await.unwrap();
    let generation = routes.table().borrow().generation;
    assert!(!routes.acknowledged(row.app_id));
    // It goes by the table of before.
    routes.acknowledge(generation - 1);
    assert!(!routes.acknowledged(row.app_id));
    // By one that is none of ours: the clock went back.
    routes.acknowledge(generation + 1_000_000);
    assert!(!routes.acknowledged(row.app_id));
    routes.overtake(generation + 1_000_000).await;
    assert_eq!(routes.table().borrow().generation, generation + 1_000_001);
    routes.acknowledge(generation + 1_000_001);
    assert!(routes.acknowledged(row.app_id));
    assert_eq!(routes.newly_acknowledged(), [row.app_id]);
    // What comes after is newer still.
    t.create("next").await;
    assert!(routes.refresh().await.unwrap() > generation + 1_000_001);
}
