//! Builds that misbehave, and a daemon that dies in the middle of one.

use std::fs;

use crate::util::{Server, wait_for};

#[test]
fn builds_that_take_too_much() {
    let settings = [
        ("PAAS_BUILD_TIMEOUT", "12"),
        ("PAAS_BUILD_MEMORY", "256"),
        ("PAAS_BUILD_DISK", "64"),
        ("PAAS_DISK_RESERVE", "100"),
    ];
    let server = Server::start("much", &settings);
    let app = server.app("much");
    let copy = server.copy(&app);
    for (script, reason) in [
        ("sleep 600", "took longer than 12 seconds"),
        ("loop { begin; fork { sleep 600 }; rescue SystemCallError; sleep 0.1; end }", "took longer than 12 seconds"),
        ("i = 0; loop { File.write(\"/tmp/big#{i += 1}\", 'x' * 1_000_000) }", "64 MB to disk"),
        ("a = []; loop { a << 'x' * 10_000_000 }", "memory"),
    ] {
        copy.gemfile(script);
        let (taken, said) = copy.push(&["main"]);
        assert!(!taken, "{script}: {said}");
        assert!(said.contains(reason), "{script}: {said}");
        assert!(server.build_containers().is_empty(), "{script}");
    }
    // None of it is in the way of the next one.
    copy.git(&["rm", "-q", "Gemfile", "Gemfile.lock"]);
    copy.commit("Good");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
}

#[test]
fn a_daemon_that_is_killed_in_a_build() {
    let mut server = Server::start("killed", &[]);
    let app = server.app("killed");
    let mut copy = server.copy(&app);
    copy.gemfile("sleep 600");
    let mut push = copy.command(&["push", "-q", &copy.remote, "main"]).spawn().unwrap();
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    let id = server.builds(&app)[0]["id"].as_str().unwrap().to_owned();
    server.kill();
    assert!(!push.wait().unwrap().success());
    let old = server.url.clone();
    server.up();
    copy.remote = copy.remote.replace(old.trim_start_matches("http://"), server.url.trim_start_matches("http://"));
    assert_eq!(server.ended(&app, &id)["status"], "failed");
    assert!(server.output(&id).contains("the platform was restarted while this was being built; push again"));
    wait_for("the end of its container", || server.build_containers().is_empty().then_some(()));
    let left: Vec<_> =
        fs::read_dir(server.root.join("data/builds").join(&id)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["output.log"]);
    assert_eq!(copy.there("main"), None);
    copy.git(&["rm", "-q", "Gemfile", "Gemfile.lock"]);
    copy.commit("Good");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
}

#[test]
fn an_engine_that_does_not_answer_and_a_disk_that_is_full() {
    let server = Server::start("no-engine", &[("PAAS_DOCKER_HOST", "unix:///nonexistent.sock")]);
    let app = server.app("none");
    let (taken, said) = server.copy(&app).push(&["main"]);
    assert!(!taken && said.contains(" !     Push rejected, the build could not be run: "), "{said}");
    drop(server);
    let server = Server::start("full", &[("PAAS_DISK_RESERVE", "1000000000")]);
    let app = server.app("full");
    let (taken, said) = server.copy(&app).push(&["main"]);
    assert!(!taken && said.contains("MB of disk left and keeps 1000000000 MB in reserve"), "{said}");
    // Before git has taken anything; who only fetches needs no room.
    assert!(server.builds(&app).is_empty());
    assert_eq!(fs::read_dir(server.root.join("data/git")).unwrap().count(), 0);
    assert_eq!(server.copy(&app).there("main"), None);
}
