//! Builds: asked for, watched, cancelled. Running them is `tasks/build`.
//!
//! A build is a row and a directory, `builds/<id>/` in the data directory: `source/` is there
//! before the row is, `output.log` grows while it runs and stays. Readers follow the file, so a
//! viewer needs no connection to whoever writes it and resumes at any byte.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use paas_buildpacks::{cache::Cache, catalog::PackRef};
use serde_json::json;
use sqlx::types::Json;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use super::{Actor, Platform, check_length};
use crate::{
    error::{Error, Result},
    store::{
        apps::App,
        buildpacks,
        builds::{self, Build},
        events::Event,
        slugs,
    },
};

/// How long a reader of growing output sleeps between looks.
const LOOK: Duration = Duration::from_millis(40);

/// A piece of output that is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Longest address of a source, in characters.
const LONGEST_URL: usize = 8192;

/// Longest name of a source's version, in characters: a commit, or what its user calls it.
pub(super) const LONGEST_VERSION: usize = 200;

/// Longest description of a commit that is kept, in characters.
pub(super) const LONGEST_DESCRIPTION: usize = 4096;

/// The file in a build's directory with what it says: all that is kept of a build that has ended.
const OUTPUT: &str = "output.log";

/// The file in a build's directory with the [`StoredSubmodule`]s to fetch, as JSON.
pub const SUBMODULES: &str = "submodules.json";

/// A repository inside the source that the build has to fetch.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct StoredSubmodule {
    /// Where in the tree.
    pub path: String,
    /// Where from.
    pub url: String,
    /// Which commit.
    pub commit: String,
}

/// What a build is asked to build.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// `git` or `tarball`; the tree of a git build is in `source/` already.
    pub kind: &'static str,
    /// Where a tarball comes from.
    pub url: Option<String>,
    /// The commit, or what the client called it.
    pub version: Option<String>,
    /// First line of the commit's message.
    pub description: Option<String>,
    /// Buildpacks of this build only; none: those of the app.
    pub buildpacks: Vec<String>,
}

/// The directory of a build.
pub fn directory(p: &Platform, id: Uuid) -> PathBuf {
    p.cx.path("builds").join(id.to_string())
}

/// Where a build's output is.
pub fn output_path(p: &Platform, id: Uuid) -> PathBuf {
    directory(p, id).join(OUTPUT)
}

/// Empties the directory of a build that has ended, its output excepted.
pub async fn clear(p: &Platform, id: Uuid) {
    let directory = directory(p, id);
    let cleared = tokio::task::spawn_blocking(move || {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name() != OUTPUT {
                paas_buildpacks::tree::remove(&entry.path())?;
            }
        }
        Ok(())
    });
    match cleared.await.map_err(std::io::Error::other).and_then(|done| done) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(build.id = %id, %error, "a build's directory could not be emptied");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Puts a build into the queue. `id` is the caller's, who may have filled its directory.
pub async fn create(p: &Platform, actor: &Actor, app: &App, id: Uuid, new: New) -> Result<Build> {
    create_checked(p, actor, app, (id, None), new).await
}

/// The same for a source whose SHA-256 (`SHA256:` and digits) is told.
pub async fn create_checked(
    p: &Platform,
    actor: &Actor,
    app: &App,
    (id, checksum): (Uuid, Option<&str>),
    new: New,
) -> Result<Build> {
    let checksum = checksum.map(|sum| super::slugs::checksum("source_blob.checksum", sum)).transpose()?;
    check_length("source_blob.url", new.url.as_deref(), LONGEST_URL)?;
    check_length("source_blob.version", new.version.as_deref(), LONGEST_VERSION)?;
    check_length("source_blob.version_description", new.description.as_deref(), LONGEST_DESCRIPTION)?;
    let directory = directory(p, id);
    tokio::fs::create_dir_all(&directory).await.map_err(|e| Error::internal("The build has no place on disk.", e))?;
    tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(OUTPUT))
        .await
        .map_err(|e| Error::internal("The build's output has no place on disk.", e))?;
    let mut change = p.change(app.id).await?;
    let named = match new.buildpacks.is_empty() {
        true => buildpacks::list(&mut change, app.id).await?,
        false => parse_packs(&new.buildpacks)?.into_iter().map(|pack| pack.url).collect(),
    };
    let now = p.cx.now();
    let build = Build {
        id,
        app_id: app.id,
        user_id: actor.user.id,
        status: "queued".into(),
        stack: app.build_stack.clone(),
        source_kind: new.kind.into(),
        source_url: new.url,
        source_version: new.version,
        source_description: new.description,
        buildpacks: Json(named),
        slug_id: None,
        release_id: None,
        message: None,
        lease_owner: None,
        lease_until: None,
        cancel_requested: false,
        created_at: now,
        updated_at: now,
    };
    builds::insert(&mut change, &build).await?;
    if let Some(sum) = &checksum {
        builds::want_checksum(&mut change, id, sum).await?;
    }
    let event = json!({"id": id, "status": "pending", "version": build.source_version});
    p.commit(change, Event::new("build.create", actor.name(), event)).await?;
    Ok(build)
}

/// All of an app, oldest first.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Build>> {
    Ok(builds::list(&mut p.db.read().await?, app.id).await?)
}

/// What the SHA-256 of a build's source is to be, if that was said.
pub async fn wanted_checksum(p: &Platform, id: Uuid) -> Result<Option<String>> {
    Ok(builds::wanted_checksum(&mut p.db.read().await?, id).await?)
}

/// One of an app's, by identity.
pub async fn find(p: &Platform, app: &App, id: &str) -> Result<Build> {
    let id: Uuid = id.parse().map_err(|_| Error::not_found("build", id))?;
    let found = builds::find(&mut p.db.read().await?, app.id, id).await?;
    found.ok_or_else(|| Error::not_found("build", id.to_string()))
}

/// One by identity alone.
pub async fn by_id(p: &Platform, id: Uuid) -> Result<Option<Build>> {
    Ok(builds::by_id(&mut p.db.read().await?, id).await?)
}

/// A build once it has ended: waits for that.
pub async fn ended(p: &Platform, id: Uuid) -> Result<Build> {
    loop {
        let mut wakes = p.db.wakes();
        match by_id(p, id).await? {
            None => return Err(Error::not_found("build", id.to_string())),
            Some(row) if !matches!(row.status.as_str(), "queued" | "pending") => return Ok(row),
            Some(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = wakes.recv() => {}
        }
    }
}

/// Those of an app that have not ended.
pub async fn active(p: &Platform, app_id: Uuid) -> Result<Vec<Build>> {
    Ok(builds::active(&mut p.db.read().await?, app_id).await?)
}

/// How many builds a new one has to wait for.
pub async fn ahead(p: &Platform, build: &Build) -> Result<usize> {
    let ahead = builds::ahead(&mut p.db.read().await?, build).await?;
    let free = p.cx.config().build_slots.max(1) - 1;
    Ok(usize::try_from(ahead).unwrap_or_default().saturating_sub(free))
}

/// Ends a build: at once when it waits, else as soon as its builder has stopped it.
pub async fn cancel(p: &Platform, actor: &Actor, app: &App, id: &str) -> Result<Build> {
    let build = find(p, app, id).await?;
    if build.status == "queued" {
        // Before the row's end, after which nobody reads on.
        say(p, build.id, " !     Build cancelled.\n").await;
    }
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    if slugs::by_id(&mut change, build.id).await?.is_some() {
        return Err(Error::Conflict("That build has been released already; `paas rollback` goes back.".into()));
    }
    if !builds::request_cancel(&mut change, build.id, now).await? {
        return Err(Error::Conflict("That build has ended already; there is nothing to cancel.".into()));
    }
    // A builder that takes it at this very moment has the row first and sees the request.
    let waits = builds::by_id(&mut change, build.id).await?.is_some_and(|row| row.status == "queued");
    if waits {
        builds::finish(&mut change, build.id, "cancelled", None, None, Some("the build was cancelled"), now).await?;
    }
    p.commit(change, Event::new("build.cancel", actor.name(), json!({"id": build.id}))).await?;
    p.tell(app.id, format!("Build cancelled by user {}", actor.name()));
    if waits {
        clear(p, build.id).await;
    }
    find(p, app, id).await
}

/// Ends a build whose app is destroyed: at once when it waits, else its builder does.
pub async fn end_of_app(p: &Platform, build: &Build) -> Result<()> {
    if build.status == "queued" {
        finish(p, build, "cancelled", None, Some("the app was destroyed")).await?;
    } else if !build.cancel_requested {
        let mut tx = p.db.begin().await?;
        builds::request_cancel(&mut tx, build.id, p.cx.now()).await?;
        tx.commit(None).await?;
    }
    Ok(())
}

/// Adds a line to the output of a build that nobody runs.
async fn say(p: &Platform, id: Uuid, line: &str) {
    let written = async {
        let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(output_path(p, id)).await?;
        file.write_all(line.as_bytes()).await?;
        file.flush().await
    };
    if let Err(error) = written.await {
        tracing::warn!(build.id = %id, %error, "a build's output can't be kept");
    }
}

/// Writes how a build ended; whether this call was the one that did.
pub async fn finish(
    p: &Platform,
    build: &Build,
    status: &str,
    made: Option<(Uuid, Uuid)>,
    message: Option<&str>,
) -> Result<bool> {
    let now = p.cx.now();
    let Some(mut change) = p.db.change(build.app_id).await? else { return Ok(false) };
    let (slug, release) = made.unzip();
    let won = builds::finish(&mut change, build.id, status, slug, release, message, now).await?;
    let event = json!({"id": build.id, "status": status, "message": message});
    p.commit(change, Event::new("build.update", "paas", event)).await?;
    Ok(won)
}

/// Empties what the app's buildpacks keep between builds: at once, or before the next build
/// when one is writing to it now.
pub async fn purge_cache(p: &Platform, actor: &Actor, app: &App) -> Result<()> {
    let cache = cache(p, app.id);
    in_cache(move || cache.wish_purge()).await?;
    // A build that begins in between finds the wish and fulfils it first.
    if active(p, app.id).await?.iter().all(|build| build.status != "pending") {
        let cache = self::cache(p, app.id);
        in_cache(move || cache.fulfil_wish()).await?;
    }
    let change = p.change(app.id).await?;
    p.commit(change, Event::new("build-cache.delete", actor.name(), json!({}))).await
}

/// Empties the cache of an app that builds nothing now.
pub async fn empty_cache(p: &Platform, app_id: Uuid) -> Result<()> {
    let cache = cache(p, app_id);
    in_cache(move || cache.purge()).await
}

/// Removes the cache of an app that is gone.
pub async fn remove_cache(p: &Platform, app_id: Uuid) -> Result<()> {
    let cache = cache(p, app_id);
    in_cache(move || cache.remove()).await
}

/// What the buildpacks of an app keep between its builds.
pub fn cache(p: &Platform, app_id: Uuid) -> Cache {
    Cache::new(p.cx.path("cache").join(app_id.to_string()))
}

async fn in_cache(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)
        .and_then(|done| done)
        .map_err(|e| Error::internal("The build cache could not be emptied.", e))
}

/// The buildpacks an app was told to use, in order.
pub async fn buildpacks(p: &Platform, app: &App) -> Result<Vec<String>> {
    Ok(buildpacks::list(&mut p.db.read().await?, app.id).await?)
}

/// Tells an app which buildpacks to use, in order; none: detect again.
pub async fn set_buildpacks(p: &Platform, actor: &Actor, app: &App, names: &[String]) -> Result<Vec<String>> {
    let packs: Vec<String> = parse_packs(names)?.into_iter().map(|pack| pack.url).collect();
    let mut change = p.change(app.id).await?;
    buildpacks::replace(&mut change, app.id, &packs).await?;
    let event = json!({"buildpacks": packs});
    p.commit(change, Event::new("buildpack-installations.update", actor.name(), event)).await?;
    Ok(packs)
}

/// What users see of a buildpack's stored address.
pub fn pack_name(url: &str) -> String {
    PackRef::parse(url).map_or_else(|_| url.to_owned(), |pack| pack.name)
}

/// Whether buildpacks can be told apart and are not too many.
pub fn check_packs(names: &[String]) -> Result<()> {
    parse_packs(names).map(drop)
}

/// How the message of a build begins that the engine could not run.
pub const NO_ENGINE: &str = "the build could not be run";

/// Whether a build has failed because the daemon or the engine ended, and not by a fault of its own.
pub fn was_interrupted(build: &Build) -> bool {
    let is = |message: &str| message.starts_with("the platform was ");
    build.message.as_deref().is_some_and(is) || had_no_engine(build)
}

/// Whether it is the engine that could not run a build.
pub fn had_no_engine(build: &Build) -> bool {
    build.message.as_deref().is_some_and(|message| message.starts_with(NO_ENGINE))
}

fn parse_packs(names: &[String]) -> Result<Vec<PackRef>> {
    if names.len() > 50 {
        return Err(Error::invalid(format!("buildpacks: {} are too many, 50 is the most.", names.len())));
    }
    names.iter().map(|name| PackRef::parse(name).map_err(|e| Error::invalid(format!("buildpack: {e}.")))).collect()
}

/// Where a reader of output stands.
struct Reader {
    p: Platform,
    id: Uuid,
    offset: u64,
    ended: bool,
}

/// The output of a build from a byte on, as it comes; ends when the build has ended and all
/// of it has been read.
pub fn output(p: &Platform, id: Uuid, offset: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    let reader = Reader { p: p.clone(), id, offset, ended: false };
    stream::try_unfold(reader, |mut reader| async move {
        let path = output_path(&reader.p, reader.id);
        let mut wakes = reader.p.db.wakes();
        loop {
            let piece = read_piece(&path, reader.offset).await?;
            if !piece.is_empty() {
                reader.offset += piece.len() as u64;
                return Ok(Some((piece, reader)));
            }
            if reader.ended {
                return Ok(None);
            }
            // First whether it has ended, then one more read: nothing is missed in between.
            let row = by_id(&reader.p, reader.id).await.map_err(std::io::Error::other)?;
            reader.ended = row.is_none_or(|row| !matches!(row.status.as_str(), "queued" | "pending"));
            if reader.ended {
                continue;
            }
            for _ in 0..25 {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    _ = wakes.recv() => break,
                }
                let length = tokio::fs::metadata(&path).await.map_or(0, |meta| meta.len());
                if length > reader.offset {
                    break;
                }
            }
        }
    })
}

async fn read_piece(path: &std::path::Path, offset: u64) -> std::io::Result<Bytes> {
    let mut file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Bytes::new()),
        Err(error) => return Err(error),
    };
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    let mut piece = Vec::with_capacity(PIECE);
    file.take(PIECE as u64).read_to_end(&mut piece).await?;
    Ok(Bytes::from(piece))
}
