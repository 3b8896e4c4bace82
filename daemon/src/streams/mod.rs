//! Long-lived streams: log sessions, release phases and attached dynos.
//!
//! Nobody proves who they are here: the secret in the URL, made by the API for a user who
//! did, is the permission. [`logs`] is what `paas logs` and Heroku's `logplex_url` read;
//! [`releases`] is a release's `output_stream_url`;
//! [`attach`] is the other end of an attached one-off dyno, for our own command line,
//! [`rendezvous`](mod@rendezvous) for Heroku's;
//! [`session`] is the part that knows the dyno.

mod attach;
mod logs;
mod releases;
mod rendezvous;
mod session;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::ops::Platform;

pub use rendezvous::{redis, rendezvous};

/// Every route of the streams.
pub fn routes() -> Router<Platform> {
    Router::new().merge(logs::routes()).merge(releases::routes()).merge(attach::routes())
}

/// What goes wrong here is told as plain text: these URLs are read by people and by
/// programs that show what they get.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{}\n", self.1)).into_response()
    }
}

impl From<crate::error::Error> for Refusal {
    fn from(error: crate::error::Error) -> Self {
        use crate::error::Error;
        match error {
            Error::NotFound(_) => Self(
                StatusCode::NOT_FOUND,
                "There is no such stream, or its time is over. Ask for a new one.".to_owned(),
            ),
            Error::Invalid(text) | Error::MultipleMatches(text) | Error::ConfirmationRequired { message: text, .. } => {
                Self(StatusCode::UNPROCESSABLE_ENTITY, text)
            }
            Error::Conflict(text) => Self(StatusCode::CONFLICT, text),
            Error::Forbidden(text) | Error::Unauthorized(text) => Self(StatusCode::FORBIDDEN, text),
            Error::Unavailable(text) => Self(StatusCode::SERVICE_UNAVAILABLE, text),
            Error::Internal { what, source } => {
                tracing::error!(error = %source, "{what}");
                Self(StatusCode::INTERNAL_SERVER_ERROR, what.into_owned())
            }
        }
    }
}
