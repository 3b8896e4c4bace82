//! The environment under which Heroku's command line works with another server, and tells
//! nobody else its token.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::trust;
use crate::git;
use crate::settings::Settings;

/// Variables besides `HEROKU_*` that would lead it elsewhere.
const TAKEN_AWAY: [&str; 8] = [
    "SSO_URL",
    "TRUST_ONLY",
    "IS_HEROKU_TEST_ENV",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Its own variables that lead nowhere and stay.
const KEPT: [&str; 4] = ["HEROKU_DEBUG", "HEROKU_DEBUG_HEADERS", "HEROKU_NOTIFICATIONS", "HEROKU_REDIS_ADDON_NAME"];

/// Where nobody listens: for what it sends the token to by a way that knows no proxy.
const NOWHERE: &str = "127.0.0.1:9";

/// What is set for it.
pub(super) struct Surroundings {
    vars: Vec<(&'static str, String)>,
    taken_away: Vec<String>,
    /// Settings of git's for the server, of which its remotes are.
    git: Vec<(String, String)>,
}

impl Surroundings {
    /// By way of the forwarder on `listener`; files go into `folder`.
    pub(super) async fn of_forwarder(
        settings: &Settings,
        token: String,
        listener: &TcpListener,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let port = listener.local_addr().context("The forwarder has no address")?.port();
        let mut surroundings = Self::new(port, token, settings);
        let ca = folder.join("ca.pem");
        trust::make(folder, settings.node_ca.as_deref())?;
        surroundings.set("NODE_EXTRA_CA_CERTS", ca.display().to_string());
        surroundings.set("HEROKU_GIT_HOST", settings.machine());
        surroundings.git = git_config(settings).await;
        // Its own helper goes into a file that ends with it, not into the user's.
        let config = folder.join("gitconfig");
        std::fs::write(&config, git_file(settings, &surroundings.git))
            .with_context(|| format!("{} can't be written", config.display()))?;
        surroundings.set("GIT_CONFIG_GLOBAL", config.display().to_string());
        Ok(surroundings)
    }

    fn new(port: u16, token: String, settings: &Settings) -> Self {
        // Not `localhost`, whose other address somebody else may listen on.
        let host = "127.0.0.1";
        let base = format!("http://{host}:{port}");
        let mut vars = vec![
            ("HEROKU_API_KEY", token),
            ("HEROKU_HOST", base.clone()),
            ("HEROKU_PARTICLEBOARD_URL", base.clone()),
            ("HEROKU_BUILDPACK_REGISTRY_URL", base.clone()),
            ("HEROKU_STATUS_HOST", base.clone()),
            ("HEROKU_LOGIN_HOST", base.clone()),
            ("HEROKU_DATA_HOST", host.to_owned()),
            ("PGDIAGNOSE_URL", host.to_owned()),
            ("HEROKU_EXEC_URL", format!("https://{host}:{port}/")),
            ("HEROKU_CI_WEBSOCKET_URL", format!("ws://{NOWHERE}")),
            ("HEROKU_NETRC_WRITE", "true".to_owned()),
            ("HEROKU_SKIP_NEW_VERSION_CHECK", "true".to_owned()),
            ("DISABLE_TELEMETRY", "true".to_owned()),
        ];
        // What it asks of Heroku's hosts past all of these ends at the forwarder.
        vars.extend(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].map(|name| (name, base.clone())));
        let mut taken_away: Vec<String> = TAKEN_AWAY.map(str::to_owned).into();
        taken_away.extend(settings.heroku.iter().filter(|name| !KEPT.contains(&name.as_str())).cloned());
        Self { vars, taken_away, git: Vec::new() }
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.vars.push((name, value));
    }

    /// Gives it to a program.
    pub(super) fn apply(&self, command: &mut tokio::process::Command) {
        for name in &self.taken_away {
            command.env_remove(name);
        }
        command.envs(self.vars.iter().map(|(name, value)| (name, value)));
    }

    /// As lines for a shell.
    pub(super) fn for_shell(&self) -> String {
        let mut text = String::new();
        for name in self.taken_away.iter().filter(|name| !self.vars.iter().any(|(set, _)| set == name)) {
            let _ = writeln!(text, "unset {name}");
        }
        for (name, value) in &self.vars {
            // Files of ours are gone when we are, and git has its own settings.
            if *name != "GIT_CONFIG_GLOBAL" {
                let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"));
            }
        }
        text
    }

    /// Leaves git what it needs for the remotes that were made, without us.
    pub(super) fn keep_for_git(&self) -> anyhow::Result<()> {
        for (key, value) in &self.git {
            git::run(&["config", "--global", key, value])?;
        }
        Ok(())
    }
}

/// How git reaches the server by the address that Heroku's command line writes: always TLS.
async fn git_config(settings: &Settings) -> Vec<(String, String)> {
    let base = format!("https://{}", settings.machine());
    let mut config = vec![git::helper(&base)];
    let ca: Option<PathBuf> = match settings.host.scheme() {
        // Without TLS for the API there is one of the server's own, for git; none: none is needed.
        "http" => trust::learn(settings).await.ok(),
        _ => settings.ca_cert.as_ref().and_then(|file| file.canonicalize().ok()),
    };
    if let Some(ca) = ca {
        config.push((format!("http.{base}/.sslCAInfo"), ca.display().to_string()));
    }
    config
}

/// A file of settings for git: the user's, and these.
fn git_file(settings: &Settings, config: &[(String, String)]) -> String {
    let mut text = String::new();
    for file in &settings.git_configs {
        let _ = writeln!(text, "[include]\n\tpath = \"{}\"", escaped(&file.display().to_string()));
    }
    for (key, value) in config {
        let mut parts = key.splitn(2, '.');
        let section = parts.next().unwrap_or_default();
        if let Some((subsection, name)) = parts.next().and_then(|rest| rest.rsplit_once('.')) {
            let _ = writeln!(text, "[{section} \"{}\"]\n\t{name} = \"{}\"", escaped(subsection), escaped(value));
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn nothing_is_left_that_leads_elsewhere() {
        let mut settings = Settings::of("https://api.example.com".parse().unwrap());
        settings.heroku = ["HEROKU_CLOUD", "HEROKU_HOST", "HEROKU_DEBUG"].map(str::to_owned).into();
        let surroundings = Surroundings::new(5, "it's".to_owned(), &settings);
        let text = surroundings.for_shell();
        for line in [
            "unset HEROKU_CLOUD\n",
            "unset NODE_TLS_REJECT_UNAUTHORIZED\n",
            "export HEROKU_HOST='http://127.0.0.1:5'\n",
            "export DISABLE_TELEMETRY='true'\n",
            "export https_proxy='http://127.0.0.1:5'\n",
            "export HEROKU_CI_WEBSOCKET_URL='ws://127.0.0.1:9'\n",
            r"export HEROKU_API_KEY='it'\''s'",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("unset HEROKU_HOST") && !text.contains("HEROKU_DEBUG"), "{text}");
    }

    #[test]
    fn gits_settings() {
        let mut settings = Settings::of("https://api.example.com".parse().unwrap());
        settings.git_configs = vec!["/home/me/.gitconfig".into()];
        let config = [("credential.https://a.b:1.helper".to_owned(), "!'/x y/paas' git:credentials".to_owned())];
        assert_eq!(
            git_file(&settings, &config),
            "[include]\n\tpath = \"/home/me/.gitconfig\"\n[credential \"https://a.b:1\"]\n\thelper = \"!'/x y/paas' git:credentials\"\n"
        );
    }
}
