//! Sets up apps from archives with an app.json: brings the archive, and has [`ops::setups`] do
//! one step after the other. Takes no input: the rows say what is under way.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::TimeDelta;
use paas_buildpacks::{
    output::plain_address,
    sandbox::{CancellationToken, Limits},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    task::{self, JoinSet},
};
use uuid::Uuid;

use super::build::{
    Builder,
    attempt::PIDS,
    source::{Download, NO_ENGINE},
};
use crate::{
    error::{Error, Result},
    ops::{
        self, builds,
        setups::{self, Next},
    },
    slugs::peek::peek,
    store::{app_setups::AppSetup, apps},
};

/// How often the rows are looked at without being woken.
const PERIOD: Duration = Duration::from_secs(5);

/// How often one that waits looks without being woken.
const LOOK: Duration = Duration::from_secs(1);

/// How long after a failure of the platform's own it is tried again.
const AGAIN: Duration = Duration::from_secs(3);

/// How often an archive is tried to be fetched.
const TRIES: u32 = 3;

/// How long one waits for what is the platform's trouble.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// How long fetching may take.
const FETCH: Duration = Duration::from_secs(900);

/// Runs until `stop` becomes true; what is under way then goes on with the next run.
pub async fn run(builder: Builder, mut stop: watch::Receiver<bool>) {
    let p = &builder.platform;
    let mut wakes = p.db.wakes();
    let mut work: JoinSet<()> = JoinSet::new();
    let mut running: HashMap<task::Id, Uuid> = HashMap::new();
    loop {
        match setups::pending(p).await {
            Ok(rows) => {
                for row in rows {
                    if running.values().any(|id| *id == row.id) {
                        continue;
                    }
                    let builder = builder.clone();
                    let task = work.spawn(async move { drive(&builder, row.id).await });
                    running.insert(task.id(), row.id);
                }
            }
            Err(error) => tracing::error!(%error, "app setups can't be looked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            Some(ended) = work.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(%error, "an app setup broke off");
                        error.id()
                    }
                };
                running.remove(&id);
            }
            () = woken(&mut wakes, |kind| kind == "app-setup.create") => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    work.shutdown().await;
}

/// Waits for a change of one of these kinds.
async fn woken(wakes: &mut tokio::sync::broadcast::Receiver<crate::store::Wake>, kind: impl Fn(&str) -> bool) {
    loop {
        match wakes.recv().await {
            Ok(wake) if kind(wake.kind) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One setup to its end.
async fn drive(builder: &Builder, id: Uuid) {
    loop {
        let mut wakes = builder.platform.db.wakes();
        match one(builder, id).await {
            Ok(Next::Again | Next::Fetch) => {}
            Ok(Next::Done) => return,
            Ok(Next::Wait) => {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = woken(&mut wakes, |_| true) => {}
                }
            }
            Err(error) => {
                tracing::warn!(setup.id = %id, %error, "an app setup can't go on now; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn one(builder: &Builder, id: Uuid) -> Result<Next> {
    let p = &builder.platform;
    let row = crate::store::app_setups::by_id(&mut p.db.read().await?, id).await?;
    let Some(row) = row else { return Ok(Next::Done) };
    match setups::advance(p, &row).await? {
        Next::Fetch => {
            let found = match fetch(builder, &row).await {
                Ok(found) => Ok(found),
                // Not the source's fault, and likely better soon.
                Err(Trouble::Passing(why)) if p.cx.now() - row.created_at < PATIENCE => {
                    return Err(Error::Unavailable(why));
                }
                Err(Trouble::Passing(why) | Trouble::Lasting(why)) => Err(why),
            };
            setups::took(p, &row, found).await
        }
        next @ (Next::Again | Next::Wait | Next::Done) => Ok(next),
    }
}

/// Why a source could not be brought.
enum Trouble {
    /// The platform's: too much is under way, or the engine is away.
    Passing(String),
    /// The source's.
    Lasting(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Lasting(why)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        if let Error::Unavailable(why) = error { Self::Passing(why) } else { Self::Lasting(error.to_string()) }
    }
}

/// Brings the archive to its place, and reads its app.json.
async fn fetch(builder: &Builder, setup: &AppSetup) -> Result<Option<Vec<u8>>, Trouble> {
    let p = &builder.platform;
    let target = ops::sources::path(p, setup.source_id);
    let url = &setups::source_url(p, setup)?;
    if let Some((pipeline, branch)) = ops::repos::is_source(url) {
        tokio::fs::create_dir_all(p.cx.path("sources")).await.map_err(|error| error.to_string())?;
        ops::repos::archive(p, pipeline, branch, &target).await?;
        let read = tokio::task::spawn_blocking(move || look(&target)).await;
        return Ok(read.unwrap_or_else(|error| Err(error.to_string()))?);
    }
    let directory = builds::directory(p, setup.id);
    let archive = match ops::sources::uploaded(p, url) {
        Some(path) => path,
        None => download(builder, setup, url, &directory).await?,
    };
    let (url, sum) = (plain_address(url), setup.source_checksum.as_deref().and_then(setups::checksum));
    let kept = tokio::task::spawn_blocking(move || keep(&archive, &target, &url, sum)).await;
    let _ = tokio::task::spawn_blocking(move || paas_buildpacks::tree::remove(&directory)).await;
    Ok(kept.unwrap_or_else(|error| Err(error.to_string()))?)
}

fn keep(archive: &Path, target: &Path, url: &str, sum: Option<String>) -> Result<Option<Vec<u8>>, String> {
    let disk = |error: io::Error| format!("The source has no place on disk: {error}.");
    if !fs::metadata(archive).is_ok_and(|meta| meta.len() > 0) {
        return Err(format!("No source has been uploaded to {url}; PUT it there first."));
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(disk)?;
    }
    // The same bytes, even when others are uploaded to their address later.
    let _ = fs::remove_file(target);
    if fs::hard_link(archive, target).is_err() {
        fs::copy(archive, target).map_err(disk)?;
    }
    if let Some(wanted) = sum {
        let mut hash = Sha256::new();
        let mut file = fs::File::open(target).map_err(disk)?;
        let mut piece = vec![0; 64 << 10];
        loop {
            match io::Read::read(&mut file, &mut piece).map_err(disk)? {
                0 => break,
                count => hash.update(&piece[..count]),
            }
        }
        let have = hex::encode(hash.finalize());
        if have != wanted {
            return Err(format!("The source's checksum is SHA256:{have}, not the one that was given."));
        }
    }
    look(target)
}

fn look(target: &Path) -> Result<Option<Vec<u8>>, String> {
    let file = fs::File::open(target).map_err(|error| format!("The source has no place on disk: {error}."))?;
    peek(file, "app.json", setups::MOST).map_err(|error| format!("The source can't be read: {error}"))
}

async fn download(builder: &Builder, setup: &AppSetup, url: &str, directory: &Path) -> Result<PathBuf, Trouble> {
    let p = &builder.platform;
    let config = p.cx.config();
    let app = async { apps::by_id(&mut p.db.read().await?, setup.app_id).await };
    let stack = app.await.map_err(Error::from)?;
    let stack = stack.map_or_else(|| config.stack.clone(), |app| app.build_stack);
    let labels = [
        ("paas.app", setup.app_name.clone()),
        ("paas.app-id", setup.app_id.to_string()),
        ("paas.build", setup.id.to_string()),
    ];
    let mut tries = 0;
    loop {
        tries += 1;
        let download = Download {
            name: format!("setup-{}-{}", setup.id, Uuid::new_v4().simple()),
            labels: labels.clone().map(|(key, value)| (key.to_owned(), value)).into(),
            image: config.stack_image(&stack, true),
            env: config.build_env(),
            limits: Limits {
                memory_bytes: config.build_memory_mib << 20,
                cpus: config.build_cpus,
                pids: PIDS,
                time: FETCH,
                disk_bytes: config.build_disk_mib << 20,
            },
            cancel: CancellationToken::new(),
            place: directory.join("download"),
            url: url.to_owned(),
        };
        let mut said = Vec::new();
        match download.run(builder, &mut said).await {
            Ok(Some(path)) => return Ok(path),
            Ok(None) => return Err("Fetching the source was cancelled.".to_owned().into()),
            Err(why) if why.starts_with(NO_ENGINE) => return Err(Trouble::Passing(why)),
            Err(why) if tries >= TRIES => {
                return Err(format!("From {}: {}.", plain_address(url), why.trim_end_matches('.')).into());
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
