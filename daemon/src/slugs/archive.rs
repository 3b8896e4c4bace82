//! Archives become files, and nothing else: slugs and uploaded sources come from strangers.
//!
//! What is refused, with the entry's name: paths that are absolute or climb with `..`, writing
//! through a symbolic link, links out of the tree, devices, pipes and sockets, and more bytes,
//! entries or words about one entry than allowed. Bits that give rights (setuid, setgid, sticky) are dropped.
//! Owners in the archive count for nothing.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;
use thiserror::Error;

use super::meter::{Meter, Metered};

/// Most bytes of an entry's header with its long names and attributes: far more than a file
/// system takes.
const HEADER: u64 = 256 << 10;

/// How an archive is to be read.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What its top level looks like.
    pub top: Top,
    /// Where symbolic links may point.
    pub links: Links,
    /// uid and gid of all files; `None`: whoever runs this.
    pub owner: Option<u32>,
    /// Most bytes of all files together.
    pub max_bytes: u64,
    /// Most entries.
    pub max_entries: u64,
}

/// An archive's top level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// Entries go where they say.
    AsIs,
    /// When there is one directory around everything, as code hosts make archives, its contents
    /// are what is wanted.
    Lifted,
    /// Everything is in `./app`, whose contents are what is wanted: a slug.
    App,
}

/// Symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They may only point to places in the tree: for sources, which the host itself reads.
    Inside,
    /// Anywhere: for slugs, which are only looked at from inside a dyno, where `/usr/bin/python3`
    /// and `/app/x` are the dyno's own. Nothing on the host may follow them.
    Anywhere,
}

impl Rules {
    /// For slugs.
    pub fn slug() -> Self {
        Self {
            top: Top::App,
            links: Links::Anywhere,
            owner: Some(super::OWNER),
            max_bytes: 8 << 30,
            max_entries: 2_000_000,
        }
    }

    /// For sources that somebody has uploaded.
    pub fn source() -> Self {
        Self {
            top: Top::Lifted,
            links: Links::Inside,
            owner: Some(super::OWNER),
            max_bytes: 4 << 30,
            max_entries: 1_000_000,
        }
    }
}

/// Why an archive was refused.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Neither tar nor tar in gzip or zstd.
    #[error("It is not a tar archive (plain, gzip or zstd): {0}.")]
    NotAnArchive(String),
    /// It ends too early or its checksums don't match.
    #[error("It is damaged or cut off: {0}.")]
    Damaged(String),
    /// An entry that must not be.
    #[error("It holds {entry:?}, {why}. Make it again without that.")]
    Refused {
        /// The path in the archive.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More about one entry than any file needs.
    #[error("An entry's name and attributes take more than {0} bytes. Make it again without extended attributes.")]
    LongHeader(u64),
    /// Larger than allowed.
    #[error(
        "It unpacks to more than {limit} {what}. Leave out what the app does not need, for example by .slugignore."
    )]
    TooLarge {
        /// The figure.
        limit: u64,
        /// "bytes" or "files".
        what: &'static str,
    },
    /// The disk did not take it.
    #[error("Writing {path} failed: {why}.")]
    Write {
        /// Where.
        path: String,
        /// What the system said.
        why: String,
    },
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

type Result<T> = std::result::Result<T, ArchiveError>;

/// Unpacks an archive, compressed or not, into a directory that exists and is empty.
pub fn unpack(archive: impl Read, into: &Path, rules: &Rules) -> Result<Unpacked> {
    let mut archive = BufReader::with_capacity(128 << 10, archive);
    let begin = archive.fill_buf().map_err(damaged)?;
    if begin.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        let decoder = zstd::stream::read::Decoder::with_buffer(archive).map_err(damaged)?;
        unpack_tar(decoder, into, rules)
    } else if begin.starts_with(&[0x1F, 0x8B]) {
        unpack_tar(MultiGzDecoder::new(archive), into, rules)
    } else {
        unpack_tar(archive, into, rules)
    }
}

fn unpack_tar(tar: impl Read, into: &Path, rules: &Rules) -> Result<Unpacked> {
    let meter = Meter::default();
    let mut tar = tar::Archive::new(Metered::new(tar, meter.clone()));
    let mut tree = Tree { root: into, rules, done: Unpacked::default(), directories: Vec::new(), topmost: None };
    let mut entries = tar.entries().map_err(|error| ArchiveError::NotAnArchive(error.to_string()))?;
    loop {
        meter.header(HEADER);
        let Some(entry) = entries.next() else { return tree.finish() };
        let mut entry = entry.map_err(|error| match tree.done.entries {
            _ if meter.is_used_up() => ArchiveError::LongHeader(HEADER),
            0 => ArchiveError::NotAnArchive(error.to_string()),
            _ => damaged(error),
        })?;
        meter.contents();
        tree.take(&mut entry)?;
        tree.pass(&mut entry)?;
    }
}

/// The tree that comes into being.
struct Tree<'a> {
    root: &'a Path,
    rules: &'a Rules,
    done: Unpacked,
    /// Modes and times of directories are set last: a mode may forbid to write into it, and
    /// each file written moves the time.
    directories: Vec<(PathBuf, u32, SystemTime)>,
    /// The name of a link that leads to the tree's top, and out of it when that is lifted.
    topmost: Option<Vec<u8>>,
}

impl Tree<'_> {
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        self.done.entries += 1;
        if self.done.entries > self.rules.max_entries {
            return Err(ArchiveError::TooLarge { limit: self.rules.max_entries, what: "files" });
        }
        let name = entry.path_bytes().into_owned();
        let Some(inside) = self.place(&name)? else {
            return match kind == EntryType::Directory {
                true => Ok(()),
                false => Err(refused(&name, "which is the top directory itself and not a directory")),
            };
        };
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(entry.header().mtime().unwrap_or(0).min(1 << 33));
        self.make_parents(&inside, &name)?;
        let path = self.root.join(&inside);
        #[allow(clippy::wildcard_enum_match_arm, reason = "the tar crate's enum: all others are refused alike")]
        match kind {
            EntryType::Directory => self.directory(&path, &name, mode, modified),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                if has_pax_holes(entry) {
                    let why = "which is a sparse file in a form that is not understood here (tar --sparse)";
                    return Err(refused(&name, why));
                }
                self.file(entry, &path, &name, mode, modified)
            }
            EntryType::Symlink => self.symbolic(entry, &inside, &path, &name),
            EntryType::Link => self.hard(entry, &path, &name),
            EntryType::Block | EntryType::Char => Err(refused(&name, "which is a device")),
            EntryType::Fifo => Err(refused(&name, "which is a pipe")),
            _ => Err(refused(&name, "which is neither file, directory nor link")),
        }
    }

    /// Where in the tree a name belongs; `None` for the tree's root.
    fn place(&self, name: &[u8]) -> Result<Option<PathBuf>> {
        let mut inside = relative(name).map_err(|why| refused(name, why))?;
        if self.rules.top == Top::App && !inside.as_os_str().is_empty() {
            inside = inside
                .strip_prefix("app")
                .map_err(|_| refused(name, "but a slug has one directory at its top, ./app"))?
                .to_owned();
        }
        Ok(Some(inside).filter(|path| !path.as_os_str().is_empty()))
    }

    /// Makes the directories above an entry, and refuses to go through anything else.
    fn make_parents(&self, inside: &Path, name: &[u8]) -> Result<()> {
        let mut path = self.root.to_owned();
        for part in inside.parent().into_iter().flat_map(Path::components) {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(there) if there.is_dir() => {}
                Ok(there) if there.is_symlink() => return Err(refused(name, "which leads through a symbolic link")),
                Ok(_) => return Err(refused(name, "which lies below a file")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&path).map_err(|error| write(&path, &error))?;
                    self.own(&path)?;
                }
                Err(error) => return Err(write(&path, &error)),
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, name: &[u8], mode: u32, modified: SystemTime) -> Result<()> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Err(refused(name, "which is a directory in place of something else")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(path).map_err(|error| write(path, &error))?;
                self.own(path)?;
            }
            Err(error) => return Err(write(path, &error)),
        }
        self.directories.push((path.to_owned(), mode | 0o700, modified));
        Ok(())
    }

    fn file(&mut self, entry: &mut impl Read, path: &Path, name: &[u8], mode: u32, modified: SystemTime) -> Result<()> {
        clear(path, name)?;
        // Only ever a new file: an existing one, or a link, is never opened.
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(path).map_err(|error| write(path, &error))?;
        let mut buffer = [0; 64 << 10];
        loop {
            let count = entry.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                break;
            }
            self.count(count)?;
            io::Write::write_all(&mut file, &buffer[..count]).map_err(|error| write(path, &error))?;
        }
        // The times are of no weight: a file system that can't hold one may keep its own.
        let _ = file.set_modified(modified);
        file.set_permissions(Permissions::from_mode(mode)).map_err(|error| write(path, &error))?;
        self.own(path)
    }

    /// Reads on to the entry's end: what is no file may have contents too.
    fn pass(&mut self, entry: &mut impl Read) -> Result<()> {
        let mut buffer = [0; 4 << 10];
        loop {
            match entry.read(&mut buffer).map_err(damaged)? {
                0 => return Ok(()),
                count => self.count(count)?,
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.done.bytes = self.done.bytes.saturating_add(bytes as u64);
        if self.done.bytes > self.rules.max_bytes {
            return Err(ArchiveError::TooLarge { limit: self.rules.max_bytes, what: "bytes" });
        }
        Ok(())
    }

    fn symbolic(&mut self, entry: &tar::Entry<'_, impl Read>, inside: &Path, path: &Path, name: &[u8]) -> Result<()> {
        let target = entry.link_name_bytes().ok_or_else(|| refused(name, "which is a link to nowhere"))?;
        let target = Path::new(OsStr::from_bytes(&target)).to_owned();
        if self.rules.links == Links::Inside {
            let depth = inside.components().count().saturating_sub(1);
            match climbs(&target) {
                Some(climbed) if climbed < depth || climbed == 0 => {}
                Some(climbed) if climbed == depth => self.topmost = Some(name.to_owned()),
                Some(_) | None => return Err(refused(name, OUTWARD)),
            }
        }
        clear(path, name)?;
        symlink(&target, path).map_err(|error| write(path, &error))?;
        self.own(path)
    }

    fn hard(&mut self, entry: &tar::Entry<'_, impl Read>, path: &Path, name: &[u8]) -> Result<()> {
        let target = entry.link_name_bytes().ok_or_else(|| refused(name, "which is a link to nowhere"))?;
        let target = self.place(&target)?.ok_or_else(|| refused(name, "which is a link to the top directory"))?;
        self.make_parents(&target, name)?;
        let target = self.root.join(target);
        match fs::symlink_metadata(&target) {
            Ok(there) if there.is_file() => {}
            Ok(_) | Err(_) => return Err(refused(name, "which is a hard link to something that is no file of it")),
        }
        clear(path, name)?;
        fs::hard_link(&target, path).map_err(|error| write(path, &error))
    }

    fn own(&self, path: &Path) -> Result<()> {
        match self.rules.owner {
            Some(owner) => lchown(path, Some(owner), Some(owner)).map_err(|error| write(path, &error)),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Unpacked> {
        self.own(self.root)?;
        // Deepest first, since a mode may close a directory.
        for (path, mode, modified) in self.directories.iter().rev() {
            let directory = File::open(path).map_err(|error| write(path, &error))?;
            let _ = directory.set_modified(*modified);
            directory.set_permissions(Permissions::from_mode(*mode)).map_err(|error| write(path, &error))?;
        }
        if self.rules.top == Top::Lifted {
            self.lift()?;
        }
        Ok(self.done)
    }

    fn lift(&self) -> Result<()> {
        let failed = |error: io::Error| write(self.root, &error);
        let mut entries = fs::read_dir(self.root).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let (Some(only), true) = (entries.pop(), entries.is_empty()) else { return Ok(()) };
        if !only.file_type().map_err(failed)?.is_dir() {
            return Ok(());
        }
        if let Some(name) = &self.topmost {
            return Err(refused(name, OUTWARD));
        }
        let beside = self.root.with_extension("inner");
        fs::rename(only.path(), &beside).map_err(failed)?;
        fs::remove_dir(self.root).map_err(failed)?;
        fs::rename(beside, self.root).map_err(failed)
    }
}

/// What is wrong with a link that doesn't stay.
const OUTWARD: &str = "which is a symbolic link out of the tree";

/// Sparse files have two forms; the tar crate knows GNU's older one only, and would take the
/// map of holes for contents.
fn has_pax_holes(entry: &mut tar::Entry<'_, impl Read>) -> bool {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return false };
    extensions.flatten().any(|extension| extension.key_bytes().starts_with(b"GNU.sparse."))
}

/// A name in an archive as a path below its top; the reason when it is none.
fn relative(name: &[u8]) -> std::result::Result<PathBuf, &'static str> {
    if name.contains(&0) {
        return Err("whose name holds a null byte");
    }
    let mut inside = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("which climbs out by .."),
            Component::RootDir | Component::Prefix(_) => return Err("which is an absolute path"),
        }
    }
    Ok(inside)
}

/// How many directories a link to `target` climbs before it goes down. `None` when it is absolute,
/// or climbs behind a name: that may be another link, and `..` leads elsewhere than it reads.
pub fn climbs(target: &Path) -> Option<usize> {
    let (mut climbed, mut named) = (0, false);
    for part in target.components() {
        match part {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if !named => climbed += 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(climbed)
}

/// Takes away what an earlier entry of the same name has left, unless it is a directory.
fn clear(path: &Path, name: &[u8]) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => Err(refused(name, "which is in place of a directory")),
        Ok(_) => fs::remove_file(path).map_err(|error| write(path, &error)),
        Err(_) => Ok(()),
    }
}

fn refused(name: &[u8], why: &'static str) -> ArchiveError {
    let entry = String::from_utf8_lossy(name).chars().take(200).collect();
    ArchiveError::Refused { entry, why }
}

fn damaged(error: io::Error) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}

fn write(path: &Path, error: &io::Error) -> ArchiveError {
    ArchiveError::Write { path: path.display().to_string(), why: error.to_string() }
}
