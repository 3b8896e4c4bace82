//! Dynos and the formation: programs inside of running dynos, sizes, what is refused.

use paas_daemon::store;
use paas_wire::attach::Frame;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::util::TestApp;

/// An app with a web dyno that runs and a release phase.
async fn running() -> TestApp {
    let t = TestApp::fake().await;
    t.create("shop").await;
    t.deploy("shop", &[("x", "y")], &[("worker", "sleep 1000"), ("console", "echo console")]).await;
    t.patch("/apps/shop/formation/worker", json!({"quantity": "1"})).await.ok();
    t.until_dynos("shop", &["worker.1 up"]).await;
    t
}

/// Attaches to a program that waits.
async fn attach(t: &TestApp, made: &Value) -> TcpStream {
    let url = made["attach_url"].as_str().unwrap();
    assert!(url.starts_with("rendezvous://"), "{url}");
    let secret = url.rsplit('/').next().unwrap();
    let mut stream = TcpStream::connect(t.config.api_listen).await.unwrap();
    let request = format!(
        "GET /streams/attach/{secret} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: paas-attach/1\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What comes out of an attached program, and its exit code; the trouble, where it has none.
async fn attached(t: &TestApp, made: &Value) -> (String, Option<i32>) {
    let mut stream = attach(t, made).await;
    let mut all = Vec::new();
    let (mut said, mut code) = (String::new(), None);
    while code.is_none() {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..count]);
        let Some(head) = all.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let mut rest = &all[head + 4..];
        (said, code) = (String::new(), None);
        while let Ok(Some((frame, used))) = Frame::decode(rest) {
            rest = &rest[used..];
            match frame {
                Frame::Stdout(data) => said.push_str(&String::from_utf8_lossy(&data)),
                Frame::Exit(ended) => code = Some(ended),
                Frame::Error(text) => said = text,
                Frame::Stdin(_) | Frame::StdinEof | Frame::Resize { .. } | Frame::Stderr(_) => {}
            }
        }
    }
    (said, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_inside_a_dyno_that_is_there() {
    let mut t = running().await;
    let path = "/apps/shop/dynos/worker.1";
    // As Heroku's command line sends it: numbers, and nothing about attaching.
    let body = json!({"command": "echo hello", "env": {"TERM": "xterm", "COLUMNS": 80, "LINES": 24}, "size": null});
    let made = t.post(path, body.clone()).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!((&made["name"], &made["command"]), (&json!("worker.1"), &json!("echo hello")));
    assert_eq!(attached(&t, &made).await, ("hello\n".to_owned(), Some(0)));
    // The secret is good for once.
    let again = made["attach_url"].as_str().unwrap().rsplit('/').next().unwrap();
    let gone = t.send_with("GET", &format!("/streams/attach/{again}"), &[("Upgrade", "paas-attach/1")], "").await;
    assert_eq!(gone.status, 404);
    // A process type stands for its command.
    let made = t.post(path, json!({"command": "console", "force_no_tty": true})).await.ok();
    assert_eq!(attached(&t, &made).await.0, "console\n");
    t.until_logged("shop", "Running `echo hello` inside worker.1 by user owner@example.com").await;

    for (body, word) in [
        (json!({}), "command"),
        (json!({"command": ""}), "command"),
        (json!({"command": 3}), "command"),
        (json!({"command": "x", "env": {"A B": "1"}}), "A B"),
        (json!({"command": "x", "env": {"A": []}}), "env"),
    ] {
        let (_, why) = t.post(path, body).await.error(422);
        assert!(why.contains(word), "{why}");
    }
    t.post("/apps/shop/dynos/worker.9", body.clone()).await.error(404);
    let other = t.other("other@example.com").await;
    let text = Some(body.to_string().into_bytes());
    t.send("POST", path, Some(&other), text.clone()).await.error(403);
    t.send("POST", path, None, text).await.error(401);

    // What waits is forgotten with a restart, and what does not run can't be entered.
    let made = t.post(path, body.clone()).await.ok();
    t.restart().await;
    let secret = made["attach_url"].as_str().unwrap().rsplit('/').next().unwrap();
    let gone = t.send_with("GET", &format!("/streams/attach/{secret}"), &[("Upgrade", "paas-attach/1")], "").await;
    assert_eq!(gone.status, 404);
    let late = t.post(path, json!({"command": "echo hello"})).await.ok();
    t.patch("/apps/shop/formation/worker", json!({"quantity": 0})).await.ok();
    t.until_dynos("shop", &[]).await;
    let (said, code) = attached(&t, &late).await;
    assert!(code.is_none() && said.contains("It does not run just now"), "{said}");
    let refused = t.post(path, body).await;
    assert!(refused.status == 409 || refused.status == 404, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_so_many_one_offs_and_no_more() {
    let t = TestApp::fake_with(|config| config.max_dynos = 2).await;
    t.create("shop").await;
    t.deploy("shop", &[("x", "y")], &[("worker", "sleep 1000")]).await;
    let body = json!({"command": "sleep 1000"});
    let first = t.post("/apps/shop/dynos", body.clone()).await.ok();
    t.post("/apps/shop/dynos", json!({"command": "sleep 1000", "type": "other"})).await.ok();
    let (_, why) = t.post("/apps/shop/dynos", body.clone()).await.error(422);
    assert!(why.contains("2 are the most") && why.contains("ps:stop"), "{why}");
    let stop = format!("/apps/shop/dynos/{}/actions/stop", first["name"].as_str().unwrap());
    t.post(&stop, json!({})).await.ok();
    t.until("room for another", || async {
        (t.post("/apps/shop/dynos", body.clone()).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynos_are_restarted_and_stopped_by_type_and_name() {
    let t = running().await;
    let id = |list: Value| list[0]["id"].as_str().unwrap().to_owned();
    let mut before = id(t.get("/apps/shop/dynos").await.ok());
    for (method, path) in [
        ("DELETE", "/apps/shop/dynos/worker"),
        ("DELETE", "/apps/shop/dynos/worker.1"),
        ("DELETE", "/apps/shop/formations/worker"),
        ("POST", "/apps/shop/dynos/worker.1/actions/stop"),
        ("POST", "/apps/shop/formations/worker/actions/stop"),
    ] {
        let answer = t.send(method, path, Some(&t.token), None).await;
        assert_eq!((answer.status, &answer.body), (202, &json!({})), "{method} {path}");
        before = t
            .until("another dyno", || async {
                let rows = t.get("/apps/shop/dynos").await.ok();
                let row = rows.as_array()?.iter().find(|row| row["state"] == "up")?;
                let now = row["id"].as_str()?.to_owned();
                (now != before && rows.as_array()?.len() == 1).then_some(now)
            })
            .await;
    }
    assert_eq!(t.get(&format!("/apps/shop/dynos/{before}")).await.ok()["name"], "worker.1");
    t.delete("/apps/shop/dynos/none").await.error(404);
    t.post("/apps/shop/formations/none/actions/stop", json!({})).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_formation_by_id_and_size_by_id() {
    let t = running().await;
    let entry = t.get("/apps/shop/formation/worker").await.ok();
    let by_id = format!("/apps/shop/formation/{}", entry["id"].as_str().unwrap());
    assert_eq!(t.get(&by_id).await.ok(), entry);
    let sizes = t.get("/dyno-sizes").await.ok();
    assert_eq!(t.get("/apps/shop/available-dyno-sizes").await.ok(), sizes);
    let size = sizes.as_array().unwrap().iter().find(|size| size["name"] == "Standard-2X").unwrap();
    assert_eq!(t.get(&format!("/dyno-sizes/{}", size["id"].as_str().unwrap())).await.ok(), *size);
    let set = t.patch(&by_id, json!({"dyno_size": {"id": size["id"]}, "quantity": "+1"})).await.ok();
    assert_eq!((&set["size"], &set["quantity"]), (&json!("Standard-2X"), &json!(2)));
    let batch = json!({"updates": [{"type": "worker", "quantity": "1", "size": "basic"}]});
    let set = t.patch("/apps/shop/formation", batch).await.ok();
    assert_eq!((set[0]["size"].as_str(), set[0]["quantity"].as_i64()), (Some("Basic"), Some(1)));
    for (body, word) in [
        (json!({"quantity": "many"}), "quantity"),
        (json!({"quantity": -1}), "quantity"),
        (json!({"size": "huge"}), "huge"),
        (json!({"docker_image": null}), "docker_image"),
        (json!({"docker_image": "sha256:1"}), "docker_image"),
    ] {
        let (_, why) = t.patch(&by_id, body).await.error(422);
        assert!(why.contains(word), "{why}");
    }
    t.get("/dyno-sizes/huge").await.error(404);
    t.get("/apps/shop/formation/none").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_phase_is_seen_and_run_again_but_not_scaled() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    t.deploy("shop", &[("x", "y")], &[("release", "echo migrated; exit 0"), ("worker", "sleep 9")]).await;
    let done = |version: u64| {
        let t = &t;
        async move {
            let path = format!("/apps/shop/releases/{version}");
            t.until("the release", || async {
                let release = t.get(&path).await.ok();
                (release["status"] == "succeeded").then_some(release)
            })
            .await
        }
    };
    let last = done(2).await;
    let formation = t.get("/apps/shop/formation").await.ok();
    let release = formation.as_array().unwrap().iter().find(|entry| entry["type"] == "release").unwrap();
    assert_eq!(release["quantity"], 0);
    t.patch("/apps/shop/formation/release", json!({"quantity": 1})).await.error(422);
    // As `heroku releases:retry` does it.
    let made = t.post("/apps/shop/releases", json!({"slug": last["slug"]["id"]})).await.ok();
    assert_eq!((&made["description"], &made["version"]), (&json!("Deploy 5ec1351"), &json!(3)));
    let again = done(3).await;
    assert!(again["output_stream_url"].is_string() && again["eligible_for_rollback"] == true, "{again}");
    t.post("/apps/shop/releases", json!({"oci_image": "x"})).await.error(422);
    t.post("/apps/shop/releases", json!({"slug": "x"})).await.error(422);
    t.post("/apps/shop/releases", json!({})).await.error(422);
    let id = again["id"].as_str().unwrap();
    assert_eq!(t.get(&format!("/apps/shop/releases/{id}")).await.ok()["version"], 3);
    let back = t.post("/apps/shop/releases", json!({"release": last["id"]})).await.ok();
    assert_eq!(back["description"], "Rollback to v2");
    let rows = store::dynos::all(&mut t.platform().db.read().await.unwrap()).await.unwrap();
    assert!(rows.iter().all(|row| row.kind != "formation"), "nothing of type release is kept running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_inside_has_the_dynos_files_and_environment() {
    let t = TestApp::docker().await;
    t.create("shop").await;
    t.patch("/apps/shop/config-vars", json!({"COLOUR": "green"})).await.ok();
    let profile = (".profile.d/a.sh", "export FROM_PROFILE=yes\n");
    t.deploy("shop", &[("x", "y"), profile], &[("worker", "touch /tmp/here; exec sleep 1000")]).await;
    t.patch("/apps/shop/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_dynos("shop", &["worker.1 up"]).await;
    let command = "ls /tmp/here; cat x; echo; echo $COLOUR $DYNO $FROM_PROFILE $EXTRA; id -u; exit 7";
    let body = json!({"command": command, "env": {"EXTRA": 1}, "force_no_tty": true});
    let made = t.post("/apps/shop/dynos/worker.1", body).await.ok();
    let (said, code) = attached(&t, &made).await;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((&lines[..3], code), (&["/tmp/here", "y", "green worker.1 yes 1"][..], Some(7)), "{said}");
    assert_ne!(lines[3], "0", "not as root");
    // A terminal gets the size that was told, soon.
    let until = r#"until [ "$(stty size)" = "17 91" ]; do sleep 0.05; done; stty size"#;
    let body = json!({"command": until, "env": {"COLUMNS": 91, "LINES": 17, "TERM": "xterm"}});
    let made = t.post("/apps/shop/dynos/worker.1", body).await.ok();
    assert_eq!(attached(&t, &made).await.0.trim(), "17 91");
    // Whose user goes is hung up on; the dyno goes on.
    let body = json!({"command": "echo began; exec sleep 4711", "force_no_tty": true});
    let mut stream = attach(&t, &t.post("/apps/shop/dynos/worker.1", body).await.ok()).await;
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains("began") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    drop(stream);
    t.until("the program to be gone", || async {
        let body = json!({"command": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", "force_no_tty": true});
        let (left, _) = attached(&t, &t.post("/apps/shop/dynos/worker.1", body).await.ok()).await;
        (left.contains("sleep 1000") && !left.contains("4711")).then_some(())
    })
    .await;
    t.until_dynos("shop", &["worker.1 up"]).await;
    t.destroy("shop").await;
}
