//! Keeps a router running: adopts one that answers, else starts one. It outlives the
//! daemon on purpose; its own sign of life is its status socket.
//!
//! One that was started from a program that has been replaced since (an upgrade) is asked to
//! hand over to the new one. That one is no child of ours then: it is adopted like any other.
//!
//! Its end is heard of at once, and what visitors begin until the next one runs waits in
//! [`sockets`], of which there are copies here.

mod process;
mod sockets;

use std::{
    collections::HashSet,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use uuid::Uuid;

use self::{process::program, sockets::Sockets};
use crate::{context::Context, ops::router};

/// How often it looks whether the router answers.
const PERIOD: Duration = Duration::from_secs(2);

/// How long a router may take to answer after its start. One that ends sooner is not replaced at once.
const BOOT: Duration = Duration::from_secs(10);

/// Where the router answers for its state.
pub fn status_socket(cx: &Context) -> PathBuf {
    cx.path(router::SOCKET)
}

/// What the router says of itself; nothing when none answers.
pub async fn status(socket: &Path) -> Option<serde_json::Value> {
    ask(socket, "/status").await
}

/// What the router answers to a question; nothing when none answers as it should.
pub async fn ask<T: serde::de::DeserializeOwned>(socket: &Path, path: &str) -> Option<T> {
    serde_json::from_slice(&router::ask(socket, path).await.ok()?).ok()
}

/// The dynos that the router has requests on, in its table or out of it; none when it does
/// not answer.
pub async fn with_requests(socket: &Path) -> HashSet<Uuid> {
    let status = status(socket).await.unwrap_or_default();
    let backends = status["backends"].as_array().into_iter().flatten();
    backends
        .filter(|backend| backend["in_flight"].as_u64().is_some_and(|count| count > 0))
        .filter_map(|backend| backend["id"].as_str()?.parse().ok())
        .collect()
}

/// Looks after the router until `stop` becomes true, and leaves it running then.
pub async fn run(cx: Context, mut stop: watch::Receiver<bool>) {
    let socket = status_socket(&cx);
    let mut failures = 0u32;
    let mut adopted = false;
    let mut asked: Option<(u64, Instant)> = None;
    let mut kept = Kept::default();
    let mut started: Option<Instant> = None;
    loop {
        let mut pid = None;
        match status(&socket).await {
            Some(state) => {
                let its = state["pid"].as_u64().unwrap_or_default();
                pid = Some(its);
                if !adopted {
                    tracing::info!(router.pid = its, "a router answers");
                    if ask_to_hand_over(&cx, its) {
                        asked = Some((its, Instant::now()));
                    }
                }
                asked = handed_over(asked, its);
                adopted = true;
                failures = 0;
                kept.follow(&state, &socket).await;
            }
            None => {
                adopted = false;
                let sockets = kept.take(&cx);
                let with_sockets = sockets.is_some();
                match process::start(&cx, &socket, sockets).await {
                    Ok(()) => {
                        started = Some(Instant::now());
                        continue;
                    }
                    Err(why) if with_sockets => {
                        tracing::warn!(%why, "the router could not go on with the sockets of the one before; it is tried without them");
                        continue;
                    }
                    Err(why) => {
                        failures += 1;
                        tracing::error!(%why, "the router could not be started; apps are not reachable");
                    }
                }
            }
        }
        // One that ends again and again is not started without a pause.
        let at_once = started.is_none_or(|at| at.elapsed() > BOOT);
        let wait = PERIOD * (1 << failures.min(4));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = process::end_of(pid), if at_once => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Copies of the sockets of the router that answered last.
#[derive(Default)]
struct Kept {
    /// Which router, and where it listens.
    of: Option<[serde_json::Value; 3]>,
    sockets: Option<Sockets>,
}

impl Kept {
    /// Gets them anew when another one answers, or it listens elsewhere.
    async fn follow(&mut self, state: &serde_json::Value, socket: &Path) {
        let of = ["router", "http", "https"].map(|part| state[part].clone());
        if self.of.as_ref() != Some(&of) {
            self.sockets = Sockets::of(socket).await;
            self.of = self.sockets.is_some().then_some(of);
            if self.of.is_some() {
                tracing::info!(
                    router.pid = state["pid"].as_u64(),
                    "the router's listening sockets are kept for the next one"
                );
            }
        }
    }

    /// For a router that is to be started; there are none here after that.
    fn take(&mut self, cx: &Context) -> Option<Sockets> {
        self.of = None;
        let config = cx.config();
        self.sockets.take().filter(|sockets| sockets.are_at(config.http_listen.0, config.https_listen.0))
    }
}

/// Whether the router of this process was asked to start its program anew, since another file
/// is there than the one that it runs.
fn ask_to_hand_over(cx: &Context, pid: u64) -> bool {
    let program = program(cx);
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let file = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let (Some(runs), Some(there)) = (file(Path::new(&format!("/proc/{pid}/exe"))), file(&program)) else {
        return false;
    };
    // It starts what it was started from itself: that has to be the file that we mean.
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if runs == there || line.split(|&byte| byte == 0).next() != Some(program.as_os_str().as_bytes()) {
        return false;
    }
    if !hands_over(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()) {
        tracing::warn!(
            router.pid = pid,
            "the router's program was replaced, but the one that runs is too old to hand over: it goes on. End it once when it suits (kill {pid}: requests have 30 s to end), and the new one is started"
        );
        return false;
    }
    match kill_process(process, Signal::USR2) {
        Ok(()) => {
            tracing::info!(router.pid = pid, router.program = %program.display(), "the router's program was replaced; it is asked to hand over to the new one");
            true
        }
        Err(error) => {
            tracing::warn!(router.pid = pid, %error, "the router can't be asked to hand over to its new program");
            false
        }
    }
}

/// Whether a process, by its `/proc/PID/status`, takes SIGUSR2 as the wish to hand over. Others would be
/// ended by it, and all requests with them.
fn hands_over(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (Signal::USR2.as_raw() - 1)) != 0
}

/// Tells once what became of it; nothing is asked any more then.
fn handed_over(asked: Option<(u64, Instant)>, pid: u64) -> Option<(u64, Instant)> {
    let (before, since) = asked?;
    if pid != before {
        tracing::info!(router.pid = pid, router.before = before, "the router has handed over to its new program");
        return None;
    }
    if since.elapsed() > BOOT + PERIOD {
        tracing::warn!(
            router.pid = pid,
            "the router goes on with its old program; its log (router/router.log) tells why"
        );
        return None;
    }
    asked
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_a_router_that_catches_the_signal_is_asked_to_hand_over() {
        for (mask, hands_over) in [
            ("0000000000000800", true),
            ("0000000100014a03", true),
            ("0000000100014203", false),
            ("0000000000001000", false),
            ("0000000000000000", false),
        ] {
            let status = format!("Name:\tpaas-router\nSigIgn:\tffffffffffffffff\nSigCgt:\t{mask}\nCapInh:\t0\n");
            assert_eq!(super::hands_over(&status), hands_over, "{mask}");
        }
        assert!(!super::hands_over(""));
        // This process has no such wish.
        let own = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        assert!(own.contains("SigCgt:") && !super::hands_over(&own), "{own}");
    }
}
