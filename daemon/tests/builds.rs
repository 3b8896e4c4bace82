//! Builds and slugs where something goes wrong, and what is left of them: without buildpacks,
//! mostly without containers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

mod util;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use chrono::TimeDelta;
use paas_buildpacks::{
    catalog::Catalog,
    output::Output,
    sandbox::{Exit, Sandbox, SandboxError, Step},
};
use paas_daemon::{
    engine::Owned,
    ops::{self, Actor, Platform, addresses, builds::New},
    serve,
    store::{self, apps::App, builds::Build, dynos::Dyno, slugs::Slug},
    tasks,
};
use paas_domain::plan::DynoKind;
use serde_json::json;
use tokio::sync::watch;
use util::TestApp;
use uuid::Uuid;

/// An app, and its platform without the daemon's tasks: nothing happens by itself.
async fn still(t: &mut TestApp, app: &str) -> (Platform, Actor, App) {
    t.create(app).await;
    let actor = t.actor().await;
    let app = ops::apps::find(t.platform(), &actor, app).await.unwrap();
    t.down().await;
    (serve::beside(t.config.clone()).await.unwrap(), actor, app)
}

/// A build in the queue, its source in place.
async fn queued(p: &Platform, actor: &Actor, app: &App) -> Uuid {
    let id = Uuid::now_v7();
    let source = ops::builds::directory(p, id).join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("Procfile"), "web: x\n").unwrap();
    // Neither a push, which would die with a daemon, nor something to fetch.
    let new = New { kind: "test", ..New::default() };
    ops::builds::create(p, actor, app, id, new).await.unwrap();
    id
}

/// Takes the next build of the queue, as a builder does.
async fn claimed(p: &Platform) -> Build {
    let now = p.cx.now();
    let mut tx = p.db.begin().await.unwrap();
    let build = store::builds::claim(&mut tx, p.cx.run(), now + TimeDelta::seconds(60), now).await.unwrap().unwrap();
    tx.commit(None).await.unwrap();
    build
}

fn slug(p: &Platform, app: &App, id: Uuid, sha256: &str, types: &[&str]) -> Slug {
    let now = p.cx.now();
    Slug {
        id,
        app_id: app.id,
        sha256: Some(sha256.into()),
        size: Some(1),
        commit_id: None,
        commit_description: None,
        buildpack_description: None,
        process_types: sqlx::types::Json(types.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect()),
        stack: app.build_stack.clone(),
        created_at: now,
        updated_at: now,
    }
}

async fn released(p: &Platform, actor: &Actor, app: &App, slug: &Slug) -> store::releases::Release {
    ops::releases::deploy_build(p, actor, app, slug, &BTreeMap::new(), "Deploy").await.unwrap()
}

/// What the build said.
fn said(p: &Platform, id: Uuid) -> String {
    fs::read_to_string(ops::builds::output_path(p, id)).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Panics at its first build, fails at others.
#[derive(Default)]
struct Bug(AtomicBool);

#[async_trait]
impl Sandbox for Bug {
    async fn run(&self, _: &Step, _: &mut dyn Output) -> Result<Exit, SandboxError> {
        assert!(self.0.swap(true, Ordering::SeqCst), "a bug of ours");
        Ok(Exit::Code(1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_breaks_off_is_ended_and_the_next_one_built() {
    let mut t = TestApp::fake().await;
    let (p, actor, app) = still(&mut t, "broken").await;
    let packs = Catalog::open(&t.dir.join("packs")).unwrap();
    let builder = tasks::build::Builder { platform: p.clone(), sandbox: Arc::new(Bug::default()), packs };
    let ids = [queued(&p, &actor, &app).await, queued(&p, &actor, &app).await];
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(tasks::build::run(builder, stopped));
    let ended = async {
        for (id, why) in ids.into_iter().zip(["the platform failed while this was being built", "status 1"]) {
            let build = ops::builds::ended(&p, id).await.unwrap();
            assert_eq!(build.status, "failed");
            assert!(build.message.as_ref().unwrap().contains(why), "{build:?}");
            assert!(said(&p, id).contains(why), "{}", said(&p, id));
            assert_eq!(names(&ops::builds::directory(&p, id)), ["output.log"]);
        }
    };
    tokio::time::timeout(util::PATIENCE, ended).await.unwrap();
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_is_told_and_comes_before_a_release_or_not_at_all() {
    let mut t = TestApp::fake().await;
    let (p, actor, app) = still(&mut t, "cancel").await;
    let waiting = queued(&p, &actor, &app).await;
    ops::builds::cancel(&p, &actor, &app, &waiting.to_string()).await.unwrap();
    assert_eq!(said(&p, waiting), " !     Build cancelled.\n");
    assert_eq!(names(&ops::builds::directory(&p, waiting)), ["output.log"]);
    // One that runs: what was asked for before its release holds.
    let running = queued(&p, &actor, &app).await;
    claimed(&p).await;
    ops::builds::cancel(&p, &actor, &app, &running.to_string()).await.unwrap();
    let made = slug(&p, &app, running, "aa", &[]);
    let refused = ops::releases::deploy_build(&p, &actor, &app, &made, &BTreeMap::new(), "Deploy").await;
    assert_eq!(refused.unwrap_err().to_string(), "The build was cancelled.");
    let row = ops::builds::by_id(&p, running).await.unwrap().unwrap();
    ops::builds::finish(&p, &row, "cancelled", None, None).await.unwrap();
    // What is asked for after it is refused.
    let late = queued(&p, &actor, &app).await;
    claimed(&p).await;
    released(&p, &actor, &app, &slug(&p, &app, late, "bb", &[])).await;
    let refused = ops::builds::cancel(&p, &actor, &app, &late.to_string()).await.unwrap_err();
    assert!(refused.to_string().contains("released already"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_emptied_at_once_or_after_the_build_that_writes_to_it() {
    let mut t = TestApp::fake().await;
    let (p, actor, app) = still(&mut t, "cache").await;
    let cache = ops::builds::cache(&p, app.id);
    let kept = cache.open().unwrap().join("kept");
    fs::write(&kept, "").unwrap();
    ops::builds::purge_cache(&p, &actor, &app).await.unwrap();
    assert!(!kept.exists());
    cache.open().unwrap();
    fs::write(&kept, "").unwrap();
    queued(&p, &actor, &app).await;
    let running = claimed(&p).await;
    ops::builds::purge_cache(&p, &actor, &app).await.unwrap();
    assert!(kept.exists(), "a build has it mounted");
    ops::builds::finish(&p, &running, "failed", None, None).await.unwrap();
    // As the next build does.
    cache.open().unwrap();
    assert!(!kept.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_release_that_fails_does_not_run_its_slug() {
    let mut t = TestApp::fake().await;
    let (p, actor, app) = still(&mut t, "behind").await;
    let [good, bad] = ["aa", "bb"].map(|sha256| slug(&p, &app, Uuid::now_v7(), sha256, &["release", "web"]));
    let first = released(&p, &actor, &app, &good).await;
    ops::releases::end_phase(&p, first.id, None).await.unwrap();
    let failing = released(&p, &actor, &app, &bad).await;
    for key in ["A", "B", "C"] {
        let vars = BTreeMap::from([(key.to_owned(), Some("1".to_owned()))]);
        ops::config::update(&p, &actor, &app, &vars, true).await.unwrap();
    }
    ops::releases::end_phase(&p, failing.id, Some("exit 1")).await.unwrap();
    let waiting = store::releases::pending(&mut p.db.read().await.unwrap(), app.id).await.unwrap();
    assert_eq!(waiting.len(), 3, "each runs the phase of the slug that it has now");
    for release in waiting {
        assert_eq!(release.slug_id, Some(good.id), "v{}", release.version);
        ops::releases::end_phase(&p, release.id, None).await.unwrap();
    }
    let current = ops::releases::current(&p, &app).await.unwrap().unwrap();
    assert_eq!((current.slug_id, current.version), (Some(good.id), failing.version + 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn config_vars_of_buildpacks_come_with_the_first_slug_only() {
    let t = TestApp::fake().await;
    t.create("vars").await;
    let (p, actor) = (t.platform(), t.actor().await);
    let app = ops::apps::find(p, &actor, "vars").await.unwrap();
    let bring = async |vars: &[(&str, &str)]| {
        let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ops::releases::deploy_build(p, &actor, &app, &slug(p, &app, Uuid::now_v7(), "aa", &[]), &vars, "Deploy").await
    };
    // What no environment can carry is refused, and leaves nothing: the next is the first still.
    for value in ["a\0b".to_owned(), "x".repeat(100_000)] {
        let refused = bring(&[("LARGE", &value)]).await.unwrap_err().to_string();
        assert!(refused.starts_with("The config vars that bin/release brings can't be set: "), "{refused}");
    }
    bring(&[("SECRET_KEY_BASE", "one"), ("RAILS_SERVE_STATIC_FILES", "enabled"), ("1BAD", "x")]).await.unwrap();
    let brought = json!({"SECRET_KEY_BASE": "one", "RAILS_SERVE_STATIC_FILES": "enabled"});
    assert_eq!(t.get("/apps/vars/config-vars").await.ok(), brought);
    t.patch("/apps/vars/config-vars", json!({"RAILS_SERVE_STATIC_FILES": null})).await.ok();
    bring(&[("SECRET_KEY_BASE", "two"), ("RAILS_SERVE_STATIC_FILES", "enabled")]).await.unwrap();
    assert_eq!(t.get("/apps/vars/config-vars").await.ok(), json!({"SECRET_KEY_BASE": "one"}));
}

/// Path and query of an address.
fn path(url: &serde_json::Value) -> String {
    let (_, rest) = url.as_str().unwrap().split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_were_given_out_are_keys_for_a_while() {
    let t = TestApp::fake().await;
    let (p, actor, other) = (t.platform(), t.actor().await, t.other("other@example.com").await);
    t.create("keys").await;
    let app = ops::apps::find(p, &actor, "keys").await.unwrap();
    let bytes = || Some(b"bytes".to_vec());
    let made = t.post("/apps/keys/slugs", json!({"process_types": {}})).await.ok();
    let put = path(&made["blob"]["url"]);
    let (bare, query) = put.split_once('?').unwrap();
    t.send("PUT", bare, None, bytes()).await.error(401);
    t.send("PUT", &put, None, bytes()).await.ok();
    let id = made["id"].as_str().unwrap();
    let get = path(&t.get(&format!("/apps/keys/slugs/{id}")).await.ok()["blob"]["url"]);
    // A build that has ended.
    let build = Uuid::now_v7();
    fs::create_dir_all(ops::builds::directory(p, build)).unwrap();
    fs::write(ops::builds::output_path(p, build), "said").unwrap();
    let mut row = ops::builds::create(p, &actor, &app, build, New { kind: "test", ..New::default() }).await.unwrap();
    row = ops::builds::ended(p, row.id).await.unwrap();
    let output = path(&t.get(&format!("/apps/keys/builds/{}", row.id)).await.ok()["output_stream_url"]);
    for (address, purpose, id) in [(&get, "slug/get", id.parse().unwrap()), (&output, "build/output", build)] {
        let (bare, key) = address.split_once('?').unwrap();
        t.send("GET", address, None, None).await.ok();
        t.get(bare).await.ok();
        t.send("GET", bare, None, None).await.error(401);
        t.send("GET", bare, Some(&other), None).await.error(403);
        let expired = addresses::sign(p, purpose, id, TimeDelta::seconds(-1));
        let longer = key.replacen("expires=", "expires=9", 1);
        for wrong in [query, &expired, &longer, "expires=x&signature=y"] {
            let (_, why) = t.send("GET", &format!("{bare}?{wrong}"), None, None).await.error(403);
            assert!(why.contains("expired"), "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_builds_leave_goes_with_the_app() {
    let t = TestApp::fake().await;
    t.create("gone").await;
    let (p, actor) = (t.platform(), t.actor().await);
    let app = ops::apps::find(p, &actor, "gone").await.unwrap();
    let build = queued(p, &actor, &app).await;
    let cache = ops::builds::cache(p, app.id);
    cache.open().unwrap();
    cache.wish_purge().unwrap();
    // Whether its build waits, runs or has ended.
    t.destroy("gone").await;
    t.until("nothing of its builds", || async {
        let left = ops::builds::directory(p, build).exists() || !names(&t.dir.join("cache")).is_empty();
        (!left).then_some(())
    })
    .await;
}

fn dyno(p: &Platform, release: &store::releases::Release) -> Dyno {
    Dyno {
        command: "x".into(),
        phase: "up".into(),
        ..Dyno::new(Uuid::now_v7(), release, DynoKind::Formation, "web", 1, p.cx.now())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slugs_that_nobody_needs_go_from_the_disk() {
    let mut t = TestApp::fake().await;
    let (p, actor, app) = still(&mut t, "sweep").await;
    let put =
        async |text: &str| p.slug_store.put(Box::pin(std::io::Cursor::new(text.to_owned()))).await.unwrap().sha256;
    let mut made = Vec::new();
    for n in 0..6 {
        let slug = slug(&p, &app, Uuid::now_v7(), &put(&format!("{n}")).await, &[]);
        made.push((slug.id, released(&p, &actor, &app, &slug).await));
    }
    // A dyno that goes on with the second, and a build that has just handed its directory over.
    let mut tx = p.db.begin().await.unwrap();
    store::dynos::insert(&mut tx, &dyno(&p, &made[1].1)).await.unwrap();
    tx.commit(None).await.unwrap();
    let building = queued(&p, &actor, &app).await;
    claimed(&p).await;
    let unknown = Uuid::now_v7();
    for id in made.iter().map(|(id, _)| *id).chain([building, unknown]) {
        fs::create_dir_all(t.dir.join(format!("releases/{id}"))).unwrap();
    }
    let (old, new) = (put("old").await, put("new").await);
    // Two that nothing has released: one is from yesterday.
    let (unused, fresh) = (put("unused").await, put("fresh").await);
    let unused = slug(&p, &app, Uuid::now_v7(), &unused, &[]);
    let fresh = slug(&p, &app, Uuid::now_v7(), &fresh, &[]);
    let mut tx = p.db.begin().await.unwrap();
    let yesterday = p.cx.now() - TimeDelta::hours(25);
    store::slugs::insert(&mut tx, &Slug { updated_at: yesterday, ..unused.clone() }).await.unwrap();
    store::slugs::insert(&mut tx, &fresh).await.unwrap();
    tx.commit(None).await.unwrap();
    let sources = [ops::sources::create(&p).await.unwrap(), ops::sources::create(&p).await.unwrap()];
    let days_ago = SystemTime::now() - Duration::from_secs(73 * 3600);
    let file = fs::File::options().write(true).open(ops::sources::path(&p, sources[0])).unwrap();
    file.set_modified(days_ago).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
    for entry in fs::read_dir(t.dir.join("slugs")).unwrap().map(|entry| entry.unwrap().path()) {
        if !entry.to_str().unwrap().contains(&new) {
            fs::File::options().write(true).open(entry).unwrap().set_modified(long_ago).unwrap();
        }
    }
    tasks::slugs::sweep(&p).await.unwrap();
    let there = p.slugs.unpacked().await.unwrap();
    let wanted: Vec<bool> = made.iter().map(|(id, _)| there.contains(id)).collect();
    assert_eq!(wanted, [false, true, false, true, true, true]);
    assert!(there.contains(&building) && !there.contains(&unknown));
    // Every release can be gone back to; only what no slug has went, and what was never released.
    let blobs = names(&t.dir.join("slugs"));
    assert_eq!(blobs.len(), 8, "{blobs:?}");
    let mut c = p.db.read().await.unwrap();
    assert!(store::slugs::by_id(&mut c, unused.id).await.unwrap().is_none());
    assert!(store::slugs::by_id(&mut c, fresh.id).await.unwrap().is_some());
    assert_eq!(names(&t.dir.join("sources")), [sources[1].to_string()]);
    assert!(!blobs.iter().any(|name| name.contains(&old)), "{blobs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_builds_that_nobody_runs_are_found() {
    let mut t = TestApp::docker().await;
    let (p, actor, app) = still(&mut t, "containers").await;
    let id = queued(&p, &actor, &app).await;
    let build = claimed(&p).await;
    let instance = format!("paas.instance={}", p.cx.instance().simple());
    for label in [format!("paas.build={id}"), format!("paas.build={}", Uuid::now_v7()), "paas.app=x".to_owned()] {
        let image = t.config.stack_image("debian-12", true);
        let words = ["create", "--label", &instance, "--label", "paas.kind=build", "--label", &label, &image, "true"];
        let output = Command::new("docker").args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let left = async || {
        tasks::cleanup::orphans(&p).await.unwrap();
        let owned = p.engine.owned().await.unwrap().into_iter();
        owned
            .filter_map(|one| if let Owned::Build { build, .. } = one { Some(build) } else { None })
            .collect::<Vec<_>>()
    };
    assert_eq!(left().await, [Some(id)]);
    ops::builds::finish(&p, &build, "failed", None, None).await.unwrap();
    assert_eq!(left().await, []);
}
