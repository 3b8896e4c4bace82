//! `/oauth/authorize`: where a user lets a program in (RFC 6749, 4.1).

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    endpoints::{Endpoints, Html},
    error::ApiResult,
    extract::{Form, Peer, Query},
    pages::{self, Ask, Said},
};
use crate::{
    error::Error,
    ops::{Platform, oauth, scopes::Scopes},
    store::{oauth::Client, users},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/oauth/authorize", ask).post("/oauth/authorize", answer)
}

/// What a program asks for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
struct Wish {
    /// Which program.
    #[serde(default)]
    client_id: String,
    /// `code`.
    #[serde(default)]
    response_type: Option<String>,
    /// Names of scopes with spaces or commas between; `identity` when absent.
    #[serde(default)]
    scope: Option<String>,
    /// What comes back with the answer.
    #[serde(default)]
    state: Option<String>,
    /// The address that it has registered.
    #[serde(default)]
    redirect_uri: Option<String>,
}

/// What is asked, understood.
struct Asked {
    client: Client,
    /// The address of whose program it is.
    owner: String,
    scopes: Scopes,
    back: url::Url,
    state: Option<String>,
}

/// A wish that can be asked of the user; else what is wrong with it, told to them.
async fn read(p: &Platform, wish: Wish) -> ApiResult<Result<Asked, Response>> {
    let refuse = |text: &str| Ok(Err(pages::message(StatusCode::BAD_REQUEST, "This link does not work", text)));
    let client = match oauth::any_client(p, &wish.client_id).await {
        Ok(client) => client,
        Err(Error::NotFound(_)) => return refuse("No program is known here by the client_id in this link."),
        Err(error) => return Err(error.into()),
    };
    let Ok(back) = url::Url::parse(&client.redirect_uri) else {
        return refuse("The program's address can't be read.");
    };
    // Nobody is sent to an address that the program's owner hasn't given.
    let other = wish.redirect_uri.filter(|uri| !uri.is_empty() && url::Url::parse(uri).ok().as_ref() != Some(&back));
    if other.is_some() {
        return refuse("The redirect_uri in this link is not the one that the program has registered.");
    }
    let state = wish.state.filter(|state| !state.is_empty());
    // Who has said nothing yet is not sent anywhere: anybody can register an address, and such a
    // link would lead there by our name.
    if wish.response_type.as_deref().is_some_and(|kind| kind != "code") {
        return refuse("Its response_type is not code, the only one that there is (unsupported_response_type).");
    }
    let scope = wish.scope.unwrap_or_default();
    let names: Vec<&str> = scope.split([' ', ',']).filter(|name| !name.is_empty()).collect();
    let scopes = if names.is_empty() { Scopes::parse(["identity"]) } else { Scopes::parse(names) };
    let scopes = match scopes {
        Ok(scopes) => scopes,
        Err(error) => return refuse(&format!("It asks for what can't be given (invalid_scope). {error}")),
    };
    let owner = users::by_id(&mut p.db.read().await?, client.user_id).await?.map(|user| user.email).unwrap_or_default();
    Ok(Ok(Asked { client, owner, scopes, back, state }))
}

fn redirect(back: &url::Url, state: Option<&str>, with: &[(&str, &str)]) -> Response {
    let mut to = back.clone();
    {
        let mut query = to.query_pairs_mut();
        for (name, value) in with {
            query.append_pair(name, value);
        }
        if let Some(state) = state {
            query.append_pair("state", state);
        }
    }
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to.as_str()) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn show(p: &Platform, headers: &HeaderMap, asked: &Asked, again: Option<(StatusCode, String, &str)>) -> Response {
    let wants: String = asked.scopes.iter().map(|scope| format!("<li>{}</li>", scope.meaning())).collect();
    let about = format!(
        "<p><strong>{}</strong>, a program of {}, asks to</p><ul>{wants}</ul>\
         <p class=\"small\">You will be sent back to {}. You can take this back at any time: paas authorizations:revoke</p>",
        pages::escape(&asked.client.name),
        pages::escape(&asked.owner),
        pages::escape(&asked.back.origin().ascii_serialization()),
    );
    let (client_id, scope) = (asked.client.id.to_string(), asked.scopes.to_string());
    let (status, problem, email) = match again {
        Some((status, problem, email)) => (status, Some(problem), email),
        None => (StatusCode::OK, None, ""),
    };
    let ask = Ask {
        title: &format!("Let {} into your account?", asked.client.name),
        about,
        hidden: &[
            ("client_id", client_id.as_str()),
            ("scope", scope.as_str()),
            ("state", asked.state.as_deref().unwrap_or_default()),
        ],
        yes: "Log in and allow",
        problem,
        email,
        leads_to: Some(&asked.back),
    };
    ask.show(p, headers, status)
}

async fn ask(State(p): State<Platform>, headers: HeaderMap, Query(wish): Query<Wish>) -> ApiResult<Html> {
    Ok(Html(match read(&p, wish).await? {
        Ok(asked) => show(&p, &headers, &asked, None),
        Err(response) => response,
    }))
}

async fn answer(State(p): State<Platform>, headers: HeaderMap, Peer(peer): Peer, form: Form) -> ApiResult<Html> {
    let given = |name: &str| Some(form.get(name).to_owned()).filter(|text| !text.is_empty());
    let wish = Wish {
        client_id: form.get("client_id").to_owned(),
        scope: given("scope"),
        state: given("state"),
        ..Wish::default()
    };
    let asked = match read(&p, wish).await? {
        Ok(asked) => asked,
        Err(response) => return Ok(Html(response)),
    };
    let state = asked.state.as_deref();
    Ok(Html(match pages::said(&p, &headers, &peer, &form).await? {
        Said::Yes(actor) => {
            let (_, code) = oauth::approve(&p, &actor, &asked.client, &asked.scopes, &asked.client.name).await?;
            redirect(&asked.back, state, &[("code", &code)])
        }
        Said::No => redirect(&asked.back, state, &[("error", "access_denied")]),
        Said::Again(status, problem) => show(&p, &headers, &asked, Some((status, problem, form.get("email")))),
    }))
}
