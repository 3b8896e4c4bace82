//! Apps that change hands.

use paas_daemon::store;
use serde_json::json;

use crate::{people::Person, util::TestApp};

const TRANSFERS: &str = "/account/app-transfers";

#[tokio::test(flavor = "multi_thread")]
async fn from_account_to_account_when_who_gets_it_agrees() {
    let mut t = TestApp::fake().await;
    t.create("boat").await;
    let offered = {
        let (owner, ann, eve) = (Person::owner(&t), Person::new(&t, "ann").await, Person::new(&t, "eve").await);
        for body in [json!({}), json!({"app": "boat"}), json!({"app": "boat", "recipient": 1})] {
            owner.post(TRANSFERS, body).await.error(422);
        }
        owner.post(TRANSFERS, json!({"app": "boat", "recipient": "nobody@example.com"})).await.error(404);
        owner.post(TRANSFERS, json!({"app": "none", "recipient": "ann@example.com"})).await.error(404);
        owner.post(TRANSFERS, json!({"app": "boat", "recipient": "~"})).await.error(422);
        eve.post(TRANSFERS, json!({"app": "boat", "recipient": "~"})).await.error(403);
        let offer = json!({"app": "boat", "recipient": "ann@example.com"});
        let offered = owner.post(TRANSFERS, offer.clone()).await;
        assert_eq!(offered.status, 201);
        let offered = offered.ok();
        assert_eq!((&offered["state"], &offered["owner"]["email"]), (&json!("pending"), &json!("owner@example.com")));
        assert_eq!(owner.post(TRANSFERS, offer).await.ok()["id"], offered["id"], "said twice is said once");
        owner.post(TRANSFERS, json!({"app": "boat", "recipient": "eve@example.com"})).await.error(422);
        // Both know of it, nobody else does.
        assert_eq!(owner.get(TRANSFERS).await.ok().as_array().unwrap().len(), 1);
        let one = format!("{TRANSFERS}/{}", offered["id"].as_str().unwrap());
        assert_eq!(ann.get(&one).await.ok(), offered);
        assert_eq!(ann.get(&format!("{TRANSFERS}/boat")).await.ok(), offered);
        eve.get(&one).await.error(404);
        ann.get("/apps/boat").await.error(403);
        // Only who gets it can take it.
        owner.patch(&one, json!({"state": "accepted"})).await.error(403);
        ann.patch(&one, json!({"state": "pending"})).await.error(422);
        ann.patch(&one, json!({"state": "maybe"})).await.error(422);
        ann.delete(&one).await.error(403);
        assert_eq!(ann.patch(&one, json!({"state": "declined"})).await.ok()["state"], "declined");
        ann.patch(&one, json!({"state": "declined"})).await.ok();
        ann.patch(&one, json!({"state": "accepted"})).await.error(422);
        owner.delete(&one).await.error(422);
        let again = owner.post(TRANSFERS, json!({"app": "boat", "recipient": "ann@example.com"})).await.ok();
        owner.delete(&format!("{TRANSFERS}/{}", again["id"].as_str().unwrap())).await.ok();
        owner.post(TRANSFERS, json!({"app": "boat", "recipient": "ann@example.com"})).await.ok()
    };
    t.restart().await;
    let (owner, ann) = (Person::owner(&t), Person::new(&t, "ann").await);
    let one = format!("{TRANSFERS}/{}", offered["id"].as_str().unwrap());
    assert_eq!(ann.patch(&one, json!({"state": "accepted"})).await.ok()["state"], "accepted");
    assert_eq!(ann.get("/apps/boat").await.ok()["owner"]["email"], "ann@example.com");
    // Who had it goes on working on it.
    owner.patch("/apps/boat/config-vars", json!({"A": "1"})).await.ok();
    owner.patch("/apps/boat", json!({"name": "mine"})).await.error(403);
    assert_eq!(ann.names("/apps/boat/collaborators", "role").await, ["owner", "collaborator"]);
    let id = ann.get("/apps/boat").await.ok()["id"].as_str().unwrap().parse().unwrap();
    let events = store::events::list(&mut t.platform().db.read().await.unwrap(), id, 0).await.unwrap();
    let kinds: Vec<&str> =
        events.iter().map(|event| event.kind.as_str()).filter(|kind| kind.starts_with("app_transfer")).collect();
    assert_eq!(
        kinds,
        [
            "app_transfer.create",
            "app_transfer.update",
            "app_transfer.create",
            "app_transfer.destroy",
            "app_transfer.create",
            "app_transfer.update"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_team_and_from_it_at_once() {
    let t = TestApp::fake().await;
    t.create("boat").await;
    let (root, owner) = (Person::admin(&t, "root").await, Person::owner(&t));
    let (ann, kim) = (Person::new(&t, "ann").await, Person::new(&t, "kim").await);
    root.post("/teams", json!({"name": "crew"})).await.ok();
    owner.post("/apps/boat/collaborators", json!({"user": "kim@example.com"})).await.ok();
    owner.post(TRANSFERS, json!({"app": "boat", "recipient": "ann@example.com"})).await.ok();
    let app = "/teams/apps/boat";
    // Only to where one may make apps.
    owner.patch(app, json!({"owner": "crew"})).await.error(403);
    owner.patch(app, json!({"owner": "none"})).await.error(404);
    owner.patch(app, json!({"owner": 5})).await.error(422);
    let (_, why) = owner.patch(app, json!({"owner": "ann@example.com"})).await.error(422);
    assert!(why.contains("agree"), "{why}");
    root.put("/teams/crew/members", json!({"email": "owner@example.com", "role": "member"})).await.ok();
    root.put("/teams/crew/members", json!({"email": "ann@example.com", "role": "member"})).await.ok();
    kim.patch(app, json!({"owner": "default"})).await.error(403);
    let moved = owner.patch(app, json!({"owner": "crew"})).await.ok();
    assert_eq!((&moved["team"]["name"], &moved["owner"]["email"]), (&json!("crew"), &json!("crew@herokumanager.com")));
    owner.patch(app, json!({"owner": "crew"})).await.error(422);
    // The offer is void, its owner manages it still, who worked on it does so still.
    assert_eq!(ann.get(TRANSFERS).await.ok(), json!([]));
    owner.post(TRANSFERS, json!({"app": "boat", "recipient": "ann@example.com"})).await.error(422);
    owner.patch("/apps/boat", json!({"name": "ship"})).await.ok();
    kim.patch("/apps/ship/config-vars", json!({"A": "1"})).await.ok();
    ann.get("/apps/ship/config-vars").await.error(403);
    assert_eq!(owner.names("/apps/ship/collaborators", "role").await, ["owner", "collaborator", "member"]);
    let ship = "/teams/apps/ship";
    owner.patch(ship, json!({"locked": true})).await.ok();
    ann.patch(ship, json!({"owner": "~"})).await.error(403);
    // To an account: its collaborators go.
    let back = owner.patch(ship, json!({"owner": "ann@example.com"})).await.ok();
    assert_eq!((&back["team"], &back["locked"], &back["joined"]), (&json!(null), &json!(false), &json!(false)));
    assert_eq!(ann.names("/apps/ship/collaborators", "role").await, ["owner"]);
    owner.get("/apps/ship").await.error(403);
    kim.get("/apps/ship").await.error(403);
    // An administrator takes what they like.
    assert_eq!(root.post(TRANSFERS, json!({"app": "ship", "recipient": "~"})).await.ok()["state"], "accepted");
    assert_eq!(root.get("/apps/ship").await.ok()["owner"]["email"], "root@example.com");
    ann.get("/apps/ship").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_of_a_team_is_not_its_members() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    root.post("/teams", json!({"name": "crew"})).await.ok();
    root.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    root.post("/teams/apps", json!({"name": "raft", "team": "crew"})).await.ok();
    root.post("/apps", json!({"name": "mine"})).await.ok();
    root.post("/apps/boat/domains", json!({"hostname": "*.example.com"})).await.ok();
    root.post("/apps/raft/domains", json!({"hostname": "a.example.com"})).await.ok();
    root.post("/apps/mine/domains", json!({"hostname": "b.example.com"})).await.error(422);
}
