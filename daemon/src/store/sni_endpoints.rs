//! Certificates that apps have brought, and those that were got for them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A certificate with its key.
#[derive(Clone, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
pub struct SniEndpoint {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// Its name, of which there is one in the installation.
    pub name: String,
    /// Certificate and what it is signed by, PEM.
    pub certificate_chain: String,
    /// The key, PEM, sealed. Never written elsewhere.
    #[serde(skip)]
    pub private_key: Vec<u8>,
    /// Another one with every certificate.
    pub certificate_id: Uuid,
    /// Whether somebody whom this machine trusts had signed it when it came.
    pub ca_signed: bool,
    /// Whether it was got automatically.
    #[serde(default)]
    pub acm: bool,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

impl std::fmt::Debug for SniEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SniEndpoint").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// All of an app, by name.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<SniEndpoint>> {
    rows!(c, SniEndpoint, fetch_all, "select * from sni_endpoints where app_id = $1 order by name", app_id)
}

/// All of all apps.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<SniEndpoint>> {
    rows!(c, SniEndpoint, fetch_all, "select * from sni_endpoints order by created_at, id")
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<SniEndpoint>> {
    rows!(c, SniEndpoint, fetch_optional, "select * from sni_endpoints where id = $1", id)
}

/// Adds one.
pub async fn insert(c: &mut Conn, row: &SniEndpoint) -> StoreResult<()> {
    execute!(
        c,
        "insert into sni_endpoints (id, app_id, name, certificate_chain, private_key, certificate_id, ca_signed, acm, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        row.id,
        row.app_id,
        &row.name,
        &row.certificate_chain,
        &row.private_key,
        row.certificate_id,
        row.ca_signed,
        row.acm,
        row.created_at,
        row.updated_at
    )?;
    Ok(())
}

/// Writes another certificate; whether it is there.
pub async fn update(c: &mut Conn, row: &SniEndpoint) -> StoreResult<bool> {
    let done = execute!(
        c,
        "update sni_endpoints set certificate_chain = $2, private_key = $3, certificate_id = $4, ca_signed = $5, updated_at = $6 where id = $1",
        row.id,
        &row.certificate_chain,
        &row.private_key,
        row.certificate_id,
        row.ca_signed,
        row.updated_at
    )?;
    Ok(done > 0)
}

/// Removes all of an app.
pub async fn delete_all(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from sni_endpoints where app_id = $1", app_id)?;
    Ok(())
}

/// Those that were got automatically and serve no domain, or whose app wants none any more.
pub async fn unused(c: &mut Conn) -> StoreResult<Vec<SniEndpoint>> {
    rows!(
        c,
        SniEndpoint,
        fetch_all,
        "select * from sni_endpoints where acm and (not exists (select 1 from domains where domains.sni_endpoint_id = sni_endpoints.id) or app_id in (select id from apps where not acm))"
    )
}

/// Removes one; its domains are served with the router's own again. Whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from sni_endpoints where id = $1", id)? > 0)
}
