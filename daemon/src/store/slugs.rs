//! Slugs: what builds make and releases run.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Conn, StoreResult,
    db::{execute, rows},
};

/// A slug's row; its bytes are in the slug store, under their SHA-256.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Slug {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub app_id: Uuid,
    /// SHA-256 of the stored bytes in hexadecimal digits; none before they are uploaded.
    pub sha256: Option<String>,
    /// Bytes, compressed.
    pub size: Option<i64>,
    /// The commit that it was built from.
    pub commit_id: Option<String>,
    /// First line of the commit's message.
    pub commit_description: Option<String>,
    /// What the buildpacks called the app.
    pub buildpack_description: Option<String>,
    /// Process type → command.
    pub process_types: Json<BTreeMap<String, String>>,
    /// The stack that it was built for.
    pub stack: String,
    /// When made.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds one.
pub async fn insert(c: &mut Conn, slug: &Slug) -> StoreResult<()> {
    execute!(
        c,
        "insert into slugs (id, app_id, sha256, size, commit_id, commit_description, buildpack_description, process_types, stack, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        slug.id,
        slug.app_id,
        &slug.sha256,
        slug.size,
        &slug.commit_id,
        &slug.commit_description,
        &slug.buildpack_description,
        &slug.process_types,
        &slug.stack,
        slug.created_at,
        slug.updated_at
    )?;
    Ok(())
}

/// By identity.
pub async fn by_id(c: &mut Conn, id: Uuid) -> StoreResult<Option<Slug>> {
    rows!(c, Slug, fetch_optional, "select * from slugs where id = $1", id)
}

/// All of an app, newest first.
pub async fn list(c: &mut Conn, app_id: Uuid) -> StoreResult<Vec<Slug>> {
    rows!(c, Slug, fetch_all, "select * from slugs where app_id = $1 order by created_at desc, id desc", app_id)
}

/// Remembers what the one who uploads it says its SHA-256 is.
pub async fn want_checksum(c: &mut Conn, id: Uuid, sha256: &str) -> StoreResult<()> {
    execute!(c, "update slugs set wanted_checksum = $2 where id = $1", id, sha256)?;
    Ok(())
}

/// What its SHA-256 is to be, if that was said.
pub async fn wanted_checksum(c: &mut Conn, id: Uuid) -> StoreResult<Option<String>> {
    let row: Option<(Option<String>,)> =
        rows!(c, (Option<String>,), fetch_optional, "select wanted_checksum from slugs where id = $1", id)?;
    Ok(row.and_then(|(sum,)| sum))
}

/// Writes checksum and size after an upload.
pub async fn uploaded(c: &mut Conn, id: Uuid, sha256: &str, size: i64, now: DateTime<Utc>) -> StoreResult<()> {
    execute!(c, "update slugs set sha256 = $2, size = $3, updated_at = $4 where id = $1", id, sha256, size, now)?;
    Ok(())
}

/// Removes those that nothing has released, unchanged since `before`.
pub async fn delete_unused(c: &mut Conn, before: DateTime<Utc>) -> StoreResult<()> {
    execute!(
        c,
        "delete from slugs where updated_at < $1 and not exists (select 1 from releases r where r.slug_id = slugs.id) and not exists (select 1 from builds b where b.slug_id = slugs.id)",
        before
    )?;
    Ok(())
}

/// How many slugs have these bytes: when none has, they may go.
pub async fn count_of_sha256(c: &mut Conn, sha256: &str) -> StoreResult<i64> {
    let (count,): (i64,) = rows!(c, (i64,), fetch_one, "select count(*) from slugs where sha256 = $1", sha256)?;
    Ok(count)
}

/// Holds a slug's row until the transaction ends, so that its bytes can't go meanwhile.
/// Nothing where it is gone.
pub async fn hold(c: &mut Conn, id: Uuid) -> StoreResult<Option<Slug>> {
    rows!(c, Slug, fetch_optional, "update slugs set updated_at = updated_at where id = $1 returning *", id)
}

/// What a slug is a copy of; nothing where it is none.
pub async fn original(c: &mut Conn, id: Uuid) -> StoreResult<Option<Uuid>> {
    let found: Option<(Uuid,)> =
        rows!(c, (Uuid,), fetch_optional, "select original_id from slug_copies where slug_id = $1", id)?;
    Ok(found.map(|(id,)| id))
}

/// An app's own copy of another app's slug, if it has one.
pub async fn copy_of(c: &mut Conn, app_id: Uuid, original: Uuid) -> StoreResult<Option<Slug>> {
    rows!(
        c,
        Slug,
        fetch_optional,
        "select s.* from slugs s join slug_copies c on c.slug_id = s.id where s.app_id = $1 and c.original_id = $2 order by s.id limit 1",
        app_id,
        original
    )
}

/// Notes that a slug is a copy.
pub async fn set_original(c: &mut Conn, id: Uuid, original: Uuid) -> StoreResult<()> {
    execute!(c, "insert into slug_copies (slug_id, original_id) values ($1, $2)", id, original)?;
    Ok(())
}
