//! Reads git repositories for pipelines: their branches, and a branch's tree as an archive.
//!
//! A program `git` does it, with an argument vector, in an environment of its own: nothing of the
//! machine's configuration is read, nothing is asked, redirections are not followed. Addresses
//! that lead back to this machine are refused.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;
use uuid::Uuid;

use crate::context::Context;

/// How long a repository may take to tell its branches.
const LIST: Duration = Duration::from_secs(30);

/// How long fetching a branch may take.
const FETCH: Duration = Duration::from_secs(600);

/// Most bytes of what a repository tells of its branches.
const LARGEST_LIST: usize = 4 << 20;

/// Most bytes of a fetched branch, as git keeps it.
const LARGEST_FETCH: u64 = 2 << 30;

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
    /// It leads to this machine.
    #[error("The repository's address leads to the server itself.")]
    Inward,
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
    #[error("The repository is too large: a branch may have 2 GB.")]
    TooLarge,
    /// The server's own failure.
    #[error("git could not be run: {0}")]
    Run(#[from] std::io::Error),
}

/// The branches of a repository, by name.
pub async fn branches(repo: &Repo) -> Result<Vec<Branch>, RepoError> {
    let mut command = git(repo);
    command.args(["ls-remote", "--heads", "--"]).arg(address(repo).await?);
    let text = run(command, LIST).await?;
    if text.len() > LARGEST_LIST {
        return Err(RepoError::TooLarge);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let branch = |line: &str| {
        let (commit, name) = line.split_once('\t')?;
        let name = name.strip_prefix("refs/heads/")?;
        Some(Branch { name: name.to_owned(), commit: commit.to_owned() })
    };
    Ok(text.lines().filter_map(branch).collect())
}

/// Writes the tree of a branch into a file, as a gzipped tar. A half-written file is never left
/// at `target`.
pub async fn archive(cx: &Context, repo: &Repo, branch: &str, target: &Path) -> Result<(), RepoError> {
    if branch.starts_with('-') || branch.contains(['\0', '\n', ':', '*', '^', '~', '?', '[', '\\']) {
        return Err(RepoError::Git("that is no branch's name".into()));
    }
    let fresh = target.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let work = cx.path("run").join(format!("fetch-{}", Uuid::new_v4().simple()));
    let made = async {
        let (dir, tree) = match repo {
            Repo::Local(path) => (path.clone(), format!("refs/heads/{branch}")),
            Repo::Remote(_) => {
                let mut init = git(repo);
                init.args(["init", "--bare", "--quiet", "--template="]).arg(&work);
                run(init, LIST).await?;
                let mut fetch = git(repo);
                fetch.arg("-C").arg(&work).args(["fetch", "--quiet", "--depth", "1", "--no-tags", "--"]);
                fetch.arg(address(repo).await?).arg(format!("refs/heads/{branch}:refs/heads/fetched"));
                run(fetch, FETCH).await?;
                let held = work.clone();
                let size =
                    tokio::task::spawn_blocking(move || paas_buildpacks::tree::usage(&held, LARGEST_FETCH, 1_000_000))
                        .await;
                if size.is_ok_and(|usage| usage.bytes > LARGEST_FETCH) {
                    return Err(RepoError::TooLarge);
                }
                (work.clone(), "refs/heads/fetched".to_owned())
            }
        };
        let mut archive = git(repo);
        archive.arg("-C").arg(dir).args(["archive", "--format=tar.gz"]);
        archive.arg({
            let mut output = std::ffi::OsString::from("--output=");
            output.push(&fresh);
            output
        });
        archive.args(["--end-of-options", &tree]);
        run(archive, FETCH).await?;
        tokio::fs::rename(&fresh, target).await?;
        Ok(())
    }
    .await;
    let _ = tokio::fs::remove_file(&fresh).await;
    let _ = tokio::fs::remove_dir_all(&work).await;
    made
}

fn git(repo: &Repo) -> Command {
    let mut command = Command::new("git");
    let protocols = match repo {
        Repo::Remote(_) => "https:http",
        Repo::Local(_) => "file",
    };
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .env("LANG", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "/bin/false")
        .env("GIT_ALLOW_PROTOCOL", protocols)
        .args(["-c", "http.followRedirects=false", "-c", "credential.helper=", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30"])
        .args(["-c", "fetch.unpackLimit=1", "-c", "gc.auto=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// What git is given; an address of strangers is looked at first.
async fn address(repo: &Repo) -> Result<std::ffi::OsString, RepoError> {
    let url = match repo {
        Repo::Local(path) => return Ok(path.clone().into_os_string()),
        Repo::Remote(url) => url,
    };
    let parsed = url::Url::parse(url).map_err(|_| RepoError::Address)?;
    if !matches!(parsed.scheme(), "https" | "http") {
        return Err(RepoError::Address);
    }
    let host = parsed.host_str().ok_or(RepoError::Address)?.trim_matches(['[', ']']).to_owned();
    let port = parsed.port_or_known_default().unwrap_or(443);
    let mut found = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|_| RepoError::Host(host.clone()))?;
    if found.any(|address| is_inward(address.ip())) {
        return Err(RepoError::Inward);
    }
    Ok(url.into())
}

/// Whether an address is this machine's own, or what clouds answer to machines.
fn is_inward(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_link_local() || ip.is_multicast(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_inward(IpAddr::V4(ip)),
            None => ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast(),
        },
    }
}

async fn run(mut command: Command, limit: Duration) -> Result<Vec<u8>, RepoError> {
    let output = tokio::time::timeout(limit, command.output()).await.map_err(|_| RepoError::Late)??;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gives no reason");
    // An address with a token in it is not repeated.
    let plain: String = last.split_whitespace().map(plain).collect::<Vec<_>>().join(" ");
    Err(RepoError::Git(plain.chars().take(300).collect()))
}

fn plain(word: &str) -> String {
    if word.contains("://") { paas_buildpacks::output::plain_address(word) } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::is_inward;

    #[test]
    fn addresses_of_the_machine_are_known() {
        for inward in
            ["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1", "::ffff:127.0.0.1"]
        {
            assert!(inward.parse().is_ok_and(is_inward), "{inward}");
        }
        for outward in ["10.0.0.1", "192.168.1.1", "93.184.216.34", "2001:db8::1"] {
            assert!(outward.parse().is_ok_and(|ip| !is_inward(ip)), "{outward}");
        }
    }
}
