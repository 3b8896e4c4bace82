//! Which app a command works on: `--app`, `--remote`, `PAAS_APP`, or the git remotes of the
//! working directory.

use clap::Args;

use crate::failure::Failure;
use crate::git::{self, Remote};
use crate::settings::Settings;

/// The options that name an app.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AppArgs {
    /// App to work on
    #[arg(short, long, value_name = "APP", help_heading = "App")]
    app: Option<String>,
    /// Git remote of the app to work on
    #[arg(short, long, value_name = "REMOTE", help_heading = "App")]
    remote: Option<String>,
}

impl AppArgs {
    /// Takes an option of ours off the end of another program's words, since habit puts it there:
    /// `run bash --app blog`. What was given before the words stays. True when there was one.
    pub(crate) fn take_from_end(&mut self, words: &mut Vec<String>) -> bool {
        let (option, value, length) = match words.as_slice() {
            [_, .., last] if last.starts_with("--") && last.contains('=') => {
                let (option, value) = last.split_once('=').unwrap_or_default();
                (option.to_owned(), value.to_owned(), 1)
            }
            [_, .., option, value] => (option.clone(), value.clone(), 2),
            _ => return false,
        };
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if value.is_empty() || !value.chars().all(name) || value.starts_with('-') {
            return false;
        }
        let slot = match option.as_str() {
            "-a" | "--app" => &mut self.app,
            "-r" | "--remote" => &mut self.remote,
            _ => return false,
        };
        if slot.is_some() {
            return false;
        }
        *slot = Some(value);
        words.truncate(words.len() - length);
        true
    }

    /// The app's name, or an error that says how to give one.
    pub(crate) fn name(&self, settings: &Settings) -> Result<String, Failure> {
        if let Some(app) = &self.app {
            return Ok(app.clone());
        }
        if let (None, Some(app)) = (&self.remote, &settings.app) {
            return Ok(app.clone());
        }
        choose(&git::remotes(), self.remote.as_deref(), settings)
    }

    /// The app's name, or none where none is named anywhere.
    pub(crate) fn name_if_any(&self, settings: &Settings) -> Result<Option<String>, Failure> {
        if self.app.is_some() || self.remote.is_some() {
            return self.name(settings).map(Some);
        }
        Ok(self.name(settings).ok())
    }
}

/// Picks the app out of the remotes: the wanted one, else the one called `paas`, else the only
/// one that leads to this host.
fn choose(remotes: &[Remote], wanted: Option<&str>, settings: &Settings) -> Result<String, Failure> {
    let app = |remote: &Remote| git::app_of_url(&remote.url, settings);
    if let Some(wanted) = wanted {
        let remote = remotes.iter().find(|remote| remote.name == wanted).ok_or_else(|| {
            Failure::usage(format!("This repository has no git remote called {wanted}."))
                .hint("See `git remote -v`, or name the app with --app.")
        })?;
        return app(remote).ok_or_else(|| {
            Failure::usage(format!(
                "The git remote {wanted} leads to {}, which is no app of {}.",
                remote.url,
                settings.base()
            ))
            .hint("Name the app with --app, or the server with PAAS_HOST.")
        });
    }
    if let Some(name) = remotes.iter().find(|remote| remote.name == git::REMOTE).and_then(app) {
        return Ok(name);
    }
    let found: Vec<(&Remote, String)> = remotes.iter().filter_map(|remote| Some((remote, app(remote)?))).collect();
    match found.as_slice() {
        [(_, name)] => Ok(name.clone()),
        [] => Err(Failure::usage("No app is named, and no git remote here leads to one.").hint(
            "Name it with --app APP, run this in the app's repository, \
             or connect the repository with `paas git:remote --app APP`.",
        )),
        several => {
            let list: Vec<String> = several.iter().map(|(remote, name)| format!("{name} ({})", remote.name)).collect();
            Err(Failure::usage(format!("Several git remotes lead to apps: {}.", list.join(", ")))
                .hint("Choose one with --app APP or --remote REMOTE."))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn settings() -> Settings {
        Settings::of("http://localhost:5000".parse().unwrap())
    }

    fn remote(name: &str, url: &str) -> Remote {
        Remote { name: name.to_owned(), url: url.to_owned() }
    }

    #[test]
    fn options_at_the_end_of_a_command() {
        let take = |line: &str| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let mut args = AppArgs::default();
            while args.take_from_end(&mut words) {}
            (words.join(" "), args.app, args.remote)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(take("bash -a blog"), ("bash".to_owned(), some("blog"), None));
        assert_eq!(take("rake x --app=blog"), ("rake x".to_owned(), some("blog"), None));
        assert_eq!(take("bash -r staging -a blog"), ("bash".to_owned(), some("blog"), some("staging")));
        for line in ["grep -r foo .", "ls -a", "ls -a /tmp", "rails c --sandbox", "--app=x", "-a x", "cmd -a --all"] {
            assert_eq!(take(line), (line.to_owned(), None, None));
        }
    }

    #[test]
    fn choices() {
        let origin = remote("origin", "https://github.com/me/blog.git");
        let paas = remote("paas", "http://localhost:5000/blog.git");
        let staging = remote("staging", "http://localhost:5000/blog-staging.git");
        let other = remote("other", "http://localhost:5000/other.git");
        let all = [origin.clone(), staging.clone(), paas, other.clone()];
        assert_eq!(choose(&all, None, &settings()).unwrap(), "blog");
        assert_eq!(choose(&all, Some("staging"), &settings()).unwrap(), "blog-staging");
        assert!(choose(&all, Some("origin"), &settings()).is_err());
        assert!(choose(&all, Some("nope"), &settings()).is_err());
        assert_eq!(choose(&[origin.clone(), staging.clone()], None, &settings()).unwrap(), "blog-staging");
        assert!(choose(&[staging, other], None, &settings()).is_err());
        assert!(choose(&[origin], None, &settings()).is_err());
    }
}
