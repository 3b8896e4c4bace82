//! Review apps, how a pipeline makes them, and the repository that they come from.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use paas_daemon::{
    ops,
    repos::{self, Repo, RepoError},
    store,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use crate::{people::Person, setups::upload, util::TestApp};

async fn pipeline(t: &TestApp, name: &str) -> String {
    let answer = t.post("/pipelines", json!({"name": name, "owner": null})).await.ok();
    answer["id"].as_str().unwrap().to_owned()
}

/// A review app once it is at one of these.
async fn until(t: &TestApp, review: &Value, wanted: &[&str]) -> Value {
    let path = format!("/review-apps/{}", review["id"].as_str().unwrap());
    t.until("the review app", || async {
        let now = t.get(&path).await.ok();
        wanted.contains(&now["status"].as_str().unwrap()).then_some(now)
    })
    .await
}

fn git(dir: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Gives an app a repository with `main` and `feature/x`, as pushes would have; gives its place.
async fn repository(t: &TestApp, app: &str, manifest: &str) -> PathBuf {
    let id: Uuid = t.get(&format!("/apps/{app}")).await.ok()["id"].as_str().unwrap().parse().unwrap();
    let work = t.dir.join("work");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "-q", "-b", "main"]);
    std::fs::write(work.join("Procfile"), "web: serve\n").unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-qm", "one"]);
    git(&work, &["checkout", "-qb", "feature/x"]);
    std::fs::write(work.join("app.json"), manifest).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-qm", "two"]);
    let bare = t.dir.join("git").join(format!("{id}.git"));
    git(&work, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    bare
}

/// Looks for the branches of a pipeline's repository, as is done once a minute.
async fn follow(t: &TestApp, line: &str) {
    let p = t.platform();
    let config = store::review_apps::config(&mut p.db.read().await.unwrap(), line.parse().unwrap()).await.unwrap();
    ops::reviews::follow(p, &config.unwrap()).await.unwrap();
}

/// The branches that have a review app.
async fn branches(t: &TestApp, line: &str) -> Vec<String> {
    let all = t.get(&format!("/pipelines/{line}/review-apps")).await.ok();
    all.as_array().unwrap().iter().map(|row| row["branch"].as_str().unwrap().to_owned()).collect()
}

/// A pipeline with `origin` as its repository, and review apps enabled.
async fn followed(t: &TestApp) -> (String, PathBuf) {
    let line = pipeline(t, "auto").await;
    t.create("origin").await;
    let bare = repository(t, "origin", "{}").await;
    t.post(&format!("/pipelines/{line}/repo"), json!({"repo_url": "origin"})).await.ok();
    t.post(&format!("/pipelines/{line}/review-app-config"), json!({"repo": "origin"})).await.ok();
    (line, bare)
}

/// A review app that is there.
async fn made(t: &TestApp, line: &str, branch: &str, manifest: &str) -> Value {
    let url = upload(t, &[("Procfile", "web: serve\n"), ("app.json", manifest)]).await;
    let body = json!({"branch": branch, "pipeline": line, "source_blob": {"url": url}});
    until(t, &t.post("/review-apps", body).await.ok(), &["created"]).await
}

const MANIFEST: &str = r#"{
    "env": {"MODE": "plain", "KEY": {"generator": "secret"}, "STAGE": {"required": true}},
    "scripts": {"postdeploy": "echo plain; exit 0"},
    "environments": {"review": {"env": {"MODE": "review"}, "scripts": {"postdeploy": "echo reviewed; exit 0", "pr-predestroy": "echo bye; exit 0"}}}
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_review_app_comes_with_its_branch_and_goes_with_a_last_word() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "shop").await;
    t.patch(&format!("/pipelines/{line}/stage/review/config-vars"), json!({"STAGE": "r", "KEY": "given"})).await.ok();
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", MANIFEST)]).await;
    let body = json!({
        "branch": "fix/cart", "pipeline": line, "pr_number": 7, "environment": {"OWN": "1"},
        "source_blob": {"url": url, "version": "abc"},
    });
    let answer = t.post("/review-apps", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let review = answer.ok();
    assert_eq!(
        (&review["status"], &review["pr_number"], &review["branch"]),
        (&json!("pending"), &json!(7), &json!("fix/cart"))
    );
    let done = until(&t, &review, &["created", "errored"]).await;
    assert_eq!(done["status"], "created", "{done}");
    let app = t.get(&format!("/apps/{}", done["app"]["id"].as_str().unwrap())).await.ok();
    let name = app["name"].as_str().unwrap();
    assert!(name.starts_with("shop-pr-7-"), "{name}");
    let vars = t.get(&format!("/apps/{name}/config-vars")).await.ok();
    for (key, value) in [
        ("MODE", "review"),
        ("KEY", "given"),
        ("STAGE", "r"),
        ("OWN", "1"),
        ("HEROKU_BRANCH", "fix/cart"),
        ("HEROKU_PR_NUMBER", "7"),
        ("HEROKU_APP_NAME", name),
    ] {
        assert_eq!(vars[key], value, "{key}: {vars}");
    }
    t.until_logged(name, "reviewed").await;
    let coupling = t.get(&format!("/apps/{name}/pipeline-couplings")).await.ok();
    assert_eq!(coupling["stage"], "review");
    assert_eq!(t.get(&format!("/apps/{name}/review-app")).await.ok()["id"], review["id"]);
    assert_eq!(t.get(&format!("/pipelines/{line}/review-apps")).await.ok().as_array().unwrap().len(), 1);
    let setup = t.get(&format!("/app-setups/{}", done["app_setup"]["id"].as_str().unwrap())).await.ok();
    assert_eq!(setup["postdeploy"]["output"], "reviewed\n");
    let stranger = t.other("stranger@example.com").await;
    let path = format!("/review-apps/{}", review["id"].as_str().unwrap());
    t.send("GET", &path, Some(&stranger), None).await.error(404);
    t.send("DELETE", &path, Some(&stranger), None).await.error(404);
    assert_eq!(t.delete(&path).await.ok()["status"], "deleting");
    let gone = until(&t, &review, &["deleted"]).await;
    assert!(gone["app"].is_null());
    t.get(&format!("/apps/{name}")).await.error(404);
    assert_eq!(t.get(&format!("/pipelines/{line}/review-apps")).await.ok(), json!([]));
    // Once more is no error, and brings nothing back.
    assert_eq!(t.delete(&path).await.ok()["status"], "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_is_waited_for_and_a_restart_does_not_matter() {
    let mut t = TestApp::fake().await;
    let line = pipeline(&t, "slow").await;
    let manifest = r#"{"environments": {"review": {"scripts": {"pr-predestroy": "wait"}}}}"#;
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", manifest)]).await;
    let body = json!({"branch": "b", "pipeline": line, "source_blob": {"url": url}});
    let review = until(&t, &t.post("/review-apps", body).await.ok(), &["created"]).await;
    let app = review["app"]["id"].as_str().unwrap().to_owned();
    t.delete(&format!("/review-apps/{}", review["id"].as_str().unwrap())).await.ok();
    let dyno = t
        .until("the last word", || async {
            let dynos = t.get(&format!("/apps/{app}/dynos")).await.ok();
            dynos.as_array().unwrap().iter().find(|dyno| dyno["type"] == "predestroy" && dyno["state"] == "up").cloned()
        })
        .await;
    t.restart().await;
    let now = t.get(&format!("/review-apps/{}", review["id"].as_str().unwrap())).await.ok();
    assert_eq!(now["status"], "deleting");
    t.fake.as_ref().unwrap().exit(dyno["id"].as_str().unwrap().parse().unwrap(), 1, false);
    until(&t, &review, &["deleted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_app_that_can_not_be_made_is_errored_and_says_why() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "odd").await;
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", r#"{"env": {"MUST": {}}}"#)]).await;
    let body = json!({"branch": "b", "pipeline": "odd", "source_blob": {"url": url}});
    let review = until(&t, &t.post("/review-apps", body).await.ok(), &["created", "errored"]).await;
    assert_eq!((&review["status"], &review["error_status"]), (&json!("errored"), &json!("creating")));
    assert!(review["message"].as_str().unwrap().contains("manifest_errors"), "{review}");
    let refused = |body: Value| async { t.post("/review-apps", body).await.error(422).1 };
    assert!(refused(json!({"pipeline": line, "source_blob": {"url": url}})).await.contains("branch"));
    assert!(
        refused(json!({"branch": "b", "pipeline": line, "source_blob": {"url": "x"}}))
            .await
            .contains("source_blob.url")
    );
    assert!(
        refused(
            json!({"branch": "b", "pipeline": line, "source_blob": {"url": url}, "environment": {"HEROKU_A": "1"}})
        )
        .await
        .contains("HEROKU_A")
    );
    assert!(
        refused(json!({"branch": "b", "pipeline": line, "source_blob": {"url": url}, "pr_number": "x"}))
            .await
            .contains("pr_number")
    );
    assert!(
        refused(json!({"branch": "b", "pipeline": line, "source_blob": {"url": url}, "pr_number": -5}))
            .await
            .contains("pr_number")
    );
    t.post("/review-apps", json!({"branch": "b", "pipeline": Uuid::new_v4(), "source_blob": {"url": url}}))
        .await
        .error(404);
    // There is no repository to take it from.
    t.post("/review-apps", json!({"branch": "b", "pipeline": line, "source_blob": {"url": "resolve"}}))
        .await
        .error(404);
    t.create("plain").await;
    t.get("/apps/plain/review-app").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_come_from_the_repository_that_the_pipeline_is_connected_to() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "repo").await;
    t.create("origin").await;
    let repo = format!("/pipelines/{line}/repo");
    t.get(&repo).await.error(404);
    for (wrong, why) in [
        ("", "repo_url"),
        ("ssh://a/b", "https://"),
        ("http://127.0.0.1:1/x", "server itself"),
        ("http://[::1]/x", "server itself"),
        ("file:///etc", "https://"),
        ("--upload-pack=x/y", "https://"),
    ] {
        let told = t.post(&repo, json!({"repo_url": wrong})).await.error(422).1;
        assert!(told.contains(why), "{wrong}: {told}");
    }
    t.post(&repo, json!({"repo_url": "nobodys"})).await.error(404);
    let url = format!("{}/origin.git", t.platform().cx.config().api_url().replace("http://", "https://"));
    let made = t.post(&repo, json!({"repo_url": url})).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.ok()["full_name"], "origin");
    assert_eq!(t.get(&format!("{repo}/branches")).await.ok(), json!([]));
    repository(&t, "origin", MANIFEST).await;
    let names: Vec<_> =
        t.get(&format!("{repo}/branches")).await.ok().as_array().unwrap().iter().map(|b| b["name"].clone()).collect();
    assert_eq!(names, ["feature/x", "main"]);
    t.get(&format!("{repo}/branches/nope")).await.error(404);
    let branch = t.get(&format!("{repo}/branches/feature%2Fx")).await.ok();
    assert_eq!(branch["commit"]["sha"].as_str().unwrap().len(), 40);
    // The archive's address is a key, and only to that branch.
    let link = branch["archive_link"].as_str().unwrap().split_once("/pipelines/").unwrap().1.to_owned();
    assert_eq!(t.send("GET", &format!("/pipelines/{link}"), None, None).await.status, 200);
    let other = format!("/pipelines/{}", link.replace("feature%2Fx", "main"));
    t.send("GET", &other, None, None).await.error(401);
    let stranger = t.other("stranger@example.com").await;
    t.send("GET", &repo, Some(&stranger), None).await.error(404);
    t.send("GET", &other, Some(&stranger), None).await.error(404);
    // What the server finds by itself, and what a client was given.
    t.patch(&format!("/pipelines/{line}/stage/review/config-vars"), json!({"STAGE": "r"})).await.ok();
    for url in ["resolve", branch["archive_link"].as_str().unwrap()] {
        let body = json!({"branch": "feature/x", "pipeline": line, "source_blob": {"url": url, "version": null}});
        let review = until(&t, &t.post("/review-apps", body.clone()).await.ok(), &["created", "errored"]).await;
        assert_eq!(review["status"], "created", "{review}");
        let builds = t.get(&format!("/apps/{}/builds", review["app"]["id"].as_str().unwrap())).await.ok();
        assert_eq!(builds[0]["source_blob"]["version"], branch["commit"]["sha"]);
        // One branch has one at a time.
        assert!(t.post("/review-apps", body).await.error(409).1.contains("already"));
        t.delete(&format!("/review-apps/{}", review["id"].as_str().unwrap())).await.ok();
    }
    assert_eq!(t.delete(&repo).await.ok()["full_name"], "origin");
    t.get(&repo).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn review_apps_are_enabled_and_follow_the_branches_of_the_repository() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "auto").await;
    let config = format!("/pipelines/{line}/review-app-config");
    t.get(&config).await.error(404);
    assert!(t.post(&config, json!({"repo": "origin"})).await.error(422).1.contains("connected"));
    t.create("origin").await;
    repository(&t, "origin", "{}").await;
    t.post(&format!("/pipelines/{line}/repo"), json!({"repo_url": "origin"})).await.ok();
    assert!(t.post(&config, json!({"repo": "else/where"})).await.error(422).1.contains("origin"));
    let made = t.post(&config, json!({"repo": "origin", "pipeline": line, "base_name": "demo"})).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!(
        (&made["automatic_review_apps"], &made["stale_days"], &made["base_name"]),
        (&json!(false), &json!(5), &json!("demo"))
    );
    t.post(&config, json!({"repo": "origin"})).await.error(409);
    assert!(t.patch(&config, json!({"stale_days": 0})).await.error(422).1.contains("stale_days"));
    assert!(t.patch(&config, json!({"base_name": "No Name"})).await.error(422).1.contains("base_name"));
    assert!(
        t.patch(&config, json!({"deploy_target": {"id": "eu", "type": "region"}}))
            .await
            .error(422)
            .1
            .contains("deploy_target")
    );
    let changed = t
        .patch(&config, json!({"automatic_review_apps": true, "destroy_stale_apps": true, "repo": "origin"}))
        .await
        .ok();
    assert_eq!((&changed["automatic_review_apps"], &changed["destroy_stale_apps"]), (&json!(true), &json!(true)));
    let all = format!("/pipelines/{line}/review-apps");
    let review = t
        .until("a review app of the branch", || async {
            let all = t.get(&all).await.ok();
            all.as_array().unwrap().iter().find(|one| one["status"] == "created").cloned()
        })
        .await;
    assert_eq!(review["branch"], "feature/x", "not of main");
    let app = t.get(&format!("/apps/{}", review["app"]["id"].as_str().unwrap())).await.ok();
    assert!(app["name"].as_str().unwrap().starts_with("demo-feature-"), "{app}");
    let stranger = t.other("stranger@example.com").await;
    t.send("GET", &config, Some(&stranger), None).await.error(404);
    t.send("DELETE", &config, Some(&stranger), None).await.error(404);
    t.delete(&config).await.ok();
    t.get(&config).await.error(404);
    // It stays; an app destroyed by hand is a review app that is gone.
    t.delete(&format!("/apps/{}", app["name"].as_str().unwrap())).await.ok();
    until(&t, &review, &["deleted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_app_has_become_is_not_the_pipelines_to_destroy() {
    let t = TestApp::fake().await;
    let out = Person::new(&t, "out").await;
    let helper = Person::new(&t, "helper").await;
    let line = pipeline(&t, "shop").await;
    t.create("staging").await;
    t.post("/pipeline-couplings", json!({"pipeline": line, "app": "staging", "stage": "staging"})).await.ok();
    t.post("/apps/staging/collaborators", json!({"user": "helper@example.com"})).await.ok();
    let (given, taken, kept) = (
        made(&t, &line, "given", "{}").await,
        made(&t, &line, "taken", "{}").await,
        made(&t, &line, "kept", "{}").await,
    );
    let app = |review: &Value| format!("/apps/{}", review["app"]["id"].as_str().unwrap());
    let one = |review: &Value| format!("/review-apps/{}", review["id"].as_str().unwrap());
    // Who only works on another app of the pipeline destroys none.
    helper.get(&one(&kept)).await.ok();
    helper.delete(&one(&kept)).await.error(403);
    let name = t.get(&app(&given)).await.ok()["name"].as_str().unwrap().to_owned();
    t.post("/account/app-transfers", json!({"app": name, "recipient": "out@example.com"})).await.ok();
    out.patch(&format!("/account/app-transfers/{name}"), json!({"state": "accepted"})).await.ok();
    out.delete(&format!("/apps/{name}/collaborators/owner@example.com")).await.ok();
    let coupling = t.get(&format!("{}/pipeline-couplings", app(&taken))).await.ok();
    t.delete(&format!("/pipeline-couplings/{}", coupling["id"].as_str().unwrap())).await.ok();
    for review in [&given, &taken] {
        let status = t.delete(&one(review)).await;
        assert!(matches!(status.status, 200 | 202 | 404), "{status:?}");
        until(&t, review, &["deleted"]).await;
    }
    assert_eq!(branches(&t, &line).await, ["kept"]);
    assert_eq!(out.get(&format!("/apps/{name}")).await.ok()["owner"]["email"], "out@example.com");
    t.get(&app(&taken)).await.ok();
    t.delete(&one(&kept)).await.ok();
    until(&t, &kept, &["deleted"]).await;
    t.get(&app(&kept)).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_app_whose_add_on_is_in_use_says_so_and_stays() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "shop").await;
    t.create("other").await;
    let manifest = r#"{"addons": ["redis"], "environments": {"review": {"scripts": {"pr-predestroy": "wait"}}}}"#;
    let review = made(&t, &line, "b", manifest).await;
    let (one, app) =
        (format!("/review-apps/{}", review["id"].as_str().unwrap()), review["app"]["id"].as_str().unwrap());
    let addon = t.get(&format!("/apps/{app}/addons")).await.ok()[0]["name"].clone();
    let attachment = t.post("/addon-attachments", json!({"addon": addon, "app": "other"})).await.ok();
    let (_, why) = t.delete(&one).await.error(422);
    assert!(why.contains("also attached to other"), "{why}");
    t.delete(&format!("/addon-attachments/{}", attachment["id"].as_str().unwrap())).await.ok();
    t.delete(&one).await.ok();
    let dyno = t
        .until("the last word", || async {
            let dynos = t.get(&format!("/apps/{app}/dynos")).await.ok();
            dynos.as_array().unwrap().iter().find(|dyno| dyno["type"] == "predestroy" && dyno["state"] == "up").cloned()
        })
        .await;
    // Attached again while it says its last word.
    t.post("/addon-attachments", json!({"addon": addon, "app": "other"})).await.ok();
    t.fake.as_ref().unwrap().exit(dyno["id"].as_str().unwrap().parse().unwrap(), 0, false);
    let now = until(&t, &review, &["errored"]).await;
    assert!(now["message"].as_str().unwrap().contains("also attached to other"), "{now}");
    t.get(&format!("/apps/{app}")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_can_have_none_holds_up_no_other_and_one_that_comes_again_has_one_again() {
    let t = TestApp::fake().await;
    let (line, bare) = followed(&t).await;
    let long = format!("{}/{}", "a".repeat(130), "b".repeat(130));
    for branch in ["aa", &long, "zz"] {
        git(&bare, &["branch", branch, "main"]);
    }
    follow(&t, &line).await;
    assert_eq!(branches(&t, &line).await, ["aa", "feature/x", "zz"]);
    // By hand: it does not come back with the next look.
    let reviews = t.get(&format!("/pipelines/{line}/review-apps")).await.ok();
    let zz = reviews[2].clone();
    t.delete(&format!("/review-apps/{}", zz["id"].as_str().unwrap())).await.ok();
    until(&t, &zz, &["deleted"]).await;
    git(&bare, &["branch", "-D", "aa"]);
    follow(&t, &line).await;
    until(&t, &reviews[0], &["deleted"]).await;
    assert_eq!(branches(&t, &line).await, ["feature/x"]);
    git(&bare, &["branch", "-D", "zz"]);
    follow(&t, &line).await;
    for branch in ["aa", "zz"] {
        git(&bare, &["branch", branch, "main"]);
    }
    follow(&t, &line).await;
    assert_eq!(branches(&t, &line).await, ["feature/x", "aa", "zz"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_has_so_many_review_apps_and_its_owner_says_whether_they_come_by_themselves() {
    let t = TestApp::fake().await;
    let (line, bare) = followed(&t).await;
    let helper = Person::new(&t, "helper").await;
    t.post("/pipeline-couplings", json!({"pipeline": line, "app": "origin", "stage": "staging"})).await.ok();
    t.post("/apps/origin/collaborators", json!({"user": "helper@example.com"})).await.ok();
    let config = format!("/pipelines/{line}/review-app-config");
    helper.patch(&config, json!({"automatic_review_apps": true})).await.error(403);
    helper.post(&format!("/pipelines/{line}/repo"), json!({"repo_url": "origin"})).await.error(403);
    for number in 10..40 {
        git(&bare, &["branch", &format!("many{number}"), "main"]);
    }
    follow(&t, &line).await;
    assert_eq!(branches(&t, &line).await.len(), 5, "in one pass");
    for _ in 0..5 {
        follow(&t, &line).await;
    }
    assert_eq!(branches(&t, &line).await.len(), 20);
    let body = json!({"branch": "one-more", "pipeline": line, "source_blob": {"url": "https://example.com/x.tgz"}});
    assert!(t.post("/review-apps", body).await.error(422).1.contains("20 review apps"));
}

#[tokio::test(flavor = "multi_thread")]
async fn review_apps_of_a_teams_pipeline_are_the_teams() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let (ann, bob) = (Person::new(&t, "ann").await, Person::new(&t, "bob").await);
    let crew = root.post("/teams", json!({"name": "crew"})).await.ok();
    for (who, role) in [("ann", "admin"), ("bob", "member")] {
        root.put("/teams/crew/members", json!({"email": format!("{who}@example.com"), "role": role})).await.ok();
    }
    let owner = json!({"id": crew["id"], "type": "team"});
    let made = ann.post("/pipelines", json!({"name": "fleet", "owner": owner})).await.ok();
    let line = made["id"].as_str().unwrap().to_owned();
    t.create("origin").await;
    t.post("/apps/origin/collaborators", json!({"user": "ann@example.com"})).await.ok();
    repository(&t, "origin", "{}").await;
    ann.post(&format!("/pipelines/{line}/repo"), json!({"repo_url": "origin"})).await.ok();
    ann.post(&format!("/pipelines/{line}/review-app-config"), json!({"automatic_review_apps": true})).await.ok();
    let all = format!("/pipelines/{line}/review-apps");
    let review =
        t.until("a review app", || async { bob.get(&all).await.ok().as_array().unwrap().first().cloned() }).await;
    let app = bob.get(&format!("/apps/{}", review["app"]["id"].as_str().unwrap())).await.ok();
    assert_eq!((&app["team"]["name"], &review["branch"]), (&json!("crew"), &json!("feature/x")));
    // In the name of somebody who is not in the team any more nothing is made.
    root.delete("/teams/crew/members/ann@example.com").await.ok();
    let bare = t.dir.join("git");
    let bare = std::fs::read_dir(bare).unwrap().next().unwrap().unwrap().path();
    git(&bare, &["branch", "later", "main"]);
    follow(&t, &line).await;
    assert_eq!(bob.get(&all).await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_read_as_long_as_who_connected_it_may_read_it() {
    let t = TestApp::fake().await;
    let helper = Person::new(&t, "helper").await;
    t.create("origin").await;
    repository(&t, "origin", "{}").await;
    t.post("/apps/origin/collaborators", json!({"user": "helper@example.com"})).await.ok();
    let line = helper.post("/pipelines", json!({"name": "hers"})).await.ok()["id"].as_str().unwrap().to_owned();
    let repo = format!("/pipelines/{line}/repo");
    helper.post(&repo, json!({"repo_url": "origin"})).await.ok();
    let branch = helper.get(&format!("{repo}/branches/main")).await.ok();
    let link = branch["archive_link"].as_str().unwrap().split_once("/pipelines/").unwrap().1.to_owned();
    let link = format!("/pipelines/{link}");
    assert_eq!(t.send("GET", &link, None, None).await.status, 200);
    t.delete("/apps/origin/collaborators/helper@example.com").await.ok();
    for path in [format!("{repo}/branches"), format!("{repo}/branches/main"), format!("{repo}/archives/main")] {
        let (_, why) = helper.get(&path).await.error(403);
        assert!(why.contains("pipelines:connect"), "{why}");
    }
    t.send("GET", &link, None, None).await.error(403);
    let body = json!({"branch": "main", "pipeline": line, "source_blob": {"url": "resolve"}});
    helper.post("/review-apps", body).await.error(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_a_repository_ends_with_whoever_waits_for_it() {
    let t = TestApp::fake_with(|config| config.allow_loopback = true).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/x.git", listener.local_addr().unwrap().port());
    let cx = t.platform().cx.clone();
    let asking = tokio::spawn(async move { repos::branches(&cx, &Repo::Remote(url)).await });
    // git asks, and is never answered.
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut said = vec![0; 4096];
    let count = connection.read(&mut said).await.unwrap();
    assert!(said[..count].starts_with(b"GET /x.git/info/refs"), "{}", String::from_utf8_lossy(&said[..count]));
    asking.abort();
    let end = tokio::time::timeout(Duration::from_secs(20), connection.read(&mut said)).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))), "git-remote-http goes on: {end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_given_up_leaves_nothing() {
    let t = TestApp::fake().await;
    t.create("origin").await;
    let bare = repository(&t, "origin", "{}").await;
    let target = t.dir.join("run/archive");
    let cx = &t.platform().cx;
    let full = repos::archive(cx, &Repo::Local(bare.clone()), "main", &target, || false).await;
    assert!(matches!(full, Err(RepoError::Full)), "{full:?}");
    let left = || {
        let names = std::fs::read_dir(t.dir.join("run")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("archive")).count()
    };
    assert_eq!(left(), 0);
    repos::archive(cx, &Repo::Local(bare), "main", &target, || true).await.unwrap();
    assert_eq!(left(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_made_for_something_is_there_with_it_or_not_at_all() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "gone").await;
    let (p, actor) = (t.platform(), t.actor().await);
    let row = ops::pipelines::find(p, &actor, &line).await.unwrap();
    t.delete(&format!("/pipelines/{line}")).await.ok();
    // What comes after the app can't be written: the pipeline went meanwhile.
    let url = "https://example.com/x.tgz".to_owned();
    let new = ops::reviews::New { branch: "b".into(), url: url.clone(), ..Default::default() };
    ops::reviews::create(p, &actor, &row, new).await.unwrap_err();
    let new = ops::test_runs::New { branch: "b".into(), sha: "c".into(), url, ..Default::default() };
    ops::test_runs::create(p, &actor, &row, new).await.unwrap_err();
    assert_eq!(t.get("/apps").await.ok(), json!([]));
}
