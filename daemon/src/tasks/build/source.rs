//! Brings the source of a build in that was asked for with a tarball.
//!
//! An archive that was uploaded here is read from disk. One behind another address is fetched
//! inside the sandbox, so that nobody makes the daemon itself visit addresses for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use paas_buildpacks::{
    build::Request,
    output::{Output, Speak as _, plain_address},
    sandbox::{CancellationToken, Exit, Limits, Mount, Step},
};

use sha2::{Digest as _, Sha256};

use super::{
    Builder,
    attempt::Failure,
    log::{BuildLog, Voice},
};
use crate::{
    ops,
    slugs::archive::{self, Rules},
    store::builds::Build,
};

/// Unpacks the archive into `source/` of the build's directory.
pub(super) async fn bring(
    builder: &Builder,
    build: &Build,
    request: &Request,
    log: &mut BuildLog,
) -> Result<(), Failure> {
    let url = build.source_url.as_deref().unwrap_or_default();
    let archive = match ops::sources::uploaded(&builder.platform, url) {
        Some(path) => path,
        None => fetch(builder, url, request, log).await?,
    };
    if fs::metadata(&archive).is_ok_and(|meta| meta.len() == 0) || !archive.exists() {
        return Err(Failure::said(format!(
            "no source has been uploaded to {}; PUT it there first",
            plain_address(url)
        )));
    }
    let wanted = ops::builds::wanted_checksum(&builder.platform, build.id).await;
    if let Some(wanted) = wanted.map_err(|error| Failure::said(error.to_string()))? {
        check(&archive, wanted).await?;
    }
    let target = request.directory.join("source");
    let unpacked = tokio::task::spawn_blocking(move || unpack(&archive, &target)).await;
    unpacked.unwrap_or_else(|error| Err(error.to_string())).map_err(|text| {
        let text = format!("the source archive can't be unpacked: {}", text.trim_end_matches('.'));
        Failure::said(text)
    })
}

/// Compares an archive with the checksum that was told.
async fn check(archive: &Path, wanted: String) -> Result<(), Failure> {
    let archive = archive.to_owned();
    let summed = tokio::task::spawn_blocking(move || -> io::Result<String> {
        let mut hash = Sha256::new();
        let mut file = fs::File::open(archive)?;
        let mut piece = vec![0; 128 << 10];
        loop {
            match io::Read::read(&mut file, &mut piece)? {
                0 => break,
                count => hash.update(&piece[..count]),
            }
        }
        Ok(hex::encode(hash.finalize()))
    });
    let sum = summed.await.map_err(io::Error::other).and_then(|done| done);
    let sum = sum.map_err(|error| Failure::said(format!("the source archive can't be read: {error}")))?;
    if sum != wanted {
        return Err(Failure::said(format!(
            "the source archive's checksum is SHA256:{sum}, but SHA256:{wanted} was announced"
        )));
    }
    Ok(())
}

fn unpack(archive: &Path, target: &Path) -> Result<(), String> {
    let disk = |error: io::Error| error.to_string();
    paas_buildpacks::tree::remove(target).map_err(disk)?;
    fs::create_dir_all(target).map_err(disk)?;
    let file = fs::File::open(archive).map_err(disk)?;
    archive::unpack(file, target, &Rules::source()).map(drop).map_err(|error| error.to_string())
}

async fn fetch(builder: &Builder, url: &str, request: &Request, log: &mut BuildLog) -> Result<PathBuf, Failure> {
    Voice(log).heading("Fetching source");
    let download = Download {
        name: format!("build-{}-source", request.id),
        labels: request.labels.clone(),
        image: request.image.clone(),
        env: request.env.clone(),
        limits: request.limits.clone(),
        cancel: request.cancel.clone(),
        place: request.directory.join("download"),
        url: url.to_owned(),
    };
    download.run(builder, log).await?.ok_or(Failure::Cancelled)
}

/// An archive to be fetched inside the sandbox.
pub(in crate::tasks) struct Download {
    /// The container's name, of `[a-z0-9-]`.
    pub(in crate::tasks) name: String,
    /// Its labels.
    pub(in crate::tasks) labels: Vec<(String, String)>,
    /// An image with curl.
    pub(in crate::tasks) image: String,
    /// Proxies, CA bundle.
    pub(in crate::tasks) env: Vec<(String, String)>,
    /// What it may use.
    pub(in crate::tasks) limits: Limits,
    /// Ends it.
    pub(in crate::tasks) cancel: CancellationToken,
    /// A directory of its own; it is made anew.
    pub(in crate::tasks) place: PathBuf,
    /// Where from.
    pub(in crate::tasks) url: String,
}

/// How an error begins that is not the source's: no container could be run.
pub(in crate::tasks) const NO_ENGINE: &str = "the source could not be fetched now";

impl Download {
    /// Fetches it; none when that was cancelled.
    pub(in crate::tasks) async fn run(
        self,
        builder: &Builder,
        log: &mut dyn Output,
    ) -> Result<Option<PathBuf>, String> {
        let made = self.place.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            paas_buildpacks::tree::remove(&made)?;
            fs::create_dir_all(&made)?;
            std::os::unix::fs::lchown(&made, Some(request_owner().0), Some(request_owner().1))
        });
        let prepared = prepared.await.map_err(io::Error::other).and_then(|done| done);
        prepared.map_err(|error| format!("the source has no place on disk: {error}"))?;
        let words = ["/usr/bin/curl", "-fsSL", "--retry", "2", "--max-time", "600", "--proto", "=http,https"];
        let mut argv: Vec<String> = words.map(str::to_owned).into();
        argv.extend(["-o".to_owned(), "/paas/download/source".to_owned(), "--".to_owned(), self.url]);
        let step = Step {
            name: self.name,
            labels: self.labels,
            image: self.image,
            argv,
            env: self.env,
            mounts: vec![Mount { host: self.place.clone(), container: "/paas/download".into(), read_only: false }],
            cwd: "/".into(),
            limits: self.limits,
            cancel: self.cancel,
        };
        match builder.sandbox.run(&step, log).await.map_err(|error| format!("{NO_ENGINE}: {error}"))? {
            Exit::Code(0) => Ok(Some(self.place.join("source"))),
            Exit::Code(code) => Err(format!("the source could not be fetched (curl: {code})")),
            Exit::Cancelled => Ok(None),
            Exit::TimedOut | Exit::OutOfMemory | Exit::DiskFull => {
                Err("the source could not be fetched: it takes too long or is too large".to_owned())
            }
        }
    }
}

/// The user of containers.
fn request_owner() -> (u32, u32) {
    (crate::slugs::OWNER, crate::slugs::OWNER)
}
