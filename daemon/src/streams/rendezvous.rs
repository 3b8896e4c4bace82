//! Heroku's rendezvous: what `heroku run` speaks. After TLS the client says the secret;
//! we say `rendezvous` in a piece of its own, which it throws away, and then bytes go both
//! ways as they are. It has no word for the terminal's size, for the end of the input but
//! `\x04`, or for the exit code: clients have the command print that.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::session::{self, Input, Output};
use crate::{
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
    let tty = waiting.tty();
    session::run(p, waiting, inputs(read, tty), write, encode).await;
}

/// What the client types; ends with the connection.
fn inputs(read: impl AsyncRead + Unpin + Send, tty: bool) -> impl Stream<Item = Input> + Send {
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
        let ends = !tty && data.last() == Some(&END);
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
