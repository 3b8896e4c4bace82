//! The repositories of apps, and how git is started on them: nothing of the machine's or of a
//! user's configuration is read, and no hook runs but ours.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;
use uuid::Uuid;

use crate::context::Context;

/// Largest push, in bytes.
const LARGEST_PUSH: u64 = 2 * 1024 * 1024 * 1024;

/// Where an app's repository is.
pub(super) fn path(cx: &Context, app: Uuid) -> PathBuf {
    cx.path("git").join(format!("{app}.git"))
}

/// The unix socket on which the daemon waits for hooks.
pub(super) fn hook_socket(cx: &Context) -> PathBuf {
    cx.path("run").join("hook.sock")
}

/// Makes an app's repository unless it is there; gives its path.
pub(super) async fn ensure(cx: &Context, app: Uuid) -> io::Result<PathBuf> {
    let path = path(cx, app);
    if tokio::fs::try_exists(path.join("HEAD")).await? {
        return Ok(path);
    }
    // Made beside and renamed, so that a half-made one is never used.
    let fresh = path.with_extension(format!("{}.tmp", Uuid::new_v4()));
    tokio::fs::create_dir_all(&fresh).await?;
    let output =
        git(cx, &["init", "--bare", "--quiet", "--template=", "--initial-branch=main"]).arg(&fresh).output().await?;
    if !output.status.success() {
        let _ = tokio::fs::remove_dir_all(&fresh).await;
        return Err(io::Error::other(format!("git init: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    match tokio::fs::rename(&fresh, &path).await {
        Ok(()) => Ok(path),
        Err(error) => {
            let _ = tokio::fs::remove_dir_all(&fresh).await;
            // Somebody else was first.
            if tokio::fs::try_exists(path.join("HEAD")).await? { Ok(path) } else { Err(error) }
        }
    }
}

/// A git program with arguments, in an environment of its own.
pub(super) fn git(cx: &Context, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    let hooks = cx.path("run").join("hooks");
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .env("LANG", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("-c")
        .arg({
            let mut setting = std::ffi::OsString::from("core.hooksPath=");
            setting.push(hooks);
            setting
        })
        .args(["-c", "receive.advertisePushOptions=false"])
        .args(["-c", &format!("receive.maxInputSize={LARGEST_PUSH}")])
        .args(["-c", "uploadpack.allowFilter=true"])
        .args(["-c", "gc.auto=2000", "-c", "gc.autoDetach=true"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group: a Ctrl-C on the daemon's terminal is not git's.
        .process_group(0);
    command
}

/// Writes the hook that calls `program`.
pub(super) fn write_hook(cx: &Context, program: &Path) -> io::Result<()> {
    let Some(program) = program.to_str().filter(|text| !text.contains(['\'', '\n'])) else {
        return Err(io::Error::other(format!("can't be called by a hook: {}", program.display())));
    };
    let hooks = cx.path("run").join("hooks");
    std::fs::create_dir_all(&hooks)?;
    let fresh = hooks.join("pre-receive.new");
    std::fs::write(&fresh, format!("#!/bin/sh\nexec '{program}' hook pre-receive\n"))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(fresh, hooks.join("pre-receive"))
}

/// What a daemon that was killed has left in repositories: half-made ones, and objects of pushes
/// that git never took.
pub fn recover(cx: &Context) -> io::Result<()> {
    let root = cx.path("git");
    std::fs::create_dir_all(&root)?;
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_dir_all(&path)?;
            continue;
        }
        for object in std::fs::read_dir(path.join("objects")).into_iter().flatten() {
            let object = object?;
            let name = object.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("incoming-") || name.starts_with("tmp_objdir-incoming-") {
                std::fs::remove_dir_all(object.path())?;
            }
        }
    }
    Ok(())
}
