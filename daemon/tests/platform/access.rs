//! What each permission on an app allows, and what it does not.

use paas_daemon::ops;
use serde_json::{Value, json};

use crate::{people::Person, util::TestApp};

/// A request, and the permissions of which one is needed for it.
type Needs = (&'static str, &'static str, Value, &'static [&'static str]);

const ANY: &[&str] = &["view", "deploy", "operate", "manage"];
const WORK: &[&str] = &["deploy", "operate"];
const DEPLOY: &[&str] = &["deploy"];
const OPERATE: &[&str] = &["operate"];
const MANAGE: &[&str] = &["manage"];

fn requests() -> Vec<Needs> {
    vec![
        ("GET", "/apps/boat", json!(null), ANY),
        ("GET", "/apps/boat/collaborators", json!(null), ANY),
        ("GET", "/apps/boat/releases", json!(null), ANY),
        ("GET", "/apps/boat/builds", json!(null), ANY),
        ("GET", "/apps/boat/dynos", json!(null), ANY),
        ("GET", "/apps/boat/formation", json!(null), ANY),
        ("GET", "/apps/boat/addons", json!(null), ANY),
        ("GET", "/apps/boat/domains", json!(null), ANY),
        ("GET", "/apps/boat/config-vars", json!(null), WORK),
        ("GET", "/apps/boat/releases/1/config-vars", json!(null), WORK),
        ("PATCH", "/apps/boat/config-vars", json!({"A": "1"}), WORK),
        ("POST", "/apps/boat/log-sessions", json!({}), WORK),
        ("POST", "/apps/boat/dynos", json!({"command": "true"}), WORK),
        ("PATCH", "/apps/boat/formation/worker", json!({"quantity": 1}), WORK),
        ("PATCH", "/apps/boat/formation", json!({"updates": [{"type": "worker", "quantity": 1}]}), WORK),
        ("PATCH", "/apps/boat", json!({"maintenance": false}), WORK),
        ("POST", "/apps/boat/releases", json!({"release": "v2"}), WORK),
        ("PUT", "/apps/boat/buildpack-installations", json!({"updates": []}), WORK),
        ("POST", "/apps/boat/sources", json!({}), DEPLOY),
        ("POST", "/apps/boat/slugs", json!({"process_types": {"web": "x"}}), DEPLOY),
        ("POST", "/apps/boat/releases", json!({"slug": "no-id"}), DEPLOY),
        ("POST", "/apps/boat/builds", json!({"source_blob": {"url": "ftp://x"}}), DEPLOY),
        ("DELETE", "/apps/boat/build-cache", json!(null), DEPLOY),
        ("GET", "/boat.git/info/refs?service=git-upload-pack", json!(null), DEPLOY),
        ("GET", "/boat.git/info/refs?service=git-receive-pack", json!(null), DEPLOY),
        ("DELETE", "/apps/boat/dynos", json!(null), OPERATE),
        ("POST", "/apps/boat/domains", json!({"hostname": "no dots"}), OPERATE),
        ("DELETE", "/apps/boat/domains/none.example.com", json!(null), OPERATE),
        ("PATCH", "/apps/boat", json!({"build_stack": "debian-12"}), OPERATE),
        ("POST", "/apps/boat/collaborators", json!({"user": "nobody@example.com"}), MANAGE),
        ("PATCH", "/apps/boat", json!({"name": "Bad Name"}), MANAGE),
        ("PATCH", "/teams/apps/boat", json!({"locked": false}), MANAGE),
        ("PATCH", "/teams/apps/boat/collaborators/nobody@example.com", json!({"permissions": ["view"]}), MANAGE),
        ("DELETE", "/apps/boat/collaborators/ann@example.com", json!(null), MANAGE),
    ]
}

async fn crew<'t>(t: &'t TestApp) -> (Person<'t>, Person<'t>) {
    let root = Person::admin(t, "root").await;
    root.post("/teams", json!({"name": "crew"})).await.ok();
    let ann = Person::new(t, "ann").await;
    root.put("/teams/crew/members", json!({"email": "ann@example.com", "role": "member"})).await.ok();
    ann.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    (root, ann)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_allows_what_heroku_says_and_nothing_else() {
    let t = TestApp::fake().await;
    let (root, ann) = crew(&t).await;
    // Somebody of no team but the built-in one.
    let kim = Person::new(&t, "kim").await;
    ann.post("/apps/boat/collaborators", json!({"user": "owner@example.com"})).await.ok();
    t.deploy("boat", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    let collaborators = "/teams/apps/boat/collaborators";
    let made = ann.post(collaborators, json!({"user": "kim@example.com", "permissions": ["view"]})).await.ok();
    assert_eq!((&made["role"], made["permissions"].as_array().unwrap().len()), (&json!("collaborator"), 1));
    let mut wrong = Vec::new();
    for held in ANY {
        let one = format!("{collaborators}/kim@example.com");
        let now = ann.patch(&one, json!({"permissions": [held]})).await.ok();
        let names: Vec<&str> =
            now["permissions"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert!(names.contains(held) && names.contains(&"view"), "{names:?}");
        for (method, path, body, needed) in requests() {
            let body = (!body.is_null()).then(|| body.to_string().into_bytes());
            // What goes away must be there for everybody.
            if path.ends_with("collaborators/ann@example.com") {
                root.post("/apps/boat/collaborators", json!({"user": "ann@example.com"})).await;
            }
            let status = kim_sends(&kim, method, path, body).await;
            let allowed = status != 403 && status != 404 || needed.contains(held) && status == 404;
            if allowed != needed.contains(held) {
                wrong.push(format!("with {held}: {method} {path} = {status}, needs {needed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));

    // Ended, nothing is allowed any more, streams that were opened among it.
    let ann_again = json!({"user": "ann@example.com", "permissions": ["manage"]});
    root.post(collaborators, ann_again).await;
    root.patch(&format!("{collaborators}/kim@example.com"), json!({"permissions": ["operate"]})).await.ok();
    let session = kim.post("/apps/boat/log-sessions", json!({"lines": 1})).await.ok();
    let url = session["logplex_url"].as_str().unwrap();
    let stream = &url[url.find("/streams/").unwrap()..];
    t.send("GET", stream, None, None).await.ok();
    kim.delete("/apps/boat/collaborators/~").await.ok();
    assert_eq!(t.send("GET", stream, None, None).await.status, 404);
    for (method, path, body, _) in requests() {
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        assert_eq!(kim_sends(&kim, method, path, body).await, 403, "{method} {path}");
    }
}

async fn kim_sends(kim: &Person<'_>, method: &str, path: &str, body: Option<Vec<u8>>) -> u16 {
    if path.contains(".git/") {
        use base64::Engine as _;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x:{}", kim.token));
        return kim.t.send_with(method, path, &[("Authorization", &format!("Basic {basic}"))], "").await.status;
    }
    kim.t.send(method, path, Some(&kim.token), body).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn collaborators_of_a_personal_app_work_on_it_and_do_not_manage_it() {
    let t = TestApp::fake().await;
    t.create("boat").await;
    let (owner, kim, eve) = (Person::owner(&t), Person::new(&t, "kim").await, Person::new(&t, "eve").await);
    let made = owner.post("/apps/boat/collaborators", json!({"user": "kim@example.com"})).await.ok();
    let names: Vec<&str> =
        made["permissions"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["view", "deploy", "operate"]);
    kim.patch("/apps/boat/config-vars", json!({"A": "1"})).await.ok();
    kim.patch("/apps/boat", json!({"maintenance": true})).await.ok();
    let (_, why) = kim.patch("/apps/boat", json!({"name": "mine"})).await.error(403);
    assert_eq!(why, "Only the owner of boat may do this.");
    kim.post("/apps/boat/collaborators", json!({"user": "eve@example.com"})).await.error(403);
    kim.delete("/apps/boat").await.error(403);
    kim.post("/account/app-transfers", json!({"app": "boat", "recipient": "~"})).await.error(403);
    // Only apps of teams have permissions, and can be joined.
    let (_, why) = owner
        .post("/teams/apps/boat/collaborators", json!({"user": "eve@example.com", "permissions": ["view"]}))
        .await
        .error(422);
    assert!(why.starts_with("permissions:"), "{why}");
    owner.patch("/teams/apps/boat/collaborators/kim@example.com", json!({"permissions": ["view"]})).await.error(422);
    eve.post("/teams/apps/boat/collaborators", json!({"user": "~"})).await.error(403);
    let people = owner.names("/apps/boat/collaborators", "role").await;
    assert_eq!(people, ["owner", "collaborator"]);
    owner.get("/apps/boat/collaborators/owner@example.com").await.ok();
    owner.get("/apps/boat/collaborators/eve@example.com").await.error(404);
    owner.post("/apps/boat/collaborators", json!({"user": "kim@example.com"})).await.error(422);
    owner.post("/apps/boat/collaborators", json!({"user": "nobody@example.com"})).await.error(422);
    owner.post("/apps/boat/collaborators", json!({})).await.error(422);
    kim.delete("/apps/boat/collaborators/kim@example.com").await.ok();
    kim.get("/apps/boat").await.error(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_join_and_leave_what_is_not_locked() {
    let t = TestApp::fake().await;
    let (root, ann) = crew(&t).await;
    let (bob, viv) = (Person::new(&t, "bob").await, Person::new(&t, "viv").await);
    for (email, role) in [("bob@example.com", "member"), ("viv@example.com", "viewer")] {
        root.put("/teams/crew/members", json!({"email": email, "role": role})).await.ok();
    }
    let path = "/teams/apps/boat/collaborators";
    bob.get("/apps/boat").await.ok();
    bob.get("/apps/boat/config-vars").await.error(403);
    bob.post(path, json!({"user": "viv@example.com"})).await.error(403);
    bob.post(path, json!({"user": "bob@example.com", "permissions": ["manage"]})).await.error(403);
    bob.post(path, json!({"user": "bob@example.com", "permissions": ["fly"]})).await.error(422);
    let joined = bob.post(path, json!({"user": "bob@example.com"})).await.ok();
    assert_eq!((&joined["role"], joined["permissions"].as_array().unwrap().len()), (&json!("member"), 3));
    bob.get("/apps/boat/config-vars").await.ok();
    viv.post(path, json!({"user": "viv@example.com"})).await.error(403);
    bob.delete("/apps/boat/collaborators/bob%40example.com").await.ok();
    bob.get("/apps/boat/config-vars").await.error(403);
    ann.patch("/teams/apps/boat", json!({"locked": true})).await.ok();
    bob.post(path, json!({"user": "bob@example.com"})).await.error(403);
    // Who manages it lets people in all the same.
    ann.post(path, json!({"user": "bob@example.com", "permissions": ["deploy"]})).await.ok();
    bob.get("/apps/boat/config-vars").await.ok();
    // The team stands among those who work on its app, by the address that tells it from a person.
    let people = ann.names("/apps/boat/collaborators", "role").await;
    assert_eq!(people, ["owner", "member", "member"]);
    assert_eq!(ann.get(&format!("{path}/crew@herokumanager.com")).await.ok()["role"], "owner");
    // Joining is told to whoever follows the app's events.
    let app = ops::apps::find(t.platform(), &t.actor().await, "boat").await;
    assert!(app.is_err(), "the test's own user is in another team");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_addon_is_used_by_who_works_on_its_apps_only() {
    let t = TestApp::fake().await;
    let (_, ann) = crew(&t).await;
    let kim = Person::new(&t, "kim").await;
    let path = "/teams/apps/boat/collaborators";
    ann.post(path, json!({"user": "kim@example.com", "permissions": ["view"]})).await.ok();
    let addon = ann.post("/apps/boat/addons", json!({"plan": "redis"})).await.ok();
    let name = addon["name"].as_str().unwrap();
    kim.get(&format!("/addons/{name}")).await.ok();
    let redis = format!("/redis/v0/databases/{name}");
    for (method, path, body) in [
        ("GET", format!("/addons/{name}/config"), json!(null)),
        ("PATCH", format!("/addons/{name}"), json!({"name": "mine"})),
        ("DELETE", format!("/apps/boat/addons/{name}"), json!({})),
        ("POST", "/addon-attachments".into(), json!({"addon": name, "app": "boat", "name": "x"})),
        ("PATCH", format!("{redis}/config"), json!({"timeout": 1})),
        ("POST", format!("{redis}/credentials_rotation"), json!({})),
        ("POST", format!("{redis}/cli"), json!({"args": []})),
        ("DELETE", "/addon-attachments/REDIS".into(), json!(null)),
    ] {
        kim.send(method, &path, body).await.error(403);
    }
    assert_eq!(kim.get(&redis).await.ok()["resource_url"], "", "the address has the password in it");
    ann.patch(&format!("{path}/kim@example.com"), json!({"permissions": ["deploy"]})).await.ok();
    kim.get(&format!("/addons/{name}/config")).await.ok();
    assert_ne!(kim.get(&redis).await.ok()["resource_url"], "");
}
