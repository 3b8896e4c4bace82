//! `/account/keys`: SSH keys.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
};
use crate::{
    ops::{Actor, Platform, ssh_keys},
    store::ssh_keys::SshKey,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/account/keys", all)
        .post("/account/keys", add)
        .get("/account/keys/{key}", info)
        .delete("/account/keys/{key}", remove)
}

fn shown(actor: &Actor, key: &SshKey) -> wire::Key {
    wire::Key {
        comment: key.comment.clone(),
        created_at: key.created_at,
        email: actor.user.email.clone(),
        fingerprint: key.fingerprint.clone(),
        id: key.id,
        public_key: key.public_key.clone(),
        updated_at: key.updated_at,
    }
}

async fn all(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Key>> {
    let items = ssh_keys::list(&p, &actor).await?.iter().map(|key| shown(&actor, key)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Key| item.id.to_string()))
}

async fn add(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::KeyCreate>,
) -> ApiResult<Created<wire::Key>> {
    let key = ssh_keys::add(&p, &actor, &body.public_key).await?;
    Ok(Created(shown(&actor, &key)))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(key): Path<String>) -> ApiResult<Json<wire::Key>> {
    Ok(Json(shown(&actor, &ssh_keys::find(&p, &actor, &key).await?)))
}

async fn remove(State(p): State<Platform>, Auth(actor): Auth, Path(key): Path<String>) -> ApiResult<Json<wire::Key>> {
    let key = ssh_keys::find(&p, &actor, &key).await?;
    ssh_keys::remove(&p, &key).await?;
    Ok(Json(shown(&actor, &key)))
}
