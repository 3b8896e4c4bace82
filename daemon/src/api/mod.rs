//! Heroku Platform API v3: the front door for every client. A handler is three moves:
//! parse, one operation, view.
//!
//! One file a resource, each with its `routes`. [`extract`] has what handlers take, [`list`]
//! pages, [`view`] shows rows as Heroku's clients want to see them, and [`error`] is the
//! only place that knows statuses.

mod absent;
mod account;
mod addon_page;
mod addons;
mod app_setups;
mod apps;
mod attachments;
mod authorizations;
mod browser_login;
mod buildpack_installations;
mod buildpack_registry;
mod builds;
mod collaborators;
mod consent;
mod couplings;
mod domains;
mod dynos;
pub mod endpoints;
pub mod error;
mod expand;
pub mod extract;
mod features;
mod formation;
pub mod hyper_schema;
mod keys;
mod limit;
mod list;
mod log_drains;
mod logs;
mod misc;
mod oauth;
mod objects;
pub mod openapi;
mod pages;
mod pipelines;
mod promotions;
mod redis;
mod refused;
mod regions;
mod releases;
mod reviews;
mod router;
mod routing;
pub mod scopes;
mod services;
pub mod shown;
mod slugs;
mod sni_endpoints;
mod sources;
mod stacks;
mod status;
mod team_apps;
mod team_members;
mod teams;
mod telemetry_drains;
mod test_runs;
mod transfers;
mod transport;
mod uploads;
mod view;
mod webhooks;

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
        .merge(absent::routes())
        .merge(account::routes())
        .merge(addon_page::routes())
        .merge(addons::routes())
        .merge(app_setups::routes())
        .merge(apps::routes())
        .merge(attachments::routes())
        .merge(authorizations::routes())
        .merge(browser_login::routes())
        .merge(buildpack_installations::routes())
        .merge(buildpack_registry::routes())
        .merge(builds::routes())
        .merge(domains::routes())
        .merge(dynos::routes())
        .merge(couplings::routes())
        .merge(collaborators::routes())
        .merge(consent::routes())
        .merge(features::routes())
        .merge(formation::routes())
        .merge(keys::routes())
        .merge(log_drains::routes())
        .merge(logs::routes())
        .merge(misc::routes())
        .merge(oauth::routes())
        .get("/openapi.json", openapi::show)
        .get("/schema", hyper_schema::show)
        .merge(pipelines::routes())
        .merge(promotions::routes())
        .merge(redis::routes())
        .merge(refused::routes())
        .merge(regions::routes())
        .merge(releases::routes())
        .merge(reviews::routes())
        .merge(router::routes())
        .merge(routing::routes())
        .merge(services::routes())
        .merge(slugs::routes())
        .merge(sni_endpoints::routes())
        .merge(sources::routes())
        .merge(stacks::routes())
        .merge(status::routes())
        .merge(team_apps::routes())
        .merge(team_members::routes())
        .merge(teams::routes())
        .merge(transfers::routes())
        .merge(telemetry_drains::routes())
        .merge(webhooks::routes())
        .merge(test_runs::routes())
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
