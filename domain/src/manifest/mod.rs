//! `app.json`: what an app needs to be set up, as its authors say it in the source.
//!
//! Heroku's format. It is read leniently, because files in the wild are: unknown keys are
//! left out with a warning, a plain string stands for the object that it abbreviates, and
//! numbers and booleans stand for the strings they look like. What can't be understood is
//! an error that names the place, `env.SECRET.generator`, and what is allowed there.

mod overlay;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::name::{ConfigKey, ProcessType};
use crate::size::Size;

/// Largest app.json that is read, in bytes (1 MB).
pub const LARGEST: usize = 1024 * 1024;

/// What an app.json says. Everything is optional in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// A name for people; not the app's name on the platform.
    pub name: Option<String>,
    /// What the app is.
    pub description: Option<String>,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Its page.
    pub website: Option<String>,
    /// Where its source is.
    pub repository: Option<String>,
    /// URL of a picture.
    pub logo: Option<String>,
    /// Where to send who has set it up, a path or URL.
    pub success_url: Option<String>,
    /// The stack it is built and run on.
    pub stack: Option<String>,
    /// Config vars that it needs.
    pub env: BTreeMap<ConfigKey, EnvVar>,
    /// Add-ons that it needs, in order.
    pub addons: Vec<Addon>,
    /// How many dynos of which type and size it starts with.
    pub formation: BTreeMap<ProcessType, Formation>,
    /// How it is built, in order; none means: detect.
    pub buildpacks: Vec<Buildpack>,
    /// What runs when, such as `postdeploy`.
    pub scripts: BTreeMap<String, Script>,
    /// What is different in `test`, `review` and so on.
    pub environments: BTreeMap<String, Manifest>,
    /// The keys that the file has: `"addons": []` says something, and no `addons` doesn't.
    #[serde(skip)]
    pub stated: BTreeSet<String>,
}

/// A config var that an app needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvVar {
    /// What it is for.
    pub description: Option<String>,
    /// What it is when nobody says otherwise.
    pub value: Option<String>,
    /// How a value is made when there is none.
    pub generator: Option<Generator>,
    /// Whether the app can't do without (it can't unless it says so).
    pub required: bool,
}

/// How the value of a config var is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// 64 random hexadecimal digits.
    Secret,
}

/// An add-on that an app needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Addon {
    /// `service` or `service:plan`.
    pub plan: String,
    /// The name that its config vars begin with.
    #[serde(rename = "as")]
    pub attachment: Option<String>,
    /// What the service is told, as text.
    pub options: BTreeMap<String, String>,
}

/// Dynos of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Formation {
    /// How many, 0 to 100.
    pub quantity: u32,
    /// How large; `None` is the usual one.
    pub size: Option<Size>,
}

/// A step of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buildpack {
    /// A URL, or a name such as `heroku/ruby`.
    pub url: String,
}

/// A command that runs once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Script {
    /// What is run.
    pub command: String,
    /// On how large a dyno; `None` is the usual one.
    pub size: Option<Size>,
}

/// What came out of a file, and what its author should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub manifest: Manifest,
    /// Sentences about what was left out.
    pub warnings: Vec<String>,
}

/// Why a file is no app.json.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than 1 MB.
    #[error("app.json is too large: {size} bytes, at most {LARGEST} (1 MB) are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Not JSON.
    #[error("app.json is not valid JSON: {0}")]
    Syntax(String),
    /// JSON, but not what belongs there.
    #[error("app.json: {place} {problem}")]
    Value {
        /// The keys that lead there, with dots between.
        place: Place,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// The keys that lead to a value, such as `env.SECRET.generator` or `addons[0].plan`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the file" } else { &self.0 })
    }
}

impl Manifest {
    /// Reads an app.json.
    ///
    /// # Errors
    /// When the file is too large, no JSON, or a value can't be understood; the error names
    /// its place.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, ManifestError> {
        if bytes.len() > LARGEST {
            return Err(ManifestError::TooLarge { size: bytes.len() });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value = serde_json::from_slice(bytes).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        let mut warnings = Vec::new();
        let manifest = read::manifest(&Place::default(), &value, &mut warnings)?;
        Ok(Parsed { manifest, warnings })
    }
}

#[cfg(test)]
mod tests;
