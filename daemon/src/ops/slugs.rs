//! Slugs made by clients themselves: a row first, then its bytes.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    builds::{LONGEST_DESCRIPTION, LONGEST_VERSION},
    check_length,
};
use crate::{
    context::new_id,
    error::{Error, Result},
    slugs::Blob,
    store::{
        apps::App,
        events::Event,
        slugs::{self, Slug},
    },
};

/// Longest command of a process type, in characters.
const LONGEST_COMMAND: usize = 16 * 1024;

/// Most process types of a slug.
const MOST_TYPES: usize = 100;

/// What a client says of a slug.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// Type → command.
    pub process_types: BTreeMap<String, String>,
    /// What the buildpack called the app.
    pub buildpack_description: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The commit's message.
    pub commit_description: Option<String>,
    /// `SHA256:` and the digits that its bytes are to have.
    pub checksum: Option<String>,
    /// The stack; none: that of the app's builds.
    pub stack: Option<String>,
}

/// One of an app's.
pub async fn find(p: &Platform, app: &App, id: &str) -> Result<Slug> {
    let parsed: Uuid = id.parse().map_err(|_| Error::not_found("slug", id))?;
    let found = slugs::by_id(&mut p.db.read().await?, parsed).await?;
    found.filter(|slug| slug.app_id == app.id).ok_or_else(|| Error::not_found("slug", id))
}

/// One by identity alone.
pub async fn by_id(p: &Platform, id: Uuid) -> Result<Slug> {
    let found = slugs::by_id(&mut p.db.read().await?, id).await?;
    found.ok_or_else(|| Error::not_found("slug", id.to_string()))
}

/// A slug whose bytes are still to come.
pub async fn create(p: &Platform, actor: &Actor, app: &App, new: New) -> Result<Slug> {
    for (name, command) in &new.process_types {
        if paas_domain::name::ProcessType::parse(name).is_err() || command.trim().is_empty() || command.contains('\0') {
            return Err(Error::invalid(format!("process_types: {name:?} is not a process type with a command.")));
        }
        check_length(&format!("process_types.{name}"), Some(command), LONGEST_COMMAND)?;
    }
    if new.process_types.len() > MOST_TYPES {
        return Err(Error::invalid(format!("process_types: may be {MOST_TYPES} at most.")));
    }
    check_length("commit", new.commit.as_deref(), LONGEST_VERSION)?;
    check_length("commit_description", new.commit_description.as_deref(), LONGEST_DESCRIPTION)?;
    let pack = new.buildpack_description.as_deref();
    check_length("buildpack_provided_description", pack, LONGEST_VERSION)?;
    let checksum = new.checksum.as_deref().map(|sum| checksum("checksum", sum)).transpose()?;
    let stack = new.stack.map(|stack| super::stacks::parse(p, &stack)).transpose()?;
    let now = p.cx.now();
    let slug = Slug {
        id: new_id(),
        app_id: app.id,
        sha256: None,
        size: None,
        commit_id: new.commit,
        commit_description: new.commit_description,
        buildpack_description: new.buildpack_description,
        process_types: Json(new.process_types),
        stack: stack.unwrap_or_else(|| app.build_stack.clone()),
        created_at: now,
        updated_at: now,
    };
    let mut change = p.change(app.id).await?;
    slugs::insert(&mut change, &slug).await?;
    if let Some(sum) = &checksum {
        slugs::want_checksum(&mut change, slug.id, sum).await?;
    }
    p.commit(change, Event::new("slug.create", actor.name(), json!({"id": slug.id}))).await?;
    Ok(slug)
}

/// The digits of a checksum, as clients write it: `SHA256:` first, or not.
pub fn checksum(field: &str, text: &str) -> Result<String> {
    let digits = text.trim().to_ascii_lowercase();
    let digits = digits.strip_prefix("sha256:").unwrap_or(&digits);
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::invalid(format!("{field}: must be SHA256: and 64 hexadecimal digits.")));
    }
    Ok(digits.to_owned())
}

/// Notes the bytes of a slug: once, and only those that were announced.
pub async fn uploaded(p: &Platform, slug: &Slug, blob: &Blob) -> Result<()> {
    let mut change = p.change(slug.app_id).await?;
    let current = slugs::by_id(&mut change, slug.id).await?;
    if current.is_none_or(|slug| slug.sha256.is_some()) {
        return Err(Error::Conflict("That slug has been uploaded already; make a new one.".into()));
    }
    if let Some(wanted) = slugs::wanted_checksum(&mut change, slug.id).await?.filter(|sum| *sum != blob.sha256) {
        return Err(Error::invalid(format!(
            "The slug's checksum is SHA256:{}, but SHA256:{wanted} was announced. Send it again.",
            blob.sha256
        )));
    }
    let size = i64::try_from(blob.size).unwrap_or(i64::MAX);
    slugs::uploaded(&mut change, slug.id, &blob.sha256, size, p.cx.now()).await?;
    p.commit(change, Event::new("slug.update", "paas", json!({"id": slug.id, "size": size}))).await
}
