//! Automatic certificates: our accounts at authorities, and how far each domain's is.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
    domains::Domain,
};

/// An account at a certificate authority.
#[derive(Clone, sqlx::FromRow)]
pub struct Account {
    /// The address of the authority's directory.
    pub directory: String,
    /// The account's own address; none until it is registered.
    pub url: Option<String>,
    /// Its key, PKCS#8, sealed.
    pub private_key: Vec<u8>,
    /// The authority takes nothing from us until then.
    pub blocked_until: Option<DateTime<Utc>>,
    /// When made.
    pub created_at: DateTime<Utc>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("directory", &self.directory).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The automatic certificate of a domain.
#[derive(Clone, sqlx::FromRow)]
pub struct Certificate {
    /// Of which domain.
    pub domain_id: Uuid,
    /// Of which app.
    pub app_id: Uuid,
    /// In Heroku's words: `pending`, `dns-verified`, `verified`, `cert issued`, `failing`, `failed`.
    pub status: String,
    /// Why, in a sentence for the app's user.
    pub reason: Option<String>,
    /// The directory of the authority that is asked, or that has signed the one that is there.
    pub directory: Option<String>,
    /// The order that is under way.
    pub order_url: Option<String>,
    /// The key of the certificate that is under way, PEM, sealed.
    pub private_key: Option<Vec<u8>>,
    /// What the router is asked for.
    pub challenge_token: Option<String>,
    /// And its answer.
    pub challenge_answer: Option<String>,
    /// The certificate that carries the answer, PEM, where TLS is asked.
    pub challenge_chain: Option<String>,
    /// Its key, PEM. It opens nothing.
    pub challenge_key: Option<String>,
    /// Failures in a row.
    pub attempts: i64,
    /// When it is looked at again.
    pub next_at: DateTime<Utc>,
    /// When the certificate that is there is to be renewed.
    pub renew_at: Option<DateTime<Utc>>,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("domain_id", &self.domain_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What the router has to answer for a name.
#[derive(Debug, sqlx::FromRow)]
pub struct Challenge {
    /// The name.
    pub hostname: String,
    /// What is asked for.
    pub challenge_token: String,
    /// The answer.
    pub challenge_answer: String,
    /// The certificate that carries it.
    pub challenge_chain: Option<String>,
    /// Its key.
    pub challenge_key: Option<String>,
}

/// The account at an authority.
pub async fn account(c: &mut Conn, directory: &str) -> StoreResult<Option<Account>> {
    rows!(c, Account, fetch_optional, "select * from acme_accounts where directory = $1", directory)
}

/// Adds or changes one.
pub async fn save_account(c: &mut Conn, row: &Account) -> StoreResult<()> {
    execute!(
        c,
        "insert into acme_accounts (directory, url, private_key, blocked_until, created_at) values ($1, $2, $3, $4, $5) on conflict (directory) do update set url = excluded.url, private_key = excluded.private_key, blocked_until = excluded.blocked_until",
        &row.directory,
        &row.url,
        &row.private_key,
        row.blocked_until,
        row.created_at
    )?;
    Ok(())
}

/// That of a domain.
pub async fn by_domain(c: &mut Conn, domain_id: Uuid) -> StoreResult<Option<Certificate>> {
    rows!(c, Certificate, fetch_optional, "select * from acme_certificates where domain_id = $1", domain_id)
}

/// Those of an app.
pub async fn of_app(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Certificate>> {
    rows!(c, Certificate, fetch_all, "select * from acme_certificates where app_id = $1", app_id)
}

/// Those that are to be looked at by now, the longest due first.
pub async fn due(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<Vec<Certificate>> {
    rows!(
        c,
        Certificate,
        fetch_all,
        "select * from acme_certificates where next_at <= $1 order by next_at, domain_id limit 100",
        now
    )
}

/// When the next one after that is.
pub async fn next(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<Option<DateTime<Utc>>> {
    let row: Option<(DateTime<Utc>,)> = rows!(
        c,
        (DateTime<Utc>,),
        fetch_optional,
        "select next_at from acme_certificates where next_at > $1 order by next_at limit 1",
        now
    )?;
    Ok(row.map(|(at,)| at))
}

/// What the router has to answer.
pub async fn challenges(c: &mut Conn) -> StoreResult<Vec<Challenge>> {
    rows!(
        c,
        Challenge,
        fetch_all,
        "select domains.hostname, challenge_token, challenge_answer, challenge_chain, challenge_key from acme_certificates join domains on domains.id = domain_id where challenge_token is not null and challenge_answer is not null order by domains.hostname"
    )
}

/// Domains that should have an automatic certificate and have no row here. One that has a
/// certificate of its own needs none.
pub async fn missing(c: &mut Conn) -> StoreResult<Vec<Domain>> {
    rows!(
        c,
        Domain,
        fetch_all,
        "select * from domains where app_id in (select id from apps where acm and not deleting) and (sni_endpoint_id is null or sni_endpoint_id in (select id from sni_endpoints where acm)) and not exists (select 1 from acme_certificates where domain_id = domains.id) order by created_at, id"
    )
}

/// Removes those that are wanted no more.
pub async fn delete_unwanted(c: &mut Conn) -> StoreResult<u64> {
    execute!(
        c,
        "delete from acme_certificates where app_id in (select id from apps where not acm or deleting) or domain_id in (select id from domains where sni_endpoint_id in (select id from sni_endpoints where not acm))"
    )
}

/// Makes those due whose certificate was taken from its domain.
pub async fn renew_lost(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<u64> {
    execute!(
        c,
        "update acme_certificates set status = 'pending', reason = null, renew_at = null, attempts = 0, next_at = $1, updated_at = $1 where status = 'cert issued' and domain_id in (select id from domains where sni_endpoint_id is null)",
        now
    )
}

/// Those that are served and not yet to be renewed, the oldest first.
pub async fn at_rest(c: &mut Conn, now: DateTime<Utc>) -> StoreResult<Vec<Certificate>> {
    rows!(
        c,
        Certificate,
        fetch_all,
        "select * from acme_certificates where renew_at > $1 and order_url is null order by created_at, domain_id",
        now
    )
}

/// Makes due what has failed.
pub async fn refresh(c: &mut Conn, app_id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "update acme_certificates set attempts = 0, next_at = $2, updated_at = $2 where app_id = $1 and (attempts > 0 or renew_at is null)",
        app_id,
        now
    )?;
    Ok(())
}

/// Adds one.
pub async fn insert(c: &mut Conn, row: &Certificate) -> StoreResult<()> {
    execute!(
        c,
        "insert into acme_certificates (domain_id, app_id, status, attempts, next_at, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7)",
        row.domain_id,
        row.app_id,
        &row.status,
        row.attempts,
        row.next_at,
        row.created_at,
        row.updated_at
    )?;
    Ok(())
}

/// Writes all of one; whether it is there.
pub async fn update(c: &mut Conn, row: &Certificate) -> StoreResult<bool> {
    let done = execute!(
        c,
        "update acme_certificates set status = $2, reason = $3, directory = $4, order_url = $5, private_key = $6, challenge_token = $7, challenge_answer = $8, challenge_chain = $9, challenge_key = $10, attempts = $11, next_at = $12, renew_at = $13, updated_at = $14 where domain_id = $1",
        row.domain_id,
        &row.status,
        &row.reason,
        &row.directory,
        &row.order_url,
        &row.private_key,
        &row.challenge_token,
        &row.challenge_answer,
        &row.challenge_chain,
        &row.challenge_key,
        row.attempts,
        row.next_at,
        row.renew_at,
        row.updated_at
    )?;
    Ok(done > 0)
}

/// Removes all of an app.
pub async fn delete_all(c: &mut Conn, app_id: Uuid) -> StoreResult<()> {
    execute!(c, "delete from acme_certificates where app_id = $1", app_id)?;
    Ok(())
}
