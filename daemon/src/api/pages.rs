//! The few pages that people see in a browser: where they say who they are, and yes or no.
//!
//! Nobody is logged in here: each form asks for the password, so there is no session that
//! another site could use. A form counts only with the cookie of the browser that it was made
//! for, so that nobody is logged in to somebody else's account unseen either; and only from a
//! page of our own, since an app's page may set that cookie. There are no scripts, and nothing is
//! loaded from anywhere.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::extract::{self, Form};
use crate::{
    error::Result,
    ops::{
        Actor, Platform,
        accounts::{self, Login},
    },
    secret,
};

const COOKIE: &str = "paas_form";

const STYLE: &str = "\
body{margin:0;background:#f4f4f7;color:#1c1c28;font:16px/1.5 system-ui,sans-serif}\
main{max-width:26rem;margin:12vh auto 2rem;padding:2rem;background:#fff;border:1px solid #dcdce6;border-radius:8px}\
h1{font-size:1.25rem;margin:0 0 1rem}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input{width:100%;box-sizing:border-box;padding:.5rem .6rem;border:1px solid #9a9aae;border-radius:4px;font:inherit}\
.row{display:flex;gap:.75rem;margin-top:1.5rem}\
button{flex:1;padding:.55rem;border:1px solid #4b3aa8;border-radius:4px;background:#4b3aa8;color:#fff;font:inherit;cursor:pointer}\
button.no{background:#fff;color:#4b3aa8}\
dt{font-weight:600;margin-top:.75rem}dd{margin:0;overflow-wrap:anywhere}\
.bad{padding:.6rem .8rem;border-left:4px solid #b3261e;background:#fdf0ef}\
.small{color:#55556a;font-size:.9rem}\
@media(prefers-color-scheme:dark){body{background:#15151c;color:#e8e8f0}main{background:#1f1f29;border-color:#3a3a48}\
input{background:#15151c;color:inherit;border-color:#6a6a80}button.no{background:none;color:#b9aeff;border-color:#b9aeff}\
.bad{background:#3a1f1d}.small{color:#a8a8bc}}";

/// A text as it may stand in a page, in an attribute too.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A page; `inside` is HTML already. `leads_to`: an address that its form may lead to besides
/// our own.
pub(super) fn page(status: StatusCode, title: &str, inside: &str, leads_to: Option<&url::Url>) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{inside}</main></body></html>\n"
    );
    let to = leads_to.map(|url| format!(" {}", url.origin().ascii_serialization())).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'{to}; frame-ancestors 'none'; base-uri 'none'"
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Nobody else is told of the address; our own forms tell that they are.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A page that only says something.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    page(status, title, &format!("<p>{}</p>", escape(text)), None)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == COOKIE && value.len() == 64).map(|(_, value)| value)
}

/// Whether a form comes from a page that is not our own, as far as the browser tells.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), _, _) => site != "same-origin",
        (None, Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, of)| of != host),
        (None, Some(_), None) | (None, None, _) => false,
    }
}

/// A form for somebody to say who they are, and yes or no.
pub(super) struct Ask<'a> {
    /// Over it.
    pub title: &'a str,
    /// What it is about, as HTML.
    pub about: String,
    /// The names and values that come back with it.
    pub hidden: &'a [(&'a str, &'a str)],
    /// What the button for yes says.
    pub yes: &'a str,
    /// What was wrong the last time.
    pub problem: Option<String>,
    /// The address that was given the last time.
    pub email: &'a str,
    /// Where saying yes leads to, when that is elsewhere.
    pub leads_to: Option<&'a url::Url>,
}

impl Ask<'_> {
    /// The page. It posts to its own address.
    pub(super) fn show(&self, p: &Platform, headers: &HeaderMap, status: StatusCode) -> Response {
        let browser = cookie(headers).map_or_else(secret::random_password, str::to_owned);
        let proof = p.cx.sealer().sign(&format!("form/{browser}"));
        let hidden: String = self
            .hidden
            .iter()
            .chain(&[("form", proof.as_str())])
            .map(|(name, value)| {
                format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value))
            })
            .collect();
        let problem = self.problem.as_ref().map(|text| format!("<p class=\"bad\">{}</p>", escape(text)));
        let inside = format!(
            "{}{}<form method=\"post\" autocomplete=\"on\">{hidden}\
             <label for=\"email\">E-mail address</label>\
             <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" value=\"{}\">\
             <label for=\"password\">Password</label>\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\">\
             <div class=\"row\"><button name=\"decision\" value=\"yes\">{}</button>\
             <button class=\"no\" name=\"decision\" value=\"no\">Cancel</button></div></form>",
            problem.unwrap_or_default(),
            self.about,
            escape(self.email),
            escape(self.yes),
        );
        let mut response = page(status, self.title, &inside, self.leads_to);
        let set = format!("{COOKIE}={browser}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        if let Ok(set) = HeaderValue::from_str(&set) {
            response.headers_mut().append(header::SET_COOKIE, set);
        }
        response
    }
}

/// What somebody has said.
pub(super) enum Said {
    /// Yes, and who they are.
    Yes(Actor),
    /// No.
    No,
    /// Nothing that counts; the form is to be shown again with this.
    Again(StatusCode, String),
}

/// Reads the form of an [`Ask`].
pub(super) async fn said(p: &Platform, headers: &HeaderMap, peer: &str, form: &Form) -> Result<Said> {
    let own = !is_foreign(headers)
        && cookie(headers).is_some_and(|browser| p.cx.sealer().is_signed(&format!("form/{browser}"), form.get("form")));
    if !own {
        return Ok(Said::Again(StatusCode::FORBIDDEN, "This form is too old, or cookies are off. Try again.".into()));
    }
    if form.get("decision") != "yes" {
        return Ok(Said::No);
    }
    Ok(match accounts::login(p, peer, form.get("email"), form.get("password")).await? {
        Login::In(actor) => Said::Yes(actor),
        Login::Wrong => {
            Said::Again(StatusCode::UNAUTHORIZED, "There is no account with this address and password.".into())
        }
        Login::Wait(seconds) => Said::Again(StatusCode::TOO_MANY_REQUESTS, extract::wait(seconds)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_no_markup() {
        assert_eq!(escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }
}
