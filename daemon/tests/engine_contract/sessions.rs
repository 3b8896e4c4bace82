//! Attached dynos and programs beside them.

use futures_util::StreamExt;
use paas_daemon::engine::{DynoSpec, ExecSpec, OutputStream, Session, Target};
use tokio::io::AsyncWriteExt;

use super::util::{Bench, Which, run};

/// Both streams to their end.
async fn read(session: &mut Session) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = session.output.next().await {
        match piece.unwrap() {
            (OutputStream::Stdout, bytes) => out.extend_from_slice(&bytes),
            (OutputStream::Stderr, bytes) => err.extend_from_slice(&bytes),
        }
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn attached(bench: &Bench, command: &str, tty: bool) -> DynoSpec {
    DynoSpec { tty, stdin: true, name: "run.1".into(), ..bench.spec(command) }
}

#[test]
fn piped_input_goes_through_to_its_end() {
    run(Which::Docker, async |bench| {
        let spec = attached(&bench, "echo first; sort; echo last >&2; exit 6", false);
        let mut session = bench.engine.start_attached(&spec).await.unwrap();
        session.input.write_all(b"b\na\n").await.unwrap();
        session.input.shutdown().await.unwrap();
        assert_eq!(read(&mut session).await, ("first\na\nb\n".into(), "last\n".into()));
        assert_eq!(session.control.exit_code().await.unwrap(), 6);
        assert_eq!(bench.end(spec.id).await, (6, false));
    });
}

#[test]
fn a_megabyte_of_input_comes_back() {
    run(Which::Docker, async |bench| {
        let mut session = bench.engine.start_attached(&attached(&bench, "cat", false)).await.unwrap();
        let sent: Vec<u8> = (0..1 << 20).map(|index: u32| b'a' + (index % 26) as u8).collect();
        let copy = sent.clone();
        let mut input = std::mem::replace(&mut session.input, Box::pin(tokio::io::sink()));
        let writer = tokio::spawn(async move {
            input.write_all(&copy).await.unwrap();
            input.shutdown().await.unwrap();
            // Kept until the end: dropping it would close the session.
            input
        });
        let (out, _) = read(&mut session).await;
        drop(writer.await.unwrap());
        assert_eq!(out.len(), sent.len());
        assert!(out.as_bytes() == sent);
    });
}

#[test]
fn a_terminal_has_job_control_a_size_and_control_c() {
    run(Which::Docker, async |bench| {
        let mut spec = attached(&bench, "bash --norc -i", true);
        spec.env.extend([("PS1".into(), "$ ".into()), ("TERM".into(), "dumb".into())]);
        let mut session = bench.engine.start_attached(&spec).await.unwrap();
        session.control.resize(101, 31).await.unwrap();
        session.input.write_all(b"stty size; sh -c 'echo sle''pt; exec sleep 1000'\n").await.unwrap();
        let mut screen = String::new();
        expect(&mut session, &mut screen, "31 101").await;
        expect(&mut session, &mut screen, "slept").await;
        // The foreground job ends, the shell does not.
        session.input.write_all(b"\x03").await.unwrap();
        session.input.write_all(b"echo back=$?; sleep 500 & jobs; kill %1; exit 4\n").await.unwrap();
        expect(&mut session, &mut screen, "back=130").await;
        expect(&mut session, &mut screen, "Running").await;
        while session.output.next().await.is_some() {}
        assert!(!screen.contains("no job control"), "{screen}");
        assert_eq!(session.control.exit_code().await.unwrap(), 4);
    });
}

/// Reads on until the screen shows the text.
async fn expect(session: &mut Session, screen: &mut String, text: &str) {
    let reading = async {
        while !screen.contains(text) {
            let (_, bytes) = session.output.next().await.expect("the session goes on").unwrap();
            screen.push_str(&String::from_utf8_lossy(&bytes));
        }
    };
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(20), reading).await;
    assert!(outcome.is_ok(), "no {text:?} in {screen:?}");
}

#[test]
fn programs_beside_are_hung_up_on_with_all_that_they_started() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("sleep 1000").await;
        let program = |script: &str, tty: bool| ExecSpec {
            argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
            tty,
            ..Default::default()
        };
        let mut all = Vec::new();
        for (script, tty, code) in [
            ("setsid sleep 4711 & echo here; exec sleep 4711", false, 129),
            ("echo here; while :; do sleep 0.1; done", true, 129),
            ("trap '' HUP; echo here; while :; do sleep 0.1; done", false, 137),
        ] {
            let mut session = bench.engine.exec(Target::Dyno(spec.id), &program(script, tty)).await.unwrap();
            expect(&mut session, &mut String::new(), "here").await;
            session.control.hang_up().await.unwrap();
            all.push((session, code));
        }
        for (session, code) in all {
            assert_eq!(session.control.exit_code().await.unwrap(), code);
        }
        let look = program("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", false);
        let (left, _) = read(&mut bench.engine.exec(Target::Dyno(spec.id), &look).await.unwrap()).await;
        assert!(left.contains("sleep 1000") && !left.contains("4711"), "{left}");
    });
}

#[test]
fn more_programs_run_beside() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("sleep 1000").await;
        let exec = ExecSpec {
            argv: ["bash", "-c", "echo $EXTRA $GREETING; id -u; cat; echo e >&2; exit 5"].map(str::to_owned).to_vec(),
            env: vec![("EXTRA".into(), "extra".into())],
            ..Default::default()
        };
        let mut session = bench.engine.exec(Target::Dyno(spec.id), &exec).await.unwrap();
        session.input.write_all(b"typed\n").await.unwrap();
        session.input.shutdown().await.unwrap();
        assert_eq!(read(&mut session).await, ("extra hello\n10001\ntyped\n".into(), "e\n".into()));
        assert_eq!(session.control.exit_code().await.unwrap(), 5);
        let exec = ExecSpec {
            argv: ["stty", "size"].map(str::to_owned).to_vec(),
            tty: true,
            size: Some((90, 20)),
            ..Default::default()
        };
        let mut session = bench.engine.exec(Target::Dyno(spec.id), &exec).await.unwrap();
        // Docker sizes the terminal after the program's start: either is an answer.
        let (out, _) = read(&mut session).await;
        assert!(["20 90\r\n", "0 0\r\n"].contains(&out.as_str()), "{out:?}");
        assert_eq!(session.control.exit_code().await.unwrap(), 0);
    });
}
