//! Which scope a request needs, by its method and the route that it came by.

use axum::{
    extract::MatchedPath,
    http::{Method, request::Parts},
};

use crate::ops::scopes::{Need, What};

/// What a request needs. What came by no route of the API needs everything.
pub fn need_of(parts: &Parts) -> Need {
    // Every token may end itself.
    if parts.method == Method::DELETE && ["/oauth/sessions/~", "/oauth/authorizations/~"].contains(&parts.uri.path()) {
        return Need { what: What::Anything, write: true };
    }
    match parts.extensions.get::<MatchedPath>() {
        Some(path) => need(&parts.method, path.as_str()),
        None => Need { what: What::Account, write: true },
    }
}

/// What a route needs.
pub fn need(method: &Method, path: &str) -> Need {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let last = segments.last().copied().unwrap_or_default();
    let what = match segments.as_slice() {
        // A program ends its own token; whose it is, is looked at there.
        ["account", "rate-limits"] | ["oauth", "tokens", _] => What::Anything,
        ["account"] | ["users", _] => What::Identity,
        ["account" | "oauth" | "accounts" | "enterprise-accounts" | "auth", ..] => What::Account,
        ["users", _, "preferences" | "sms-number", ..] => What::Account,
        // Addresses of services, with their passwords.
        ["redis" | "client" | "postgres" | "data", ..] => What::Secrets,
        rest if rest.iter().any(|part| matches!(*part, "config-vars" | "config")) => What::Secrets,
        _ => What::Apps,
    };
    // Questions that are too long for an address.
    let asks = matches!(path, "/filters/apps") || (path.starts_with("/actions/") && last == "resolve");
    Need { what, write: !(method.is_safe() || asks) }
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
            (Method::POST, "/apps/{app}/dynos", "Apps!"),
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
