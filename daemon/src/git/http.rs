//! The three requests of git's smart HTTP protocol. Bodies are streamed both ways, never held.

use std::{io, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tower_http::decompression::RequestDecompressionLayer;

use super::{Git, hook, push::Push, repository};
use crate::{
    error::Error,
    ops::{Actor, Platform, accounts, apps},
    store::apps::App,
};

/// Bytes that are passed on at once.
const PIECE: usize = 64 * 1024;
/// How much of git's complaints is kept for our own log.
const COMPLAINTS: u64 = 4096;

/// The routes of git, for the same port as the API's.
pub fn routes(git: Arc<Git>) -> Router<Platform> {
    Router::new()
        .route("/{repository}/info/refs", get(info_refs))
        .route("/{repository}/git-upload-pack", post(upload_pack))
        .route("/{repository}/git-receive-pack", post(receive_pack))
        .layer(RequestDecompressionLayer::new())
        .layer(Extension(git))
}

/// What a git client is told instead of data: a status, and a text that it shows.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.0, format!("{}\n", self.1)).into_response();
        let headers = response.headers_mut();
        // git shows the text only when it is exactly this type.
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if self.0 == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"paas\""));
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Invalid(_) | Error::Conflict(_) | Error::ConfirmationRequired { .. } => StatusCode::BAD_REQUEST,
            Error::Internal { .. } => {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "a git request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self(status, error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Error::internal("The repository could not be opened.", error).into()
    }
}

#[derive(serde::Deserialize)]
struct Service {
    service: Option<String>,
}

/// Who comes, and to which app.
async fn enter(p: &Platform, headers: &HeaderMap, repository: &str) -> Result<(Actor, App), Refusal> {
    let actor = match token(headers) {
        Some(token) => accounts::authenticate(p, &token).await?,
        None => None,
    };
    let Some(actor) = actor else {
        return Err(Refusal(
            StatusCode::UNAUTHORIZED,
            "Give an API token as the password (any user name). Log in with: paas login".into(),
        ));
    };
    let name = repository.strip_suffix(".git").unwrap_or(repository);
    match apps::find(p, &actor, name).await {
        Ok(app) => Ok((actor, app)),
        Err(Error::NotFound(_)) => Err(Refusal(
            StatusCode::NOT_FOUND,
            format!("No such app: {name}. `paas apps` lists yours; `paas create {name}` makes it."),
        )),
        Err(error) => Err(error.into()),
    }
}

fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// The client's `Git-Protocol`, when it is one that can be handed to git.
fn protocol(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("git-protocol")?.to_str().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "=:._-".contains(c);
    (text.len() < 200 && text.chars().all(fits)).then_some(text)
}

async fn info_refs(
    State(p): State<Platform>,
    Path(name): Path<String>,
    Query(query): Query<Service>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (_, app) = enter(&p, &headers, &name).await?;
    let program = match query.service.as_deref() {
        Some("git-upload-pack") => "upload-pack",
        Some("git-receive-pack") => "receive-pack",
        Some(_) | None => {
            let text = "This server speaks git's smart protocol only; use git 1.7 or newer.";
            return Err(Refusal(StatusCode::FORBIDDEN, text.into()));
        }
    };
    let path = repository::ensure(&p.cx, app.id).await?;
    let mut command = repository::git(&p.cx, &[program, "--stateless-rpc", "--advertise-refs"]);
    let protocol = protocol(&headers).filter(|_| program == "upload-pack");
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    let output = command.arg(path).output().await?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()).into());
    }
    let mut body = Vec::new();
    if !protocol.is_some_and(|text| text.split(':').any(|word| word == "version=2")) {
        let line = format!("# service=git-{program}\n");
        body.extend(format!("{:04x}{line}0000", line.len() + 4).bytes());
    }
    body.extend(output.stdout);
    Ok(answer(&format!("application/x-git-{program}-advertisement"), Body::from(body)))
}

async fn upload_pack(
    State(p): State<Platform>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (_, app) = enter(&p, &headers, &name).await?;
    let path = repository::ensure(&p.cx, app.id).await?;
    let mut command = repository::git(&p.cx, &["upload-pack", "--stateless-rpc"]);
    if let Some(protocol) = protocol(&headers) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let child = command.arg(path).stdin(std::process::Stdio::piped()).spawn()?;
    Ok(answer("application/x-git-upload-pack-result", converse(child, body, None)))
}

async fn receive_pack(
    State(p): State<Platform>,
    Extension(git): Extension<Arc<Git>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (actor, app) = enter(&p, &headers, &name).await?;
    let path = repository::ensure(&p.cx, app.id).await?;
    let entry = git.enter(Push { actor, app, git_dir: path.clone() });
    let child = repository::git(&p.cx, &["receive-pack", "--stateless-rpc"])
        .env(hook::PUSH, entry.id().to_string())
        .env(hook::SOCKET, repository::hook_socket(&p.cx))
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()?;
    Ok(answer("application/x-git-receive-pack-result", converse(child, body, Some(entry))))
}

fn answer(kind: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    response
}

/// Feeds the request to git and git's answer to the client. When the client goes away, git's
/// answer is read on to its end, so that a push that was received is finished. `held` lives as
/// long as git does.
fn converse(mut child: Child, body: Body, held: Option<super::push::Entry>) -> Body {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(8);
    if let Some(mut stdin) = child.stdin.take() {
        tokio::spawn(async move {
            let mut pieces = body.into_data_stream().map_err(io::Error::other);
            while let Some(piece) = pieces.next().await {
                // An upload that breaks off closes git's input early, which git notices.
                let Ok(piece) = piece else { return };
                if stdin.write_all(&piece).await.is_err() {
                    return;
                }
            }
            let _ = stdin.shutdown().await;
        });
    }
    tokio::spawn(async move {
        let complaints = child.stderr.take().map(|stderr| {
            tokio::spawn(async move {
                let mut text = Vec::new();
                let mut limited = stderr.take(COMPLAINTS);
                let _ = limited.read_to_end(&mut text).await;
                let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
                String::from_utf8_lossy(&text).trim().to_owned()
            })
        });
        if let Some(mut stdout) = child.stdout.take() {
            let mut buffer = vec![0; PIECE];
            while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
                let piece = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                // A client that is gone: read on, so that git comes to its end.
                let _ = sender.send(Ok(piece)).await;
            }
        }
        drop(sender);
        let status = child.wait().await;
        let complaints = match complaints {
            Some(task) => task.await.unwrap_or_default(),
            None => String::new(),
        };
        if !status.is_ok_and(|status| status.success()) {
            tracing::info!(complaints, "git ended a request with a failure");
        }
        drop(held);
    });
    Body::from_stream(ReceiverStream::new(receiver))
}
