//! `/account` and `/users/{id}`: who one is, preferences, new passwords.

use axum::{Json, extract::State};
use paas_wire as wire;

use super::{
    endpoints::Endpoints,
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    view,
};
use crate::{
    error::Error,
    ops::{
        Actor, Platform,
        accounts::{self, Account, Changes},
        check_length,
    },
};

/// Longest text of a preference, in characters.
const LONGEST_PREFERENCE: usize = 200;

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/account", info)
        .patch("/account", update)
        .delete("/account", delete)
        .get("/account/delinquency", delinquency)
        .get("/accounts/{id}/actions/get-quota", quota)
        .get("/users/{id}", user_info)
        .patch("/users/{id}", user_update)
        .delete("/users/{id}", user_delete)
        .get("/users/{id}/preferences", preferences)
        .patch("/users/{id}/preferences", set_preferences)
        .get("/users/{id}/sms-number", sms_number)
        .post("/users/{id}/sms-number/actions/recover", sms_recover)
        .post("/users/{id}/sms-number/actions/confirm", sms_confirm)
        .post("/password-resets", reset)
        .post("/password-resets/{token}/actions/finalize", finalize)
}

async fn info(State(p): State<Platform>, Auth(actor): Auth) -> ApiResult<Json<wire::Account>> {
    Ok(Json(view::account(&accounts::find(&p, &actor, "~").await?)))
}

async fn user_info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::Account>> {
    Ok(Json(view::account(&accounts::find(&p, &actor, &id).await?)))
}

async fn change(p: &Platform, actor: &Actor, who: &str, body: wire::AccountUpdate) -> ApiResult<Json<wire::Account>> {
    let account = accounts::find(p, actor, who).await?;
    let changes = Changes {
        name: body.name,
        allow_tracking: body.allow_tracking,
        beta: body.beta,
        email: body.email,
        new_password: body.new_password,
        password: body.password,
    };
    Ok(Json(view::account(&accounts::update(p, actor, account, changes).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AccountUpdate>,
) -> ApiResult<Json<wire::Account>> {
    change(&p, &actor, "~", body).await
}

async fn user_update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    Body(body): Body<wire::AccountUpdate>,
) -> ApiResult<Json<wire::Account>> {
    change(&p, &actor, &id, body).await
}

async fn delete(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AccountDelete>,
) -> ApiResult<Json<wire::Account>> {
    let account = accounts::find(&p, &actor, "~").await?;
    Ok(Json(view::account(&accounts::delete(&p, &actor, account, body.password.as_deref()).await?)))
}

async fn user_delete(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    Body(body): Body<wire::AccountDelete>,
) -> ApiResult<Json<wire::Account>> {
    let account = accounts::find(&p, &actor, &id).await?;
    Ok(Json(view::account(&accounts::delete(&p, &actor, account, body.password.as_deref()).await?)))
}

/// There are no bills, so none is unpaid.
async fn delinquency(Auth(_): Auth) -> Json<wire::AccountDelinquency> {
    Json(wire::AccountDelinquency::default())
}

/// Heroku counts the hours of its eco dynos; here is nothing to count. Its clients read a 404
/// as that.
async fn quota(Auth(_): Auth, Path(id): Path<String>) -> ApiResult<Json<wire::IdRef>> {
    Err(Error::not_found("quota", id).into())
}

fn kept(account: &Account) -> wire::UserPreferences {
    read(&account.profile.preferences)
}

fn read(preferences: &serde_json::Value) -> wire::UserPreferences {
    serde_json::from_value(preferences.clone()).unwrap_or_default()
}

async fn preferences(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::UserPreferences>> {
    Ok(Json(kept(&accounts::find(&p, &actor, &id).await?)))
}

async fn set_preferences(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    Body(body): Body<wire::UserPreferencesUpdate>,
) -> ApiResult<Json<wire::UserPreferences>> {
    let account = accounts::find(&p, &actor, &id).await?;
    let text = |given: &Option<Option<String>>| given.clone().flatten();
    check_length("timezone", text(&body.timezone).as_deref(), LONGEST_PREFERENCE)?;
    check_length("default-organization", text(&body.default_organization).as_deref(), LONGEST_PREFERENCE)?;
    if body.dismissed_pipelines_github_banners.as_ref().is_some_and(|given| given.iter().flatten().count() > 1000) {
        return Err(ApiError::invalid("dismissed-pipelines-github-banners: may be 1000 at most."));
    }
    let changed = accounts::set_preferences(&p, account, |now| {
        serde_json::to_value(read(now).with(body)).map_err(|e| Error::internal("The preferences can't be written.", e))
    });
    Ok(Json(kept(&changed.await?)))
}

async fn sms_number(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::SmsNumber>> {
    accounts::find(&p, &actor, &id).await?;
    Ok(Json(wire::SmsNumber::default()))
}

async fn no_sms(p: &Platform, actor: &Actor, who: &str) -> ApiResult<Json<wire::SmsNumber>> {
    accounts::find(p, actor, who).await?;
    Err(ApiError::invalid("There is no SMS number on this account: this server sends no messages."))
}

async fn sms_recover(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::SmsNumber>> {
    no_sms(&p, &actor, &id).await
}

async fn sms_confirm(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<wire::SmsNumber>> {
    no_sms(&p, &actor, &id).await
}

/// The answer is the same whether there is such an account or not.
async fn reset(
    State(p): State<Platform>,
    Body(body): Body<wire::PasswordResetCreate>,
) -> ApiResult<Json<wire::PasswordReset>> {
    accounts::ask_reset(&p, &body.email).await?;
    let email = body.email.trim().to_lowercase();
    let user = wire::UserRef { id: view::id_of("password-reset", &email), email };
    Ok(Json(wire::PasswordReset { created_at: p.cx.now(), user }))
}

async fn finalize(
    State(p): State<Platform>,
    Path(token): Path<String>,
    Body(body): Body<wire::PasswordResetFinalize>,
) -> ApiResult<Json<wire::PasswordReset>> {
    if body.password != body.password_confirmation {
        return Err(ApiError::invalid("password_confirmation: is not the same as password."));
    }
    let user = accounts::finalize_reset(&p, &token, &body.password).await?;
    Ok(Json(wire::PasswordReset { created_at: user.updated_at, user: view::user_ref(&user) }))
}
