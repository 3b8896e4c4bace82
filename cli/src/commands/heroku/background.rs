//! `--print-env`: a forwarder that stays behind a shell, for as long as there is that shell.
//!
//! The environment alone would not do: with `NO_PROXY` for the server, Heroku's command line asks
//! hosts of Heroku's directly, with the token. So there is a forwarder here too.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, getppid, test_kill_process};

use crate::failure::Failure;
use crate::output;

/// How often the shell is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Starts a forwarder that outlives us, and prints the environment that leads to it.
pub(super) fn start() -> anyhow::Result<i32> {
    // Shells run the one command of `$(…)` in the place of the copy of themselves.
    let shell = getppid().context("There is no shell to stay behind")?.as_raw_nonzero().to_string();
    let program = std::env::current_exe().context("This program can't be found")?;
    let mut command = Command::new(program);
    command.args(["heroku", "--serve", "--until", &shell]);
    // Not the terminal's: Ctrl-C there is meant for what runs in the shell.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("The forwarder can't be started")?;
    let mut lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.lines());
    let mut text = String::new();
    // An empty line is its end.
    let whole = loop {
        match lines.next() {
            Some(Ok(line)) if line.is_empty() => break true,
            Some(Ok(line)) => text.extend([line.as_str(), "\n"]),
            Some(Err(_)) | None => break false,
        }
    };
    if !whole {
        let mut why = String::new();
        if let Some(mut errors) = child.stderr.take() {
            let _ = errors.read_to_string(&mut why);
        }
        let why = why.trim().trim_start_matches('▸').trim();
        return Err(Failure::new(format!("The forwarder did not start: {why}")).into());
    }
    output::raw(text.as_bytes());
    Ok(0)
}

/// Waits until a process is gone.
pub(super) async fn gone(shell: i32) {
    while Pid::from_raw(shell).is_some_and(is_there) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Another user's process counts as well.
fn is_there(pid: Pid) -> bool {
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}
