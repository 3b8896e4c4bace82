//! Programs that users let into their accounts: who may come in, by which code, with which
//! token.
//!
//! A program's owner makes a client with an address. A user who wants the program in is sent to
//! `/oauth/authorize`, says yes there, and is sent back to that address with a code, which the
//! program trades for a token with its secret: once, within five minutes. A code that comes a
//! second time has been stolen by somebody, so what its first use gave is taken back.

use chrono::TimeDelta;
use uuid::Uuid;

use super::{
    Actor, Platform,
    scopes::Scopes,
    tokens::{self, Fresh},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    secret,
    store::{
        authorizations::{self, Authorization},
        oauth::{self, Client, Grant},
    },
};

/// How long a code is good.
pub const CODE_LASTS: TimeDelta = TimeDelta::minutes(5);

/// How long a program's token is good, in seconds; then it renews it. Heroku's figure.
const TOKEN_LASTS: i64 = 28_800;

/// A client with its secret opened.
#[derive(Clone)]
pub struct Shown {
    /// The row.
    pub client: Client,
    /// By which it proves itself.
    pub secret: String,
}

fn place(id: Uuid) -> String {
    format!("oauth-client/{id}")
}

fn open(p: &Platform, client: Client) -> Result<Shown> {
    let plain = p.cx.sealer().open(&place(client.id), &client.secret);
    let plain = plain.map_err(|e| Error::internal("The client's secret can't be read.", e))?;
    let secret = String::from_utf8(plain).map_err(|e| Error::internal("The client's secret can't be read.", e))?;
    Ok(Shown { client, secret })
}

fn name(text: &str) -> Result<String> {
    let name: String = text.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { Err(Error::invalid("name: a client needs a name.")) } else { Ok(name) }
}

/// An address to send users back to: over TLS, or to their own machine.
fn redirect_uri(text: &str) -> Result<String> {
    let bad = |why: &str| Error::invalid(format!("redirect_uri: {why}."));
    let url = url::Url::parse(text.trim()).map_err(|_| bad("it is not an address such as https://example.com/auth"))?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" if url.host_str().is_some() => {}
        "http" if local => {}
        _ => return Err(bad("it must begin with https://, or be on localhost")),
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it must have neither a user name nor a part after #"));
    }
    if text.len() > 2000 {
        return Err(bad("it is too long"));
    }
    Ok(url.to_string())
}

/// The actor's clients.
pub async fn clients(p: &Platform, actor: &Actor) -> Result<Vec<Shown>> {
    let rows = oauth::clients(&mut p.db.read().await?, actor.user.id).await?;
    rows.into_iter().map(|row| open(p, row)).collect()
}

/// One of them.
pub async fn client(p: &Platform, actor: &Actor, id: &str) -> Result<Shown> {
    open(p, any_client(p, id).await?).and_then(|shown| {
        let own = shown.client.user_id == actor.user.id;
        own.then_some(shown).ok_or_else(|| Error::not_found("oauth_client", id))
    })
}

/// A client, whosever it is; its secret stays closed.
pub async fn any_client(p: &Platform, id: &str) -> Result<Client> {
    let id: Uuid = id.parse().map_err(|_| Error::not_found("oauth_client", id))?;
    let found = oauth::client(&mut p.db.read().await?, id).await?;
    found.ok_or_else(|| Error::not_found("oauth_client", id.to_string()))
}

/// Makes a client.
pub async fn create_client(p: &Platform, actor: &Actor, called: &str, uri: &str) -> Result<Shown> {
    let (id, now, secret) = (new_id(), p.cx.now(), Uuid::new_v4().to_string());
    let client = Client {
        id,
        user_id: actor.user.id,
        name: name(called)?,
        redirect_uri: redirect_uri(uri)?,
        secret: p.cx.sealer().seal(&place(id), secret.as_bytes()),
        created_at: now,
        updated_at: now,
    };
    let mut tx = p.db.begin().await?;
    oauth::insert_client(&mut tx, &client).await?;
    tx.commit(None).await?;
    Ok(Shown { client, secret })
}

/// Changes name or address.
pub async fn update_client(p: &Platform, id: Uuid, called: Option<&str>, uri: Option<&str>) -> Result<Shown> {
    let (called, uri) = (called.map(name).transpose()?, uri.map(redirect_uri).transpose()?);
    let mut tx = p.db.begin().await?;
    let client = oauth::update_client(&mut tx, id, called.as_deref(), uri.as_deref(), p.cx.now()).await?;
    tx.commit(None).await?;
    open(p, client.ok_or_else(|| Error::not_found("oauth_client", id.to_string()))?)
}

/// Gives it another secret; the old one is no good any more, its tokens stay.
pub async fn rotate_client(p: &Platform, id: Uuid) -> Result<Shown> {
    let sealed = p.cx.sealer().seal(&place(id), Uuid::new_v4().to_string().as_bytes());
    let mut tx = p.db.begin().await?;
    let client = oauth::set_secret(&mut tx, id, &sealed, p.cx.now()).await?;
    tx.commit(None).await?;
    open(p, client.ok_or_else(|| Error::not_found("oauth_client", id.to_string()))?)
}

/// Ends a client, and every token that it has.
pub async fn delete_client(p: &Platform, actor: &Actor, shown: &Shown) -> Result<()> {
    let mut tx = p.db.begin().await?;
    oauth::delete_client(&mut tx, shown.client.id).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), client.id = %shown.client.id, "oauth client deleted");
    Ok(())
}

/// Whether a program is the one that it says; its row then.
pub async fn prove_client(p: &Platform, id: &str, secret: &str) -> Result<Client> {
    let wrong = || Error::Unauthorized("Invalid client: its id or its secret is not right.".into());
    let client =
        any_client(p, id).await.map_err(|error| if let Error::NotFound(_) = error { wrong() } else { error })?;
    let shown = open(p, client)?;
    if secret::same(shown.secret.as_bytes(), secret.as_bytes()) { Ok(shown.client) } else { Err(wrong()) }
}

/// The user says yes: a code for the program, and what stands behind it.
pub async fn approve(
    p: &Platform,
    actor: &Actor,
    client: &Client,
    scopes: &Scopes,
    description: &str,
) -> Result<(Grant, String)> {
    let now = p.cx.now();
    let code = Uuid::new_v4().to_string();
    let grant = Grant {
        id: new_id(),
        user_id: actor.user.id,
        client_id: client.id,
        authorization_id: new_id(),
        description: tokens::described(description),
        scope: scopes.to_string(),
        created_at: now,
        expires_at: now + CODE_LASTS,
        used_at: None,
    };
    let mut tx = p.db.begin().await?;
    tokens::hold(&mut tx, actor).await?;
    oauth::insert_grant(&mut tx, &grant, &secret::token_hash(&code)).await?;
    tx.commit(None).await?;
    Ok((grant, code))
}

/// A program as it proves itself: by its secret, and its id where it gives it.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// Its id.
    pub id: Option<String>,
    /// Its secret.
    pub secret: String,
}

/// Why a program gets no token.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not the program that it says.
    #[error("Invalid client: the secret is not that of the client that this was given to.")]
    Client,
    /// The code or the token to renew by is not good, or no more.
    #[error("Invalid grant: it is unknown, expired, or has been used.")]
    Grant,
    /// Something else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Other(error.into())
    }
}

async fn prove(p: &Platform, client_id: Uuid, proof: &Proof) -> Result<(), Refused> {
    let id = client_id.to_string();
    if proof.id.as_ref().is_some_and(|said| *said != id) {
        return Err(Refused::Client);
    }
    prove_client(p, &id, &proof.secret)
        .await
        .map(|_| ())
        .map_err(|error| if let Error::Unauthorized(_) = error { Refused::Client } else { Refused::Other(error) })
}

/// Trades a code for a token and one to renew it by.
pub async fn exchange(p: &Platform, code: &str, proof: &Proof) -> Result<Fresh, Refused> {
    let hash = secret::token_hash(code);
    let grant = oauth::grant(&mut p.db.read().await?, &hash).await?.ok_or(Refused::Grant)?;
    prove(p, grant.client_id, proof).await?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    if !oauth::take_grant(&mut tx, grant.id, now).await? {
        authorizations::delete(&mut tx, grant.user_id, grant.authorization_id).await?;
        tx.commit(None).await?;
        tracing::warn!(client.id = %grant.client_id, "a code came a second time: what it gave is taken back");
        return Err(Refused::Grant);
    }
    if grant.expires_at <= now {
        return Err(Refused::Grant);
    }
    let new = tokens::New {
        description: grant.description,
        scopes: Scopes::kept(&grant.scope),
        expires_in: Some(TOKEN_LASTS),
        session: false,
    };
    let (token, refresh) = (secret::new_token(), secret::new_token());
    let row = Authorization {
        id: grant.authorization_id,
        client_id: Some(grant.client_id),
        refreshable: true,
        ..tokens::row(p, grant.user_id, &new, &token)?
    };
    let refresh_hash = secret::token_hash(&refresh);
    authorizations::insert(&mut tx, &row, &secret::token_hash(&token), Some(&refresh_hash)).await?;
    tx.commit(None).await?;
    Ok(Fresh { row, token, refresh: Some(refresh) })
}

/// Trades the token to renew by for a new token; the last one ends. The one to renew by stays
/// as it is.
pub async fn refresh(p: &Platform, refresh: &str, proof: &Proof) -> Result<Fresh, Refused> {
    let refresh_hash = secret::token_hash(refresh);
    let row = authorizations::by_refresh(&mut p.db.read().await?, &refresh_hash).await?.ok_or(Refused::Grant)?;
    let client_id = row.client_id.ok_or(Refused::Grant)?;
    prove(p, client_id, proof).await?;
    let token = secret::new_token();
    let now = p.cx.now();
    let row = Authorization {
        hint: secret::token_hint(&token),
        updated_at: now,
        expires_at: Some(now + TimeDelta::seconds(TOKEN_LASTS)),
        ..row
    };
    let mut tx = p.db.begin().await?;
    // Its owner may just have taken the token to renew by back.
    if !authorizations::renew(&mut tx, &row, &secret::token_hash(&token), &refresh_hash).await? {
        return Err(Refused::Grant);
    }
    tx.commit(None).await?;
    Ok(Fresh { row, token, refresh: Some(refresh.to_owned()) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn users_are_sent_back_over_tls_or_to_their_own_machine() {
        for good in ["https://example.com/auth?a=b", "http://localhost:3000/cb", "http://127.0.0.1/", "http://[::1]:1/"]
        {
            assert!(redirect_uri(good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.com/auth",
            "http://localhost.example.com/",
            "javascript:alert(1)",
            "https://example.com/#x",
            "https://you@example.com/",
            "example.com",
            "",
        ] {
            assert!(redirect_uri(bad).is_err(), "{bad}");
        }
    }
}
