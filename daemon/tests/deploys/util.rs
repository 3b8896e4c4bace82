//! A daemon with a data directory of its own, a user, and a working copy to push from.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{database::Database, settings::without_settings};

/// No step of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Server {
    pub(crate) root: PathBuf,
    pub(crate) token: String,
    pub(crate) url: String,
    settings: Vec<(String, String)>,
    child: Option<Child>,
    database: Option<Database>,
}

fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_paasd")).ancestors().nth(2).unwrap().to_path_buf()
}

/// The static init: made by deploy/test.
fn init() -> PathBuf {
    let candidates = ["libexec", "x86_64-unknown-linux-gnu/release", "aarch64-unknown-linux-gnu/release"];
    let found = candidates.map(|dir| target().join(dir).join("paas-init")).into_iter().find(|path| path.is_file());
    found.expect("these tests need the static paas-init: RUSTFLAGS='-C target-feature=+crt-static' cargo build --release -p paas-init --target x86_64-unknown-linux-gnu")
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Server {
    pub(crate) fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_with(name, settings, |_| {})
    }

    /// Starts one whose data directory `prepare` has made ready.
    pub(crate) fn start_with(name: &str, settings: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        let root = std::env::temp_dir().join(format!("paas-deploys-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("libexec")).unwrap();
        fs::copy(init(), root.join("libexec/paas-init")).unwrap();
        let router = Path::new(env!("CARGO_BIN_EXE_paasd")).with_file_name("paas-router");
        std::os::unix::fs::symlink(router, root.join("libexec/paas-router")).unwrap();
        let mut server = Self {
            root,
            token: String::new(),
            url: String::new(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            child: None,
            database: Database::new(),
        };
        prepare(&server.root.join("data"));
        server.up();
        let output = server.paasd(&["admin", "user:create", "builder@example.com"]);
        server.token = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
        server
    }

    /// Does something with the database beside the daemon's own operations.
    pub(crate) fn with_database<F: Future<Output = ()>>(&self, work: impl FnOnce(paas_daemon::store::Db) -> F) {
        let own = format!("sqlite:{}", self.root.join("data/paas.db").display());
        let url = self.database.as_ref().map_or(own, |database| database.url.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = paas_daemon::store::Db::open(&url).await.unwrap();
            work(db.clone()).await;
            db.close().await;
        });
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = without_settings(env!("CARGO_BIN_EXE_paasd"));
        command
            .envs(self.database.as_ref().map(|database| ("PAAS_DATABASE_URL", &database.url)))
            .args(arguments)
            .env("PAAS_DATA_DIR", self.root.join("data"))
            .env("PAAS_API_LISTEN", "127.0.0.1:0")
            .env("PAAS_HTTP_LISTEN", "127.0.0.1:0")
            .env("PAAS_HTTPS_LISTEN", "127.0.0.1:0")
            .env("PAAS_ROUTER", "external")
            .env("PAAS_NETWORK_POOL", "10.217.64.0/18")
            .env("PAAS_LIBEXEC_DIR", self.root.join("libexec"))
            .envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    pub(crate) fn paasd(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }

    /// Starts the daemon, again after [`Server::kill`].
    pub(crate) fn up(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.root.join("paasd.log")).unwrap();
        let before = fs::read_to_string(self.root.join("paasd.log")).unwrap_or_default().len();
        let mut command = self.command(&["serve"]);
        command.env("NO_COLOR", "1").stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let root = self.root.clone();
        let port = wait_for("paasd", || {
            let text = fs::read_to_string(root.join("paasd.log")).ok()?;
            let text: String =
                text.get(before..)?.replace("\u{1b}[0m", "").replace("\u{1b}[2m", "").replace("\u{1b}[3m", "");
            let (_, rest) = text.split_once("api=127.0.0.1:")?;
            Some(rest.split_whitespace().next()?.to_owned())
        });
        self.url = format!("http://127.0.0.1:{port}");
    }

    /// Changes what it is started with.
    pub(crate) fn setting(&mut self, name: &str, value: &str) {
        self.settings.retain(|(set, _)| set != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// As by the power going.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// As by `systemctl restart`: it is asked to end.
    pub(crate) fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.root.join("paasd.log")).unwrap_or_default()
    }

    /// A request by curl; status and body.
    pub(crate) fn request(&self, method: &str, path: &str, more: &[&str]) -> (u16, String) {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let credentials = format!(":{}", self.token);
        let output = Command::new("curl")
            .args(["-s", "-m", "60", "-X", method, "-u", &credentials, "-w", "\n%{http_code}", &url])
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, &[]);
        assert!(status < 300, "{path}: {status} {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) =
            self.request(method, path, &["-H", "content-type: application/json", "-d", &body.to_string()]);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) fn app(&self, name: &str) -> String {
        let name = format!("{name}-{}", std::process::id());
        let (status, body) = self.send("POST", "/apps", &json!({"name": name}));
        assert_eq!(status, 201, "{body}");
        name
    }

    /// Where an app is pushed to: another port after a restart.
    pub(crate) fn remote(&self, app: &str) -> String {
        format!("{}/{app}.git", self.url).replace("://", &format!("://x:{}@", self.token))
    }

    /// The working copy that [`Server::copy`] has made.
    pub(crate) fn again(&self, app: &str) -> Copy {
        Copy { path: self.root.join(format!("copy-{app}")), remote: self.remote(app) }
    }

    /// A working copy with an app that needs no network: a Procfile and a script.
    pub(crate) fn copy(&self, app: &str) -> Copy {
        let path = self.root.join(format!("copy-{app}"));
        fs::create_dir_all(&path).unwrap();
        let copy = self.again(app);
        copy.git(&["init", "-q", "-b", "main"]);
        copy.write("Procfile", "web: bash serve.sh\n");
        copy.write("serve.sh", "while :; do sleep 1; done\n");
        copy.commit("First");
        copy
    }

    /// The builds of an app, newest last.
    pub(crate) fn builds(&self, app: &str) -> Vec<Value> {
        self.get(&format!("/apps/{app}/builds")).as_array().unwrap().clone()
    }

    pub(crate) fn ended(&self, app: &str, id: &str) -> Value {
        wait_for("the end of a build", || {
            let build = self.get(&format!("/apps/{app}/builds/{id}"));
            (build["status"] != "pending").then_some(build)
        })
    }

    pub(crate) fn output(&self, id: &str) -> String {
        self.request("GET", &format!("/streams/builds/{id}"), &[]).1
    }

    pub(crate) fn instance(&self) -> String {
        fs::read_to_string(self.root.join("data/instance")).unwrap_or_default().trim().replace('-', "")
    }

    /// Containers of builds that this daemon's engine has.
    pub(crate) fn build_containers(&self) -> Vec<String> {
        let label = format!("label=paas.instance={}", self.instance());
        let output = Command::new("docker")
            .args(["ps", "-aq", "--filter", &label, "--filter", "label=paas.kind=build"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The router outlives its daemon; but not its test.
        if let Ok(pid) = fs::read_to_string(self.root.join("data/run/router.pid")) {
            let ours = fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
            if ours.contains(self.root.to_str().unwrap()) {
                let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
            }
        }
        let label = format!("label=paas.instance={}", self.instance());
        for (list, remove) in [
            (vec!["ps", "-aq"], vec!["rm", "-f"]),
            (vec!["network", "ls", "-q"], vec!["network", "rm"]),
            (vec!["volume", "ls", "-q"], vec!["volume", "rm"]),
        ] {
            let Ok(found) = Command::new("docker").args(list).args(["--filter", &label]).output() else { continue };
            let ids = String::from_utf8_lossy(&found.stdout).into_owned();
            if !ids.trim().is_empty() {
                let _ = Command::new("docker").args(remove).args(ids.split_whitespace()).output();
            }
        }
        // Of a test that has put a disk there; whatever still holds it.
        let data = self.root.join("data");
        if fs::read_to_string("/proc/self/mounts").unwrap_or_default().contains(&format!(" {} ", data.display())) {
            let _ = Command::new("umount").arg("-l").arg(&data).status();
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A working copy whose remote is an app.
pub(crate) struct Copy {
    pub(crate) path: PathBuf,
    pub(crate) remote: String,
}

impl Copy {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(&self.path)
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "-c",
                "commit.gpgsign=false",
                "-c",
                "credential.helper=",
            ])
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A push; whether it was taken, and what git said without `remote: `.
    pub(crate) fn push(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(&["push"]).arg(&self.remote).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines = text.lines().map(|line| line.strip_prefix("remote: ").unwrap_or(line).trim_end());
        (output.status.success(), lines.collect::<Vec<_>>().join("\n"))
    }

    /// What the app's repository has for a ref.
    pub(crate) fn there(&self, name: &str) -> Option<String> {
        let list = self.git(&["ls-remote", &self.remote, name]);
        list.split_whitespace().next().map(str::to_owned)
    }

    /// Makes this an app whose build runs `script` (Ruby): a Gemfile is a program.
    pub(crate) fn gemfile(&self, script: &str) -> String {
        self.write("Gemfile", format!("{script}\nsource 'https://rubygems.org'\n"));
        self.write("Gemfile.lock", "GEM\n  remote: https://rubygems.org/\n  specs:\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n\nBUNDLED WITH\n   2.3.15\n");
        self.commit("A Gemfile that does something")
    }
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
