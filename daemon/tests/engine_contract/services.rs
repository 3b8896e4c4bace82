//! A real service: data, names, isolation.

use std::sync::Arc;

use futures_util::StreamExt;
use paas_daemon::engine::{AppNetwork, ExecSpec, ServiceNetwork, ServiceSpec, ServiceState, Target};
use uuid::Uuid;

use super::both::service;
use super::util::{Bench, Which, run};

fn redis(app_id: Uuid) -> ServiceSpec {
    ServiceSpec {
        command: ["redis-server", "--appendonly", "yes", "--protected-mode", "no"].map(str::to_owned).to_vec(),
        networks: vec![ServiceNetwork {
            app: AppNetwork { app_id, app_name: "contract".into() },
            aliases: vec!["redis-1".into()],
        }],
        ..service()
    }
}

/// Runs `redis-cli` beside the server until it gives this.
async fn cli(bench: &Arc<Bench>, id: Uuid, words: &[&str], wanted: &str) {
    let argv: Vec<String> = std::iter::once("redis-cli").chain(words.iter().copied()).map(str::to_owned).collect();
    bench
        .until(wanted, async || {
            let exec = ExecSpec { argv: argv.clone(), ..Default::default() };
            let output = bench.engine.exec(Target::Service(id), &exec).await.ok()?.output;
            let out: Vec<u8> =
                output.filter_map(async |piece| piece.ok()).map(|(_, bytes)| bytes.to_vec()).concat().await;
            (String::from_utf8_lossy(&out).trim() == wanted).then_some(())
        })
        .await;
}

#[test]
fn data_survives_a_change_of_the_spec() {
    run(Which::Docker, async |bench| {
        let mut spec = redis(bench.app_id);
        bench.engine.service_start(&spec).await.unwrap();
        cli(&bench, spec.id, &["set", "key", "kept"], "OK").await;
        // Another plan: another container, the same data.
        spec.memory_bytes *= 2;
        spec.command.extend(["--maxmemory".into(), "40mb".into()]);
        bench.engine.service_start(&spec).await.unwrap();
        cli(&bench, spec.id, &["get", "key"], "kept").await;
        bench.engine.service_stop(spec.id, 10).await.unwrap();
        let stopped = bench.engine.service(spec.id).await.unwrap().unwrap();
        assert!(matches!(stopped.state, ServiceState::Stopped { .. }), "{stopped:?}");
        bench.engine.service_start(&spec).await.unwrap();
        cli(&bench, spec.id, &["get", "key"], "kept").await;
        bench.engine.service_remove(spec.id, false).await.unwrap();
        bench.engine.service_start(&spec).await.unwrap();
        cli(&bench, spec.id, &["get", "key"], "kept").await;
    });
}

#[test]
fn only_apps_that_it_is_attached_to_reach_it() {
    run(Which::Docker, async |bench| {
        let spec = redis(bench.app_id);
        bench.engine.service_start(&spec).await.unwrap();
        cli(&bench, spec.id, &["ping"], "PONG").await;
        let knock = "if timeout 3 bash -c '</dev/tcp/redis-1/6379' 2>/dev/null; then echo open; else echo closed; fi";
        assert_eq!(bench.run(knock).await.1, "open");
        let mut stranger = bench.spec(knock);
        stranger.app_id = Uuid::new_v4();
        bench.engine.start(&stranger).await.unwrap();
        assert_eq!(bench.lines(stranger.id).await, ["closed"]);
        // Attached while both run.
        let app = AppNetwork { app_id: stranger.app_id, app_name: "other".into() };
        bench.engine.service_connect(spec.id, &ServiceNetwork { app, aliases: vec!["redis-1".into()] }).await.unwrap();
        let friend = paas_daemon::engine::DynoSpec { id: Uuid::new_v4(), ..stranger };
        bench.engine.start(&friend).await.unwrap();
        assert_eq!(bench.lines(friend.id).await, ["open"]);
    });
}

#[test]
fn a_service_that_crashes_comes_back_by_itself() {
    run(Which::Docker, async |bench| {
        let spec = redis(bench.app_id);
        bench.engine.service_start(&spec).await.unwrap();
        cli(&bench, spec.id, &["set", "key", "kept"], "OK").await;
        let started = |state| match state {
            ServiceState::Running { started_at } => Some(started_at),
            ServiceState::Restarting { .. } | ServiceState::Stopped { .. } => None,
        };
        let before = started(bench.engine.service(spec.id).await.unwrap().unwrap().state).unwrap();
        let argv = ["redis-cli", "shutdown", "nosave"].map(str::to_owned).to_vec();
        bench.engine.exec(Target::Service(spec.id), &ExecSpec { argv, ..Default::default() }).await.unwrap();
        bench
            .until("it runs again", async || {
                started(bench.engine.service(spec.id).await.unwrap().unwrap().state).filter(|at| *at > before)
            })
            .await;
        cli(&bench, spec.id, &["get", "key"], "kept").await;
    });
}
