//! Reads git repositories for pipelines: their branches, and a branch's tree as an archive.
//!
//! A program `git` does it, with an argument vector, in an environment of its own: nothing of the
//! machine's configuration is read, nothing is asked, redirections are not followed. `run` has its
//! bounds; `address` refuses what drains and webhooks may not reach either.

mod address;
mod run;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use address::Address;
use run::{git, run, turn};
use uuid::Uuid;

use crate::{context::Context, outbound::Guard};

/// How long a repository may take to tell its branches.
const LIST: Duration = Duration::from_secs(30);

/// How long fetching a branch may take.
const FETCH: Duration = Duration::from_secs(600);

/// Most bytes of what a repository tells of its branches.
const LARGEST_LIST: u64 = 4 << 20;

/// Most bytes of a fetched branch, as git keeps it, and of its archive: as of an uploaded source.
const LARGEST_FETCH: u64 = 2 << 30;

/// How directories that branches are fetched into begin.
const WORK: &str = "fetch-";

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repo {
    /// Behind an address.
    Remote(String),
    /// A bare one of this machine.
    Local(PathBuf),
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Its name, without `refs/heads/`.
    pub name: String,
    /// The commit it is at.
    pub commit: String,
}

/// Why a repository can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// No such address.
    #[error("The repository's address must begin with https:// or http://.")]
    Address,
    /// It leads where nobody may be sent.
    #[error("The repository can't be asked: {0}.")]
    NotAllowed(String),
    /// No such host.
    #[error("The repository's host {0} can't be found.")]
    Host(String),
    /// git's own words.
    #[error("git could not read the repository: {0}")]
    Git(String),
    /// It took too long.
    #[error("The repository does not answer in time.")]
    Late,
    /// It is too large.
    #[error("The repository is too large: a branch may have 2 GB, and the list of branches 4 MB.")]
    TooLarge,
    /// Others are being read.
    #[error("Too many repositories are being read now. Try again in a moment.")]
    Busy,
    /// The disk is full.
    #[error("The machine has no disk left for the archive. Try again when there is some.")]
    Full,
    /// The server's own failure.
    #[error("git could not be run: {0}")]
    Run(#[from] std::io::Error),
}

/// The branches of a repository, by name.
pub async fn branches(cx: &Context, repo: &Repo) -> Result<Vec<Branch>, RepoError> {
    let _turn = turn(repo).await?;
    let mut command = git(repo);
    command.args(["ls-remote", "--heads", "--"]);
    match repo {
        Repo::Local(path) => {
            command.arg(path);
        }
        Repo::Remote(url) => {
            let address = Address::check(&Guard::new(cx.config()), url).await?;
            address.settings(command.arg(address.url()));
        }
    }
    let mut text = Vec::new();
    run(command, LIST, LARGEST_LIST, &mut text, || true).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let branch = |line: &str| {
        let (commit, name) = line.split_once('\t')?;
        let name = name.strip_prefix("refs/heads/")?;
        Some(Branch { name: name.to_owned(), commit: commit.to_owned() })
    };
    Ok(text.lines().filter_map(branch).collect())
}

/// A file or directory that goes with this value, unless somebody has renamed it meanwhile.
#[derive(Debug)]
pub struct Scrap(PathBuf);

impl Scrap {
    /// At this path, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        let removed = if self.0.is_dir() { std::fs::remove_dir_all(&self.0) } else { std::fs::remove_file(&self.0) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "what was left of a repository can't be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Writes the tree of a branch into a file, as a gzipped tar, as long as there is `room` on the
/// disk. A half-written file is never left at `target`, nor beside it.
pub async fn archive(
    cx: &Context,
    repo: &Repo,
    branch: &str,
    target: &Path,
    room: impl Fn() -> bool,
) -> Result<(), RepoError> {
    if branch.starts_with('-') || branch.contains(['\0', '\n', ':', '*', '^', '~', '?', '[', '\\']) {
        return Err(RepoError::Git("that is no branch's name".into()));
    }
    let _turn = turn(repo).await?;
    let fresh = Scrap::new(target.with_extension(format!("{}.new", Uuid::new_v4().simple())));
    let work = Scrap::new(cx.path("run").join(format!("{WORK}{}", Uuid::new_v4().simple())));
    let (directory, tree) = match repo {
        Repo::Local(path) => (path.as_path(), format!("refs/heads/{branch}")),
        Repo::Remote(url) => {
            fetch(cx, repo, url, branch, work.path()).await?;
            (work.path(), "refs/heads/fetched".to_owned())
        }
    };
    let mut archive = git(repo);
    archive.arg("-C").arg(directory).args(["archive", "--format=tar.gz", "--end-of-options", &tree]);
    let mut file = tokio::fs::File::create(fresh.path()).await?;
    run(archive, FETCH, LARGEST_FETCH, &mut file, room).await?;
    Ok(tokio::fs::rename(fresh.path(), target).await?)
}

/// Fetches a branch into a new repository.
async fn fetch(cx: &Context, repo: &Repo, url: &str, branch: &str, work: &Path) -> Result<(), RepoError> {
    let nothing = &mut tokio::io::sink();
    let mut init = git(repo);
    init.args(["init", "--bare", "--quiet", "--template="]).arg(work);
    run(init, LIST, LARGEST_LIST, nothing, || true).await?;
    let address = Address::check(&Guard::new(cx.config()), url).await?;
    let mut fetch = git(repo);
    fetch.arg("-C").arg(work).args(["fetch", "--quiet", "--depth", "1", "--no-tags", "--"]);
    address.settings(fetch.arg(address.url()).arg(format!("refs/heads/{branch}:refs/heads/fetched")));
    run(fetch, FETCH, LARGEST_LIST, nothing, || true).await
}

/// Removes what a daemon that was killed has left of repositories it read.
pub fn clear(cx: &Context) {
    let left = |directory: &str, is_left: fn(&str) -> bool| {
        let entries = std::fs::read_dir(cx.path(directory)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is_left)).for_each(|e| drop(Scrap(e.path())));
    };
    left("run", |name| name.starts_with(WORK));
    left("sources", |name| name.ends_with(".new"));
}
