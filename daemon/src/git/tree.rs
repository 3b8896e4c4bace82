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
    path::{Path, PathBuf},
};

use git2::{Commit, ObjectType, Oid, Repository};
use paas_buildpacks::build::Submodule;

use crate::slugs::archive::climbs;

/// How deep directories may be.
const DEEPEST: usize = 500;
/// How many entries a tree may have.
const MOST: usize = 1_000_000;

/// How many bytes one file may have.
const LARGEST: usize = 1 << 30;
/// How many bytes the list of a directory's files may have.
const LARGEST_LIST: usize = 128 << 20;
/// How many bytes a commit or a tag may have.
const LARGEST_TEXT: usize = 16 << 20;
/// How long the target of a link may be: as long as the system takes it.
const LONGEST_LINK: usize = 4096;

/// What the smallest file or directory takes of a disk.
const BLOCK: u64 = 4096;
/// After so many bytes the disk is looked at again.
const LOOK: u64 = 32 << 20;

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

/// How much disk a source may take.
pub(super) struct Room<'a> {
    most: u64,
    taken: u64,
    looked: u64,
    enough: &'a dyn Fn() -> Result<(), String>,
}

impl<'a> Room<'a> {
    /// `most` bytes in all, and only while `enough` says that the disk has room.
    pub(super) fn new(most: u64, enough: &'a dyn Fn() -> Result<(), String>) -> Self {
        Self { most, taken: 0, looked: 0, enough }
    }

    fn take(&mut self, bytes: usize) -> Result<(), TreeError> {
        self.taken = self.taken.saturating_add((bytes as u64).max(1).next_multiple_of(BLOCK));
        if self.taken > self.most {
            return Err(TreeError::Refused(format!(
                "the source takes more than {} MB of disk; leave out what the app does not need",
                self.most >> 20
            )));
        }
        if self.taken - self.looked >= LOOK {
            self.looked = self.taken;
            (self.enough)().map_err(TreeError::Refused)?;
        }
        Ok(())
    }
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

/// The commit that `branch` shall be; anything else is refused, since git would not take it for
/// a branch.
pub(super) fn commit<'r>(repository: &'r Repository, id: &str, branch: &str) -> Result<Commit<'r>, TreeError> {
    let id = Oid::from_str(id)?;
    let (size, kind) = repository.odb()?.read_header(id)?;
    if size > LARGEST_TEXT {
        return Err(TreeError::Refused(format!("the message of {id} is over {} MB", LARGEST_TEXT >> 20)));
    }
    if kind == ObjectType::Commit {
        return Ok(repository.find_commit(id)?);
    }
    if kind != ObjectType::Tag {
        return Err(TreeError::Refused(format!("{branch} must be a commit, and {id} is a {kind}")));
    }
    let tag = repository.find_tag(id)?;
    let plain = |name: &&str| name.chars().all(|c| c.is_alphanumeric() || "._-/+".contains(c));
    let name = tag.name().ok().filter(plain).unwrap_or("TAG");
    Err(TreeError::Refused(format!(
        "{branch} must be a commit, and {name} is an annotated tag: git push paas {name}^{{}}:refs/heads/{branch}"
    )))
}

/// Writes the tree of a commit to the new directory `target`.
pub(super) fn extract(
    repository: &Repository,
    commit: &Commit<'_>,
    target: &Path,
    room: &mut Room<'_>,
) -> Result<Extracted, TreeError> {
    let objects = repository.odb()?;
    fs::create_dir_all(target)?;
    let mut entries = 0;
    let mut modules: Vec<(PathBuf, String)> = Vec::new();
    let mut links: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut waiting: Vec<(Oid, PathBuf, usize)> = vec![(commit.tree_id(), PathBuf::new(), 0)];
    while let Some((tree, path, depth)) = waiting.pop() {
        if depth > DEEPEST {
            return Err(TreeError::Refused(format!("directories are nested deeper than {DEEPEST}")));
        }
        if !path.as_os_str().is_empty() {
            fresh(&path, fs::create_dir(target.join(&path)))?;
        }
        if objects.read_header(tree)?.0 > LARGEST_LIST {
            return Err(TreeError::Refused(format!("the directory /{} has too many files", path.display())));
        }
        for entry in &repository.find_tree(tree)? {
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
                Some(ObjectType::Tree) => {
                    room.take(0)?;
                    waiting.push((entry.id(), inner, depth + 1));
                }
                Some(ObjectType::Commit) => {
                    room.take(0)?;
                    fresh(&inner, fs::create_dir(&place))?;
                    modules.push((inner, entry.id().to_string()));
                }
                Some(ObjectType::Blob) => {
                    // A file passes through memory, whole.
                    let (size, _) = objects.read_header(entry.id())?;
                    if size > LARGEST {
                        return Err(TreeError::Refused(format!("the file {} is over 1 GB", inner.display())));
                    }
                    let is_link = entry.filemode() == 0o120_000;
                    if is_link && size > LONGEST_LINK {
                        let text = format!("the target of the symbolic link {} is too long", inner.display());
                        return Err(TreeError::Refused(text));
                    }
                    room.take(size)?;
                    let blob = repository.find_blob(entry.id())?;
                    if is_link {
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

/// A link, as long as it points to something inside the tree.
fn link(inner: &Path, content: &[u8], place: &Path) -> Result<(), TreeError> {
    let points = Path::new(std::ffi::OsStr::from_bytes(content));
    let depth = inner.components().count().saturating_sub(1);
    if climbs(points).is_none_or(|climbed| climbed > depth) {
        return Err(TreeError::Refused(format!(
            "the symbolic link {} points out of the source, to {}",
            inner.display(),
            points.display()
        )));
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
            self.extract_to(commit, &mut Room::new(1 << 30, &|| Ok(())))
        }

        fn extract_to(&self, id: &str, room: &mut Room<'_>) -> Result<Extracted, TreeError> {
            let target = self.root.join("source");
            let _ = fs::remove_dir_all(&target);
            extract(&self.repository, &commit(&self.repository, id, "main")?, &target, room)
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
    fn long_links_many_copies_and_a_full_disk() {
        let bench = Bench::new("room");
        let refused = |error: TreeError, part: &str| {
            assert!(matches!(&error, TreeError::Refused(text) if text.contains(part)), "{error}");
        };
        let long = bench.commit(&[("link", &[b'x'; LONGEST_LINK + 1], 0o120_000)]);
        refused(bench.extract(&long).unwrap_err(), "the target of the symbolic link link is too long");
        // One blob under many names takes as much as many.
        let content = vec![b'x'; 1 << 20];
        let names: Vec<String> = (0..40).map(|index| format!("file-{index}")).collect();
        let copies: Vec<_> = names.iter().map(|name| (name.as_str(), &content[..], 0o100_644)).collect();
        let commit = bench.commit(&copies);
        refused(
            bench.extract_to(&commit, &mut Room::new(20 << 20, &|| Ok(()))).unwrap_err(),
            "the source takes more than 20 MB of disk",
        );
        refused(bench.extract_to(&commit, &mut Room::new(1 << 30, &|| Err("full".into()))).unwrap_err(), "full");
        assert!(bench.extract_to(&commit, &mut Room::new(40 << 20, &|| Ok(()))).is_ok());
        // Empty files and directories take room too.
        let empty: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..], 0o100_644)).collect();
        let commit = bench.commit(&empty);
        refused(bench.extract_to(&commit, &mut Room::new(39 * BLOCK, &|| Ok(()))).unwrap_err(), "of disk");
    }

    #[test]
    fn only_a_commit_is_a_branch() {
        let bench = Bench::new("kinds");
        let id = Oid::from_str(&bench.commit(&[("a", b"a", 0o100_644)])).unwrap();
        let object = bench.repository.find_object(id, None).unwrap();
        let who = git2::Signature::now("a", "a@b").unwrap();
        let tag = bench.repository.tag("v1.2.3", &object, &who, "One", false).unwrap();
        assert_eq!(
            bench.extract(&tag.to_string()).unwrap_err().to_string(),
            "main must be a commit, and v1.2.3 is an annotated tag: git push paas v1.2.3^{}:refs/heads/main"
        );
        let tree = object.as_commit().unwrap().tree_id();
        assert_eq!(
            bench.extract(&tree.to_string()).unwrap_err().to_string(),
            format!("main must be a commit, and {tree} is a tree")
        );
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
