//! `GET /streams/logs/SECRET`: lines as plain text, or as server-sent events for who asks
//! for these.
//!
//! An event's id is the line's number: a client that comes back with `Last-Event-ID` goes on
//! behind that line. Without tail the answer ends with the last line that there is; with it,
//! events carry a comment now and then, so that nobody takes the quiet for a break.

use std::{convert::Infallible, fmt::Write as _, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::Refusal;
use crate::{
    error::Error,
    logs::{Line, Start},
    ops::{self, Platform},
};

/// How long a tail may be quiet: Heroku's clients give up after 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Lines sent in one piece.
const CHUNK: usize = 200;

pub(super) fn routes() -> Router<Platform> {
    Router::new().route("/streams/logs/{secret}", get(read))
}

async fn read(State(p): State<Platform>, Path(secret): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(header::HeaderName::from_static("last-event-id")).and_then(|id| id.trim().parse::<u64>().ok());
    let events = text(header::ACCEPT).is_some_and(|accept| accept.contains("text/event-stream"));
    let session = ops::logs::open(&p, &secret, after.is_some()).await?;
    let store = p.logs.store();
    let start = after.map_or(Start::Backlog(session.lines), Start::After);
    let lines: BoxStream<'static, Line> = if session.tail {
        store.follow(session.app_id, start, session.filter)
    } else {
        let past = store.recent(session.app_id, session.lines, session.filter).await;
        let past = past.map_err(|error| Error::Unavailable(error.to_string()))?;
        stream::iter(past.into_iter().filter(move |line| after.is_none_or(|after| line.seq > after))).boxed()
    };
    let body = Body::from_stream(chunks(lines, events, session.tail).map(Ok::<_, Infallible>));
    let kind = if events { "text/event-stream" } else { "text/plain; charset=utf-8" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// Lines as they go over the wire, as many at a time as are there.
fn chunks(lines: BoxStream<'static, Line>, events: bool, tail: bool) -> BoxStream<'static, Bytes> {
    let text = lines.ready_chunks(CHUNK).map(move |lines| {
        let mut text = String::with_capacity(lines.len() * 120);
        for line in lines {
            // A line has no line ends in it, so it can't end an event early.
            let _ = if events {
                write!(text, "id: {}\ndata: {}\n\n", line.seq, line.text())
            } else {
                writeln!(text, "{}", line.text())
            };
        }
        Bytes::from(text)
    });
    if !(events && tail) {
        return text.boxed();
    }
    // The first comment tells a client that it is connected before there is any line.
    let state = (text.boxed(), Some(Bytes::from_static(b":\n\n")));
    stream::unfold(state, |(mut text, first)| async move {
        if let Some(first) = first {
            return Some((first, (text, None)));
        }
        match tokio::time::timeout(KEEP_ALIVE, text.next()).await {
            Ok(chunk) => Some((chunk?, (text, None))),
            Err(_) => Some((Bytes::from_static(b":\n\n"), (text, None))),
        }
    })
    .boxed()
}
