//! The first process at work, in a PID namespace of its own (`unshare`, of util-linux; no
//! Docker needed). What Docker adds is tested by the daemon's `engine_contract.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A namespace with `paas-init` as its first process.
struct Namespace {
    unshare: Child,
    output: BufReader<ChildStdout>,
}

impl Namespace {
    fn start(arguments: &[&str]) -> Self {
        // A first process that never ends fails its test instead of holding it up.
        let mut unshare = Command::new("timeout")
            .args(["--foreground", "--signal=KILL", "30", "unshare"])
            // Without root, a user namespace gives the right to make the others.
            .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(env!("CARGO_BIN_EXE_paas-init"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare (package util-linux) runs");
        let output = BufReader::new(unshare.stdout.take().unwrap());
        Self { unshare, output }
    }

    fn bash(script: &str) -> Self {
        Self::start(&["--grace", "1", "--", "bash", "-c", script])
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: &str) {
        let child_of = |parent: &str| {
            let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
            children.split_whitespace().next().unwrap().to_owned()
        };
        let init = child_of(&child_of(&self.unshare.id().to_string()));
        assert!(Command::new("kill").args(["-s", signal, &init]).status().unwrap().success());
    }

    /// Exit code, what it still wrote, standard error, and how long the end took.
    fn end(mut self) -> (i32, String, String, Duration) {
        let begun = Instant::now();
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.unshare.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = self.unshare.wait().unwrap().code().expect("an end within 30 seconds");
        (code, out, err, begun.elapsed())
    }
}

#[test]
fn the_exit_code_is_kept() {
    assert_eq!(Namespace::bash("exit 7").end().0, 7);
    assert_eq!(Namespace::bash("kill -KILL $$").end().0, 128 + 9);
    assert_eq!(Namespace::start(&["true"]).end().0, 0);
}

#[test]
fn a_program_that_is_missing_or_not_executable_is_named() {
    let (code, _, err, _) = Namespace::start(&["no-such-program", "x"]).end();
    assert_eq!((code, err.as_str()), (127, "paas-init: no-such-program: command not found\n"));
    let (code, _, err, _) = Namespace::start(&["/etc/passwd"]).end();
    assert_eq!(code, 126);
    assert!(err.starts_with("paas-init: /etc/passwd: can't be executed: "), "{err}");
}

#[test]
fn wrong_calls_are_refused() {
    for arguments in [&[][..], &["--grace"], &["--grace", "soon", "true"]] {
        assert_eq!(Namespace::start(arguments).end().0, 125, "{arguments:?}");
    }
    let outside = Command::new(env!("CARGO_BIN_EXE_paas-init")).arg("true").output().unwrap();
    assert_eq!(outside.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&outside.stderr).contains("PID 1"));
}

#[test]
fn what_is_said_has_room_while_nobody_reads_it() {
    let mut dyno = Namespace::bash("head -c 1000000 /dev/zero; echo all >&2");
    let mut said = String::new();
    BufReader::new(dyno.unshare.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "all\n");
    assert_eq!(dyno.end().0, 0);
}

#[test]
fn sigterm_reaches_grandchildren_and_all_are_waited_for() {
    // The grandchild says goodbye a moment after its parents are gone.
    let grandchild = r#"trap 'sleep 0.3; echo goodbye; exit' TERM; echo ready; while :; do sleep 0.05; done"#;
    let mut dyno = Namespace::start(&["bash", "-c", "bash -c \"$0\" & wait", grandchild]);
    assert_eq!(dyno.line(), "ready");
    dyno.signal("TERM");
    let (code, out, _, took) = dyno.end();
    assert_eq!((code, out.as_str()), (128 + 15, "goodbye\n"));
    assert!(took >= Duration::from_millis(250), "{took:?}");
}

#[test]
fn a_trap_may_clean_up_with_other_programs() {
    let mut dyno =
        Namespace::bash("trap 'sleep 1 && echo clean; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    assert_eq!(dyno.line(), "ready");
    dyno.signal("TERM");
    dyno.signal("TERM");
    let (code, out, _, _) = dyno.end();
    assert_eq!((code, out.as_str()), (3, "clean\n"));
}

#[test]
fn who_is_born_in_the_shutdown_and_stays_is_asked_too() {
    let mut dyno = Namespace::bash("trap 'sleep 1000 & wait; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    assert_eq!(dyno.line(), "ready");
    dyno.signal("TERM");
    let (code, _, _, took) = dyno.end();
    assert_eq!(code, 3);
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_program_that_ignores_sigterm_stays() {
    let mut dyno = Namespace::bash("trap '' TERM; echo ready; read line; echo \"got $line\"");
    assert_eq!(dyno.line(), "ready");
    dyno.signal("TERM");
    dyno.unshare.stdin.take().unwrap().write_all(b"word\n").unwrap();
    assert_eq!(dyno.line(), "got word");
    assert_eq!(dyno.end().0, 0);
}

#[test]
fn the_rest_is_ended_after_the_program() {
    let (code, out, _, took) =
        Namespace::bash("(trap 'echo asked; exit' TERM; while :; do sleep 0.05; done) & sleep 0.2; exit 5").end();
    assert_eq!((code, out.as_str()), (5, "asked\n"));
    assert!(took < Duration::from_secs(1), "{took:?}");
    // One that does not listen is killed after the grace.
    let (code, _, _, took) = Namespace::bash("(trap '' TERM; while :; do sleep 0.05; done) & sleep 0.2; exit 5").end();
    assert_eq!(code, 5);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn orphans_are_reaped_while_the_program_runs() {
    let script =
        "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status; echo done";
    let (code, out, _, _) = Namespace::bash(script).end();
    assert_eq!((code, out.as_str()), (0, "done\n"));
}

#[test]
fn other_signals_go_to_the_program() {
    for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"] {
        let mut dyno =
            Namespace::bash(&format!("trap 'echo got; exit 9' {signal}; echo ready; while :; do sleep 0.05; done"));
        assert_eq!(dyno.line(), "ready");
        dyno.signal(signal);
        let (code, out, _, _) = dyno.end();
        assert_eq!((code, out.as_str()), (9, "got\n"), "{signal}");
    }
}

#[test]
fn the_program_starts_with_no_signal_blocked() {
    let (_, out, _, _) = Namespace::start(&["grep", "SigBlk", "/proc/self/status"]).end();
    assert_eq!(out, "SigBlk:\t0000000000000000\n");
}
