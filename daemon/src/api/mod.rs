//! Heroku Platform API v3: the front door for every client. A handler is three moves:
//! parse, one operation, view.
//!
//! One file a resource, each with its `routes`. [`extract`] has what handlers take, [`list`]
//! pages, [`view`] shows rows as Heroku's clients want to see them, and [`error`] is the
//! only place that knows statuses.

mod absent;
mod account;
mod addons;
mod apps;
mod attachments;
mod authorizations;
mod browser_login;
mod buildpack_installations;
mod builds;
mod consent;
pub mod endpoints;
pub mod error;
pub mod extract;
mod features;
mod formation;
mod keys;
mod list;
mod logs;
mod misc;
mod oauth;
mod pages;
mod redis;
mod releases;
pub mod scopes;
mod slugs;
mod sources;
mod view;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};

use crate::ops::Platform;
use endpoints::Endpoints;
use error::ApiError;

/// Requests an hour, as Heroku tells its clients; not enforced yet.
const RATE_LIMIT: u64 = 4500;

/// Every endpoint of the API, with what is known of each.
pub fn endpoints() -> Endpoints {
    Endpoints::new()
        .merge(absent::routes())
        .merge(account::routes())
        .merge(addons::routes())
        .merge(apps::routes())
        .merge(attachments::routes())
        .merge(authorizations::routes())
        .merge(browser_login::routes())
        .merge(buildpack_installations::routes())
        .merge(builds::routes())
        .merge(consent::routes())
        .merge(features::routes())
        .merge(formation::routes())
        .merge(keys::routes())
        .merge(logs::routes())
        .merge(misc::routes())
        .merge(oauth::routes())
        .merge(redis::routes())
        .merge(releases::routes())
        .merge(slugs::routes())
        .merge(sources::routes())
}

/// The router of all of them, with what all of them share.
pub fn routes() -> Router<Platform> {
    let (router, _) = endpoints().split();
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(extract::LARGEST_BODY))
        .layer(middleware::from_fn(headers))
}

async fn unknown() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), and did you specify your intended version with the `Accept` header?",
    )
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not answer to {}.", request.uri().path(), request.method()),
    )
}

/// Request ids and what else every answer carries.
async fn headers(request: Request, next: Next) -> Response {
    let sent = request.headers().get("request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let own = uuid::Uuid::new_v4().to_string();
    // Nothing has a name with a NUL character in it, and Postgres can't be asked for one.
    let nameless = request.uri().path().contains("%00");
    let mut response = if nameless { unknown().await.into_response() } else { next.run(request).await };
    let ids = paas_wire::headers::with_request_id(sent.as_deref(), &own);
    if let Ok(value) = HeaderValue::from_str(&ids) {
        response.headers_mut().insert(HeaderName::from_static("request-id"), value);
    }
    response.headers_mut().insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(RATE_LIMIT));
    response
}
