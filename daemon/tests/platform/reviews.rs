//! Review apps, how a pipeline makes them, and the repository that they come from.

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{setups::upload, util::TestApp};

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

/// Gives an app a repository with `main` and `feature/x`, as pushes would have.
async fn repository(t: &TestApp, app: &str, manifest: &str) {
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
        let review = until(&t, &t.post("/review-apps", body).await.ok(), &["created", "errored"]).await;
        assert_eq!(review["status"], "created", "{review}");
        let builds = t.get(&format!("/apps/{}/builds", review["app"]["id"].as_str().unwrap())).await.ok();
        assert_eq!(builds[0]["source_blob"]["version"], branch["commit"]["sha"]);
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
