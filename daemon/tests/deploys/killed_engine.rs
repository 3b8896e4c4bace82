//! Docker's engine is truly killed, started again, restarted, and killed in the middle of a
//! deploy: its containers outlive it (`live-restore`), and visitors notice nothing.

use std::collections::BTreeSet;

use crate::{
    apart::apart,
    engine::{docker, new_container},
    independence::{Load, stage, visit},
    util::{Server, wait_for},
};

/// The dynos' first processes and since when they run.
fn processes(server: &Server) -> BTreeSet<String> {
    let containers = server.containers("dyno");
    let ids: Vec<&str> = containers.iter().map(|container| container.id.as_str()).collect();
    let format = "{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.State.Running}}";
    docker(&[&["inspect", "--format", format][..], &ids].concat()).lines().map(str::to_owned).collect()
}

/// The containers of web dynos, whether they run or not.
fn web(server: &Server) -> BTreeSet<String> {
    let containers = server.containers("dyno").into_iter().filter(|container| container.name.starts_with("web."));
    containers.map(|container| container.id).collect()
}

/// An app whose dyno counts aloud.
fn counting(server: &Server) -> String {
    let app = server.app("counting");
    let copy = server.copy(&app);
    copy.write("Procfile", "worker: bash count.sh\n");
    copy.write("count.sh", "for ((n = 1; ; n++)); do echo \"beat $n\"; sleep 0.3; done\n");
    copy.commit("Second");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    server.scale(&app, &[("worker", 1)]);
    app
}

/// What it has counted so far, as its log has it.
fn counted(server: &Server, app: &str) -> Vec<u64> {
    let log = server.log_of(app);
    let beats = log.lines().filter_map(|line| line.split_once("app[worker.1]: beat ")?.1.trim().parse().ok());
    beats.collect()
}

#[test]
fn requests_go_on_while_the_engine_is_killed_and_replaced() {
    apart("killed_engine::requests_go_on_while_the_engine_is_killed_and_replaced", |engine| {
        let (mut server, addr, app) = stage("killed-engine", &[]);
        let beats = counting(&server);
        server.scale(&app, &[("web", 2)]);
        let as_before: &[(&str, &[(&str, usize)])] = &[(&app, &[("web", 2)]), (&beats, &[("worker", 1)])];
        server.settled(as_before);
        let doctor = String::from_utf8(server.command(&["doctor"]).output().unwrap().stdout).unwrap();
        assert!(doctor.contains("ok    live-restore "), "{doctor}");
        let before = processes(&server);
        let load = Load::on(addr, &app);
        load.goes_on(100);

        let told = server.log().len();
        engine.kill();
        wait_for("a word of what is wrong", || server.log()[told..].contains("systemctl start docker").then_some(()));
        load.goes_on(100);
        let status = server.get("/api/v4/current-status").to_string();
        assert!(status.contains("The container engine does not answer"), "{status}");
        let dynos = server.dynos(&app);
        assert!(dynos.len() == 2 && dynos.iter().all(|dyno| dyno["state"] == "up"), "{dynos:?}");
        // All of it is in what the dynos say; nobody reads that now, and they are not to stand still.
        let long = format!("GET /index.html?{} HTTP/1.1\r\nHost: {app}.localhost\r\n\r\n", "long".repeat(1500));
        for _ in 0..120 {
            visit(addr, None, &long).unwrap();
        }
        engine.up();
        wait_for("a word that it is back", || {
            server.log()[told..].contains("the Docker engine answers again").then_some(())
        });
        server.settled(as_before);
        load.goes_on(100);
        assert_eq!(processes(&server), before, "the same ones");

        engine.terminate();
        load.goes_on(100);
        engine.up();
        server.settled(as_before);
        load.goes_on(100);
        assert_eq!(processes(&server), before, "the same ones");
        assert_eq!(load.failures(), Vec::<String>::new());

        // What dynos said meanwhile is in the log, each line once.
        let last = counted(&server, &beats).last().copied().unwrap();
        let all = wait_for("more of it", || Some(counted(&server, &beats)).filter(|all| all.last() > Some(&last)));
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());

        // It does its work again; and is killed in the middle of it.
        server.set(&app, "ROUND", "1");
        server.runs(as_before);
        let containers = server.containers("dyno");
        server.set(&app, "ROUND", "2");
        new_container(&server, &containers);
        engine.kill();
        load.goes_on(100);
        engine.up();
        server.runs(as_before);
        let old = web(&server);
        let (status, said) = server.request("DELETE", &format!("/apps/{app}/dynos"), &[]);
        assert!(status < 300, "{said}");
        wait_for("other dynos", || web(&server).is_disjoint(&old).then_some(()));
        server.runs(as_before);
        load.goes_on(100);
        assert_eq!(load.failures(), Vec::<String>::new());
        load.end();

        // Volumes that an older Docker has miscounted go after its next start; a daemon that
        // starts looks for what nobody has any more.
        engine.terminate();
        engine.up();
        server.terminate();
        server.up();
        server.settled(as_before);
        let still: Vec<String> = processes(&server).intersection(&before).cloned().collect();
        assert_eq!(still.len(), 1, "only the one of {beats}, which nobody has changed: {still:?}");
    });
}
