//! Session affinity (`http-session-affinity`): a cookie brings a visitor back to the dyno that
//! answered first.
//!
//! The cookie has Heroku's name and is passed on to the dyno, as there. Its value is a digest of
//! the dyno's id: it tells nothing, and one that was made up leads nowhere or to a dyno that
//! anybody may be sent to.

use std::fmt::Write as _;

use hyper::header::{self, HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::table::{App, Upstream};

const NAME: &str = "heroku-session-affinity";

/// A day, as on Heroku.
const MAX_AGE: u32 = 24 * 60 * 60;

/// A dyno's value in the cookie.
pub(crate) fn token(app: Uuid, dyno: Uuid) -> String {
    let digest = Sha256::new().chain_update(b"paas session affinity\0").chain_update(app).chain_update(dyno).finalize();
    digest.iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The dyno that the visitor's cookie names, if the app has it now.
pub(crate) fn wanted(app: &App, headers: &HeaderMap) -> Option<Uuid> {
    if !app.route.rules.affinity {
        return None;
    }
    let of = |token| app.backends.iter().find(|upstream| upstream.token == token);
    cookies(headers).find_map(of).map(|upstream| upstream.backend.id)
}

/// Every value that the request has for our cookie.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='))
}

/// The `Set-Cookie` for a visitor who was served by `upstream` and came with a cookie for
/// `wanted`; none where that is the same dyno, or where the app has no affinity.
pub(crate) fn cookie(app: &App, upstream: &Upstream, wanted: Option<Uuid>, https: bool) -> Option<HeaderValue> {
    if !app.route.rules.affinity || wanted == Some(upstream.backend.id) {
        return None;
    }
    let secure = if https { "; Secure" } else { "" };
    let cookie = format!("{NAME}={}; Max-Age={MAX_AGE}; Path=/; HttpOnly{secure}", upstream.token);
    HeaderValue::from_str(&cookie).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; heroku-session-affinity=one ;b=2"));
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("xheroku-session-affinity=no; heroku-session-affinityx=no"),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("heroku-session-affinity=two"));
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn a_token_is_a_dynos_alone() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(token(one, two), token(one, two));
        assert_ne!(token(one, two), token(two, one));
        assert_eq!(token(one, two).len(), 32);
    }
}
