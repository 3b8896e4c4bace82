//! Session affinity (`http-session-affinity`): a cookie brings a visitor back to the dyno that
//! answered first.
//!
//! The cookie has Heroku's name and is passed on to the dyno, as there. Its value is a digest of
//! the dyno's id: it tells nothing, and one that was made up leads nowhere or to a dyno that
//! anybody may be sent to.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::headers::lines;
use crate::http1::write;
use crate::table::{App, Upstream};

const NAME: &str = "heroku-session-affinity";

/// A day, as on Heroku.
const MAX_AGE: u32 = 24 * 60 * 60;

/// Values of our cookie that are looked at: a browser has one, or one for each of some paths.
/// Each is compared with every dyno.
const MOST: usize = 8;

/// A dyno's value in the cookie.
pub(crate) fn token(app: Uuid, dyno: Uuid) -> String {
    let digest = Sha256::new().chain_update(b"paas session affinity\0").chain_update(app).chain_update(dyno).finalize();
    digest.iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The values that a request's head has for our cookie, the first of them.
pub(crate) fn cookies(head: &[u8]) -> Vec<String> {
    lines(head, b"cookie")
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .filter_map(|cookie| cookie.trim_ascii().strip_prefix(NAME.as_bytes())?.strip_prefix(b"="))
        .take(MOST)
        .filter_map(|value| String::from_utf8(value.to_vec()).ok())
        .collect()
}

/// The dyno that the visitor's cookies name, if the app has it now.
pub(crate) fn wanted(app: &App, cookies: &[String]) -> Option<Uuid> {
    let of = |token: &String| app.backends.iter().find(|upstream| upstream.token == *token);
    cookies.iter().find_map(of).map(|upstream| upstream.backend.id)
}

/// Lets a visitor come back to `upstream`, unless its cookies lead there already.
pub(crate) fn set_cookie(app: &App, upstream: &Upstream, cookies: &[String], https: bool, head: &mut Vec<u8>) {
    if app.route.rules.affinity && wanted(app, cookies) != Some(upstream.backend.id) {
        let secure = if https { "; Secure" } else { "" };
        let cookie = format!("{NAME}={}; Max-Age={MAX_AGE}; Path=/; HttpOnly{secure}", upstream.token);
        write::header(head, b"set-cookie", cookie.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let head = b"GET / HTTP/1.1\r\nhost: cookie\r\ncookie: a=1; heroku-session-affinity=one ;b=2\r\n\
                     Cookie:xheroku-session-affinity=no; heroku-session-affinityx=no\r\n\
                     x-cookie: heroku-session-affinity=no\r\ncookie: heroku-session-affinity=two\r\n\r\n";
        assert_eq!(cookies(head), ["one", "two"]);
    }

    #[test]
    fn no_more_than_some_are_looked_at() {
        let many: Vec<String> = (0..100).map(|number| format!("heroku-session-affinity={number}")).collect();
        let head = format!("GET / HTTP/1.1\r\ncookie: {}\r\n\r\n", many.join("; "));
        assert_eq!(cookies(head.as_bytes()), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn a_token_is_a_dynos_alone() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(token(one, two), token(one, two));
        assert_ne!(token(one, two), token(two, one));
        assert_eq!(token(one, two).len(), 32);
    }
}
