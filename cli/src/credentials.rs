//! `~/.netrc`, where the token of each API host is kept. Git, curl and Heroku's command line
//! use the same file, so what else is in it stays as it is, byte for byte.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Failure;

/// The user name and token of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// E-mail address.
    pub(crate) user: String,
    /// API token.
    pub(crate) token: String,
}

/// The login of `machine` (`HOST` or `HOST:PORT`); `None` when the file or the entry is not
/// there.
pub(crate) fn load(file: &Path, machine: &str) -> anyhow::Result<Option<Login>> {
    let text = read(file)?;
    Ok(entry(&text, machine).and_then(|range| login(&text[range])))
}

/// Writes the login of `machine`, in place of the one that is there.
/// A blank or a line in either would begin another entry, which git and curl would believe.
pub(crate) fn save(file: &Path, machine: &str, login: &Login) -> anyhow::Result<()> {
    for (what, word) in [("e-mail address", &login.user), ("token", &login.token)] {
        if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(Failure::new(format!(
                "The {what} {word:?} can't be kept in {}: it is no single word.",
                file.display()
            ))
            .hint("Nothing was changed. Is PAAS_HOST the address of a paas API?")
            .into());
        }
    }
    let mut text = read(file)?;
    let block = format!("machine {machine}\n  login {}\n  password {}\n", login.user, login.token);
    match entry(&text, machine) {
        Some(range) => text.replace_range(range, &block),
        None => {
            // A `default` entry ends the search for a machine, so ours goes before it.
            let at = entry_start(&text, "default").unwrap_or(text.len());
            let newline = if text[..at].is_empty() || text[..at].ends_with('\n') { "" } else { "\n" };
            text.insert_str(at, &format!("{newline}{block}"));
        }
    }
    write(file, &text)
}

/// Takes the entry of `machine` away; false when there was none.
pub(crate) fn remove(file: &Path, machine: &str) -> anyhow::Result<bool> {
    let mut text = read(file)?;
    let Some(range) = entry(&text, machine) else { return Ok(false) };
    text.replace_range(range, "");
    write(file, &text)?;
    Ok(true)
}

fn read(file: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", file.display())),
    }
}

/// Replaces the file in one step, so that a crash leaves the old one; mode 0600.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    // A netrc file that is a link into somebody's dot files stays a link.
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let mut temporary = target.clone().into_os_string();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut handle = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        handle.set_permissions(fs::Permissions::from_mode(0o600))?;
        handle.write_all(text.as_bytes())?;
        handle.sync_all()?;
        fs::rename(&temporary, &target)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("{} can't be written", file.display()))
}

/// Words of the file with their places. A `macdef` runs to the next empty line and a `#`
/// word to the end of its line; neither holds entries.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(start) = rest.find(|c: char| !c.is_whitespace()) else { break };
        let length = rest[start..].find(char::is_whitespace).unwrap_or(rest.len() - start);
        let word = at + start..at + start + length;
        at = word.end;
        if text[word.clone()].starts_with('#') && !follows_keyword(text, &words) {
            at += text[at..].find('\n').unwrap_or(text.len() - at);
            continue;
        }
        if &text[word.clone()] == "macdef" {
            at += text[at..].find("\n\n").unwrap_or(text.len() - at);
        }
        words.push(word);
    }
    words
}

/// Whether the next word is a value, in which a `#` starts no comment.
fn follows_keyword(text: &str, words: &[Range<usize>]) -> bool {
    words.last().is_some_and(|last| matches!(&text[last.clone()], "machine" | "login" | "password" | "account"))
}

/// The place of a machine's entry, from its `machine` to the next entry.
fn entry(text: &str, machine: &str) -> Option<Range<usize>> {
    let words = words(text);
    let first =
        words.windows(2).position(|pair| &text[pair[0].clone()] == "machine" && &text[pair[1].clone()] == machine)?;
    let next =
        words[first + 2..].iter().find(|word| matches!(&text[(*word).clone()], "machine" | "default" | "macdef"));
    let start = words[first].start;
    let end = match next {
        Some(next) => next.start,
        None => text.len(),
    };
    // Comments and empty lines before the next entry are that entry's.
    let own_end = words.iter().take_while(|word| word.start < end).last().map_or(end, |word| word.end);
    let line_end = text[own_end..].find('\n').map_or(text.len(), |newline| own_end + newline + 1);
    Some(start..line_end.min(end))
}

fn entry_start(text: &str, keyword: &str) -> Option<usize> {
    words(text).into_iter().find(|word| &text[word.clone()] == keyword).map(|word| word.start)
}

fn login(block: &str) -> Option<Login> {
    let words: Vec<&str> = words(block).into_iter().map(|word| &block[word]).collect();
    let value = |keyword: &str| words.chunks(2).find(|pair| pair[0] == keyword).and_then(|pair| pair.get(1)).copied();
    Some(Login { user: value("login").unwrap_or_default().to_owned(), token: value("password")?.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const OTHERS: &str = "# mine\nmachine github.com login me password a#b\n\n# work\nmachine example.com\n\tlogin you\n\tpassword p\nmacdef init\nmachine localhost:5000\n\ndefault login anonymous password x\n";

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".netrc");
        (folder, file)
    }

    fn login_of(user: &str, token: &str) -> Login {
        Login { user: user.to_owned(), token: token.to_owned() }
    }

    #[test]
    fn keeps_everything_else() {
        let (_folder, file) = file();
        fs::write(&file, OTHERS).unwrap();
        assert_eq!(load(&file, "localhost:5000").unwrap(), None);
        assert_eq!(load(&file, "github.com").unwrap(), Some(login_of("me", "a#b")));

        save(&file, "localhost:5000", &login_of("me@example.com", "t1")).unwrap();
        assert_eq!(load(&file, "localhost:5000").unwrap(), Some(login_of("me@example.com", "t1")));
        save(&file, "localhost:5000", &login_of("me@example.com", "t2")).unwrap();
        assert_eq!(load(&file, "localhost:5000").unwrap(), Some(login_of("me@example.com", "t2")));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        assert!(remove(&file, "localhost:5000").unwrap());
        assert!(!remove(&file, "localhost:5000").unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), OTHERS);
    }

    #[test]
    fn replaces_an_entry_in_the_middle() {
        let (_folder, file) = file();
        fs::write(&file, OTHERS).unwrap();
        save(&file, "github.com", &login_of("me", "new")).unwrap();
        let wanted = OTHERS
            .replace("machine github.com login me password a#b\n", "machine github.com\n  login me\n  password new\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), wanted);
    }

    #[test]
    fn makes_the_file() {
        let (_folder, file) = file();
        save(&file, "api.example.com", &login_of("me", "t")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "machine api.example.com\n  login me\n  password t\n");
    }

    #[test]
    fn a_file_without_a_newline_at_the_end() {
        let (_folder, file) = file();
        fs::write(&file, "machine a login b password c").unwrap();
        save(&file, "d", &login_of("e", "f")).unwrap();
        assert_eq!(load(&file, "a").unwrap(), Some(login_of("b", "c")));
        assert_eq!(load(&file, "d").unwrap(), Some(login_of("e", "f")));
    }
}
