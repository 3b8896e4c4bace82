//! Builds: limits, watches, cancellation, and nothing left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paas_buildpacks::sandbox::{CancellationToken, Exit, Limits, Mount, Sandbox, SandboxError, Step};
use paas_daemon::engine::docker::DockerSandbox;
use uuid::Uuid;

use super::util::{Bench, IMAGE, Which, run, run_with};

fn sandbox(bench: &Arc<Bench>) -> DockerSandbox {
    DockerSandbox::new(bench.docker.clone().unwrap())
}

/// A build of this script with a directory `/build` to write to.
fn step(bench: &Arc<Bench>, script: &str) -> Step {
    let build = bench.data.join(format!("build-{}", Uuid::new_v4()));
    std::fs::create_dir_all(&build).unwrap();
    std::os::unix::fs::chown(&build, Some(10_001), Some(10_001)).unwrap();
    Step {
        name: format!("build-{}", Uuid::new_v4().simple()),
        labels: vec![("paas.app".into(), "contract".into())],
        image: IMAGE.into(),
        argv: vec!["/bin/bash".into(), "-c".into(), script.into()],
        env: vec![("STACK".into(), "debian-12".into())],
        mounts: vec![Mount { host: build, container: "/build".into(), read_only: false }],
        cwd: "/build".into(),
        limits: Limits {
            memory_bytes: 128 << 20,
            cpus: 1.0,
            pids: 64,
            time: Duration::from_secs(60),
            disk_bytes: 64 << 20,
        },
        cancel: CancellationToken::new(),
    }
}

async fn build(bench: &Arc<Bench>, script: &str) -> (Exit, String) {
    let mut output = Vec::new();
    let exit = sandbox(bench).run(&step(bench, script), &mut output).await.unwrap();
    assert_eq!(bench.engine.owned().await.unwrap(), [], "a build leaves nothing");
    (exit, String::from_utf8_lossy(&output).into_owned())
}

#[test]
fn a_build_works_in_its_directory_without_power() {
    run(Which::Docker, async |bench| {
        let script = "pwd; echo $STACK; id -u; echo e >&2; grep CapEff /proc/self/status; touch /usr/x 2>/dev/null; echo made >made; echo x >/tmp/x; exit 3";
        let mut step = step(&bench, script);
        // A ceiling above what the machine has is none.
        step.limits.cpus = 500.0;
        let mut out = Vec::new();
        assert_eq!(sandbox(&bench).run(&step, &mut out).await.unwrap(), Exit::Code(3));
        let out = String::from_utf8(out).unwrap();
        let mut lines: Vec<&str> = out.lines().collect();
        lines.sort();
        assert_eq!(lines, ["/build", "10001", "CapEff:\t0000000000000000", "debian-12", "e"]);
        assert_eq!(std::fs::read(step.mounts[0].host.join("made")).unwrap(), b"made\n");
    });
}

#[test]
fn limits_are_told_apart() {
    run(Which::Docker, async |bench| {
        assert_eq!(build(&bench, "tail /dev/zero").await.0, Exit::OutOfMemory);
        assert_eq!(build(&bench, "head -c 70000000 /dev/zero >large").await.0, Exit::DiskFull);
        let many = "for i in {1..100}; do head -c 1000000 /dev/zero >small$i; done; sleep 1000";
        assert_eq!(build(&bench, many).await.0, Exit::DiskFull);
        // Empty files take no blocks, but a disk has an end of them.
        assert_eq!(build(&bench, "touch {1..20000}; sleep 1000").await.0, Exit::DiskFull);
        assert_eq!(build(&bench, "kill -9 $$").await.0, Exit::Code(137));
        // The bomb in a shell of its own: one that can't fork any more ends with 254.
        let bomb = "bomb() { bomb | bomb & }; (bomb) 2>/dev/null & while ((SECONDS < 2)); do :; done; exit 7";
        assert_eq!(build(&bench, bomb).await.0, Exit::Code(7));
        assert_eq!(build(&bench, "sleep 1000 & exit 0").await.0, Exit::Code(0));
    });
}

#[test]
fn a_disk_that_runs_short_ends_the_build() {
    // A reserve that no disk has.
    run_with(
        Which::Docker,
        |config| config.disk_reserve = u64::MAX,
        async |bench: Arc<Bench>| {
            assert_eq!(build(&bench, "sleep 1000").await.0, Exit::DiskFull);
        },
    );
}

#[test]
fn time_and_cancellation_end_the_build() {
    run(Which::Docker, async |bench| {
        let mut output = Vec::new();
        let mut slow = step(&bench, "trap '' TERM; echo begun; sleep 1000; sleep 1000");
        slow.limits.time = Duration::from_secs(2);
        let begun = Instant::now();
        assert_eq!(sandbox(&bench).run(&slow, &mut output).await.unwrap(), Exit::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert_eq!(output, b"begun\n");

        let cancelled = step(&bench, "sleep 1000");
        let token = cancelled.cancel.clone();
        let waiting = async {
            bench
                .until("the build is there", async || (!bench.engine.owned().await.unwrap().is_empty()).then_some(()))
                .await;
            token.cancel();
        };
        let sandbox = sandbox(&bench);
        let (exit, ()) = tokio::join!(sandbox.run(&cancelled, &mut output), waiting);
        assert_eq!(exit.unwrap(), Exit::Cancelled);
        assert_eq!(sandbox.run(&cancelled, &mut output).await.unwrap(), Exit::Cancelled);
        assert_eq!(bench.engine.owned().await.unwrap(), []);
    });
}

#[test]
fn a_dropped_build_is_cleaned_up_and_a_left_over_one_replaced() {
    run(Which::Docker, async |bench| {
        let step = step(&bench, "sleep 1000");
        let mut output = Vec::new();
        let sandbox = sandbox(&bench);
        let dropped = tokio::time::timeout(Duration::from_secs(2), sandbox.run(&step, &mut output)).await;
        assert!(dropped.is_err());
        bench.until("nothing is left", async || bench.engine.owned().await.unwrap().is_empty().then_some(())).await;
        // A daemon that was killed leaves a container of this name.
        let name = format!("paas-{}-{}", bench.docker.as_ref().unwrap().config().instance, step.name);
        let made = std::process::Command::new("docker").args(["create", "--name", &name, IMAGE]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let quick = Step { argv: vec!["/bin/true".into()], ..step };
        assert_eq!(sandbox.run(&quick, &mut output).await.unwrap(), Exit::Code(0));
    });
}

#[test]
fn a_missing_image_is_named() {
    run(Which::Docker, async |bench| {
        let step = Step { image: "paas/stack:no-such-stack".into(), ..step(&bench, "true") };
        let error = sandbox(&bench).run(&step, &mut Vec::new()).await.unwrap_err();
        assert!(matches!(&error, SandboxError::NoImage { image } if image == "paas/stack:no-such-stack"), "{error}");
    });
}

#[test]
fn builds_do_not_see_each_other() {
    run(Which::Docker, async |bench| {
        let mut server = step(&bench, "hostname -i >address; exec python3 -m http.server 8000");
        server.limits.time = Duration::from_secs(20);
        let sandbox = sandbox(&bench);
        let token = server.cancel.clone();
        let file: PathBuf = server.mounts[0].host.join("address");
        let client = async {
            let address = bench
                .until("the address", async || std::fs::read_to_string(&file).ok().filter(|text| !text.is_empty()))
                .await;
            let script = format!(
                "if timeout 3 bash -c '</dev/tcp/{}/8000' 2>/dev/null; then echo open; else echo closed; fi",
                address.trim()
            );
            let mut output = Vec::new();
            sandbox.run(&step(&bench, &script), &mut output).await.unwrap();
            token.cancel();
            String::from_utf8(output).unwrap()
        };
        let mut ignored = Vec::new();
        let (_, seen) = tokio::join!(sandbox.run(&server, &mut ignored), client);
        assert_eq!(seen, "closed\n");
    });
}
