//! The promises that need no processes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use paas_daemon::engine::{
    AppNetwork, DynoState, EngineError, Owned, ServiceNetwork, ServiceSpec, ServiceState, Signal, Target,
};
use uuid::Uuid;

use super::util::{Bench, Which, run};

/// Makes two tests of each function: one per engine.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod on_docker { $(#[test] fn $name() { super::run(super::Which::Docker, super::$name); })* }
        mod on_fake { $(#[test] fn $name() { super::run(super::Which::Fake, super::$name); })* }
    };
}

contract!(
    starting_twice_is_one_dyno,
    a_finished_dyno_is_not_started_again,
    what_is_gone_is_success,
    exit_codes_are_seen,
    everything_of_the_spec_is_read_back,
    a_missing_image_is_named,
    changes_are_hinted_at,
    one_app_is_listed_alone,
    output_resumes_after_the_cursor,
    removal_leaves_nothing,
    a_network_in_use_says_by_whom,
    services_keep_their_volume_and_change_networks,
    attaching_to_an_existing_dyno_is_refused,
    strays_are_listed_and_discarded,
);

async fn starting_twice_is_one_dyno(bench: Arc<Bench>) {
    let spec = bench.start("sleep 1000").await;
    let first = bench.find(spec.id).await.unwrap();
    bench.engine.start(&spec).await.unwrap();
    assert_eq!(bench.engine.list(None).await.unwrap(), [first]);
}

async fn a_finished_dyno_is_not_started_again(bench: Arc<Bench>) {
    let spec = bench.start("echo once; exit 4").await;
    assert_eq!(bench.end(spec.id).await, (4, false));
    let before = bench.find(spec.id).await.unwrap();
    bench.engine.start(&spec).await.unwrap();
    assert_eq!(bench.find(spec.id).await.unwrap(), before);
    assert_eq!(bench.lines(spec.id).await, ["once"]);
}

async fn what_is_gone_is_success(bench: Arc<Bench>) {
    let nobody = Uuid::new_v4();
    bench.engine.signal(nobody, Signal::Term).await.unwrap();
    bench.engine.remove(nobody).await.unwrap();
    bench.engine.remove_network(nobody).await.unwrap();
    bench.engine.service_stop(nobody, 1).await.unwrap();
    bench.engine.service_remove(nobody, true).await.unwrap();
    bench.engine.service_disconnect(nobody, nobody).await.unwrap();
    assert_eq!(bench.engine.usage(nobody).await.unwrap(), None);
    assert_eq!(bench.engine.service(nobody).await.unwrap(), None);
    assert!(matches!(bench.engine.output(nobody, None).await.err(), Some(EngineError::NotFound { .. })));
    let exec = bench.engine.exec(Target::Dyno(nobody), &succeed()).await;
    assert!(matches!(exec.err(), Some(EngineError::NotFound { .. })));
    let network = ServiceNetwork { app: app(nobody), aliases: vec![] };
    let connect = bench.engine.service_connect(nobody, &network).await;
    assert!(matches!(connect, Err(EngineError::NotFound { .. })), "{connect:?}");

    let spec = bench.start("exit 0").await;
    bench.end(spec.id).await;
    bench.engine.signal(spec.id, Signal::Term).await.unwrap();
    bench.engine.signal(spec.id, Signal::Kill).await.unwrap();
    assert_eq!(bench.engine.usage(spec.id).await.unwrap(), None);
}

async fn exit_codes_are_seen(bench: Arc<Bench>) {
    for code in [0, 1, 42, 255] {
        let spec = bench.start(&format!("exit {code}")).await;
        assert_eq!(bench.end(spec.id).await, (code, false));
    }
    let spec = bench.start("sleep 1000").await;
    bench.engine.signal(spec.id, Signal::Term).await.unwrap();
    assert_eq!(bench.end(spec.id).await, (143, false));
    let spec = bench.start("trap '' TERM; sleep 1000").await;
    bench.engine.signal(spec.id, Signal::Kill).await.unwrap();
    assert_eq!(bench.end(spec.id).await, (137, false));
}

async fn everything_of_the_spec_is_read_back(bench: Arc<Bench>) {
    let mut spec = bench.spec("sleep 1000");
    spec.name = "worker.12".into();
    spec.kind = paas_daemon::engine::DynoKind::OneOff;
    spec.release_version = 4711;
    bench.engine.start(&spec).await.unwrap();
    let seen = bench.find(spec.id).await.unwrap();
    assert_eq!((seen.app_id, seen.name.as_str(), seen.kind), (spec.app_id, "worker.12", spec.kind));
    assert_eq!(seen.release_version, 4711);
    assert!(matches!(seen.state, DynoState::Running { .. }), "{:?}", seen.state);
    assert!(seen.address.is_some());
    let usage = bench.engine.usage(spec.id).await.unwrap().unwrap();
    assert_eq!(usage.limit, spec.limits.memory_bytes);
    assert!(usage.pids >= 1);
    assert!(!bench.engine.nodes().await.unwrap().is_empty());
}

async fn a_missing_image_is_named(bench: Arc<Bench>) {
    let image = "paas/stack:no-such-stack";
    if bench.docker.is_none() {
        return; // Which images a fake has is up to the test.
    }
    assert!(!bench.engine.image_exists(image).await.unwrap());
    let spec = paas_daemon::engine::DynoSpec { image: image.into(), ..bench.spec("true") };
    let error = bench.engine.start(&spec).await.unwrap_err();
    assert_eq!(error, EngineError::NoSuchImage { image: image.into() });
    assert!(error.to_string().contains("paasd doctor"));
    let owned = bench.engine.owned().await.unwrap();
    assert_eq!(owned, [Owned::Network { app_id: bench.app_id }]);
}

async fn changes_are_hinted_at(bench: Arc<Bench>) {
    let mut changes = bench.engine.changes();
    // The first hint: the stream stands.
    assert_eq!(changes.next().await.unwrap(), None);
    let spec = bench.start("sleep 1000").await;
    assert_eq!(changes.next().await.unwrap(), Some(bench.app_id));
    bench.engine.signal(spec.id, Signal::Kill).await.unwrap();
    // Hints may repeat, so look after each.
    let seen = async {
        while !matches!(bench.find(spec.id).await.unwrap().state, DynoState::Exited { .. }) {
            changes.next().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("a hint for the end");
}

async fn one_app_is_listed_alone(bench: Arc<Bench>) {
    let own = bench.start("sleep 1000").await;
    let mut other = bench.spec("sleep 1000");
    other.app_id = Uuid::new_v4();
    bench.engine.start(&other).await.unwrap();
    let listed = async |app: Option<Uuid>| {
        let mut ids: Vec<Uuid> = bench.engine.list(app).await.unwrap().into_iter().map(|dyno| dyno.id).collect();
        ids.sort();
        ids
    };
    let mut both = vec![own.id, other.id];
    both.sort();
    assert_eq!(listed(None).await, both);
    assert_eq!(listed(Some(bench.app_id)).await, [own.id]);
    assert_eq!(listed(Some(other.app_id)).await, [other.id]);
    assert!(listed(Some(Uuid::new_v4())).await.is_empty());
}

async fn output_resumes_after_the_cursor(bench: Arc<Bench>) {
    let spec = bench.start("echo one; echo two; echo three; echo four; exit 0").await;
    let stream = bench.engine.output(spec.id, None).await.unwrap();
    let all: Vec<_> = stream.map(Result::unwrap).collect().await;
    let texts: Vec<_> = all.iter().map(|line| String::from_utf8_lossy(&line.bytes)).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
    for (index, line) in all.iter().enumerate() {
        let stream = bench.engine.output(spec.id, Some(line.at)).await.unwrap();
        let rest: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert_eq!(rest, all[index + 1..], "after line {index}");
    }
}

async fn removal_leaves_nothing(bench: Arc<Bench>) {
    let running = bench.start("sleep 1000").await;
    let finished = bench.start("exit 0").await;
    bench.end(finished.id).await;
    for spec in [&running, &finished] {
        bench.engine.remove(spec.id).await.unwrap();
        bench.engine.remove(spec.id).await.unwrap();
    }
    bench.engine.remove_network(bench.app_id).await.unwrap();
    assert_eq!(bench.engine.owned().await.unwrap(), []);
    let dynos = bench.data.join("dynos");
    assert!(!dynos.exists() || std::fs::read_dir(dynos).unwrap().next().is_none());
}

async fn a_network_in_use_says_by_whom(bench: Arc<Bench>) {
    let spec = bench.start("sleep 1000").await;
    let error = bench.engine.remove_network(bench.app_id).await.unwrap_err();
    assert!(matches!(&error, EngineError::InUse { by, .. } if !by.is_empty()), "{error}");
    bench.engine.remove(spec.id).await.unwrap();
    bench.engine.remove_network(bench.app_id).await.unwrap();
    bench.engine.ensure_network(&app(bench.app_id)).await.unwrap();
    bench.engine.ensure_network(&app(bench.app_id)).await.unwrap();
}

async fn services_keep_their_volume_and_change_networks(bench: Arc<Bench>) {
    let [one, two] = [Uuid::new_v4(), Uuid::new_v4()];
    let network = |app_id| ServiceNetwork { app: app(app_id), aliases: vec!["redis-1".into()] };
    let mut spec = service();
    spec.networks = vec![network(one)];
    bench.engine.service_start(&spec).await.unwrap();
    bench.engine.service_start(&spec).await.unwrap();
    let seen = bench.engine.service(spec.id).await.unwrap().unwrap();
    assert_eq!((seen.name.as_str(), seen.apps.as_slice()), ("redis-1", [one].as_slice()));
    assert!(matches!(seen.state, ServiceState::Running { .. }), "{:?}", seen.state);

    bench.engine.service_connect(spec.id, &network(two)).await.unwrap();
    bench.engine.service_connect(spec.id, &network(two)).await.unwrap();
    bench.engine.service_disconnect(spec.id, one).await.unwrap();
    bench.engine.service_disconnect(spec.id, one).await.unwrap();
    assert_eq!(bench.engine.service(spec.id).await.unwrap().unwrap().apps, [two]);
    // The spec is the truth again at the next start.
    bench.engine.service_start(&spec).await.unwrap();
    assert_eq!(bench.engine.service(spec.id).await.unwrap().unwrap().apps, [one]);

    bench.engine.service_stop(spec.id, 5).await.unwrap();
    let seen = bench.engine.service(spec.id).await.unwrap().unwrap();
    assert!(matches!(seen.state, ServiceState::Stopped { .. }), "{:?}", seen.state);
    bench.engine.service_remove(spec.id, false).await.unwrap();
    assert!(bench.engine.owned().await.unwrap().contains(&Owned::ServiceVolume(spec.id)));
    let kept = bench.engine.discard(&Owned::ServiceVolume(spec.id)).await;
    assert!(matches!(kept, Err(EngineError::InUse { .. })), "{kept:?}");
    bench.engine.service_remove(spec.id, true).await.unwrap();
    for app_id in [one, two] {
        bench.engine.remove_network(app_id).await.unwrap();
    }
    assert_eq!(bench.engine.owned().await.unwrap(), []);
}

async fn attaching_to_an_existing_dyno_is_refused(bench: Arc<Bench>) {
    let spec = bench.start("sleep 1000").await;
    let error = bench.engine.start_attached(&spec).await.err().unwrap();
    assert!(matches!(error, EngineError::AlreadyThere { .. }), "{error}");
    assert!(matches!(bench.find(spec.id).await.unwrap().state, DynoState::Running { .. }));
}

async fn strays_are_listed_and_discarded(bench: Arc<Bench>) {
    let spec = bench.start("sleep 1000").await;
    let owned = bench.engine.owned().await.unwrap();
    let expected = [Owned::Dyno(spec.id), Owned::DynoVolume(spec.id), Owned::DynoDir(spec.id)];
    assert_eq!(owned, [expected.as_slice(), &[Owned::Network { app_id: bench.app_id }]].concat());
    for stray in &owned {
        bench.engine.discard(stray).await.unwrap();
    }
    assert_eq!(bench.engine.owned().await.unwrap(), []);
}

fn app(app_id: Uuid) -> AppNetwork {
    AppNetwork { app_id, app_name: "contract".into() }
}

/// A service that keeps a file.
pub fn service() -> ServiceSpec {
    ServiceSpec {
        id: Uuid::new_v4(),
        name: "redis-1".into(),
        image: "paas/redis:7".into(),
        command: vec![],
        env: vec![],
        volume_target: Some("/data".into()),
        user: None,
        networks: vec![],
        memory_bytes: 64 << 20,
        labels: vec![],
    }
}

fn succeed() -> paas_daemon::engine::ExecSpec {
    paas_daemon::engine::ExecSpec { argv: vec!["true".into()], ..Default::default() }
}
