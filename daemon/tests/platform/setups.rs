//! `/app-setups`: what an app.json brings about, what it can't, and what a restart leaves.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::{people::Person, util::TestApp};

/// A gzipped archive of these files.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

/// Uploads an archive of these files; gives its address.
pub(crate) async fn upload(t: &TestApp, files: &[(&str, &str)]) -> String {
    let source = t.post("/sources", json!({})).await.ok();
    let put = source["source_blob"]["put_url"].as_str().unwrap();
    let path = put.split_once("/sources/").unwrap().1;
    let answer = t.send("PUT", &format!("/sources/{path}"), None, Some(archive(files))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    source["source_blob"]["get_url"].as_str().unwrap().to_owned()
}

async fn begin(t: &TestApp, name: &str, manifest: &str, overrides: Value) -> Value {
    let url = upload(t, &[("Procfile", "web: serve\nworker: work\n"), ("app.json", manifest)]).await;
    let body =
        json!({"source_blob": {"url": url, "version": "abc1234"}, "app": {"name": name}, "overrides": overrides});
    let answer = t.post("/app-setups", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.ok()
}

/// A setup once it has ended.
async fn ended(t: &TestApp, setup: &Value) -> Value {
    let path = format!("/app-setups/{}", setup["id"].as_str().unwrap());
    t.until("the setup to end", || async {
        let now = t.get(&path).await.ok();
        (now["status"] != "pending").then_some(now)
    })
    .await
}

async fn ends(t: &TestApp, name: &str, manifest: &str, overrides: Value) -> Value {
    let setup = begin(t, name, manifest, overrides).await;
    ended(t, &setup).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_json_brings_about_all_that_it_says() {
    let t = TestApp::fake().await;
    let manifest = r#"{
        "name": "Something", "success_url": "/welcome", "stack": "cedar-14",
        "env": {"KEY": {"generator": "secret"}, "GIVEN": {"description": "x"}, "VALUE": "v", "NOT": {"required": false}},
        "addons": [{"plan": "redis:mini", "as": "CACHE"}],
        "formation": {"web": {"quantity": 2, "size": "standard-1x"}, "worker": 1, "clock": 1},
        "scripts": {"postdeploy": "echo migrated; exit 0"}
    }"#;
    let setup = begin(&t, "whole", manifest, json!({"env": {"GIVEN": "mine"}})).await;
    assert_eq!(setup["status"], "pending");
    assert_eq!(setup["app"]["name"], "whole");
    assert!(setup["build"].is_null() && setup["postdeploy"].is_null() && setup["failure_message"].is_null());
    let done = ended(&t, &setup).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["postdeploy"], json!({"exit_code": 0, "output": "migrated\n"}));
    assert_eq!(done["build"]["status"], "succeeded");
    assert!(done["resolved_success_url"].as_str().unwrap().ends_with("/welcome"));
    assert!(done["resolved_success_url"].as_str().unwrap().contains("whole."));
    let vars = t.get("/apps/whole/config-vars").await.ok();
    assert_eq!((&vars["GIVEN"], &vars["VALUE"]), (&json!("mine"), &json!("v")));
    let key = vars["KEY"].as_str().unwrap();
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    assert!(vars["CACHE_URL"].as_str().unwrap().starts_with("redis://"), "{vars}");
    assert!(vars.get("NOT").is_none());
    let formation = t.get("/apps/whole/formation").await.ok();
    let of = |kind: &str| formation.as_array().unwrap().iter().find(|f| f["type"] == kind).unwrap().clone();
    assert_eq!((&of("web")["quantity"], of("web")["size"].as_str().unwrap()), (&json!(2), "Standard-1X"));
    assert_eq!(of("worker")["quantity"], 1);
    t.until_logged("whole", "app.json asks for the stack cedar-14").await;
    t.until_logged("whole", "app.json scales clock").await;
    t.until_logged("whole", "Setup succeeded").await;
    // The script has run once.
    let log = t.log("whole").await;
    assert_eq!(log.iter().filter(|line| line.contains("migrated") && line.contains("app[postdeploy")).count(), 1);
    let builds = t.get("/apps/whole/builds").await.ok();
    assert_eq!(builds.as_array().unwrap().len(), 1);
    assert_eq!(builds[0]["source_blob"]["version"], "abc1234");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_json_can_not_have_is_told_and_leaves_no_app() {
    let t = TestApp::fake().await;
    let errors = |setup: &Value| setup["manifest_errors"].to_string();
    let wrong = ends(&t, "wrong-a", "{nonsense", json!({})).await;
    assert!(errors(&wrong).contains("not valid JSON"), "{wrong}");
    let wrong = ends(&t, "wrong-b", r#"{"env": {"A": {"generator": "dice"}}}"#, json!({})).await;
    assert!(errors(&wrong).contains("env.A.generator"), "{wrong}");
    let manifest = r#"{"env": {"A": {}}, "addons": ["nobody:knows"], "formation": {"web": 100}, "buildpacks": [{"url": "ftp://x"}]}"#;
    let wrong = ends(&t, "wrong-c", manifest, json!({})).await;
    for place in ["env.A", "addons[0]", "buildpacks"] {
        assert!(errors(&wrong).contains(place), "{place}: {wrong}");
    }
    let url = upload(&t, &[("Procfile", "web: serve\n")]).await;
    let setup = t.post("/app-setups", json!({"source_blob": {"url": url}, "app": {"name": "wrong-d"}})).await.ok();
    let wrong = ended(&t, &setup).await;
    assert!(errors(&wrong).contains("app.json not found"), "{wrong}");
    let url = upload(&t, &[("app.json", "{}")]).await;
    let sum = format!("SHA256:{}", "0".repeat(64));
    let body = json!({"source_blob": {"url": url, "checksum": sum}, "app": {"name": "wrong-e"}});
    let setup = t.post("/app-setups", body).await.ok();
    let wrong = ended(&t, &setup).await;
    assert!(wrong["failure_message"].as_str().unwrap().contains("checksum"), "{wrong}");
    let empty = t.post("/sources", json!({})).await.ok()["source_blob"]["get_url"].clone();
    let setup = t.post("/app-setups", json!({"source_blob": {"url": empty}, "app": {"name": "wrong-f"}})).await.ok();
    let wrong = ended(&t, &setup).await;
    assert!(wrong["failure_message"].as_str().unwrap().contains("No source"), "{wrong}");
    for app in ["wrong-a", "wrong-b", "wrong-c", "wrong-d", "wrong-e", "wrong-f"] {
        t.get(&format!("/apps/{app}")).await.error(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_or_a_build_that_fails_fails_the_setup_and_leaves_the_app() {
    let t = TestApp::fake().await;
    let failed = ends(&t, "script", r#"{"scripts": {"postdeploy": "echo oh; exit 3"}}"#, json!({})).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["postdeploy"], json!({"exit_code": 3, "output": "oh\n"}));
    assert!(failed["failure_message"].as_str().unwrap().contains("status 3"));
    t.get("/apps/script").await.ok();
    let failed = ends(&t, "pack", r#"{"buildpacks": ["heroku/python"]}"#, json!({})).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert_eq!(failed["build"]["status"], "failed");
    assert!(failed["failure_message"].as_str().unwrap().contains("build failed"), "{failed}");
    t.get("/apps/pack").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_goes_on_after_a_restart_and_does_nothing_twice() {
    let mut t = TestApp::fake().await;
    let manifest =
        r#"{"env": {"KEY": {"generator": "secret"}}, "addons": ["redis"], "scripts": {"postdeploy": "wait"}}"#;
    let setup = begin(&t, "again", manifest, json!({})).await;
    t.until("its config vars", || async {
        let vars = t.get("/apps/again/config-vars").await.ok();
        vars["KEY"].is_string().then_some(())
    })
    .await;
    let key = t.get("/apps/again/config-vars").await.ok()["KEY"].clone();
    t.restart().await;
    // The build, if it had begun, was lost and is made anew.
    let dyno = t
        .until("the script", || async {
            let now = t.get(&format!("/app-setups/{}", setup["id"].as_str().unwrap())).await.ok();
            assert_eq!(now["status"], "pending", "{now}");
            let dynos = t.get("/apps/again/dynos").await.ok();
            let script = dynos.as_array().unwrap().iter().find(|dyno| dyno["type"] == "postdeploy")?.clone();
            (script["state"] == "up").then_some(script)
        })
        .await;
    t.restart().await;
    assert_eq!(t.get(&format!("/app-setups/{}", setup["id"].as_str().unwrap())).await.ok()["status"], "pending");
    t.fake.as_ref().unwrap().exit(dyno["id"].as_str().unwrap().parse().unwrap(), 0, false);
    let done = ended(&t, &setup).await;
    assert_eq!((&done["status"], &done["postdeploy"]["exit_code"]), (&json!("succeeded"), &json!(0)), "{done}");
    assert_eq!(t.get("/apps/again/config-vars").await.ok()["KEY"], key);
    assert_eq!(t.get("/apps/again/addons").await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_destroyed_meanwhile_ends_its_setup() {
    let t = TestApp::fake().await;
    let setup = begin(&t, "gone", r#"{"scripts": {"postdeploy": "wait"}}"#, json!({})).await;
    t.until("the script", || async {
        let dynos = t.get("/apps/gone/dynos").await.ok();
        dynos.as_array().unwrap().iter().any(|dyno| dyno["type"] == "postdeploy").then_some(())
    })
    .await;
    t.delete("/apps/gone").await.ok();
    let done = ended(&t, &setup).await;
    assert_eq!(done["status"], "failed");
    assert!(done["failure_message"].as_str().unwrap().contains("destroyed"), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_and_strangers_are_told() {
    let t = TestApp::fake().await;
    let refused = |body: Value| async { t.post("/app-setups", body).await.error(422).1 };
    let url = upload(&t, &[("Procfile", "web: x\n"), ("app.json", r#"{"env": {"A": {}}}"#)]).await;
    assert!(refused(json!({})).await.contains("source_blob"));
    assert!(refused(json!({"source_blob": {"url": "ftp://x/y"}})).await.contains("source_blob.url"));
    assert!(refused(json!({"source_blob": {"url": url, "checksum": "MD5:1"}})).await.contains("checksum"));
    let with = |overrides: Value| json!({"source_blob": {"url": url}, "overrides": overrides});
    assert!(refused(with(json!({"env": {"HEROKU_X": "1"}}))).await.contains("HEROKU_X"));
    assert!(refused(with(json!({"env": {"A": 1}}))).await.contains("overrides.env"));
    assert!(refused(with(json!({"buildpacks": "x"}))).await.contains("overrides.buildpacks"));
    t.create("taken").await;
    assert!(refused(json!({"source_blob": {"url": url}, "app": {"name": "taken"}})).await.contains("taken"));
    // Nothing came of them.
    assert_eq!(t.get("/apps").await.ok().as_array().unwrap().len(), 1);
    let body = json!({"source_blob": {"url": url}}).to_string().into_bytes();
    t.send("POST", "/app-setups", None, Some(body)).await.error(401);
    let setup = ended(&t, &t.post("/app-setups", json!({"source_blob": {"url": url}})).await.ok()).await;
    let path = format!("/app-setups/{}", setup["id"].as_str().unwrap());
    let other = t.other("other@example.com").await;
    t.send("GET", &path, Some(&other), None).await.error(404);
    t.send("GET", &path, None, None).await.error(401);
    t.get("/app-setups/none").await.error(404);
}

/// The whole way on the true engine: what app.json asks for is there, and its programs can use it.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_becomes_an_app_that_serves_with_its_redis() {
    let t = TestApp::docker().await;
    let ping = r#"u=${CACHE_URL#redis://:}; pw=${u%%@*}; hp=${u#*@}; exec 3<>/dev/tcp/${hp%%:*}/${hp##*:}; printf 'AUTH %s\r\nPING\r\n' "$pw" >&3; read -r -u3 a; read -r -u3 b; echo "redis says ${b%$'\r'}, the key has ${#KEY} digits""#;
    let manifest = json!({
        "env": {"KEY": {"generator": "secret"}},
        "addons": [{"plan": "redis:mini", "as": "CACHE"}],
        "formation": {"web": {"quantity": 1}, "worker": {"quantity": 1}},
        "scripts": {"postdeploy": "bash ./ping.sh"},
    });
    let files = [
        ("Procfile", "web: python3 -m http.server $PORT\nworker: sleep 1000\n"),
        ("ping.sh", ping),
        ("app.json", &manifest.to_string()),
    ];
    let url = upload(&t, &files).await;
    let setup = t.post("/app-setups", json!({"source_blob": {"url": url}, "app": {"name": "served"}})).await.ok();
    let done = ended(&t, &setup).await;
    assert_eq!(done["status"], "succeeded", "{done}\n{}", t.log("served").await.join("\n"));
    assert_eq!(done["postdeploy"]["output"], "redis says +PONG, the key has 64 digits\n");
    t.until_dynos("served", &["web.1 up", "worker.1 up"]).await;
    assert!(t.ask_web("served", "/ping.sh").await.contains("CACHE_URL"));
    t.destroy("served").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_fails_at_its_add_ons_leaves_nothing_and_goes_round_no_rule_of_the_team() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let bob = Person::new(&t, "bob").await;
    root.post("/teams", json!({"name": "crew"})).await.ok();
    root.put("/teams/crew/members", json!({"email": "bob@example.com", "role": "member"})).await.ok();
    root.patch("/teams/crew/preferences", json!({"addons-controls": true})).await.ok();
    let url = upload(&t, &[("Procfile", "web: serve\n"), ("app.json", r#"{"addons": ["redis"]}"#)]).await;
    let body = json!({"source_blob": {"url": url}, "app": {"name": "sly", "organization": "crew"}});
    let setup = bob.post("/app-setups", body).await.ok();
    let path = format!("/app-setups/{}", setup["id"].as_str().unwrap());
    let done = t
        .until("the setup to end", || async {
            let now = bob.get(&path).await.ok();
            (now["status"] != "pending").then_some(now)
        })
        .await;
    assert_eq!(done["status"], "failed", "{done}");
    assert!(done["failure_message"].as_str().unwrap().contains("redis is not among the add-on services"), "{done}");
    bob.get("/apps/sly").await.error(404);
    // What can be known before is told before anything is made.
    let twice = ends(&t, "twice", r#"{"addons": ["redis", {"plan": "redis:mini", "as": "redis"}]}"#, json!({})).await;
    assert!(twice["manifest_errors"].to_string().contains("addons[1].as"), "{twice}");
    t.get("/apps/twice").await.error(404);
    assert_eq!(t.get("/addons").await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_for_a_moment_ends_no_setup() {
    let door = std::env::temp_dir().join(format!("paas-setups-door-{}.sock", std::process::id()));
    let host = format!("unix://{}", door.display());
    let t = TestApp::fake_with(|config| config.docker_host = Some(host)).await;
    let setup = begin(&t, "patient", "{}", json!({})).await;
    t.until("a build that could not be run", || async {
        let builds = t.get("/apps/patient/builds").await.ok();
        builds.as_array().unwrap().iter().any(|build| build["status"] == "failed").then_some(())
    })
    .await;
    std::os::unix::fs::symlink("/var/run/docker.sock", &door).unwrap();
    let done = ended(&t, &setup).await;
    std::fs::remove_file(&door).unwrap();
    assert_eq!(done["status"], "succeeded", "{done}");
}
