//! One build, from the source tree to the directory that becomes the slug.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::catalog::Catalog;
use crate::compile;
use crate::detect;
use crate::output::Output;
use crate::process_types;
use crate::release::{self, ReleaseInfo};
use crate::sandbox::{CancellationToken, Limits, Mount, Sandbox, SandboxError};
use crate::source;
use crate::tree;

/// Everything that a build is made of.
#[derive(Debug, Clone)]
pub struct Request {
    /// Unique: of `[a-z0-9-]`; names the sandbox and, by its first eight characters, the build directory.
    pub id: String,
    /// The build's own directory on the host, with the source tree in `source/`. Next to it are
    /// made `app/`, `env/`, `tmp/` and `result/`.
    pub directory: PathBuf,
    /// What the app's buildpacks keep between builds.
    pub cache: PathBuf,
    /// The stack's name, told to buildpacks as `STACK`.
    pub stack: String,
    /// The stack's build image, as the sandbox names it.
    pub image: String,
    /// Marks of the sandbox; see [`crate::sandbox::Step::labels`].
    pub labels: Vec<(String, String)>,
    /// The buildpacks that the app was told to use, in order; none: look at the source.
    pub buildpacks: Vec<String>,
    /// The app's config vars: files in `ENV_DIR`, not in the environment.
    pub config_vars: BTreeMap<String, String>,
    /// A build for tests: packs that have a `bin/test-compile` run that, and the last pack is
    /// left in this directory of the slug, for its `bin/test`.
    pub tests: Option<String>,
    /// The commit, told to buildpacks as `SOURCE_VERSION`.
    pub source_version: String,
    /// Environment of every program beside the contract's own: proxies, indexes, CA bundle.
    pub env: Vec<(String, String)>,
    /// Files for the programs beside the contract's own: the CA bundle.
    pub mounts: Vec<Mount>,
    /// Repositories inside the source that git keeps as links only.
    pub submodules: Vec<Submodule>,
    /// Who owns what the sandbox can write to: its user and group.
    pub owner: (u32, u32),
    /// What the build may use.
    pub limits: Limits,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// A repository inside a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Where in the tree, relative, without `..`.
    pub path: String,
    /// Where it is fetched from.
    pub url: String,
    /// The commit that the outer repository asks for.
    pub commit: String,
}

/// What a build came to. The slug's tree is `source/` in the build's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the tree of the slug is.
    pub slug: PathBuf,
    /// Type → command: the Procfile over the last buildpack's defaults.
    pub process_types: BTreeMap<String, String>,
    /// The buildpacks that ran, by address as stored.
    pub buildpacks: Vec<String>,
    /// What they called the app: `Ruby`, `Node.js, Ruby`.
    pub description: String,
    /// Add-ons that the last buildpack wants for a first release.
    pub addons: Vec<String>,
    /// Config vars that it wants where they are not set.
    pub config_vars: BTreeMap<String, String>,
}

/// Why there is no slug.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source or its buildpacks are at fault; the reason has been told in the output.
    #[error("{0}")]
    Rejected(String),
    /// It took longer than it may.
    #[error("the build took longer than {0} seconds; split it up or raise the limit (PAAS_BUILD_TIMEOUT)")]
    TimedOut(u64),
    /// It used more memory than it may.
    #[error("the build used more than {0} MB of memory; use less or raise the limit (PAAS_BUILD_MEMORY)")]
    OutOfMemory(u64),
    /// It wrote more than it may.
    #[error(
        "the build wrote more than {0} MB to disk, or over a million files; write less or raise the limit (PAAS_BUILD_DISK)"
    )]
    DiskFull(u64),
    /// A user ended it.
    #[error("the build was cancelled")]
    Cancelled,
    /// The sandbox failed, not the build.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The host's disk failed, not the build.
    #[error("the build's files: {0}")]
    Io(#[from] io::Error),
}

/// Runs a build. What it says goes to `output` as it comes, the reason of a rejection included;
/// how it ended is the caller's to tell.
///
/// # Errors
/// See [`BuildError`]: all but the last two are the pusher's to mend.
pub async fn build(
    sandbox: &dyn Sandbox,
    catalog: &Catalog,
    request: &Request,
    output: &mut dyn Output,
) -> Result<Outcome, BuildError> {
    use crate::output::Speak;

    let tree = request.directory.join("source");
    output.heading(&format!("Building on the {} stack", request.stack));
    let prune_root = tree.clone();
    for warning in off_thread(move || source::prune(&prune_root)).await? {
        output.warning(&warning);
    }
    let buildpack_url = request.config_vars.get("BUILDPACK_URL").map(String::as_str);
    let choice = detect::choose(&request.buildpacks, buildpack_url, &tree, catalog, output)?;

    let used = compile::run(sandbox, catalog, request, &choice, output).await?;

    let result = request.directory.join("result");
    let info = match tree::read(&result, "release.yml", release::LIMIT)? {
        Some(bytes) => ReleaseInfo::parse(&bytes).map_err(|error| {
            output.warning(&error.to_string());
            BuildError::Rejected(error.to_string())
        })?,
        None => ReleaseInfo::default(),
    };
    let process_types = process_types::discover(&tree, &info.default_process_types, output)?;
    Ok(Outcome {
        slug: tree,
        process_types,
        buildpacks: used.iter().map(|used| used.url.clone()).collect(),
        description: used.iter().map(|used| used.name.as_str()).collect::<Vec<_>>().join(", "),
        addons: info.addons,
        config_vars: info.config_vars,
    })
}

/// Work on many files, away from the threads that wait for sockets.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
