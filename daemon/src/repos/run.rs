//! Runs git: a few at a time, with bounds of time, memory and bytes, and all that it starts ends
//! with it.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
};

use super::{LARGEST_FETCH, Repo, RepoError};

/// Memory that each of git's processes may have, in bytes.
const MEMORY: u64 = 512 << 20;

/// Most bytes that are kept of what git says about its failure.
const LARGEST_WORDS: u64 = 64 << 10;

/// How long one waits for others that read repositories.
const QUEUE: Duration = Duration::from_secs(10);

/// How many read repositories of others at once, and how many the machine's own: servers that
/// don't answer hold up nobody who reads from here.
static REMOTE: Semaphore = Semaphore::const_new(4);
static LOCAL: Semaphore = Semaphore::const_new(3);

/// One's turn to read a repository.
pub(super) async fn turn(repo: &Repo) -> Result<SemaphorePermit<'static>, RepoError> {
    let turns = match repo {
        Repo::Remote(_) => &REMOTE,
        Repo::Local(_) => &LOCAL,
    };
    match tokio::time::timeout(QUEUE, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(RepoError::Busy),
    }
}

/// git, with nothing of the machine's settings and within its bounds.
pub(super) fn git(repo: &Repo) -> Command {
    let mut command = Command::new("prlimit");
    let protocols = match repo {
        Repo::Remote(_) => "https:http",
        Repo::Local(_) => "file",
    };
    command
        .args([format!("--as={MEMORY}"), format!("--fsize={LARGEST_FETCH}"), "--core=0".to_owned()])
        .args(["--", "git"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .env("LANG", "C.UTF-8")
        // Each thread's arena counts as memory that it never uses.
        .env("MALLOC_ARENA_MAX", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "/bin/false")
        .env("GIT_ALLOW_PROTOCOL", protocols)
        .args(["-c", "http.followRedirects=false", "-c", "credential.helper=", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30"])
        .args(["-c", "fetch.unpackLimit=1", "-c", "gc.auto=0", "-c", "pack.threads=1"])
        // Packs are read in pieces, large files streamed.
        .args(["-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=256m"])
        .args(["-c", "core.bigFileThreshold=32m"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// A program and what it has started: they end when this is dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Not waited for yet, so the number is still its own.
        let pid = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs it to its end; what it puts out goes to `target`, `most` bytes at most.
pub(super) async fn run(
    command: Command,
    limit: Duration,
    most: u64,
    target: &mut (impl AsyncWrite + Unpin),
    room: impl Fn() -> bool,
) -> Result<(), RepoError> {
    tokio::time::timeout(limit, finish(command, most, target, room)).await.map_err(|_| RepoError::Late)?
}

async fn finish(
    mut command: Command,
    most: u64,
    target: &mut (impl AsyncWrite + Unpin),
    room: impl Fn() -> bool,
) -> Result<(), RepoError> {
    let mut group = Group(command.spawn()?);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let (written, words) = tokio::join!(keep(stdout, most, target, room), words(stderr));
    written?;
    let status = group.0.wait().await?;
    if status.success() {
        return Ok(());
    }
    // All that git says when what it runs to keep a pack has been ended for its size.
    if words.trim() == "fatal: fetch-pack: invalid index-pack output" {
        return Err(RepoError::TooLarge);
    }
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gives no reason");
    // An address with a token in it is not repeated.
    let plain: String = last.split_whitespace().map(plain).collect::<Vec<_>>().join(" ");
    Err(RepoError::Git(plain.chars().take(300).collect()))
}

/// Brings what comes to its target; ends with an error as soon as it is too much.
async fn keep(
    source: Option<impl AsyncRead + Unpin>,
    most: u64,
    target: &mut (impl AsyncWrite + Unpin),
    room: impl Fn() -> bool,
) -> Result<(), RepoError> {
    let Some(mut source) = source else { return Ok(()) };
    let (mut piece, mut size) = (vec![0; 256 << 10], 0);
    loop {
        let count = source.read(&mut piece).await?;
        if count == 0 {
            target.flush().await?;
            return Ok(());
        }
        size += count as u64;
        if size > most {
            return Err(RepoError::TooLarge);
        }
        if !room() {
            return Err(RepoError::Full);
        }
        target.write_all(&piece[..count]).await?;
    }
}

/// The first words of what comes; all of it is taken, so that nobody waits to be heard.
async fn words(source: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut source) = source else { return String::new() };
    let mut words = Vec::new();
    let _ = (&mut source).take(LARGEST_WORDS).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut source, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).into_owned()
}

fn plain(word: &str) -> String {
    if word.contains("://") { paas_buildpacks::output::plain_address(word) } else { word.to_owned() }
}
