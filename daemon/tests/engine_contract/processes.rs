//! Processes in a dyno: the start order, init, signals, memory, the slug at /app.

use paas_daemon::engine::{DynoSpec, DynoState, Limits, Signal};
use paas_domain::size::Size;

use super::util::{Bench, Which, run};

#[test]
fn the_start_order_is_herokus() {
    run(Which::Docker, async |bench| {
        let slug = bench.data.join("releases/slug");
        std::fs::create_dir_all(slug.join(".profile.d")).unwrap();
        std::fs::write(slug.join(".profile.d/020_two.sh"), "export ORDER=\"$ORDER two\"\nset -- lost\n").unwrap();
        std::fs::write(slug.join(".profile.d/010_one.sh"), "export ORDER=\"$ORDER one\"\n").unwrap();
        std::fs::write(slug.join(".profile"), "export ORDER=\"$ORDER profile\"\n").unwrap();
        let mut spec =
            bench.spec("ORDER=\"$ORDER command\" printenv ORDER GREETING HOME && pwd; tr '\\0' ' ' </proc/1/cmdline");
        spec.env.push(("ORDER".into(), "config".into()));
        spec.slug_dir = Some(slug);
        bench.engine.start(&spec).await.unwrap();
        let lines = bench.lines(spec.id).await;
        assert_eq!(lines[..4], ["config one two profile command", "hello", "/app", "/app"]);
        assert!(lines[4].starts_with("/paas-init "), "{lines:?}");
    });
}

#[test]
fn commands_are_bash_and_arrive_whole() {
    run(Which::Docker, async |bench| {
        let (code, out) =
            bench.run("FOO='a  b' bash -c 'echo \"$FOO\"' && echo \"it's\" `echo fine` | cat; exit 3").await;
        assert_eq!((code, out.as_str()), (3, "a  b\nit's fine"));
        let (code, out) = bench.run("no-such-program x").await;
        assert_eq!(code, 127, "{out}");
        assert!(out.contains("no-such-program: command not found"), "{out}");
        let mut spec = bench.spec("");
        spec.command = vec!["/no/such/file".into()];
        bench.engine.start(&spec).await.unwrap();
        assert_eq!(bench.lines(spec.id).await, ["paas-init: /no/such/file: command not found"]);
        assert_eq!(bench.end(spec.id).await, (127, false));
    });
}

#[test]
fn sigterm_reaches_every_process() {
    run(Which::Docker, async |bench| {
        // Nothing is exec'd: bash, its child, the child's child; each says goodbye.
        let child = r#"trap 'echo child; exit' TERM; (trap 'echo grandchild; exit' TERM; echo ready; while :; do sleep 0.1; done) & wait"#;
        let spec = bench
            .start(&format!(
                "trap 'echo parent; wait; exit 9' TERM; bash -c '{}' & wait; wait",
                child.replace('\'', "'\\''")
            ))
            .await;
        bench.line(spec.id, "ready").await;
        bench.engine.signal(spec.id, Signal::Term).await.unwrap();
        let mut lines = bench.lines(spec.id).await;
        lines.sort();
        // What bash itself says of it depends on who ends first.
        lines.retain(|line| !line.contains("Terminated"));
        assert_eq!(lines, ["child", "grandchild", "parent", "ready"]);
        assert_eq!(bench.end(spec.id).await, (9, false));
    });
}

#[test]
fn who_ignores_sigterm_stays_until_killed() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("trap '' TERM; trap 'echo heard' USR1; echo ready; while :; do sleep 0.1; done").await;
        bench.line(spec.id, "ready").await;
        bench.engine.signal(spec.id, Signal::Term).await.unwrap();
        // Proof of life after the signal.
        bench.engine.signal(spec.id, Signal::Usr1).await.unwrap();
        bench.line(spec.id, "heard").await;
        bench.engine.signal(spec.id, Signal::Kill).await.unwrap();
        assert_eq!(bench.end(spec.id).await, (137, false));
    });
}

#[test]
fn a_dyno_out_of_memory_says_so() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("exec tail /dev/zero").await;
        assert_eq!(bench.end(spec.id).await, (137, true));
        // Below init, as a child that its parent outlives for a moment.
        let spec = bench.start("tail /dev/zero; exit 1").await;
        assert_eq!(bench.end(spec.id).await, (1, true));
    });
}

#[test]
fn a_child_that_the_kernel_killed_is_counted() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("tail /dev/zero; echo ready; sleep 1000").await;
        bench.line(spec.id, "ready").await;
        assert_eq!(bench.engine.usage(spec.id).await.unwrap().unwrap().oom_kills, Some(1));
        let spec = bench.start("tail /dev/zero; exit 0").await;
        assert_eq!(bench.end(spec.id).await, (0, true));
    });
}

#[test]
fn dynos_of_every_size_start_on_any_machine() {
    run(Which::Docker, async |bench| {
        for size in Size::ALL {
            let limits = Limits {
                memory_bytes: size.memory_bytes() * 2,
                cpu_shares: size.cpu_shares(),
                cpu_millis: Some(size.cpu_millis()),
                pids: size.pids(),
            };
            let spec = DynoSpec { limits, ..bench.spec("echo here") };
            bench.engine.start(&spec).await.unwrap_or_else(|error| panic!("{size}: {error}"));
            assert_eq!(bench.lines(spec.id).await, ["here"], "{size}");
        }
        // More than any machine has.
        let limits = Limits { memory_bytes: 1 << 45, cpu_shares: 1024, cpu_millis: Some(1_000_000), pids: 64 };
        let spec = DynoSpec { limits, ..bench.spec("echo here") };
        bench.engine.start(&spec).await.unwrap();
        assert_eq!(bench.lines(spec.id).await, ["here"]);
    });
}

#[test]
fn what_a_dyno_writes_is_measured() {
    run(Which::Docker, async |bench| {
        let spec = bench
            .start("head -c 3000000 /dev/zero >/tmp/x; head -c 3000000 /dev/zero >/app/x; echo ready; sleep 1000")
            .await;
        bench.line(spec.id, "ready").await;
        let written = bench.engine.written(spec.id).await.unwrap();
        assert!((6_000_000..8_000_000).contains(&written), "{written}");
    });
}

#[test]
fn usage_is_measured() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ready; while :; do :; done").await;
        bench.line(spec.id, "ready").await;
        let usage = bench.engine.usage(spec.id).await.unwrap().unwrap();
        assert!(usage.rss > 19_000_000 && usage.rss < 64 << 20, "{usage:?}");
        assert!(usage.memory_total >= usage.rss / 2, "{usage:?}");
        assert_eq!(usage.limit, 64 << 20);
        assert!(usage.cpu_micros > 0 && usage.pids >= 2, "{usage:?}");
        let busy = bench.until("it runs", async || {
            bench.engine.usage(spec.id).await.unwrap().unwrap().runnable.filter(|count| *count >= 1)
        });
        assert!(busy.await >= 1);
    });
}

#[test]
fn dynos_of_a_slug_write_each_for_themselves() {
    run(Which::Docker, async |bench| {
        let slug = bench.data.join("releases/slug");
        std::fs::create_dir_all(slug.join("public")).unwrap();
        std::fs::write(slug.join("public/file"), "original").unwrap();
        for path in [&slug, &slug.join("public")] {
            std::os::unix::fs::chown(path, Some(10_001), Some(10_001)).unwrap();
        }
        let spec_of = |command: &str| DynoSpec { slug_dir: Some(slug.clone()), ..bench.spec(command) };
        let one =
            spec_of("echo mine >/app/new && echo changed >/app/public/new && echo x >/tmp/x && ls /app && sleep 1000");
        bench.engine.start(&one).await.unwrap();
        bench.line(one.id, "public").await;
        let two = spec_of("ls -A /app /tmp; cat /app/public/file; stat -c '%u:%g' /app /tmp");
        bench.engine.start(&two).await.unwrap();
        let lines = bench.lines(two.id).await;
        assert_eq!(lines, ["/app:", "public", "", "/tmp:", "original10001:10001", "10001:10001"]);
        assert_eq!(std::fs::read_dir(&slug).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(slug.join("public")).unwrap().count(), 1);
        bench.engine.remove(one.id).await.unwrap();
    });
}

#[test]
fn a_dyno_that_was_made_but_not_started_is_started() {
    run(Which::Docker, async |bench| {
        // A daemon killed between the two leaves exactly this: made by the same means, not started.
        let spec = bench.start("sleep 1000").await;
        let name = format!("paas-dyno-{}", spec.id.simple());
        docker(&["stop", "-t", "0", &name]);
        docker(&["rename", &name, &format!("{name}-old")]);
        docker(&["rm", "-f", &format!("{name}-old")]);
        only_made(&bench, &spec, &["sleep", "1000"]);
        assert_eq!(bench.find(spec.id).await.unwrap().state, DynoState::Created);
        bench.engine.start(&spec).await.unwrap();
        assert!(matches!(bench.find(spec.id).await.unwrap().state, DynoState::Running { .. }));
    });
}

/// Makes a dyno's container and doesn't start it.
pub fn only_made(bench: &Bench, spec: &DynoSpec, command: &[&str]) {
    let labels = [
        ("paas.instance", bench.docker.as_ref().unwrap().config().instance.clone()),
        ("paas.kind", "dyno".into()),
        ("paas.app-id", spec.app_id.to_string()),
        ("paas.dyno-id", spec.id.to_string()),
        ("paas.dyno", spec.name.clone()),
        ("paas.dyno-kind", spec.kind.as_str().to_owned()),
        ("paas.release", spec.release_version.to_string()),
    ]
    .map(|(key, value)| format!("--label={key}={value}"));
    let name = format!("paas-dyno-{}", spec.id.simple());
    let mut arguments = vec!["create", "--name", &name];
    arguments.extend(labels.iter().map(String::as_str));
    arguments.push(&spec.image);
    arguments.extend(command);
    docker(&arguments);
}

/// What somebody else does at the same engine.
fn docker(arguments: &[&str]) {
    let output = std::process::Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
