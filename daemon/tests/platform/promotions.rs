//! Promotions: what an app runs is released on other apps of its pipeline.

use paas_daemon::{
    engine::fake::FakeEngine,
    ops::{self, Actor},
    store::{self, promotions},
    tasks,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::pipelines::{couple, pipeline};
use crate::util::TestApp;

const WORKER: [(&str, &str); 1] = [("worker", "sleep 1000")];
const WITH_PHASE: [(&str, &str); 2] = [("worker", "sleep 1000"), ("release", "rake db:migrate")];

/// A pipeline with an app at staging that has code, and one at production.
struct World {
    t: TestApp,
    pipeline: String,
    staging: Value,
    production: Value,
}

impl World {
    async fn new(types: &[(&str, &str)]) -> Self {
        // The engine in memory has a clock of its own, by which every dyno has run for years.
        let t = TestApp::fake_with(|config| config.release_timeout_s = 1_000_000_000).await;
        let pipeline = pipeline(&t, "shop").await;
        let staging = t.create("shop-staging").await;
        let production = t.create("shop-prod").await;
        couple(&t, &pipeline, "shop-staging", "staging").await;
        couple(&t, &pipeline, "shop-prod", "production").await;
        t.deploy("shop-staging", &[("x", "1")], types).await;
        Self { t, pipeline, staging, production }
    }

    fn body(&self, targets: &[&Value]) -> Value {
        let targets: Vec<Value> = targets.iter().map(|app| json!({"app": {"id": app["id"]}})).collect();
        json!({"pipeline": {"id": self.pipeline}, "source": {"app": {"id": self.staging["id"]}}, "targets": targets})
    }

    async fn promote(&self) -> Value {
        let answer = self.t.post("/pipeline-promotions", self.body(&[&self.production])).await;
        assert_eq!(answer.status, 201);
        answer.ok()
    }

    async fn targets(&self, promotion: &Value) -> Vec<Value> {
        let path = format!("/pipeline-promotions/{}/promotion-targets", promotion["id"].as_str().unwrap());
        self.t.get(&path).await.ok().as_array().unwrap().clone()
    }

    /// Waits until a promotion has ended everywhere, and gives its targets.
    async fn ended(&self, promotion: &Value) -> Vec<Value> {
        let path = format!("/pipeline-promotions/{}", promotion["id"].as_str().unwrap());
        self.t
            .until("the promotion to be completed", || async {
                (self.t.get(&path).await.ok()["status"] == "completed").then_some(())
            })
            .await;
        self.targets(promotion).await
    }

    async fn phase_dyno(&self, app: &str) -> Uuid {
        self.t
            .until("the dyno of the release phase", || async {
                let list = self.t.get(&format!("/apps/{app}/dynos")).await.ok();
                let found = list.as_array().unwrap().iter().find(|dyno| dyno["type"] == "release");
                found.map(|dyno| dyno["id"].as_str().unwrap().parse().unwrap())
            })
            .await
    }

    fn fake(&self) -> FakeEngine {
        self.t.fake.clone().unwrap()
    }

    async fn until_phase_runs(&self, app: &str) -> Uuid {
        let dyno = self.phase_dyno(app).await;
        let fake = self.fake();
        self.t.until("the phase to run", || async { fake.spec(dyno).map(|_| ()) }).await;
        dyno
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_goes_on_and_config_stays() {
    let w = World::new(&WORKER).await;
    w.t.patch("/apps/shop-staging/config-vars", json!({"NAME": "staging"})).await.ok();
    w.t.patch("/apps/shop-prod/config-vars", json!({"NAME": "production"})).await.ok();
    let promotion = w.promote().await;
    assert_eq!(promotion["status"], "pending");
    assert_eq!(
        (&promotion["source"]["app"]["id"], &promotion["pipeline"]["id"]),
        (&w.staging["id"], &json!(w.pipeline))
    );
    let targets = w.ended(&promotion).await;
    assert_eq!(targets.len(), 1);
    let target = &targets[0];
    assert_eq!((target["status"].as_str(), &target["error_message"]), (Some("succeeded"), &Value::Null));
    assert_eq!((&target["app"]["id"], &target["pipeline_promotion"]["id"]), (&w.production["id"], &promotion["id"]));

    let release =
        w.t.get(&format!("/apps/shop-prod/releases/{}", target["release"]["id"].as_str().unwrap())).await.ok();
    assert_eq!(
        (release["description"].as_str(), release["version"].as_i64()),
        (Some("Promote shop-staging v3 5ec1351a"), Some(3))
    );
    assert_eq!(release["user"]["email"], "owner@example.com");
    let source = w.t.get("/apps/shop-staging/releases/3").await.ok();
    assert_eq!(promotion["source"]["release"]["id"], source["id"]);
    let vars = w.t.get("/apps/shop-prod/releases/3/config-vars").await.ok();
    assert_eq!(vars, json!({"NAME": "production"}));
    // The same bytes under the app's own slug.
    let slug =
        |app: &'static str, release: &Value| format!("/apps/{app}/slugs/{}", release["slug"]["id"].as_str().unwrap());
    let theirs = w.t.get(&slug("shop-prod", &release)).await.ok();
    let ours = w.t.get(&slug("shop-staging", &source)).await.ok();
    assert_eq!(
        (&theirs["checksum"], &theirs["commit"], &theirs["process_types"]),
        (&ours["checksum"], &ours["commit"], &ours["process_types"])
    );
    w.t.until_logged("shop-prod", "app[api]: Promote shop-staging v3 5ec1351a by user owner@example.com").await;
    w.t.until_logged("shop-prod", "app[api]: Release v3 created by user owner@example.com").await;
    w.t.patch("/apps/shop-prod/formation/worker", json!({"quantity": 1})).await.ok();
    w.t.until_dynos("shop-prod", &["worker.1 up"]).await;

    // Once more: another release of the same slug.
    let again = w.ended(&w.promote().await).await;
    let release =
        w.t.get(&format!("/apps/shop-prod/releases/{}", again[0]["release"]["id"].as_str().unwrap())).await.ok();
    assert_eq!((release["version"].as_i64(), &release["slug"]["id"]), (Some(4), &theirs["id"]));
    // And back from there: the app that built it has it already.
    let back = json!({"pipeline": {"id": w.pipeline}, "source": {"app": {"id": w.production["id"]}}, "targets": [{"app": {"id": w.staging["id"]}}]});
    let back = w.t.post("/pipeline-promotions", back).await.ok();
    let back = w.ended(&back).await;
    let release =
        w.t.get(&format!("/apps/shop-staging/releases/{}", back[0]["release"]["id"].as_str().unwrap())).await.ok();
    assert_eq!(
        (release["description"].as_str(), &release["slug"]["id"]),
        (Some("Promote shop-prod v4 5ec1351a"), &ours["id"])
    );
    // An earlier release, by its identity.
    w.t.deploy("shop-staging", &[("x", "2")], &WORKER).await;
    let mut body = w.body(&[&w.production]);
    body["source"]["release"] = json!({"id": source["id"]});
    let earlier = w.ended(&w.t.post("/pipeline-promotions", body).await.ok()).await;
    let release =
        w.t.get(&format!("/apps/shop-prod/releases/{}", earlier[0]["release"]["id"].as_str().unwrap())).await.ok();
    assert_eq!(
        (release["description"].as_str(), &release["slug"]["id"]),
        (Some("Promote shop-staging v3 5ec1351a"), &theirs["id"])
    );

    // What happened is told in order.
    let newest = w.t.get(&format!("/pipelines/{}/latest-releases", w.pipeline)).await.ok();
    let deployed = w.t.get(&format!("/pipelines/{}/latest-deployments", w.pipeline)).await.ok();
    let of =
        |list: &Value, app: &str| list.as_array().unwrap().iter().find(|r| r["app"]["name"] == app).unwrap().clone();
    w.t.patch("/apps/shop-prod/config-vars", json!({"A": "1"})).await.ok();
    assert_eq!(of(&newest, "shop-prod")["id"], release["id"]);
    assert_eq!(of(&deployed, "shop-prod")["description"], "Promote shop-staging v3 5ec1351a");
    let newest = w.t.get(&format!("/pipelines/{}/latest-releases", w.pipeline)).await.ok();
    assert_eq!(of(&newest, "shop-prod")["description"], "Set A config vars");
    let deployed = w.t.get(&format!("/pipelines/{}/latest-deployments", w.pipeline)).await.ok();
    assert!(of(&deployed, "shop-prod")["description"].as_str().unwrap().starts_with("Promote"));
    assert_eq!(w.t.get(&format!("/pipelines/{}/latest-builds", w.pipeline)).await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_promoted_is_refused() {
    let w = World::new(&WORKER).await;
    let outside = w.t.create("outside").await;
    let (_, why) = w.t.post("/pipeline-promotions", w.body(&[])).await.error(422);
    assert!(why.starts_with("targets"), "{why}");
    let (_, why) = w.t.post("/pipeline-promotions", w.body(&[&outside])).await.error(422);
    assert!(why.contains("in the pipeline shop"), "{why}");
    let (_, why) = w.t.post("/pipeline-promotions", w.body(&[&w.staging])).await.error(422);
    assert!(why.contains("to itself"), "{why}");
    // Nothing to promote: the other way round.
    let empty = json!({"pipeline": {"id": w.pipeline}, "source": {"app": {"id": w.production["id"]}}, "targets": [{"app": {"id": w.staging["id"]}}]});
    let (_, why) = w.t.post("/pipeline-promotions", empty).await.error(422);
    assert!(why.contains("shop-prod has no slug to promote"), "{why}");
    let mut body = w.body(&[&w.production]);
    body["source"] = json!({"app": {"id": outside["id"]}});
    let (_, why) = w.t.post("/pipeline-promotions", body).await.error(422);
    assert!(why.contains("outside is not in the pipeline"), "{why}");
    let mut body = w.body(&[&w.production]);
    body["source"]["release"] = json!({"id": Uuid::new_v4()});
    w.t.post("/pipeline-promotions", body).await.error(404);
    let mut body = w.body(&[&w.production]);
    let first = w.t.get("/apps/shop-prod/releases/1").await.ok();
    body["source"]["release"] = json!({"id": first["id"]});
    w.t.post("/pipeline-promotions", body).await.error(404);
    let mut body = w.body(&[&w.production]);
    body["pipeline"] = json!({"id": Uuid::new_v4()});
    w.t.post("/pipeline-promotions", body).await.error(404);
    let mut body = w.body(&[&w.production]);
    body["targets"][0]["app"]["id"] = json!(7);
    let (_, why) = w.t.post("/pipeline-promotions", body).await.error(422);
    assert!(why.starts_with("targets[0].app.id"), "{why}");
    assert_eq!(w.t.get("/apps/shop-prod/releases").await.ok().as_array().unwrap().len(), 1, "nothing was released");
    w.t.get(&format!("/pipeline-promotions/{}", Uuid::new_v4())).await.error(404);
    w.t.get("/pipeline-promotions/nope/promotion-targets").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_apps_that_one_may_deploy_to_are_promoted_to() {
    let w = World::new(&WORKER).await;
    let friend = w.t.other("friend@example.com").await;
    let send = |body: Value| {
        let body = Some(body.to_string().into_bytes());
        w.t.send("POST", "/pipeline-promotions", Some(&friend), body)
    };
    send(w.body(&[&w.production])).await.error(404);
    // They work on production only: the source is not theirs to take.
    w.t.post("/apps/shop-prod/collaborators", json!({"user": "friend@example.com"})).await.ok();
    send(w.body(&[&w.production])).await.error(403);
    w.t.delete("/apps/shop-prod/collaborators/friend@example.com").await.ok();
    // They work on staging only: production is told to be none of theirs.
    w.t.post("/apps/shop-staging/collaborators", json!({"user": "friend@example.com"})).await.ok();
    let promotion = send(w.body(&[&w.production])).await.ok();
    let targets = w.ended(&promotion).await;
    assert_eq!((targets[0]["status"].as_str(), &targets[0]["release"]), (Some("failed"), &Value::Null));
    assert_eq!(targets[0]["error_message"], "User does not have access to that app");
    assert_eq!(w.t.get("/apps/shop-prod/releases").await.ok().as_array().unwrap().len(), 1);
    let path = format!("/pipeline-promotions/{}", promotion["id"].as_str().unwrap());
    let stranger = w.t.other("stranger@example.com").await;
    w.t.send("GET", &path, Some(&stranger), None).await.error(404);
    w.t.send("GET", &format!("{path}/promotion-targets"), Some(&stranger), None).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_waits_for_its_release_phase_over_a_restart() {
    let mut w = World::new(&WITH_PHASE).await;
    let first = w.until_phase_runs("shop-staging").await;
    w.fake().exit(first, 0, false);
    w.t.until("staging to be released", || async {
        (w.t.get("/apps/shop-staging/releases/2").await.ok()["status"] == "succeeded").then_some(())
    })
    .await;

    let promotion = w.promote().await;
    let target = w.targets(&promotion).await.remove(0);
    assert_eq!(target["status"], "pending");
    let release = format!("/apps/shop-prod/releases/{}", target["release"]["id"].as_str().unwrap());
    let shown = w.t.get(&release).await.ok();
    assert_eq!(shown["status"], "pending");
    assert!(shown["output_stream_url"].as_str().unwrap().contains("/streams/releases/"), "{shown}");
    let dyno = w.until_phase_runs("shop-prod").await;
    w.t.restart().await;
    assert_eq!(w.targets(&promotion).await[0]["status"], "pending");
    w.fake().exit(dyno, 0, false);
    let target = w.ended(&promotion).await.remove(0);
    assert_eq!((target["status"].as_str(), &target["error_message"]), (Some("succeeded"), &Value::Null));

    // A phase that fails: what ran before goes on, and the target says why.
    let promotion = w.promote().await;
    let dyno = w.until_phase_runs("shop-prod").await;
    w.fake().exit(dyno, 3, false);
    let target = w.ended(&promotion).await.remove(0);
    assert_eq!(target["status"], "failed");
    assert_eq!(target["error_message"], "The release command exited with status 3.");
    let release = format!("/apps/shop-prod/releases/{}", target["release"]["id"].as_str().unwrap());
    assert_eq!(w.t.get(&release).await.ok()["status"], "failed");

    // An app that goes while its phase runs.
    let promotion = w.promote().await;
    w.until_phase_runs("shop-prod").await;
    w.t.delete("/apps/shop-prod").await.ok();
    let target = w.ended(&promotion).await.remove(0);
    assert_eq!(
        (target["status"].as_str(), target["error_message"].as_str()),
        (Some("failed"), Some("The app is gone."))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_was_only_written_down_is_made_by_the_next_daemon() {
    let mut w = World::new(&WORKER).await;
    let id = |value: &Value| value["id"].as_str().unwrap().parse::<Uuid>().unwrap();
    let source = w.t.get("/apps/shop-staging/releases/2").await.ok();
    let other = w.t.create("shop-eu").await;
    couple(&w.t, &w.pipeline, "shop-eu", "production").await;
    let p = w.t.platform().clone();
    let actor: Actor = w.t.actor().await;
    let promotion = promotions::Promotion {
        id: Uuid::now_v7(),
        pipeline_id: w.pipeline.parse().unwrap(),
        source_app_id: id(&w.staging),
        source_release_id: id(&source),
        slug_id: id(&source["slug"]),
        description: "Promote shop-staging v2 5ec1351a".into(),
        user_id: actor.user.id,
        status: "pending".into(),
        created_at: p.cx.now(),
        updated_at: p.cx.now(),
    };
    // As a daemon that is killed right after the first of two releases leaves it.
    let mut tx = p.db.begin().await.unwrap();
    promotions::insert(&mut tx, &promotion).await.unwrap();
    for app in [&w.production, &other] {
        let target = promotions::Target {
            id: Uuid::now_v7(),
            promotion_id: promotion.id,
            app_id: id(app),
            status: "pending".into(),
            error_message: None,
            release_id: None,
        };
        promotions::insert_target(&mut tx, &target).await.unwrap();
    }
    tx.commit(None).await.unwrap();
    drop(p);
    w.t.restart().await;
    let targets = w.ended(&json!({"id": promotion.id})).await;
    assert!(targets.iter().all(|target| target["status"] == "succeeded"), "{targets:?}");
    // Whoever looks at once and again: each app gets one release.
    let p = w.t.platform();
    let (a, b) = tokio::join!(
        ops::pipelines::promotions::advance(p, &promotion),
        ops::pipelines::promotions::advance(p, &promotion)
    );
    a.unwrap();
    b.unwrap();
    for app in ["shop-prod", "shop-eu"] {
        let releases = w.t.get(&format!("/apps/{app}/releases")).await.ok();
        assert_eq!(releases.as_array().unwrap().len(), 2, "{releases}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_make_a_promotion_at_once_release_once() {
    let w = World::new(&WORKER).await;
    let promotion = w.promote().await;
    let target = w.ended(&promotion).await.remove(0);
    // As it was before anything was made.
    let p = w.t.platform();
    let source = w.t.get("/apps/shop-staging/releases/2").await.ok();
    let row = promotions::Promotion {
        id: Uuid::now_v7(),
        ..promotions::by_id(&mut p.db.read().await.unwrap(), promotion["id"].as_str().unwrap().parse().unwrap())
            .await
            .unwrap()
            .unwrap()
    };
    let mut tx = p.db.begin().await.unwrap();
    promotions::insert(&mut tx, &promotions::Promotion { status: "completed".into(), ..row.clone() }).await.unwrap();
    let fresh = promotions::Target {
        id: Uuid::now_v7(),
        promotion_id: row.id,
        app_id: target["app"]["id"].as_str().unwrap().parse().unwrap(),
        status: "pending".into(),
        error_message: None,
        release_id: None,
    };
    promotions::insert_target(&mut tx, &fresh).await.unwrap();
    tx.commit(None).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..8 {
        let (p, row) = (p.clone(), row.clone());
        all.push(tokio::spawn(async move { ops::pipelines::promotions::advance(&p, &row).await.unwrap() }));
    }
    for one in all {
        one.await.unwrap();
    }
    let releases = w.t.get("/apps/shop-prod/releases").await.ok();
    assert_eq!(releases.as_array().unwrap().len(), 3, "{source} {releases}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_does_not_mind_when_the_source_goes() {
    let w = World::new(&WORKER).await;
    w.ended(&w.promote().await).await;
    w.t.patch("/apps/shop-prod/formation/worker", json!({"quantity": 1})).await.ok();
    w.t.until_dynos("shop-prod", &["worker.1 up"]).await;
    w.t.destroy("shop-staging").await;
    let p = w.t.platform();
    tasks::cleanup::pass(p).await.unwrap();
    tasks::slugs::sweep(p).await.unwrap();
    // Nothing of it is unpacked any more: what runs next comes from the bytes.
    let release = w.t.get("/apps/shop-prod/releases/2").await.ok();
    let slug: Uuid = release["slug"]["id"].as_str().unwrap().parse().unwrap();
    let row = store::slugs::by_id(&mut p.db.read().await.unwrap(), slug).await.unwrap().unwrap();
    p.slugs.evict(slug, async { false }).await.unwrap();
    let dir = p.slugs.ensure(slug, row.sha256.as_deref().unwrap()).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("x")).unwrap(), "1");
    w.t.delete("/apps/shop-prod/dynos").await.ok();
    w.t.until_dynos("shop-prod", &["worker.1 up"]).await;
    // With the last app that has it, it goes.
    let sha256 = row.sha256.unwrap();
    w.t.destroy("shop-prod").await;
    w.t.until("the bytes to go", || async { p.slug_store.get(&sha256).await.err().map(|_| ()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_of_another_app_is_released_by_whoever_may_see_it() {
    let w = World::new(&WORKER).await;
    let slug = w.t.get("/apps/shop-staging/releases/2").await.ok()["slug"]["id"].clone();
    let body = json!({"slug": slug, "description": "Copy of staging"});
    let friend = w.t.other("friend@example.com").await;
    let theirs = Some(json!({"name": "theirs"}).to_string().into_bytes());
    w.t.send("POST", "/apps", Some(&friend), theirs).await.ok();
    let sent = Some(body.to_string().into_bytes());
    w.t.send("POST", "/apps/theirs/releases", Some(&friend), sent.clone()).await.error(404);
    w.t.post("/apps/shop-staging/collaborators", json!({"user": "friend@example.com"})).await.ok();
    w.t.send("POST", "/apps/theirs/releases", Some(&friend), sent).await.ok();
    let released = w.t.post("/apps/shop-prod/releases", body).await.ok();
    assert_eq!((released["description"].as_str(), released["version"].as_i64()), (Some("Copy of staging"), Some(2)));
    assert_ne!(released["slug"]["id"], slug, "the app has its own");
    w.t.get(&format!("/apps/shop-prod/slugs/{}", released["slug"]["id"].as_str().unwrap())).await.ok();
    w.t.post("/apps/shop-prod/releases", json!({"slug": Uuid::new_v4()})).await.error(404);
    // One without bytes is nothing to run.
    let empty = w.t.post("/apps/shop-staging/slugs", json!({"process_types": {"web": "x"}})).await.ok();
    w.t.post("/apps/shop-prod/releases", json!({"slug": empty["id"]})).await.error(422);
}
