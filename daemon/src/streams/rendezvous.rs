//! Heroku's rendezvous: what `heroku run` speaks. After TLS the client says the secret;
//! we say `rendezvous` in a piece of its own, which it throws away, and then bytes go both
//! ways as they are. It has no word for the terminal's size, for the end of the input but
//! `\x04`, or for the exit code: clients have the command print that.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::{Stream, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::session::{self, Input, Output};
use crate::{
    engine::OutputStream,
    error::Error,
    ops::{Platform, attach},
};

/// What a client without a terminal sends at the end of its input.
const END: u8 = 0x04;

/// How long nothing follows an [`END`] that is one: anywhere else it is a byte like any other.
const QUIET: Duration = Duration::from_millis(500);

/// Carries a rendezvous to its end.
pub async fn rendezvous(p: Platform, secret: String, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
    let (read, mut write) = tokio::io::split(stream);
    if write.write_all(b"rendezvous\r\n").await.is_err() || write.flush().await.is_err() {
        return;
    }
    let waiting = match attach::find(&p, &secret).await {
        Ok(waiting) => waiting,
        Err(error) => {
            let text = if matches!(error, Error::NotFound(_)) {
                "Nothing waits for this connection: it may have waited too long. Run it again.".to_owned()
            } else {
                error.to_string()
            };
            let _ = write.write_all(&encode(Output::Trouble(text))).await;
            let _ = write.shutdown().await;
            return;
        }
    };
    let ends = !waiting.tty();
    session::run(p, waiting, inputs(read, ends), write, encode).await;
}

/// Carries a client of Redis to the server that its secret stands for. It has said `AUTH` and
/// hears the server's own answer to that.
pub async fn redis(p: Platform, secret: String, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
    let (read, mut write) = tokio::io::split(stream);
    match attach::find(&p, &secret).await {
        Ok(waiting) => session::run(p, waiting, inputs(read, false), write, plain).await,
        Err(_) => {
            let text = "-ERR This address was for one connection, soon. Ask for another: run redis:cli again.\r\n";
            let _ = write.write_all(text.as_bytes()).await;
            let _ = write.shutdown().await;
        }
    }
}

/// What the server says, and nothing of ours: clients read it as Redis's protocol.
fn plain(output: Output) -> Vec<u8> {
    match output {
        Output::Data(OutputStream::Stdout, data) => data.to_vec(),
        Output::Data(OutputStream::Stderr, _) | Output::Code(_) => Vec::new(),
        Output::Trouble(text) => format!("-ERR {}\r\n", text.replace(['\r', '\n'], " ")).into_bytes(),
    }
}

/// What the client types; ends with the connection, or with [`END`] where that counts.
fn inputs(read: impl AsyncRead + Unpin + Send, end_counts: bool) -> impl Stream<Item = Input> + Send {
    let state = (read, BytesMut::with_capacity(8 << 10));
    stream::unfold(state, move |(mut read, mut buffer)| async move {
        // What is left in it is an `END` that may be one.
        let held = !buffer.is_empty();
        buffer.reserve(8 << 10);
        let patience = if held { QUIET } else { Duration::MAX };
        if !matches!(tokio::time::timeout(patience, read.read_buf(&mut buffer)).await, Ok(Ok(n)) if n > 0) {
            buffer.clear();
            return held.then_some((Input::End, (read, buffer)));
        }
        // With a terminal it is the terminal's affair.
        let hold = end_counts && buffer.last() == Some(&END);
        let data = buffer.split_to(buffer.len() - usize::from(hold)).freeze();
        Some((Input::Data(data), (read, buffer)))
    })
}

fn encode(output: Output) -> Vec<u8> {
    match output {
        Output::Data(_, data) => data.to_vec(),
        Output::Code(_) => Vec::new(),
        Output::Trouble(text) => format!("\r\n !    {text}\r\n").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn the_end_is_what_nothing_follows() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut inputs = std::pin::pin!(inputs(server, true));
        let data = |text: &'static [u8]| Some(Input::Data(text.into()));
        client.write_all(b"a\x04").await.unwrap();
        assert_eq!(inputs.next().await, data(b"a"));
        client.write_all(b"b\x04").await.unwrap();
        assert_eq!(inputs.next().await, data(b"\x04b"));
        assert_eq!(inputs.next().await, Some(Input::End));
        client.write_all(b"\x04").await.unwrap();
        assert_eq!(inputs.next().await, data(b""));
        drop(client);
        assert_eq!(inputs.next().await, Some(Input::End));
        assert_eq!(inputs.next().await, None);
    }

    #[tokio::test]
    async fn and_a_byte_like_any_other_on_a_terminal() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"\x04").await.unwrap();
        drop(client);
        let all: Vec<Input> = inputs(server, false).collect().await;
        assert_eq!(all, [Input::Data(b"\x04"[..].into())]);
    }
}
