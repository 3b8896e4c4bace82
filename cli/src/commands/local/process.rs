//! One process: how it is started, heard, and waited for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::formation::Process;
use super::output::{Closed, Speaker};

/// Longest line that is kept in memory, in bytes; a longer one is printed in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// How long an exited process's last output is waited for before its exit is told.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A process that was started.
pub(super) struct Running {
    child: Child,
    /// Its standard input: held open and never written to. Watchers such as esbuild and
    /// tailwind end when theirs ends, and only one could read the terminal.
    stdin: Option<ChildStdin>,
    output: Receiver,
    speaker: Speaker,
}

/// The shell that runs commands: bash as in a dyno, else sh.
#[allow(clippy::disallowed_methods, reason = "PATH says where programs are; it is no setting of ours")]
pub(super) fn shell() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bash = std::env::split_paths(&path).any(|folder| folder.join("bash").is_file());
    if bash { "bash" } else { "sh" }
}

/// Starts a process in a group of its own, through the shell.
pub(super) fn spawn(
    process: &Process,
    vars: &BTreeMap<String, String>,
    root: &Path,
    speaker: Speaker,
) -> anyhow::Result<Running> {
    let make = || -> std::io::Result<(Child, Receiver)> {
        // One pipe for both, so that what it says and what it complains of stay in order.
        let (reader, writer) = std::io::pipe()?;
        let child = Command::new(shell())
            .args([OsStr::new("-c"), OsStr::new(&process.command)])
            .envs(vars)
            .env("PORT", process.port.to_string())
            .env("PS", &process.name)
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()?;
        Ok((child, Receiver::from_owned_fd(reader.into())?))
    };
    let (mut child, output) = make().with_context(|| format!("can't start {} with {}", process.name, shell()))?;
    let stdin = child.stdin.take();
    Ok(Running { child, stdin, output, speaker })
}

impl Running {
    /// Its process id, which is that of its group too.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Prints what it says until nobody can say anything more, and tells `exits` how it
    /// ended as soon as it has.
    pub(super) fn follow(mut self, tasks: &mut JoinSet<()>, exits: mpsc::UnboundedSender<ExitStatus>) {
        let (heard, mut all_heard) = watch::channel(false);
        let speaker = self.speaker.clone();
        let output = self.output;
        tasks.spawn(async move {
            // When nobody reads us any more, the supervisor hears of it from the printer.
            let _ = copy_lines(output, &speaker).await;
            heard.send_replace(true);
        });
        tasks.spawn(async move {
            let Ok(status) = self.child.wait().await else { return };
            drop(self.stdin);
            // Nobody listens any more when the supervisor gave up.
            let _ = exits.send(status);
            let _ = tokio::time::timeout(LAST_WORDS, all_heard.wait_for(|heard| *heard)).await;
            let _ = self.speaker.say(ending(status)).await;
        });
    }
}

/// The exit code that a shell would give: 128 and the signal's number for a killed one.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status.signal() {
        Some(9) => "killed by SIGKILL".to_owned(),
        Some(15) => "terminated by SIGTERM".to_owned(),
        Some(signal) => format!("terminated by signal {signal}"),
        None => format!("exited with code {}", exit_code(status)),
    }
}

/// Prints line by line, and what stands behind the last line's end when that is all.
async fn copy_lines(output: Receiver, speaker: &Speaker) -> Result<(), Closed> {
    let mut waiting: Vec<u8> = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = match output.readable().await.and_then(|()| output.try_read(&mut chunk)) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => break,
        };
        waiting.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let mut said = 0;
        while let Some(end) = waiting.iter().skip(said).position(|byte| *byte == b'\n') {
            let line = waiting.get(said..said + end).unwrap_or_default();
            speaker.say(line.strip_suffix(b"\r").unwrap_or(line)).await?;
            said += end + 1;
        }
        waiting.drain(..said);
        if waiting.len() >= LONGEST_LINE {
            speaker.say(std::mem::take(&mut waiting)).await?;
        }
    }
    if !waiting.is_empty() {
        speaker.say(waiting).await?;
    }
    Ok(())
}
