//! Which scope a request needs, by its method and the route that it came by.

use axum::{
    extract::MatchedPath,
    http::{Method, request::Parts},
};
use percent_encoding::percent_decode_str;

use crate::ops::scopes::{Need, What};

/// What a request needs. What came by no route of the API needs everything.
pub fn need_of(parts: &Parts) -> Need {
    // Every token may end itself.
    if parts.method == Method::DELETE && ["/oauth/sessions/~", "/oauth/authorizations/~"].contains(&parts.uri.path()) {
        return Need { what: What::Anything, write: true };
    }
    let Some(path) = parts.extensions.get::<MatchedPath>() else { return Need { what: What::Account, write: true } };
    // As the handlers read it.
    let asked = percent_decode_str(parts.uri.path().rsplit('/').next().unwrap_or_default()).decode_utf8_lossy();
    match path.as_str() {
        "/users/{id}" if asked == "~" => need(&parts.method, "/account"),
        // Asked for by its id, a Redis is shown with a way in from anywhere.
        "/redis/v0/databases/{addon}" if asked.parse::<uuid::Uuid>().is_ok() => {
            Need { what: What::Secrets, write: true }
        }
        path => need(&parts.method, path),
    }
}

/// What a route needs.
pub fn need(method: &Method, path: &str) -> Need {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let last = segments.last().copied().unwrap_or_default();
    // Questions that are too long for an address.
    let asks = matches!(path, "/filters/apps") || (path.starts_with("/actions/") && last == "resolve");
    let write = !(method.is_safe() || asks);
    let what = match segments.as_slice() {
        // A program ends its own token; whose it is, is looked at there.
        ["account", "rate-limits"] | ["oauth", "tokens", _] => What::Anything,
        ["account"] => What::Identity,
        ["users", _, "apps" | "addons" | "pipeline-couplings"] => What::Apps,
        ["account" | "users" | "oauth" | "accounts" | "enterprise-accounts" | "auth", ..] => What::Account,
        // Who is in a team, who works on an app and whose it is: whoever says that gives others
        // what a token of less than everything has not got itself.
        ["teams", "apps"] => What::Apps,
        ["teams", ..] | ["apps", _, "collaborators", ..] | ["pipeline-transfers"] if write => What::Account,
        // Addresses of services, with their passwords.
        ["redis" | "client" | "postgres" | "data", ..] => What::Secrets,
        // What is run there sees the config vars, and prints them.
        ["apps", _, "dynos"] | ["apps", _, "dynos", _] if *method == Method::POST => What::Secrets,
        // Addresses and headers of drains have the passwords of those who take the logs.
        rest if rest
            .iter()
            .any(|part| matches!(*part, "config-vars" | "config" | "log-drains" | "telemetry-drains")) =>
        {
            What::Secrets
        }
        _ => What::Apps,
    };
    Need { what, write }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_accounts_are_told_from_the_rest() {
        let said = |method: Method, path: &str| {
            let need = need(&method, path);
            format!("{:?}{}", need.what, if need.write { "!" } else { "" })
        };
        for (method, path, wanted) in [
            (Method::GET, "/apps", "Apps"),
            (Method::HEAD, "/apps/{app}", "Apps"),
            (Method::POST, "/apps/{app}/dynos", "Secrets!"),
            (Method::POST, "/apps/{app}/dynos/{dyno}", "Secrets!"),
            (Method::DELETE, "/apps/{app}/dynos/{dyno}", "Apps!"),
            (Method::GET, "/apps/{app}/log-drains", "Secrets"),
            (Method::GET, "/telemetry-drains/{drain}", "Secrets"),
            (Method::GET, "/apps/{app}/collaborators", "Apps"),
            (Method::POST, "/apps/{app}/collaborators", "Account!"),
            (Method::PUT, "/teams/{team}/members", "Account!"),
            (Method::PUT, "/teams/{team}/invitations", "Account!"),
            (Method::POST, "/teams/invitations/{token}/accept", "Account!"),
            (Method::PATCH, "/teams/apps/{app}", "Account!"),
            (Method::POST, "/teams/apps", "Apps!"),
            (Method::GET, "/users/{id}", "Account"),
            (Method::GET, "/apps/{app}/config-vars", "Secrets"),
            (Method::PATCH, "/apps/{app}/config-vars", "Secrets!"),
            (Method::GET, "/apps/{app}/releases/{release}/config-vars", "Secrets"),
            (Method::GET, "/addons/{addon}/config", "Secrets"),
            (Method::GET, "/pipelines/{pipeline}/stage/{stage}/config-vars", "Secrets"),
            (Method::GET, "/redis/v0/databases/{addon}", "Secrets"),
            (Method::POST, "/actions/addons/resolve", "Apps"),
            (Method::POST, "/filters/apps", "Apps"),
            (Method::GET, "/account", "Identity"),
            (Method::PATCH, "/account", "Identity!"),
            (Method::GET, "/users/{id}/apps", "Apps"),
            (Method::GET, "/users/{id}/preferences", "Account"),
            (Method::GET, "/oauth/authorizations", "Account"),
            (Method::POST, "/account/keys", "Account!"),
            (Method::GET, "/account/rate-limits", "Anything"),
        ] {
            assert_eq!(said(method, path), wanted, "{path}");
        }
    }
}
