//! `GET /streams/attach/SECRET` with `Upgrade: paas-attach/1`: the other end of
//! `paas run`. The frames are in [`paas_wire::attach`].

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use hyper_util::rt::TokioIo;
use paas_wire::attach::{Frame, MAX_PAYLOAD, PROTOCOL, TERMINAL};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    Refusal,
    session::{self, Input, Output},
};
use crate::{
    engine::OutputStream,
    ops::{Platform, attach},
};

pub(super) fn routes() -> Router<Platform> {
    Router::new().route("/streams/attach/{secret}", get(open))
}

async fn open(
    State(p): State<Platform>,
    Path(secret): Path<String>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let wanted = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    if !wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(PROTOCOL)) {
        return Err(Refusal(
            StatusCode::UPGRADE_REQUIRED,
            format!("This is the stream of an attached program; it speaks {PROTOCOL} over HTTP/1.1."),
        ));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let waiting = attach::find(&p, &secret).await?;
    let terminal = waiting.tty();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => {
                let (read, write) = tokio::io::split(TokioIo::new(stream));
                session::run(p, waiting, inputs(read), write, encode).await;
            }
            Err(error) => tracing::debug!(%error, "an attached connection could not be taken over"),
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, PROTOCOL)]
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    if terminal {
        response.headers_mut().insert(TERMINAL, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// The user's frames; ends with the connection or with bytes that are none.
fn inputs(read: impl AsyncRead + Unpin + Send) -> impl Stream<Item = Input> + Send {
    stream::unfold((read, BytesMut::new()), |(mut read, mut buffer)| async move {
        loop {
            match Frame::decode(&buffer) {
                Ok(Some((frame, used))) => {
                    let _ = buffer.split_to(used);
                    let input = match frame {
                        Frame::Stdin(data) => Input::Data(Bytes::from(data)),
                        Frame::StdinEof => Input::End,
                        Frame::Resize { cols, rows } => Input::Size(cols, rows),
                        // Ours to send, not theirs.
                        Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exit(_) | Frame::Error(_) => return None,
                    };
                    return Some((input, (read, buffer)));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "an attached user sent what can't be read");
                    return None;
                }
            }
            if !matches!(read.read_buf(&mut buffer).await, Ok(n) if n > 0) {
                return None;
            }
        }
    })
}

fn encode(output: Output) -> Vec<u8> {
    match output {
        Output::Data(stream, data) => data
            .chunks(MAX_PAYLOAD)
            .flat_map(|part| {
                let part = part.to_vec();
                match stream {
                    OutputStream::Stdout => Frame::Stdout(part).encode(),
                    OutputStream::Stderr => Frame::Stderr(part).encode(),
                }
            })
            .collect(),
        Output::Code(code) => Frame::Exit(code).encode(),
        Output::Trouble(text) => Frame::Error(text).encode(),
    }
}
