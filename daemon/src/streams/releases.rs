//! `GET /streams/releases/ID`: what a release's command said, or says while it runs, as plain
//! text or as server-sent events. As with builds, the address that was given out is the key to
//! it for a day: Heroku's clients send no credentials.
//!
//! Whoever was cut off goes on where they were: in text by bytes (`Range: bytes=N-`), in
//! events by `Last-Event-ID`, which is a line's number.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use uuid::Uuid;

use super::Refusal;
use crate::{
    error::Error,
    logs::{Filter, Line, Source, Start},
    ops::{self, Platform, addresses},
};

/// Most lines that are shown.
const MOST_LINES: usize = 10_000;

/// The last lines of a dyno may be stored a little after its end is known.
const GRACE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Router<Platform> {
    Router::new().route("/streams/releases/{release}", get(read))
}

async fn read(
    State(p): State<Platform>,
    Path(release): Path<String>,
    Query(key): Query<addresses::Key>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let gone = || Error::not_found("release", release.clone());
    let id: Uuid = release.parse().map_err(|_| gone())?;
    if !addresses::is_key(&p, ops::releases::OUTPUT, id, &key) {
        let text = "This address has expired or is not the whole one that was given out; look at the release again.";
        return Err(Error::Forbidden(text.into()).into());
    }
    let release = ops::releases::by_id(&p, id).await?.filter(|release| release.phase).ok_or_else(gone)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let events = text("accept").is_some_and(|accept| accept.contains("text/event-stream"));
    let after: Option<u64> = text("last-event-id").filter(|_| events).and_then(|id| id.trim().parse().ok());
    let range: Option<usize> = text("range")
        .filter(|_| !events)
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.trim().parse().ok());
    let filter = Filter { source: Some(Source::App), process: Some(ops::releases::phase_dyno(release.version)) };
    let store = p.logs.store();
    let over = release.status != "pending" && p.cx.now() - release.updated_at > TimeDelta::seconds(10);
    let start = after.map_or(Start::Backlog(MOST_LINES), Start::After);
    let lines = store.follow(release.app_id, start, filter.clone());
    let lines: BoxStream<'static, Line> = if over {
        let last = store.recent(release.app_id, 1, filter).await;
        let last = last.map_err(|error| Error::Unavailable(error.to_string()))?.pop().map(|line| line.seq);
        up_to(lines, last.filter(|last| after.is_none_or(|after| after < *last)))
    } else {
        lines.take_until(end(p.clone(), id)).boxed()
    };
    let body = if events {
        Body::from_stream(lines.map(|line| {
            // A line has no line ends in it, so it can't end an event early.
            Ok::<_, Infallible>(Bytes::from(format!("id: {}\ndata: {}\n\n", line.seq, line.message)))
        }))
    } else {
        let mut skip = range.unwrap_or_default();
        Body::from_stream(lines.map(move |line| {
            let mut text = Bytes::from(format!("{}\n", line.message));
            let had = text.split_to(skip.min(text.len()));
            skip -= had.len();
            Ok::<_, Infallible>(text)
        }))
    };
    let kind = if events { "text/event-stream" } else { "text/plain; charset=utf-8" };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// Lines to the one of this number; none at all where there is none.
fn up_to(lines: BoxStream<'static, Line>, last: Option<u64>) -> BoxStream<'static, Line> {
    let rest = last.map(|last| (lines, last));
    stream::unfold(rest, |rest| async move {
        let (mut lines, last) = rest?;
        let line = lines.next().await?;
        let more = line.seq < last;
        Some((line, more.then_some((lines, last))))
    })
    .boxed()
}

/// Waits until a release phase has ended and its lines are there.
async fn end(p: Platform, id: Uuid) {
    loop {
        let mut wakes = p.db.wakes();
        match ops::releases::by_id(&p, id).await {
            Ok(Some(release)) if release.status == "pending" => {}
            _ => break,
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = wakes.recv() => {}
        }
    }
    tokio::time::sleep(GRACE).await;
}
