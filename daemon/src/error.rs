//! Errors of every floor, without a word of HTTP.
//!
//! An error's text tells its reader what failed, why, and what to do next. Which status
//! it becomes is decided in one place only, `api/error.rs`.

use std::borrow::Cow;

/// What an operation answers with when it can't be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thing named is not there, or not for this user to see.
    #[error("{0}")]
    NotFound(NotFound),
    /// The request can be read but what it asks for is not allowed; the text names the field.
    #[error("{0}")]
    Invalid(String),
    /// A name means more than one thing; the text tells which.
    #[error("{0}")]
    MultipleMatches(String),
    /// It contradicts what is there now (a name that is taken, a build that has ended).
    #[error("{0}")]
    Conflict(String),
    /// The user is known and may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody has proved who they are.
    #[error("{0}")]
    Unauthorized(String),
    /// Something that can't be undone needs its name repeated.
    #[error("{message}")]
    ConfirmationRequired {
        /// What to type to confirm.
        confirm: String,
        /// The sentence for the user.
        message: String,
    },
    /// A part that the request needs does not answer now (the Docker engine, the disk).
    #[error("{0}")]
    Unavailable(String),
    /// The daemon's own failure: logged in full once, told outward in general terms.
    #[error("{what}")]
    Internal {
        /// What was being done.
        what: Cow<'static, str>,
        /// What stopped it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A thing that is not there, by the name of its resource in Heroku's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// The resource: `app`, `add_on`, `dyno` …
    pub resource: &'static str,
    /// What was asked for, for the log; or a whole sentence of its own.
    pub asked: String,
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noun = match self.resource {
            "app" => "app",
            "add_on" => "add-on",
            "attachment" | "add_on attachment" => "add-on attachment",
            "dyno size" | "dyno_size" => "dyno size",
            "addon_service" => "add-on service",
            "config_var" => "config var",
            "domain" => "domain name",
            "pipeline_coupling" => "pipeline coupling",
            "pipeline_promotion" => "promotion",
            "release" => "release",
            "sni_endpoint" => "certificate (SNI endpoint)",
            "webhook_event" => "webhook event",
            "webhook_delivery" => "webhook delivery",
            "formation" => "process type",
            "log_drain" => "log drain",
            "telemetry_drain" => "telemetry drain",
            "user" => "account",
            "oauth_client" => "OAuth client",
            "oauth_token" => "OAuth token",
            "enterprise_account" => "enterprise account",
            "app_transfer" => "app transfer",
            "team_member" => "member",
            "team_invitation" => "invitation",
            "team_feature" => "feature",
            other => other,
        };
        if self.asked.starts_with("Couldn't find") {
            return f.write_str(&self.asked);
        }
        write!(f, "Couldn't find that {noun}.")
    }
}

impl Error {
    /// Nothing of that name there.
    pub fn not_found(resource: &'static str, asked: impl Into<String>) -> Self {
        Self::NotFound(NotFound { resource, asked: asked.into() })
    }

    /// Not allowed as asked; `text` names the field and what is allowed.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A failure of our own while `what` was being done.
    pub fn internal(
        what: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal { what: what.into(), source: source.into() }
    }
}

/// What operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
