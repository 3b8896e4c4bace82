//! Heroku's rendezvous: what `heroku run` speaks. After TLS the client says the secret;
//! we say `rendezvous` in a piece of its own, which it throws away, and then bytes go both
//! ways as they are. It has no word for the terminal's size, for the end of the input but
//! `\x04`, or for the exit code: clients have the command print that.

use bytes::{Bytes, BytesMut};
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
    let state = (read, BytesMut::with_capacity(8 << 10), false);
    stream::unfold(state, move |(mut read, mut buffer, ends)| async move {
        if ends {
            return Some((Input::End, (read, buffer, false)));
        }
        buffer.reserve(8 << 10);
        if !matches!(read.read_buf(&mut buffer).await, Ok(n) if n > 0) {
            return None;
        }
        let mut data: Bytes = buffer.split().freeze();
        // With a terminal it is the terminal's affair.
        let ends = end_counts && data.last() == Some(&END);
        if ends {
            data.truncate(data.len() - 1);
        }
        Some((Input::Data(data), (read, buffer, ends)))
    })
}

fn encode(output: Output) -> Vec<u8> {
    match output {
        Output::Data(_, data) => data.to_vec(),
        Output::Code(_) => Vec::new(),
        Output::Trouble(text) => format!("\r\n !    {text}\r\n").into_bytes(),
    }
}
