//! The store's promises, on whichever database is set: one text of SQL for both.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::sync::Arc;

use paas_daemon::store::{self, events::Event};
use serde_json::json;
use util::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_committed_leaves_nothing() {
    let t = TestApp::fake().await;
    t.create("half").await;
    let p = t.platform();
    let app = store::apps::by_name(&mut p.db.read().await.unwrap(), "half").await.unwrap().unwrap();
    {
        let mut change = p.change(app.id).await.unwrap();
        store::config_vars::set(&mut change, app.id, "A", b"sealed").await.unwrap();
        assert_eq!(change.generation(), app.generation + 1);
    }
    let mut c = p.db.read().await.unwrap();
    assert!(store::config_vars::list(&mut c, app.id).await.unwrap().is_empty());
    let after = store::apps::by_id(&mut c, app.id).await.unwrap().unwrap();
    assert_eq!(after.generation, app.generation, "the generation was rolled back too");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_app_follow_each_other_and_none_is_lost() {
    let t = TestApp::fake().await;
    t.create("busy").await;
    let p = Arc::new(t.platform().clone());
    let app = store::apps::by_name(&mut p.db.read().await.unwrap(), "busy").await.unwrap().unwrap();
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let p = p.clone();
            tokio::spawn(async move {
                let mut change = p.change(app.id).await.unwrap();
                // Read, then write: what loses to "database is locked" without BEGIN IMMEDIATE.
                let have = store::config_vars::list(&mut change, app.id).await.unwrap().len();
                store::config_vars::set(&mut change, app.id, &format!("K{have}"), b"x").await.unwrap();
                p.commit(change, Event::new("test", "test", json!({ "n": n }))).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut c = p.db.read().await.unwrap();
    assert_eq!(store::config_vars::list(&mut c, app.id).await.unwrap().len(), 40);
    let events = store::events::list(&mut c, app.id, app.generation).await.unwrap();
    let generations: Vec<i64> = events.iter().map(|event| event.generation).collect();
    let expected: Vec<i64> = (app.generation + 1..=app.generation + 40).collect();
    assert_eq!(generations, expected, "an event with every change, in order and without gaps");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_claimed_once_and_one_at_a_time_for_each_app() {
    let t = TestApp::fake().await;
    let p = t.platform();
    let now = p.cx.now();
    let mut ids = Vec::new();
    for name in ["first", "second"] {
        let app = t.create(name).await;
        let app_id = app["id"].as_str().unwrap().parse().unwrap();
        for n in 0..2 {
            let build = store::builds::Build {
                id: uuid::Uuid::now_v7(),
                app_id,
                user_id: t.actor().await.user.id,
                // Not "queued": the daemon's own builder must not take it.
                status: "held".into(),
                stack: "debian-12".into(),
                source_kind: "git".into(),
                source_url: None,
                source_version: Some(format!("{n}")),
                source_description: None,
                buildpacks: sqlx::types::Json(vec!["ruby".into()]),
                slug_id: None,
                release_id: None,
                message: None,
                lease_owner: None,
                lease_until: None,
                cancel_requested: false,
                created_at: now + chrono::Duration::milliseconds(n),
                updated_at: now,
            };
            let mut tx = p.db.begin().await.unwrap();
            store::builds::insert(&mut tx, &build).await.unwrap();
            tx.commit(None).await.unwrap();
            ids.push((app_id, build.id));
        }
    }
    let mut c = p.db.read().await.unwrap();
    let read = store::builds::by_id(&mut c, ids[0].1).await.unwrap().unwrap();
    assert_eq!(read.buildpacks.0, ["ruby"]);
    assert_eq!(read.created_at, now, "times keep their microseconds");
    assert_eq!(store::builds::list(&mut c, ids[0].0).await.unwrap().len(), 2);
    drop(c);
    let mut tx = p.db.begin().await.unwrap();
    assert!(
        !store::builds::finish(&mut tx, ids[0].1, "failed", None, None, None, now).await.unwrap(),
        "it was not under way"
    );
    tx.commit(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_and_the_error_says_so() {
    let t = TestApp::fake().await;
    t.create("twice").await;
    let p = t.platform();
    let app = store::apps::by_name(&mut p.db.read().await.unwrap(), "twice").await.unwrap().unwrap();
    let mut tx = p.db.begin().await.unwrap();
    let again = store::apps::App { id: uuid::Uuid::now_v7(), ..app };
    let error = store::apps::insert(&mut tx, &again).await.unwrap_err();
    assert!(error.is_duplicate(), "{error:?}");
}
