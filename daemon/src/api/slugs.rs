//! `/apps/{app}/slugs`, and the bytes of slugs. The address of the bytes is the key to them for
//! an hour.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use futures_util::TryStreamExt as _;
use paas_wire as wire;
use tokio_util::io::{ReaderStream, StreamReader};
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query, admit},
    uploads, view,
};
use crate::{
    error::Error,
    ops::{self, Platform, addresses, apps::Permission, slugs},
    slugs::LARGEST,
    store::slugs::Slug,
};

/// How long an address of bytes counts.
const LASTS: TimeDelta = TimeDelta::hours(1);

/// What an address is for.
const DOWNLOAD: &str = "slug/get";
const UPLOAD: &str = "slug/put";

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/slugs/{slug}/blob", download)
        .put("/slugs/{slug}/blob", upload)
        .of_any_size()
        .post("/apps/{app}/slugs", create)
        .get("/apps/{app}/slugs/{slug}", info)
}

/// `made`: just now, by whoever sees it. Only they get an address that takes the bytes without
/// more: others may only look.
fn show(p: &Platform, slug: &Slug, made: bool) -> Json<wire::Slug> {
    let (method, purpose) = if slug.sha256.is_some() { ("GET", DOWNLOAD) } else { ("PUT", UPLOAD) };
    let mut url = format!("{}/slugs/{}/blob", p.cx.config().api_url(), slug.id);
    if made || purpose == DOWNLOAD {
        url = format!("{url}?{}", addresses::sign(p, purpose, slug.id, LASTS));
    }
    Json(wire::Slug {
        blob: wire::slug::SlugBlob { method: method.into(), url },
        buildpack_provided_description: slug.buildpack_description.clone(),
        checksum: slug.sha256.as_ref().map(|sum| format!("SHA256:{sum}")),
        commit: slug.commit_id.clone(),
        commit_description: slug.commit_description.clone(),
        created_at: slug.created_at,
        deleted_at: None,
        id: slug.id,
        process_types: slug.process_types.0.clone(),
        size: slug.size.map(view::unsigned),
        stack: view::named("stack", &slug.stack),
        updated_at: slug.updated_at,
    })
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, slug)): Path<(String, String)>,
) -> ApiResult<Json<wire::Slug>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Deploy).await?;
    Ok(show(&p, &slugs::find(&p, &app, &slug).await?, false))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::SlugCreate>,
) -> ApiResult<Created<wire::Slug>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Deploy).await?;
    let new = slugs::New {
        process_types: body.process_types,
        buildpack_description: body.buildpack_provided_description,
        commit: body.commit,
        commit_description: body.commit_description,
        checksum: body.checksum,
        stack: body.stack.map(|stack| stack.0),
    };
    let slug = slugs::create(&p, &actor, &app, new).await?;
    Ok(Created(show(&p, &slug, true).0))
}

async fn found(p: &Platform, id: &str) -> ApiResult<Slug> {
    let id: Uuid = id.parse().map_err(|_| Error::not_found("slug", id))?;
    Ok(slugs::by_id(p, id).await?)
}

async fn upload(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path(id): Path<String>,
    Query(key): Query<addresses::Key>,
    body: HttpBody,
) -> ApiResult<StatusCode> {
    let slug = found(&p, &id).await?;
    admit(&p, UPLOAD, (slug.id, slug.app_id), &key, auth.map(|auth| (auth, Permission::Deploy))).await?;
    if slug.sha256.is_some() {
        return Err(Error::Conflict("That slug has been uploaded already; make a new one.".into()).into());
    }
    // What was wrong with the bytes themselves; the store knows only that there are no more.
    let refused = Arc::new(Mutex::new(None));
    let why = refused.clone();
    let pieces = uploads::pieces(&p, "slug", LARGEST, body).map_err(move |error| {
        *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        std::io::Error::other("the upload was refused")
    });
    let stored = p.slug_store.put(Box::pin(StreamReader::new(pieces))).await;
    if let Some(error) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let blob = stored.map_err(|e| Error::internal("The slug could not be stored; send it again.", e))?;
    slugs::uploaded(&p, &slug, &blob).await?;
    Ok(StatusCode::OK)
}

async fn download(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path(id): Path<String>,
    Query(key): Query<addresses::Key>,
) -> ApiResult<Response> {
    let slug = found(&p, &id).await?;
    admit(&p, DOWNLOAD, (slug.id, slug.app_id), &key, auth.map(|auth| (auth, Permission::Deploy))).await?;
    let sha256 = slug.sha256.as_deref().ok_or_else(|| Error::not_found("slug", id))?;
    let reader = p.slug_store.get(sha256).await.map_err(|e| Error::internal("The slug can't be read.", e))?;
    let mut response = HttpBody::from_stream(ReaderStream::new(reader)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
    Ok(response)
}
