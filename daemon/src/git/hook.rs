//! `paasd hook pre-receive`: the small program that git runs in a push. It hands what is pushed
//! to the daemon over a unix socket and repeats what the daemon says.
//!
//! On the socket: one line of JSON ([`Pushed`]) to the daemon, then records back: a kind of one
//! byte, a length of four (big-endian), and as many bytes. `o` is text for the pusher, `x` is
//! the verdict, one byte: 0 accepts the push.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The environment variable with the push's identity, set by the daemon for git.
pub const PUSH: &str = "PAAS_PUSH";
/// The environment variable with the path of the daemon's socket.
pub const SOCKET: &str = "PAAS_HOOK_SOCKET";

/// Text for the pusher.
pub(super) const TEXT: u8 = b'o';
/// The verdict.
pub(super) const VERDICT: u8 = b'x';

/// What a push wants, as git tells its hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The daemon's name for the push.
    pub push: Uuid,
    /// Where git keeps the objects that it has not taken yet.
    pub quarantine: Option<PathBuf>,
    /// What shall change.
    pub updates: Vec<Update>,
}

/// One ref that shall change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The object before; zeros: there was no such ref.
    pub old: String,
    /// The object after; zeros: it shall go.
    pub new: String,
    /// Its full name.
    pub name: String,
}

/// Runs the hook: for `main` to call.
#[allow(clippy::disallowed_methods, reason = "git tells its hook by the environment, it is no setting")]
pub fn run() -> ExitCode {
    let result = (|| {
        let variable = |name: &str| std::env::var(name).map_err(|_| io::Error::other(format!("{name} is not set")));
        let push = variable(PUSH)?.parse().map_err(io::Error::other)?;
        // Relative to where git has put the hook: the repository itself.
        let quarantine = std::env::var_os("GIT_QUARANTINE_PATH").map(PathBuf::from);
        let quarantine = quarantine.map(std::path::absolute).transpose()?;
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        let updates = text.lines().filter_map(update).collect();
        talk(&PathBuf::from(variable(SOCKET)?), &Pushed { push, quarantine, updates })
    })();
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                " !     The platform stopped while it took this push ({error}).\n \
                 !     Nothing was changed by the push itself; look at: paas releases\n \
                 !     Then push again."
            );
            ExitCode::FAILURE
        }
    }
}

fn update(line: &str) -> Option<Update> {
    let mut words = line.splitn(3, ' ');
    Some(Update { old: words.next()?.into(), new: words.next()?.into(), name: words.next()?.into() })
}

fn talk(socket: &std::path::Path, pushed: &Pushed) -> io::Result<u8> {
    let mut stream = UnixStream::connect(socket)?;
    let mut line = serde_json::to_vec(pushed)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut stderr = io::stderr();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, a, b, c, d] = head;
        let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        stream.read_exact(&mut body)?;
        match kind {
            // The pusher may be gone: the verdict still counts.
            TEXT => drop(stderr.write_all(&body)),
            VERDICT => return Ok(body.first().copied().unwrap_or(1)),
            other => return Err(io::Error::other(format!("unknown record {other}"))),
        }
    }
}
