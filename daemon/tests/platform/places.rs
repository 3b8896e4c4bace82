//! Small resources: stacks, regions, generations, the registry of buildpacks, the status, and
//! what is refused with a reason.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::util::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn stacks_regions_and_generations_by_name_and_id() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    for (list, name) in [("/stacks", "debian-12"), ("/regions", "local"), ("/generations", "cedar")] {
        let all = t.get(list).await.ok();
        let one = all.as_array().unwrap().iter().find(|item| item["name"] == name).unwrap();
        assert_eq!(t.get(&format!("{list}/{name}")).await.ok(), *one);
        assert_eq!(t.get(&format!("{list}/{}", one["id"].as_str().unwrap())).await.ok(), *one);
        t.get(&format!("{list}/none")).await.error(404);
    }
    let stacks = t.get("/stacks").await.ok();
    assert_eq!(t.get("/apps/shop/available-stacks").await.ok(), stacks);
    let heroku = stacks.as_array().unwrap().iter().find(|stack| stack["name"] == "heroku-24").unwrap();
    let set = t.patch("/apps/shop", json!({"build_stack": heroku["id"]})).await.ok();
    assert_eq!(set["build_stack"]["name"], "heroku-24");
    for stack in ["container", "cedar-14", "../x"] {
        let (_, why) = t.patch("/apps/shop", json!({"build_stack": stack})).await.error(422);
        assert!(why.starts_with("stack: ") && why.contains("debian-12"), "{why}");
    }
    t.post("/apps", json!({"name": "other", "stack": "none"})).await.error(422);
    let other = t.other("other@example.com").await;
    t.send("GET", "/apps/shop/available-stacks", Some(&other), None).await.error(403);
    t.send("GET", "/apps/shop/available-dyno-sizes", Some(&other), None).await.error(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_has_our_own_buildpacks() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    // Nobody proves who they are, and the name comes as one part of the path.
    let get = |path: &'static str| t.send("GET", path, None, None);
    let pack = get("/buildpacks/heroku%2Fruby").await.ok();
    assert_eq!((&pack["namespace"], &pack["name"]), (&json!("heroku"), &json!("ruby")));
    let readme = get("/buildpacks/heroku%2Fruby/readme").await.ok();
    let text = base64::engine::general_purpose::STANDARD.decode(readme["content"].as_str().unwrap()).unwrap();
    assert!(text.starts_with(b"# heroku/ruby"));
    let versions = get("/buildpacks/heroku%2Fruby/revisions").await.ok();
    assert_eq!(get("/buildpacks/heroku%2Fruby/revisions/1").await.ok(), versions[0]);
    let names = |list: Value| -> Vec<String> {
        let name = |pack: &Value| format!("{}/{}", pack["namespace"].as_str().unwrap(), pack["name"].as_str().unwrap());
        let mut names: Vec<String> = list.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    };
    let all = names(get("/buildpacks").await.ok());
    assert_eq!(all, ["heroku/nodejs", "heroku/python", "heroku/ruby", "paas/procfile", "paas/static"]);
    assert_eq!(names(get("/buildpacks?in[namespace][]=paas").await.ok()), ["paas/procfile", "paas/static"]);
    let two = get("/buildpacks?in[name][]=ruby&in[name][]=python").await.ok();
    assert_eq!(names(two), ["heroku/python", "heroku/ruby"]);
    assert_eq!(names(get("/buildpacks?like[description]=rails").await.ok()), ["heroku/ruby"]);
    assert_eq!(get("/buildpacks?in[namespace][]=none").await.ok(), json!([]));
    for missing in ["/buildpacks/heroku%2Fphp", "/buildpacks/none/readme", "/buildpacks/heroku%2Fruby/revisions/2"] {
        get(missing).await.error(404);
    }
    // What the registry gives is what an app takes.
    let body = json!({"updates": [{"buildpack": pack["blob_url"]}]}).to_string().into_bytes();
    let set = t.send("PUT", "/apps/shop/buildpack-installations", Some(&t.token), Some(body)).await.ok();
    assert_eq!(set[0]["buildpack"]["name"], "heroku/ruby");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_does_not_answer() {
    let t = TestApp::fake().await;
    let get = || async { t.send("GET", "/api/v4/current-status", None, None).await.ok() };
    let color = |now: &Value, system: &str| {
        let part = now["status"].as_array().unwrap().iter().find(|part| part["system"] == system).unwrap().clone();
        part["status"].as_str().unwrap().to_owned()
    };
    // This daemon has no router.
    let now = get().await;
    assert_eq!(
        (color(&now, "Apps"), color(&now, "Data"), color(&now, "Tools")),
        ("red".into(), "green".into(), "green".into())
    );
    assert!(now["incidents"][0]["title"].as_str().unwrap().contains("router"), "{now}");
    assert!(now["incidents"][0]["updates"][0]["update_type"].is_string());
    t.fake.as_ref().unwrap().set_down(true);
    let down = t
        .until("the engine to be missed", || async {
            let now = get().await;
            (color(&now, "Data") == "yellow").then_some(now)
        })
        .await;
    assert_eq!(down["incidents"].as_array().unwrap().len(), 2, "each is told once: {down}");
    t.fake.as_ref().unwrap().set_down(false);
    t.until("all to be well again", || async { (color(&get().await, "Data") == "green").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_is_refused_with_what_to_do() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    for (method, path, word) in [
        ("PUT", "/api/v2/web.1", "run:inside"),
        ("GET", "/api/v2", "ps:exec"),
        ("POST", "/apps/shop/oci-images", "slug"),
    ] {
        let (_, why) = t.send(method, path, Some(&t.token), Some(b"{}".to_vec())).await.error(422);
        assert!(why.contains(word), "{why}");
        t.send(method, path, None, Some(b"{}".to_vec())).await.error(401);
    }
    t.get("/apps/shop/oci-images/1").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_has_the_checksum_that_was_announced() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let bad = json!({"process_types": {"web": "x"}, "checksum": "SHA256:12"});
    let (_, why) = t.post("/apps/shop/slugs", bad).await.error(422);
    assert!(why.starts_with("checksum: "), "{why}");
    let body = json!({"process_types": {"web": "x"}, "checksum": format!("SHA256:{}", "0".repeat(64)), "commit": "5ec1351abc"});
    let slug = t.post("/apps/shop/slugs", body).await.ok();
    assert_eq!((&slug["commit"], &slug["blob"]["method"]), (&json!("5ec1351abc"), &json!("PUT")));
    let url = slug["blob"]["url"].as_str().unwrap();
    // Who only looks at it gets no address that takes its bytes.
    let seen = t.get(&format!("/apps/shop/slugs/{}", slug["id"].as_str().unwrap())).await.ok();
    let plain = seen["blob"]["url"].as_str().unwrap();
    assert_eq!((&seen["blob"]["method"], plain), (&json!("PUT"), url.split('?').next().unwrap()));
    t.send("PUT", &plain[plain.find("/slugs/").unwrap()..], None, Some(b"x".to_vec())).await.error(401);
    let path = &url[url.find("/slugs/").unwrap()..];
    let answer = t.send("PUT", path, None, Some(b"something else".to_vec())).await;
    let (_, why) = answer.error(422);
    assert!(why.contains("checksum"), "{why}");
    let (_, why) = t.post("/apps/shop/releases", json!({"slug": slug["id"]})).await.error(422);
    assert!(why.contains("uploaded"), "{why}");
    let build = json!({"source_blob": {"url": "https://x.example/a.tgz", "checksum": "md5:1"}});
    let (_, why) = t.post("/apps/shop/builds", build).await.error(422);
    assert!(why.contains("checksum"), "{why}");
    let sum = format!("SHA256:{}", "a".repeat(64));
    let build = json!({
        "source_blob": {"url": "https://x.example/a.tgz", "checksum": sum, "version": "v1"},
        "buildpacks": [{"name": "heroku/ruby"}],
    });
    let made = t.post("/apps/shop/builds", build).await.ok();
    assert_eq!(made["source_blob"]["checksum"], json!(sum));
    assert_eq!(made["buildpacks"][0]["url"], "urn:buildpack:heroku/ruby");
    assert_eq!(made["stack"], "debian-12");
}
