//! The connection to Docker, and its errors in our words.

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::super::{EngineError, Result};
use super::DockerEngine;

/// Seconds for the head of an answer. Starting a container on a loaded machine takes long.
const TIMEOUT: u64 = 120;
/// Docker's usual socket.
const SOCKET: &str = "unix:///var/run/docker.sock";

impl DockerEngine {
    /// The connection, with the API version agreed on. Kept once it has worked; the requests
    /// themselves each open their own, so an engine that restarts is met again by itself.
    pub(super) async fn docker(&self) -> Result<Docker> {
        self.inner.docker.get_or_try_init(|| connect(self.config().docker_host.as_deref())).await.cloned()
    }

    /// The same, of an engine that answers now.
    pub(super) async fn answering(&self) -> Result<Docker> {
        let docker = self.docker().await?;
        docker.ping().await.map_err(|error| failed("answer", error))?;
        Ok(docker)
    }
}

async fn connect(host: Option<&str>) -> Result<Docker> {
    let host = host.unwrap_or(SOCKET);
    let docker = if host.starts_with("tcp://") || host.starts_with("http://") {
        Docker::connect_with_http(host, TIMEOUT, API_DEFAULT_VERSION)
    } else if host.starts_with("unix://") || host.starts_with('/') {
        Docker::connect_with_unix(host, TIMEOUT, API_DEFAULT_VERSION)
    } else {
        return Err(EngineError::Setting(format!(
            "PAAS_DOCKER_HOST is {host}; it has to begin with unix:// or tcp://, for example {SOCKET}."
        )));
    };
    docker
        .map_err(|error| failed("connect", error))?
        .negotiate_version()
        .await
        .map_err(|error| failed("agree on an API version", error))
}

/// The HTTP status of Docker's refusal, if it is one.
pub(super) fn status(error: &Error) -> Option<u16> {
    if let Error::DockerResponseServerError { status_code, .. } = error { Some(*status_code) } else { None }
}

/// Puts Docker's error into our words; `action` completes "Docker refused to …".
pub(super) fn failed(action: &str, error: Error) -> EngineError {
    #[allow(clippy::wildcard_enum_match_arm, reason = "bollard's enum, with variants by feature")]
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(action, status_code, message),
        Error::SocketNotFoundError(path) => EngineError::Unavailable { why: format!("no socket at {path}") },
        Error::RequestTimeoutError => EngineError::Unavailable { why: format!("no answer within {TIMEOUT} s") },
        Error::IOError { .. } | Error::HyperResponseError { .. } | Error::HyperLegacyError { .. } => {
            EngineError::Unavailable { why: innermost(&error) }
        }
        other => EngineError::Other { action: action.to_owned(), why: other.to_string() },
    }
}

/// The end of the chain of causes: "Connection refused" rather than "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn refused(action: &str, status: u16, message: String) -> EngineError {
    let lower = message.to_lowercase();
    if status == 404 && lower.contains("no such image") {
        let image = message.rsplit_once("image: ").map_or(message.as_str(), |(_, image)| image);
        return EngineError::NoSuchImage { image: image.trim().to_owned() };
    }
    let short = ["no space left", "cannot allocate memory", "no available ip", "resource temporarily unavailable"];
    if short.iter().any(|sign| lower.contains(sign)) {
        return EngineError::OutOfResources { what: message };
    }
    if status == 404 {
        return EngineError::NotFound { what: format!("{action} ({message})") };
    }
    EngineError::Other { action: action.to_owned(), why: message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        assert_eq!(
            refused("x", 404, "No such image: paas/stack:none".into()),
            EngineError::NoSuchImage { image: "paas/stack:none".into() }
        );
        assert!(matches!(refused("x", 404, "No such container: y".into()), EngineError::NotFound { .. }));
        assert!(matches!(
            refused("x", 500, "write /var/lib/docker/…: no space left on device".into()),
            EngineError::OutOfResources { .. }
        ));
        assert!(matches!(refused("x", 500, "something else".into()), EngineError::Other { .. }));
    }
}
