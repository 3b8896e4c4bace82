//! The router's process: its start, and its end.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};

use super::{BOOT, sockets::Sockets, status};
use crate::context::Context;

/// Waits for the end of a process, our child or not; for ever where it can't be watched.
pub(super) async fn end_of(pid: Option<u64>) {
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    #[allow(deprecated, reason = "it is wrong of types that may give another descriptor each time; this one has one")]
    let process = process.and_then(|process| AsyncFd::with_interest(process, Interest::READABLE).ok());
    match process {
        Some(process) => drop(process.readable().await),
        None => std::future::pending().await,
    }
}

/// Where the router's program is, whatever directory anybody is in.
pub(super) fn program(cx: &Context) -> PathBuf {
    let program = cx.config().program("paas-router");
    std::path::absolute(&program).unwrap_or(program)
}

/// Starts one, which goes on with these sockets, if any are there; it answers when this returns.
pub(super) async fn start(cx: &Context, socket: &Path, sockets: Option<Sockets>) -> Result<(), String> {
    let config = cx.config();
    let program = program(cx);
    let dir = cx.path("router");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{} can't be made: {e}", dir.display()))?;
    let log_path = dir.join("router.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|e| format!("{} can't be opened: {e}", log_path.display()))?;
    let errors = log.try_clone().map_err(|e| e.to_string())?;
    let mut command = std::process::Command::new(&program);
    command
        .arg("--data-dir")
        .arg(&config.data_dir)
        .arg("--http-listen")
        .arg(config.http_listen.to_string())
        .arg("--https-listen")
        .arg(config.https_listen.to_string())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    // A group of its own: Ctrl-C at the daemon's terminal is not meant for it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    if let Some(sockets) = sockets {
        sockets.give_to(&mut command).map_err(|e| format!("it can't be given the sockets: {e}"))?;
    }
    let spawned = command.spawn();
    // Its end of the pair is its alone now.
    drop(command);
    let mut child = spawned.map_err(|e| {
        format!("{} can't be started ({e}); put paas-router beside paasd or set PAAS_LIBEXEC_DIR", program.display())
    })?;
    let pid = child.id();
    let started = Instant::now();
    loop {
        if status(socket).await.is_some() {
            let _ = std::fs::write(cx.path("run/router.pid"), format!("{pid}\n"));
            tracing::info!(router.pid = pid, "router started");
            // Reaped by whoever ends it; a thread waits so that it leaves no zombie.
            std::thread::spawn(move || {
                let _ = child.wait();
            });
            return Ok(());
        }
        match child.try_wait() {
            Ok(Some(status)) => {
                let said = std::fs::read_to_string(&log_path).unwrap_or_default();
                let last =
                    said.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" / ");
                return Err(format!("it ended at once ({status}): {last}"));
            }
            Ok(None) => {}
            Err(e) => return Err(e.to_string()),
        }
        if started.elapsed() > BOOT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not answer within {} s; see {}", BOOT.as_secs(), log_path.display()));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
