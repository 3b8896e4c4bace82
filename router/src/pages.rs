//! What a visitor sees when there is nothing better: plain pages without anything loaded from
//! elsewhere, or JSON for programs that ask for it. An app's own page, when it names one, is
//! shown in a frame.

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use paas_domain::route::AppRoute;

use crate::failure::Failure;
use crate::headers::words;
use crate::words::Words;

/// An answer of the router's own.
pub(crate) type Page = Response<Bytes>;

/// What an answer of our own depends on.
#[derive(Debug)]
pub(crate) struct Ask {
    json: bool,
    /// In small print, so that a visitor can tell the app's owner which request it was.
    request_id: String,
}

impl Ask {
    /// `json` is [`Accepts::json`].
    pub(crate) fn new(json: bool, words: Option<&Words>) -> Ask {
        let request_id = words.map(|words| String::from_utf8_lossy(words.request_id()).into_owned());
        Ask { json, request_id: request_id.unwrap_or_default() }
    }
}

/// What a request's `Accept` names.
#[derive(Debug, Default)]
pub(crate) struct Accepts {
    json: bool,
    html: bool,
}

impl Accepts {
    /// Takes one header's value in.
    pub(crate) fn add(&mut self, value: &[u8]) {
        // Nearly all requests end here.
        if memchr::memmem::find(value, b"json").is_none() && memchr::memmem::find(value, b"html").is_none() {
            return;
        }
        for range in words(value) {
            let kind = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            self.json |= kind.ends_with(b"/json") || kind.ends_with(b"+json");
            self.html |= kind.ends_with(b"/html");
        }
    }

    /// Whether the client names JSON, and no HTML. Who takes anything (`*/*`) gets HTML.
    pub(crate) fn json(&self) -> bool {
        self.json && !self.html
    }
}

/// What a page says, and how a program knows it.
struct Text {
    /// `id` of the JSON.
    id: &'static str,
    title: &'static str,
    sentence: &'static str,
    /// For the owner of the app; HTML.
    hint: &'static str,
    /// When asking again may be of use, seconds.
    retry: Option<u16>,
}

const ERROR: Text = Text {
    id: "application_error",
    title: "Application error",
    sentence: "Something went wrong in this app, and the page could not be shown. Please try again in a moment.",
    hint: "If this is your app, its log says more: <code>paas logs --tail</code>",
    retry: None,
};

const BUSY: Text = Text {
    id: "too_busy",
    title: "Too many requests at once",
    sentence: "This app has more to do just now than it can. Please try again in a moment.",
    hint: "If this is your app, more dynos help: <code>paas ps:scale web=2</code>",
    retry: Some(5),
};

const MAINTENANCE: Text = Text {
    id: "maintenance",
    title: "Down for maintenance",
    sentence: "This app is being looked after and will be back soon. Please try again in a while.",
    hint: "",
    retry: Some(60),
};

const BLANK: Text = Text {
    id: "blank_app",
    title: "Nothing here yet",
    sentence: "This app was created, but nothing has been deployed to it.",
    hint: "If this is your app, deploy to it: <code>git push paas main</code>",
    retry: None,
};

const BAD_REQUEST: Text = Text {
    id: "bad_request",
    title: "Bad request",
    sentence: "The request is malformed, or asks for something that this server can't do.",
    hint: "",
    retry: None,
};

const MISDIRECTED: Text = Text {
    id: "misdirected_request",
    title: "Misdirected request",
    sentence: "The secure connection was made to one name and the request is for another. Please load the page again.",
    hint: "If this is your proxy, it has to begin TLS with the name (SNI) that it sends as <code>Host</code>.",
    retry: None,
};

const NO_SUCH_APP: Text = Text {
    id: "no_such_app",
    title: "No such app",
    sentence: "There is nothing at this address.",
    hint: "If this is your domain, add it to its app: <code>paas domains:add</code>",
    retry: None,
};

const STARTING: Text = Text {
    id: "starting",
    title: "Starting",
    sentence: "This server has only just been started. Please try again in a moment.",
    hint: "",
    retry: Some(5),
};

fn text_of(failure: Failure) -> Text {
    match failure {
        Failure::Maintenance => MAINTENANCE,
        Failure::Blank => BLANK,
        Failure::Backlog => BUSY,
        // It is the app's whole limit, however many dynos there are.
        Failure::ConnectionLimit => Text { hint: "", ..BUSY },
        Failure::BadExpect | Failure::BadHeader | Failure::BadChunk => BAD_REQUEST,
        Failure::Misdirected | Failure::CertificateMismatch => MISDIRECTED,
        // Dynos are on their way, or their quarantine is over soon.
        Failure::BootTimeout | Failure::ConnectTimeout | Failure::ConnectRefused | Failure::Quarantined => {
            Text { retry: Some(5), ..ERROR }
        }
        Failure::Crashed
        | Failure::RequestTimeout
        | Failure::ClosedWithoutResponse
        | Failure::NoWeb
        | Failure::IdleConnection
        | Failure::BadResponse
        | Failure::ServerInterrupted
        | Failure::ForcedClose
        | Failure::Restriction(_)
        | Failure::ClientInterrupted
        | Failure::ClientIdle
        | Failure::StreamBroken
        | Failure::Platform => ERROR,
    }
}

/// The answer for `failure` of `app`.
pub(crate) fn failed(failure: Failure, app: Option<&AppRoute>, ask: &Ask) -> Page {
    let page = text_of(failure);
    let own = app.and_then(|app| match page.id {
        id if id == ERROR.id || id == BUSY.id => app.error_page_url.as_deref(),
        id if id == MAINTENANCE.id => app.maintenance_page_url.as_deref(),
        _ => None,
    });
    let own = own.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    answer(failure.status(), &page, Some(failure.facts().code), own, ask)
}

/// No app has this name.
pub(crate) fn no_such_app(json: bool) -> Page {
    answer(StatusCode::NOT_FOUND, &NO_SUCH_APP, None, None, &Ask::new(json, None))
}

/// The router has no table yet: it was started for the first time and the daemon is away.
pub(crate) fn no_table(json: bool) -> Page {
    answer(StatusCode::SERVICE_UNAVAILABLE, &STARTING, None, None, &Ask::new(json, None))
}

fn answer(status: StatusCode, page: &Text, code: Option<&'static str>, own: Option<&str>, ask: &Ask) -> Page {
    let (kind, body) = match own {
        _ if ask.json => ("application/json", json(page, code, ask)),
        Some(url) => (HTML, frame(page.title, url)),
        None => (HTML, html(page, code, ask)),
    };
    let mut response = respond(status, kind, Bytes::from(body));
    if let Some(seconds) = page.retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The daemon can't be reached; its clients read JSON.
pub(crate) fn control_away() -> Page {
    let body = "{\"id\":\"service_unavailable\",\"message\":\"The API can't be reached just now: it is being restarted \
                or stopped. Apps go on running. Try again in a moment; if that doesn't help, look at the paasd service \
                on the server.\"}\n";
    let mut response =
        respond(StatusCode::SERVICE_UNAVAILABLE, "application/json", Bytes::from_static(body.as_bytes()));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// One client has too many requests to the daemon going on.
pub(crate) fn too_many() -> Page {
    let body = "{\"id\":\"rate_limit\",\"message\":\"There are too many requests to the API at once from your address. \
                End some of them, such as logs that are followed, and try again.\"}\n";
    let mut response = respond(StatusCode::TOO_MANY_REQUESTS, "application/json", Bytes::from_static(body.as_bytes()));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// What is asked is no HTTP, or not as this server takes it.
pub(crate) fn bad_request() -> Page {
    text(StatusCode::BAD_REQUEST, "This is no request that this server understands.\n")
}

/// A short text for requests that no app is asked about.
pub(crate) fn text(status: StatusCode, body: &'static str) -> Page {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

/// What a certificate authority is answered.
pub(crate) fn challenge(answer: &str) -> Page {
    respond(StatusCode::OK, "text/plain; charset=utf-8", Bytes::copy_from_slice(answer.as_bytes()))
}

/// Only a head.
pub(crate) fn empty(status: StatusCode) -> Page {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NOT_KEPT);
    response
}

const HTML: &str = "text/html; charset=utf-8";
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-cache, no-store");

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Page {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, NOT_KEPT);
    response
}

/// As the API's errors are: `id` and `message`, and what else there is.
fn json(page: &Text, code: Option<&'static str>, ask: &Ask) -> String {
    let message = page.sentence.replace('"', "\\\"");
    let mut body = format!("{{\"id\":\"{}\",\"message\":\"{message}\"", page.id);
    for (name, value) in [("code", code.unwrap_or_default()), ("request_id", ask.request_id.as_str())] {
        if !value.is_empty() {
            // Writing to a String can't fail. A request id has only letters that need no escape.
            let _ = write!(body, ",\"{name}\":\"{value}\"");
        }
    }
    body.push_str("}\n");
    body
}

/// Text and background have a contrast of at least 4.5 to 1 in light and dark (WCAG 1.4.3).
const STYLE: &str = "\
:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; place-items: center; \
font: 17px/1.6 system-ui, sans-serif; background: #f7f7f9; color: #23232b }
main { box-sizing: border-box; width: 100%; max-width: 38rem; padding: 2rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; font-weight: 600; margin: 0 0 .6rem }
p { margin: 0 0 .8rem }
.hint, .id { color: #5c5c69; font-size: .9rem }
.id { font-size: .8rem; margin: 1.6rem 0 0 }
code { font: .95em ui-monospace, monospace }
@media (prefers-color-scheme: dark) { body { background: #18181c; color: #e6e6ec } .hint, .id { color: #a4a4b2 } }
";

fn html(page: &Text, code: Option<&'static str>, ask: &Ask) -> String {
    let Text { title, sentence, hint, .. } = page;
    let hint = if hint.is_empty() { String::new() } else { format!("<p class=\"hint\">{hint}</p>\n") };
    let id = match (ask.request_id.as_str(), code) {
        ("", _) | (_, None) => String::new(),
        (id, Some(code)) => format!("<p class=\"id\">{code} · request <code>{id}</code></p>\n"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p>{sentence}</p>\n{hint}{id}</main>\n\
         </body>\n</html>\n"
    )
}

fn frame(title: &str, url: &str) -> String {
    let mut escaped = String::with_capacity(url.len());
    for letter in url.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n\
         html, body {{ margin: 0; height: 100% }}\niframe {{ display: block; width: 100%; height: 100%; border: 0 }}\n\
         </style>\n</head>\n<body>\n<iframe src=\"{escaped}\" title=\"{title}\"></iframe>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_cannot_leave_its_attribute() {
        let page = frame("Application error", "https://x/\"><script>alert('1')</script>");
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&quot;&gt;&lt;script&gt;"), "{page}");
    }

    #[test]
    fn json_is_for_those_who_name_it() {
        for (accept, json) in [
            ("application/json", true),
            ("application/vnd.api+json; version=1, */*;q=0.1", true),
            ("text/plain, application/json;q=0.9", true),
            ("text/html,application/json", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
            ("json", false),
        ] {
            let mut accepts = Accepts::default();
            accepts.add(accept.as_bytes());
            assert_eq!(accepts.json(), json, "{accept}");
        }
    }
}
