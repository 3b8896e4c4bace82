//! Places for the source of a build: an archive is uploaded to one, and a build is asked for
//! with its address. Whoever has the address needs no more.

use std::path::PathBuf;

use uuid::Uuid;

use super::Platform;
use crate::error::{Error, Result};

/// Where an uploaded archive is kept.
pub fn path(p: &Platform, id: Uuid) -> PathBuf {
    p.cx.path("sources").join(id.to_string())
}

/// The address of a place.
pub fn url(p: &Platform, id: Uuid) -> String {
    format!("{}/sources/{id}", p.cx.config().api_url())
}

/// A new place: an empty file, so that only addresses that were given out are taken.
pub async fn create(p: &Platform) -> Result<Uuid> {
    let disk = |e| Error::internal("Sources have no place on disk.", e);
    tokio::fs::create_dir_all(p.cx.path("sources")).await.map_err(disk)?;
    // Not rising with time: it must not be guessed.
    let id = Uuid::new_v4();
    tokio::fs::File::create_new(path(p, id)).await.map_err(disk)?;
    Ok(id)
}

/// An address of a source for somebody who may not have the source: nothing in it is a key.
pub fn shown(url: &str) -> String {
    let plain = paas_buildpacks::output::plain_address(url);
    match plain.rsplit_once("/sources/") {
        Some((base, id)) if id.parse::<Uuid>().is_ok() => format!("{base}/sources"),
        Some(_) | None => plain,
    }
}

/// The archive behind an address, when it is one of ours, uploaded or not.
pub fn uploaded(p: &Platform, url: &str) -> Option<PathBuf> {
    let (_, id) = url.split('?').next()?.rsplit_once("/sources/")?;
    let id: Uuid = id.parse().ok()?;
    let found = path(p, id);
    (self::url(p, id) == url.split('?').next()? || found.exists()).then_some(found)
}
