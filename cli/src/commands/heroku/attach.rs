//! Heroku's rendezvous on this side, paas's own stream on the other: that one goes through
//! proxies and over plain HTTP, too.

use std::time::Duration;

use paas_wire::attach::{self, Frame};
use reqwest::StatusCode;
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::connection::Rewound;
use super::forward::Forwarder;

/// What a program without a terminal sends at the end of its input; on a terminal it is Ctrl-D.
const END: u8 = 0x04;

/// How long nothing follows one that is the end: anywhere else it is a byte like any other.
const QUIET: Duration = Duration::from_millis(500);

/// How a client of Redis begins, its secret behind it.
pub(super) const AUTH: &[u8] = b"AUTH ";

/// What the user's program speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Heroku's rendezvous.
    Rendezvous,
    /// Redis's protocol, of which every byte counts.
    Redis,
}

/// Carries an attached dyno, or a client of Redis, until either side ends.
pub(super) async fn carry(forwarder: &Forwarder, secret: &str, speaks: Speaks, mut user: Rewound) {
    let raw = speaks == Speaks::Redis;
    // Thrown away by the other side, but it must be the first piece.
    if !raw && (user.write_all(b"rendezvous\r\n").await.is_err() || user.flush().await.is_err()) {
        return;
    }
    let (dyno, terminal) = match open(forwarder, secret).await {
        Ok(opened) => opened,
        Err(error) => return tell(&mut user, speaks, &format!("{error:#}")).await,
    };
    let (mut from_dyno, mut to_dyno) = tokio::io::split(dyno);
    let (mut from_user, mut to_user) = tokio::io::split(user);
    let (mut typed, mut arrived) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let mut received = Vec::new();
    // An `END` that may be one, until then.
    let mut held: Option<Instant> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(held.unwrap_or_else(Instant::now)), if held.is_some() => {
                held = None;
                if to_dyno.write_all(&Frame::StdinEof.encode()).await.is_err() || to_dyno.flush().await.is_err() {
                    return;
                }
            }
            read = from_user.read(&mut typed) => {
                let Ok(count @ 1..) = read else { return };
                let mut data = typed.get(..count).unwrap_or_default().to_vec();
                if held.take().is_some() {
                    data.insert(0, END);
                }
                if !terminal && !raw && data.last() == Some(&END) {
                    data.pop();
                    held = Some(Instant::now() + QUIET);
                }
                let frames = Frame::Stdin(data).encode();
                if to_dyno.write_all(&frames).await.is_err() || to_dyno.flush().await.is_err() {
                    return;
                }
            }
            read = from_dyno.read(&mut arrived) => {
                let Ok(count @ 1..) = read else { return };
                received.extend_from_slice(arrived.get(..count).unwrap_or_default());
                let mut used = 0;
                while let Ok(Some((frame, length))) = Frame::decode(received.get(used..).unwrap_or_default()) {
                    used += length;
                    let said = match frame {
                        Frame::Stderr(_) if raw => Ok(()),
                        Frame::Stdout(data) | Frame::Stderr(data) => to_user.write_all(&data).await,
                        Frame::Exit(_) => return drop(to_user.shutdown().await),
                        Frame::Error(text) => {
                            let _ = to_user.write_all(trouble(speaks, &text).as_bytes()).await;
                            return drop(to_user.shutdown().await);
                        }
                        Frame::Stdin(_) | Frame::StdinEof | Frame::Resize { .. } => Ok(()),
                    };
                    if said.is_err() {
                        return;
                    }
                }
                received.drain(..used);
                if to_user.flush().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The stream of an attached dyno, and whether it has a terminal.
async fn open(forwarder: &Forwarder, secret: &str) -> anyhow::Result<(reqwest::Upgraded, bool)> {
    let plain = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    anyhow::ensure!(plain, "That is no secret of an attached dyno.");
    let url = forwarder.base.join(&format!("{}{secret}", attach::PATH))?;
    let request = forwarder.http.get(url).header(CONNECTION, "Upgrade").header(UPGRADE, attach::PROTOCOL);
    let response = request.send().await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let terminal = response.headers().contains_key(attach::TERMINAL);
        return Ok((response.upgrade().await?, terminal));
    }
    let text = response.text().await.unwrap_or_default();
    anyhow::bail!("{}", text.trim())
}

/// What went wrong, as the user's program can show it.
fn trouble(speaks: Speaks, text: &str) -> String {
    match speaks {
        Speaks::Rendezvous => format!("\r\n !    {text}\r\n"),
        Speaks::Redis => format!("-ERR {}\r\n", text.replace(['\r', '\n'], " ")),
    }
}

async fn tell(user: &mut Rewound, speaks: Speaks, text: &str) {
    let _ = user.write_all(trouble(speaks, text).as_bytes()).await;
    let _ = user.shutdown().await;
}
