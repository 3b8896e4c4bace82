//! What the environment says: the one place of this program that reads it.

use std::env;
use std::path::PathBuf;

use reqwest::Url;

use crate::failure::Failure;

/// Where the API is when nothing else is said.
const DEFAULT_HOST: &str = "http://localhost:5000";

/// The settings of a run.
pub(crate) struct Settings {
    /// URL of the API (`PAAS_HOST`), without a path.
    pub(crate) host: Url,
    /// Token that goes before the one in the netrc file (`PAAS_API_KEY`).
    pub(crate) api_key: Option<String>,
    /// App to work on (`PAAS_APP`), after `--app` and `--remote`.
    pub(crate) app: Option<String>,
    /// A PEM file with certificate authorities to trust besides the system's (`PAAS_CA_CERT`).
    pub(crate) ca_cert: Option<PathBuf>,
    /// The netrc file: `NETRC`, else `~/.netrc`.
    pub(crate) netrc: Option<PathBuf>,
    /// The user's folder (`HOME`).
    pub(crate) home: Option<PathBuf>,
    /// Editor for `config:edit` (`VISUAL`, `EDITOR`).
    pub(crate) editor: String,
    /// The user's shell (`SHELL`).
    pub(crate) shell: Option<String>,
    /// Type of the terminal (`TERM`), for one-off dynos.
    pub(crate) term: Option<String>,
    /// Whether there is a desktop to open a browser on.
    pub(crate) desktop: bool,
    /// Where programs keep what they learn: `XDG_DATA_HOME`, else `~/.local/share`.
    pub(crate) data: Option<PathBuf>,
    /// The user's own settings of git: `GIT_CONFIG_GLOBAL`, else the two files in the home.
    pub(crate) git_configs: Vec<PathBuf>,
    /// The proxy to the outside (`HTTPS_PROXY`) as `HOST:PORT`.
    pub(crate) proxy: Option<String>,
    /// Certificate authorities that Node trusts besides its own (`NODE_EXTRA_CA_CERTS`).
    pub(crate) node_ca: Option<PathBuf>,
    /// Names of the variables of Heroku's command line that are set.
    pub(crate) heroku: Vec<String>,
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn read() -> Result<Self, Failure> {
        Ok(Self {
            host: parse_host(&text("PAAS_HOST").unwrap_or_else(|| DEFAULT_HOST.to_owned()))?,
            api_key: text("PAAS_API_KEY"),
            app: text("PAAS_APP"),
            ca_cert: text("PAAS_CA_CERT").map(PathBuf::from),
            home: text("HOME").map(PathBuf::from),
            netrc: text("NETRC").map(PathBuf::from).or_else(|| home(".netrc")),
            editor: text("VISUAL").or_else(|| text("EDITOR")).unwrap_or_else(|| "vi".to_owned()),
            shell: text("SHELL"),
            term: text("TERM"),
            desktop: cfg!(target_os = "macos") || text("DISPLAY").is_some() || text("WAYLAND_DISPLAY").is_some(),
            data: text("XDG_DATA_HOME").map(PathBuf::from).or_else(|| home(".local/share")),
            git_configs: text("GIT_CONFIG_GLOBAL").map_or_else(
                || {
                    let xdg = text("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home(".config"));
                    xdg.map(|folder| folder.join("git/config")).into_iter().chain(home(".gitconfig")).collect()
                },
                |file| vec![PathBuf::from(file)],
            ),
            proxy: text("HTTPS_PROXY").or_else(|| text("https_proxy")).as_deref().and_then(authority),
            node_ca: text("NODE_EXTRA_CA_CERTS").map(PathBuf::from),
            heroku: env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|name| name.starts_with("HEROKU_"))
                .collect(),
        })
    }

    /// Settings of a test, with nothing but a host.
    #[cfg(test)]
    pub(crate) fn of(host: Url) -> Self {
        Self {
            host,
            api_key: None,
            app: None,
            ca_cert: None,
            netrc: None,
            home: None,
            editor: String::new(),
            shell: None,
            term: None,
            desktop: false,
            data: None,
            git_configs: Vec::new(),
            proxy: None,
            node_ca: None,
            heroku: Vec::new(),
        }
    }

    /// The host as the netrc file names it: with the port where one is written.
    pub(crate) fn machine(&self) -> String {
        let host = self.host.host_str().unwrap_or_default();
        match self.host.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The API's URL without a slash at the end.
    pub(crate) fn base(&self) -> String {
        self.host.as_str().trim_end_matches('/').to_owned()
    }
}

#[allow(clippy::disallowed_methods, reason = "this is where the settings are read")]
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A file or folder in the home.
fn home(name: &str) -> Option<PathBuf> {
    text("HOME").map(|home| PathBuf::from(home).join(name))
}

/// `HOST:PORT` of a proxy, which may be written without scheme and port.
fn authority(proxy: &str) -> Option<String> {
    let with_scheme = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let url = Url::parse(&with_scheme).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

fn parse_host(text: &str) -> Result<Url, Failure> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&with_scheme)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    url.ok_or_else(|| {
        Failure::usage(format!("PAAS_HOST is {text:?}, which is no URL of an API."))
            .hint(format!("Set it to something like {DEFAULT_HOST}."))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(parse_host("http://localhost:5000").unwrap().as_str(), "http://localhost:5000/");
        assert_eq!(parse_host("api.example.com").unwrap().as_str(), "https://api.example.com/");
        assert!(parse_host("ftp://example.com").is_err());
        assert!(parse_host("http://").is_err());
    }
}
