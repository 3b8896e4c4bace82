//! What an app wants of HTTPS: that plain requests are sent there (`https_only`), and that
//! browsers remember it (HSTS).

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use hyper::header::{HeaderValue, LOCATION, STRICT_TRANSPORT_SECURITY};
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};
use paas_domain::route::{Hsts, host_name};

use crate::body::DownBody;
use crate::pages;

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
pub(crate) fn applies_to(uri: &Uri) -> bool {
    !uri.path().starts_with(CHALLENGES)
}

/// Sends a visitor to the same address by HTTPS. What may have a body is to be sent again as it
/// is (308); browsers turn a POST into a GET at a 301.
pub(crate) fn redirect(method: &Method, host: &HeaderValue, uri: &Uri, port: u16) -> Response<DownBody> {
    let simple = *method == Method::GET || *method == Method::HEAD;
    let status = if simple { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
    let host = host_name(host.to_str().unwrap_or_default());
    // `OPTIONS *` has no path.
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { target } else { "/" };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let mut response = pages::empty(status);
    if let Ok(location) = HeaderValue::from_str(&format!("https://{host}{port}{target}")) {
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

/// Puts it into a response that goes out by HTTPS, unless the dyno has put in its own.
pub(crate) fn remember(hsts: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if let Some(hsts) = hsts
        && !headers.contains_key(STRICT_TRANSPORT_SECURITY)
    {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(method: Method, host: &'static str, uri: &'static str, port: u16) -> (u16, String) {
        let response = redirect(&method, &HeaderValue::from_static(host), &Uri::from_static(uri), port);
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        (response.status().as_u16(), location.unwrap_or_default().to_owned())
    }

    #[test]
    fn the_address_stays_the_same() {
        for (method, host, uri, port, status, to) in [
            (Method::GET, "a.example", "/b?c=d", 443, 301, "https://a.example/b?c=d"),
            (Method::HEAD, "a.example:80", "/", 443, 301, "https://a.example/"),
            (Method::POST, "a.example:8080", "/x", 8443, 308, "https://a.example:8443/x"),
            (Method::OPTIONS, "a.example", "*", 443, 308, "https://a.example/"),
            (Method::GET, "[::1]:80", "/", 8443, 301, "https://[::1]:8443/"),
        ] {
            assert_eq!(location(method, host, uri, port), (status, to.to_owned()));
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
