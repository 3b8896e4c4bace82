//! API tokens: made, looked up, renewed, revoked.

use uuid::Uuid;

use super::{
    Actor, Platform,
    scopes::{Need, Scopes},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    secret,
    store::{
        Conn,
        authorizations::{self, Authorization},
        users,
    },
};

/// The longest time that a token may be made for, in seconds.
const LONGEST: i64 = 10 * 365 * 86_400;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct New {
    /// What for.
    pub description: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Seconds until it ends; none: it doesn't.
    pub expires_in: Option<i64>,
    /// It is a login.
    pub session: bool,
}

/// Who came with a token, and what they may do with it.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Who.
    pub actor: Actor,
    /// What.
    pub scopes: Scopes,
}

impl Bearer {
    /// The actor; refused if the token may not do as much.
    pub fn with(self, need: Need) -> Result<Actor> {
        if self.scopes.allow(need) {
            return Ok(self.actor);
        }
        let enough: Vec<&str> = need.enough().iter().map(|scope| scope.name()).collect();
        Err(Error::Forbidden(format!(
            "This token has the scope {}, which is not enough: this takes {}.",
            self.scopes,
            enough.join(" or ")
        )))
    }
}

/// Makes a token that may do everything; it is shown this once.
pub async fn create_token(
    p: &Platform,
    user_id: Uuid,
    description: &str,
    expires_in: Option<i64>,
) -> Result<(Authorization, String)> {
    let new = New { description: description.to_owned(), scopes: Scopes::global(), expires_in, session: false };
    let token = secret::new_token();
    let row = row(p, user_id, &new, &token)?;
    let mut tx = p.db.begin().await?;
    authorizations::insert(&mut tx, &row, &secret::token_hash(&token), None).await?;
    tx.commit(None).await?;
    Ok((row, token))
}

/// Makes a token for somebody who has shown a token or their password; it is shown this once.
pub async fn create(p: &Platform, actor: &Actor, new: New) -> Result<(Authorization, String)> {
    let token = secret::new_token();
    let by_password = actor.authorization_id.is_none();
    let row = Authorization { by_password, ..row(p, actor.user.id, &new, &token)? };
    let mut tx = p.db.begin().await?;
    hold(&mut tx, actor).await?;
    authorizations::insert(&mut tx, &row, &secret::token_hash(&token), None).await?;
    tx.commit(None).await?;
    Ok((row, token))
}

/// Locks the actor's account: refused where it is gone, or the password that they came with is
/// its password no more.
pub(super) async fn hold(c: &mut Conn, actor: &Actor) -> Result<()> {
    let by_password = actor.authorization_id.is_none();
    let user = users::lock(c, actor.user.id).await?;
    if user.is_none_or(|user| by_password && user.password_hash != actor.user.password_hash) {
        return Err(Error::Unauthorized("The account has changed meanwhile. Log in again.".into()));
    }
    Ok(())
}

/// The row of a new token.
pub(super) fn row(p: &Platform, user_id: Uuid, new: &New, token: &str) -> Result<Authorization> {
    let now = p.cx.now();
    let expires_at = match new.expires_in {
        Some(seconds) if !(1..=LONGEST).contains(&seconds) => {
            return Err(Error::invalid("expires_in: must be a number of seconds from 1 to ten years."));
        }
        Some(seconds) => Some(now + chrono::Duration::seconds(seconds)),
        None => None,
    };
    Ok(Authorization {
        id: new_id(),
        user_id,
        description: described(&new.description),
        scope: new.scopes.to_string(),
        hint: secret::token_hint(token),
        session: new.session,
        by_password: false,
        client_id: None,
        refreshable: false,
        created_at: now,
        updated_at: now,
        expires_at,
    })
}

/// A description in a fit form: one line of at most 200 letters.
pub(super) fn described(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Who has this token, whatever it may do.
pub async fn bearer(p: &Platform, token: &str) -> Result<Option<Bearer>> {
    if token.is_empty() || token.len() > 200 {
        return Ok(None);
    }
    let mut c = p.db.read().await?;
    let found = authorizations::holder(&mut c, &secret::token_hash(token), p.cx.now()).await?;
    Ok(found.map(|holder| Bearer {
        scopes: Scopes::kept(&holder.scope),
        actor: Actor { user: holder.user, authorization_id: Some(holder.authorization_id) },
    }))
}

/// Who has this token, if it may do everything. Where less is needed, ask
/// [`authenticate_for`].
pub async fn authenticate(p: &Platform, token: &str) -> Result<Option<Actor>> {
    let all = Need { what: super::scopes::What::Account, write: true };
    Ok(bearer(p, token).await?.filter(|bearer| bearer.scopes.allow(all)).map(|bearer| bearer.actor))
}

/// Who has this token; refused if it is a good one that may not do as much.
pub async fn authenticate_for(p: &Platform, token: &str, need: Need) -> Result<Option<Actor>> {
    let Some(bearer) = bearer(p, token).await? else { return Ok(None) };
    bearer.with(need).map(Some)
}

/// The actor's tokens, logins not among them.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<Authorization>> {
    let all = authorizations::list(&mut p.db.read().await?, actor.user.id).await?;
    Ok(all.into_iter().filter(|row| !row.session && is_alive(p, row)).collect())
}

/// The actor's logins.
pub async fn sessions(p: &Platform, actor: &Actor) -> Result<Vec<Authorization>> {
    let all = authorizations::list(&mut p.db.read().await?, actor.user.id).await?;
    Ok(all.into_iter().filter(|row| row.session && is_alive(p, row)).collect())
}

fn is_alive(p: &Platform, row: &Authorization) -> bool {
    // One that can be renewed is not at its end with its token.
    row.refreshable || row.expires_at.is_none_or(|at| at > p.cx.now())
}

/// One of the actor's tokens or logins; `resource` is its kind in Heroku's words.
pub async fn find(p: &Platform, actor: &Actor, resource: &'static str, id: &str) -> Result<Authorization> {
    let id: Uuid = id.parse().map_err(|_| Error::not_found(resource, id))?;
    authorizations::find(&mut p.db.read().await?, actor.user.id, id)
        .await?
        .ok_or_else(|| Error::not_found(resource, id.to_string()))
}

/// Changes what a token is for, and whose program has it.
pub async fn update(
    p: &Platform,
    row: &Authorization,
    description: Option<&str>,
    client_id: Option<Uuid>,
) -> Result<Authorization> {
    let mut tx = p.db.begin().await?;
    let description = description.map(described);
    let changed = authorizations::update(&mut tx, row.id, description.as_deref(), client_id, p.cx.now()).await?;
    tx.commit(None).await?;
    changed.ok_or_else(|| Error::not_found("authorization", row.id.to_string()))
}

/// A token, and the one to renew it by, as they are told once.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// What stands behind them.
    pub row: Authorization,
    /// The token.
    pub token: String,
    /// The one to renew it by.
    pub refresh: Option<String>,
}

/// Gives an authorization other tokens: the old ones end at once. What was to end after a time
/// ends after as long again.
pub async fn regenerate(p: &Platform, actor: &Actor, row: Authorization) -> Result<Fresh> {
    let fresh =
        Fresh { token: secret::new_token(), refresh: row.refreshable.then(secret::new_token), row: renewed(p, row) };
    let row = Authorization { hint: secret::token_hint(&fresh.token), ..fresh.row };
    let mut tx = p.db.begin().await?;
    if !authorizations::set_token(&mut tx, &row, &secret::token_hash(&fresh.token)).await? {
        return Err(Error::not_found("authorization", row.id.to_string()));
    }
    if let Some(refresh) = &fresh.refresh {
        authorizations::set_refresh(&mut tx, row.id, &secret::token_hash(refresh)).await?;
    }
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), authorization.id = %row.id, "token regenerated");
    Ok(Fresh { row, ..fresh })
}

/// The row with its time begun anew.
pub(super) fn renewed(p: &Platform, row: Authorization) -> Authorization {
    let now = p.cx.now();
    // A token's time began when it was last changed; a changed description makes it look
    // shorter, never longer than it was.
    let lasts = row.expires_at.map(|at| (at - row.created_at.max(row.updated_at)).max(chrono::TimeDelta::minutes(1)));
    Authorization { updated_at: now, expires_at: lasts.map(|lasts| now + lasts), ..row }
}

/// Ends a token at once.
pub async fn revoke(p: &Platform, actor: &Actor, row: &Authorization) -> Result<()> {
    let mut tx = p.db.begin().await?;
    authorizations::delete(&mut tx, actor.user.id, row.id).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), authorization.id = %row.id, description = row.description, "token revoked");
    Ok(())
}
