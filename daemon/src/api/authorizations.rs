//! `/oauth/authorizations` and `/oauth/sessions`: API tokens and logins.

use std::collections::HashMap;

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, PasswordAuth, Path, credentials},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{Actor, Platform, oauth, scopes::Scopes, tokens},
    store::authorizations::Authorization,
};

/// How long a login lasts that says nothing of it, in seconds.
const SESSION_LASTS: i64 = 30 * 86_400;

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/oauth/authorizations", all)
        .post("/oauth/authorizations", create)
        .get("/oauth/authorizations/{id}", info)
        .patch("/oauth/authorizations/{id}", update)
        .delete("/oauth/authorizations/{id}", revoke)
        .post("/oauth/authorizations/{id}/actions/regenerate-tokens", regenerate)
        .get("/oauth/sessions", sessions)
        .post("/oauth/sessions", begin_session)
        .delete("/oauth/sessions/{id}", end_session)
}

/// What an authorization's token is shown as.
struct Known<'a> {
    now: chrono::DateTime<chrono::Utc>,
    actor: &'a Actor,
    /// The token that the request came with: it may be shown to whoever has it.
    own: Option<String>,
    clients: HashMap<Uuid, wire::oauth_authorization::OauthClient>,
}

async fn known<'a>(
    p: &Platform,
    actor: &'a Actor,
    headers: &HeaderMap,
    rows: &[Authorization],
) -> ApiResult<Known<'a>> {
    let mut clients = HashMap::new();
    for id in rows.iter().filter_map(|row| row.client_id) {
        if let std::collections::hash_map::Entry::Vacant(place) = clients.entry(id) {
            place.insert(super::oauth::client_ref(&oauth::any_client(p, &id.to_string()).await?));
        }
    }
    let own = credentials(headers).map(|(_, token)| token);
    Ok(Known { now: p.cx.now(), actor, own, clients })
}

pub(super) fn token(
    row: &Authorization,
    text: String,
    now: chrono::DateTime<chrono::Utc>,
) -> wire::oauth_authorization::Token {
    // What is left of it, in whole seconds, the one that has begun among them.
    let left = row.expires_at.map(|at| view::unsigned((at - now).num_milliseconds().div_euclid(1000) + 1));
    let whole = row.expires_at.map(|at| view::unsigned((at - row.updated_at).num_seconds()));
    wire::oauth_authorization::Token {
        expires_in: left.zip(whole).map(|(left, whole)| left.min(whole.max(1))),
        id: row.id,
        token: text,
    }
}

impl Known<'_> {
    fn show(&self, row: &Authorization, fresh: Option<&tokens::Fresh>) -> wire::Authorization {
        let own = self.own.clone().filter(|_| self.actor.authorization_id == Some(row.id));
        let text = fresh.map(|fresh| fresh.token.clone()).or(own).or_else(|| row.hint.clone());
        wire::Authorization {
            access_token: text.map(|text| token(row, text, self.now)),
            client: row.client_id.and_then(|id| self.clients.get(&id).cloned()),
            created_at: row.created_at,
            description: Some(row.description.clone()),
            grant: None,
            id: row.id,
            refresh_token: fresh
                .and_then(|fresh| fresh.refresh.clone())
                .map(|token| wire::oauth_authorization::Token { expires_in: None, id: row.id, token }),
            scope: row.scope.split_whitespace().map(str::to_owned).collect(),
            session: row.session.then_some(wire::IdRef { id: row.id }),
            updated_at: row.updated_at,
            user: Some(shown_user(self.actor)),
        }
    }
}

fn shown_user(actor: &Actor) -> wire::oauth_authorization::AuthorizationUser {
    wire::oauth_authorization::AuthorizationUser {
        id: actor.user.id,
        email: actor.user.email.clone(),
        full_name: actor.user.name.clone(),
    }
}

async fn all(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Authorization>> {
    let rows = tokens::list(&p, &actor).await?;
    let known = known(&p, &actor, &headers, &rows).await?;
    let items = rows.iter().map(|row| known.show(row, None)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Authorization| item.id.to_string()))
}

fn scopes(names: Option<Vec<String>>) -> ApiResult<Scopes> {
    match names {
        Some(names) => Ok(Scopes::parse(names.iter().map(String::as_str))?),
        None => Ok(Scopes::global()),
    }
}

fn seconds(given: Option<u64>) -> Option<i64> {
    given.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
}

async fn create(
    State(p): State<Platform>,
    PasswordAuth(actor): PasswordAuth,
    headers: HeaderMap,
    Body(body): Body<wire::AuthorizationCreate>,
) -> ApiResult<Created<wire::Authorization>> {
    let scopes = scopes(body.scope)?;
    let description = body.description.unwrap_or_else(|| "Long-lived user authorization".into());
    if let Some(id) = body.client {
        // For a program: a code, which it trades for the token itself.
        let client = oauth::any_client(&p, &id).await.map_err(|error| {
            if let Error::NotFound(_) = error {
                Error::invalid("client: there is no OAuth client of this id.")
            } else {
                error
            }
        })?;
        let (grant, code) = oauth::approve(&p, &actor, &client, &scopes, &description).await?;
        return Ok(Created(wire::Authorization {
            access_token: None,
            client: Some(super::oauth::client_ref(&client)),
            created_at: grant.created_at,
            description: Some(grant.description),
            grant: Some(wire::oauth_authorization::Grant {
                code,
                expires_in: view::unsigned(oauth::CODE_LASTS.num_seconds()),
                id: grant.id,
            }),
            id: grant.authorization_id,
            refresh_token: None,
            scope: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            session: None,
            updated_at: grant.created_at,
            user: Some(shown_user(&actor)),
        }));
    }
    let new = tokens::New { description, scopes, expires_in: seconds(body.expires_in), session: false };
    let (row, token) = tokens::create(&p, &actor, new).await?;
    let known = known(&p, &actor, &headers, std::slice::from_ref(&row)).await?;
    let fresh = tokens::Fresh { row, token, refresh: None };
    Ok(Created(known.show(&fresh.row, Some(&fresh))))
}

async fn show(
    p: &Platform,
    actor: &Actor,
    headers: &HeaderMap,
    row: &Authorization,
) -> ApiResult<Json<wire::Authorization>> {
    let known = known(p, actor, headers, std::slice::from_ref(row)).await?;
    Ok(Json(known.show(row, None)))
}

/// `~` is the account's own API key with Heroku, and here is none: its clients then end the
/// token that they have, not somebody else's.
async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let row = tokens::find(&p, &actor, "authorization", &id).await?;
    show(&p, &actor, &headers, &row).await
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
    Path(id): Path<String>,
    Body(body): Body<wire::AuthorizationUpdate>,
) -> ApiResult<Json<wire::Authorization>> {
    let row = tokens::find(&p, &actor, "authorization", &id).await?;
    let client = match body.client {
        Some(wire::ClientProof { id: Some(id), secret: Some(secret) }) => {
            // 422 and not 401: it is the client that is not known, not who asks.
            let proved = oauth::prove_client(&p, &id.to_string(), &secret).await;
            Some(proved.map_err(|error| {
                if let Error::Unauthorized(text) = error { Error::invalid(format!("client: {text}")) } else { error }
            })?)
        }
        Some(_) => return Err(ApiError::invalid("client: needs id and secret.")),
        None => None,
    };
    let row = tokens::update(&p, &row, body.description.as_deref(), client.map(|client| client.id)).await?;
    show(&p, &actor, &headers, &row).await
}

async fn revoke(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let id = own(&actor, id);
    let row = tokens::find(&p, &actor, "authorization", &id).await?;
    tokens::revoke(&p, &actor, &row).await?;
    show(&p, &actor, &headers, &row).await
}

/// The token of the request itself is called `~`.
fn own(actor: &Actor, id: String) -> String {
    if id == "~" { actor.authorization_id.map(|id| id.to_string()).unwrap_or(id) } else { id }
}

async fn regenerate(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let row = tokens::find(&p, &actor, "authorization", &id).await?;
    let fresh = tokens::regenerate(&p, &actor, row).await?;
    let known = known(&p, &actor, &headers, std::slice::from_ref(&fresh.row)).await?;
    Ok(Json(known.show(&fresh.row, Some(&fresh))))
}

fn session(row: &Authorization, now: chrono::DateTime<chrono::Utc>, text: Option<String>) -> wire::Session {
    let shown = token(row, text.clone().unwrap_or_default(), now);
    wire::Session {
        id: row.id,
        description: Some(row.description.clone()),
        created_at: row.created_at,
        updated_at: row.updated_at,
        expires_in: shown.expires_in,
        access_token: text.map(|_| shown),
    }
}

async fn sessions(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Session>> {
    let now = p.cx.now();
    let items = tokens::sessions(&p, &actor).await?.iter().map(|row| session(row, now, None)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Session| item.id.to_string()))
}

async fn begin_session(
    State(p): State<Platform>,
    PasswordAuth(actor): PasswordAuth,
    Body(body): Body<wire::SessionCreate>,
) -> ApiResult<Created<wire::Session>> {
    let new = tokens::New {
        description: body.description.unwrap_or_else(|| "Session".into()),
        scopes: Scopes::global(),
        expires_in: Some(seconds(body.expires_in).unwrap_or(SESSION_LASTS)),
        session: true,
    };
    let (row, token) = tokens::create(&p, &actor, new).await?;
    Ok(Created(session(&row, p.cx.now(), Some(token))))
}

/// Logs out: `~` is the token of the request, whatever it was made as.
async fn end_session(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Session>> {
    let itself = id == "~";
    let row = tokens::find(&p, &actor, "session", &own(&actor, id)).await?;
    if !itself && !row.session {
        return Err(Error::not_found("session", row.id.to_string()).into());
    }
    tokens::revoke(&p, &actor, &row).await?;
    Ok(Json(session(&row, p.cx.now(), None)))
}
