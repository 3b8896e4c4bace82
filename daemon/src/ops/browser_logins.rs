//! Logins that a command line begins and a browser ends: Heroku's `heroku login`.
//!
//! The command line gets two addresses and a token. Its user opens the one in a browser, says
//! who they are there, and says yes; meanwhile the command line waits at the other, where it
//! gets an API token, made at that moment, once.

use chrono::TimeDelta;

use super::{
    Actor, Platform,
    scopes::Scopes,
    tokens::{self, New},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    secret,
    store::{
        Wake, authorizations,
        logins::{self, BrowserLogin},
        users,
    },
};

/// How long one may take.
pub const LASTS: TimeDelta = TimeDelta::minutes(10);

/// How long the login is good, in seconds: a year, as Heroku's.
const TOKEN_LASTS: i64 = 365 * 86_400;

/// Most at once of one peer, the newest: whoever begins one need not have an account.
const MOST_OF_ONE: i64 = 20;

/// Most at once of all together.
const MOST: i64 = 10_000;

/// The kind of wake when one has ended.
pub const WAKE: &str = "login.decide";

/// A login that has begun, with what is told once.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The secret of its page.
    pub page: String,
    /// What the command line waits with.
    pub token: String,
}

/// How one stands.
#[derive(Debug, Clone)]
pub enum State {
    /// Nobody has said anything yet.
    Waiting,
    /// The user said no.
    Denied,
    /// Its time is over, or it never was.
    Over,
    /// The user said yes; the token is shown this once.
    In(String),
}

/// Begins one. `description` says who asks, in their own words; `peer` is where from.
pub async fn begin(p: &Platform, peer: &str, description: Option<&str>) -> Result<Begun> {
    let now = p.cx.now();
    let row = BrowserLogin {
        id: new_id(),
        peer: peer.to_owned(),
        description: tokens::described(description.unwrap_or("Login from a command line")),
        state: "waiting".into(),
        user_id: None,
        created_at: now,
        expires_at: now + LASTS,
    };
    let begun = Begun { page: secret::random_password(), token: secret::random_password() };
    let mut tx = p.db.begin().await?;
    logins::insert(&mut tx, &row, &secret::token_hash(&begun.page), &secret::token_hash(&begun.token)).await?;
    logins::trim(&mut tx, peer, MOST_OF_ONE).await?;
    if logins::count(&mut tx, now).await? > MOST {
        return Err(Error::Unavailable("Too many logins are under way. Try again in some minutes.".into()));
    }
    tx.commit(None).await?;
    Ok(begun)
}

/// The one of a page, while it waits.
pub async fn of_page(p: &Platform, page: &str) -> Result<Option<BrowserLogin>> {
    let row = logins::by_page(&mut p.db.read().await?, &secret::token_hash(page)).await?;
    Ok(row.filter(|row| row.state == "waiting" && row.expires_at > p.cx.now()))
}

/// The user says yes (with who they are) or no; whether it was still waiting.
pub async fn decide(p: &Platform, login: &BrowserLogin, actor: Option<&Actor>) -> Result<bool> {
    let mut tx = p.db.begin().await?;
    if let Some(actor) = actor {
        tokens::hold(&mut tx, actor).await?;
    }
    let state = if actor.is_some() { "approved" } else { "denied" };
    let done = logins::decide(&mut tx, login.id, state, actor.map(|actor| actor.user.id)).await?;
    tx.commit(Some(Wake { app_id: None, kind: WAKE })).await?;
    Ok(done)
}

/// How the one stands that waits with this token; one that has ended is taken away.
pub async fn look(p: &Platform, token: &str) -> Result<State> {
    let row = logins::by_token(&mut p.db.read().await?, &secret::token_hash(token)).await?;
    let Some(row) = row.filter(|row| row.expires_at > p.cx.now()) else { return Ok(State::Over) };
    if row.state == "waiting" {
        return Ok(State::Waiting);
    }
    let new =
        New { description: row.description, scopes: Scopes::global(), expires_in: Some(TOKEN_LASTS), session: true };
    let mut tx = p.db.begin().await?;
    if !logins::take(&mut tx, row.id).await? {
        return Ok(State::Over);
    }
    let Some(user_id) = row.user_id else {
        tx.commit(None).await?;
        return Ok(State::Denied);
    };
    if users::lock(&mut tx, user_id).await?.is_none() {
        return Ok(State::Over);
    }
    let token = secret::new_token();
    let row = tokens::row(p, user_id, &new, &token)?;
    authorizations::insert(&mut tx, &row, &secret::token_hash(&token), None).await?;
    tx.commit(None).await?;
    Ok(State::In(token))
}
