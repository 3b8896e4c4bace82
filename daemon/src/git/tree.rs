//! From a commit to a directory of source, without a checkout: no index, no filters, no
//! hooks, nothing of the repository's configuration.
//!
//! A tree is a stranger's: names that would leave the directory are refused, links that point
//! out of it too, and every file and directory is made fresh. Links are made last, so that
//! nothing is ever written through one: git lets a tree name a link and a directory alike.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _, fs::symlink},
    path::{Component, Path, PathBuf},
};

use git2::{ObjectType, Oid, Repository, Tree};
use paas_buildpacks::build::Submodule;

/// How deep directories may be.
const DEEPEST: usize = 500;
/// How many entries a tree may have.
const MOST: usize = 1_000_000;

/// How many bytes one file may have.
const LARGEST: usize = 1 << 30;

/// Why a commit doesn't become a directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    /// The pusher's to mend.
    #[error("{0}")]
    Refused(String),
    /// Git's objects could not be read.
    #[error("git objects could not be read: {0}")]
    Git(#[from] git2::Error),
    /// The disk said no.
    #[error("the source could not be written: {0}")]
    Io(#[from] std::io::Error),
}

/// What was found in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extracted {
    /// First line of its message.
    pub(super) description: String,
    /// Repositories that are only links in it.
    pub(super) submodules: Vec<Submodule>,
}

/// Opens a repository together with objects that a push has brought and git has not taken
/// yet.
pub(super) fn open(git_dir: &Path, quarantine: Option<&Path>) -> Result<Repository, git2::Error> {
    let repository = Repository::open_bare(git_dir)?;
    if let Some(quarantine) = quarantine.and_then(Path::to_str) {
        repository.odb()?.add_disk_alternate(quarantine)?;
    }
    Ok(repository)
}

/// Writes the tree of a commit to the new directory `target`.
pub(super) fn extract(repository: &Repository, commit: &str, target: &Path) -> Result<Extracted, TreeError> {
    let commit = repository.find_commit(Oid::from_str(commit)?)?;
    let root = commit.tree()?;
    let objects = repository.odb()?;
    fs::create_dir_all(target)?;
    let mut entries = 0;
    let mut modules: Vec<(PathBuf, String)> = Vec::new();
    let mut links: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut waiting: Vec<(Tree<'_>, PathBuf, usize)> = vec![(root, PathBuf::new(), 0)];
    while let Some((tree, path, depth)) = waiting.pop() {
        if depth > DEEPEST {
            return Err(TreeError::Refused(format!("directories are nested deeper than {DEEPEST}")));
        }
        if !path.as_os_str().is_empty() {
            fresh(&path, fs::create_dir(target.join(&path)))?;
        }
        for entry in &tree {
            entries += 1;
            if entries > MOST {
                return Err(TreeError::Refused(format!("the source has more than {MOST} files")));
            }
            let name = entry.name_bytes();
            if name.eq_ignore_ascii_case(b".git") {
                continue;
            }
            let inner = path.join(std::ffi::OsStr::from_bytes(name));
            if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
                return Err(TreeError::Refused(format!("a file is named {:?}", String::from_utf8_lossy(name))));
            }
            let place = target.join(&inner);
            match entry.kind() {
                Some(ObjectType::Tree) => waiting.push((repository.find_tree(entry.id())?, inner, depth + 1)),
                Some(ObjectType::Commit) => {
                    fresh(&inner, fs::create_dir(&place))?;
                    modules.push((inner, entry.id().to_string()));
                }
                Some(ObjectType::Blob) => {
                    // A file passes through memory, whole.
                    let (size, _) = objects.read_header(entry.id())?;
                    if size > LARGEST {
                        return Err(TreeError::Refused(format!("the file {} is over 1 GB", inner.display())));
                    }
                    let blob = repository.find_blob(entry.id())?;
                    if entry.filemode() == 0o120_000 {
                        links.push((inner, blob.content().to_vec()));
                    } else {
                        let mode = if entry.filemode() & 0o111 != 0 { 0o755 } else { 0o644 };
                        let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&place);
                        let mut file = fresh(&inner, file)?;
                        file.write_all(blob.content())?;
                    }
                }
                Some(_) | None => {
                    return Err(TreeError::Refused(format!("{} is of an unknown kind", inner.display())));
                }
            }
        }
    }
    for (inner, content) in &links {
        link(inner, content, &target.join(inner))?;
    }
    let submodules = submodules(target, &modules)?;
    let description = commit.summary().ok().flatten().unwrap_or_default().chars().take(200).collect();
    Ok(Extracted { description, submodules })
}

/// What was made at a place, which must have been free.
fn fresh<T>(inner: &Path, made: std::io::Result<T>) -> Result<T, TreeError> {
    made.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return TreeError::Refused(format!("the commit holds {} twice; git fsck shows where", inner.display()));
        }
        TreeError::Io(error)
    })
}

/// A link, as long as it points to something inside the tree. `..` may only stand at its
/// beginning: behind the name of another link it would lead somewhere else than it reads.
fn link(inner: &Path, content: &[u8], place: &Path) -> Result<(), TreeError> {
    let points = Path::new(std::ffi::OsStr::from_bytes(content));
    let mut depth = inner.components().count().saturating_sub(1);
    let mut named = false;
    for component in points.components() {
        let inside = match component {
            Component::Normal(_) => {
                named = true;
                true
            }
            Component::CurDir => true,
            Component::ParentDir => {
                let inside = depth > 0 && !named;
                depth = depth.saturating_sub(1);
                inside
            }
            Component::RootDir | Component::Prefix(_) => false,
        };
        if !inside {
            return Err(TreeError::Refused(format!(
                "the symbolic link {} points out of the source, to {}",
                inner.display(),
                points.display()
            )));
        }
    }
    if content.is_empty() || content.contains(&0) {
        return Err(TreeError::Refused(format!("the symbolic link {} points nowhere", inner.display())));
    }
    fresh(inner, symlink(points, place))
}

/// Matches the links to other repositories with what `.gitmodules` says of them.
fn submodules(target: &Path, links: &[(PathBuf, String)]) -> Result<Vec<Submodule>, TreeError> {
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let text = paas_buildpacks::tree::read(target, ".gitmodules", 1 << 20)?.unwrap_or_default();
    let urls = gitmodules(&String::from_utf8_lossy(&text));
    let mut found = Vec::new();
    for (path, commit) in links {
        let Some(path) = path.to_str() else {
            return Err(TreeError::Refused(format!("the submodule {} has a name that is not UTF-8", path.display())));
        };
        // Git itself leaves a link without an entry alone: an empty directory.
        let Some(url) = urls.get(path) else { continue };
        if !(url.starts_with("https://") || url.starts_with("http://") || url.starts_with("git://")) {
            return Err(TreeError::Refused(format!(
                "the submodule {path} can't be fetched from {url}: give it an https:// address in .gitmodules"
            )));
        }
        found.push(Submodule { path: path.to_owned(), url: url.clone(), commit: commit.clone() });
    }
    Ok(found)
}

/// Path → address, of the `[submodule "…"]` sections.
fn gitmodules(text: &str) -> BTreeMap<String, String> {
    let mut urls = BTreeMap::new();
    let (mut path, mut url) = (None, None);
    for line in text.lines().map(str::trim).chain(["["]) {
        if line.starts_with('[') {
            if let (Some(path), Some(url)) = (path.take(), url.take()) {
                urls.insert(path, url);
            }
            (path, url) = (None, None);
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_matches('"').to_owned();
            match key.trim() {
                "path" => path = Some(value.trim_end_matches('/').to_owned()),
                "url" => url = Some(value),
                _other => {}
            }
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    struct Bench {
        root: PathBuf,
        repository: Repository,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("paas-git-tree-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            let repository = Repository::init_bare(root.join("repo.git")).unwrap();
            Self { root, repository }
        }

        fn commit(&self, entries: &[(&str, &[u8], i32)]) -> String {
            let mut builder = self.repository.treebuilder(None).unwrap();
            for (name, content, mode) in entries {
                let id = if *mode == 0o160_000 {
                    Oid::from_str(std::str::from_utf8(content).unwrap()).unwrap()
                } else {
                    self.repository.blob(content).unwrap()
                };
                builder.insert(name, id, *mode).unwrap();
            }
            let tree = self.repository.find_tree(builder.write().unwrap()).unwrap();
            let who = git2::Signature::now("a", "a@b").unwrap();
            self.repository.commit(None, &who, &who, "One\n\nmore", &tree, &[]).unwrap().to_string()
        }

        fn extract(&self, commit: &str) -> Result<Extracted, TreeError> {
            let target = self.root.join("source");
            let _ = fs::remove_dir_all(&target);
            extract(&self.repository, commit, &target)
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    #[test]
    fn modes_links_and_submodules() {
        use std::os::unix::fs::PermissionsExt as _;
        let bench = Bench::new("modes");
        let inner = "0123456789012345678901234567890123456789";
        let commit = bench.commit(&[
            ("run", b"#!/bin/sh", 0o100_755),
            ("caf\u{e9} \"x\"", b"a", 0o100_644),
            ("link", b"run", 0o120_000),
            ("inner", inner.as_bytes(), 0o160_000),
            (".gitmodules", b"[submodule \"x\"]\n\tpath = inner\n\turl = https://example.com/x.git\n", 0o100_644),
        ]);
        let found = bench.extract(&commit).unwrap();
        assert_eq!(found.description, "One");
        assert_eq!(
            found.submodules,
            [Submodule { path: "inner".into(), url: "https://example.com/x.git".into(), commit: inner.into() }]
        );
        let source = bench.root.join("source");
        assert_eq!(fs::metadata(source.join("run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(source.join("link")).unwrap(), Path::new("run"));
        assert!(source.join("caf\u{e9} \"x\"").exists());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let bench = Bench::new("twice");
        let outside = bench.root.join("outside");
        fs::create_dir_all(&outside).unwrap();
        let objects = bench.repository.odb().unwrap();
        let blob = |content: &[u8]| objects.write(ObjectType::Blob, content).unwrap();
        // Trees as git itself would not write them, but takes them in a push.
        let tree = |entries: &[(&str, &str, Oid)]| {
            let mut bytes = Vec::new();
            for (mode, name, id) in entries {
                bytes.extend(format!("{mode} {name}\0").bytes());
                bytes.extend(id.as_bytes());
            }
            objects.write(ObjectType::Tree, &bytes).unwrap()
        };
        let inner = tree(&[("100644", "planted", blob(b"x"))]);
        let here = tree(&[("120000", "x", blob(b"d")), ("40000", "d", inner), ("40000", "x", inner)]);
        let out = tree(&[
            ("120000", "d", blob(b".")),
            ("120000", "e", blob(b"d/..")),
            ("120000", "f", blob(b"e/outside")),
            ("40000", "f", inner),
        ]);
        let files = tree(&[("120000", "x", blob(b"y")), ("100644", "x", blob(b"x"))]);
        let modules = tree(&[("120000", "x", blob(b"y")), ("160000", "x", inner)]);
        for root in [here, out, files, modules] {
            let who = git2::Signature::now("a", "a@b").unwrap();
            let root = bench.repository.find_tree(root).unwrap();
            let commit = bench.repository.commit(None, &who, &who, "One", &root, &[]).unwrap().to_string();
            let error = bench.extract(&commit).unwrap_err();
            assert!(matches!(error, TreeError::Refused(_)), "{error}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn links_out_of_the_tree_are_refused() {
        let bench = Bench::new("links");
        for target in ["/etc/passwd", "../x", "a/../../x", "./../x", ""] {
            let commit = bench.commit(&[("link", target.as_bytes(), 0o120_000)]);
            let error = bench.extract(&commit).unwrap_err();
            assert!(matches!(error, TreeError::Refused(_)), "{target:?}: {error}");
        }
        let commit = bench.commit(&[("link", b"a/../b", 0o120_000)]);
        assert!(matches!(bench.extract(&commit).unwrap_err(), TreeError::Refused(_)), "`a` may be a link itself");
        let bad = "[submodule \"x\"]\npath = m\nurl = ext::sh -c id\n";
        let commit = bench.commit(&[
            (".gitmodules", bad.as_bytes(), 0o100_644),
            ("m", b"0123456789012345678901234567890123456789", 0o160_000),
        ]);
        assert!(matches!(bench.extract(&commit).unwrap_err(), TreeError::Refused(_)));
    }
}
