//! Dynos on the real engine: their lives, as users see them in states and log lines.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use serde_json::json;
use util::TestApp;

/// A web server that answers with a file of its slug and what it is told of itself.
const SERVER: &str = r#"
import http.server, os, signal, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = open("/app/version").read() + " " + os.environ["DYNO"] + " " + os.environ.get("GREETING", "-")
        self.send_response(200); self.end_headers(); self.wfile.write(text.encode())
    def log_message(self, *a): pass
time.sleep(float(os.environ.get("BOOT", "0")))
print("listening", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), H).serve_forever()
"#;

fn server(version: &str) -> Vec<(&str, &str)> {
    vec![("server.py", SERVER), ("version", version)]
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_scale_restart_and_roll_back() {
    let t = TestApp::docker().await;
    t.create("life").await;
    let types = [("web", "python3 server.py"), ("worker", "echo working && sleep 1000")];
    t.deploy("life", &server("one"), &types).await;
    t.until_dynos("life", &["web.1 up"]).await;
    assert_eq!(t.ask_web("life", "/").await, "one web.1 -");
    t.until_logged("life", "app[web.1]: listening").await;
    for line in [
        "heroku[web.1]: Starting process with command `python3 server.py`",
        "heroku[web.1]: State changed from starting to up",
        "app[api]: Release v2 created by user owner@example.com",
    ] {
        t.until_logged("life", line).await;
    }

    t.patch(
        "/apps/life/formation",
        json!({"updates": [{"type": "worker", "quantity": 1}, {"type": "web", "quantity": 2}]}),
    )
    .await
    .ok();
    t.until_dynos("life", &["web.1 up", "web.2 up", "worker.1 up"]).await;
    t.until_logged("life", "app[worker.1]: working").await;
    t.until_logged("life", "Scaled to worker@1:Standard-1X web@2:Standard-1X by user owner@example.com").await;

    t.patch("/apps/life/config-vars", json!({"GREETING": "hello"})).await.ok();
    t.until("the new config to be served", || async {
        (t.ask_web("life", "/").await.ends_with("hello")).then_some(())
    })
    .await;
    t.deploy("life", &server("two"), &types).await;
    t.until("the new version to be served", || async { t.ask_web("life", "/").await.starts_with("two").then_some(()) })
        .await;
    t.until_dynos("life", &["web.1 up", "web.2 up", "worker.1 up"]).await;

    t.post("/apps/life/releases", json!({"release": "v2"})).await.ok();
    t.until("the old version to be served", || async { t.ask_web("life", "/").await.starts_with("one").then_some(()) })
        .await;
    let ids = |list: serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|dyno| dyno["id"].as_str().unwrap().to_owned()).collect()
    };
    t.until_dynos("life", &["web.1 up", "web.2 up", "worker.1 up"]).await;
    let before = ids(t.get("/apps/life/dynos").await.ok());
    t.delete("/apps/life/dynos/worker.1").await.ok();
    t.until("one to be replaced", || async {
        let now = ids(t.get("/apps/life/dynos").await.ok());
        (now.iter().filter(|id| before.contains(id)).count() == 2 && now.len() == 3).then_some(())
    })
    .await;
    t.until_dynos("life", &["web.1 up", "web.2 up", "worker.1 up"]).await;
    t.patch("/apps/life/formation/web", json!({"quantity": 0})).await.ok();
    t.patch("/apps/life/formation/worker", json!({"quantity": 0})).await.ok();
    t.until_dynos("life", &[]).await;
    t.destroy("life").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_and_a_release_that_does_not_come_up() {
    let t = TestApp::docker_with(|config| config.boot_timeout_s = 3).await;
    t.create("bad").await;
    t.deploy("bad", &server("good"), &[("web", "python3 server.py")]).await;
    t.until_dynos("bad", &["web.1 up"]).await;
    // The next one never binds: the good one goes on serving, and the log says why.
    t.deploy("bad", &server("broken"), &[("web", "sleep 1000")]).await;
    t.until_logged("bad", "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 3 seconds of launch")
        .await;
    t.until_logged("bad", "Stopping process with SIGKILL").await;
    t.until_logged("bad", "Process exited with status 137").await;
    t.until_logged("bad", "State changed from starting to crashed").await;
    assert!(t.ask_web("bad", "/").await.starts_with("good"));
    t.until_logged("bad", "does not come up").await;
    t.post("/apps/bad/releases", json!({"release": "v2"})).await.ok();
    t.until("only good ones to be there", || async { (t.dynos("bad").await == ["web.1 up"]).then_some(()) }).await;
    t.destroy("bad").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_reaches_every_process_and_what_ignores_it_is_killed() {
    let t = TestApp::docker_with(|config| config.stop_grace_s = 2).await;
    t.create("term").await;
    let script = "trap 'echo parent got it; exit 0' TERM\n(trap 'echo child got it; exit 0' TERM; while :; do sleep 0.1; done) &\nwhile :; do sleep 0.1; done\n";
    let stubborn = "trap '' TERM\necho stubborn\nwhile :; do sleep 0.1; done\n";
    t.deploy(
        "term",
        &[("polite.sh", script), ("stubborn.sh", stubborn)],
        &[("polite", "bash polite.sh"), ("stubborn", "bash stubborn.sh")],
    )
    .await;
    t.patch(
        "/apps/term/formation",
        json!({"updates": [{"type": "polite", "quantity": 1}, {"type": "stubborn", "quantity": 1}]}),
    )
    .await
    .ok();
    t.until_dynos("term", &["polite.1 up", "stubborn.1 up"]).await;
    t.until_logged("term", "app[stubborn.1]: stubborn").await;
    t.patch(
        "/apps/term/formation",
        json!({"updates": [{"type": "polite", "quantity": 0}, {"type": "stubborn", "quantity": 0}]}),
    )
    .await
    .ok();
    t.until_dynos("term", &[]).await;
    for line in [
        "heroku[polite.1]: Stopping all processes with SIGTERM",
        "app[polite.1]: parent got it",
        "app[polite.1]: child got it",
        "heroku[polite.1]: Process exited with status 0",
        "heroku[stubborn.1]: Error R12 (Exit timeout) -> At least one process failed to exit within 2 seconds of SIGTERM",
        "heroku[stubborn.1]: Stopping process with SIGKILL",
        "heroku[stubborn.1]: Process exited with status 137",
    ] {
        t.until_logged("term", line).await;
    }
    t.destroy("term").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_phase_runs_first_and_its_failure_leaves_the_old_release() {
    let t = TestApp::docker().await;
    t.create("phase").await;
    let with = |command: &'static str| [("worker", "sleep 1000"), ("release", command)];
    t.deploy("phase", &[("x", "1")], &with("echo migrating; sleep 0.5")).await;
    assert_eq!(t.get("/apps/phase/releases/2").await.ok()["status"], "pending");
    t.until("the phase to end", || async {
        (t.get("/apps/phase/releases/2").await.ok()["status"] == "succeeded").then_some(())
    })
    .await;
    t.until_logged("phase", "]: migrating").await;
    t.patch("/apps/phase/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_dynos("phase", &["worker.1 up"]).await;
    let before = t.get("/apps/phase/dynos").await.ok();
    t.deploy("phase", &[("x", "2")], &with("echo no; exit 3")).await;
    t.until("the phase to fail", || async {
        (t.get("/apps/phase/releases/3").await.ok()["status"] == "failed").then_some(())
    })
    .await;
    assert_eq!(t.get("/apps/phase/dynos").await.ok(), before, "the old release goes on");
    // What comes after is based on the one that serves.
    t.patch("/apps/phase/config-vars", json!({"ERROR_PAGE_URL": "https://pages.example/error"})).await.ok();
    t.until("the next to succeed", || async {
        let release = t.get("/apps/phase/releases/4").await.ok();
        (release["status"] == "succeeded").then_some(())
    })
    .await;
    // Also the router, which was told of the app while the phase ran.
    t.until("the router to know the new page", || async {
        let (_, table) = t.control("GET /router/table?after=0", "").await;
        (table["apps"][0]["error_page_url"] == "https://pages.example/error").then_some(())
    })
    .await;
    t.destroy("phase").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_off_dynos_run_once() {
    let t = TestApp::docker().await;
    t.create("once").await;
    let (_, why) = t.post("/apps/once/dynos", json!({"command": "ls"})).await.error(422);
    assert!(why.contains("git push paas main"), "{why}");
    t.deploy("once", &[("hello", "hi")], &[("task", "echo task of $NAME:")]).await;
    let run = t.post("/apps/once/dynos", json!({"command": "task extra", "env": {"NAME": "mine"}})).await.ok();
    let name = run["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("run."), "{name}");
    t.until_logged("once", &format!("app[{name}]: task of mine: extra")).await;
    t.until_logged("once", &format!("heroku[{name}]: Process exited with status 0")).await;
    t.until_logged("once", &format!("heroku[{name}]: State changed from up to complete")).await;
    let long = t.post("/apps/once/dynos", json!({"command": "sleep 1000"})).await.ok();
    let name = long["name"].as_str().unwrap().to_owned();
    t.until_dynos("once", &[&format!("{name} up")]).await;
    t.post(&format!("/apps/once/dynos/{name}/actions/stop"), json!({})).await.ok();
    t.until_dynos("once", &[]).await;
    t.destroy("once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_touches_no_running_dyno_and_loses_no_line() {
    let mut t = TestApp::docker().await;
    t.create("steady").await;
    let script = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.02; done";
    t.deploy("steady", &[("x", "y")], &[("worker", script)]).await;
    t.patch("/apps/steady/formation/worker", json!({"quantity": 1})).await.ok();
    t.until_logged("steady", "tick 20").await;
    let before = t.get("/apps/steady/dynos").await.ok();
    t.restart().await;
    t.until_logged("steady", "tick 150").await;
    t.restart().await;
    t.until_logged("steady", "tick 250").await;
    assert_eq!(t.get("/apps/steady/dynos").await.ok(), before);
    let ticks: Vec<u32> =
        t.log("steady").await.iter().filter_map(|line| line.split_once("]: tick ")?.1.parse().ok()).collect();
    let expected: Vec<u32> = (1..=u32::try_from(ticks.len()).unwrap()).collect();
    assert_eq!(ticks, expected, "each line once and in order");
    t.destroy("steady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynos_are_told_who_they_are_and_how_much_they_have() {
    let t = TestApp::docker().await;
    let app = t.create("told").await;
    let say = "for name in DYNO PORT HOME MEMORY_AVAILABLE DYNO_RAM WEB_CONCURRENCY HEROKU_APP_ID HEROKU_APP_NAME HEROKU_APP_DEFAULT_DOMAIN_NAME HEROKU_DYNO_ID HEROKU_RELEASE_VERSION HEROKU_RELEASE_CREATED_AT HEROKU_SLUG_COMMIT HEROKU_SLUG_DESCRIPTION HEROKU_BUILD_COMMIT; do echo \"$name=${!name-unset}\"; done; tr '\\0' '\\n' </proc/1/environ | grep ^PS1; sleep 1000";
    t.deploy("told", &[("x", "1")], &[("web", say), ("worker", say)]).await;
    t.patch("/apps/told/formation/worker", json!({"quantity": 1, "size": "standard-2x"})).await.ok();
    for name in ["web.1", "worker.1"] {
        t.until_logged("told", &format!("app[{name}]: PS1=")).await;
    }
    let log = t.log("told").await;
    let of = |dyno: &str, name: &str| -> String {
        let begin = format!("app[{dyno}]: {name}=");
        log.iter().find_map(|line| Some(line.split_once(&begin)?.1.to_owned())).unwrap_or_else(|| panic!("{log:#?}"))
    };
    for (dyno, memory) in [("web.1", "512"), ("worker.1", "1024")] {
        for (name, value) in [
            ("DYNO", dyno),
            ("HOME", "/app"),
            ("MEMORY_AVAILABLE", memory),
            ("DYNO_RAM", memory),
            // That is for the buildpacks' scripts, which know what a process of theirs needs.
            ("WEB_CONCURRENCY", "unset"),
            ("HEROKU_APP_NAME", "told"),
            ("HEROKU_APP_ID", app["id"].as_str().unwrap()),
            ("HEROKU_APP_DEFAULT_DOMAIN_NAME", "told.localhost"),
            ("HEROKU_RELEASE_VERSION", "v2"),
            ("HEROKU_SLUG_COMMIT", "5ec1351abcdef"),
            ("HEROKU_BUILD_COMMIT", "5ec1351abcdef"),
            ("HEROKU_SLUG_DESCRIPTION", "test"),
        ] {
            assert_eq!(of(dyno, name), value, "{name} of {dyno}");
        }
        assert!(!of(dyno, "PS1").is_empty());
        assert!(of(dyno, "HEROKU_RELEASE_CREATED_AT").ends_with('Z'));
        of(dyno, "HEROKU_DYNO_ID").parse::<uuid::Uuid>().unwrap();
    }
    assert!(of("web.1", "PORT").parse::<u16>().unwrap() >= 10_000);
    assert_eq!(of("worker.1", "PORT"), "unset");
    t.destroy("told").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fills_the_disk_is_ended() {
    let t = TestApp::docker_with(|config| config.disk_reserve_mib = 1 << 30).await;
    t.create("disk").await;
    let fill = "head -c 70000000 /dev/zero >/tmp/much; echo filled; sleep 1000";
    t.deploy("disk", &[("x", "1")], &[("greedy", fill), ("modest", "sleep 1000")]).await;
    t.patch(
        "/apps/disk/formation",
        json!({"updates": [{"type": "greedy", "quantity": 1}, {"type": "modest", "quantity": 1}]}),
    )
    .await
    .ok();
    t.until_logged("disk", "app[greedy.1]: filled").await;
    for line in [
        "heroku[greedy.1]: Process running disk=67M",
        "heroku[greedy.1]: Error R99 (Platform error) -> The machine's disk is nearly full, and this dyno has written the most to it",
        "heroku[greedy.1]: Stopping process with SIGKILL",
        "heroku[greedy.1]: State changed from up to crashed",
    ] {
        t.until_logged("disk", line).await;
    }
    assert!(!t.log("disk").await.iter().any(|line| line.contains("heroku[modest.1]: Stopping")));
    t.destroy("disk").await;
}
