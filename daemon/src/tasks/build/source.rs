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
    output::{Speak as _, plain_address},
    sandbox::{Exit, Mount, Step},
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
    let place = request.directory.join("download");
    let made = place.clone();
    let prepared = tokio::task::spawn_blocking(move || {
        paas_buildpacks::tree::remove(&made)?;
        fs::create_dir_all(&made)?;
        std::os::unix::fs::lchown(&made, Some(request_owner().0), Some(request_owner().1))
    });
    let prepared = prepared.await.map_err(io::Error::other).and_then(|done| done);
    prepared.map_err(|error| Failure::said(format!("the source has no place on disk: {error}")))?;
    Voice(log).heading("Fetching source");
    let words = ["/usr/bin/curl", "-fsSL", "--retry", "2", "--max-time", "600", "--proto", "=http,https"];
    let mut argv: Vec<String> = words.map(str::to_owned).into();
    argv.extend(["-o".to_owned(), "/paas/download/source".to_owned(), "--".to_owned(), url.to_owned()]);
    let step = Step {
        name: format!("build-{}-source", request.id),
        labels: request.labels.clone(),
        image: request.image.clone(),
        argv,
        env: request.env.clone(),
        mounts: vec![Mount { host: place.clone(), container: "/paas/download".into(), read_only: false }],
        cwd: "/".into(),
        limits: request.limits.clone(),
        cancel: request.cancel.clone(),
    };
    let exit = builder.sandbox.run(&step, log).await;
    match exit.map_err(|error| Failure::said(error.to_string()))? {
        Exit::Code(0) => Ok(place.join("source")),
        Exit::Code(code) => Err(Failure::said(format!("the source could not be fetched (curl: {code})"))),
        Exit::Cancelled => Err(Failure::Cancelled),
        Exit::TimedOut | Exit::OutOfMemory | Exit::DiskFull => {
            Err(Failure::said("the source could not be fetched: it takes too long or is too large"))
        }
    }
}

/// The user of containers.
fn request_owner() -> (u32, u32) {
    (crate::slugs::OWNER, crate::slugs::OWNER)
}
