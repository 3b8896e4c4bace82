//! `/account`, `/oauth/authorizations`, `/users/~/apps` and the like.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, PasswordAuth, Path},
    list::list,
    view,
};
use crate::{
    ops::{Actor, Platform, accounts},
    store::authorizations::Authorization,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/account", info)
        .patch("/account", update)
        .get("/users/{id}", user_info)
        .get("/oauth/authorizations", authorizations)
        .post("/oauth/authorizations", create_authorization)
        .get("/oauth/authorizations/{id}", authorization)
        .delete("/oauth/authorizations/{id}", revoke)
        .post("/oauth/sessions", session)
        .delete("/oauth/sessions/~", end_session)
}

async fn info(Auth(actor): Auth) -> Json<wire::Account> {
    Json(view::account(&actor.user))
}

async fn user_info(Auth(actor): Auth, Path(id): Path<String>) -> ApiResult<Json<wire::Account>> {
    if id == "~" || id == actor.user.id.to_string() || id.eq_ignore_ascii_case(&actor.user.email) {
        return Ok(Json(view::account(&actor.user)));
    }
    Err(crate::error::Error::not_found("user", id).into())
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AccountUpdate>,
) -> ApiResult<Json<wire::Account>> {
    let passwords = match (&body.password, &body.new_password) {
        (Some(old), Some(new)) => Some((old.as_str(), new.as_str())),
        (None, Some(_)) => return Err(ApiError::invalid("password: the current password is needed to set a new one.")),
        (Some(_) | None, None) => None,
    };
    if body.email.is_some_and(|email| !email.eq_ignore_ascii_case(&actor.user.email)) {
        return Err(ApiError::invalid("email: an account's address can't be changed yet."));
    }
    let user = accounts::update(&p, &actor, body.name, passwords).await?;
    Ok(Json(view::account(&user)))
}

fn shown(actor: &Actor, row: &Authorization, token: Option<String>) -> wire::Authorization {
    wire::Authorization {
        access_token: token.map(|token| wire::oauth_authorization::Token {
            expires_in: row.expires_at.map(|at| view::unsigned((at - row.created_at).num_seconds())),
            id: row.id,
            token,
        }),
        client: None,
        created_at: row.created_at,
        description: Some(row.description.clone()),
        grant: None,
        id: row.id,
        refresh_token: None,
        scope: vec!["global".into()],
        session: None,
        updated_at: row.updated_at,
        user: Some(wire::oauth_authorization::AuthorizationUser {
            id: actor.user.id,
            email: actor.user.email.clone(),
            full_name: actor.user.name.clone(),
        }),
    }
}

async fn authorizations(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Authorization>> {
    let rows = accounts::authorizations(&p, &actor).await?;
    let items = rows.iter().map(|row| shown(&actor, row, None)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Authorization| item.id.to_string()))
}

async fn create_authorization(
    State(p): State<Platform>,
    PasswordAuth(actor): PasswordAuth,
    Body(body): Body<wire::AuthorizationCreate>,
) -> ApiResult<Created<wire::Authorization>> {
    // A token that may do more than was asked for would be worse than none.
    if let Some(scope) = body.scope.iter().flatten().find(|scope| *scope != "global") {
        return Err(ApiError::invalid(format!("scope: there are no tokens for {scope:?} here yet, only global ones.")));
    }
    let description = body.description.unwrap_or_else(|| "Long-lived user authorization".into());
    let expires_in = body.expires_in.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let (row, token) = accounts::create_token(&p, actor.user.id, &description, expires_in).await?;
    Ok(Created(shown(&actor, &row, Some(token))))
}

async fn authorization(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    Ok(Json(shown(&actor, &accounts::authorization(&p, &actor, &id).await?, None)))
}

async fn revoke(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let id = if id == "~" { actor.authorization_id.map(|id| id.to_string()).unwrap_or(id) } else { id };
    Ok(Json(shown(&actor, &accounts::revoke(&p, &actor, &id).await?, None)))
}

async fn session(Auth(actor): Auth) -> Created<wire::IdRef> {
    Created(wire::IdRef { id: actor.authorization_id.unwrap_or_default() })
}

async fn end_session(State(p): State<Platform>, Auth(actor): Auth) -> ApiResult<Json<wire::IdRef>> {
    let id = actor.authorization_id.unwrap_or_default();
    accounts::revoke(&p, &actor, &id.to_string()).await?;
    Ok(Json(wire::IdRef { id }))
}
