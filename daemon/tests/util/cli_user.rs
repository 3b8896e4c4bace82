//! The platform as its users meet it: `paasd serve` and its router as processes of their own,
//! the `paas` command, and real git, in a scratch home.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{database::Database, free_port, programs, settings::without_settings};

/// How long a state is waited for: builds and boots of Rails, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A platform of its own and a user who is logged in there. Dropping it ends the processes and
/// removes all that is on the engine.
pub struct CliUser {
    pub dir: PathBuf,
    pub router_port: u16,
    api: String,
    paasd: Child,
    mail: Option<String>,
    database: Option<Database>,
}

impl CliUser {
    pub async fn start() -> Self {
        // As for every client of these tests: see TestApp.
        let _ = rustls::crypto::ring::default_provider().install_default();
        for program in ["paasd", "paas", "paas-router", "paas-init"] {
            let path = programs().join(program);
            assert!(path.is_file(), "{} is missing: run deploy/test, or cargo build --workspace first", path.display());
        }
        let dir = std::env::temp_dir().join(format!("paas-story-{}", uuid::Uuid::new_v4().simple()));
        for sub in ["data", "home"] {
            std::fs::create_dir_all(dir.join(sub)).unwrap();
        }
        let (api_port, router_port) = (free_port(), free_port());
        let api = format!("http://localhost:{api_port}");
        let log = std::fs::File::create(dir.join("paasd.log")).unwrap();
        let database = Database::new();
        let paasd = daemon(&dir, "serve", database.as_ref())
            .env("PAAS_API_LISTEN", format!("127.0.0.1:{api_port}"))
            .env("PAAS_HTTP_LISTEN", format!("0.0.0.0:{router_port}"))
            .env("PAAS_HTTPS_LISTEN", format!("0.0.0.0:{}", free_port()))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let user = Self { dir, router_port, api, paasd, mail: None, database };
        for (what, url) in [
            ("the daemon's answer", format!("{}/health", user.api)),
            ("the router's answer", format!("http://localhost:{router_port}/")),
        ] {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let started = Instant::now();
            while http.get(&url).send().await.is_err() {
                let log = || std::fs::read_to_string(user.dir.join("paasd.log")).unwrap_or_default();
                assert!(started.elapsed() < PATIENCE, "waited in vain for {what}; it said:\n{}", log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let made = daemon(&user.dir, "admin", user.database.as_ref())
            .args(["user:create", "you@example.com"])
            .output()
            .unwrap();
        let token = lines_of(&made).pop().unwrap_or_else(|| panic!("no token: {made:?}"));
        std::fs::write(user.dir.join("token"), token).unwrap();
        let mut login = user.command(&user.dir, programs().join("paas"), &["login", "--token", "-"]);
        login.stdin(std::fs::File::open(user.dir.join("token")).unwrap());
        good("paas login", &login.output().unwrap());
        user
    }

    fn command(&self, place: &Path, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(place).stdin(Stdio::null());
        command
            .env("HOME", self.dir.join("home"))
            .env("PAAS_HOST", &self.api)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        for name in ["PAAS_API_KEY", "PAAS_APP", "NETRC", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        for (name, value) in [("NAME", "You"), ("EMAIL", "you@example.com")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command
    }

    /// `paas ARGUMENTS` in this folder, which must succeed: what it printed, both streams.
    pub fn paas(&self, place: &Path, arguments: &[&str]) -> String {
        let output = self.command(place, programs().join("paas"), arguments).output().unwrap();
        good(&format!("paas {}", arguments.join(" ")), &output)
    }

    /// `git ARGUMENTS` in this folder, which must succeed: what it printed, both streams.
    pub fn git(&self, place: &Path, arguments: &[&str]) -> String {
        let output = self.command(place, "git", arguments).output().unwrap();
        good(&format!("git {}", arguments.join(" ")), &output)
    }

    /// Commits everything in the folder and pushes it: what the push printed.
    pub fn commit_and_push(&self, place: &Path, message: &str) -> String {
        self.git(place, &["add", "-A"]);
        self.git(place, &["commit", "-q", "-m", message]);
        self.git(place, &["push", "paas", "main"])
    }

    /// Waits until this `paas` command prints something that is good enough.
    pub async fn until(&self, place: &Path, arguments: &[&str], what: &str, good: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let said = self.paas(place, arguments);
            if good(&said) {
                return said;
            }
            if started.elapsed() > PATIENCE {
                let log = self.paas(place, &["logs", "-n", "100"]);
                panic!("waited in vain for {what}; paas {} says:\n{said}\nlog:\n{log}", arguments.join(" "));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until exactly these dynos are up (`web.1`), sorted.
    pub async fn until_up(&self, place: &Path, wanted: &[&str]) {
        let what = format!("{wanted:?} to be up");
        self.until(place, &["ps", "--json"], &what, |said| {
            let dynos: serde_json::Value = serde_json::from_str(said).unwrap();
            let mut names: Vec<String> = dynos
                .as_array()
                .unwrap()
                .iter()
                .map(|dyno| match dyno["state"].as_str().unwrap() {
                    "up" => dyno["name"].as_str().unwrap().to_owned(),
                    other => format!("{} {other}", dyno["name"]),
                })
                .collect();
            names.sort();
            names == wanted
        })
        .await;
    }

    /// Waits for a log line that has this text.
    pub async fn until_logged(&self, place: &Path, text: &str) -> String {
        self.until(place, &["logs", "-n", "1500"], text, |said| said.contains(text)).await
    }

    /// A client for which the app's name leads to the router.
    pub fn browser(&self, app: &str) -> (reqwest::Client, String) {
        let host = format!("{app}.localhost");
        let router = std::net::SocketAddr::from(([127, 0, 0, 1], self.router_port));
        let client = reqwest::Client::builder().no_proxy().resolve(&host, router).build().unwrap();
        (client, format!("http://{host}:{}", self.router_port))
    }

    /// A mail server that the one app reaches at `mail.example.com:2525`.
    pub fn mail_server(&mut self) {
        let networks = docker(&["network", "ls", "-q", "--filter", &self.label(), "--filter", "label=paas.app-id"]);
        let [network] = networks.as_slice() else { panic!("not one app with a network: {networks:?}") };
        let name = format!("paas-story-mail-{}", uuid::Uuid::new_v4().simple());
        self.mail = Some(name.clone());
        let started = docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            network,
            "--network-alias",
            "mail.example.com",
            "--entrypoint",
            "python3",
            "paas/stack:debian-12",
            "-c",
            include_str!("../fixtures/smtp_sink.py"),
        ]);
        assert_eq!(started.len(), 1, "the mail server did not start");
    }

    /// Waits for a mail to this address: its lines.
    pub async fn until_mail(&self, place: &Path, to: &str) -> Vec<String> {
        let name = self.mail.as_deref().expect("there is a mail server");
        let started = Instant::now();
        loop {
            let mails = docker(&["logs", name]);
            let mut mails = mails.iter().filter_map(|line| serde_json::from_str::<Vec<String>>(line).ok());
            if let Some(mail) = mails.find(|mail| mail.contains(&format!("To: {to}"))) {
                return mail;
            }
            if started.elapsed() > PATIENCE {
                panic!("no mail to {to}; log:\n{}", self.paas(place, &["logs", "-n", "100"]));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the mail server.
    pub fn end_mail_server(&mut self) {
        if let Some(name) = self.mail.take() {
            docker(&["rm", "-f", "-v", &name]);
        }
    }

    /// Names of this platform's containers on the engine: of one kind, or all.
    pub fn containers(&self, kind: Option<&str>) -> Vec<String> {
        let kind = kind.map(|kind| format!("label=paas.kind={kind}"));
        let label = self.label();
        let mut arguments = vec!["ps", "-a", "--format", "{{.Names}}", "--filter", &label];
        if let Some(kind) = &kind {
            arguments.extend(["--filter", kind]);
        }
        docker(&arguments)
    }

    /// Waits until nothing of this platform is on the engine.
    pub async fn until_nothing_is_left(&self) {
        let started = Instant::now();
        loop {
            let label = self.label();
            let mut left = self.containers(None);
            left.extend(docker(&["volume", "ls", "-q", "--filter", &label]));
            left.extend(docker(&["network", "ls", "--format", "{{.Name}}", "--filter", &label]));
            // The builds' network belongs to the platform, not to an app.
            left.retain(|name| !name.starts_with("paas-build"));
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "left on the engine: {left:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn label(&self) -> String {
        let instance = std::fs::read_to_string(self.dir.join("data/instance")).unwrap_or_default();
        format!("label=paas.instance={}", instance.trim().replace('-', ""))
    }

    /// Ends the router, which outlives its daemon, and waits until it is gone.
    fn end_router(&self) {
        let pid = std::fs::read_to_string(self.dir.join("data/run/router.pid")).unwrap_or_default();
        let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) else { return };
        let exe = PathBuf::from(format!("/proc/{pid}/exe"));
        let ours = || std::fs::read_link(&exe).is_ok_and(|exe| exe.to_string_lossy().contains("/paas-router"));
        for signal in [Signal::TERM, Signal::KILL] {
            let started = Instant::now();
            while ours() && started.elapsed() < Duration::from_secs(10) {
                let _ = kill_process(pid, signal);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Drop for CliUser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("paasd.log")).unwrap_or_default();
            eprintln!("paasd said:\n{log}");
        }
        if let Some(name) = self.mail.take() {
            let _ = try_docker(&["rm", "-f", "-v", &name]).inspect_err(|why| eprintln!("{why}"));
        }
        if let Some(pid) = i32::try_from(self.paasd.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let started = Instant::now();
        while matches!(self.paasd.try_wait(), Ok(None)) && started.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.paasd.kill();
        let _ = self.paasd.wait();
        self.end_router();
        let label = self.label();
        // An empty label would mean everybody's.
        if !label.ends_with('=') {
            for (list, remove) in [
                (vec!["ps", "-aq"], vec!["rm", "-f", "-v"]),
                (vec!["network", "ls", "-q"], vec!["network", "rm"]),
                (vec!["volume", "ls", "-q"], vec!["volume", "rm", "-f"]),
            ] {
                let ids = try_docker(&[list, vec!["--filter", &label]].concat());
                let removed = ids.and_then(|ids| match ids.as_slice() {
                    [] => Ok(Vec::new()),
                    ids => try_docker(&remove.into_iter().chain(ids.iter().map(String::as_str)).collect::<Vec<_>>()),
                });
                let _ = removed.inspect_err(|why| eprintln!("{why}"));
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// `paasd COMMAND` on this data directory.
fn daemon(dir: &Path, command: &str, database: Option<&Database>) -> Command {
    let mut paasd = without_settings(programs().join("paasd"));
    paasd.envs(database.map(|database| ("PAAS_DATABASE_URL", &database.url)));
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if bundle.exists() {
        paasd.env("PAAS_CA_BUNDLE", bundle);
    }
    paasd
        .arg(command)
        .env("PAAS_DATA_DIR", dir.join("data"))
        .env("PAAS_LIBEXEC_DIR", programs())
        .env("PAAS_BASE_DOMAIN", "localhost")
        .env("PAAS_DISK_RESERVE", "64")
        .stdin(Stdio::null());
    paasd
}

/// `docker ARGUMENTS`, which must succeed: the lines that it printed.
pub(super) fn docker(arguments: &[&str]) -> Vec<String> {
    try_docker(arguments).unwrap_or_else(|why| panic!("{why}"))
}

/// The same where a failure is only told: what cleans up goes on.
pub(super) fn try_docker(arguments: &[&str]) -> Result<Vec<String>, String> {
    let command = format!("docker {}", arguments.join(" "));
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command} can't be run: {error}"))?;
    if output.status.success() {
        return Ok(lines_of(&output));
    }
    Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn lines_of(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Both streams of a command that must have succeeded.
fn good(what: &str, output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{what} failed ({}):\n{said}", output.status);
    said
}
