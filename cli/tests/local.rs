//! `paas local` with real processes: what it prints, how it ends, what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before a test fails; nothing waits that long when all is well.
const LONG: Duration = Duration::from_secs(30);

/// A folder with files, and a mark in the environment by which every process that is
/// started there is found again.
struct Place {
    folder: TempDir,
    mark: String,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mark = format!("PAAS_TEST_MARK={}", folder.path().display());
        Self { folder, mark }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("paas"));
        let (name, value) = self.mark.split_once('=').unwrap();
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env(name, value)
            .env_remove("PORT")
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end: exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        let code = output.status.code().or(signal.map(|signal| 128 + signal));
        (code.unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.split(b'\n') {
                let _ = sender.send(String::from_utf8_lossy(&line.unwrap()).into_owned());
            }
        });
        Running { child, lines, seen: Vec::new() }
    }

    /// The command lines of all living processes that carry the mark.
    fn processes(&self) -> Vec<String> {
        let read = |pid: &Path, what: &str| std::fs::read(pid.join(what)).unwrap_or_default();
        let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let marked = all.filter(|pid| read(pid, "environ").split(|b| *b == 0).any(|var| var == self.mark.as_bytes()));
        marked.map(|pid| String::from_utf8_lossy(&read(&pid, "cmdline")).replace('\0', " ")).collect()
    }
}

struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Waits for a line with this in it.
    fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LONG;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("{text:?} did not come; came: {:#?}", self.seen);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end: exit code and every line.
    fn end(mut self) -> (i32, String) {
        let deadline = Instant::now() + LONG;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        assert!(Instant::now() < deadline, "did not end; said: {:#?}", self.seen);
        (self.child.wait().unwrap().code().unwrap(), self.seen.join("\n"))
    }
}

/// Lines without their times and pids.
fn plain(lines: &str) -> Vec<String> {
    let plain = |line: &str| {
        let line = line.get(9..).unwrap_or_default();
        match line.split_once("with pid ") {
            Some((before, after)) => format!("{before}with pid N {}", after.split_once(' ').unwrap().1),
            None => line.to_owned(),
        }
    };
    lines.lines().map(plain).collect()
}

#[test]
fn ctrl_c_ends_everything() {
    let place = Place::new(&[(
        "Procfile",
        "web: trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done\nworker: echo ready; sleep 1000 & sleep 1000 & wait\n",
    )]);
    let mut running = place.start(&["local"]);
    running.wait_for("web.1    | ready");
    if !running.seen.iter().any(|line| line.contains("worker.1 | ready")) {
        running.wait_for("worker.1 | ready");
    }
    assert!(place.processes().len() >= 4, "{:?}", place.processes());
    running.signal(Signal::INT);
    let (code, said) = running.end();
    assert_eq!(code, 130);
    for line in [
        "system   | SIGINT received, stopping all processes",
        "system   | sending SIGTERM to all processes",
        "web.1    | bye",
        "web.1    | exited with code 0",
        "worker.1 | terminated by SIGTERM",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains("SIGKILL"), "{said}");
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn what_ignores_sigterm_is_killed_with_its_children() {
    let place = Place::new(&[("Procfile", "web: trap '' TERM; echo ready; sleep 1000 & while :; do sleep 1; done\n")]);
    let mut running = place.start(&["local", "-t", "1"]);
    running.wait_for("| ready");
    let begun = Instant::now();
    running.signal(Signal::TERM);
    let (code, said) = running.end();
    assert_eq!(code, 143);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(said.contains("sending SIGKILL to all processes") && said.contains("web.1  | killed by SIGKILL"), "{said}");
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let place = Place::new(&[("Procfile", "web: trap '' TERM; echo ready; while :; do sleep 1; done\n")]);
    let mut running = place.start(&["local", "-t", "600"]);
    running.wait_for("| ready");
    running.signal(Signal::INT);
    running.wait_for("sending SIGTERM");
    running.signal(Signal::INT);
    assert_eq!(running.end().0, 130);
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn the_first_to_fall_ends_all_and_gives_the_exit_code() {
    let file = "web: while :; do sleep 0.05; done\nworker: echo oops >&2; exit 7\n";
    let (code, said, _) = Place::new(&[("Procfile", file)]).run(&["local"]);
    assert_eq!(code, 7);
    let said = plain(&said);
    for line in [
        "worker.1 | oops",
        "worker.1 | exited with code 7",
        "system   | sending SIGTERM to all processes",
        "web.1    | terminated by SIGTERM",
    ] {
        assert!(said.contains(&line.to_owned()), "{line}\n{said:#?}");
    }
    assert_eq!(Place::new(&[("Procfile", "web: exit 0\nworker: sleep 1000")]).run(&["local"]).0, 0);
    assert_eq!(Place::new(&[("Procfile", "web: kill -KILL $$\nworker: sleep 1000")]).run(&["local"]).0, 137);
    assert_eq!(Place::new(&[("Procfile", "web: no-such-program-here")]).run(&["local"]).0, 127);
}

#[test]
fn nothing_is_left_of_those_whose_parent_has_gone() {
    // Orphans in the group of a process that has ended, and in one that a shell made.
    let place = Place::new(&[(
        "Procfile",
        "web: (sleep 1000 &) ; (trap '' TERM; sleep 1000 &) ; set -m; (sleep 1000 &); echo ready; exit 3\n",
    )]);
    let (code, said, _) = place.run(&["local", "-t", "1"]);
    assert_eq!(code, 3, "{said}");
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn what_detached_itself_is_left_alone() {
    let place = Place::new(&[(
        "Procfile",
        "web: setsid sh -c 'touch away; exec sleep 1000' >/dev/null 2>&1 & until [ -e away ]; do sleep 0.02; done; exit 3\n",
    )]);
    assert_eq!(place.run(&["local"]).0, 3);
    let left = place.processes();
    for pid in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(pid.path().join("environ")).unwrap_or_default();
        if environ.split(|b| *b == 0).any(|var| var == place.mark.as_bytes()) {
            let pid = pid.file_name().to_str().unwrap().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
    }
    assert_eq!(left, ["sleep 1000 "]);
}

#[test]
fn two_worker_lines_both_run_each_with_its_port() {
    let show = "echo \"$PS $PORT\"; sleep 1000";
    let place = Place::new(&[(
        "Procfile.dev",
        &format!("web: {show}\nworker: {show} # one\nworker: {show} # two\nclock: {show}\n"),
    )]);
    let mut running = place.start(&["local", "-f", "Procfile.dev", "-m", "all=1,web=2"]);
    let mut expected = vec!["web.1 5000", "web.2 5001", "worker.1 5100", "worker.2 5200", "clock.1 5300"];
    while !expected.is_empty() {
        let line = running.wait_for(" | ");
        expected.retain(|text| !line.ends_with(&format!("| {text}")));
    }
    running.signal(Signal::INT);
    running.end();
}

#[test]
fn types_ports_and_counts() {
    let show = "echo \"$PS $PORT\"; sleep 1000";
    let place = Place::new(&[("Procfile", &format!("web: {show}\nworker: {show}\nrelease: {show}\n"))]);
    let says = |arguments: &[&str], last: &str| {
        let mut running = place.start(arguments);
        running.wait_for(last);
        running.signal(Signal::TERM);
        running.end().1
    };
    assert!(!says(&["local", "worker", "-p", "7000"], "| worker.1 7100").contains("web.1"));
    assert!(!says(&["local", "web"], "| web.1 5000").contains("worker.1"));
    assert!(!says(&["local", "-m", "worker=2"], "| worker.2 5101").contains("web.1"));
    let (code, _, error) = place.run(&["local", "wroker"]);
    assert_eq!(code, 1);
    assert!(error.contains(r#"the Procfile has no process type "wroker"; it has web, worker, release"#), "{error}");
    assert!(place.run(&["local", "-m", "web=x"]).2.contains(r#""web=x" is no TYPE=COUNT, such as web=2"#));
    assert_ne!(place.run(&["local", "-p", "70000"]).0, 0);
}

#[test]
fn the_environment_comes_from_env_files() {
    let place = Place::new(&[
        ("Procfile", "web: echo \"A=$A B=$B C=$C PORT=$PORT\"\n"),
        (".env", "A=1\nB='two words'\nPORT=6000\nnonsense\n"),
        (".env.more", "export A=2\nC=\"x\\ny\"\n"),
    ]);
    let (_, said, error) = place.run(&["local"]);
    assert!(said.contains("web.1  | A=1 B=two words C= PORT=6000"), "{said}");
    assert!(error.contains(".env line 4 is ignored, it isn't KEY=value: nonsense…"), "{error}");
    let (_, said, _) = place.run(&["local", "-e", ".env,.env.more", "-p", "6100"]);
    assert!(said.contains("web.1  | A=2 B=two words C=x\n") && said.contains("web.1  | y PORT=6100"), "{said}");
    let (code, _, error) = place.run(&["local", "-e", ".env.none"]);
    assert_eq!(code, 1);
    assert!(error.contains("there is no file .env.none; create it, or name another one with --env"), "{error}");
}

#[test]
fn output_keeps_its_order_its_last_words_and_strange_bytes() {
    let file = "web: for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; printf 'crlf\\r\\n\\377\\n'; printf 'no end'\n";
    let place = Place::new(&[("Procfile", file)]);
    let said = plain(&place.run(&["local"]).1);
    let mut expected = vec!["web.1  | started with pid N on port 5000".to_owned()];
    expected.extend((1..=5).flat_map(|i| [format!("web.1  | out {i}"), format!("web.1  | err {i}")]));
    expected.extend(
        ["web.1  | crlf", "web.1  | \u{fffd}", "web.1  | no end", "web.1  | exited with code 0"].map(str::to_owned),
    );
    assert_eq!(said, expected);
}

#[test]
fn a_lot_of_output_arrives_whole() {
    let place = Place::new(&[("Procfile", "web: seq 1 50000\nworker: seq 1 50000; sleep 1000\n")]);
    let said = plain(&place.run(&["local"]).1);
    let web: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("web.1    | ")?.parse::<u32>().ok()).collect();
    assert!(web.iter().copied().eq(1..=50_000), "{} lines", web.len());
}

#[test]
fn standard_input_never_ends() {
    let place = Place::new(&[("Procfile", "watcher: cat; echo ended\nweb: sleep 0.5; exit 4\n")]);
    let (code, said, _) = place.run(&["local"]);
    assert_eq!(code, 4, "{said}");
    assert!(!said.contains("ended"), "{said}");
}

#[test]
fn a_reader_that_leaves_ends_everything() {
    let place = Place::new(&[("Procfile", "web: while :; do echo hello; sleep 0.05; done\n")]);
    let mut child = place.command(&["local"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(141));
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn a_reader_that_does_not_read_can_t_keep_it() {
    let place = Place::new(&[("Procfile", "web: exec yes\n")]);
    let mut child = place.command(&["local"]).stdout(Stdio::piped()).spawn().unwrap();
    let interrupt = |child: &Child| {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    };
    let deadline = Instant::now() + LONG;
    let until = |what: &str, state: &mut dyn FnMut() -> bool| {
        while !state() {
            assert!(Instant::now() < deadline, "{what}: {:?}", place.processes());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until("started", &mut || place.processes().iter().any(|line| line.starts_with("yes")));
    interrupt(&child);
    until("stopped", &mut || !place.processes().iter().any(|line| line.starts_with("yes")));
    until("ended", &mut || {
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            interrupt(&child);
        }
        ended
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn run_is_the_command_itself() {
    let place = Place::new(&[("Procfile", "web: sleep 1000\nshow: echo \"A is $A\"\n"), (".env", "A=a $b\n")]);
    assert_eq!(place.run(&["local:run", "bash", "-c", "exit 9"]).0, 9);
    assert_eq!(place.run(&["local:run", "printenv", "A"]).1, "a $b\n");
    assert_eq!(place.run(&["local:run", "printenv", "PORT"]).1, "5000\n");
    assert_eq!(place.run(&["local:run", "echo \"$A\" && echo two"]).1, "a $b\ntwo\n");
    assert_eq!(place.run(&["local:run", "show", "and", "more words"]).1, "A is a $b and more words\n");
    assert_eq!(place.run(&["local:run", "echo", "-x", "--help"]).1, "-x --help\n");
    let (code, _, error) = place.run(&["local:run", "no-such-program-here"]);
    assert_eq!(code, 127);
    assert!(error.contains("no-such-program-here: command not found"), "{error}");
    assert_eq!(place.run(&["local:run", "./Procfile"]).0, 126);
    assert_eq!(place.run(&["local:run", "bash", "-c", "kill -TERM $$"]).0, 143);
}

#[test]
fn check_says_what_a_procfile_holds() {
    let place = Place::new(&[
        ("Procfile", "web: a\nworker: b\n"),
        ("Procfile.twice", "worker: a\nworker: b\nweb:\n"),
        ("Procfile.empty", "\n"),
        ("Procfile.none", "# nothing\nhello\n"),
        ("Procfile.binary", "web: a\0"),
    ]);
    assert_eq!(place.run(&["local:check"]), (0, "valid Procfile: web, worker\n".to_owned(), String::new()));
    let (code, said, error) = place.run(&["local:check", "-f", "Procfile.twice"]);
    assert_eq!((code, said.as_str()), (0, "valid Procfile: worker\n"));
    assert!(
        error.contains(
            r#"Procfile lines 1 and 2 both name "worker"; line 2 is used on a server, `paas local` runs both"#
        ),
        "{error}"
    );
    assert!(error.contains("Procfile line 3 is ignored"), "{error}");
    for (name, why) in [
        ("empty", "is empty"),
        ("none", "names no process types"),
        ("binary", "is binary"),
        ("missing", "there is no Procfile.missing"),
    ] {
        let (code, _, error) = place.run(&["local:check", "-f", &format!("Procfile.{name}")]);
        assert_eq!(code, 1);
        assert!(error.contains(why), "{error}");
    }
}
