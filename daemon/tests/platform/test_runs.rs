//! Test runs: from a commit to its verdict.

use serde_json::{Value, json};

use crate::{people::Person, setups::upload, util::TestApp};

const TAP: &str = r#"{"environments": {"test": {"env": {"MODE": "test"}, "scripts": {"test": "echo ready; echo 1..2; echo ok 1 adds; echo not ok 2 divides; exit 4"}}}}"#;

async fn pipeline(t: &TestApp, name: &str) -> String {
    t.post("/pipelines", json!({"name": name})).await.ok()["id"].as_str().unwrap().to_owned()
}

fn run(pipeline: &str, url: &str) -> Value {
    json!({
        "commit_branch": "main", "commit_message": "A change", "commit_sha": "0123456789abcdef0123456789abcdef01234567",
        "pipeline": pipeline, "source_blob_url": url, "organization": null,
    })
}

async fn until(t: &TestApp, run: &Value, wanted: &[&str]) -> Value {
    let path = format!("/test-runs/{}", run["id"].as_str().unwrap());
    t.until("the test run", || async {
        let now = t.get(&path).await.ok();
        wanted.contains(&now["status"].as_str().unwrap()).then_some(now)
    })
    .await
}

const ENDS: [&str; 4] = ["succeeded", "failed", "errored", "cancelled"];

/// The text behind an address that was given out.
async fn stream(t: &TestApp, url: &Value) -> String {
    let url = url.as_str().unwrap();
    assert!(url.starts_with("https://"), "{url}");
    let path = url.split_once("/streams/").unwrap().1;
    let answer = t.send("GET", &format!("/streams/{path}"), None, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_run_in_an_app_of_their_own_and_their_exit_code_decides() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "tests").await;
    t.patch(&format!("/pipelines/{line}/stage/test/config-vars"), json!({"STAGE": "t"})).await.ok();
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", TAP)]).await;
    let answer = t.post("/test-runs", run(&line, &url)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let begun = answer.ok();
    assert_eq!(
        (&begun["number"], &begun["status"], &begun["actor_email"]),
        (&json!(1), &json!("pending"), &json!("owner@example.com"))
    );
    let nodes = t.get(&format!("/test-runs/{}/test-nodes", begun["id"].as_str().unwrap())).await.ok();
    // While it runs, as long as it runs.
    let (setup, tests) =
        tokio::join!(stream(&t, &nodes[0]["setup_stream_url"]), stream(&t, &nodes[0]["output_stream_url"]));
    assert!(setup.contains("Procfile app detected"), "{setup}");
    assert!(tests.contains("ready\n1..2\nok 1 adds\nnot ok 2 divides\n"), "{tests}");
    let done = until(&t, &begun, &ENDS).await;
    assert_eq!(done["status"], "failed");
    let node = &t.get(&format!("/test-runs/{}/test-nodes", done["id"].as_str().unwrap())).await.ok()[0];
    assert_eq!((&node["exit_code"], &node["status"], &node["index"]), (&json!(4), &json!("failed"), &json!(0)));
    let cases = t.get(&format!("/test-runs/{}/test-cases", done["id"].as_str().unwrap())).await.ok();
    let told: Vec<_> = cases
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["number"].as_i64().unwrap(), c["passed"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [(1, true), (2, false)]);
    // Its app is gone, what was said is still there.
    t.until("the app to go", || async { t.get("/apps").await.ok().as_array().unwrap().is_empty().then_some(()) }).await;
    assert_eq!(stream(&t, &node["setup_stream_url"]).await, setup);
    assert_eq!(stream(&t, &node["output_stream_url"]).await, tests);
    let wrong = node["output_stream_url"]
        .as_str()
        .unwrap()
        .split_once("/streams/")
        .unwrap()
        .1
        .replace("signature=", "signature=0");
    t.send("GET", &format!("/streams/{wrong}"), None, None).await.error(401);
    // The next one has the next number; the list is by number.
    let url = upload(
        &t,
        &[("Procfile", "web: serve\n"), ("app.json", r#"{"environments": {"test": {"scripts": {"test": "exit 0"}}}}"#)],
    )
    .await;
    let second = t.post("/test-runs", run("tests", &url)).await.ok();
    assert_eq!(until(&t, &second, &ENDS).await["status"], "succeeded");
    let path = format!("/pipelines/{line}/test-runs");
    let headers =
        [("Authorization", format!("Bearer {}", t.token)), ("Range", "number ..; order=desc,max=1".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let last = t.send_with("GET", &path, &headers, "").await;
    assert_eq!((last.status, &last.body[0]["number"]), (206, &json!(2)));
    assert_eq!(t.get(&format!("{path}/1")).await.ok()["id"], begun["id"]);
    t.get(&format!("{path}/9")).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_comes_to_its_tests_is_errored() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "tests").await;
    let url = upload(&t, &[("README", "nothing to build\n")]).await;
    let done = until(&t, &t.post("/test-runs", run(&line, &url)).await.ok(), &ENDS).await;
    assert_eq!(done["status"], "errored");
    assert!(done["message"].as_str().unwrap().contains("build failed"), "{done}");
    let node = &t.get(&format!("/test-runs/{}/test-nodes", done["id"].as_str().unwrap())).await.ok()[0];
    assert!(stream(&t, &node["setup_stream_url"]).await.contains("No default language"), "{node}");
    assert_eq!(stream(&t, &node["output_stream_url"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_after_a_restart_and_can_be_cancelled() {
    let mut t = TestApp::fake().await;
    let line = pipeline(&t, "tests").await;
    let manifest = r#"{"environments": {"test": {"scripts": {"test": "wait"}}}}"#;
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", manifest)]).await;
    let begun = t.post("/test-runs", run(&line, &url)).await.ok();
    until(&t, &begun, &["running"]).await;
    t.restart().await;
    let path = format!("/test-runs/{}", begun["id"].as_str().unwrap());
    assert_eq!(t.get(&path).await.ok()["status"], "running");
    let app = t.get("/apps").await.ok()[0]["name"].as_str().unwrap().to_owned();
    let vars = t.get(&format!("/apps/{app}/config-vars")).await.ok();
    assert_eq!(
        (&vars["CI"], &vars["HEROKU_TEST_RUN_BRANCH"], &vars["HEROKU_TEST_RUN_ID"]),
        (&json!("true"), &json!("main"), &begun["id"])
    );
    // Nobody serves in it.
    let dynos = t.dynos(&app).await;
    assert!(dynos.iter().all(|dyno| dyno.starts_with("test.")), "{dynos:?}");
    assert!(t.patch(&path, json!({"status": "succeeded", "message": ""})).await.error(422).1.contains("cancelled"));
    assert!(t.patch(&path, json!({"status": "bad"})).await.error(422).1.contains("status"));
    let stranger = t.other("stranger@example.com").await;
    let body = json!({"status": "cancelled", "message": "no"}).to_string().into_bytes();
    t.send("PATCH", &path, Some(&stranger), Some(body)).await.error(404);
    let done = t.patch(&path, json!({"status": "cancelled", "message": "enough"})).await.ok();
    assert_eq!((&done["status"], &done["message"]), (&json!("cancelled"), &json!("enough")));
    t.until("the app to go", || async { t.get("/apps").await.ok().as_array().unwrap().is_empty().then_some(()) }).await;
    t.patch(&path, json!({"status": "cancelled", "message": ""})).await.error(409);
    assert_eq!(t.get(&path).await.ok()["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_run_waits_for_whoever_looks_around() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "tests").await;
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", TAP)]).await;
    let mut body = run(&line, &url);
    body["debug"] = json!(true);
    let now = until(&t, &t.post("/test-runs", body).await.ok(), &["debugging", "failed", "errored"]).await;
    assert_eq!(now["status"], "debugging", "{now}");
    let app = now["app_setup"]["app_name"].as_str().unwrap();
    assert_eq!(t.dynos(app).await, Vec::<String>::new());
    t.post(&format!("/apps/{app}/dynos"), json!({"command": "echo here"})).await.ok();
    t.until_logged(app, "here").await;
    t.patch(&format!("/test-runs/{}", now["id"].as_str().unwrap()), json!({"status": "cancelled", "message": "seen"}))
        .await
        .ok();
    t.until("the app to go", || async { t.get("/apps").await.ok().as_array().unwrap().is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told() {
    let t = TestApp::fake().await;
    let line = pipeline(&t, "tests").await;
    let refused = |body: Value| async { t.post("/test-runs", body).await.error(422).1 };
    let mut body = run(&line, "https://example.com/x.tgz");
    body.as_object_mut().unwrap().remove("commit_sha");
    assert!(refused(body.clone()).await.contains("commit_sha"));
    body["commit_sha"] = json!(3);
    assert!(refused(body).await.contains("commit_sha"));
    assert!(refused(run(&line, "nowhere")).await.contains("source_blob"));
    t.post("/test-runs", run("none", "https://example.com/x.tgz")).await.error(404);
    t.get("/test-runs/none").await.error(404);
    t.send("POST", "/test-runs", None, Some(run(&line, "https://x/y").to_string().into_bytes())).await.error(401);
    assert_eq!(t.get("/apps").await.ok(), json!([]), "nothing is left of what was refused");
}

/// On the true engine: the last word is the exit code of a program that has run.
#[tokio::test(flavor = "multi_thread")]
async fn tests_really_run() {
    let t = TestApp::docker().await;
    let line = pipeline(&t, "tests").await;
    let manifest = r#"{"environments": {"test": {"scripts": {"test-setup": "echo 6 > seven", "test": "[ \"$(cat seven)\" = 6 ] && [ \"$CI\" = true ] && echo all well && exit 3"}}}}"#;
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", manifest)]).await;
    let begun = t.post("/test-runs", run(&line, &url)).await.ok();
    let done = until(&t, &begun, &ENDS).await;
    let node = &t.get(&format!("/test-runs/{}/test-nodes", done["id"].as_str().unwrap())).await.ok()[0];
    let said = stream(&t, &node["output_stream_url"]).await;
    assert_eq!(
        (&done["status"], &node["exit_code"], said.as_str()),
        (&json!("failed"), &json!(3), "all well\n"),
        "{done}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn to_see_runs_and_builds_is_not_to_have_the_source() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let (bob, vic) = (Person::new(&t, "bob").await, Person::new(&t, "vic").await);
    let crew = root.post("/teams", json!({"name": "crew"})).await.ok();
    for (who, role) in [("bob", "member"), ("vic", "viewer")] {
        root.put("/teams/crew/members", json!({"email": format!("{who}@example.com"), "role": role})).await.ok();
    }
    bob.post("/teams/apps", json!({"name": "boat", "team": "crew"})).await.ok();
    let owner = json!({"id": crew["id"], "type": "team"});
    let made = bob.post("/pipelines", json!({"name": "fleet", "owner": owner})).await.ok();
    let line = made["id"].as_str().unwrap();
    bob.post("/pipeline-couplings", json!({"pipeline": line, "app": "boat", "stage": "staging"})).await.ok();
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", TAP)]).await;
    let begun = bob.post("/test-runs", run(line, &url)).await.ok();
    let elsewhere = "https://example.com/source.tgz?token=s3cret";
    bob.post("/apps/boat/builds", json!({"source_blob": {"url": elsewhere}})).await.ok();
    let id = url.split('?').next().unwrap().rsplit_once('/').unwrap().1;
    let shown = |answer: Value| answer.to_string().contains(id) || answer.to_string().contains("s3cret");
    for path in [
        format!("/pipelines/{line}/test-runs"),
        format!("/pipelines/{line}/test-runs/1"),
        format!("/test-runs/{}", begun["id"].as_str().unwrap()),
        "/apps/boat/builds".to_owned(),
    ] {
        assert!(shown(bob.get(&path).await.ok()), "{path}");
        assert!(!shown(vic.get(&path).await.ok()), "{path}");
    }
    assert!(!shown(vic.get(&format!("/pipelines/{line}/latest-builds")).await.ok()));
    // Nor is it in the rows for who reads the database.
    let id: uuid::Uuid = begun["id"].as_str().unwrap().parse().unwrap();
    let mut c = t.platform().db.read().await.unwrap();
    let row = paas_daemon::store::test_runs::by_id(&mut c, id).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&row.source_url).contains("/sources/"));
}
