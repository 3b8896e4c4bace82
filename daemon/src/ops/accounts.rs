//! Accounts and their passwords. Their tokens are in [`super::tokens`].

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Actor, Platform};
use crate::{
    context::new_id,
    error::{Error, NotFound, Result},
    secret,
    store::{
        authorizations, logins, oauth, pipelines,
        profiles::{self, Profile},
        ssh_keys,
        users::{self, User},
    },
};

pub use super::tokens::{authenticate, authenticate_for, create_token};

/// How many passwords are checked at once: each takes 19 MB and tens of milliseconds of a core,
/// and whoever asks need not have an account.
static CHECKS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// Shortest password, in characters; Heroku's rule.
const SHORTEST_PASSWORD: usize = 8;

/// Longest password, in bytes: longer ones would be work for nothing.
const LONGEST_PASSWORD: usize = 1024;

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
    name.map(|name| name.trim().chars().filter(|c| !c.is_control()).take(200).collect())
        .filter(|name: &String| !name.is_empty())
}

/// What came of an address and password.
#[derive(Debug, Clone)]
pub enum Login {
    /// They are right.
    In(Actor),
    /// They are not.
    Wrong,
    /// Too many were wrong of late: it was not looked at, and won't be for so many seconds.
    Wait(u64),
}

/// Who has this address and password; `peer` is who says so.
pub async fn login(p: &Platform, peer: &str, email: &str, password: &str) -> Result<Login> {
    let email = email.trim().to_lowercase();
    if email.contains('\0') || email.len() > 254 {
        return Ok(Login::Wrong);
    }
    if let Some(wait) = p.guesses.try_one(peer, &email, p.cx.now()) {
        return Ok(Login::Wait(u64::try_from(wait.num_seconds()).unwrap_or_default() + 1));
    }
    let user = users::by_email(&mut p.db.read().await?, &email).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = is_right(hash, password).await?;
    let Some(user) = user.filter(|_| right) else {
        tracing::info!(peer, "a login with a wrong address or password");
        return Ok(Login::Wrong);
    };
    p.guesses.was_right(peer, &email);
    let mut tx = p.db.begin().await?;
    profiles::logged_in(&mut tx, user.id, p.cx.now()).await?;
    tx.commit(None).await?;
    Ok(Login::In(Actor { user, authorization_id: None }))
}

/// Checking takes tens of milliseconds on purpose. Where there is nothing to check against it
/// takes as long, so that the time tells nothing.
async fn is_right(hash: Option<String>, password: &str) -> Result<bool> {
    let password = password.to_owned();
    if password.len() > LONGEST_PASSWORD {
        return Ok(false);
    }
    let _turn = CHECKS.acquire().await.map_err(|e| Error::internal("The password could not be checked.", e))?;
    let right = tokio::task::spawn_blocking(move || match hash {
        Some(hash) => secret::verify_password(&password, &hash),
        None => {
            let _ = secret::hash_password(&password);
            false
        }
    });
    Ok(right.await.unwrap_or(false))
}

/// An account with what it has set.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account.
    pub user: User,
    /// What it has set.
    pub profile: Profile,
}

/// What may be changed of an account.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The person's name; `Some(None)` takes it away.
    pub name: Option<Option<String>>,
    /// Whether third parties may follow it.
    pub allow_tracking: Option<bool>,
    /// Whether it takes part in what is not finished.
    pub beta: Option<bool>,
    /// Another address; needs the password.
    pub email: Option<String>,
    /// Another password; needs the present one.
    pub new_password: Option<String>,
    /// The present password.
    pub password: Option<String>,
}

/// The account by `~`, address or identity: the actor's own, or anybody's for an administrator.
pub async fn find(p: &Platform, actor: &Actor, who: &str) -> Result<Account> {
    let own = who == "~" || who == actor.user.id.to_string() || who.eq_ignore_ascii_case(&actor.user.email);
    let mut c = p.db.read().await?;
    let user = match who.parse::<Uuid>() {
        _ if own => Some(actor.user.clone()),
        _ if !actor.user.admin || who.contains('\0') => None,
        Ok(id) => users::by_id(&mut c, id).await?,
        Err(_) => users::by_email(&mut c, &who.to_lowercase()).await?,
    };
    let user = user.ok_or_else(|| Error::not_found("user", who))?;
    let profile = profiles::find(&mut c, user.id).await?.unwrap_or_else(|| Profile::new(user.id));
    if profile.deleted_at.is_some() {
        return Err(Error::not_found("user", who));
    }
    Ok(Account { user, profile })
}

/// An account with what it has set.
pub async fn of(p: &Platform, user: User) -> Result<Account> {
    let profile = profiles::find(&mut p.db.read().await?, user.id).await?.unwrap_or_else(|| Profile::new(user.id));
    Ok(Account { user, profile })
}

/// Whether the actor may do to this account what needs its password: they give it, or are
/// another, who is an administrator. An account without one has nothing to give.
async fn prove(p: &Platform, actor: &Actor, account: &Account, password: Option<&str>, what: &str) -> Result<()> {
    if account.user.id != actor.user.id || account.user.password_hash.is_none() {
        return Ok(());
    }
    let Some(password) = password else {
        return Err(Error::invalid(format!("password: the current password is needed to {what}.")));
    };
    // Whoever got hold of a token has no endless guesses either.
    let peer = format!("account {}", actor.user.id);
    match login(p, &peer, &account.user.email, password).await? {
        Login::In(_) => Ok(()),
        Login::Wrong => Err(Error::Unauthorized("The current password is not right.".into())),
        Login::Wait(seconds) => {
            Err(Error::Forbidden(format!("The current password was wrong too often. Try again in {seconds} seconds.")))
        }
    }
}

/// Changes an account.
pub async fn update(p: &Platform, actor: &Actor, account: Account, changes: Changes) -> Result<Account> {
    let Account { mut user, mut profile } = account.clone();
    if let Some(name) = changes.name {
        user.name = tidy_name(name);
    }
    let email = changes.email.map(|email| address(&email)).transpose()?.filter(|email| *email != user.email);
    if email.is_some() {
        prove(p, actor, &account, changes.password.as_deref(), "change the address").await?;
    }
    if let Some(new) = &changes.new_password {
        prove(p, actor, &account, changes.password.as_deref(), "set a new one").await?;
        user.password_hash = Some(hash(new).await?);
    }
    profile.allow_tracking = changes.allow_tracking.unwrap_or(profile.allow_tracking);
    profile.beta = changes.beta.unwrap_or(profile.beta);
    user.updated_at = p.cx.now();
    let mut tx = p.db.begin().await?;
    users::update(&mut tx, &user).await?;
    if let Some(email) = email {
        users::set_email(&mut tx, user.id, &email).await.map_err(|e| {
            if e.is_duplicate() { Error::invalid(format!("email: {email} has an account already.")) } else { e.into() }
        })?;
        user.email = email;
    }
    profiles::put(&mut tx, &profile).await?;
    tx.commit(None).await?;
    Ok(Account { user, profile })
}

/// Sets what clients remember for an account.
pub async fn set_preferences(p: &Platform, account: Account, preferences: serde_json::Value) -> Result<Account> {
    let profile = Profile { preferences: sqlx::types::Json(preferences), ..account.profile };
    let mut tx = p.db.begin().await?;
    profiles::put(&mut tx, &profile).await?;
    tx.commit(None).await?;
    Ok(Account { profile, ..account })
}

/// Ends an account: its tokens, keys and programs go at once, and its address is free. Its
/// row stays without a name, for releases to tell who made them.
pub async fn delete(p: &Platform, actor: &Actor, account: Account, password: Option<&str>) -> Result<Account> {
    prove(p, actor, &account, password, "delete the account").await?;
    let now = p.cx.now();
    let user = &account.user;
    let mut tx = p.db.begin().await?;
    let gone = User { name: None, password_hash: None, admin: false, updated_at: now, ..user.clone() };
    users::update(&mut tx, &gone).await?;
    let mut apps = users::apps_of(&mut tx, user.id).await?;
    apps.extend(pipelines::of_user(&mut tx, user.id).await?.into_iter().map(|name| format!("the pipeline {name}")));
    if let Some(first) = apps.first() {
        let others = if apps.len() > 1 { format!(" and {} more", apps.len() - 1) } else { String::new() };
        return Err(Error::invalid(format!(
            "{} still owns {first}{others}. Transfer or destroy its apps and pipelines first, then delete the account.",
            user.email
        )));
    }
    users::set_email(&mut tx, user.id, &format!("{}@deleted.invalid", user.id)).await?;
    users::leave(&mut tx, user.id).await?;
    authorizations::delete_all(&mut tx, user.id).await?;
    oauth::delete_grants(&mut tx, user.id).await?;
    oauth::delete_clients(&mut tx, user.id).await?;
    ssh_keys::delete_all(&mut tx, user.id).await?;
    profiles::put(&mut tx, &Profile { deleted_at: Some(now), ..Profile::new(user.id) }).await?;
    tx.commit(None).await?;
    tracing::info!(actor = actor.name(), user.id = %user.id, "account deleted");
    Ok(account)
}

/// The same, of the field `email`.
fn address(email: &str) -> Result<String> {
    check_email(email).map_err(|error| Error::invalid(format!("email: {error}")))
}

/// A new password has been asked for, by whoever knows the address. An administrator makes out
/// what it is set by ([`reset`]): there is no mail.
pub async fn ask_reset(p: &Platform, email: &str) -> Result<()> {
    let email = address(email)?;
    if email.contains('\0') {
        return Ok(());
    }
    let p = p.clone();
    // Not waited for: the time of the answer would tell whether there is such an account.
    tokio::spawn(async move {
        let done: Result<()> = async {
            let Some(user) = users::by_email(&mut p.db.read().await?, &email).await? else { return Ok(()) };
            let mut tx = p.db.begin().await?;
            logins::ask_reset(&mut tx, user.id, p.cx.now()).await?;
            tx.commit(None).await?;
            tracing::info!(user = user.email, "a new password was asked for: paasd admin user:reset EMAIL");
            Ok(())
        }
        .await;
        if let Err(error) = done {
            tracing::warn!(%error, "a request for a new password could not be kept");
        }
    });
    Ok(())
}

/// A token to set a new password by, good for a day, and when its owner asked for it. An older
/// one ends.
pub async fn reset(p: &Platform, email: &str) -> Result<(String, Option<DateTime<Utc>>)> {
    let email = address(email)?;
    let token = secret::random_password();
    let mut tx = p.db.begin().await?;
    let user = users::by_email(&mut tx, &email).await?.ok_or_else(|| Error::not_found("user", &*email))?;
    let asked = logins::reset_asked(&mut tx, user.id).await?;
    let until = p.cx.now() + chrono::TimeDelta::days(1);
    logins::set_reset(&mut tx, user.id, &secret::token_hash(&token), until).await?;
    tx.commit(None).await?;
    Ok((token, asked))
}

/// Sets a new password by such a token, which is used up. Logins with the old password end;
/// tokens made for programs stay.
pub async fn finalize_reset(p: &Platform, token: &str, password: &str) -> Result<User> {
    let unknown = || {
        Error::NotFound(NotFound {
            resource: "password_reset",
            asked: "Couldn't find that password reset: it has been used, is older than a day, or was never made out. An administrator makes another with: paasd admin user:reset EMAIL".into(),
        })
    };
    // Before the token is looked at: a password that is refused must not use it up.
    check_password(password)?;
    if token.len() > 200 {
        return Err(unknown());
    }
    let new = hash(password).await?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let (user_id, until) = logins::take_reset(&mut tx, &secret::token_hash(token)).await?.ok_or_else(unknown)?;
    if until.is_none_or(|until| until <= now) {
        return Err(unknown());
    }
    let user = users::by_id(&mut tx, user_id).await?.ok_or_else(unknown)?;
    let user = User { password_hash: Some(new), updated_at: now, ..user };
    users::update(&mut tx, &user).await?;
    for row in authorizations::list(&mut tx, user.id).await?.into_iter().filter(|row| row.session) {
        authorizations::delete(&mut tx, user.id, row.id).await?;
    }
    tx.commit(None).await?;
    tracing::info!(user = user.email, "a new password was set by a reset");
    Ok(user)
}

fn check_password(password: &str) -> Result<()> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Error::invalid(format!("password: must have at least {SHORTEST_PASSWORD} characters.")));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Error::invalid(format!("password: may have at most {LONGEST_PASSWORD} bytes.")));
    }
    Ok(())
}

pub(super) async fn hash(password: &str) -> Result<String> {
    check_password(password)?;
    let password = password.to_owned();
    let _turn = CHECKS.acquire().await.map_err(|e| Error::internal("The password could not be kept.", e))?;
    tokio::task::spawn_blocking(move || secret::hash_password(&password))
        .await
        .map_err(|e| Error::internal("The password could not be kept.", e))?
        .map_err(|e| Error::internal("The password could not be kept.", e))
}
