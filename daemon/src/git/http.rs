//! The three requests of git's smart HTTP protocol. Bodies are streamed both ways, never held.

use std::{io, sync::Arc, time::Duration};

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
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdout},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tower_http::decompression::RequestDecompressionLayer;

use super::{Git, hook, push::Push, repository};
use crate::{
    error::Error,
    ops::{Actor, Platform, accounts, apps, disk, scopes::Need},
    store::apps::App,
};

/// Bytes that are passed on at once.
const PIECE: usize = 64 * 1024;
/// How much of git's complaints is kept for our own log.
const COMPLAINTS: u64 = 4096;
/// How long an upload may stand still.
const UPLOAD: Duration = Duration::from_secs(300);
/// How long a pusher may take nothing of what there is to hear, and somebody who fetches: a
/// push holds the app's turn meanwhile.
const HEARING: Duration = Duration::from_secs(30);
const FETCHING: Duration = Duration::from_secs(600);

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
            Error::Invalid(_) | Error::MultipleMatches(_) | Error::Conflict(_) | Error::ConfirmationRequired { .. } => {
                StatusCode::BAD_REQUEST
            }
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
async fn enter(p: &Platform, headers: &HeaderMap, repository: &str, need: Need) -> Result<(Actor, App), Refusal> {
    let actor = match token(headers) {
        Some(token) => accounts::authenticate_for(p, &token, need).await?,
        None => None,
    };
    let Some(actor) = actor else {
        return Err(Refusal(
            StatusCode::UNAUTHORIZED,
            "Give an API token as the password (any user name). Log in with: paas login".into(),
        ));
    };
    let name = repository.strip_suffix(".git").unwrap_or(repository);
    // Its code is for those who deploy it, to fetch as well as to push.
    match apps::find_for(p, &actor, name, apps::Permission::Deploy).await {
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
    let push = query.service.as_deref() == Some("git-receive-pack");
    let (_, app) = enter(&p, &headers, &name, if push { Need::WRITE } else { Need::READ }).await?;
    let program = match query.service.as_deref() {
        Some("git-upload-pack") => "upload-pack",
        Some("git-receive-pack") => "receive-pack",
        Some(_) | None => {
            let text = "This server speaks git's smart protocol only; use git 1.7 or newer.";
            return Err(Refusal(StatusCode::FORBIDDEN, text.into()));
        }
    };
    if program == "receive-pack" {
        // Here, since git shows no text of a push that is refused later.
        room(&p)?;
    }
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
    let (_, app) = enter(&p, &headers, &name, Need::READ).await?;
    let path = repository::ensure(&p.cx, app.id).await?;
    let mut command = repository::git(&p.cx, &["upload-pack", "--stateless-rpc"]);
    if let Some(protocol) = protocol(&headers) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let child = command.arg(path).stdin(std::process::Stdio::piped()).spawn()?;
    let (body, _) = converse(child, body, None, (UPLOAD, FETCHING));
    Ok(answer("application/x-git-upload-pack-result", body))
}

async fn receive_pack(
    State(p): State<Platform>,
    Extension(git): Extension<Arc<Git>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (actor, app) = enter(&p, &headers, &name, Need::WRITE).await?;
    room(&p)?;
    let path = repository::ensure(&p.cx, app.id).await?;
    let push = Push::new(actor, app, path.clone());
    let gone = push.gone.clone();
    let entry = git.enter(push);
    let child = repository::git(&p.cx, &["receive-pack", "--stateless-rpc"])
        .env(hook::PUSH, entry.id().to_string())
        .env(hook::SOCKET, repository::hook_socket(&p.cx))
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()?;
    let (body, ended) = converse(child, body, Some(gone), (UPLOAD, HEARING));
    tokio::spawn(async move {
        let _ = ended.await;
        entry.end().await;
    });
    Ok(answer("application/x-git-receive-pack-result", body))
}

/// A push needs room for its objects already.
fn room(p: &Platform) -> Result<(), Refusal> {
    disk::enough(&p.cx)
        .map_err(|scarce| Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("The push can't be taken: {scarce}.")))
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

/// Feeds the request to git and git's answer to the client; the task ends with git. A client
/// that goes away, or takes nothing for a while, ends a fetch. A push goes on: `gone` is told, and
/// git's answer is read to its end, so that a push that was received is finished. `patience`:
/// with an upload that stands still, with a client that does not listen.
fn converse(
    mut child: Child,
    body: Body,
    gone: Option<CancellationToken>,
    patience: (Duration, Duration),
) -> (Body, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(8);
    if let Some(mut stdin) = child.stdin.take() {
        tokio::spawn(async move {
            let mut pieces = body.into_data_stream();
            loop {
                match timeout(patience.0, pieces.next()).await {
                    Ok(Some(Ok(piece))) if stdin.write_all(&piece).await.is_ok() => {}
                    Ok(None) => break,
                    // An upload that breaks off or stands still closes git's input early, which
                    // git notices.
                    Ok(Some(Ok(_) | Err(_))) | Err(_) => return,
                }
            }
            let _ = stdin.shutdown().await;
        });
    }
    let ended = tokio::spawn(async move {
        let complaints = child.stderr.take().map(|stderr| {
            tokio::spawn(async move {
                let mut text = Vec::new();
                let mut limited = stderr.take(COMPLAINTS);
                let _ = limited.read_to_end(&mut text).await;
                let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
                String::from_utf8_lossy(&text).trim().to_owned()
            })
        });
        if let Some(mut stdout) = child.stdout.take()
            && hand_over(&mut stdout, sender, patience.1).await.is_err()
            && let Some(gone) = gone
        {
            gone.cancel();
            let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        }
        let status = child.wait().await;
        let complaints = match complaints {
            Some(task) => task.await.unwrap_or_default(),
            None => String::new(),
        };
        if !status.is_ok_and(|status| status.success()) {
            tracing::info!(complaints, "git ended a request with a failure");
        }
    });
    (Body::from_stream(ReceiverStream::new(receiver)), ended)
}

/// The client is not there any more, or does not listen.
struct Gone;

/// Hands git's answer to the client, to its end.
async fn hand_over(
    stdout: &mut ChildStdout,
    sender: mpsc::Sender<io::Result<Bytes>>,
    patience: Duration,
) -> Result<(), Gone> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = tokio::select! {
            read = stdout.read(&mut buffer) => read.unwrap_or_default(),
            () = sender.closed() => return Err(Gone),
        };
        if count == 0 {
            return Ok(());
        }
        let piece = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
        match timeout(patience, sender.send(Ok(piece))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = tokio::process::Command::new("sh");
        let piped = std::process::Stdio::piped;
        command.args(["-c", script]).stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_pusher_who_does_not_listen_is_not_waited_for() {
        let patience = (UPLOAD, Duration::from_millis(50));
        let file = std::env::temp_dir().join(format!("paas-git-deaf-{}", std::process::id()));
        let script = format!("cat; head -c 5000000 /dev/zero; echo done > {}", file.display());
        let gone = CancellationToken::new();
        let (_body, ended) = converse(shell(&script), Body::from("x"), Some(gone.clone()), patience);
        ended.await.unwrap();
        assert!(gone.is_cancelled());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "done\n", "what was received is finished");
        std::fs::remove_file(&file).unwrap();
        // A fetch ends: there is nobody to give anything to.
        let (body, ended) = converse(shell("yes"), Body::empty(), None, patience);
        ended.await.unwrap();
        drop(body);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_in_silence_is_noticed() {
        let gone = CancellationToken::new();
        let (body, ended) = converse(shell("read line; exit 0"), never(), Some(gone.clone()), (UPLOAD, HEARING));
        drop(body);
        gone.cancelled().await;
        ended.abort();
    }

    #[tokio::test]
    async fn an_upload_that_stands_still_ends() {
        let (body, ended) = converse(shell("cat; echo end"), never(), None, (Duration::from_millis(50), HEARING));
        let bytes = axum::body::to_bytes(body, 100).await.unwrap();
        assert_eq!(bytes, "xend\n");
        ended.await.unwrap();
    }

    /// A body that stops after its first byte.
    fn never() -> Body {
        let first = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"x"))]);
        Body::from_stream(first.chain(futures_util::stream::pending()))
    }
}
