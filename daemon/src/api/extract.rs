//! What handlers take: who asks, which app, and a body.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use base64::Engine as _;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    error::ApiError,
    objects::Objects,
    scopes,
    transport::{self, Known, Left},
};
use crate::ops::{
    Actor, Platform,
    accounts::{self, Login},
    addresses, apps, tokens,
};

/// Largest body of an API request, in bytes. Sources and slugs have their own uploads.
pub const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// How long after its head a request's body is as good as sent with it.
const MOMENT: Duration = Duration::from_millis(100);

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(60);

/// Who asks: by `Authorization: Bearer TOKEN`, or Basic with any user name and the token as
/// the password.
#[derive(Debug, Clone)]
pub struct Auth(pub Actor);

impl FromRequestParts<Platform> for Auth {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, ApiError> {
        known(parts, platform).await?.map(Self).ok_or_else(unauthorized)
    }
}

/// Whose token a request has, as the transport has found already, or looked up now; refused
/// where it may not do what the request wants.
async fn known(parts: &Parts, platform: &Platform) -> Result<Option<Actor>, ApiError> {
    let bearer = match (parts.extensions.get::<Known>(), credentials(&parts.headers)) {
        (Some(Known(bearer)), _) => bearer.clone(),
        (None, Some((_, token))) => tokens::bearer(platform, &token).await?,
        (None, None) => None,
    };
    Ok(bearer.map(|bearer| bearer.with(scopes::need_of(parts))).transpose()?)
}

impl FromRequestParts<Platform> for Left {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Platform) -> Result<Self, ApiError> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self(super::RATE_LIMIT)))
    }
}

/// Whether a request may have one thing of an app: its address is a key to it, or the account
/// has that permission on the app.
pub async fn admit(
    p: &Platform,
    purpose: &str,
    (id, app_id): (Uuid, Uuid),
    key: &addresses::Key,
    auth: Result<(Auth, apps::Permission), ApiError>,
) -> Result<(), ApiError> {
    if addresses::is_key(p, purpose, id, key) {
        return Ok(());
    }
    let (Auth(actor), permission) = match auth {
        Err(_) if key.signature.is_some() => {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This address has expired or is not the whole one that was given out; ask for a new one.",
            ));
        }
        auth => auth?,
    };
    apps::find_for(p, &actor, &app_id.to_string(), permission).await?;
    Ok(())
}

/// Whoever proves it by address and password, or by a token: for making tokens.
#[derive(Debug, Clone)]
pub struct PasswordAuth(pub Actor);

impl FromRequestParts<Platform> for PasswordAuth {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, ApiError> {
        let Some((user, secret)) = credentials(&parts.headers) else { return Err(unauthorized()) };
        if let Some(actor) = known(parts, platform).await? {
            return Ok(Self(actor));
        }
        let Some(email) = user.filter(|user| user.contains('@')) else { return Err(unauthorized()) };
        match accounts::login(platform, &peer(parts), &email, &secret).await? {
            Login::In(actor) => Ok(Self(actor)),
            Login::Wrong => Err(unauthorized()),
            Login::Wait(seconds) => Err(too_many(seconds)),
        }
    }
}

/// Too many passwords were wrong.
fn too_many(seconds: u64) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", wait(seconds))
}

/// What is said to whoever tries too many passwords.
pub fn wait(seconds: u64) -> String {
    format!("Too many wrong passwords from here of late. Try again in {seconds} seconds.")
}

/// Who is at the other end, as far as it is known: for counting wrong passwords.
#[derive(Debug, Clone)]
pub struct Peer(pub String);

impl FromRequestParts<Platform> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Platform) -> Result<Self, Self::Rejection> {
        Ok(Self(peer(parts)))
    }
}

/// The network that a request comes from.
fn peer(parts: &Parts) -> String {
    transport::network(parts).to_string()
}

fn unauthorized() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Invalid credentials provided. Log in with: paas login (or set PAAS_API_KEY to a token that is still valid).",
    )
}

/// User name and secret of a request.
pub fn credentials(headers: &HeaderMap) -> Option<(Option<String>, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((None, rest.trim().to_owned()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let text = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (user, secret) = text.split_once(':')?;
        return Some((Some(user.to_owned()), secret.to_owned()));
    }
    None
}

/// Parts of the address, as axum's own; what can't be read is told in the API's form.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Platform> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, platform).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::bad_request("The request's address has a part that is not UTF-8 text.")),
        }
    }
}

/// What stands after `?` in the address, as axum's own; a wrong value is told in the API's
/// form.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Platform> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, platform).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError::invalid(format!("{}.", rejection.body_text()))),
        }
    }
}

/// Reads the body of a request whose token was looked up before it came. Where that took a while,
/// it is looked up again: what was taken from somebody meanwhile, they have no longer.
async fn read(request: Request, platform: &Platform) -> Result<Bytes, ApiError> {
    let begun = Instant::now();
    let before = request.extensions().get::<Known>().and_then(|Known(bearer)| bearer.clone());
    let token = credentials(request.headers()).map(|(_, token)| token);
    let bytes = whole(request, platform, BODY).await?;
    if let (Some(before), Some(token)) = (before, token)
        && begun.elapsed() > MOMENT
    {
        let now = tokens::bearer(platform, &token).await?;
        if !now.is_some_and(|now| now.scopes == before.scopes && now.actor.user.admin == before.actor.user.admin) {
            let text = "The token has ended, or may do something else now than when this request began. Send it again.";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", text));
        }
    }
    Ok(bytes)
}

/// The bytes of a request's body, which has to come in time.
async fn whole<S: Send + Sync>(request: Request, state: &S, within: Duration) -> Result<Bytes, ApiError> {
    let Ok(read) = tokio::time::timeout(within, Bytes::from_request(request, state)).await else {
        let text = format!("The request's body did not come within {} s. Send it again.", within.as_secs());
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", text));
    };
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let text = format!("The request's body is over {} MB.", LARGEST_BODY / (1024 * 1024));
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
        }
        _ => ApiError::bad_request("The request's body could not be read."),
    })
}

/// A JSON body; an empty one reads as `{}`. A wrong type is told with its field.
#[derive(Debug, Clone)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Platform> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, platform: &Platform) -> Result<Self, ApiError> {
        let bytes = read(request, platform).await?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        let value: serde_json::Value = serde_json::from_slice(text)
            .map_err(|error| ApiError::bad_request(format!("The request's body can't be read as JSON: {error}.")))?;
        if !value.is_object() {
            return Err(ApiError::invalid("The request's body must be a JSON object: {…}."));
        }
        if has_nul(text) {
            return Err(ApiError::invalid("The request's body has a NUL character in a text, which can't be kept."));
        }
        serde_path_to_error::deserialize(Objects(value)).map(Self).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.inner());
            ApiError::invalid(match path.as_str() {
                "." => format!("The request's body is not as expected: {inner}."),
                _ => format!("{path}: {inner}."),
            })
        })
    }
}

/// The fields of a form, as browsers and OAuth's libraries send it.
#[derive(Debug, Clone)]
pub struct Form(pub BTreeMap<String, String>);

impl Form {
    /// A field; an absent one is empty.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl FromRequest<Platform> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, platform: &Platform) -> Result<Self, ApiError> {
        let bytes = read(request, platform).await?;
        let fields: BTreeMap<String, String> = url::form_urlencoded::parse(&bytes).into_owned().collect();
        if fields.values().any(|value| value.contains('\0')) {
            return Err(ApiError::invalid("The request's body has a NUL character in a text, which can't be kept."));
        }
        Ok(Self(fields))
    }
}

/// Whether a JSON text has an escaped NUL character: Postgres keeps none, and no environment
/// carries one.
fn has_nul(text: &[u8]) -> bool {
    let escapes = text.windows(6).enumerate().filter(|(_, window)| *window == b"\\u0000");
    escapes.into_iter().any(|(at, _)| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::has_nul;

    #[test]
    fn an_escaped_nul_is_told_from_a_text_about_one() {
        assert!(has_nul(br#"{"a": "x\u0000y"}"#));
        assert!(has_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!has_nul(br#"{"a": "\\u0000"}"#));
        assert!(!has_nul(b"{}"));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for_long() {
        let pieces = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let request = axum::extract::Request::new(axum::body::Body::from_stream(pieces));
        let refused = super::whole(request, &(), std::time::Duration::ZERO).await.err();
        assert!(refused.is_some_and(|error| error.message().contains("did not come")));
    }
}
