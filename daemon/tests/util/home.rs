//! A developer's machine with Ruby, Rails, Sidekiq, Redis, a mail server and `paas`: containers
//! on a network of their own, since the machine that runs the tests has none of it.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use super::{
    cli_user::{PATIENCE, docker, try_docker},
    programs,
};

/// Signs a visitor up at the web process that `paas local` runs.
const SIGN_UP: &str = "
import sys, urllib.request
request = urllib.request.Request('http://127.0.0.1:5000/signups?email=' + sys.argv[1], method='POST')
print(urllib.request.urlopen(request, timeout=20).status)
";

/// Where `paas local` writes its process number.
const PID: &str = "/tmp/paas.pid";

/// The machine. Dropping it removes it.
pub struct Home {
    name: String,
}

impl Home {
    /// With an app in `/app`, which is `place`.
    pub fn new(place: &Path) -> Self {
        let home = Self { name: format!("paas-home-{}", uuid::Uuid::new_v4().simple()) };
        docker(&["network", "create", &home.name]);
        let sink = include_str!("../fixtures/smtp_sink.py");
        home.run("redis", &["--entrypoint", "redis-server", "paas/redis:7", "--save", "", "--protected-mode", "no"]);
        home.run("mail", &["--entrypoint", "python3", "paas/stack:debian-12", "-c", sink]);
        let program = programs().join("paas").canonicalize().unwrap();
        let (app, paas) =
            (format!("{}:/app", place.display()), format!("{}:/usr/local/bin/paas:ro", program.display()));
        let image = "paas/stack:debian-12-rails";
        let mounts = ["--init", "--user", "0", "--workdir", "/app", "-v", &app, "-v", &paas];
        home.run("dev", &[&mounts[..], &["--entrypoint", "sleep", image, "infinity"]].concat());
        home
    }

    fn container(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// Starts a part of it, which the others reach by its name.
    fn run(&self, part: &str, arguments: &[&str]) {
        let name = self.container(part);
        docker(
            &[&["run", "-d", "--name", &name, "--network", &self.name, "--network-alias", part], arguments].concat(),
        );
    }

    fn exec(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(["exec", &self.container("dev")]).args(arguments).output().unwrap()
    }

    /// `paas local` with this Procfile, as at a terminal.
    pub fn local(&self, procfile: &str) -> Child {
        let script = format!("echo $$ > {PID}; exec paas local -f {procfile}");
        Command::new("docker")
            .args(["exec", &self.container("dev"), "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }

    /// Signs up as soon as the web process answers: its status.
    pub fn sign_up(&self, email: &str) -> String {
        let started = Instant::now();
        loop {
            let output = self.exec(&["python3", "-c", SIGN_UP, email]);
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() || !why.contains("refused") {
                return said + &why;
            }
            assert!(started.elapsed() < PATIENCE, "no answer: {why}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// All mails so far, each with its lines.
    pub fn mails(&self) -> Vec<Vec<String>> {
        let lines = docker(&["logs", &self.container("mail")]);
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// One Ctrl-C.
    pub fn interrupt(&self) {
        let output = self.exec(&["sh", "-c", &format!("kill -INT $(cat {PID})")]);
        assert!(output.status.success(), "{output:?}");
    }

    /// The command lines of what runs, but for the machine's own.
    pub fn processes(&self) -> Vec<String> {
        let mut all = docker(&["top", &self.container("dev"), "-eo", "pid,args"]);
        all.remove(0);
        all.retain(|line| !line.ends_with("sleep infinity"));
        all
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for part in ["dev", "mail", "redis"] {
            let _ = try_docker(&["rm", "-f", "-v", &self.container(part)]).inspect_err(|why| eprintln!("{why}"));
        }
        let _ = try_docker(&["network", "rm", &self.name]).inspect_err(|why| eprintln!("{why}"));
    }
}
