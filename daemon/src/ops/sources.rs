//! Places for the source of a build: an archive is uploaded to one, and a build is asked for
//! with its address. The two addresses that are given out for a place are keys ([`addresses`]):
//! one to upload, one to read. What is kept and shown of a build has the bare address, which
//! opens nothing.

use std::{path::PathBuf, time::Duration};

use chrono::TimeDelta;
use url::Url;
use uuid::Uuid;

use super::{
    Platform,
    addresses::{self, Key},
};
use crate::error::{Error, Result};

/// What an address to upload to, and one to read from, is for.
pub const PUT: &str = "source/put";
/// See [`PUT`].
pub const GET: &str = "source/get";

/// How long an archive is kept: longer than any build or setup waits for its turn.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

/// Where an uploaded archive is kept.
pub fn path(p: &Platform, id: Uuid) -> PathBuf {
    p.cx.path("sources").join(id.to_string())
}

/// The bare address of a place.
pub fn url(p: &Platform, id: Uuid) -> String {
    format!("{}/sources/{id}", p.cx.config().api_url())
}

/// The address of a place that is a key to it for so long.
pub fn address(p: &Platform, id: Uuid, purpose: &str, lasts: TimeDelta) -> String {
    format!("{}?{}", url(p, id), addresses::sign(p, purpose, id, lasts))
}

/// The address of a source as somebody gives it, without its key. Where it is one of ours, they
/// must have been given the key to read it.
pub fn given(p: &Platform, url: &str) -> Result<String> {
    let Some((bare, id, _)) = ours(p, url) else { return Ok(url.to_owned()) };
    let key = Url::parse(url).map(|url| {
        let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        Key { expires: value("expires"), signature: value("signature") }
    });
    if key.is_ok_and(|key| addresses::is_key(p, GET, id, &key)) {
        return Ok(bare.to_owned());
    }
    Err(Error::invalid(
        "source_blob.url: that address of a source has expired or is not the whole get_url; ask POST /sources for a new one and upload again.",
    ))
}

/// A new place: an empty file, so that only addresses that were given out are taken.
pub async fn create(p: &Platform) -> Result<Uuid> {
    let disk = |e| Error::internal("Sources have no place on disk.", e);
    tokio::fs::create_dir_all(p.cx.path("sources")).await.map_err(disk)?;
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
    ours(p, url).map(|(_, _, found)| found)
}

/// Bare address, identity and file of an address that is one of ours.
fn ours<'a>(p: &Platform, url: &'a str) -> Option<(&'a str, Uuid, PathBuf)> {
    let bare = url.split('?').next()?;
    let id: Uuid = bare.rsplit_once("/sources/")?.1.parse().ok()?;
    let found = path(p, id);
    (self::url(p, id) == bare || found.exists()).then_some((bare, id, found))
}

/// Removes archives that are older than anybody waits for.
pub async fn sweep(p: &Platform) -> Result<()> {
    let directory = p.cx.path("sources");
    let swept = tokio::task::spawn_blocking(move || {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > KEPT) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    });
    match swept.await.map_err(std::io::Error::other).and_then(|done| done) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::internal("Old sources could not be removed.", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
