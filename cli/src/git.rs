//! Git as the command line needs it: remotes, and a credential helper so that a push needs no
//! typing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::failure::Failure;
use crate::settings::Settings;

/// Name of the remote that leads to paas.
pub(crate) const REMOTE: &str = "paas";

/// A remote of the repository around the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Its name.
    pub(crate) name: String,
    /// Where it leads.
    pub(crate) url: String,
}

/// All remotes; none outside a repository or where git is not installed.
pub(crate) fn remotes() -> Vec<Remote> {
    let output =
        Command::new("git").args(["config", "--get-regexp", r"^remote\..*\.url$"]).stderr(Stdio::null()).output();
    let Ok(output) = output else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_remote).collect()
}

fn parse_remote(line: &str) -> Option<Remote> {
    let (key, url) = line.split_once(' ')?;
    let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
    Some(Remote { name: name.to_owned(), url: url.to_owned() })
}

/// The app that a remote's URL names on this host: `http(s)://HOST/APP.git`. Scheme and user
/// don't matter, since the same server answers to both.
pub(crate) fn app_of_url(url: &str, settings: &Settings) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (authority, path) = rest.split_once('/')?;
    let machine = authority.rsplit_once('@').map_or(authority, |(_, machine)| machine);
    let app = path.trim_end_matches('/');
    let app = app.strip_suffix(".git").unwrap_or(app);
    let host = settings.host.host_str().unwrap_or_default();
    let ours = machine == settings.machine()
        || machine == format!("git.{host}")
        || host.strip_prefix("api.").is_some_and(|base| machine == format!("git.{base}"));
    (ours && !app.is_empty() && !app.contains('/')).then(|| app.to_owned())
}

/// Where an app is pushed to.
pub(crate) fn url(settings: &Settings, app: &str) -> String {
    format!("{}/{app}.git", settings.base())
}

/// Whether the working directory is in a repository.
pub(crate) fn in_repository() -> bool {
    Command::new("git")
        .args(["rev-parse", "--git-dir"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes a remote, or points the one of that name elsewhere.
pub(crate) fn set_remote(name: &str, url: &str) -> anyhow::Result<()> {
    let exists = remotes().iter().any(|remote| remote.name == name);
    run(&["remote", if exists { "set-url" } else { "add" }, name, url])
}

/// Takes a remote away.
pub(crate) fn remove_remote(name: &str) -> anyhow::Result<()> {
    run(&["remote", "remove", name])
}

/// Settings that let git reach this host: this program hands it the token, and the
/// certificate authority is trusted where one is set. As `(key, value)` of `git config`.
pub(crate) fn host_config(settings: &Settings) -> Vec<(String, String)> {
    let base = settings.base();
    let mut config = vec![helper(&base)];
    if let Some(ca_cert) = settings.ca_cert.as_ref().and_then(|file| file.canonicalize().ok()) {
        config.push((format!("http.{base}.sslCAInfo"), ca_cert.display().to_string()));
    }
    config
}

/// The setting by which this program hands git the token for a host.
pub(crate) fn helper(base: &str) -> (String, String) {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().unwrap_or(Path::new("paas")).display();
    (format!("credential.{base}.helper"), format!("!'{program}' git:credentials"))
}

/// Whether git is installed.
pub(crate) fn is_there() -> bool {
    Command::new("git").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Writes [`host_config`] into the repository.
pub(crate) fn configure_host(settings: &Settings) -> anyhow::Result<()> {
    host_config(settings).iter().try_for_each(|(key, value)| run(&["config", key, value]))
}

/// Runs git with its output shown.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let status =
        Command::new("git").args(arguments).status().context("git can't be started; install it and try again")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`git {}` failed.", arguments.join(" "))).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn settings(host: &str) -> Settings {
        Settings::of(host.parse().unwrap())
    }

    #[test]
    fn apps_of_urls() {
        let local = settings("http://localhost:5000");
        for (url, app) in [
            ("http://localhost:5000/blog.git", Some("blog")),
            ("https://localhost:5000/blog.git", Some("blog")),
            ("https://heroku:secret@localhost:5000/blog.git/", Some("blog")),
            ("https://localhost:5000/blog", Some("blog")),
            ("https://localhost:5001/blog.git", None),
            ("https://github.com/me/blog.git", None),
            ("git@localhost:5000/blog.git", None),
            ("http://localhost:5000/", None),
            ("http://localhost:5000/a/b.git", None),
        ] {
            assert_eq!(app_of_url(url, &local).as_deref(), app, "{url}");
        }
        let public = settings("https://api.example.com");
        assert_eq!(app_of_url("https://git.example.com/blog.git", &public).as_deref(), Some("blog"));
    }

    #[test]
    fn lines_of_git_config() {
        assert_eq!(
            parse_remote("remote.my.fork.url https://localhost/a.git"),
            Some(Remote { name: "my.fork".to_owned(), url: "https://localhost/a.git".to_owned() })
        );
    }
}
