//! Accounts, passwords and tokens.

use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform};
use crate::{
    context::new_id,
    error::{Error, Result},
    secret,
    store::{
        authorizations::{self, Authorization},
        users::{self, User},
    },
};

/// How many passwords are checked at once: each takes 19 MB and tens of milliseconds of a core,
/// and whoever asks need not have an account.
static CHECKS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// Shortest password, in characters; Heroku's rule.
const SHORTEST_PASSWORD: usize = 8;

/// Makes an account, or gives the one of that address a new password. Returns it.
pub async fn create(p: &Platform, email: &str, password: Option<&str>, admin: bool) -> Result<User> {
    let email = check_email(email)?;
    let password_hash = match password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let user = match users::by_email(&mut tx, &email).await? {
        Some(mut user) => {
            user.password_hash = password_hash.or(user.password_hash);
            user.admin |= admin;
            user.updated_at = now;
            users::update(&mut tx, &user).await?;
            user
        }
        None => {
            let user = User { id: new_id(), email, name: None, password_hash, admin, created_at: now, updated_at: now };
            users::insert(&mut tx, &user).await?;
            user
        }
    };
    tx.commit(None).await?;
    Ok(user)
}

/// An e-mail address as it is kept: in lower case.
pub(super) fn check_email(email: &str) -> Result<String> {
    let email = email.trim().to_lowercase();
    let valid = email.len() <= 254
        && email
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'))
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if valid { Ok(email) } else { Err(Error::invalid(format!("{email:?} is not an e-mail address."))) }
}

/// A person's name as it is kept.
pub(super) fn tidy_name(name: Option<String>) -> Option<String> {
    name.map(|name| name.trim().chars().take(200).collect()).filter(|name: &String| !name.is_empty())
}

/// Makes a token for a user; it is shown this once.
pub async fn create_token(
    p: &Platform,
    user_id: Uuid,
    description: &str,
    expires_in: Option<i64>,
) -> Result<(Authorization, String)> {
    let token = secret::new_token();
    let now = p.cx.now();
    let expires_at = match expires_in {
        Some(seconds) if !(1..=10 * 365 * 86_400).contains(&seconds) => {
            return Err(Error::invalid("expires_in must be a number of seconds from 1 to ten years."));
        }
        Some(seconds) => Some(now + chrono::Duration::seconds(seconds)),
        None => None,
    };
    let row = Authorization {
        id: new_id(),
        user_id,
        description: description.chars().take(200).collect(),
        created_at: now,
        updated_at: now,
        expires_at,
    };
    let mut tx = p.db.begin().await?;
    authorizations::insert(&mut tx, &row, &secret::token_hash(&token)).await?;
    tx.commit(None).await?;
    Ok((row, token))
}

/// Who has this token.
pub async fn authenticate(p: &Platform, token: &str) -> Result<Option<Actor>> {
    if token.is_empty() || token.len() > 200 {
        return Ok(None);
    }
    let mut c = p.db.read().await?;
    let found = authorizations::user_of(&mut c, &secret::token_hash(token), p.cx.now()).await?;
    Ok(found.map(|(id, user)| Actor { user, authorization_id: Some(id) }))
}

/// Who has this address and password.
pub async fn login(p: &Platform, email: &str, password: &str) -> Result<Option<Actor>> {
    if email.contains('\0') {
        return Ok(None);
    }
    let user = users::by_email(&mut p.db.read().await?, &email.trim().to_lowercase()).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let password = password.to_owned();
    let _turn = CHECKS.acquire().await.map_err(|e| Error::internal("The password could not be checked.", e))?;
    // Checking takes tens of milliseconds on purpose. An unknown address takes as long, so
    // that the time tells nothing.
    let right = tokio::task::spawn_blocking(move || match hash {
        Some(hash) => secret::verify_password(&password, &hash),
        None => {
            let _ = secret::hash_password(&password);
            false
        }
    })
    .await
    .unwrap_or(false);
    Ok(user.filter(|_| right).map(|user| Actor { user, authorization_id: None }))
}

/// Changes the actor's name or password.
pub async fn update(
    p: &Platform,
    actor: &Actor,
    name: Option<String>,
    new_password: Option<(&str, &str)>,
) -> Result<User> {
    let mut user = actor.user.clone();
    if let Some(name) = name {
        user.name = Some(name.trim().chars().take(200).collect()).filter(|name: &String| !name.is_empty());
    }
    if let Some((old, new)) = new_password {
        if user.password_hash.is_some() && login(p, &user.email, old).await?.is_none() {
            return Err(Error::Unauthorized("The current password is not right.".into()));
        }
        user.password_hash = Some(hash(new).await?);
    }
    user.updated_at = p.cx.now();
    let mut tx = p.db.begin().await?;
    users::update(&mut tx, &user).await?;
    tx.commit(None).await?;
    Ok(user)
}

/// The actor's tokens.
pub async fn authorizations(p: &Platform, actor: &Actor) -> Result<Vec<Authorization>> {
    Ok(authorizations::list(&mut p.db.read().await?, actor.user.id).await?)
}

/// One of the actor's tokens.
pub async fn authorization(p: &Platform, actor: &Actor, id: &str) -> Result<Authorization> {
    let id: Uuid = id.parse().map_err(|_| Error::not_found("authorization", id))?;
    authorizations::find(&mut p.db.read().await?, actor.user.id, id)
        .await?
        .ok_or_else(|| Error::not_found("authorization", id.to_string()))
}

/// Ends a token at once.
pub async fn revoke(p: &Platform, actor: &Actor, id: &str) -> Result<Authorization> {
    let row = authorization(p, actor, id).await?;
    let mut tx = p.db.begin().await?;
    authorizations::delete(&mut tx, actor.user.id, row.id).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), authorization.id = %row.id, data = %json!({"description": row.description}), "token revoked");
    Ok(row)
}

pub(super) async fn hash(password: &str) -> Result<String> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Error::invalid(format!("The password must have at least {SHORTEST_PASSWORD} characters.")));
    }
    if password.len() > 1024 {
        return Err(Error::invalid("The password may have at most 1024 bytes."));
    }
    let password = password.to_owned();
    tokio::task::spawn_blocking(move || secret::hash_password(&password))
        .await
        .map_err(|e| Error::internal("The password could not be kept.", e))?
        .map_err(|e| Error::internal("The password could not be kept.", e))
}
