//! Streams: output that arrives while it is made, and the terminal of an attached dyno.

use std::io::{IsTerminal as _, Read as _, Write as _};

use anyhow::Context as _;
use paas_wire::attach::{self, Frame};
use reqwest::Response;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// Shows a text stream until it ends.
pub(crate) async fn show(mut response: Response) -> anyhow::Result<()> {
    while let Some(chunk) = response.chunk().await.context("The stream broke off")? {
        output::raw(&chunk);
    }
    Ok(())
}

/// Whether a program on the other side can have this terminal.
pub(crate) fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The terminal's columns and rows.
pub(crate) fn terminal_size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Connects this terminal, or the pipes, with a dyno until it ends, and gives its exit code.
pub(crate) async fn attach(client: &Client, attach_url: &str, tty: bool) -> anyhow::Result<i32> {
    let secret =
        attach::secret(attach_url).with_context(|| format!("The API answered a bad attach URL: {attach_url}"))?;
    let stream = client.upgrade(&format!("{}{secret}", attach::PATH), attach::PROTOCOL).await?;
    let (mut from, mut to) = tokio::io::split(stream);
    let _raw = RawMode::enter(tty)?;
    let mut input = read_input();
    let mut resized = signal(SignalKind::window_change()).context("Signals can't be watched")?;
    if tty {
        send_size(&mut to).await;
    }
    let mut received = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut input_open = true;
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => {
                let count = read.context("The connection to the dyno broke off")?;
                if count == 0 {
                    return Err(Failure::new("The connection to the dyno ended before the dyno did.")
                        .hint("`paas ps` shows whether it is still there.").into());
                }
                received.extend_from_slice(&buffer[..count]);
                if let Some(code) = show_frames(&mut received)? {
                    return Ok(code);
                }
            }
            data = input.recv(), if input_open => {
                let frame = match data {
                    Some(data) => Frame::Stdin(data),
                    None => { input_open = false; Frame::StdinEof }
                };
                // When this fails, the reading side is about to say why.
                let _ = to.write_all(&frame.encode()).await;
                let _ = to.flush().await;
            }
            _ = resized.recv(), if tty => send_size(&mut to).await,
        }
    }
}

/// Connects a program that waits with these instead of the terminal, and gives its exit code.
/// What it says on stderr goes to ours.
pub(crate) async fn pipe(
    client: &Client,
    attach_url: &str,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> anyhow::Result<i32> {
    let secret =
        attach::secret(attach_url).with_context(|| format!("The API answered a bad attach URL: {attach_url}"))?;
    let stream = client.upgrade(&format!("{}{secret}", attach::PATH), attach::PROTOCOL).await?;
    let (mut from, mut to) = tokio::io::split(stream);
    let mut received = Vec::new();
    let (mut buffer, mut typed) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut input_open = true;
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => {
                let count = read.context("The connection to the dyno broke off")?;
                if count == 0 {
                    return Err(Failure::new("The connection to the dyno ended before the program did.").into());
                }
                received.extend_from_slice(&buffer[..count]);
                let mut used = 0;
                while let Some((frame, length)) = Frame::decode(&received[used..])? {
                    used += length;
                    match frame {
                        Frame::Stdout(data) => output.write_all(&data).await.context("Its output has no place")?,
                        Frame::Stderr(data) => complain(&data),
                        Frame::Exit(code) => {
                            output.flush().await.context("Its output has no place")?;
                            return Ok(code);
                        }
                        Frame::Error(text) => return Err(Failure::new(text).into()),
                        Frame::Stdin(_) | Frame::StdinEof | Frame::Resize { .. } => {}
                    }
                }
                received.drain(..used);
                output.flush().await.context("Its output has no place")?;
            }
            read = input.read(&mut typed), if input_open => {
                let frame = match read {
                    Ok(count @ 1..) => Frame::Stdin(typed[..count].to_vec()),
                    Ok(0) | Err(_) => { input_open = false; Frame::StdinEof }
                };
                // When this fails, the reading side is about to say why.
                let _ = to.write_all(&frame.encode()).await;
                let _ = to.flush().await;
            }
        }
    }
}

fn complain(data: &[u8]) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(data).and_then(|()| stderr.flush());
}

/// Shows what has arrived; the exit code once it is there.
fn show_frames(received: &mut Vec<u8>) -> anyhow::Result<Option<i32>> {
    let mut used = 0;
    while let Some((frame, length)) = Frame::decode(&received[used..])? {
        used += length;
        match frame {
            Frame::Stdout(data) => output::raw(&data),
            Frame::Stderr(data) => complain(&data),
            Frame::Exit(code) => return Ok(Some(code)),
            Frame::Error(text) => return Err(Failure::new(text).into()),
            Frame::Stdin(_) | Frame::StdinEof | Frame::Resize { .. } => {}
        }
    }
    received.drain(..used);
    Ok(None)
}

async fn send_size(to: &mut (impl AsyncWrite + Unpin)) {
    if let Some((cols, rows)) = terminal_size() {
        let _ = to.write_all(&Frame::Resize { cols, rows }.encode()).await;
        let _ = to.flush().await;
    }
}

/// Reads stdin on a thread of its own, since a read of a terminal can't be called off.
fn read_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        let mut stdin = std::io::stdin().lock();
        while let Ok(count @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The terminal hands every key on at once, until this is dropped.
struct RawMode(bool);

impl RawMode {
    fn enter(tty: bool) -> anyhow::Result<Self> {
        if tty {
            crossterm::terminal::enable_raw_mode().context("The terminal can't be set up")?;
        }
        Ok(Self(tty))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if self.0 {
            let _ = crossterm::terminal::disable_raw_mode();
        }
    }
}
