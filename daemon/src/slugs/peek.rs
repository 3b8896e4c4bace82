//! One file of an archive, without unpacking the rest.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::{
    archive::ArchiveError,
    meter::{Meter, Metered},
};

/// Most bytes of an entry's header.
const HEADER: u64 = 256 << 10;

/// Most bytes of an archive, unpacked.
const LARGEST: u64 = 4 << 30;

/// The contents of the file `name` at the top level of an archive (plain, gzip or zstd), at most
/// `most` bytes of it. As in [`super::archive::Top::Lifted`], one directory around everything
/// is not counted as a level.
pub fn peek(archive: impl Read, name: &str, most: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
    let mut archive = BufReader::with_capacity(128 << 10, archive);
    let begin = archive.fill_buf().map_err(damaged)?;
    if begin.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        look(zstd::stream::read::Decoder::with_buffer(archive).map_err(damaged)?, name, most)
    } else if begin.starts_with(&[0x1F, 0x8B]) {
        look(MultiGzDecoder::new(archive), name, most)
    } else {
        look(archive, name, most)
    }
}

fn look(tar: impl Read, name: &str, most: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
    let meter = Meter::default();
    let mut tar = tar::Archive::new(Metered::new(tar.take(LARGEST), meter.clone()));
    let mut entries = tar.entries().map_err(|error| ArchiveError::NotAnArchive(error.to_string()))?;
    let mut found = Found { top: None, around: None, inner: None, several: false };
    let mut first = true;
    loop {
        meter.header(HEADER);
        let Some(entry) = entries.next() else { return Ok(found.wanted()) };
        let mut entry = entry.map_err(|error| match first {
            _ if meter.is_used_up() => ArchiveError::LongHeader(HEADER),
            true => ArchiveError::NotAnArchive(error.to_string()),
            false => damaged(error),
        })?;
        first = false;
        meter.contents();
        let path = entry.path_bytes().into_owned();
        let parts: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        let is_file = entry.header().entry_type().is_file();
        let mut contents = || -> Result<Vec<u8>, ArchiveError> {
            let mut bytes = Vec::new();
            entry.by_ref().take(most).read_to_end(&mut bytes).map_err(damaged)?;
            Ok(bytes)
        };
        match parts.as_slice() {
            [] => {}
            [only] => {
                found.pass(only, !is_file);
                if is_file && *only == name.as_bytes() {
                    found.top = Some(contents()?);
                }
            }
            [dir, inner, rest @ ..] => {
                found.pass(dir, true);
                if is_file && rest.is_empty() && *inner == name.as_bytes() {
                    found.inner = Some(contents()?);
                }
            }
        }
    }
}

/// What was seen so far.
struct Found {
    top: Option<Vec<u8>>,
    /// The directory that may be around everything.
    around: Option<Vec<u8>>,
    inner: Option<Vec<u8>>,
    /// There is no such directory.
    several: bool,
}

impl Found {
    fn pass(&mut self, top: &[u8], directory: bool) {
        match &self.around {
            Some(around) if around == top => {}
            Some(_) => self.several = true,
            None => self.around = Some(top.to_vec()),
        }
        self.several |= !directory;
    }

    fn wanted(self) -> Option<Vec<u8>> {
        self.top.or(self.inner.filter(|_| !self.several))
    }
}

fn damaged(error: std::io::Error) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn text(files: &[(&str, &str)]) -> Option<String> {
        peek(archive(files).as_slice(), "app.json", 10).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_file_is_at_the_top_or_in_the_one_directory_there() {
        assert_eq!(text(&[("Procfile", "x"), ("./app.json", "{}")]).as_deref(), Some("{}"));
        assert_eq!(text(&[("a-1/x/y", "x"), ("a-1/app.json", "{}")]).as_deref(), Some("{}"));
        assert_eq!(text(&[("a-1/app.json", "{}"), ("b", "")]), None);
        assert_eq!(text(&[("a/b/app.json", "{}")]), None);
        assert_eq!(text(&[("app.json", "0123456789abc")]).as_deref(), Some("0123456789"));
        assert!(peek(b"no archive at all, but text".as_slice(), "app.json", 10).is_err());
    }
}
