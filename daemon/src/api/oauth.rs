//! `/oauth/clients` and `/oauth/tokens`: programs, and how they come by their tokens.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use paas_wire::{self as wire, oauth_authorization::OauthClient};
use serde_json::json;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Form, Path, credentials},
    list::list,
};
use crate::{
    error::Error,
    ops::{
        Platform,
        oauth::{self, Proof, Refused, Shown},
        tokens::{self, Fresh},
    },
    store::oauth::Client,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/oauth/clients", all)
        .post("/oauth/clients", create)
        .get("/oauth/clients/{client}", info)
        .patch("/oauth/clients/{client}", update)
        .delete("/oauth/clients/{client}", delete)
        .post("/oauth/clients/{client}/actions/rotate-credentials", rotate)
        .post("/oauth/tokens", token)
        .delete("/oauth/tokens/{token}", end)
        .post("/oauth/token", standard_token)
}

/// A client as others see it.
pub(super) fn client_ref(client: &Client) -> OauthClient {
    OauthClient { id: client.id, name: client.name.clone(), redirect_uri: Some(client.redirect_uri.clone()) }
}

fn shown(shown: Shown) -> wire::Client {
    wire::Client {
        created_at: shown.client.created_at,
        id: shown.client.id,
        ignores_delinquent: None,
        name: shown.client.name,
        redirect_uri: shown.client.redirect_uri,
        secret: shown.secret,
        updated_at: shown.client.updated_at,
    }
}

async fn all(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Client>> {
    let items = oauth::clients(&p, &actor).await?.into_iter().map(shown).collect();
    Ok(list(&headers, "id", items, |item: &wire::Client| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::ClientCreate>,
) -> ApiResult<Created<wire::Client>> {
    Ok(Created(shown(oauth::create_client(&p, &actor, &body.name, &body.redirect_uri).await?)))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(id): Path<String>) -> ApiResult<Json<wire::Client>> {
    Ok(Json(shown(oauth::client(&p, &actor, &id).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    Body(body): Body<wire::ClientUpdate>,
) -> ApiResult<Json<wire::Client>> {
    let client = oauth::client(&p, &actor, &id).await?;
    let (name, uri) = (body.name.as_deref(), body.redirect_uri.as_deref());
    Ok(Json(shown(oauth::update_client(&p, client.client.id, name, uri).await?)))
}

async fn delete(State(p): State<Platform>, Auth(actor): Auth, Path(id): Path<String>) -> ApiResult<Json<wire::Client>> {
    let client = oauth::client(&p, &actor, &id).await?;
    oauth::delete_client(&p, &actor, &client).await?;
    Ok(Json(shown(client)))
}

async fn rotate(State(p): State<Platform>, Auth(actor): Auth, Path(id): Path<String>) -> ApiResult<Json<wire::Client>> {
    let client = oauth::client(&p, &actor, &id).await?;
    Ok(Json(shown(oauth::rotate_client(&p, client.client.id).await?)))
}

/// What a program trades for a token.
struct Trade {
    kind: String,
    code: String,
    refresh: String,
    proof: Proof,
}

/// Why a trade is refused, also in the words of the standard (RFC 6749, 5.2).
struct Refusal {
    error: &'static str,
    api: ApiError,
}

async fn trade(p: &Platform, trade: Trade) -> Result<Fresh, Refusal> {
    let missing = |field: &str| Refusal {
        error: "invalid_request",
        api: ApiError::invalid(format!("{field}: is needed to get a token.")),
    };
    if trade.proof.secret.is_empty() {
        return Err(missing("client.secret"));
    }
    let done = match trade.kind.as_str() {
        "authorization_code" if trade.code.is_empty() => return Err(missing("grant.code")),
        "refresh_token" if trade.refresh.is_empty() => return Err(missing("refresh_token.token")),
        "authorization_code" => oauth::exchange(p, &trade.code, &trade.proof).await,
        "refresh_token" => oauth::refresh(p, &trade.refresh, &trade.proof).await,
        _ => {
            return Err(Refusal {
                error: "unsupported_grant_type",
                api: ApiError::invalid("grant.type: must be authorization_code or refresh_token."),
            });
        }
    };
    done.map_err(|refused| {
        let (error, text) = match refused {
            Refused::Client => ("invalid_client", Refused::Client.to_string()),
            Refused::Grant => ("invalid_grant", Refused::Grant.to_string()),
            Refused::Other(error) => return Refusal { error: "server_error", api: error.into() },
        };
        Refusal { error, api: ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", text) }
    })
}

async fn token(
    State(p): State<Platform>,
    Body(body): Body<wire::OauthTokenCreate>,
) -> ApiResult<Created<wire::OauthToken>> {
    let grant = body.grant.unwrap_or_default();
    let client = body.client.unwrap_or_default();
    let asked = Trade {
        kind: grant.kind.unwrap_or_default(),
        code: grant.code.unwrap_or_default(),
        refresh: body.refresh_token.and_then(|given| given.token).unwrap_or_default(),
        proof: Proof { id: client.id.map(|id| id.to_string()), secret: client.secret.unwrap_or_default() },
    };
    let fresh = trade(&p, asked).await.map_err(|refusal| refusal.api)?;
    let row = &fresh.row;
    Ok(Created(wire::OauthToken {
        access_token: super::authorizations::token(row, fresh.token.clone(), p.cx.now()),
        authorization: wire::IdRef { id: row.id },
        client: None,
        created_at: row.updated_at,
        grant: None,
        id: row.id,
        refresh_token: wire::oauth_authorization::Token {
            expires_in: None,
            id: row.id,
            token: fresh.refresh.unwrap_or_default(),
        },
        session: wire::IdRef { id: row.id },
        updated_at: row.updated_at,
        user: wire::IdRef { id: row.user_id },
    }))
}

/// The same as OAuth's libraries do it: a form, and an answer of the standard's (RFC 6749).
async fn standard_token(State(p): State<Platform>, headers: HeaderMap, form: Form) -> ApiResult<Response> {
    let basic = credentials(&headers).and_then(|(id, secret)| Some((id?, secret)));
    let given = |name: &str| Some(form.get(name).to_owned()).filter(|text| !text.is_empty());
    let (id, secret) = match basic {
        Some((id, secret)) => (Some(id).filter(|id| !id.is_empty()), secret),
        None => (given("client_id"), form.get("client_secret").to_owned()),
    };
    let asked = Trade {
        kind: form.get("grant_type").to_owned(),
        code: form.get("code").to_owned(),
        refresh: form.get("refresh_token").to_owned(),
        proof: Proof { id, secret },
    };
    let (status, answer) = match trade(&p, asked).await {
        Ok(fresh) => {
            let token = super::authorizations::token(&fresh.row, fresh.token, p.cx.now());
            let answer = json!({
                "access_token": token.token,
                "token_type": "Bearer",
                "expires_in": token.expires_in,
                "refresh_token": fresh.refresh,
                "scope": fresh.row.scope,
                "user_id": fresh.row.user_id,
            });
            (StatusCode::OK, answer)
        }
        Err(refusal) if refusal.error == "server_error" => return Err(refusal.api),
        Err(refusal) => {
            let status =
                if refusal.error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            let text = refusal.api.message().to_owned();
            (status, json!({"error": refusal.error, "error_description": text, "id": refusal.error, "message": text}))
        }
    };
    let mut response = (status, Json(answer)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        let basic = header::HeaderValue::from_static("Basic realm=\"paas\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    Ok(response)
}

/// Ends a token: one's own, or the one that asks.
async fn end(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::OauthToken>> {
    let row = tokens::find(&p, &actor, "oauth_token", &id).await?;
    let itself = actor.authorization_id == Some(row.id);
    let token = credentials(&headers).map(|(_, token)| token).unwrap_or_default();
    if !itself && tokens::authenticate(&p, &token).await?.is_none() {
        return Err(
            Error::Forbidden("This token may end itself, not others: that takes the scope global.".into()).into()
        );
    }
    tokens::revoke(&p, &actor, &row).await?;
    let now = p.cx.now();
    let hint = row.hint.clone().unwrap_or_default();
    Ok(Json(wire::OauthToken {
        access_token: super::authorizations::token(&row, hint, now),
        authorization: wire::IdRef { id: row.id },
        client: None,
        created_at: row.created_at,
        grant: None,
        id: row.id,
        refresh_token: wire::oauth_authorization::Token { expires_in: None, id: row.id, token: String::new() },
        session: wire::IdRef { id: row.id },
        updated_at: row.updated_at,
        user: wire::IdRef { id: row.user_id },
    }))
}
