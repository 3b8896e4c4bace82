//! What of a source tree reaches the buildpacks: Heroku drops `.git`, `.gitmodules`, `log/`,
//! `tmp/` and whatever `.slugignore` names, before any buildpack sees the tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::tree;

/// Never part of a build, whatever `.slugignore` says.
const DROPPED: [&str; 4] = [".git", ".gitmodules", "log", "tmp"];

/// `.slugignore` may have this many bytes; what is longer is not read.
const SLUGIGNORE_LIMIT: u64 = 1 << 20;

/// Removes from `root` what no buildpack is to see, and says what of `.slugignore` couldn't be
/// understood, a sentence a line.
///
/// # Errors
/// Whatever the disk says.
pub fn prune(root: &Path) -> io::Result<Vec<String>> {
    for name in DROPPED {
        tree::remove(&root.join(name))?;
    }
    let (rules, warnings) = slugignore(root)?;
    if !rules.is_empty() {
        drop_ignored(root, root, &rules)?;
    }
    Ok(warnings)
}

fn slugignore(root: &Path) -> io::Result<(Gitignore, Vec<String>)> {
    let mut warnings = Vec::new();
    let mut builder = GitignoreBuilder::new(root);
    let text = match tree::read(root, ".slugignore", SLUGIGNORE_LIMIT)? {
        Some(bytes) if bytes.len() as u64 > SLUGIGNORE_LIMIT => {
            warnings.push("Ignoring .slugignore: it has more than 1 MB.".to_owned());
            String::new()
        }
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => String::new(),
    };
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.starts_with('!') {
            warnings.push(format!(".slugignore line {number}: negation with ! is not supported, ignoring {line:?}."));
        } else if builder.add_line(None, line).is_err() {
            warnings.push(format!(".slugignore line {number}: can't understand {line:?}, ignoring it."));
        }
    }
    let rules = builder.build().unwrap_or_else(|error| {
        warnings.push(format!("Ignoring .slugignore: {error}."));
        Gitignore::empty()
    });
    Ok((rules, warnings))
}

fn drop_ignored(root: &Path, directory: &Path, rules: &Gitignore) -> io::Result<()> {
    // No recursion: a tree may be deeper than a stack.
    let mut waiting: Vec<PathBuf> = vec![directory.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            let path = entry.path();
            let Ok(relative) = path.strip_prefix(root) else {
                continue;
            };
            if rules.matched(relative, is_dir).is_ignore() {
                tree::remove(&path)?;
            } else if is_dir {
                waiting.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::symlink;

    fn put(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn drops_what_heroku_drops() {
        let root = std::env::temp_dir().join(format!("paas-prune-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let outside = std::env::temp_dir().join(format!("paas-outside-{}", std::process::id()));
        put(&outside, "kept");
        for path in [
            ".git/config",
            "sub/.git/config",
            "log/a",
            "tmp/b",
            "lib/log/kept",
            "docs/a.psd",
            "a.psd",
            "spec/x",
            "lib/spec/kept",
            "caf\u{e9}/x",
            "keep.psd.txt",
        ] {
            put(&root, path);
        }
        symlink(&outside, root.join("elsewhere")).unwrap();
        fs::write(root.join(".slugignore"), "*.psd\n/spec\nelsewhere\n# comment\n!a.psd\n\n").unwrap();
        let warnings = prune(&root).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("line 5"), "{warnings:?}");
        for gone in [".git", "log", "tmp", "docs/a.psd", "a.psd", "spec", "elsewhere"] {
            assert!(root.join(gone).symlink_metadata().is_err(), "{gone}");
        }
        for kept in ["lib/log/kept", "lib/spec/kept", "keep.psd.txt", "caf\u{e9}/x"] {
            assert!(root.join(kept).exists(), "{kept}");
        }
        assert!(outside.join("kept").exists());
        fs::remove_dir_all(&root).unwrap();
        fs::remove_dir_all(&outside).unwrap();
    }
}
