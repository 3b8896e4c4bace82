//! `/sources`: places to upload a build's source to. The addresses are the keys: `put_url` for an
//! hour, `get_url` for a day.

use std::path::PathBuf;

use axum::{
    body::Body as HttpBody,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use paas_wire as wire;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints},
    error::ApiResult,
    extract::{Auth, Path, Query},
    uploads,
};
use crate::{
    error::Error,
    ops::{self, Platform, addresses, apps::Permission, sources},
};

/// Largest source, in bytes, compressed.
const LARGEST: u64 = 2 * 1024 * 1024 * 1024;

/// How long an archive can be uploaded, and how long it can be read or built.
const PUT_LASTS: TimeDelta = TimeDelta::hours(1);
const GET_LASTS: TimeDelta = TimeDelta::hours(24);

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .put("/sources/{source}", upload)
        .get("/sources/{source}", download)
        .of_any_size()
        .post("/sources", create)
        .post("/apps/{app}/sources", create_for_app)
}

fn show(p: &Platform, id: Uuid) -> Created<wire::Source> {
    let get_url = sources::address(p, id, sources::GET, GET_LASTS);
    let put_url = sources::address(p, id, sources::PUT, PUT_LASTS);
    let source_blob = wire::source::SourceUrls { get_url, put_url };
    Created(wire::Source { source_blob })
}

async fn create(State(p): State<Platform>, Auth(_): Auth) -> ApiResult<Created<wire::Source>> {
    Ok(show(&p, sources::create(&p).await?))
}

async fn create_for_app(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Created<wire::Source>> {
    ops::apps::find_for(&p, &actor, &app, Permission::Deploy).await?;
    Ok(show(&p, sources::create(&p).await?))
}

/// The file of a place, for whoever has the key to it.
fn opened(p: &Platform, id: &str, purpose: &str, key: &addresses::Key) -> ApiResult<PathBuf> {
    let gone = || Error::not_found("source", id);
    let parsed: Uuid = id.parse().map_err(|_| gone())?;
    let path = sources::path(p, parsed);
    if !path.exists() {
        return Err(gone().into());
    }
    if addresses::is_key(p, purpose, parsed, key) {
        return Ok(path);
    }
    let text =
        "This address has expired, or is not the one that was given out for this; ask POST /sources for a new one.";
    Err(Error::Forbidden(text.into()).into())
}

async fn upload(
    State(p): State<Platform>,
    Path(id): Path<String>,
    Query(key): Query<addresses::Key>,
    body: HttpBody,
) -> ApiResult<StatusCode> {
    let path = opened(&p, &id, sources::PUT, &key)?;
    let disk = |error: std::io::Error| Error::internal("The source could not be written to disk.", error);
    let fresh = path.with_extension(Uuid::new_v4().to_string());
    let mut file = tokio::fs::File::create(&fresh).await.map_err(disk)?;
    let written = async {
        let mut pieces = uploads::pieces(&p, "source", LARGEST, body);
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece?).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        tokio::fs::rename(&fresh, &path).await.map_err(disk)?;
        Ok(StatusCode::OK)
    };
    let result: ApiResult<StatusCode> = written.await;
    if result.is_err() {
        let _ = tokio::fs::remove_file(&fresh).await;
    }
    result
}

async fn download(
    State(p): State<Platform>,
    Path(id): Path<String>,
    Query(key): Query<addresses::Key>,
) -> ApiResult<Response> {
    let path = opened(&p, &id, sources::GET, &key)?;
    let file = tokio::fs::File::open(path).await.map_err(|_| Error::not_found("source", id))?;
    Ok(HttpBody::from_stream(tokio_util::io::ReaderStream::new(file)).into_response())
}
