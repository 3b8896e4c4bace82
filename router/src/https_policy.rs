//! What an app wants of HTTPS: that plain requests are sent there (`https_only`), and that
//! browsers remember it (HSTS).

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use paas_domain::route::{Hsts, host_name};

use crate::headers::lines;
use crate::http1::write;
use crate::pages::{self, Page};

/// Where certificate authorities look for their proofs (RFC 8555, 8.3): by plain HTTP, while
/// there is no certificate yet.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Where visitors reach HTTPS.
#[derive(Debug, Default)]
pub(crate) struct HttpsPort {
    /// 0: nowhere.
    port: AtomicU16,
    told: AtomicBool,
}

impl HttpsPort {
    pub(crate) fn set(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// The port; none while HTTPS is not open. Then `app`, which wants nothing else, is served
    /// by plain HTTP, and the log says so once.
    pub(crate) fn get(&self, app: &str) -> Option<u16> {
        let port = self.port.load(Ordering::Relaxed);
        if port == 0 && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "The app {app} is for HTTPS only, but HTTPS is not open here: there is no certificate, or no address \
                 for it (PAAS_HTTPS_LISTEN). Such apps are served by plain HTTP until it is"
            );
        }
        (port != 0).then_some(port)
    }
}

/// Whether a plain request of an app that is for HTTPS only is to be sent there.
pub(crate) fn applies_to(target: &str) -> bool {
    !target.starts_with(CHALLENGES)
}

/// Sends a visitor to the same address by HTTPS. What may have a body is to be sent again as it
/// is (308); browsers turn a POST into a GET at a 301.
pub(crate) fn redirect(method: &[u8], host: &str, target: &str, port: u16) -> Page {
    let simple = method == b"GET" || method == b"HEAD";
    let status = if simple { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
    let host = host_name(host);
    // `OPTIONS *` has no path, and a query may follow the host right away.
    let (root, target) = match target.chars().next() {
        Some('/') => ("", target),
        Some('?') => ("/", target),
        Some(_) | None => ("/", ""),
    };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let mut response = pages::empty(status);
    if let Ok(location) = HeaderValue::from_bytes(format!("https://{host}{port}{root}{target}").as_bytes()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The value of `Strict-Transport-Security` (RFC 6797, 6.1).
pub(crate) fn hsts(hsts: &Hsts) -> Option<HeaderValue> {
    let below = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    let preload = if hsts.preload { "; preload" } else { "" };
    HeaderValue::from_str(&format!("max-age={}{below}{preload}", hsts.max_age)).ok()
}

/// Puts it into the head of a response, unless the dyno has put in its own.
pub(crate) fn remember(hsts: &HeaderValue, head: &mut Vec<u8>) {
    const NAME: &[u8] = b"strict-transport-security";
    if lines(head, NAME).next().is_none() {
        write::header(head, NAME, hsts.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(method: &str, host: &str, target: &str, port: u16) -> (u16, String) {
        let response = redirect(method.as_bytes(), host, target, port);
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        (response.status().as_u16(), location.unwrap_or_default().to_owned())
    }

    #[test]
    fn the_address_stays_the_same() {
        for (method, host, target, port, status, to) in [
            ("GET", "a.example", "/b?c=d", 443, 301, "https://a.example/b?c=d"),
            ("HEAD", "a.example:80", "/", 443, 301, "https://a.example/"),
            ("POST", "a.example:8080", "/x", 8443, 308, "https://a.example:8443/x"),
            ("OPTIONS", "a.example", "*", 443, 308, "https://a.example/"),
            ("GET", "a.example", "?c=d", 443, 301, "https://a.example/?c=d"),
            ("GET", "[::1]:80", "/", 8443, 301, "https://[::1]:8443/"),
        ] {
            assert_eq!(location(method, host, target, port), (status, to.to_owned()));
        }
    }

    #[test]
    fn hsts_has_its_directives() {
        let all = Hsts { max_age: 63_072_000, include_subdomains: true, preload: true };
        assert_eq!(hsts(&all).unwrap_or(HeaderValue::from_static("")), "max-age=63072000; includeSubDomains; preload");
        let off = Hsts { max_age: 0, include_subdomains: false, preload: false };
        assert_eq!(hsts(&off).unwrap_or(HeaderValue::from_static("")), "max-age=0");
    }
}
