//! Heroku Platform API v3: the front door for every client. A handler is three moves:
//! parse, one operation, view.
//!
//! One file a resource, each with its `routes`. [`extract`] has what handlers take, [`list`]
//! pages, [`view`] shows rows as Heroku's clients want to see them, and [`error`] is the
//! only place that knows statuses.

mod account;
mod addons;
mod apps;
mod attachments;
mod buildpack_installations;
mod builds;
mod collaborators;
mod couplings;
pub mod endpoints;
pub mod error;
pub mod extract;
mod formation;
pub mod hyper_schema;
mod limit;
mod list;
mod log_drains;
mod logs;
mod misc;
pub mod openapi;
mod pipelines;
mod promotions;
mod redis;
mod releases;
mod slugs;
mod sources;
mod team_apps;
mod team_members;
mod teams;
mod telemetry_drains;
mod transfers;
mod transport;
mod view;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
};

use crate::ops::Platform;
use endpoints::Endpoints;
use error::ApiError;

/// Requests that are said to be left where there is no limit: Heroku's own number of an hour.
const RATE_LIMIT: u32 = 4500;

/// Every endpoint of the API, with what is known of each.
pub fn endpoints() -> Endpoints {
    Endpoints::new()
        .merge(account::routes())
        .merge(addons::routes())
        .merge(apps::routes())
        .merge(attachments::routes())
        .merge(buildpack_installations::routes())
        .merge(builds::routes())
        .merge(couplings::routes())
        .merge(collaborators::routes())
        .merge(formation::routes())
        .merge(log_drains::routes())
        .merge(logs::routes())
        .merge(misc::routes())
        .get("/openapi.json", openapi::show)
        .get("/schema", hyper_schema::show)
        .merge(pipelines::routes())
        .merge(promotions::routes())
        .merge(redis::routes())
        .merge(releases::routes())
        .merge(slugs::routes())
        .merge(sources::routes())
        .merge(team_apps::routes())
        .merge(team_members::routes())
        .merge(teams::routes())
        .merge(transfers::routes())
        .merge(telemetry_drains::routes())
}

/// The router of all of them, with what all of them share.
pub fn routes(p: &Platform) -> Router<Platform> {
    let (router, _) = endpoints().split();
    let router = router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(extract::LARGEST_BODY));
    transport::around(router, p)
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
