//! Pipelines: themselves, the apps in them, their config vars by stage, to whom they belong.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{people::Person, util::TestApp};

/// A request by another account.
async fn by(t: &TestApp, token: &str, method: &str, path: &str, body: Value) -> crate::util::Answer {
    let body = (method != "GET").then(|| body.to_string().into_bytes());
    t.send(method, path, Some(token), body).await
}

/// A pipeline of this name.
pub(super) async fn pipeline(t: &TestApp, name: &str) -> String {
    t.post("/pipelines", json!({"name": name})).await.ok()["id"].as_str().unwrap().to_owned()
}

/// Puts an app into a pipeline.
pub(super) async fn couple(t: &TestApp, pipeline: &str, app: &str, stage: &str) -> Value {
    t.post("/pipeline-couplings", json!({"pipeline": pipeline, "app": app, "stage": stage})).await.ok()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_made_found_renamed_and_destroyed() {
    let t = TestApp::fake().await;
    let account = t.get("/account").await.ok();
    let owner = json!({"id": account["id"], "type": "user"});
    let answer = t.post("/pipelines", json!({"name": "shop", "owner": owner, "generation": {"name": "cedar"}})).await;
    assert_eq!(answer.status, 201);
    let made = answer.ok();
    assert_eq!(made["owner"], owner);
    assert_eq!(made["generation"]["name"], "cedar");
    let id = made["id"].as_str().unwrap();
    assert_eq!(t.get(&format!("/pipelines/{id}")).await.ok(), made);
    assert_eq!(t.get("/pipelines/shop").await.ok(), made);
    assert_eq!(t.get("/pipelines?eq[name]=shop").await.ok(), json!([made]));
    assert_eq!(t.get("/pipelines?eq%5Bname%5D=nope").await.ok(), json!([]));
    assert_eq!(t.get("/pipelines").await.ok(), json!([made]));
    let stack = t.get("/pipelines/shop/pipeline-stack").await.ok();
    assert_eq!(stack["stack"]["name"], "debian-12");

    for bad in ["ab", "Shop", "1shop", "a-name-that-is-far-too-long-for-it", "shop\u{0}"] {
        t.post("/pipelines", json!({"name": bad})).await.error(422);
    }
    t.post("/pipelines", json!({})).await.error(422);
    let (_, why) = t.post("/pipelines", json!({"name": 3})).await.error(422);
    assert!(why.starts_with("name"), "{why}");
    let (_, why) =
        t.post("/pipelines", json!({"name": "other", "owner": {"id": account["id"], "type": "x"}})).await.error(422);
    assert!(why.starts_with("owner.type"), "{why}");
    let nobody = json!({"id": Uuid::new_v4(), "type": "user"});
    t.post("/pipelines", json!({"name": "other", "owner": nobody})).await.error(422);
    let (_, why) = t.post("/pipelines", json!({"name": "shop"})).await.error(422);
    assert_eq!(why, "Name shop is already taken.");

    pipeline(&t, "blog").await;
    t.patch("/pipelines/shop", json!({"name": "blog"})).await.error(422);
    let renamed = t.patch("/pipelines/shop", json!({"name": "store"})).await.ok();
    assert_eq!((renamed["name"].as_str(), &renamed["id"]), (Some("store"), &made["id"]));
    t.get("/pipelines/shop").await.error(404);
    let gone = t
        .send("DELETE", &format!("/pipelines/{id}"), Some(&t.token), Some(br#"{"name": "store"}"#.to_vec()))
        .await
        .ok();
    assert_eq!(gone["id"], made["id"]);
    let (kind, why) = t.get(&format!("/pipelines/{id}")).await.error(404);
    assert_eq!((kind.as_str(), why.as_str()), ("not_found", "Couldn't find that pipeline."));
    t.delete(&format!("/pipelines/{id}")).await.error(404);
    t.get("/pipelines/%00").await.error(404);
    t.get("/pipelines?eq[name]=%00").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_in_one_pipeline_at_one_stage() {
    let t = TestApp::fake().await;
    let (shop, blog) = (pipeline(&t, "shop").await, pipeline(&t, "blog").await);
    t.create("shop-staging").await;
    let app = t.create("shop-prod").await;
    let answer =
        t.post("/pipeline-couplings", json!({"pipeline": shop, "app": "shop-staging", "stage": "development"})).await;
    assert_eq!(answer.status, 201);
    let first = answer.ok();
    let second = couple(&t, "shop", app["id"].as_str().unwrap(), "production").await;
    assert_eq!((second["stage"].as_str(), second["pipeline"]["name"].as_str()), (Some("production"), Some("shop")));
    assert_eq!((&second["app"]["id"], &second["pipeline"]["id"]), (&app["id"], &json!(shop)));

    let body = |app: &str, stage: &str| json!({"pipeline": blog, "app": app, "stage": stage});
    let (_, why) = t.post("/pipeline-couplings", body("shop-prod", "staging")).await.error(422);
    assert!(why.contains("in the pipeline shop already"), "{why}");
    let (_, why) = t.post("/pipeline-couplings", body("shop-prod", "live")).await.error(422);
    assert!(why.starts_with("stage"), "{why}");
    t.post("/pipeline-couplings", body("nope", "staging")).await.error(404);
    t.post("/pipeline-couplings", json!({"pipeline": Uuid::new_v4(), "app": "shop-prod", "stage": "review"}))
        .await
        .error(404);

    let coupling = format!("/pipeline-couplings/{}", first["id"].as_str().unwrap());
    assert_eq!(t.get(&coupling).await.ok(), first);
    assert_eq!(t.get("/apps/shop-staging/pipeline-couplings").await.ok(), first, "one object, no list");
    let moved = t.patch(&coupling, json!({"stage": "staging"})).await.ok();
    assert_eq!((moved["stage"].as_str(), &moved["id"]), (Some("staging"), &first["id"]));
    assert_eq!(t.patch(&coupling, json!({})).await.ok(), moved);
    t.patch(&coupling, json!({"stage": null})).await.ok();
    t.patch(&coupling, json!({"stage": 1})).await.error(422);
    for all in [
        format!("/pipelines/{shop}/pipeline-couplings"),
        "/pipeline-couplings".into(),
        "/users/~/pipeline-couplings".into(),
    ] {
        assert_eq!(t.get(&all).await.ok(), json!([moved, second]), "{all}");
    }
    t.get("/users/somebody/pipeline-couplings").await.error(404);
    t.get("/teams/nope/pipeline-couplings").await.error(404);
    assert_eq!(t.get(&format!("/pipelines/{blog}/pipeline-couplings")).await.ok(), json!([]));
    t.until_logged("shop-staging", "app[api]: Add to pipeline shop at development by user owner@example.com").await;
    t.until_logged("shop-staging", "Move to staging of pipeline shop").await;

    assert_eq!(t.delete(&coupling).await.ok()["id"], first["id"]);
    t.delete(&coupling).await.error(404);
    t.get("/apps/shop-staging/pipeline-couplings").await.error(404);
    t.until_logged("shop-staging", "Remove from pipeline shop").await;
    // An app that goes leaves its pipeline, and a pipeline that goes leaves its apps.
    t.delete("/apps/shop-prod").await.ok();
    assert_eq!(t.get(&format!("/pipelines/{shop}/pipeline-couplings")).await.ok(), json!([]));
    couple(&t, &shop, "shop-staging", "staging").await;
    t.delete(&format!("/pipelines/{shop}")).await.ok();
    t.get("/apps/shop-staging/pipeline-couplings").await.error(404);
    couple(&t, &blog, "shop-staging", "production").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_see_no_pipeline_and_those_who_work_on_an_app_of_it_do() {
    let t = TestApp::fake().await;
    let shop = pipeline(&t, "shop").await;
    t.create("shop-staging").await;
    t.create("shop-prod").await;
    let coupling = couple(&t, &shop, "shop-staging", "staging").await;
    let other = couple(&t, &shop, "shop-prod", "production").await;
    let (one, two) = (
        format!("/pipeline-couplings/{}", coupling["id"].as_str().unwrap()),
        format!("/pipeline-couplings/{}", other["id"].as_str().unwrap()),
    );
    let path = format!("/pipelines/{shop}");
    let config = format!("{path}/stage/test/config-vars");
    let stranger = t.other("stranger@example.com").await;
    let reading = [
        path.clone(),
        config.clone(),
        format!("{path}/pipeline-couplings"),
        format!("{path}/latest-releases"),
        format!("{path}/latest-builds"),
        format!("{path}/latest-deployments"),
        format!("{path}/pipeline-stack"),
        one.clone(),
    ];
    for path in &reading {
        by(&t, &stranger, "GET", path, Value::Null).await.error(404);
        t.send("GET", path, None, None).await.error(401);
    }
    by(&t, &stranger, "PATCH", &path, json!({"name": "mine"})).await.error(404);
    by(&t, &stranger, "DELETE", &path, json!({})).await.error(404);
    by(&t, &stranger, "PATCH", &config, json!({"A": "1"})).await.error(404);
    by(&t, &stranger, "PATCH", &one, json!({"stage": "test"})).await.error(404);
    by(&t, &stranger, "DELETE", &one, json!({})).await.error(404);
    assert_eq!(by(&t, &stranger, "GET", "/pipelines", Value::Null).await.ok(), json!([]));
    assert_eq!(by(&t, &stranger, "GET", "/pipelines?eq[name]=shop", Value::Null).await.ok(), json!([]));
    assert_eq!(by(&t, &stranger, "GET", "/pipeline-couplings", Value::Null).await.ok(), json!([]));
    // Their own app can't go into it, nor one of ours into theirs.
    by(&t, &stranger, "POST", "/apps", json!({"name": "theirs"})).await.ok();
    by(&t, &stranger, "POST", "/pipeline-couplings", json!({"pipeline": shop, "app": "theirs", "stage": "review"}))
        .await
        .error(404);
    by(&t, &stranger, "POST", "/pipelines", json!({"name": "shop"})).await.ok();
    by(
        &t,
        &stranger,
        "POST",
        "/pipeline-couplings",
        json!({"pipeline": "shop", "app": "shop-prod", "stage": "review"}),
    )
    .await
    .error(403);
    let account = t.get("/account").await.ok();
    by(&t, &stranger, "POST", "/pipelines", json!({"name": "gift", "owner": {"id": account["id"], "type": "user"}}))
        .await
        .error(403);

    t.post("/apps/shop-staging/collaborators", json!({"user": "stranger@example.com"})).await.ok();
    for path in &reading {
        by(&t, &stranger, "GET", path, Value::Null).await.ok();
    }
    assert_eq!(names(&by(&t, &stranger, "GET", "/pipelines", Value::Null).await.ok()), ["shop", "shop"]);
    by(&t, &stranger, "PATCH", &path, json!({"name": "mine"})).await.error(403);
    by(&t, &stranger, "DELETE", &path, json!({})).await.error(403);
    by(&t, &stranger, "PATCH", &config, json!({"A": "1"})).await.ok();
    by(&t, &stranger, "PATCH", &two, json!({"stage": "test"})).await.error(403);
    by(&t, &stranger, "DELETE", &two, json!({})).await.error(403);
    by(&t, &stranger, "PATCH", &one, json!({"stage": "development"})).await.ok();
    by(&t, &stranger, "DELETE", &one, json!({})).await.ok();
    by(&t, &stranger, "GET", &path, Value::Null).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn config_vars_of_a_stage_are_kept_sealed() {
    let mut t = TestApp::fake().await;
    let shop = pipeline(&t, "shop").await;
    let of = |stage: &str| format!("/pipelines/{shop}/stage/{stage}/config-vars");
    assert_eq!(t.get(&of("test")).await.ok(), json!({}));
    let set = t.patch(&of("test"), json!({"RAILS_ENV": "test", "KEY": "geheim-geheim"})).await.ok();
    assert_eq!(set, json!({"RAILS_ENV": "test", "KEY": "geheim-geheim"}));
    t.patch(&of("review"), json!({"KEY": "another"})).await.ok();
    assert_eq!(
        t.patch(&of("test"), json!({"RAILS_ENV": null, "NOPE": null})).await.ok(),
        json!({"KEY": "geheim-geheim"})
    );
    t.patch(&of("test"), json!({"1X": "y"})).await.error(422);
    t.patch(&of("test"), json!({"X": {}})).await.error(422);
    t.patch(&of("test"), json!({"X": "y".repeat(70_000)})).await.error(422);
    t.patch(&of("live"), json!({"X": "y"})).await.error(422);
    t.get(&of("live")).await.error(422);
    t.restart().await;
    assert_eq!(t.get(&of("test")).await.ok(), json!({"KEY": "geheim-geheim"}));
    assert_eq!(t.get(&of("review")).await.ok(), json!({"KEY": "another"}));
    let rows = paas_daemon::store::pipelines::config(
        &mut t.platform().db.read().await.unwrap(),
        shop.parse().unwrap(),
        "test",
    )
    .await
    .unwrap();
    assert!(rows.iter().all(|(_, value)| !String::from_utf8_lossy(value).contains("geheim")), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_given_away_with_its_owners_apps() {
    let t = TestApp::fake().await;
    let shop = pipeline(&t, "shop").await;
    for app in ["shop-staging", "shop-prod"] {
        t.create(app).await;
        couple(&t, &shop, app, if app == "shop-prod" { "production" } else { "staging" }).await;
    }
    let new = t.other("new@example.com").await;
    let account = t.get("/account").await.ok();
    let heir = by(&t, &new, "GET", "/account", Value::Null).await.ok();
    let owner = |account: &Value| json!({"id": account["id"], "type": "user"});
    let body = |to: Value| json!({"pipeline": {"id": shop}, "new_owner": to});
    by(&t, &new, "POST", "/pipeline-transfers", body(owner(&heir))).await.error(404);
    t.post("/pipeline-transfers", body(owner(&account))).await.error(422);
    t.post("/pipeline-transfers", body(json!({"id": Uuid::new_v4(), "type": "user"}))).await.error(422);
    t.post("/pipeline-transfers", body(json!({"id": Uuid::new_v4(), "type": "team"}))).await.error(422);
    t.post("/pipeline-transfers", body(json!({"id": "x", "type": "user"}))).await.error(422);
    // They have one of that name.
    by(&t, &new, "POST", "/pipelines", json!({"name": "shop"})).await.ok();
    t.post("/pipeline-transfers", body(owner(&heir))).await.error(422);
    assert_eq!(t.get("/apps/shop-prod").await.ok()["owner"]["email"], "owner@example.com", "nothing has moved");
    by(&t, &new, "PATCH", "/pipelines/shop", json!({"name": "old-shop"})).await.ok();

    // One of its apps is promised to somebody else: none is offered.
    t.other("third@example.com").await;
    let offer = json!({"app": "shop-prod", "recipient": "third@example.com"});
    t.post("/account/app-transfers", offer).await.ok();
    assert!(t.post("/pipeline-transfers", body(owner(&heir))).await.error(422).1.contains("shop-prod"));
    assert_eq!(by(&t, &new, "GET", "/account/app-transfers", Value::Null).await.ok(), json!([]));
    t.delete("/account/app-transfers/shop-prod").await.ok();

    let answer = t.post("/pipeline-transfers", body(owner(&heir))).await;
    assert_eq!(answer.status, 201);
    let given = answer.ok();
    assert_eq!((&given["previous_owner"], &given["new_owner"]), (&owner(&account), &owner(&heir)));
    assert_eq!(given["pipeline"]["id"], json!(shop));
    // The pipeline is the heir's; the apps are theirs when they take them.
    assert_eq!(t.get("/apps/shop-prod").await.ok()["owner"]["email"], "owner@example.com");
    for app in ["shop-prod", "shop-staging"] {
        let offer = format!("/account/app-transfers/{app}");
        by(&t, &new, "PATCH", &offer, json!({"state": "accepted"})).await.ok();
    }
    assert_eq!(by(&t, &new, "GET", "/apps/shop-prod", Value::Null).await.ok()["owner"]["id"], heir["id"]);
    // Who had them goes on working on them, and owns nothing.
    assert_eq!(t.get(&format!("/pipelines/{shop}")).await.ok()["owner"], owner(&heir));
    t.delete(&format!("/pipelines/{shop}")).await.error(403);
    t.delete("/apps/shop-prod").await.error(403);
    by(&t, &new, "DELETE", &format!("/pipelines/{shop}"), json!({})).await.ok();
    by(&t, &new, "DELETE", "/apps/shop-prod", json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teams_pipeline_is_its_members_to_see_and_its_admins_to_change() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let (ann, bob, vic, eve) = (
        Person::new(&t, "ann").await,
        Person::new(&t, "bob").await,
        Person::new(&t, "vic").await,
        Person::new(&t, "eve").await,
    );
    let crew = root.post("/teams", json!({"name": "crew"})).await.ok();
    for (who, role) in [("ann", "admin"), ("bob", "member"), ("vic", "viewer")] {
        let body = json!({"email": format!("{who}@example.com"), "role": role});
        root.put("/teams/crew/members", body).await.ok();
    }
    let owner = json!({"id": crew["id"], "type": "team"});
    let body = json!({"name": "fleet", "owner": owner});
    eve.post("/pipelines", body.clone()).await.error(403);
    vic.post("/pipelines", body.clone()).await.error(403);
    let made = bob.post("/pipelines", body.clone()).await.ok();
    assert_eq!(made["owner"], owner);
    ann.post("/pipelines", body.clone()).await.error(422);
    let path = format!("/pipelines/{}", made["id"].as_str().unwrap());
    for (who, role) in [(&ann, "ann"), (&bob, "bob"), (&vic, "vic")] {
        who.get(&path).await.ok();
        assert_eq!(who.names("/pipelines", "name").await, ["fleet"], "{role}");
    }
    eve.get(&path).await.error(404);
    assert_eq!(eve.get("/pipelines").await.ok(), json!([]));

    bob.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    let coupling = json!({"pipeline": made["id"], "app": "boat", "stage": "staging"});
    vic.post("/pipeline-couplings", coupling.clone()).await.error(403);
    let coupling = bob.post("/pipeline-couplings", coupling).await.ok();
    assert_eq!(vic.get("/teams/crew/pipeline-couplings").await.ok(), json!([coupling]));
    eve.get("/teams/crew/pipeline-couplings").await.error(403);
    bob.patch(&path, json!({"name": "ships"})).await.error(403);
    bob.delete(&path).await.error(403);
    ann.patch(&path, json!({"name": "ships"})).await.ok();
    let config = format!("{path}/stage/test/config-vars");
    vic.get(&config).await.error(403);
    vic.patch(&config, json!({"A": "1"})).await.error(403);
    ann.patch(&config, json!({"A": "1"})).await.ok();

    // Nor is to be in the team to have what is in the pipeline: not by way of an app that one makes.
    let (zed, made_here) = (Person::new(&t, "zed").await, json!({"name": "zeds", "team": "crew"}));
    root.put("/teams/crew/members", json!({"email": "zed@example.com", "role": "member"})).await.ok();
    zed.post("/teams/apps", made_here).await.ok();
    let zeds = json!({"pipeline": made["id"], "app": "zeds", "stage": "production"});
    zed.post("/pipeline-couplings", zeds).await.error(403);
    zed.get(&config).await.error(403);
    zed.delete("/apps/zeds").await.ok();

    // To see an app is not to have its code: not by way of one's own app either, which only those
    // who work in the pipeline can bring into it.
    let own = vic.post("/apps", json!({"name": "vics"})).await.ok();
    let vics = json!({"pipeline": made["id"], "app": "vics", "stage": "production"});
    vic.post("/pipeline-couplings", vics.clone()).await.error(403);
    vic.post("/apps/vics/collaborators", json!({"user": "bob@example.com"})).await.ok();
    bob.post("/pipeline-couplings", vics).await.ok();
    // It gives her nothing in it.
    vic.get(&config).await.error(403);
    vic.patch(&config, json!({"A": "2"})).await.error(403);
    vic.get(&format!("{path}/repo/branches")).await.error(403);
    vic.post(&format!("{path}/repo"), json!({"repo_url": "vics"})).await.error(403);
    let review = json!({"branch": "b", "pipeline": made["id"], "source_blob": {"url": "https://example.com/x.tgz"}});
    vic.post("/review-apps", review).await.error(403);
    // Nor does it to see one of the apps.
    bob.post("/teams/apps/boat/collaborators", json!({"user": "eve@example.com", "permissions": ["view"]})).await.ok();
    eve.get(&path).await.ok();
    eve.post("/apps", json!({"name": "eves"})).await.ok();
    let eves = json!({"pipeline": made["id"], "app": "eves", "stage": "review"});
    eve.post("/pipeline-couplings", eves).await.error(403);
    bob.delete("/teams/apps/boat/collaborators/eve@example.com").await.ok();
    let source = json!({"app": {"id": coupling["app"]["id"]}});
    let taking = json!({"pipeline": {"id": made["id"]}, "source": source, "targets": [{"app": {"id": own["id"]}}]});
    vic.post("/pipeline-promotions", taking).await.error(403);
    vic.delete("/apps/vics").await.ok();

    // Out of the team with its app, and back.
    let eves = eve.get("/account").await.ok();
    let to_eve = json!({"pipeline": {"id": made["id"]}, "new_owner": {"id": eves["id"], "type": "user"}});
    bob.post("/pipeline-transfers", to_eve.clone()).await.error(403);
    ann.post("/pipeline-transfers", to_eve).await.ok();
    let app = eve.get("/apps/boat").await.ok();
    assert_eq!((&app["team"], app["owner"]["email"].as_str()), (&Value::Null, Some("eve@example.com")));
    bob.get(&path).await.error(404);
    let back = json!({"pipeline": {"id": made["id"]}, "new_owner": owner});
    eve.post("/pipeline-transfers", back.clone()).await.error(403);
    root.put("/teams/crew/members", json!({"email": "eve@example.com", "role": "member"})).await.ok();
    eve.post("/pipeline-transfers", back).await.ok();
    assert_eq!(bob.get("/apps/boat").await.ok()["team"]["name"], "crew");
    eve.delete(&path).await.error(403);

    ann.delete("/apps/boat").await.ok();
    let crew_id: Uuid = crew["id"].as_str().unwrap().parse().unwrap();
    t.until("the app to be gone", || async {
        let mut c = t.platform().db.read().await.unwrap();
        (paas_daemon::store::apps::count_of_team(&mut c, crew_id).await.unwrap() == 0).then_some(())
    })
    .await;
    // A team with a pipeline stays.
    let (_, why) = ann.delete("/teams/crew").await.error(422);
    assert!(why.contains("still has pipelines (1)"), "{why}");
    ann.delete(&path).await.ok();
    ann.delete("/teams/crew").await.ok();
    let (_, why) = root.post("/pipelines", body).await.error(422);
    assert!(why.contains("there is no team"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_pipelines_stays_until_they_are_somebody_elses() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let shop = pipeline(&t, "shop").await;
    let body = json!({"password": "correct horse"});
    let (_, why) = Person::owner(&t).send("DELETE", "/account", body.clone()).await.error(422);
    assert!(why.contains("still owns the pipeline shop"), "{why}");
    let roots = root.get("/account").await.ok();
    let to_root = json!({"pipeline": {"id": shop}, "new_owner": {"id": roots["id"], "type": "user"}});
    t.post("/pipeline-transfers", to_root).await.ok();
    Person::owner(&t).send("DELETE", "/account", body).await.ok();
}
