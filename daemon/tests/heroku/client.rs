//! A user with Heroku's own command line, whose home is a directory of the test's and whose
//! Heroku is a daemon of the test's.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::{
    results::Results,
    util::{self, TestApp},
};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// A user's machine and the daemon that it works with.
pub struct Heroku {
    pub app: TestApp,
    /// The home directory.
    pub home: PathBuf,
    /// Where commands run.
    pub place: PathBuf,
    /// Whether the token is in the environment (else it is in the netrc file, or nowhere).
    pub with_key: bool,
    results: Results,
}

/// What a command came to.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Both streams.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The JSON on stdout; null where it is none, which the checks of its content tell.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_default()
    }
}

/// The folder with `node_modules` that `deploy/test heroku` fills.
pub fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let place = std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from).join("heroku");
    assert!(place.join("node_modules/heroku").exists(), "Heroku's clients are not installed; run: deploy/test heroku");
    place.canonicalize().unwrap()
}

impl Heroku {
    /// With a daemon whose engine is a fake.
    pub async fn fake(topic: &'static str) -> Self {
        Self::with(topic, TestApp::fake().await)
    }

    /// With a daemon that runs real containers.
    pub async fn docker(topic: &'static str) -> Self {
        Self::with(topic, TestApp::docker().await)
    }

    fn with(topic: &'static str, app: TestApp) -> Self {
        let home = app.dir.with_extension("home");
        let place = home.join("work");
        std::fs::create_dir_all(home.join("bin")).unwrap();
        std::fs::create_dir_all(&place).unwrap();
        // Git's credential helper is called by name.
        let cli = installed().join("node_modules/.bin/heroku");
        std::os::unix::fs::symlink(cli, home.join("bin/heroku")).unwrap();
        let port = app.config.api_listen.port();
        std::fs::write(
            home.join(".gitconfig"),
            format!(
                "[user]\n\tname = Test\n\temail = owner@example.com\n[init]\n\tdefaultBranch = main\n\
                 [http \"https://localhost:{port}/\"]\n\tsslCAInfo = {}\n",
                app.dir.join("tls/ca.pem").display()
            ),
        )
        .unwrap();
        Self { app, home, place, with_key: true, results: Results::new(topic) }
    }

    /// The daemon's address as Heroku's clients must have it.
    pub fn host(&self) -> String {
        format!("http://localhost:{}", self.app.config.api_listen.port())
    }

    /// A program with the environment of docs/compatibility.md and nothing else.
    pub fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let host = self.host();
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.home.join("bin").display()))
            .env("HOME", &self.home)
            .env("TERM", "dumb")
            .env("LANG", "C.UTF-8")
            .env("COLUMNS", "200")
            .env("HEROKU_HOST", &host)
            .env("HEROKU_DATA_HOST", "localhost")
            .env("HEROKU_EXEC_URL", format!("https://localhost:{}/", self.app.config.api_listen.port()))
            .env("NODE_EXTRA_CA_CERTS", self.app.dir.join("tls/ca.pem"))
            .env("DISABLE_TELEMETRY", "true")
            .env("HEROKU_SKIP_NEW_VERSION_CHECK", "true")
            .env("HEROKU_NETRC_WRITE", "true")
            .env("EDITOR", self.home.join("bin/editor"))
            .current_dir(&self.place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in ["PARTICLEBOARD_URL", "BUILDPACK_REGISTRY_URL", "STATUS_HOST", "LOGIN_HOST"] {
            command.env(format!("HEROKU_{name}"), &host);
        }
        if self.with_key {
            command.env("HEROKU_API_KEY", &self.app.token);
        }
        command
    }

    /// Runs `heroku COMMAND ARGUMENTS` without judging it.
    pub async fn raw(&self, command: &str, arguments: &str) -> Said {
        let mut heroku = self.program(self.home.join("bin/heroku"));
        heroku.arg(command).args(words(arguments));
        finish(heroku).await
    }

    /// Runs a command, which must succeed and say all of these.
    pub async fn ok(&self, command: &str, arguments: &str, wanted: &[&str]) -> Said {
        self.step(command, arguments, Some(0), wanted).await
    }

    /// Runs a command, which must fail and say all of these.
    pub async fn fails(&self, command: &str, arguments: &str, wanted: &[&str]) -> Said {
        self.step(command, arguments, None, wanted).await
    }

    /// Runs a command that ends with this status and says all of these.
    pub async fn ends(&self, command: &str, arguments: &str, status: i32, wanted: &[&str]) -> Said {
        self.step(command, arguments, Some(status), wanted).await
    }

    async fn step(&self, command: &str, arguments: &str, status: Option<i32>, wanted: &[&str]) -> Said {
        let said = self.raw(command, arguments).await;
        self.judge(command, arguments, &said, status, wanted);
        said
    }

    /// Writes down whether a command did what it had to; `None`: it had to fail.
    pub fn judge(&self, command: &str, arguments: &str, said: &Said, status: Option<i32>, wanted: &[&str]) {
        let mut why = String::new();
        match status {
            Some(status) if said.status != status => {
                let _ = write!(why, "ended with {} instead of {status}; ", said.status);
            }
            None if said.status == 0 => why.push_str("should have failed; "),
            Some(_) | None => {}
        }
        let all = said.all();
        for text in wanted {
            if !all.contains(text) {
                let _ = write!(why, "did not say {text:?}; ");
            }
        }
        // Whatever is asked of it, our side must not break.
        for text in ["HTTP Error 5", " 500 ", "Internal server error", "TypeError"] {
            if all.contains(text) && !wanted.iter().any(|wanted| wanted.contains(text)) && said.status != 0 {
                let _ = write!(why, "said {text:?}; ");
            }
        }
        let line = format!("heroku {command} {arguments}");
        if why.is_empty() {
            self.results.good(command, &line);
        } else {
            self.results.bad(command, &line, &format!("{why}\n--- stdout\n{}--- stderr\n{}", said.out, said.err));
        }
    }

    /// A command that can't work, for this reason; that it fails is looked at, so that the
    /// reason does not outlive the truth.
    pub async fn cannot(&self, command: &str, arguments: &str, reason: &str) {
        let said = self.raw(command, arguments).await;
        if said.status == 0 {
            self.results.bad(command, &format!("heroku {command} {arguments}"), "works: take its reason away");
        } else {
            self.results.cannot(command, reason);
        }
    }

    /// A check besides the commands' own words; a false one counts against the command.
    pub fn check(&self, command: &str, what: &str, holds: bool) {
        if !holds {
            self.results.bad(command, what, "is not so");
        }
    }

    /// Git, or another program, which must succeed.
    pub async fn tool(&self, program: &str, arguments: &str) -> Said {
        let mut command = self.program(program);
        command.args(words(arguments));
        let said = finish(command).await;
        assert_eq!(said.status, 0, "{program} {arguments}: {}", said.all());
        said
    }

    /// `heroku COMMAND` on a terminal; each pair is what it must have said before the next is
    /// typed.
    pub async fn on_terminal(&self, command: &str, arguments: &str, typed: &[(&str, &str)]) -> Said {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let line = format!("stty cols 120; exec '{}' {command} {arguments}", self.home.join("bin/heroku").display());
        let mut script = self.program("script");
        script.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]).stdin(Stdio::piped()).env("SHELL", "/bin/sh");
        let mut child = script.spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut said = Vec::new();
        let mut questions = typed.iter();
        let mut next = questions.next();
        let mut from = 0;
        let talk = async {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer).await {
                said.extend_from_slice(&buffer[..count]);
                while let Some((question, answer)) = next {
                    if !String::from_utf8_lossy(&said[from..]).contains(question) {
                        break;
                    }
                    from = said.len();
                    input.write_all(answer.as_bytes()).await.unwrap();
                    next = questions.next();
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, talk).await.is_err();
        if late {
            let _ = child.start_kill();
        }
        let status = child.wait().await.unwrap().code().unwrap_or(-1);
        let out = plain(&String::from_utf8_lossy(&said));
        Said { status: if late { -1 } else { status }, out, err: String::new() }
    }

    /// Runs a command; when it has said `text` on stderr, `then` is done, which may be what it
    /// waits for.
    pub async fn raw_while(&self, command: &str, arguments: &str, text: &str, then: impl Future<Output = ()>) -> Said {
        use tokio::io::AsyncReadExt as _;
        let mut heroku = self.program(self.home.join("bin/heroku"));
        let mut child = heroku.arg(command).args(words(arguments)).spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        let (mut said, mut buffer, mut then) = (Vec::new(), [0; 4096], Some(then));
        let talk = async {
            while let Ok(count @ 1..) = errors.read(&mut buffer).await {
                said.extend_from_slice(&buffer[..count]);
                if String::from_utf8_lossy(&said).contains(text)
                    && let Some(then) = then.take()
                {
                    then.await;
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, talk).await.is_err();
        if late {
            let _ = child.start_kill();
        }
        let output = child.wait_with_output().await.unwrap();
        Said {
            status: if late { -1 } else { output.status.code().unwrap_or(-1) },
            out: plain(&String::from_utf8_lossy(&output.stdout)),
            err: plain(&String::from_utf8_lossy(&said)),
        }
    }

    /// Makes a program that the commands find on their path.
    pub fn place_program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.home.join("bin").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Ends the daemon and fails if anything was not as it should be.
    pub async fn done(mut self) {
        self.app.down().await;
        let _ = std::fs::remove_dir_all(&self.home);
        self.results.done();
    }
}

/// Runs a program to its end.
pub async fn finish(mut command: Command) -> Said {
    let child = command.spawn().unwrap();
    match tokio::time::timeout(PATIENCE, child.wait_with_output()).await {
        Ok(output) => {
            let output = output.unwrap();
            Said {
                status: output.status.code().unwrap_or(-1),
                out: plain(&String::from_utf8_lossy(&output.stdout)),
                err: plain(&String::from_utf8_lossy(&output.stderr)),
            }
        }
        Err(_) => Said { status: -1, out: String::new(), err: format!("not done after {PATIENCE:?}\n") },
    }
}

/// Words of a line, with 'single quotes' around those that have blanks.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut within) = (Vec::new(), false, false);
    for c in line.chars() {
        if c == '\'' {
            quoted = !quoted;
            if quoted && !within {
                words.push(String::new());
                within = true;
            }
        } else if c.is_whitespace() && !quoted {
            within = false;
        } else {
            if !within {
                words.push(String::new());
                within = true;
            }
            words.last_mut().unwrap().push(c);
        }
    }
    words
}

/// Without what moves and colours a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        if rest.next() == Some('[') {
            while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
        }
    }
    plain
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let started = std::time::Instant::now();
    while !look().await {
        assert!(started.elapsed() < util::PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
