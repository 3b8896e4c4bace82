//! Slugs on the disk, and strangers' archives.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paas_daemon::slugs::archive::{ArchiveError, Links, Rules, Top, unpack};
use paas_daemon::slugs::{DiskStore, Most, SlugCache, SlugError, SlugStore, pack, pack_within};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("paas-slugs-{}", Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Rules that need no root: files belong to whoever runs the test.
fn rules() -> Rules {
    Rules { owner: None, ..Rules::source() }
}

/// One entry, its name written raw: the tar crate itself would refuse bad ones.
fn entry(tar: &mut Vec<u8>, kind: EntryType, name: &str, link: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_000_000_000);
    header.set_size(content.len() as u64);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.write_all(header.as_bytes()).unwrap();
    tar.write_all(content).unwrap();
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn finished(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn one(kind: EntryType, name: &str, link: &str) -> Vec<u8> {
    let mut tar = Vec::new();
    entry(&mut tar, kind, name, link, 0o644, b"");
    finished(tar)
}

fn refused(tar: Vec<u8>) -> String {
    let scratch = Scratch::new();
    let inside = scratch.dir("inside");
    let error = unpack(Cursor::new(tar), &inside, &rules()).unwrap_err();
    // Whatever was tried, nothing came to lie beside the tree.
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    assert!(matches!(error, ArchiveError::Refused { .. }), "{error}");
    error.to_string()
}

#[test]
fn bad_entries_are_refused_by_name() {
    let file = EntryType::Regular;
    assert!(refused(one(file, "../x", "")).contains("\"../x\", which climbs out by .."));
    assert!(refused(one(file, "a/../../x", "")).contains(".."));
    assert!(refused(one(file, "/etc/passwd", "")).contains("absolute path"));
    assert!(refused(one(EntryType::Directory, "a/../..", "")).contains(".."));
    assert!(refused(one(EntryType::Symlink, "a", "/etc/passwd")).contains("link out of the tree"));
    assert!(refused(one(EntryType::Symlink, "a/b", "../../x")).contains("link out of the tree"));
    assert!(refused(one(EntryType::Symlink, "a/b", "../c/../../../x")).contains("link out of the tree"));
    assert!(refused(one(EntryType::Symlink, "a", "b/..")).contains("link out of the tree"));
    assert!(refused(one(EntryType::Link, "a", "../x")).contains(".."));
    assert!(refused(one(EntryType::Link, "a", "/etc/passwd")).contains("absolute"));
    assert!(refused(one(EntryType::Link, "a", "not-there")).contains("hard link"));
    assert!(refused(one(EntryType::Char, "null", "")).contains("device"));
    assert!(refused(one(EntryType::Block, "disk", "")).contains("device"));
    assert!(refused(one(EntryType::Fifo, "pipe", "")).contains("pipe"));
    assert!(refused(one(file, ".", "")).contains("top directory"));
}

#[test]
fn nothing_is_written_through_a_link() {
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Directory, "real", "", 0o755, b"");
    entry(&mut tar, EntryType::Symlink, "link", "real", 0o777, b"");
    entry(&mut tar, EntryType::Regular, "link/file", "", 0o644, b"x");
    assert!(refused(finished(tar)).contains("through a symbolic link"));

    // A link that is allowed (slugs) is replaced by the file of its name, not written through.
    let scratch = Scratch::new();
    let outside = scratch.0.join("outside");
    fs::write(&outside, "untouched").unwrap();
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Symlink, "file", outside.to_str().unwrap(), 0o777, b"");
    entry(&mut tar, EntryType::Regular, "file", "", 0o644, b"new");
    entry(&mut tar, EntryType::Symlink, "dir", scratch.0.to_str().unwrap(), 0o777, b"");
    let rules = Rules { links: Links::Anywhere, ..rules() };
    let inside = scratch.dir("inside");
    unpack(Cursor::new(finished(tar.clone())), &inside, &rules).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"untouched");
    assert_eq!(fs::read(inside.join("file")).unwrap(), b"new");
    entry(&mut tar, EntryType::Link, "taken", "dir/outside", 0o644, b"");
    let error = unpack(Cursor::new(finished(tar)), &scratch.dir("again"), &rules).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

#[test]
fn links_through_links_do_not_lead_out() {
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Directory, "real", "", 0o755, b"");
    entry(&mut tar, EntryType::Symlink, "d", ".", 0o777, b"");
    entry(&mut tar, EntryType::Symlink, "e", "d/..", 0o777, b"");
    assert!(refused(finished(tar)).contains("\"e\", which is a symbolic link out of the tree"));
}

#[test]
fn the_one_directory_around_everything_is_lifted_and_no_link_leads_out_then() {
    let scratch = Scratch::new();
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Regular, "top/in/file", "", 0o644, b"x");
    entry(&mut tar, EntryType::Symlink, "top/in/up", "../in/file", 0o777, b"");
    let lifted = scratch.dir("lifted");
    unpack(Cursor::new(finished(tar.clone())), &lifted, &rules()).unwrap();
    assert_eq!(fs::read(lifted.join("in/up")).unwrap(), b"x");
    entry(&mut tar, EntryType::Symlink, "top/l", "../env/KEY", 0o777, b"");
    assert!(refused(finished(tar.clone())).contains("\"top/l\", which is a symbolic link out of the tree"));
    // With something beside it nothing is lifted, and the link stays inside.
    entry(&mut tar, EntryType::Regular, "env/KEY", "", 0o644, b"y");
    let beside = scratch.dir("beside");
    unpack(Cursor::new(finished(tar)), &beside, &rules()).unwrap();
    assert_eq!(fs::read(beside.join("top/l")).unwrap(), b"y");
}

/// The first bytes of an archive, then zeros without end: a reader that holds none of them.
fn endless(head: Vec<u8>) -> impl std::io::Read {
    std::io::Read::chain(Cursor::new(head), std::io::Read::take(std::io::repeat(0), 1 << 40))
}

#[test]
fn long_names_and_attributes_have_an_end() {
    let scratch = Scratch::new();
    let ext = [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader];
    for (index, kind) in ext.into_iter().enumerate() {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 40);
        header.set_cksum();
        let into = scratch.dir(&format!("in-{index}"));
        let error = unpack(endless(header.as_bytes().to_vec()), &into, &rules()).unwrap_err();
        assert!(matches!(error, ArchiveError::LongHeader(_)), "{kind:?}: {error}");
    }
    // A map of holes that goes on and on.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.as_gnu_mut().unwrap().name[0] = b'a';
    header.as_gnu_mut().unwrap().isextended[0] = 1;
    header.set_size(0);
    header.set_cksum();
    let mut more = tar::GnuExtSparseHeader::new();
    more.isextended[0] = 1;
    let mut bytes = header.as_bytes().to_vec();
    for _ in 0..1000 {
        bytes.extend(more.as_bytes());
    }
    let error = unpack(Cursor::new(bytes), &scratch.dir("holes"), &rules()).unwrap_err();
    assert!(matches!(error, ArchiveError::LongHeader(_)), "{error}");
    // What an entry that is no file carries counts like a file's contents.
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Directory, "d", "", 0o755, &vec![0; 2000]);
    let small = Rules { max_bytes: 1000, ..rules() };
    let error = unpack(Cursor::new(finished(tar)), &scratch.dir("directory"), &small).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 1000, what: "bytes" }), "{error}");
}

#[test]
fn ordinary_archives_come_out_as_they_went_in_but_for_rights() {
    let scratch = Scratch::new();
    let into = scratch.dir("into");
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Directory, "./", "", 0o755, b"");
    entry(&mut tar, EntryType::Directory, "closed", "", 0o555, b"");
    entry(&mut tar, EntryType::Regular, "closed/bin", "", 0o6755, b"#!");
    entry(&mut tar, EntryType::Link, "hard", "closed/bin", 0o755, b"");
    entry(&mut tar, EntryType::Symlink, "closed/up", "../hard", 0o777, b"");
    entry(&mut tar, EntryType::Regular, "no/parents/in/the/archive", "", 0o600, b"x");
    let done = unpack(Cursor::new(finished(tar)), &into, &rules()).unwrap();
    assert_eq!((done.bytes, done.entries), (3, 6));
    let bin = fs::metadata(into.join("closed/bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o755, 1_000_000_000));
    assert_eq!(fs::metadata(into.join("hard")).unwrap().ino(), bin.ino());
    assert_eq!(fs::metadata(into.join("closed")).unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::read(into.join("closed/up")).unwrap(), b"#!");
    assert_eq!(fs::read(into.join("no/parents/in/the/archive")).unwrap(), b"x");
}

#[test]
fn bombs_and_rubbish_have_an_answer() {
    let scratch = Scratch::new();
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Regular, "zeros", "", 0o644, &vec![0; 1 << 20]);
    let bomb = zstd::encode_all(Cursor::new(finished(tar)), 1).unwrap();
    let small = Rules { max_bytes: 1000, ..rules() };
    let error = unpack(Cursor::new(&bomb), &scratch.dir("bytes"), &small).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 1000, what: "bytes" }), "{error}");

    let mut many = Vec::new();
    for index in 0..5 {
        entry(&mut many, EntryType::Regular, &format!("f{index}"), "", 0o644, b"");
    }
    let few = Rules { max_entries: 4, ..rules() };
    let error = unpack(Cursor::new(finished(many)), &scratch.dir("entries"), &few).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 4, what: "files" }), "{error}");

    let cut = &bomb[..bomb.len() - 5];
    let error = unpack(Cursor::new(cut), &scratch.dir("cut"), &rules()).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged(_) | ArchiveError::NotAnArchive(_)), "{error}");
    let error = unpack(Cursor::new(vec![b'x'; 5000]), &scratch.dir("rubbish"), &rules()).unwrap_err();
    assert!(matches!(error, ArchiveError::NotAnArchive(_)), "{error}");
    assert_eq!(unpack(Cursor::new(b""), &scratch.dir("empty"), &rules()).unwrap().entries, 0);
}

#[test]
fn a_slug_has_one_top_directory() {
    let scratch = Scratch::new();
    let slug = Rules { top: Top::App, ..rules() };
    let into = scratch.dir("into");
    let mut tar = Vec::new();
    entry(&mut tar, EntryType::Regular, "./app/Procfile", "", 0o644, b"web: x");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&finished(tar)).unwrap();
    unpack(Cursor::new(gzip.finish().unwrap()), &into, &slug).unwrap();
    assert_eq!(fs::read(into.join("Procfile")).unwrap(), b"web: x");
    let error = unpack(Cursor::new(one(EntryType::Regular, "etc/x", "")), &scratch.dir("no"), &slug).unwrap_err();
    assert!(error.to_string().contains("./app"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the names, links and order: an answer, and nothing beside the tree or in the file
    /// that lies there.
    #[test]
    fn no_archive_gets_out(
        entries in prop::collection::vec(
            (
                0_usize..8,
                prop::collection::vec(prop::sample::select(vec!["a", "b", "..", ".", "", "app"]), 1..5),
                prop::collection::vec(prop::sample::select(vec!["a", "b", "..", ".", "", "victim"]), 1..5),
            ),
            1..12,
        ),
        anywhere in any::<bool>(),
        app in any::<bool>(),
    ) {
        let kinds = [
            EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Link,
            EntryType::Fifo, EntryType::Regular, EntryType::Symlink, EntryType::Directory,
        ];
        let scratch = Scratch::new();
        let victim = scratch.0.join("victim");
        fs::write(&victim, "untouched").unwrap();
        let mut tar = Vec::new();
        for (kind, name, link) in &entries {
            let content: &[u8] = if kinds[*kind] == EntryType::Regular { b"evil" } else { b"" };
            entry(&mut tar, kinds[*kind], &name.join("/"), &link.join("/"), 0o7777, content);
        }
        let rules = Rules {
            links: if anywhere { Links::Anywhere } else { Links::Inside },
            top: if app { Top::App } else { Top::AsIs },
            ..rules()
        };
        let inside = scratch.dir("inside");
        let outcome = unpack(Cursor::new(finished(tar)), &inside, &rules);
        prop_assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        prop_assert_eq!(fs::metadata(&victim).unwrap().nlink(), 1);
        prop_assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
        if outcome.is_ok() && !anywhere {
            assert_links_stay(&inside, &inside.canonicalize().unwrap());
        }
    }

    /// Any bytes at all have an answer.
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), magic in 0_usize..3) {
        let scratch = Scratch::new();
        let begin: [&[u8]; 3] = [&[], &[0x28, 0xB5, 0x2F, 0xFD], &[0x1F, 0x8B]];
        let _ = unpack(Cursor::new([begin[magic], &bytes].concat()), &scratch.dir("inside"), &rules());
    }
}

/// Each link below `path` that leads to something leads to something in the tree.
fn assert_links_stay(path: &Path, root: &Path) {
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            if let Ok(target) = entry.path().canonicalize() {
                assert!(target.starts_with(root), "{target:?}");
            }
        } else if kind.is_dir() {
            assert_links_stay(&entry.path(), root);
        }
    }
}

/// A store and a cache.
async fn house(scratch: &Scratch) -> (Arc<DiskStore>, SlugCache) {
    let store = Arc::new(DiskStore::open(scratch.0.join("slugs")).await.unwrap());
    let cache = SlugCache::open(scratch.0.join("releases"), store.clone()).await.unwrap();
    (store, cache)
}

/// An app as a build leaves it.
fn app(scratch: &Scratch) -> PathBuf {
    let app = scratch.dir("built");
    fs::create_dir_all(app.join("bin")).unwrap();
    fs::write(app.join("bin/run"), "#!/bin/bash").unwrap();
    fs::set_permissions(app.join("bin/run"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::write(app.join("Procfile"), "web: bin/run").unwrap();
    symlink("/usr/bin/python3", app.join("bin/python")).unwrap();
    app
}

#[tokio::test]
async fn a_slug_goes_round() {
    let scratch = Scratch::new();
    let (store, cache) = house(&scratch).await;
    let app = app(&scratch);
    let packed = pack(store.as_ref(), &app).await.unwrap();
    assert_eq!(packed.unpacked, 23);
    assert_eq!(pack(store.as_ref(), &app).await.unwrap(), packed, "the same files make the same slug");
    let slug = Uuid::new_v4();
    let path = cache.ensure(slug, &packed.blob.sha256).await.unwrap();
    assert_eq!(path, scratch.0.join("releases").join(slug.to_string()));
    let run = fs::metadata(path.join("bin/run")).unwrap();
    assert_eq!((run.mode() & 0o7777, run.uid()), (0o755, 10_001));
    assert_eq!(fs::read_link(path.join("bin/python")).unwrap(), Path::new("/usr/bin/python3"));
    assert_eq!(fs::metadata(&path).unwrap().uid(), 10_001);

    let mut bytes = Vec::new();
    store.get(&packed.blob.sha256).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len() as u64, packed.blob.size);
    store.remove(&packed.blob.sha256).await.unwrap();
    store.remove(&packed.blob.sha256).await.unwrap();
    assert!(matches!(store.get(&packed.blob.sha256).await.err(), Some(SlugError::Missing { .. })));
    // What is unpacked stays usable.
    assert_eq!(cache.ensure(slug, &packed.blob.sha256).await.unwrap(), path);
    assert!(matches!(cache.ensure(Uuid::new_v4(), &packed.blob.sha256).await, Err(SlugError::Missing { .. })));
}

#[tokio::test]
async fn many_who_ask_at_once_get_one_directory() {
    let scratch = Scratch::new();
    let (store, cache) = house(&scratch).await;
    let packed = pack(store.as_ref(), &app(&scratch)).await.unwrap();
    let slug = Uuid::new_v4();
    let asks = (0..16).map(|_| cache.ensure(slug, &packed.blob.sha256));
    for path in futures_util::future::join_all(asks).await {
        assert!(path.unwrap().join("Procfile").exists());
    }
    let left = fs::read_dir(scratch.0.join("releases")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".new-")));
}

#[tokio::test]
async fn a_built_directory_is_handed_over_and_unused_ones_go() {
    let scratch = Scratch::new();
    let (_, cache) = house(&scratch).await;
    let [one, two] = [Uuid::new_v4(), Uuid::new_v4()];
    let path = cache.adopt(one, &app(&scratch)).await.unwrap();
    assert!(path.join("Procfile").exists() && !scratch.0.join("built").exists());
    // The same again: the first stays.
    cache.adopt(one, &app(&scratch)).await.unwrap();
    assert!(!scratch.0.join("built").exists());
    let other = cache.adopt(two, &app(&scratch)).await.unwrap();
    let mut there = cache.unpacked().await.unwrap();
    for slug in &there {
        cache.evict(*slug, async { *slug == two }).await.unwrap();
    }
    there.sort();
    let mut both = [one, two];
    both.sort();
    assert_eq!(there, both);
    assert!(!path.exists() && other.join("Procfile").exists());
}

#[tokio::test]
async fn damage_is_seen_and_leaves_nothing() {
    let scratch = Scratch::new();
    let (store, cache) = house(&scratch).await;
    let blob = pack(store.as_ref(), &app(&scratch)).await.unwrap().blob;
    let file = scratch.0.join("slugs").join(format!("{}.tar.zst", blob.sha256));
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let slug = Uuid::new_v4();
    let error = cache.ensure(slug, &blob.sha256).await.unwrap_err();
    assert!(matches!(error, SlugError::Damaged { .. }), "{error}");
    let junk = store.put(Box::pin(Cursor::new(b"no archive".repeat(100)))).await.unwrap();
    let error = cache.ensure(slug, &junk.sha256).await.unwrap_err();
    assert!(matches!(error, SlugError::Archive(ArchiveError::NotAnArchive(_))), "{error}");
    let left: Vec<_> =
        fs::read_dir(scratch.0.join("releases")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".boot"]);
}

#[tokio::test]
async fn checksums_are_no_paths() {
    let scratch = Scratch::new();
    let (store, _) = house(&scratch).await;
    for bad in ["", "../../etc/passwd", &"A".repeat(64), &"0".repeat(63)] {
        assert!(matches!(store.get(bad).await.err(), Some(SlugError::BadChecksum(_))), "{bad}");
        assert!(store.remove(bad).await.is_err());
    }
}

#[test]
fn archives_of_the_tar_program_are_understood() {
    let scratch = Scratch::new();
    let source = scratch.dir("source");
    // Long names and sparse files are extensions of GNU's format.
    let deep = source.join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    fs::File::create(source.join("sparse")).unwrap().set_len(1 << 20).unwrap();
    for format in ["gnu", "pax", "ustar"] {
        let tar = std::process::Command::new("tar")
            .args(["--sparse", "--format", format, "-C"])
            .arg(&source)
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        if !tar.status.success() {
            assert_eq!(format, "ustar", "{tar:?}");
            continue;
        }
        let into = scratch.dir(format);
        if format == "pax" {
            let error = unpack(Cursor::new(tar.stdout), &into, &rules()).unwrap_err();
            assert!(error.to_string().contains("sparse"), "{error}");
            continue;
        }
        unpack(Cursor::new(tar.stdout), &into, &rules()).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(fs::metadata(into.join("sparse")).unwrap().len(), 1 << 20, "{format}");
        let file = into.join("d".repeat(120)).join("e".repeat(120)).join("file");
        assert_eq!(fs::read(file).unwrap(), b"deep", "{format}");
    }
    // Without holes that form is an ordinary one.
    let plain = std::process::Command::new("tar")
        .args(["--format", "pax", "-C"])
        .arg(&source)
        .args(["-cf", "-", "."])
        .output()
        .unwrap();
    let into = scratch.dir("pax-plain");
    unpack(Cursor::new(plain.stdout), &into, &rules()).unwrap();
    assert_eq!(fs::metadata(into.join("sparse")).unwrap().len(), 1 << 20);
    // The crate's own writer, for completeness.
    let mut builder = Builder::new(Vec::new());
    builder.append_dir_all(".", &source).unwrap();
    unpack(Cursor::new(builder.into_inner().unwrap()), &scratch.dir("crate"), &rules()).unwrap();
}

#[tokio::test]
async fn what_no_dyno_would_take_is_not_packed() {
    let scratch = Scratch::new();
    let (store, _) = house(&scratch).await;
    let stop = CancellationToken::new();
    let most = Most { unpacked: 1 << 20, entries: 10, packed: 10_000 };
    let refused = async |directory: &Path| {
        let error = pack_within(store.as_ref(), directory, most, &stop).await.unwrap_err();
        assert!(matches!(error, SlugError::TooLarge { .. }), "{error}");
        assert_eq!(fs::read_dir(scratch.0.join("slugs")).unwrap().count(), 0, "nothing is left");
        error.to_string()
    };
    // Holes that would take days to read.
    let holes = scratch.dir("holes");
    for n in 0..3 {
        fs::File::create(holes.join(format!("{n}"))).unwrap().set_len(1 << 43).unwrap();
    }
    assert_eq!(refused(&holes).await, "Compiled slug size: more than 1M unpacked is too large (max is 1M unpacked).");
    let many = scratch.dir("many");
    for n in 0..10 {
        fs::write(many.join(format!("{n}")), "").unwrap();
    }
    assert_eq!(refused(&many).await, "Compiled slug size: more than 10 files is too large (max is 10 files).");
    let noise = scratch.dir("noise");
    let bytes: Vec<u8> = (0..100).flat_map(|_| *Uuid::new_v4().as_bytes()).collect();
    fs::write(noise.join("small"), bytes).unwrap();
    pack_within(store.as_ref(), &noise, most, &stop).await.unwrap();
    fs::remove_dir_all(scratch.0.join("slugs")).unwrap();
    fs::create_dir(scratch.0.join("slugs")).unwrap();
    let bytes: Vec<u8> = (0..2000).flat_map(|_| *Uuid::new_v4().as_bytes()).collect();
    fs::write(noise.join("small"), bytes).unwrap();
    assert_eq!(refused(&noise).await, "Compiled slug size: more than 9.8K is too large (max is 9.8K).");
}

#[tokio::test]
async fn packing_stops_when_nobody_wants_it_any_more() {
    let scratch = Scratch::new();
    let (store, _) = house(&scratch).await;
    let holes = scratch.dir("holes");
    fs::File::create(holes.join("hole")).unwrap().set_len(1 << 43).unwrap();
    let stop = CancellationToken::new();
    let most = Most { unpacked: u64::MAX, ..Most::default() };
    let stopped = async {
        // It is at work once there is a file.
        while fs::read_dir(scratch.0.join("slugs")).unwrap().count() == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (packed, ()) = tokio::join!(pack_within(store.as_ref(), &holes, most, &stop), stopped);
    assert!(matches!(packed, Err(SlugError::Stopped)), "{packed:?}");
    assert_eq!(fs::read_dir(scratch.0.join("slugs")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let scratch = Scratch::new();
    let (store, _) = house(&scratch).await;
    let (near, far) = tokio::io::duplex(100);
    let mut putting = store.put(Box::pin(far));
    // As much as can be done without more bytes, then whoever waits goes away.
    while fs::read_dir(scratch.0.join("slugs")).unwrap().count() == 0 {
        assert!(futures_util::poll!(&mut putting).is_pending());
        tokio::task::yield_now().await;
    }
    drop(putting);
    drop(near);
    assert_eq!(fs::read_dir(scratch.0.join("slugs")).unwrap().count(), 0);
}
