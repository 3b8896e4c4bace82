//! What a visitor sees when there is nothing better: plain pages without anything loaded
//! from elsewhere. An app's own page, when it names one, is shown in a frame.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use paas_domain::route::AppRoute;

use crate::failure::Failure;

/// An answer of the router's own.
pub(crate) type Page = Response<Bytes>;

/// The pages there are.
#[derive(Clone, Copy)]
enum Kind {
    Error,
    Maintenance,
    Blank,
    /// The visitor's fault, not the app's.
    Request,
}

impl Kind {
    fn of(failure: Failure) -> Kind {
        match failure {
            Failure::Maintenance => Kind::Maintenance,
            Failure::Blank => Kind::Blank,
            Failure::BadExpect | Failure::BadHeader | Failure::BadChunk => Kind::Request,
            Failure::Crashed
            | Failure::RequestTimeout
            | Failure::ClosedWithoutResponse
            | Failure::NoWeb
            | Failure::IdleConnection
            | Failure::BadResponse
            | Failure::ServerInterrupted
            | Failure::ConnectTimeout
            | Failure::BootTimeout
            | Failure::ConnectRefused
            | Failure::Restriction(_)
            | Failure::ClientInterrupted
            | Failure::ClientIdle
            | Failure::Platform => Kind::Error,
        }
    }
}

/// The answer for `failure` of `app`.
pub(crate) fn failed(failure: Failure, app: Option<&AppRoute>) -> Page {
    let kind = Kind::of(failure);
    let own = app.and_then(|app| match kind {
        Kind::Error => app.error_page_url.as_deref(),
        Kind::Maintenance => app.maintenance_page_url.as_deref(),
        Kind::Blank | Kind::Request => None,
    });
    if let Some(url) = own.filter(|url| url.starts_with("https://") || url.starts_with("http://")) {
        return html(failure.status(), frame(url));
    }
    let page = match kind {
        Kind::Error => page(
            "Application error",
            "An error occurred in the application and this page could not be served. Please try again in a moment.",
            "If this is your app, its log says more: <code>paas logs --tail</code>",
        ),
        Kind::Maintenance => page(
            "Down for maintenance",
            "This app is being looked after and will be back soon. Please try again in a while.",
            "",
        ),
        Kind::Blank => page(
            "Nothing here yet",
            "This app was created but nothing has been deployed to it.",
            "To deploy: <code>git push paas main</code>",
        ),
        Kind::Request => {
            page("Bad request", "The request is malformed or asks for something this server can't do.", "")
        }
    };
    html(failure.status(), page)
}

/// No app has this name.
pub(crate) fn no_such_app() -> Page {
    html(
        StatusCode::NOT_FOUND,
        page(
            "No such app",
            "There is nothing at this address.",
            "If this is your domain, add it to its app: <code>paas domains:add</code>",
        ),
    )
}

/// The router has no table yet: it was started for the first time and the daemon is away.
pub(crate) fn no_table() -> Page {
    html(
        StatusCode::SERVICE_UNAVAILABLE,
        page("Starting", "This server has only just been started. Please try again in a moment.", ""),
    )
}

/// The daemon can't be reached; its clients read JSON.
pub(crate) fn control_away() -> Page {
    let body = "{\"id\":\"service_unavailable\",\"message\":\"The API can't be reached just now: it is being restarted \
                or stopped. Apps go on running. Try again in a moment; if that doesn't help, look at the paasd service \
                on the server.\"}\n";
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "application/json", body);
    response.headers_mut().insert(hyper::header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// What is asked is no HTTP, or not as this server takes it.
pub(crate) fn bad_request() -> Page {
    text(StatusCode::BAD_REQUEST, "This is no request that this server understands.\n")
}

/// A short text for requests that no app is asked about.
pub(crate) fn text(status: StatusCode, body: &'static str) -> Page {
    plain(status, "text/plain; charset=utf-8", body)
}

fn plain(status: StatusCode, kind: &'static str, body: &'static str) -> Page {
    respond(status, kind, Bytes::from_static(body.as_bytes()))
}

fn html(status: StatusCode, page: String) -> Page {
    respond(status, "text/html; charset=utf-8", Bytes::from(page))
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Page {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    response
}

fn page(title: &str, sentence: &str, hint: &str) -> String {
    let hint = if hint.is_empty() { String::new() } else { format!("<p class=\"hint\">{hint}</p>") };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n\
         :root {{ color-scheme: light dark }}\n\
         body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; \
         font: 17px/1.6 system-ui, sans-serif; background: #f7f7f9; color: #23232b }}\n\
         main {{ max-width: 34rem; padding: 2rem }}\nh1 {{ font-size: 1.6rem; font-weight: 600; margin: 0 0 .6rem }}\n\
         p {{ margin: 0 0 .8rem }}\n.hint {{ color: #6a6a78; font-size: .9rem }}\n\
         code {{ font: .9em ui-monospace, monospace }}\n\
         @media (prefers-color-scheme: dark) {{ body {{ background: #18181c; color: #e6e6ec }} .hint {{ color: #9a9aa8 }} }}\n\
         </style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p>{sentence}</p>\n{hint}\n</main>\n</body>\n</html>\n"
    )
}

fn frame(url: &str) -> String {
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
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n\
         html, body, iframe {{ margin: 0; padding: 0; height: 100% }}\n\
         iframe {{ display: block; width: 100%; border: none }}\n</style>\n<title>Application error</title>\n</head>\n\
         <body>\n<iframe src=\"{escaped}\"><p>{escaped}</p></iframe>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_cannot_leave_its_attribute() {
        let page = frame("https://x/\"><script>alert('1')</script>");
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&quot;&gt;&lt;script&gt;"), "{page}");
    }
}
