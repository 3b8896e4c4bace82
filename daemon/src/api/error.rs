//! Errors as Heroku's clients know them: `{"id", "message", "url"}` and a status. The only
//! place that knows statuses.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::error::Error;

/// An error on its way out.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    id: &'static str,
    message: String,
    resource: Option<&'static str>,
}

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// Any status with an id of Heroku's.
    pub fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: message.into(), resource: None }
    }

    /// The sentence for the user.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body is no JSON.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A field's value or type is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(what) => Self {
                resource: Some(what.resource),
                ..Self::new(StatusCode::NOT_FOUND, "not_found", what.to_string())
            },
            Error::Invalid(message) => Self::invalid(message),
            Error::MultipleMatches(message) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, paas_wire::error::MULTIPLE_MATCHES, message)
            }
            Error::Conflict(message) => Self::new(StatusCode::CONFLICT, "conflict", message),
            Error::Forbidden(message) => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            Error::Unauthorized(message) => Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message),
            Error::ConfirmationRequired { message, .. } => {
                Self::new(StatusCode::LOCKED, "confirmation_required", message)
            }
            Error::Unavailable(message) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message),
            Error::Internal { what, source } => {
                let mut causes = vec![source.to_string()];
                let mut next = source.source();
                while let Some(cause) = next {
                    causes.push(cause.to_string());
                    next = cause.source();
                }
                tracing::error!(what = %what, cause = causes.join(": "), "an operation failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal_server_error",
                    format!(
                        "{what} This is the server's fault; its log has the cause. Try again, and tell its administrator if it stays."
                    ),
                )
            }
        }
    }
}

impl From<crate::store::StoreError> for ApiError {
    fn from(error: crate::store::StoreError) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"id": self.id, "message": self.message, "url": null});
        if let (Some(resource), Some(body)) = (self.resource, body.as_object_mut()) {
            body.insert("resource".into(), resource.into());
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Basic realm=\"paas\", charset=\"UTF-8\""),
            );
        }
        response
    }
}
