//! `GET /streams/releases/ID`: what a release's command said, or says while it runs, as plain
//! text. As with builds, the address is the key to it: Heroku's clients send no credentials.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
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
    ops::{self, Platform},
};

/// Most lines that are shown.
const MOST_LINES: usize = 10_000;

/// The last lines of a dyno may be stored a little after its end is known.
const GRACE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Router<Platform> {
    Router::new().route("/streams/releases/{release}", get(read))
}

async fn read(State(p): State<Platform>, Path(release): Path<String>) -> Result<Response, Refusal> {
    let gone = || Error::not_found("release", release.clone());
    let id: Uuid = release.parse().map_err(|_| gone())?;
    let release = ops::releases::by_id(&p, id).await?.filter(|release| release.phase).ok_or_else(gone)?;
    let filter = Filter { source: Some(Source::App), process: Some(ops::releases::phase_dyno(release.version)) };
    let store = p.logs.store();
    let over = release.status != "pending" && p.cx.now() - release.updated_at > TimeDelta::seconds(10);
    let lines: BoxStream<'static, Line> = if over {
        let past = store.recent(release.app_id, MOST_LINES, filter).await;
        stream::iter(past.map_err(|error| Error::Unavailable(error.to_string()))?).boxed()
    } else {
        store.follow(release.app_id, Start::Backlog(MOST_LINES), filter).take_until(end(p.clone(), id)).boxed()
    };
    let body = Body::from_stream(lines.map(|line| Ok::<_, Infallible>(format!("{}\n", line.message))));
    let head = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, body).into_response())
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
