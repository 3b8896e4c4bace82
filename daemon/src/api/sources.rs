//! `/sources`: places to upload a build's source to. The address is the key.

use axum::{
    body::Body as HttpBody,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use paas_wire as wire;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints},
    error::{ApiError, ApiResult},
    extract::{Auth, Path},
};
use crate::{
    error::Error,
    ops::{self, Platform, apps::Permission, sources},
};

/// Largest source, in bytes, compressed.
const LARGEST: u64 = 2 * 1024 * 1024 * 1024;

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .put("/sources/{source}", upload)
        .get("/sources/{source}", download)
        .of_any_size()
        .post("/sources", create)
        .post("/apps/{app}/sources", create_for_app)
}

fn show(p: &Platform, id: Uuid) -> Created<wire::Source> {
    let url = sources::url(p, id);
    let source_blob = wire::source::SourceUrls { get_url: url.clone(), put_url: url };
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

fn parse(id: &str) -> ApiResult<Uuid> {
    let id: Uuid = id.parse().map_err(|_| Error::not_found("source", id))?;
    // Ours are random: those that rise with time could be guessed.
    if id.get_version_num() == 4 { Ok(id) } else { Err(Error::not_found("source", id.to_string()).into()) }
}

async fn upload(State(p): State<Platform>, Path(id): Path<String>, body: HttpBody) -> ApiResult<StatusCode> {
    let path = sources::path(&p, parse(&id)?);
    if !path.exists() {
        return Err(Error::not_found("source", id).into());
    }
    let disk = |error: std::io::Error| Error::internal("The source could not be written to disk.", error);
    let fresh = path.with_extension(Uuid::new_v4().to_string());
    let mut file = tokio::fs::File::create(&fresh).await.map_err(disk)?;
    let written = async {
        let mut pieces = body.into_data_stream();
        let mut size = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| ApiError::bad_request("The upload broke off; send the source again."))?;
            size += piece.len() as u64;
            if size > LARGEST {
                let text = "The source is over 2 GB; leave out what the app does not need.";
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text));
            }
            file.write_all(&piece).await.map_err(disk)?;
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

async fn download(State(p): State<Platform>, Path(id): Path<String>) -> ApiResult<Response> {
    let path = sources::path(&p, parse(&id)?);
    let file = tokio::fs::File::open(path).await.map_err(|_| Error::not_found("source", id))?;
    Ok(HttpBody::from_stream(tokio_util::io::ReaderStream::new(file)).into_response())
}
