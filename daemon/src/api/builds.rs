//! `/apps/{app}/builds`, the build cache, and the output of builds as a stream.

use std::collections::HashMap;

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use paas_wire as wire;
use uuid::Uuid;
use wire::{BuildStatus, IdRef};

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query, admit},
    list::list,
    view,
};
use crate::{
    context::new_id,
    error::Error,
    ops::{self, Platform, addresses, apps::Permission},
    store::{builds::Build, users},
};

/// How long an address of output counts.
const LASTS: TimeDelta = TimeDelta::hours(24);

/// What such an address is for.
const OUTPUT: &str = "build/output";

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/builds", index)
        .post("/apps/{app}/builds", create)
        .get("/apps/{app}/builds/{build}", info)
        .delete("/apps/{app}/builds/{build}", cancel)
        .delete("/apps/{app}/build-cache", purge)
        .get("/streams/builds/{build}", output)
}

/// Where the output of a build is to be had for a while.
pub(super) fn output_url(p: &Platform, id: Uuid) -> String {
    format!("{}/streams/builds/{id}?{}", p.cx.config().api_url(), addresses::sign(p, OUTPUT, id, LASTS))
}

/// How a build's row is called on the wire.
pub(super) fn status(row: &Build) -> BuildStatus {
    match row.status.as_str() {
        "queued" | "pending" => BuildStatus::Pending,
        "succeeded" => BuildStatus::Succeeded,
        _ => BuildStatus::Failed,
    }
}

/// A build as everybody may see it who may see its app: its source is for those who deploy.
pub(super) fn show(p: &Platform, row: &Build, user: &users::User) -> wire::Build {
    let packs = row.buildpacks.0.iter();
    let packs =
        packs.map(|url| wire::build::BuildBuildpack { url: url.clone(), name: Some(ops::builds::pack_name(url)) });
    wire::Build {
        app: IdRef { id: row.app_id },
        buildpacks: Some(packs.collect()),
        created_at: row.created_at,
        generation: Some("cedar".into()),
        id: row.id,
        output_stream_url: output_url(p, row.id),
        release: row.release_id.map(|id| IdRef { id }),
        slug: row.slug_id.map(|id| IdRef { id }),
        source_blob: wire::build::SourceBlob {
            checksum: None,
            url: row.source_url.as_deref().map(ops::sources::shown).unwrap_or_default(),
            version: row.source_version.clone(),
            version_description: row.source_description.clone(),
        },
        stack: row.stack.clone(),
        status: status(row),
        updated_at: row.updated_at,
        user: view::user_ref(user),
    }
}

/// A build for somebody who may deploy its app (`deploys`), or only see it.
async fn show_to(p: &Platform, row: &Build, user: &users::User, deploys: bool) -> ApiResult<wire::Build> {
    let mut shown = show(p, row, user);
    shown.source_blob.checksum = checksum(p, row).await?;
    if deploys {
        shown.source_blob.url = row.source_url.clone().unwrap_or_default();
    }
    Ok(shown)
}

/// What the source's checksum is to be, as clients write it.
async fn checksum(p: &Platform, row: &Build) -> ApiResult<Option<String>> {
    Ok(ops::builds::wanted_checksum(p, row.id).await?.map(|sum| format!("SHA256:{sum}")))
}

async fn shown(p: &Platform, row: &Build, deploys: bool) -> ApiResult<Json<wire::Build>> {
    let user = users::by_id(&mut p.db.read().await.map_err(Error::from)?, row.user_id).await.map_err(Error::from)?;
    let user = user.ok_or_else(|| Error::not_found("user", row.user_id.to_string()))?;
    Ok(Json(show_to(p, row, &user, deploys).await?))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Build>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let rows = users::list(&mut p.db.read().await.map_err(Error::from)?).await.map_err(Error::from)?;
    let users: HashMap<Uuid, users::User> = rows.into_iter().map(|user| (user.id, user)).collect();
    let deploys = ops::apps::may(&p, &actor, &app, Permission::Deploy).await?;
    let rows = ops::builds::list(&p, &app).await?;
    let mut items = Vec::new();
    for row in &rows {
        let Some(user) = users.get(&row.user_id) else { continue };
        items.push(show_to(&p, row, user, deploys).await?);
    }
    Ok(list(&headers, "started_at", items, |item: &wire::Build| item.created_at.to_rfc3339()))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, build)): Path<(String, String)>,
) -> ApiResult<Json<wire::Build>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let deploys = ops::apps::may(&p, &actor, &app, Permission::Deploy).await?;
    shown(&p, &ops::builds::find(&p, &app, &build).await?, deploys).await
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::BuildCreate>,
) -> ApiResult<Created<wire::Build>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Deploy).await?;
    let blob = body.source_blob;
    if !(blob.url.starts_with("https://") || blob.url.starts_with("http://")) || blob.url.chars().any(char::is_control)
    {
        return Err(ApiError::invalid(
            "source_blob.url: the http(s) address of a tar archive is needed; POST /sources gives one to upload to.",
        ));
    }
    let packs = body.buildpacks.unwrap_or_default();
    let new = ops::builds::New {
        kind: "tarball",
        url: Some(ops::sources::given(&p, &blob.url)?),
        version: blob.version,
        description: blob.version_description,
        buildpacks: packs.into_iter().map(|pack| pack.given().to_owned()).collect(),
    };
    let row = ops::builds::create_checked(&p, &actor, &app, (new_id(), blob.checksum.as_deref()), new).await?;
    Ok(Created(shown(&p, &row, true).await?.0))
}

async fn cancel(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, build)): Path<(String, String)>,
) -> ApiResult<Json<wire::Build>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Deploy).await?;
    shown(&p, &ops::builds::cancel(&p, &actor, &app, &build).await?, true).await
}

async fn purge(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<serde_json::Value>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Deploy).await?;
    ops::builds::purge_cache(&p, &actor, &app).await?;
    Ok(Json(serde_json::json!({})))
}

/// Where a client wants to go on: `Range: bytes=N-`, or `Last-Event-Id: N` of an event stream.
fn offset(headers: &HeaderMap) -> u64 {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let range = text("range").and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    range.or_else(|| text("last-event-id")?.parse().ok()).unwrap_or(0)
}

/// The output of a build as it comes: plain text, or events whose ids are the bytes so far. The
/// address that was given out is the key to it, since Heroku's clients send no credentials.
async fn output(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path(build): Path<String>,
    Query(key): Query<addresses::Key>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let id: Uuid = build.parse().map_err(|_| Error::not_found("build", build.clone()))?;
    let row = ops::builds::by_id(&p, id).await?.ok_or_else(|| Error::not_found("build", build))?;
    admit(&p, OUTPUT, (id, row.app_id), &key, auth.map(|auth| (auth, Permission::View))).await?;
    let offset = offset(&headers);
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let pieces = ops::builds::output(&p, id, offset);
    let (kind, body) = if accepts.contains("text/event-stream") {
        // What comes last need not be a whole line.
        let pieces = pieces.map(Some).chain(stream::once(std::future::ready(None)));
        let events = pieces.scan(Lines { at: offset, rest: Vec::new() }, |lines, piece| {
            let piece = match piece {
                Some(piece) => piece.map(|piece| lines.events(&piece)),
                None => Ok(lines.rest()),
            };
            std::future::ready(Some(piece))
        });
        ("text/event-stream; charset=utf-8", HttpBody::from_stream(events))
    } else {
        ("text/plain; charset=utf-8", HttpBody::from_stream(pieces))
    };
    let mut response = body.into_response();
    let status = if headers.contains_key(header::RANGE) { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Cuts output into lines, an event each.
struct Lines {
    at: u64,
    rest: Vec<u8>,
}

impl Lines {
    fn events(&mut self, piece: &[u8]) -> Bytes {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            events.extend(self.event(&line).bytes());
        }
        Bytes::from(events)
    }

    /// What has no line end, once nothing more comes.
    fn rest(&mut self) -> Bytes {
        let line = std::mem::take(&mut self.rest);
        if line.is_empty() { Bytes::new() } else { self.event(&line).into() }
    }

    fn event(&mut self, line: &[u8]) -> String {
        self.at += line.len() as u64;
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\n').replace('\r', "");
        format!("id: {}\ndata: {text}\n\n", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_with_the_place_to_resume_at() {
        let mut lines = Lines { at: 10, rest: Vec::new() };
        assert_eq!(lines.events(b"ab"), "");
        assert_eq!(lines.events(b"c\r\nd"), "id: 15\ndata: abc\n\n");
        assert_eq!(lines.events(b"\n"), "id: 17\ndata: d\n\n");
        assert_eq!(lines.events(b"end"), "");
        assert_eq!(lines.rest(), "id: 20\ndata: end\n\n");
        assert_eq!(lines.rest(), "");
    }
}
