//! Reading files that strangers' programs may have written: never through a link that leaves
//! the tree, never a pipe or a device, never more than is reasonable.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// `O_NONBLOCK` on Linux: opening a pipe without a writer returns instead of waiting forever.
const NON_BLOCKING: i32 = 0o4000;

/// `ELOOP` on Linux, for which the standard library has no stable name.
const TOO_MANY_LINKS: i32 = 40;

/// The bytes of the file `name` in `root`, `None` when there is none (or it isn't a regular file
/// inside `root`). A link is followed as long as it stays inside.
///
/// At most `limit + 1` bytes are read: a longer answer than `limit` means "too big".
///
/// # Errors
/// Whatever the disk says, apart from "not found".
pub fn read(root: &Path, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let path = root.join(name);
    let inside = match (fs::canonicalize(root), fs::canonicalize(&path)) {
        (Ok(root), Ok(real)) => real.starts_with(&root).then_some(real),
        (Ok(_), Err(error)) if absent(&error) => None,
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let Some(real) = inside else { return Ok(None) };
    let file = OpenOptions::new().read(true).custom_flags(NON_BLOCKING).open(real)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whether a path simply leads nowhere: missing, a dangling or circular link, a file where a
/// directory was expected.
fn absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.kind() == io::ErrorKind::NotADirectory
        || error.raw_os_error() == Some(TOO_MANY_LINKS)
}

/// What a tree takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
}

/// The least that is counted for an entry, in bytes: an empty file has no blocks, but a disk
/// has an end of entries too.
const LEAST: u64 = 4096;

/// Bytes and entries below a path, links not followed. Files count by their blocks, so that a
/// sparse one counts what it takes. Stops counting once either is more than `most_bytes` or
/// `most_entries`. What can't be read, or goes meanwhile, is passed over.
pub fn usage(path: &Path, most_bytes: u64, most_entries: u64) -> Usage {
    let mut usage = Usage::default();
    let mut count = |metadata: &fs::Metadata| {
        usage.bytes += (metadata.blocks() * 512).max(LEAST);
        usage.entries += 1;
        usage.bytes <= most_bytes && usage.entries <= most_entries
    };
    // No recursion: a build may nest directories deeper than a stack.
    let mut waiting = Vec::new();
    match fs::symlink_metadata(path) {
        Ok(metadata) if count(&metadata) && metadata.is_dir() => waiting.push(path.to_owned()),
        Ok(_) | Err(_) => {}
    }
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if !count(&metadata) {
                return usage;
            }
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    usage
}

/// Removes a file or a whole directory; a link itself, never what it points to. Already gone is
/// fine.
///
/// The standard library's `remove_dir_all` calls itself for each level, so that a program
/// which nests directories deep enough ends whoever removes them. This one moves what it finds
/// up to the top instead, and reaches everything from an open directory, never by a path that
/// somebody might turn into a link meanwhile.
///
/// # Errors
/// Whatever the disk says, apart from "not found".
pub fn remove(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => remove_directory(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// How often [`remove`] looks at the top again: the deepest that is removed. (It ends even when
/// somebody goes on writing.)
const PASSES: usize = 1_000_000;

fn remove_directory(path: &Path) -> io::Result<()> {
    let top = open_directory(CWD, path)?;
    let mut moved = 0_u64;
    for _ in 0..PASSES {
        let names = names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            if unlink(&top, &name)? {
                continue;
            }
            let directory = open_directory(&top, &name)?;
            for inner in self::names(&directory)? {
                if unlink(&directory, &inner)? {
                    continue;
                }
                loop {
                    moved += 1;
                    match renameat(&directory, &inner, &top, format!(".paas-removed-{moved}")) {
                        Ok(()) => break,
                        // A name that is taken.
                        Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    fs::remove_dir(path)
}

fn open_directory(at: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

/// Removes a file, a link or an empty directory; `false` for a directory with something in it.
fn unlink(directory: &OwnedFd, name: &CString) -> io::Result<bool> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn removes_what_is_nested_deeper_than_a_stack_or_a_path() {
        let dir = std::env::temp_dir().join(format!("paas-deep-{}", std::process::id()));
        let kept = dir.join("kept");
        let gone = dir.join("gone");
        fs::create_dir_all(&kept).unwrap();
        fs::create_dir_all(&gone).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let mut at = open_directory(CWD, &gone).unwrap();
        for level in 0..8_000 {
            if level % 1000 == 0 {
                rustix::fs::symlinkat(&kept, &at, "link").unwrap();
                rustix::fs::mkdirat(&at, format!(".paas-removed-{level}"), Mode::RWXU).unwrap();
            }
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open_directory(&at, "d").unwrap();
        }
        // As much stack as a thread of tokio's has.
        let path = gone.clone();
        std::thread::Builder::new().stack_size(2 << 20).spawn(move || remove(&path)).unwrap().join().unwrap().unwrap();
        assert!(!gone.exists());
        assert!(kept.join("file").exists());
        remove(&gone).unwrap();
        symlink(&kept, &gone).unwrap();
        remove(&gone).unwrap();
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn empty_files_and_links_count_too() {
        let dir = std::env::temp_dir().join(format!("paas-usage-{}", std::process::id()));
        fs::create_dir_all(dir.join("inner")).unwrap();
        for n in 0..50 {
            fs::write(dir.join(format!("inner/{n}")), "").unwrap();
        }
        symlink("/usr", dir.join("link")).unwrap();
        let sparse = fs::File::create(dir.join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let all = usage(&dir, u64::MAX, u64::MAX);
        assert_eq!(all.entries, 54);
        assert!((54 * LEAST..100 * LEAST).contains(&all.bytes), "{all:?}");
        assert_eq!(usage(&dir, u64::MAX, 10).entries, 11);
        assert!(usage(&dir, 10 * LEAST, u64::MAX).entries <= 11);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn links_are_followed_inside_only() {
        let dir = std::env::temp_dir().join(format!("paas-tree-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("config")).unwrap();
        fs::write(dir.join("config/Procfile"), "web: x").unwrap();
        symlink("config/Procfile", dir.join("Procfile")).unwrap();
        symlink("/etc/passwd", dir.join("out")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        assert_eq!(read(&dir, "Procfile", 100).unwrap().as_deref(), Some(&b"web: x"[..]));
        assert_eq!(read(&dir, "Procfile", 2).unwrap().unwrap().len(), 3);
        assert_eq!(read(&dir, "out", 100).unwrap(), None);
        assert_eq!(read(&dir, "loop", 100).unwrap(), None);
        assert_eq!(read(&dir, "config", 100).unwrap(), None);
        assert_eq!(read(&dir, "absent", 100).unwrap(), None);
        fs::remove_dir_all(&dir).unwrap();
    }
}
