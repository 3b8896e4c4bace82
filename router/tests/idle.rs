//! Apps that sleep are woken by their first request, and a request whose dyno has just ended is
//! held rather than refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use paas_domain::route::RouteState;
use tokio::sync::Semaphore;
use util::backend::{Deaf, Dyno, nobody};
use util::client::{activity, get, send, status_of};
use util::{APP, House, app, limits, patient, serving, table};
use uuid::Uuid;

fn asleep(generation: u64) -> paas_domain::route::RouteTable {
    table(generation, vec![app(RouteState::Idle, &[])])
}

fn ask(house: &House, path: &str) -> tokio::task::JoinHandle<String> {
    let (addr, request) = (house.addr, get(path, ""));
    tokio::spawn(async move { send(addr, &request).await })
}

#[tokio::test]
async fn the_first_requests_wake_an_app_together_and_wait() {
    let house = House::with(asleep(1), patient()).await;
    let first: Vec<_> = (0..10).map(|_| ask(&house, "/a")).collect();
    house.until(|status| status.waiting == 10).await;
    let wakes = house.daemon.has_wakes(1).await;
    assert!(wakes.iter().all(|apps| *apps == [APP]), "{wakes:?}");
    assert!(wakes.len() < 10, "each of them wakes it: {wakes:?}");
    house.set(table(2, vec![app(RouteState::Booting, &[])])).await;
    let dyno = Dyno::text("awake").await;
    house.set(serving(3, &[dyno.addr])).await;
    for answer in first {
        assert!(answer.await.unwrap().ends_with("\r\n\r\nawake"));
    }
    assert!(!house.daemon.lines().iter().any(|line| line.line.contains("code=")));
}

#[tokio::test]
async fn an_app_is_woken_until_it_wakes_also_by_a_daemon_that_comes_back() {
    let mut house = House::with(asleep(1), patient()).await;
    house.daemon.kill();
    let first = ask(&house, "/a");
    house.until(|status| status.waiting == 1).await;
    house.daemon.revive();
    // The table that it gives on this reconnection still says that the app sleeps.
    house.daemon.has_wakes(2).await;
    let dyno = Dyno::text("awake").await;
    house.set(serving(2, &[dyno.addr])).await;
    assert!(first.await.unwrap().ends_with("awake"));
}

#[tokio::test]
async fn an_app_that_doesn_t_wake_is_h20_and_one_in_maintenance_is_left_asleep() {
    let house = House::new(asleep(1)).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(house.line("").await.contains("code=H20 "));
    let told = house.daemon.with(|state| std::mem::take(&mut state.wakes));
    assert!(!told.is_empty());
    let mut maintained = asleep(2);
    maintained.apps[0].maintenance = true;
    house.set(maintained).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(house.line("").await.contains("code=H80 "));
    assert_eq!(house.daemon.with(|state| state.wakes.len()), 0);
}

#[tokio::test]
async fn the_daemon_learns_when_an_app_was_last_asked_for() {
    let go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go);
    let dyno = Dyno::http(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.unwrap().forget();
            Response::new(Full::from("done"))
        }
    })
    .await;
    let house = House::with(serving(1, &[dyno.addr]), patient()).await;
    let dir = house.dir.path().to_owned();
    let ours = APP.to_string();
    let quiet = async |than: u64| loop {
        let known = activity(&dir, &ours).await;
        if known[0].quiet_ms > than {
            return known[0].open;
        }
    };
    assert_eq!(quiet(300).await, 0);
    let first = ask(&house, "/a");
    house.until(|status| status.backends[0].in_flight == 1).await;
    // It is open however long it says nothing.
    assert_eq!(quiet(300).await, 1);
    go.add_permits(1);
    assert!(first.await.unwrap().ends_with("done"));
    house.until(|status| status.backends[0].in_flight == 0).await;
    let known = activity(&dir, &format!("{},{APP},nonsense", Uuid::nil())).await;
    assert_eq!((known.len(), known[0].app_id, known[0].open), (1, APP, 0), "{known:?}");
    // Its end counts, not its beginning; a new table changes nothing of that.
    let before = known[0].quiet_ms;
    house.set(table(2, vec![app(RouteState::Booting, &[])])).await;
    assert!(activity(&dir, &ours).await[0].quiet_ms >= before);
    let second = ask(&house, "/b");
    house.until(|status| status.waiting == 1).await;
    assert_eq!(activity(&dir, &ours).await[0].open, 1, "who waits is there, too");
    house.set(table(3, vec![app(RouteState::NoWeb, &[])])).await;
    assert_eq!(status_of(&second.await.unwrap()), 503);
    assert!(activity(&dir, "").await.is_empty());
}

#[tokio::test]
async fn a_request_whose_dyno_has_just_ended_waits_for_the_next() {
    let dead = nobody().await;
    let limits = paas_router::Limits { hold: Duration::from_secs(20), ..patient() };
    let house = House::with(serving(1, &[dead]), limits).await;
    let held = ask(&house, "/a");
    house.until(|status| status.backends.iter().any(|backend| backend.quarantined)).await;
    // A table that changes nothing for it, then the daemon has seen the end.
    house.set(serving(2, &[dead])).await;
    house.set(table(3, vec![app(RouteState::Booting, &[])])).await;
    house.until(|status| status.waiting == 1).await;
    let dyno = Dyno::text("the next").await;
    house.set(serving(4, &[dyno.addr])).await;
    assert!(held.await.unwrap().ends_with("the next"));
}

#[tokio::test]
async fn a_dyno_that_never_comes_back_is_h21_and_one_of_a_new_table_is_tried_beside_it() {
    let dead = nobody().await;
    let house = House::with(serving(1, &[dead]), paas_router::Limits { queue: patient().queue, ..limits() }).await;
    assert_eq!(status_of(&send(house.addr, &get("/a", "")).await), 503);
    assert!(house.line("").await.contains("code=H21 "));
    let limits = paas_router::Limits { hold: Duration::from_secs(20), ..patient() };
    let house = House::with(serving(1, &[dead]), limits).await;
    let held = ask(&house, "/a");
    house.until(|status| status.backends.iter().any(|backend| backend.quarantined)).await;
    let dyno = Dyno::text("the other").await;
    house.set(serving(2, &[dead, dyno.addr])).await;
    assert!(held.await.unwrap().ends_with("the other"));
}

#[tokio::test]
async fn an_address_that_keeps_quiet_is_given_up_when_its_dyno_leaves() {
    let deaf = Deaf::new();
    let house = House::with(serving(1, &[deaf.addr]), patient()).await;
    let first = ask(&house, "/a");
    house.until(|status| status.backends.iter().any(|backend| backend.in_flight == 1)).await;
    let dyno = Dyno::text("the next").await;
    house.set(serving(2, &[dyno.addr])).await;
    // Before the 20 s that connecting may take here.
    assert!(first.await.unwrap().ends_with("the next"));
    assert!(house.line("").await.starts_with("at=info "));
}
