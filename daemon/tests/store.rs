//! The store's promises, on whichever database is set: one text of SQL for both.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use paas_daemon::store::{self, Db, builds, events::Event};
use serde_json::json;
use util::TestApp;
use uuid::Uuid;

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

/// Any visitor makes an app sleep and wake, so what is told of that isn't kept for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_of_dynos_goes() {
    let t = TestApp::fake().await;
    t.create("sleepy").await;
    let p = t.platform();
    let app = store::apps::by_name(&mut p.db.read().await.unwrap(), "sleepy").await.unwrap().unwrap();
    for kind in ["dyno.create", "dyno.update", "dyno.idle", "dyno.wake", "dyno.destroy", "test"] {
        p.commit(p.change(app.id).await.unwrap(), Event::new(kind, "test", json!({}))).await.unwrap();
    }
    for (before, left) in [(TimeDelta::days(-1), 6), (TimeDelta::days(1), 1)] {
        let mut tx = p.db.begin().await.unwrap();
        store::events::prune_dynos(&mut tx, p.cx.now() + before).await.unwrap();
        tx.commit(None).await.unwrap();
        let events = store::events::list(&mut p.db.read().await.unwrap(), app.id, app.generation).await.unwrap();
        assert_eq!(events.len(), left, "{events:?}");
    }
}

/// A build of an app, asked for so many milliseconds after `now`.
fn build(app_id: Uuid, user_id: Uuid, now: DateTime<Utc>, milliseconds: i64) -> builds::Build {
    builds::Build {
        id: Uuid::now_v7(),
        app_id,
        user_id,
        status: "queued".into(),
        stack: "debian-12".into(),
        source_kind: "git".into(),
        source_url: None,
        source_version: Some(milliseconds.to_string()),
        source_description: None,
        buildpacks: sqlx::types::Json(vec!["ruby".into()]),
        slug_id: None,
        release_id: None,
        message: None,
        lease_owner: None,
        lease_until: None,
        cancel_requested: false,
        created_at: now + TimeDelta::milliseconds(milliseconds),
        updated_at: now,
    }
}

/// The queue of builds without the daemon, whose own builder would take from it: so many apps
/// with so many builds each, asked for in turn.
struct Queue {
    db: Db,
    now: DateTime<Utc>,
    /// All of them, oldest first.
    asked: Vec<(Uuid, Uuid)>,
    _app: TestApp,
}

impl Queue {
    async fn new(apps: usize, each: i64) -> Self {
        let mut t = TestApp::fake().await;
        let (user_id, now) = (t.actor().await.user.id, t.platform().cx.now());
        let mut ids: Vec<Uuid> = Vec::new();
        for n in 0..apps {
            ids.push(t.create(&format!("queue-{n}")).await["id"].as_str().unwrap().parse().unwrap());
        }
        t.down().await;
        let db = Db::open(&t.config.database_url()).await.unwrap();
        let mut asked = Vec::new();
        let mut tx = db.begin().await.unwrap();
        for n in 0..each {
            for (at, app_id) in ids.iter().enumerate() {
                let build = build(*app_id, user_id, now, n * 10 + i64::try_from(at).unwrap());
                builds::insert(&mut tx, &build).await.unwrap();
                asked.push((*app_id, build.id));
            }
        }
        tx.commit(None).await.unwrap();
        Self { db, now, asked, _app: t }
    }

    async fn claim(&self, owner: Uuid) -> Option<builds::Build> {
        let mut tx = self.db.begin().await.unwrap();
        let claimed = builds::claim(&mut tx, owner, self.now + TimeDelta::minutes(1), self.now).await.unwrap();
        tx.commit(None).await.unwrap();
        claimed
    }

    async fn finish(&self, id: Uuid) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        let done = builds::finish(&mut tx, id, "failed", None, None, Some("why"), self.now).await.unwrap();
        tx.commit(None).await.unwrap();
        done
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_claimed_oldest_first_and_one_at_a_time_for_each_app() {
    let queue = Queue::new(2, 2).await;
    let asked: Vec<Uuid> = queue.asked.iter().map(|(_, id)| *id).collect();
    let owner = Uuid::new_v4();
    let first = queue.claim(owner).await.unwrap();
    assert_eq!((first.id, first.status.as_str(), first.lease_owner), (asked[0], "pending", Some(owner)));
    assert_eq!((first.buildpacks.0, first.created_at), (vec!["ruby".to_owned()], queue.now), "as it was put there");
    assert_eq!(queue.claim(owner).await.unwrap().id, asked[1], "the other app's, though the first has one more");
    assert!(queue.claim(owner).await.is_none(), "both apps build");
    assert!(queue.finish(asked[1]).await);
    assert!(!queue.finish(asked[1]).await, "a build ends once");
    assert_eq!(queue.claim(owner).await.unwrap().id, asked[3]);
    assert!(queue.finish(asked[0]).await);
    assert_eq!(queue.claim(owner).await.unwrap().id, asked[2]);
    let mut c = queue.db.read().await.unwrap();
    assert_eq!(builds::active(&mut c, queue.asked[0].0).await.unwrap().len(), 1);
    assert_eq!(builds::by_id(&mut c, asked[0]).await.unwrap().unwrap().message.as_deref(), Some("why"));
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_many_claim_at_once_are_each_claimed_once() {
    let queue = Arc::new(Queue::new(3, 6).await);
    let claimed = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (queue, claimed) = (queue.clone(), claimed.clone());
            tokio::spawn(async move {
                let owner = Uuid::new_v4();
                while claimed.lock().unwrap().len() < queue.asked.len() {
                    let Some(build) = queue.claim(owner).await else { continue };
                    assert_eq!(build.lease_owner, Some(owner));
                    claimed.lock().unwrap().push((build.app_id, build.id));
                    let mut c = queue.db.read().await.unwrap();
                    let active = builds::active(&mut c, build.app_id).await.unwrap();
                    let pending: Vec<Uuid> = active.iter().filter(|b| b.status == "pending").map(|b| b.id).collect();
                    assert_eq!(pending, [build.id], "one at a time for each app");
                    drop(c);
                    assert!(queue.finish(build.id).await);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let claimed = claimed.lock().unwrap();
    for (app_id, _) in &queue.asked[..3] {
        let of_app = |all: &[(Uuid, Uuid)]| -> Vec<Uuid> {
            all.iter().filter(|(app, _)| app == app_id).map(|(_, id)| *id).collect()
        };
        assert_eq!(of_app(&claimed), of_app(&queue.asked), "each once, oldest first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_by_its_owner_alone() {
    let queue = Queue::new(1, 1).await;
    let (owner, other, id) = (Uuid::new_v4(), Uuid::new_v4(), queue.asked[0].1);
    let soon = queue.now + TimeDelta::minutes(1);
    let later = queue.now + TimeDelta::minutes(5);
    let mut tx = queue.db.begin().await.unwrap();
    assert_eq!(builds::renew(&mut tx, id, owner, later).await.unwrap(), None, "nobody has it yet");
    tx.commit(None).await.unwrap();
    queue.claim(owner).await.unwrap();
    let pending = async || -> Vec<(Uuid, Option<Uuid>, Option<DateTime<Utc>>)> {
        let mut c = queue.db.read().await.unwrap();
        let rows = builds::pending(&mut c).await.unwrap();
        rows.into_iter().map(|build| (build.id, build.lease_owner, build.lease_until)).collect()
    };
    assert_eq!(pending().await, [(id, Some(owner), Some(soon))]);
    let mut tx = queue.db.begin().await.unwrap();
    assert_eq!(builds::renew(&mut tx, id, other, later).await.unwrap(), None, "it is another's");
    assert_eq!(builds::renew(&mut tx, id, owner, later).await.unwrap(), Some(false));
    assert!(builds::request_cancel(&mut tx, id, queue.now).await.unwrap());
    assert_eq!(builds::renew(&mut tx, id, owner, later).await.unwrap(), Some(true), "a user wants it ended");
    tx.commit(None).await.unwrap();
    assert_eq!(pending().await, [(id, Some(owner), Some(later))], "it was renewed, for its owner alone");
    assert!(queue.finish(id).await);
    assert_eq!(pending().await, [], "it has ended");
    let mut tx = queue.db.begin().await.unwrap();
    assert_eq!(builds::renew(&mut tx, id, owner, later).await.unwrap(), None);
    assert!(!builds::request_cancel(&mut tx, id, queue.now).await.unwrap());
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
