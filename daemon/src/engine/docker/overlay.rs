//! A dyno's files: `dynos/<id>/{upper,work,tmp,end}` and the volume that lays `upper` over the
//! unpacked slug.
//!
//! The volume is Docker's own `local` driver told to mount an overlay, so Docker mounts it
//! when the container starts and takes it away when it ends; nothing of ours has to run for
//! that. The slug's directory (`lower`) is shared by all dynos of the release and never
//! written.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use uuid::Uuid;

use super::super::{DynoSpec, EngineError, Result};
use super::client::{failed, status};
use super::{DockerEngine, names};

/// The name of [`DynoFiles::note`].
const NOTE: &str = "end";
/// How often, a tenth of a second apart, a volume is asked to go while Docker still unmounts.
const RELEASE_TRIES: u32 = 50;

/// What of a dyno's files is mounted beside its volume.
pub(super) struct DynoFiles {
    /// Becomes `/tmp`.
    pub(super) tmp: PathBuf,
    /// The file in which init notes that the kernel killed for memory: Docker hears of that
    /// from another side than of the end, and forgets it when it hears of it later.
    pub(super) note: PathBuf,
}

/// What init writes into it.
const OUT_OF_MEMORY: &str = "oom";

impl DockerEngine {
    /// Makes the dyno's directories and its volume.
    pub(super) async fn ensure_overlay(&self, spec: &DynoSpec) -> Result<DynoFiles> {
        let directory = self.dyno_dir(spec.id);
        let (made, slug) = (directory.clone(), spec.slug_dir.clone());
        let lower = blocking(move || make_directories(&made, slug.as_deref())).await?;
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        let [lower, upper, work] = [option_path(&lower)?, option_path(&upper)?, option_path(&work)?];
        let options = HashMap::from([
            ("type".to_owned(), "overlay".to_owned()),
            ("device".to_owned(), "overlay".to_owned()),
            ("o".to_owned(), format!("nosuid,nodev,lowerdir={lower},upperdir={upper},workdir={work}")),
        ]);
        let volume = VolumeCreateRequest {
            name: Some(names::dyno_volume(spec.id)),
            driver: Some("local".to_owned()),
            driver_opts: Some(options),
            labels: Some(self.dyno_labels(spec)),
            ..Default::default()
        };
        let docker = self.docker().await?;
        docker.create_volume(volume).await.map_err(|error| failed("make the dyno's volume", error))?;
        Ok(DynoFiles { tmp: directory.join("tmp"), note: directory.join(NOTE) })
    }

    /// Removes volume and directories. Gone is success, and so is a volume that Docker has
    /// miscounted: the search for orphans comes back to it.
    pub(super) async fn remove_overlay(&self, dyno: Uuid) -> Result<()> {
        let volume = names::dyno_volume(dyno);
        match self.remove_volume(&volume).await {
            Err(error) if miscounted(&error) => tracing::warn!(
                "Docker still counts a mount of the volume {volume}, which has ended: it does so, before 24.0.6, of containers that have outlived a restart of the engine. The volume goes after the engine's next start."
            ),
            other => other?,
        }
        let directory = self.dyno_dir(dyno);
        blocking(move || remove_tree(&directory)).await
    }

    /// Removes a volume. Gone is success; one that is about to be released is waited for.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<()> {
        let docker = self.docker().await?;
        for _ in 0..RELEASE_TRIES {
            match docker.remove_volume(name, None::<RemoveVolumeOptions>).await {
                Ok(()) => return Ok(()),
                Err(error) if status(&error) == Some(404) => return Ok(()),
                Err(error) if status(&error) == Some(409) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(failed("remove a volume", error)),
            }
        }
        Err(EngineError::InUse { what: format!("the volume {name}"), by: "a container".to_owned() })
    }

    /// Whether init has noted that the kernel killed for memory. What is there is the dyno's
    /// own word: it can lie of nobody but itself.
    pub(super) fn noted_out_of_memory(&self, dyno: Uuid) -> bool {
        let mut text = [0; OUT_OF_MEMORY.len()];
        let read = std::fs::File::open(self.dyno_dir(dyno).join(NOTE)).and_then(|mut note| note.read_exact(&mut text));
        read.is_ok() && text == OUT_OF_MEMORY.as_bytes()
    }

    /// Where everything that a dyno writes is.
    pub(super) fn dyno_dir(&self, dyno: Uuid) -> PathBuf {
        self.config().data_dir.join("dynos").join(dyno.to_string())
    }
}

/// Whether a volume that no container has any more is refused as if one had it mounted: Docker
/// forgot its count at a restart with `live-restore`, and counted below zero from there.
fn miscounted(error: &EngineError) -> bool {
    matches!(error, EngineError::Other { why, .. } if why.contains("volume has active mounts"))
}

/// Runs file work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(EngineError::Other { action: "work on the disk".to_owned(), why: error.to_string() })
    })
}

/// Makes `upper`, `work`, `tmp` and the note, owned by the dyno; gives the lower directory.
fn make_directories(directory: &Path, slug: Option<&Path>) -> Result<PathBuf> {
    for name in ["upper", "work", "tmp"] {
        let path = directory.join(name);
        std::fs::create_dir_all(&path).map_err(|error| EngineError::disk("making", &path, &error))?;
        // `work` is the kernel's; the root of the overlay gets the upper's owner.
        if name != "work" {
            chown(&path, Some(names::DYNO_UID), Some(names::DYNO_UID))
                .map_err(|error| EngineError::disk("giving the dyno's user", &path, &error))?;
        }
        let mode = if name == "tmp" { 0o1777 } else { 0o755 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| EngineError::disk("setting the mode of", &path, &error))?;
    }
    let note = directory.join(NOTE);
    if !note.exists() {
        std::fs::write(&note, []).map_err(|error| EngineError::disk("making", &note, &error))?;
        chown(&note, Some(names::DYNO_UID), Some(names::DYNO_UID))
            .map_err(|error| EngineError::disk("giving the dyno's user", &note, &error))?;
    }
    if let Some(slug) = slug {
        if !slug.is_dir() {
            return Err(EngineError::Disk {
                action: format!("finding the unpacked slug {}", slug.display()),
                why: "there is no such directory".to_owned(),
            });
        }
        return Ok(slug.to_owned());
    }
    let empty = directory.join("empty");
    std::fs::create_dir_all(&empty).map_err(|error| EngineError::disk("making", &empty, &error))?;
    Ok(empty)
}

/// A path as part of mount options, which separate by comma and, for lower directories, colon.
fn option_path(path: &Path) -> Result<&str> {
    path.to_str()
        .filter(|text| path.is_absolute() && !text.contains([',', ':', '\\', '"', '\n']))
        .ok_or_else(|| {
            EngineError::Setting(format!(
                "{} can't be mounted: the data directory's path has to be absolute and free of , : \\ and quotes. Choose another PAAS_DATA_DIR.",
                path.display()
            ))
        })
}

/// Removes a directory with all that is in it. Gone is success.
fn remove_tree(directory: &Path) -> Result<()> {
    paas_buildpacks::tree::remove(directory).map_err(|error| EngineError::disk("removing", directory, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_would_break_the_mount_options_are_refused() {
        for bad in ["relative", "/a:b", "/a,b", "/a\\b"] {
            assert!(matches!(option_path(Path::new(bad)), Err(EngineError::Setting(_))), "{bad}");
        }
        assert_eq!(option_path(Path::new("/var/lib/paas")), Ok("/var/lib/paas"));
    }
}
