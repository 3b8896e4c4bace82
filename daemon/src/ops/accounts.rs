//! Accounts and their passwords. Their tokens are in [`super::tokens`].

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Actor, Platform, members};
use crate::{
    context::new_id,
    error::{Error, NotFound, Result},
    secret,
    store::{
        Conn, authorizations, logins, oauth, pipelines,
        profiles::{self, Profile},
        ssh_keys,
        teams::{self, Team},
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
    let id = match users::by_email(&mut tx, &email).await? {
        Some(user) => {
            if let Some(hash) = &password_hash {
                replace_password(&mut tx, user.id, hash, None, now).await?;
            }
            if admin {
                users::set_admin(&mut tx, user.id, true, now).await?;
            }
            user.id
        }
        None => {
            let user = User {
                id: new_id(),
                email: email.clone(),
                name: None,
                password_hash,
                admin,
                created_at: now,
                updated_at: now,
                deleted_at: None,
            };
            users::insert(&mut tx, &user).await?;
            user.id
        }
    };
    let user = users::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("user", email))?;
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
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && !email.ends_with(users::NOWHERE);
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
    let login = check(p, (peer, &email), &email, password).await?;
    if let Login::In(actor) = &login {
        let mut tx = p.db.begin().await?;
        profiles::logged_in(&mut tx, actor.user.id, p.cx.now()).await?;
        tx.commit(None).await?;
    }
    Ok(login)
}

/// Whether this address has this password; tries are counted by who says so, and for whom.
async fn check(p: &Platform, (peer, account): (&str, &str), email: &str, password: &str) -> Result<Login> {
    if let Some(wait) = p.guesses.try_one(peer, account, p.cx.now()) {
        return Ok(Login::Wait(u64::try_from(wait.num_seconds()).unwrap_or_default() + 1));
    }
    let user = users::by_email(&mut p.db.read().await?, email).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = is_right(hash, password).await?;
    let Some(user) = user.filter(|_| right) else {
        tracing::info!(peer, "a login with a wrong address or password");
        return Ok(Login::Wrong);
    };
    p.guesses.was_right(peer, account, p.cx.now());
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
    /// The team that its new apps belong to, where it has chosen one.
    pub team: Option<Team>,
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
        Ok(id) => users::present(&mut c, id).await?,
        Err(_) => users::by_email(&mut c, &who.to_lowercase()).await?,
    };
    let user = user.ok_or_else(|| Error::not_found("user", who))?;
    with_profile(&mut c, user).await
}

/// An account with what it has set.
pub async fn of(p: &Platform, user: User) -> Result<Account> {
    with_profile(&mut p.db.read().await?, user).await
}

async fn with_profile(c: &mut Conn, user: User) -> Result<Account> {
    let profile = profiles::find(c, user.id).await?.unwrap_or_else(|| Profile::new(user.id));
    let team = teams::default_of(c, user.id).await?;
    Ok(Account { user, profile, team })
}

/// Locks an account that was read before: as it is now. `proven`: its owner has shown the password
/// that it had then, which must still be it.
async fn lock(c: &mut Conn, account: &Account, proven: bool) -> Result<User> {
    let user = users::lock(c, account.user.id).await?;
    let user = user.ok_or_else(|| Error::not_found("user", account.user.id.to_string()))?;
    if proven && user.password_hash != account.user.password_hash {
        return Err(Error::Conflict("The password has changed meanwhile. Try again with the new one.".into()));
    }
    Ok(user)
}

/// Sets a new password, and ends what came in by the old one, but for the token `kept`.
async fn replace_password(c: &mut Conn, id: Uuid, hash: &str, kept: Option<Uuid>, now: DateTime<Utc>) -> Result<()> {
    users::set_password(c, id, hash, now).await?;
    logins::delete_all(c, id).await?;
    logins::delete_reset(c, id).await?;
    oauth::delete_grants(c, id).await?;
    let ended = authorizations::delete_logins(c, id, kept).await?;
    tracing::info!(user.id = %id, ended, "a new password was set; what came in by the old one has ended");
    Ok(())
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
    // They are counted by themselves: strangers who guess at logins don't shut the owner out here.
    let (peer, counted) = (format!("account {}", actor.user.id), format!("proof of {}", actor.user.id));
    match check(p, (&peer, &counted), &account.user.email, password).await? {
        Login::In(_) => Ok(()),
        Login::Wrong => Err(Error::Unauthorized("The current password is not right.".into())),
        Login::Wait(seconds) => {
            Err(Error::Forbidden(format!("The current password was wrong too often. Try again in {seconds} seconds.")))
        }
    }
}

/// Changes an account: what is given of it, and nothing else.
pub async fn update(p: &Platform, actor: &Actor, account: Account, changes: Changes) -> Result<Account> {
    let id = account.user.id;
    let email = changes.email.map(|email| address(&email)).transpose()?.filter(|email| *email != account.user.email);
    let proven = email.is_some() || changes.new_password.is_some();
    if proven {
        let what = if email.is_some() { "change the address" } else { "set a new one" };
        prove(p, actor, &account, changes.password.as_deref(), what).await?;
    }
    let hash = match &changes.new_password {
        Some(new) => Some(hash(new).await?),
        None => None,
    };
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    lock(&mut tx, &account, proven && actor.user.id == id).await?;
    if let Some(name) = changes.name {
        users::set_name(&mut tx, id, tidy_name(name).as_deref(), now).await?;
    }
    if let Some(hash) = &hash {
        replace_password(&mut tx, id, hash, actor.authorization_id, now).await?;
    }
    if let Some(email) = email {
        users::set_email(&mut tx, id, &email, now).await.map_err(|e| {
            if e.is_duplicate() { Error::invalid(format!("email: {email} has an account already.")) } else { e.into() }
        })?;
    }
    if changes.allow_tracking.is_some() || changes.beta.is_some() {
        let profile = with_profile(&mut tx, account.user).await?.profile;
        let allow_tracking = changes.allow_tracking.unwrap_or(profile.allow_tracking);
        profiles::set_flags(&mut tx, id, allow_tracking, changes.beta.unwrap_or(profile.beta)).await?;
    }
    let user = users::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("user", id.to_string()))?;
    let account = with_profile(&mut tx, user).await?;
    tx.commit(None).await?;
    Ok(account)
}

/// Sets what clients remember for an account: `change` makes it of what is kept at the moment.
pub async fn set_preferences(
    p: &Platform,
    account: Account,
    change: impl FnOnce(&serde_json::Value) -> Result<serde_json::Value>,
) -> Result<Account> {
    let id = account.user.id;
    let mut tx = p.db.begin().await?;
    let user = users::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("user", id.to_string()))?;
    let mut account = with_profile(&mut tx, user).await?;
    account.profile.preferences = sqlx::types::Json(change(&account.profile.preferences)?);
    profiles::set_preferences(&mut tx, id, &account.profile.preferences).await?;
    tx.commit(None).await?;
    Ok(account)
}

/// Ends an account: its tokens, keys and programs go at once, and its address is free. Its
/// row stays without a name, for releases to tell who made them.
pub async fn delete(p: &Platform, actor: &Actor, account: Account, password: Option<&str>) -> Result<Account> {
    prove(p, actor, &account, password, "delete the account").await?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    members::check_may_go(&mut tx, &account.user, now).await?;
    let user = lock(&mut tx, &account, actor.user.id == account.user.id).await?;
    let mut apps = users::apps_of(&mut tx, user.id).await?;
    apps.extend(pipelines::of_user(&mut tx, user.id).await?.into_iter().map(|name| format!("the pipeline {name}")));
    if let Some(first) = apps.first() {
        let others = if apps.len() > 1 { format!(" and {} more", apps.len() - 1) } else { String::new() };
        return Err(Error::invalid(format!(
            "{} still owns {first}{others}. Transfer or destroy its apps and pipelines first, then delete the account.",
            user.email
        )));
    }
    users::set_deleted(&mut tx, user.id, now).await?;
    users::leave(&mut tx, user.id).await?;
    authorizations::delete_all(&mut tx, user.id).await?;
    logins::delete_all(&mut tx, user.id).await?;
    logins::delete_reset(&mut tx, user.id).await?;
    oauth::delete_grants(&mut tx, user.id).await?;
    oauth::delete_clients(&mut tx, user.id).await?;
    ssh_keys::delete_all(&mut tx, user.id).await?;
    profiles::delete(&mut tx, user.id).await?;
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

/// Sets a new password by such a token, which is used up. What came in by the old one ends; tokens
/// made for programs stay.
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
    let token = secret::token_hash(token);
    // Hashing is work, and whoever asks for it may have made the token up.
    if !logins::is_reset(&mut p.db.read().await?, &token).await? {
        return Err(unknown());
    }
    let new = hash(password).await?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let (user_id, until) = logins::take_reset(&mut tx, &token).await?.ok_or_else(unknown)?;
    if until.is_none_or(|until| until <= now) {
        return Err(unknown());
    }
    users::lock(&mut tx, user_id).await?.ok_or_else(unknown)?;
    replace_password(&mut tx, user_id, &new, None, now).await?;
    let user = users::lock(&mut tx, user_id).await?.ok_or_else(unknown)?;
    tx.commit(None).await?;
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
