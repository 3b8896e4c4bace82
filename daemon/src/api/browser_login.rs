//! `/auth`: a command line's login by a browser, as Heroku's client does it.

use std::time::Duration;

use axum::{
    Json,
    body::Body as Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    endpoints::{Endpoints, Html},
    error::ApiResult,
    extract::{Body, Form, Path, Peer, credentials},
    pages::{self, Ask, Said},
};
use crate::{
    error::Error,
    ops::{
        Platform,
        browser_logins::{self, State as Login},
    },
    store::logins::BrowserLogin,
};

/// A sign of life while nobody has decided: clients and proxies give up on silence.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How often it looks, whatever it was woken for.
const PERIOD: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .post("/auth", begin)
        .get("/auth/browser/{page}", ask)
        .post("/auth/browser/{page}", answer)
        .get("/auth/cli", wait)
}

/// `POST /auth`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
struct Begin {
    /// Who asks, in their own words.
    #[serde(default)]
    description: Option<String>,
}

/// Where to go on, each to stand behind this server's own address.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Begun {
    /// For the user's browser.
    browser_url: String,
    /// Where the command line waits, with the token.
    cli_url: String,
    /// See `cli_url`.
    token: String,
}

async fn begin(State(p): State<Platform>, Peer(peer): Peer, Body(body): Body<Begin>) -> ApiResult<Json<Begun>> {
    let begun = browser_logins::begin(&p, &peer, body.description.as_deref()).await?;
    Ok(Json(Begun {
        browser_url: format!("/auth/browser/{}", begun.page),
        cli_url: "/auth/cli".into(),
        token: begun.token,
    }))
}

fn over() -> Response {
    pages::message(
        StatusCode::NOT_FOUND,
        "This login is over",
        "It has been used, or was begun more than ten minutes ago. Begin it again on the command line.",
    )
}

fn show(
    p: &Platform,
    headers: &HeaderMap,
    login: &BrowserLogin,
    again: Option<(StatusCode, String, &str)>,
) -> Response {
    let about = format!(
        "<p>A command line asks to be logged in to your account:</p><p><strong>{}</strong></p>\
         <p class=\"small\">Go on only if you have just begun this yourself. If somebody sent you here, cancel.</p>",
        pages::escape(&login.description)
    );
    let (status, problem, email) = match again {
        Some((status, problem, email)) => (status, Some(problem), email),
        None => (StatusCode::OK, None, ""),
    };
    let title = "Log in to the command line";
    Ask { title, about, hidden: &[], yes: "Log in and allow", problem, email, leads_to: None }.show(p, headers, status)
}

async fn ask(State(p): State<Platform>, headers: HeaderMap, Path(page): Path<String>) -> ApiResult<Html> {
    Ok(Html(match browser_logins::of_page(&p, &page).await? {
        Some(login) => show(&p, &headers, &login, None),
        None => over(),
    }))
}

async fn answer(
    State(p): State<Platform>,
    headers: HeaderMap,
    Peer(peer): Peer,
    Path(page): Path<String>,
    form: Form,
) -> ApiResult<Html> {
    let Some(login) = browser_logins::of_page(&p, &page).await? else { return Ok(Html(over())) };
    let actor = match pages::said(&p, &headers, &peer, &form).await? {
        Said::Yes(actor) => Some(actor),
        Said::No => None,
        Said::Again(status, problem) => {
            return Ok(Html(show(&p, &headers, &login, Some((status, problem, form.get("email"))))));
        }
    };
    if !browser_logins::decide(&p, &login, actor.as_ref()).await? {
        return Ok(Html(over()));
    }
    Ok(Html(match actor {
        Some(actor) => {
            let text = format!("You are {}. You can close this page and go back to the command line.", actor.name());
            pages::message(StatusCode::OK, "Logged in", &text)
        }
        None => pages::message(StatusCode::OK, "Cancelled", "Nobody was logged in. You can close this page."),
    }))
}

/// Answers when the user has decided: with a token, or with why there is none. Until then comes
/// a space now and then, which means nothing in JSON.
async fn wait(State(p): State<Platform>, headers: HeaderMap) -> ApiResult<Response> {
    let token = credentials(&headers).map(|(_, token)| token).unwrap_or_default();
    let mut wakes = p.db.wakes();
    let mut state = browser_logins::look(&p, &token).await?;
    if matches!(state, Login::Over) {
        return Err(Error::not_found("login", "").into());
    }
    let (sender, receiver) = mpsc::channel::<Result<String, std::convert::Infallible>>(4);
    tokio::spawn(async move {
        let mut quiet = tokio::time::Instant::now();
        while matches!(state, Login::Waiting) {
            let woken = async {
                while let Ok(wake) = wakes.recv().await {
                    if wake.kind == browser_logins::WAKE {
                        return;
                    }
                }
                tokio::time::sleep(PERIOD).await;
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(PERIOD) => {}
                () = sender.closed() => return,
            }
            if quiet.elapsed() >= SIGN_OF_LIFE {
                quiet = tokio::time::Instant::now();
                let _ = sender.send(Ok(" ".into())).await;
            }
            match browser_logins::look(&p, &token).await {
                Ok(now) => state = now,
                // It looks again.
                Err(error) => tracing::warn!(%error, "a login could not be looked at"),
            }
        }
        let answer = match state {
            Login::In(token) => json!({"access_token": token}),
            Login::Denied => json!({"error": "The login was cancelled in the browser."}),
            Login::Waiting | Login::Over => json!({"error": "The login took longer than ten minutes. Begin it again."}),
        };
        let _ = sender.send(Ok(answer.to_string())).await;
    });
    let mut response = Response::new(Bytes::from_stream(ReceiverStream::new(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
