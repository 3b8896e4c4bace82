//! Runs the packs of a build in one sandbox: lays out the directories of the contract, starts
//! the runner, and tells what its end means.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use crate::build::{BuildError, Request, off_thread};
use crate::cache::Cache;
use crate::catalog::{Catalog, Location};
use crate::detect::Choice;
use crate::output::{Output, Speak, human_size};
use crate::sandbox::{Exit, Mount, Sandbox, Step};
use crate::tree;

/// Where things are inside the sandbox.
const CACHE: &str = "/paas/cache";
const ENV: &str = "/paas/env";
const RESULT: &str = "/paas/result";
const RUNNER: &str = "/paas/runner";
const PACKS: &str = "/paas/packs";
const WORK: &str = "/tmp";
/// What the runner fetches and runs, in its work directory: addresses may hold credentials,
/// which arguments would show to whoever looks at processes or containers.
const PLAN: &str = "plan";

/// A pack that ran.
pub(crate) struct Used {
    /// Its address, as stored.
    pub(crate) url: String,
    /// What it called the app.
    pub(crate) name: String,
}

pub(crate) async fn run(
    sandbox: &dyn Sandbox,
    catalog: &Catalog,
    request: &Request,
    choice: &Choice,
    output: &mut dyn Output,
) -> Result<Vec<Used>, BuildError> {
    let cache = Cache::new(&request.cache);
    let layout = request.clone();
    trim(&cache, request.limits.disk_bytes, output).await?;
    let cache_made = cache.clone();
    let plan = plan(request, choice);
    off_thread(move || lay_out(&layout, &cache_made, &plan)).await?;
    let step = step(catalog, request, choice.set);
    let exit = sandbox.run(&step, output).await;
    if !matches!(exit, Ok(Exit::Code(_))) {
        // Cut off in the middle of anything: a cache may be half written.
        off_thread(move || cache.purge()).await?;
    }
    let megabytes = |bytes: u64| bytes >> 20;
    let limits = &request.limits;
    match exit? {
        Exit::Code(0) => used(request, choice),
        Exit::Code(code) => Err(BuildError::Rejected(failure(request, code, output)?)),
        Exit::OutOfMemory => Err(BuildError::OutOfMemory(megabytes(limits.memory_bytes))),
        Exit::TimedOut => Err(BuildError::TimedOut(limits.time.as_secs())),
        Exit::DiskFull => Err(BuildError::DiskFull(megabytes(limits.disk_bytes))),
        Exit::Cancelled => Err(BuildError::Cancelled),
    }
}

/// Empties a cache that leaves a build less than half of the disk that it may write: it counts,
/// and nothing else makes it smaller.
async fn trim(cache: &Cache, disk_bytes: u64, output: &mut dyn Output) -> io::Result<()> {
    let measured = cache.clone();
    let size = off_thread(move || Ok(measured.bytes())).await?;
    if size > disk_bytes / 2 {
        output.warning(&format!(
            "The build cache has grown to {}, over half of what a build may write ({}).\n\
             It was emptied: this build takes longer than usual.",
            human_size(size),
            human_size(disk_bytes)
        ));
        let cache = cache.clone();
        off_thread(move || cache.purge()).await?;
    }
    Ok(())
}

/// Why the runner stopped: in its own words when it had any.
fn failure(request: &Request, code: i32, output: &mut dyn Output) -> Result<String, BuildError> {
    let said = tree::read(&request.directory.join("result"), "failure", 1000)?;
    let said = said.map(|bytes| clean(&bytes)).filter(|text| !text.is_empty());
    Ok(match (said, code) {
        (Some(text), _) => text,
        (None, 71) => "no buildpack fits the source".to_owned(),
        (None, 75) => "a buildpack could not be fetched".to_owned(),
        (None, 76) => "a submodule could not be fetched".to_owned(),
        (None, _) => {
            let text = format!("the build ended with status {code}");
            output.warning(&format!("Push rejected, {text}."));
            text
        }
    })
}

/// One line that is safe to show and to store, whatever was written.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control()).take(200).collect::<String>().trim().to_owned()
}

fn used(request: &Request, choice: &Choice) -> Result<Vec<Used>, BuildError> {
    let result = request.directory.join("result");
    let read = |name: &str| -> io::Result<Option<String>> {
        Ok(tree::read(&result, name, 1000)?.map(|bytes| clean(&bytes)).filter(|text| !text.is_empty()))
    };
    let packs = if choice.set {
        choice.packs.iter().collect()
    } else {
        let index = read("chosen")?.and_then(|text| text.parse::<usize>().ok());
        index.and_then(|index| choice.packs.get(index)).into_iter().collect::<Vec<_>>()
    };
    let mut used = Vec::new();
    for (index, pack) in packs.into_iter().enumerate() {
        let name = read(&format!("name.{index}"))?.unwrap_or_else(|| pack.name.clone());
        used.push(Used { url: pack.url.clone(), name });
    }
    Ok(used)
}

/// The directories that the sandbox sees, fresh and in the hands of its user.
fn lay_out(request: &Request, cache: &Cache, plan: &[u8]) -> io::Result<()> {
    let directory = &request.directory;
    for name in ["app", "env", "tmp", "result"] {
        tree::remove(&directory.join(name))?;
        fs::create_dir_all(directory.join(name))?;
    }
    for (key, value) in &request.config_vars {
        // A key is a plain name by the platform's rules; one that isn't would be a path.
        if !key.is_empty() && !key.contains(['/', '\0']) && key != "." && key != ".." {
            fs::write(directory.join("env").join(key), value)?;
        }
    }
    let file = directory.join("tmp").join(PLAN);
    fs::write(&file, plan)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    let owner = (fs::metadata(directory)?.uid() == 0).then_some(request.owner);
    for name in ["app", "tmp", "result", "source", "env"] {
        own(&directory.join(name), owner)?;
    }
    let cache = cache.open()?;
    if let Some((user, group)) = owner {
        lchown(cache, Some(user), Some(group))?;
    }
    fs::set_permissions(directory.join("env"), fs::Permissions::from_mode(0o755))
}

/// Hands a whole tree to a user; links themselves, not what they point to.
fn own(root: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    let mut waiting: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        lchown(&path, Some(user), Some(group))?;
        if path.symlink_metadata()?.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// The words of [`PLAN`], each with a NUL behind it.
fn plan(request: &Request, choice: &Choice) -> Vec<u8> {
    let mut words: Vec<&str> = Vec::new();
    for module in &request.submodules {
        words.extend(["--submodule", &module.path, &module.url, &module.commit]);
    }
    if let Some(place) = &request.tests {
        words.extend(["--tests", place]);
    }
    for pack in &choice.packs {
        let (kind, place, reference) = match &pack.location {
            Location::Ours(dir) => ("dir", *dir, ""),
            Location::Git { url, reference } => ("git", url.as_str(), reference.as_deref().unwrap_or_default()),
            Location::Archive { url } => ("tgz", url.as_str(), ""),
        };
        words.extend(["--pack", &pack.name, kind, place, reference]);
    }
    words.iter().flat_map(|word| word.bytes().chain([0])).collect()
}

fn step(catalog: &Catalog, request: &Request, set: bool) -> Step {
    let short: String = request.id.chars().filter(|c| *c != '-').take(8).collect();
    let build_dir = format!("{WORK}/build_{short}");
    let mount = |host: PathBuf, container: &str, read_only| Mount { host, container: container.to_owned(), read_only };
    let mut mounts = vec![
        mount(request.directory.join("tmp"), WORK, false),
        mount(request.directory.join("source"), &build_dir, false),
        mount(request.directory.join("app"), "/app", false),
        mount(request.cache.clone(), CACHE, false),
        mount(request.directory.join("result"), RESULT, false),
        mount(request.directory.join("env"), ENV, true),
        mount(catalog.runner(), RUNNER, true),
        mount(catalog.packs(), PACKS, true),
    ];
    mounts.extend(request.mounts.iter().cloned());

    let argv: Vec<String> = vec![
        format!("{RUNNER}/run.sh"),
        build_dir.clone(),
        CACHE.to_owned(),
        ENV.to_owned(),
        RESULT.to_owned(),
        WORK.to_owned(),
        PACKS.to_owned(),
        if set { "set" } else { "detect" }.to_owned(),
    ];

    let mut env: Vec<(String, String)> = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/app"),
        ("LANG", "C.UTF-8"),
        ("STACK", &request.stack),
        ("SOURCE_VERSION", &request.source_version),
        ("REQUEST_ID", &request.id),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    env.extend(request.env.iter().cloned());

    Step {
        name: format!("build-{}", request.id),
        labels: request.labels.clone(),
        image: request.image.clone(),
        argv,
        env,
        mounts,
        cwd: build_dir,
        limits: request.limits.clone(),
        cancel: request.cancel.clone(),
    }
}
