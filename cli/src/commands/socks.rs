//! `ps:socks`: a SOCKS 5 proxy on this machine by which programs reach what a dyno reaches. Each
//! connection is a program in the dyno, as with `ps:forward`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use anyhow::Context as _;
use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::inside::carry;
use crate::app::AppArgs;
use crate::client::Client;
use crate::context::Context;
use crate::output;

/// The protocol's number, first in all that either side says.
const VERSION: u8 = 5;
/// The one thing that can be asked for here.
const CONNECT: u8 = 1;
const SUCCEEDED: u8 = 0;
const NOT_ALLOWED: u8 = 2;
const NO_SUCH_COMMAND: u8 = 7;

#[derive(Args, Debug)]
pub(crate) struct SocksArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The dyno
    #[arg(short, long, value_name = "DYNO", default_value = "web.1")]
    dyno: String,
    /// The port of this machine
    #[arg(short, long, value_name = "PORT", default_value_t = 1080)]
    port: u16,
}

impl SocksArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let (app, _) = context.app(&self.app)?;
        let client = Rc::new(Client::new(&context.settings, context.token()?)?);
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
        let listener = listener.with_context(|| format!("Port {} of this machine can't be had", self.port))?;
        output::line(format_args!("SOCKSv5 proxy server started on port {}", listener.local_addr()?.port()));
        output::line("Use CTRL+C to stop.");
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                loop {
                    let (mut connection, _) = listener.accept().await.context("No connection can be taken")?;
                    let (client, app, dyno) = (client.clone(), app.clone(), self.dyno.clone());
                    tokio::task::spawn_local(async move {
                        // What speaks something else is not told so: it would not understand.
                        let Ok(Some((host, port))) = greet(&mut connection).await else { return };
                        if let Err(error) = carry(&client, &app, &dyno, &host, port, connection).await {
                            output::complain(&format!("{host}:{port}: {error:#}"));
                        }
                    });
                }
            })
            .await
    }
}

/// Learns where a program wants to; `None` where it can't be led there, which it has been told.
async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<Option<(String, u16)>> {
    let [version, methods] = take(stream).await?;
    if version != VERSION {
        return Ok(None);
    }
    stream.read_exact(&mut vec![0; methods.into()]).await?;
    // Nobody needs to say who they are: it is this machine's own.
    stream.write_all(&[VERSION, 0]).await?;
    let [_, command, _, kind] = take(stream).await?;
    let host = match kind {
        1 => Ipv4Addr::from(take::<4>(stream).await?).to_string(),
        4 => Ipv6Addr::from(take::<16>(stream).await?).to_string(),
        _ => {
            let [length] = take(stream).await?;
            let mut name = vec![0; length.into()];
            stream.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
    };
    let port = u16::from_be_bytes(take(stream).await?);
    // It becomes part of a shell's line.
    let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_".contains(c));
    let answer = match (command, is_host) {
        (CONNECT, true) => SUCCEEDED,
        (CONNECT, false) => NOT_ALLOWED,
        _ => NO_SUCH_COMMAND,
    };
    stream.write_all(&[VERSION, answer, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok((answer == SUCCEEDED).then_some((host, port)))
}

async fn take<const LENGTH: usize>(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// What a program that asks so is told, and where it is led.
    async fn asked(request: &[u8]) -> (u8, Option<(String, u16)>) {
        let (mut far, mut near) = tokio::io::duplex(512);
        far.write_all(&[&[5, 2, 0, 2], request].concat()).await.unwrap();
        let place = greet(&mut near).await.unwrap();
        let answer: [u8; 12] = take(&mut far).await.unwrap();
        (answer[3], place)
    }

    #[tokio::test]
    async fn where_programs_are_led() {
        let place = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(asked(&[5, 1, 0, 1, 10, 0, 0, 7, 0, 80]).await, (SUCCEEDED, place("10.0.0.7", 80)));
        assert_eq!(asked(b"\x05\x01\x00\x03\x05redis\x18\xeb").await, (SUCCEEDED, place("redis", 6379)));
        assert_eq!(asked(b"\x05\x01\x00\x03\x05a;b/c\x00\x50").await, (NOT_ALLOWED, None));
        assert_eq!(asked(&[5, 2, 0, 1, 10, 0, 0, 7, 0, 80]).await, (NO_SUCH_COMMAND, None));
    }
}
