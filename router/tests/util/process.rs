//! The program itself.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::until;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_paas-router");

/// A router process that does not outlive its test, nor do those that took over from it.
pub struct Router {
    child: Child,
    dir: PathBuf,
    log: PathBuf,
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.all() {
            signal(pid, "KILL");
        }
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the router said:\n{}", self.said());
        }
    }
}

impl Router {
    pub fn start(dir: &Path, http: &str) -> Router {
        Router::spawn(command(Command::new(PROGRAM), dir, http), dir)
    }

    /// What it says goes to a file of its own, beside `dir`.
    pub fn spawn(mut command: Command, dir: &Path) -> Router {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = dir.join(format!("router-{number}.log"));
        let child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        Router { child, dir: dir.to_owned(), log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub async fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the router doesn't end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it, or one that took over, has said this so many times.
    pub async fn says(&self, text: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.said().matches(text).count() < times {
            assert!(Instant::now() < deadline, "it never said {text:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Every process that has this router's data directory in its environment.
    pub fn all(&self) -> Vec<u32> {
        let ours = format!("PAAS_DATA_DIR={}", self.dir.display());
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|setting| setting == ours.as_bytes())
        })
        .collect()
    }
}

pub fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(done.success() || name == "KILL", "{pid} is gone");
}

pub fn command(mut command: Command, dir: &Path, http: &str) -> Command {
    command
        .env("PAAS_DATA_DIR", dir)
        .env("PAAS_HTTP_LISTEN", http)
        .env("PAAS_HTTPS_LISTEN", "")
        .env("PAAS_ROUTER_THREADS", "2")
        .env_remove("LISTEN_FDS")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null());
    command
}

pub async fn started(dir: &Path) -> SocketAddr {
    until(dir, |status| status.generation > 0).await.http[0].parse().unwrap()
}
