//! Requests to the daemon over its control socket: one connection each, since they are few.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error("the daemon's control socket can't be reached: {0}")]
    Away(#[from] io::Error),
    #[error("the daemon broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the request can't be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the daemon gave no answer within {0:?}")]
    Late(Duration),
}

/// Sends one request and reads the whole answer.
pub(crate) async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
    limit: Duration,
) -> Result<(StatusCode, Bytes), DaemonError> {
    tokio::time::timeout(limit, exchange(socket, method, path, body)).await.map_err(|_| DaemonError::Late(limit))?
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), DaemonError> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "paasd")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, body))
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        result = &mut answer => result,
        // Whatever ended the connection reaches the request, too.
        _ = &mut connection => answer.await,
    }
}
