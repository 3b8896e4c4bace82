//! Teams, their members and their apps.

use paas_daemon::ops::accounts;
use serde_json::{Value, json};

use crate::{people::Person, util::TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_in_the_built_in_team_and_administrators_make_others() {
    let mut t = TestApp::fake().await;
    {
        let (root, ann) = (Person::admin(&t, "root").await, Person::new(&t, "ann").await);
        let teams = ann.get("/teams").await.ok();
        assert_eq!(
            (&teams[0]["name"], &teams[0]["role"], &teams[0]["type"]),
            (&json!("default"), &json!("member"), &json!("team"))
        );
        assert_eq!(root.get("/teams/default").await.ok()["role"], "admin");
        let members = ann.get("/teams/default/members").await.ok();
        let roles: Vec<(&str, &str)> = members
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["email"].as_str().unwrap(), m["role"].as_str().unwrap()))
            .collect();
        assert_eq!(
            roles,
            [("ann@example.com", "member"), ("owner@example.com", "member"), ("root@example.com", "admin")]
        );

        ann.post("/teams", json!({"name": "crew"})).await.error(403);
        ann.patch("/teams/default", json!({"name": "house"})).await.error(403);
        for name in ["", "x", "Crew", "-crew", "crew-", "apps", "permissions", "a b", &"x".repeat(31)] {
            let (id, why) = root.post("/teams", json!({"name": name})).await.error(422);
            assert!(id == "invalid_params" && why.starts_with("name:"), "{name}: {why}");
        }
        root.post("/teams", json!({})).await.error(422);
        root.post("/teams", json!({"name": 7})).await.error(422);
        let made = root.post("/teams", json!({"name": "crew"})).await.ok();
        assert_eq!((&made["name"], &made["role"]), (&json!("crew"), &json!("admin")));
        root.post("/teams", json!({"name": "crew"})).await.error(422);
        let (_, why) = ann.get("/teams/crew").await.error(403);
        assert_eq!(why, "You do not have access to the team crew.");
        ann.get("/teams/none").await.error(404);
        assert_eq!(ann.names("/teams", "name").await, ["default"]);
        assert_eq!(root.patch("/teams/default", json!({"name": "house"})).await.ok()["name"], "house");
        root.delete("/teams/house").await.error(422);
    }
    t.restart().await;
    let root = Person::admin(&t, "root").await;
    assert_eq!(root.names("/teams", "name").await, ["crew", "house"], "the built-in team is not made twice");
    root.delete("/teams/crew").await.ok();
    root.get("/teams/crew").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_change_and_go() {
    let t = TestApp::fake().await;
    let (root, ann, bob) =
        (Person::admin(&t, "root").await, Person::new(&t, "ann").await, Person::new(&t, "bob").await);
    root.post("/teams", json!({"name": "crew"})).await.ok();
    let members = "/teams/crew/members";
    let put = |role: &str| json!({"email": "ann@example.com", "role": role});
    root.patch(members, put("member")).await.error(404);
    let added = root.post(members, put("member")).await;
    assert_eq!(added.status, 201);
    let added = added.ok();
    assert_eq!(
        (&added["email"], &added["role"], &added["user"]["email"]),
        (&json!("ann@example.com"), &json!("member"), &json!("ann@example.com"))
    );
    root.post(members, put("member")).await.error(422);
    // Said once more it is so once more.
    assert_eq!(root.put(members, put("member")).await.ok()["id"], added["id"]);
    for role in ["owner", "king", ""] {
        let (_, why) = root.put(members, put(role)).await.error(422);
        assert!(why.starts_with("role:"), "{why}");
    }
    root.put(members, json!({"email": "ann@example.com"})).await.error(422);
    let (id, why) = root.put(members, json!({"email": "nobody@example.com", "role": "member"})).await.error(404);
    assert!(id == "not_found" && why.contains("nobody@example.com"), "{why}");

    // Members see, admins change.
    assert_eq!(ann.names(members, "email").await, ["ann@example.com", "root@example.com"]);
    ann.put(members, json!({"email": "bob@example.com", "role": "member"})).await.error(403);
    bob.get(members).await.error(403);
    assert_eq!(root.patch(members, put("viewer")).await.ok()["role"], "viewer");
    assert_eq!(root.patch(members, put("admin")).await.ok()["role"], "admin");
    ann.put(members, json!({"email": "bob@example.com", "role": "member"})).await.ok();
    ann.delete("/teams/crew/members/root@example.com").await.ok();
    let (_, why) = root.patch(members, put("member")).await.error(422);
    assert!(why.contains("only admin"), "{why}");
    ann.delete("/teams/crew/members/ann@example.com").await.error(422);

    // Whoever goes works on none of its apps any more.
    ann.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    bob.post("/teams/apps/boat/collaborators", json!({"user": "~"})).await.ok();
    assert_eq!(ann.names("/teams/crew/members/bob@example.com/apps", "name").await, ["boat"]);
    bob.delete("/teams/crew/members/ann@example.com").await.error(403);
    bob.delete("/teams/crew/members/bob@example.com").await.ok();
    bob.get("/apps/boat").await.error(403);
    bob.get("/teams/crew").await.error(403);
    ann.delete("/teams/crew/members/bob@example.com").await.error(404);
    // A team with an app stays.
    let (_, why) = ann.delete("/teams/crew").await.error(422);
    assert!(why.contains("still has apps"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_team_tells_who_administers() {
    let t = TestApp::fake().await;
    let (root, ann) = (Person::admin(&t, "root").await, Person::new(&t, "ann").await);
    let members = "/teams/default/members";
    let (_, why) = root.patch(members, json!({"email": "root@example.com", "role": "member"})).await.error(422);
    assert!(why.contains("only admin"), "{why}");
    ann.patch(members, json!({"email": "ann@example.com", "role": "admin"})).await.error(403);
    assert_eq!(root.patch(members, json!({"email": "ann@example.com", "role": "admin"})).await.ok()["role"], "admin");
    t.create("of-owner").await;
    ann.get("/apps/of-owner").await.ok();
    assert_eq!(ann.patch(members, json!({"email": "root@example.com", "role": "viewer"})).await.ok()["role"], "viewer");
    root.get("/apps/of-owner").await.error(403);
    root.post("/teams/apps", json!({"team": "default"})).await.error(403);
    ann.put(members, json!({"email": "root@example.com", "role": "collaborator"})).await.error(422);
    ann.delete("/teams/default/members/root@example.com").await.error(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn invitations_make_accounts_and_members_once() {
    let mut t = TestApp::fake().await;
    let (token, old) = {
        let (root, ann) = (Person::admin(&t, "root").await, Person::new(&t, "ann").await);
        root.post("/teams", json!({"name": "crew"})).await.ok();
        root.put("/teams/crew/members", json!({"email": "ann@example.com", "role": "admin"})).await.ok();
        let path = "/teams/crew/invitations";
        let (_, why) = ann.put(path, json!({"email": "new@example.com", "role": "member"})).await.error(403);
        assert!(why.contains("administrators"), "who has no account is invited by an administrator: {why}");
        root.put(path, json!({"email": "no address", "role": "member"})).await.error(422);
        root.put(path, json!({"email": "ann@example.com", "role": "member"})).await.error(422);
        let first = root.put(path, json!({"email": "New@example.com", "role": "admin"})).await.ok();
        let second = root.put(path, json!({"email": "new@example.com", "role": "member"})).await.ok();
        let listed = ann.get(path).await.ok();
        assert_eq!(listed.as_array().unwrap().len(), 1, "an earlier one is replaced");
        assert!(listed[0]["token"].is_null(), "a token is told once");
        assert_eq!(listed[0]["invited_by"]["email"], "root@example.com");
        (second["token"].as_str().unwrap().to_owned(), first["token"].as_str().unwrap().to_owned())
    };
    t.restart().await;
    let ask = |method: &'static str, path: String, body: Value| {
        let t = &t;
        async move { t.send(method, &path, None, Some(body.to_string().into_bytes())).await }
    };
    ask("GET", format!("/teams/invitations/{old}"), json!({})).await.error(404);
    let seen = t.send("GET", &format!("/teams/invitations/{token}"), None, None).await.ok();
    assert_eq!((&seen["team"]["name"], &seen["role"]), (&json!("crew"), &json!("member")));
    let accept = format!("/teams/invitations/{token}/accept");
    ask("POST", accept.clone(), json!({})).await.error(422);
    ask("POST", accept.clone(), json!({"password": "short"})).await.error(422);
    let ann = Person::new(&t, "ann").await;
    ann.post(&accept, json!({})).await.error(403);
    let member = ask("POST", accept.clone(), json!({"password": "long enough", "name": "New One"})).await;
    assert_eq!(member.status, 201);
    let member = member.ok();
    assert_eq!((&member["email"], &member["user"]["name"]), (&json!("new@example.com"), &json!("New One")));
    ask("POST", accept.clone(), json!({"password": "long enough"})).await.error(404);
    let login = accounts::login(t.platform(), "here", "new@example.com", "long enough").await.unwrap();
    assert!(matches!(login, accounts::Login::In(actor) if !actor.user.admin));

    // One that is taken back, and one for somebody who has an account.
    let root = Person::admin(&t, "root").await;
    let path = "/teams/crew/invitations";
    let back = root.put(path, json!({"email": "more@example.com", "role": "member"})).await.ok();
    root.delete(&format!("{path}/more@example.com")).await.ok();
    let gone = format!("/teams/invitations/{}/accept", back["token"].as_str().unwrap());
    ask("POST", gone, json!({"password": "long enough"})).await.error(404);
    let bob = Person::new(&t, "bob").await;
    let made = root.put(path, json!({"email": "bob@example.com", "role": "viewer"})).await.ok();
    let accept = format!("/teams/invitations/{}/accept", made["token"].as_str().unwrap());
    ask("POST", accept.clone(), json!({"password": "taken over"})).await.error(401);
    assert_eq!(bob.post(&accept, json!({})).await.ok()["role"], "viewer");
    assert_eq!(bob.get("/teams/crew").await.ok()["role"], "viewer");
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_a_team() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let (ann, bob, eve) = (Person::new(&t, "ann").await, Person::new(&t, "bob").await, Person::new(&t, "eve").await);
    root.post("/teams", json!({"name": "crew"})).await.ok();
    for (email, role) in [("ann@example.com", "member"), ("bob@example.com", "viewer")] {
        root.put("/teams/crew/members", json!({"email": email, "role": role})).await.ok();
    }
    bob.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.error(403);
    eve.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.error(403);
    ann.post("/teams/apps", json!({"name": "boat", "team": "none"})).await.error(404);
    ann.post("/teams/apps", json!({"name": "boat", "team": "crew", "space": "x"})).await.error(404);
    ann.post("/teams/apps", json!({"name": "boat", "team": "crew", "personal": true})).await.error(422);
    ann.post("/teams/apps", json!({"name": "boat", "locked": true})).await.error(422);
    let boat = ann.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await;
    assert_eq!(boat.status, 201);
    let boat = boat.ok();
    assert_eq!(boat["owner"]["email"], "crew@herokumanager.com");
    assert_eq!(
        (&boat["team"]["name"], &boat["joined"], &boat["locked"]),
        (&json!("crew"), &json!(true), &json!(false))
    );
    assert_eq!(ann.get("/apps/boat").await.ok()["team"]["name"], "crew");

    // A team's app is no personal one.
    ann.post("/apps", json!({"name": "raft"})).await.ok();
    assert_eq!(ann.names("/users/~/apps", "name").await, ["raft"]);
    assert_eq!(ann.names("/apps", "name").await, ["boat", "raft"]);
    assert_eq!(root.names("/users/ann@example.com/apps", "name").await, ["raft"]);
    eve.get("/users/ann@example.com/apps").await.error(404);
    assert_eq!(bob.names("/teams/crew/apps", "name").await, ["boat"]);
    assert_eq!(bob.names("/apps", "name").await, ["boat"]);
    eve.get("/teams/crew/apps").await.error(403);
    eve.get("/teams/apps/boat").await.error(403);

    // Locked: known of, not seen.
    bob.patch("/teams/apps/boat", json!({"locked": true})).await.error(403);
    assert_eq!(ann.patch("/teams/apps/boat", json!({"locked": true})).await.ok()["locked"], true);
    ann.patch("/teams/apps/boat", json!({"locked": true})).await.ok();
    assert_eq!(bob.get("/teams/crew/apps").await.ok()[0]["locked"], true);
    let (_, why) = bob.get("/apps/boat").await.error(403);
    assert!(why.contains("locked"), "{why}");
    assert!(bob.names("/apps", "name").await.is_empty());
    ann.patch("/teams/apps/boat", json!({"locked": false})).await.ok();
    ann.patch("/teams/apps/raft", json!({"locked": true})).await.error(422);
    ann.patch("/teams/apps/boat", json!({})).await.error(422);

    // The default team is chosen by each for themselves.
    assert_eq!(ann.patch("/teams/crew", json!({"default": true})).await.ok()["default"], true);
    assert_eq!(root.get("/teams/crew").await.ok()["default"], false);
    let account = ann.get("/account").await.ok();
    assert_eq!(
        (&account["default_team"]["name"], &account["default_organization"]["name"]),
        (&json!("crew"), &json!("crew"))
    );
    assert_eq!(root.get("/account").await.ok()["default_team"], Value::Null);
    assert_eq!(ann.post("/teams/apps", json!({})).await.ok()["team"]["name"], "crew");
    assert!(ann.post("/teams/apps", json!({"personal": true})).await.ok()["team"].is_null());
    ann.patch("/teams/crew", json!({"default": false})).await.ok();
    assert!(ann.post("/teams/apps", json!({})).await.ok()["team"].is_null());

    let id = boat["id"].as_str().unwrap();
    let found = ann.post("/filters/apps", json!({"in": {"id": [id], "name": ["raft"]}})).await.ok();
    assert_eq!(found.as_array().unwrap().len(), 2);
    assert_eq!(eve.post("/filters/apps", json!({"in": {"id": [id]}})).await.ok(), json!([]));
    let (_, why) = ann.post("/filters/apps", json!({"in": {"id": ["boat"]}})).await.error(422);
    assert!(why.starts_with("in.id[0]"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_team_has_chosen() {
    let t = TestApp::fake().await;
    let (root, ann, eve) =
        (Person::admin(&t, "root").await, Person::new(&t, "ann").await, Person::new(&t, "eve").await);
    root.post("/teams", json!({"name": "crew"})).await.ok();
    root.put("/teams/crew/members", json!({"email": "ann@example.com", "role": "member"})).await.ok();
    let features = ann.names("/teams/crew/features", "name").await;
    assert_eq!(features, ["org-access-controls", "team-invite-acceptance"]);
    assert_eq!(ann.get("/teams/crew/features/org-access-controls").await.ok()["enabled"], true);
    ann.get("/teams/crew/features/none").await.error(404);

    // Add-on controls: members add what is allowed, admins what they like.
    ann.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    ann.patch("/teams/crew/preferences", json!({"addons-controls": true})).await.error(403);
    root.patch("/teams/crew/preferences", json!({"addons-controls": "yes"})).await.error(422);
    root.patch("/teams/crew/preferences", json!({"addons-controls": true})).await.ok();
    assert_eq!(ann.get("/teams/crew/preferences").await.ok()["addons-controls"], true);
    let (_, why) = ann.post("/apps/boat/addons", json!({"plan": "redis"})).await.error(403);
    assert!(why.contains("crew"), "{why}");
    root.post("/apps/boat/addons", json!({"plan": "redis"})).await.ok();
    let services = "/teams/crew/allowed-addon-services";
    ann.post(services, json!({"addon_service": "redis"})).await.error(403);
    root.post(services, json!({"addon_service": "oracle"})).await.error(404);
    for _ in 0..2 {
        assert_eq!(root.post(services, json!({"addon_service": "redis"})).await.ok().as_array().unwrap().len(), 1);
    }
    ann.post("/apps/boat/addons", json!({"plan": "redis"})).await.ok();
    assert_eq!(ann.get("/teams/crew/addons").await.ok().as_array().unwrap().len(), 2);
    root.delete(&format!("{services}/redis")).await.ok();
    root.delete(&format!("{services}/redis")).await.error(404);
    ann.post("/apps/boat/addons", json!({"plan": "redis"})).await.error(403);

    let permissions = root.get("/teams/crew/permissions").await.ok();
    let users = permissions[0]["users"].as_array().unwrap();
    let names: Vec<&str> = users.iter().map(|user| user["email"].as_str().unwrap()).collect();
    assert_eq!((permissions[0]["name"].as_str(), names), (Some("boat"), vec!["root@example.com", "ann@example.com"]));
    assert_eq!(ann.names("/teams/permissions", "name").await, ["view", "deploy", "operate", "manage"]);

    for path in
        ["invoices", "usage/daily?start=2026-01-01", "usage/monthly?start=2026-01", "spaces", "identity-providers"]
    {
        assert_eq!(root.get(&format!("/teams/crew/{path}")).await.ok(), json!([]), "{path}");
        eve.get(&format!("/teams/crew/{path}")).await.error(403);
    }
    root.get("/teams/crew/invoices/1").await.error(404);
    assert!(root.get("/teams/crew/delinquency").await.ok()["scheduled_deletion_time"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_a_team() {
    let t = TestApp::fake().await;
    let (root, ann, eve) =
        (Person::admin(&t, "root").await, Person::new(&t, "ann").await, Person::new(&t, "eve").await);
    let crew = root.post("/teams", json!({"name": "crew"})).await.ok();
    root.put("/teams/crew/members", json!({"email": "ann@example.com", "role": "admin"})).await.ok();
    let owner = json!({"id": crew["id"], "type": "team"});
    eve.post("/pipelines", json!({"name": "ships", "owner": owner})).await.error(403);
    let made = ann.post("/pipelines", json!({"name": "ships", "owner": owner})).await.ok();
    assert_eq!(made["owner"], owner);
    ann.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    ann.post("/apps", json!({"name": "raft"})).await.ok();
    for (app, stage) in [("boat", "production"), ("raft", "staging")] {
        ann.post("/pipeline-couplings", json!({"app": app, "pipeline": made["id"], "stage": stage})).await.ok();
    }
    assert_eq!(ann.get("/teams/crew/pipeline-couplings").await.ok().as_array().unwrap().len(), 2);
    eve.get("/teams/crew/pipeline-couplings").await.error(403);
    // Given to an account, the team's app goes along, and what was nobody's of the team stays.
    let me = ann.get("/account").await.ok();
    let to = json!({"pipeline": made["id"], "new_owner": {"id": me["id"], "type": "user"}});
    ann.post("/pipeline-transfers", to).await.ok();
    assert_eq!(ann.get("/apps/boat").await.ok()["owner"]["email"], "ann@example.com");
    // And back: all that is ann's goes to the team.
    let back = json!({"pipeline": made["id"], "new_owner": owner});
    ann.post("/pipeline-transfers", back).await.ok();
    for app in ["boat", "raft"] {
        assert_eq!(ann.get(&format!("/apps/{app}")).await.ok()["team"]["name"], "crew", "{app}");
    }
    let eves = eve.post("/pipelines", json!({"name": "hers"})).await.ok();
    eve.post("/pipeline-transfers", json!({"pipeline": eves["id"], "new_owner": owner})).await.error(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_one_leaves_is_ones_default_no_longer() {
    let t = TestApp::fake().await;
    let (root, ann) = (Person::admin(&t, "root").await, Person::new(&t, "ann").await);
    root.post("/teams", json!({"name": "crew"})).await.ok();
    let member = |role: &str| json!({"email": "ann@example.com", "role": role});
    for (change, app) in [(None, "one"), (Some("viewer"), "two"), (Some("collaborator"), "three")] {
        root.put("/teams/crew/members", member("member")).await.ok();
        ann.patch("/teams/crew", json!({"default": true})).await.ok();
        match change {
            None => root.delete("/teams/crew/members/ann@example.com").await.ok(),
            Some(role) => root.put("/teams/crew/members", member(role)).await.ok(),
        };
        let made = ann.post("/teams/apps", json!({"name": app})).await.ok();
        assert_eq!((&made["team"], &made["owner"]["email"]), (&Value::Null, &json!("ann@example.com")), "{change:?}");
    }
}
