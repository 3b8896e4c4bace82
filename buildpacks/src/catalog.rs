//! The buildpacks that come with paas, and how others are named: by a Heroku name, a git
//! repository or an archive.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::output::plain_address;

#[derive(RustEmbed)]
#[folder = "packs/"]
#[exclude = "*/test/*"]
#[exclude = "*/tests/*"]
struct Embedded;

/// The program that runs a build inside the sandbox; mounted beside the packs.
const RUNNER: &[u8] = include_bytes!("runner/run.sh");

/// Our packs, in the order in which they are asked whether the source is theirs: what is sure
/// of its language first, what takes nearly anything last.
const OURS: [Ours; 5] = [
    Ours { dir: "ruby", name: "heroku/ruby", aliases: &["ruby"], about: "Ruby, with Bundler and Rails" },
    Ours {
        dir: "node",
        name: "heroku/nodejs",
        aliases: &["node", "nodejs", "heroku/node"],
        about: "Node.js, with npm, Yarn or pnpm",
    },
    Ours {
        dir: "python",
        name: "heroku/python",
        aliases: &["python"],
        about: "Python, with pip, uv, Pipenv or Poetry",
    },
    Ours {
        dir: "static",
        name: "paas/static",
        aliases: &["static", "heroku/static", "heroku-community/static"],
        about: "Files that are served as they are",
    },
    Ours {
        dir: "procfile",
        name: "paas/procfile",
        aliases: &["procfile", "heroku/procfile"],
        about: "A Procfile whose commands need no build",
    },
];

/// Where Heroku's registry keeps the packs that are named `namespace/name`.
const REGISTRY: &str = "https://buildpack-registry.s3.amazonaws.com/buildpacks";

struct Ours {
    /// Its directory in `packs/`.
    dir: &'static str,
    /// What Heroku calls it, so that clients and app.json files know it.
    name: &'static str,
    aliases: &'static [&'static str],
    /// What it is for.
    about: &'static str,
}

/// A buildpack of ours, for those who look for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// `heroku/ruby`.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// Its own page, as Markdown.
    pub readme: String,
}

/// All of ours.
pub fn described() -> Vec<Described> {
    let readme = |dir: &str| {
        let file = Embedded::get(&format!("{dir}/README.md"));
        file.map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default()
    };
    OURS.iter().map(|ours| Described { name: ours.name, about: ours.about, readme: readme(ours.dir) }).collect()
}

/// A buildpack as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRef {
    /// What users see: `heroku/ruby`, or the address as it was given, without credentials.
    pub name: String,
    /// What is stored and handed to clients as `url`: `urn:buildpack:heroku/ruby`, or the
    /// address as it was given.
    pub url: String,
    /// Where it is.
    pub location: Location,
}

/// Where a buildpack is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the catalog, under this directory.
    Ours(&'static str),
    /// A repository, fetched in the sandbox by each build.
    Git {
        /// `https://`, `http://` or `git://`.
        url: String,
        /// Branch, tag or commit; none: the default branch.
        reference: Option<String>,
    },
    /// A gzipped tar archive, fetched in the sandbox by each build.
    Archive {
        /// `https://` or `http://`.
        url: String,
    },
}

/// Why a text doesn't name a buildpack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Neither ours nor of the form `namespace/name`.
    #[error(
        "{0:?} is not a buildpack paas knows: use one of heroku/ruby, heroku/nodejs, heroku/python, paas/static, paas/procfile, a name of Heroku's registry (namespace/name), or the https:// address of a git repository or .tgz archive"
    )]
    Unknown(String),
    /// An address that builds can't fetch from.
    #[error("can't fetch a buildpack from {0:?}: use an https:// address of a git repository or .tgz archive")]
    Scheme(String),
    /// No address is that long.
    #[error("a buildpack's name or address has at most {LONGEST} bytes, and this has {0}")]
    Long(usize),
    /// What follows the `#` is no branch, tag or commit.
    #[error("{0:?} after # is not a branch, tag or commit")]
    Reference(String),
}

/// Most bytes of a buildpack's name or address.
const LONGEST: usize = 2000;

impl PackRef {
    /// Understands a name, an address or an URN, as `buildpacks:set`, `.buildpacks` and the API
    /// take them.
    ///
    /// # Errors
    /// Says what forms there are when it is none of them.
    pub fn parse(text: &str) -> Result<Self, PackError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(PackError::Long(text.len()));
        }
        let name = text.strip_prefix("urn:buildpack:").unwrap_or(text);
        let lower = name.to_ascii_lowercase();
        if let Some(ours) = OURS.iter().find(|ours| ours.name == lower || ours.aliases.contains(&lower.as_str())) {
            return Ok(Self::ours(ours));
        }
        match name.split_once("://") {
            Some((scheme, rest)) => Self::address(text, scheme, rest),
            None if registry_name(&lower) => Ok(Self {
                name: lower.clone(),
                url: format!("urn:buildpack:{lower}"),
                location: Location::Archive { url: format!("{REGISTRY}/{lower}.tgz") },
            }),
            None if name.contains('@') && name.contains(':') => Err(PackError::Scheme(text.to_owned())),
            None => Err(PackError::Unknown(text.to_owned())),
        }
    }

    fn ours(ours: &'static Ours) -> Self {
        Self {
            name: ours.name.to_owned(),
            url: format!("urn:buildpack:{}", ours.name),
            location: Location::Ours(ours.dir),
        }
    }

    fn address(text: &str, scheme: &str, rest: &str) -> Result<Self, PackError> {
        let strange = |c: char| c.is_whitespace() || c.is_control();
        if !matches!(scheme, "https" | "http" | "git")
            || rest.is_empty()
            || rest.starts_with('-')
            || text.contains(strange)
        {
            return Err(PackError::Scheme(plain_address(text)));
        }
        let (address, reference) = match text.split_once('#') {
            Some((address, reference)) => (address, Some(reference.to_owned()).filter(|r| !r.is_empty())),
            None => (text, None),
        };
        let path = address.split('?').next().unwrap_or(address);
        let location = if path.ends_with(".tgz") || path.ends_with(".tar.gz") {
            Location::Archive { url: address.to_owned() }
        } else {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._/-+@".contains(c);
            if let Some(reference) = &reference
                && (reference.starts_with('-') || reference.contains("..") || !reference.chars().all(fits))
            {
                return Err(PackError::Reference(reference.clone()));
            }
            Location::Git { url: address.to_owned(), reference }
        };
        Ok(Self { name: plain_address(text), url: text.to_owned(), location })
    }
}

/// `namespace/name` of Heroku's registry.
fn registry_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    text.split_once('/').is_some_and(|(namespace, name)| part(namespace) && part(name))
}

/// Our packs as a directory, for mounting into sandboxes.
#[derive(Debug, Clone)]
pub struct Catalog {
    root: PathBuf,
}

impl Catalog {
    /// Writes the packs that are inside this program to `directory/<hash of them all>/`, unless
    /// they are there already.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(RUNNER);
        let mut files: Vec<_> = Embedded::iter().collect();
        files.sort();
        for file in &files {
            hash.update((file.len() as u64).to_le_bytes());
            hash.update(file.as_bytes());
            if let Some(file) = Embedded::get(file) {
                hash.update((file.data.len() as u64).to_le_bytes());
                hash.update(&file.data);
            }
        }
        let name: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let root = directory.join(&name);
        if !root.is_dir() {
            let fresh = directory.join(format!("{name}.{}", std::process::id()));
            let _ = fs::remove_dir_all(&fresh);
            write(&fresh.join("runner/run.sh"), RUNNER)?;
            for file in &files {
                let Some(content) = Embedded::get(file) else { continue };
                for path in places(file) {
                    write(&fresh.join("packs").join(path), &content.data)?;
                }
            }
            fs::create_dir_all(fresh.join("packs"))?;
            // Of two at once, the first wins; both wrote the same.
            if let Err(error) = fs::rename(&fresh, &root) {
                let _ = fs::remove_dir_all(&fresh);
                if !root.is_dir() {
                    return Err(error);
                }
            }
        }
        Ok(Self { root })
    }

    /// Where the packs are: one directory each.
    pub fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// Where `run.sh` is.
    pub fn runner(&self) -> PathBuf {
        self.root.join("runner")
    }

    /// Those that are asked in turn when an app names none.
    pub fn defaults(&self) -> Vec<PackRef> {
        OURS.iter().filter(|ours| self.packs().join(ours.dir).is_dir()).map(PackRef::ours).collect()
    }
}

/// Where an embedded file goes: what all packs share (`lib/…`) into each of them, so that each
/// is a whole buildpack by itself.
fn places(file: &str) -> Vec<PathBuf> {
    if file.starts_with("lib/") {
        OURS.iter().map(|ours| Path::new(ours.dir).join(file)).collect()
    } else {
        vec![PathBuf::from(file)]
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    // What is embedded has lost its mode.
    let mode = if content.starts_with(b"#!") { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_of_ours_has_a_page_about_itself() {
        for pack in described() {
            assert!(pack.readme.starts_with(&format!("# {}\n", pack.name)), "{}", pack.name);
        }
    }

    #[test]
    fn names_and_aliases() {
        for name in ["ruby", "heroku/ruby", "urn:buildpack:heroku/ruby", " Heroku/Ruby "] {
            let pack = PackRef::parse(name).unwrap();
            assert_eq!((pack.name.as_str(), pack.url.as_str()), ("heroku/ruby", "urn:buildpack:heroku/ruby"), "{name}");
        }
        assert_eq!(PackRef::parse("nodejs").unwrap().location, Location::Ours("node"));
        assert_eq!(
            PackRef::parse("heroku-community/apt").unwrap().location,
            Location::Archive { url: format!("{REGISTRY}/heroku-community/apt.tgz") }
        );
    }

    #[test]
    fn addresses() {
        let pack = PackRef::parse("https://github.com/heroku/heroku-buildpack-go#v12").unwrap();
        assert_eq!(pack.name, "https://github.com/heroku/heroku-buildpack-go#v12");
        assert_eq!(
            pack.location,
            Location::Git {
                url: "https://github.com/heroku/heroku-buildpack-go".into(),
                reference: Some("v12".into())
            }
        );
        assert_eq!(
            PackRef::parse("https://x.example/a.tgz?token=1").unwrap().location,
            Location::Archive { url: "https://x.example/a.tgz?token=1".into() }
        );
    }

    #[test]
    fn refuses_what_could_harm_or_mislead() {
        for text in [
            "",
            "/",
            "nonsense",
            "../../etc",
            "ext::sh -c id",
            "file:///etc",
            "git@github.com:a/b.git",
            "ssh://git@x/y",
            "https://x/y#--upload-pack=evil",
            "https://x/y#a..b",
            "https://",
            "https://-x/y",
            "https://x/y z",
            "--pack",
            "a/b/c",
        ] {
            assert!(PackRef::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn is_written_once_and_runnable() {
        let dir = std::env::temp_dir().join(format!("paas-catalog-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let catalog = Catalog::open(&dir).unwrap();
        let runner = catalog.runner().join("run.sh");
        assert_eq!(fs::metadata(&runner).unwrap().permissions().mode() & 0o777, 0o755);
        let again = Catalog::open(&dir).unwrap();
        assert_eq!(again.root, catalog.root);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
