//! Host names at which apps answer besides NAME.BASE.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A custom domain.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
pub struct Domain {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// In lower case; may begin with `*.`.
    pub hostname: String,
    /// `custom`.
    pub kind: String,
    /// The certificate that it is served with.
    pub sni_endpoint_id: Option<Uuid>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// All of an app, by name.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Domain>> {
    rows!(c, Domain, fetch_all, "select * from domains where app_id = $1 order by hostname", app_id)
}

/// All of all apps.
pub async fn all(c: &mut Conn) -> StoreResult<Vec<Domain>> {
    rows!(c, Domain, fetch_all, "select * from domains order by hostname")
}

/// By host name, whosever it is.
pub async fn by_hostname(c: &mut Conn, hostname: &str) -> StoreResult<Option<Domain>> {
    rows!(c, Domain, fetch_optional, "select * from domains where hostname = $1", hostname)
}

/// Adds one.
pub async fn insert(c: &mut Conn, domain: &Domain) -> StoreResult<()> {
    execute!(
        c,
        "insert into domains (id, app_id, hostname, kind, sni_endpoint_id, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        domain.id,
        domain.app_id,
        &domain.hostname,
        &domain.kind,
        domain.sni_endpoint_id,
        domain.created_at,
        domain.updated_at
    )?;
    Ok(())
}

/// By identity, as it stands.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Domain>> {
    rows!(c, Domain, fetch_optional, "select * from domains where id = $1", id)
}

/// Serves it with another certificate.
pub async fn set_sni_endpoint(
    c: &mut Conn,
    id: Uuid,
    sni_endpoint_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    execute!(c, "update domains set sni_endpoint_id = $2, updated_at = $3 where id = $1", id, sni_endpoint_id, now)?;
    Ok(())
}

/// Removes all of an app.
pub async fn delete_all(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from domains where app_id = $1", app_id)?;
    Ok(())
}

/// Removes one; whether it was there.
pub async fn delete(c: &mut Conn, id: Uuid) -> StoreResult<bool> {
    Ok(execute!(c, "delete from domains where id = $1", id)? > 0)
}
