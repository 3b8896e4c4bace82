//! What holds for any bytes that come from outside, one function for each parser of the daemon and of the crates below
//! it. `cargo test` calls them with changed pieces of `daemon/fuzz/corpus`, cargo-fuzz with what it finds.

use std::{fs, path::Path};

use chrono::{DateTime, TimeDelta};
use paas_buildpacks::release::ReleaseInfo;
use paas_domain::{manifest::Manifest, name::Hostname, procfile::Procfile, tap};
use paas_wire::{attach, range::Range};
use rustls::pki_types::CertificateDer;
use uuid::Uuid;

use crate::{
    acme::{self, Authorization, Order, Problem, RenewalInfo, RetryAfter, dns, reach},
    context::new_id,
    logs::{Line, MAX_MESSAGE, Source, files::codec, line},
    ops::{certificate, ssh_keys},
    outbound::Target,
    slugs::{archive, peek},
    tasks::{
        acm::renewal::{self, Said},
        drains::otlp,
    },
    web::hello::{Hello, tell},
};

/// A name, as that of its folder in the corpus, and what holds for any bytes.
pub type Case = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Case] = &[
    ("dns_answer", dns_answer),
    ("acme_answer", acme_answer),
    ("certificate", certificate),
    ("first_bytes", first_bytes),
    ("log_segment", log_segment),
    ("log_message", log_message),
    ("router_line", router_line),
    ("receiver", receiver),
    ("archive", archive),
    ("procfile", procfile),
    ("app_json", app_json),
    ("bin_release", bin_release),
    ("tap", tap),
    ("hostname", hostname),
    ("ssh_key", ssh_key),
    ("range", range),
    ("attach_frame", attach_frame),
];

/// The answer of a DNS server: however much of it has come, it is no answer or the same one, and no
/// record is longer than it.
pub fn dns_answer(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(512)];
    for kind in [dns::A, dns::AAAA, dns::TXT] {
        let answer = dns::read(bytes, kind);
        for cut in 0..bytes.len() {
            let cut = dns::read(&bytes[..cut], kind);
            assert!(cut.is_none() || cut == answer);
        }
        for record in answer.and_then(Result::ok).into_iter().flatten() {
            assert!(bytes.windows(record.len().max(1)).any(|part| part == record) || record.is_empty());
            assert!(dns::text(&record).len() <= record.len());
        }
    }
}

/// What an authority answers: `Retry-After` in the first line, then JSON. Whatever it wants, its next turn is in a day at most.
pub fn acme_answer(bytes: &[u8]) {
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let first = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let json = parts.next().unwrap_or_default();
    let again = RetryAfter::parse(&first);
    if let Some(again) = again {
        let _ = again.at(now);
    }
    if let Ok(RenewalInfo { suggested_window }) = serde_json::from_slice(json) {
        for chance in [0.0, 0.5, 1.0] {
            let life = (now - TimeDelta::days(30), now + TimeDelta::days(60));
            let (_, next) = renewal::decide(now, life, None, Said::Window(suggested_window, again), chance);
            assert!(next <= now + TimeDelta::days(1) || suggested_window.start > suggested_window.end);
        }
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(json) {
        assert!(!problem.to_string().contains('\n'));
    }
    let _ = serde_json::from_slice::<Order>(json);
    let _ = serde_json::from_slice::<Authorization>(json);
}

/// A certificate, as it is on the wire or in PEM: it covers the names that are in it.
pub fn certificate(bytes: &[u8]) {
    let _ = reach::carries(&CertificateDer::from(bytes), "token.thumbprint");
    for chain in [pem(bytes), String::from_utf8_lossy(bytes).into_owned()] {
        let _ = acme::renewal_id(&chain);
        if let Ok(said) = certificate::read(&chain) {
            assert!(said.names.iter().all(|name| said.covers(name)));
        }
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// What a connection begins with: told alike, in whatever pieces it comes.
pub fn first_bytes(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(1024)];
    let told = tell(bytes);
    for cut in 0..bytes.len() {
        let begin = &bytes[..cut];
        match tell(begin) {
            None => {}
            // Nothing has to follow a secret: that isn't waited for.
            Some(Hello::Rendezvous(secret) | Hello::Redis(secret)) if begin.ends_with(secret.as_bytes()) => {}
            some => assert_eq!(some, told, "{} of {}", cut, bytes.escape_ascii()),
        }
    }
}

/// A segment of a log, and one frame of it: what is read is the same when it is written anew.
pub fn log_segment(bytes: &[u8]) {
    if let Some(frame) = codec::decode(bytes) {
        let mut segment = codec::MAGIC.to_vec();
        match &frame {
            codec::Frame::Positions(positions) => codec::put_positions(&mut segment, positions),
            codec::Frame::Message(message) => codec::put_message(&mut segment, message),
        }
        let mut frames = codec::Frames::begin(segment.as_slice()).ok().flatten();
        let payload = frames.as_mut().and_then(|frames| frames.next().ok().flatten());
        assert_eq!(payload.and_then(codec::decode), Some(frame));
    }
    if let Ok(Some(mut frames)) = codec::Frames::begin(bytes) {
        while let Ok(Some(payload)) = frames.next() {
            let _ = codec::decode(payload);
        }
        assert!(frames.offset() <= bytes.len() as u64);
    }
}

/// What a process says: lines that command no terminal and are no longer than they may be.
pub fn log_message(bytes: &[u8]) {
    let clean = line::clean_message(bytes);
    assert_eq!(line::clean_message(clean.as_bytes()), clean, "it is clean the first time");
    let mut length = 0;
    for piece in line::pieces(&clean) {
        length += piece.len();
        assert!(piece.len() <= MAX_MESSAGE);
        assert!(piece.chars().all(|c| !c.is_control() || c == '\t' || c == '\x1b'), "{piece:?}");
    }
    assert_eq!(length, clean.chars().filter(|c| *c != '\n').map(char::len_utf8).sum::<usize>());
}

/// A router's line, of which telemetry is made.
pub fn router_line(bytes: &[u8]) {
    let message = String::from_utf8_lossy(bytes).into_owned();
    let line = Line { seq: 1, at: DateTime::UNIX_EPOCH, source: Source::Heroku, process: "router".to_owned(), message };
    if let Some(facts) = otlp::Facts::parse(&line.message) {
        let span = otlp::span(Uuid::nil(), &line, &facts);
        assert!(span["traceId"].as_str().is_some_and(|id| id.len() == 32));
    }
}

/// The address of a drain or webhook: nothing of it can end a header, and what is shown of it leads to the same place.
pub fn receiver(bytes: &[u8]) {
    let Some(target) = std::str::from_utf8(bytes).ok().and_then(|text| Target::parse(text).ok()) else { return };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(plain(target.host()) && plain(target.path()) && plain(&target.authority()), "{target:?}");
    assert!(target.port() != 0 && !target.host().is_empty());
    let text = format!("{}{}", target.shown(), target.path());
    match Target::parse(&text) {
        Ok(again) => {
            assert_eq!((again.host(), again.port(), again.tls()), (target.host(), target.port(), target.tls()));
            assert_eq!((again.path(), again.authorization()), (target.path(), None));
        }
        // What is not plain is written in three bytes for one.
        Err(why) => assert!(why.starts_with("it is longer"), "{text}: {why}"),
    }
}

/// An archive that somebody has uploaded: nothing is written but below its place, and no link leads out of that.
pub fn archive(bytes: &[u8]) {
    // As it is, and with headers that are as long as they say.
    for bytes in [bytes.to_vec(), with_checksums(bytes)] {
        if let Ok(Some(file)) = peek::peek(bytes.as_slice(), "app.json", 100) {
            assert!(file.len() <= 100);
        }
        let around = std::env::temp_dir().join(format!("paas-fuzzing-{}", new_id().simple()));
        let into = around.join("tree");
        if fs::create_dir_all(&into).is_err() {
            return;
        }
        let rules = archive::Rules { owner: None, max_bytes: 1 << 20, max_entries: 64, ..archive::Rules::source() };
        let done = archive::unpack(bytes.as_slice(), &into, &rules);
        let beside: Vec<_> = fs::read_dir(&around).into_iter().flatten().flatten().map(|one| one.file_name()).collect();
        assert_eq!(beside, ["tree"], "{}", bytes.escape_ascii());
        if done.is_ok() {
            stays_inside(&into, &into);
        }
        let _ = fs::remove_dir_all(&around);
    }
}

fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for header in bytes.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    bytes
}

fn stays_inside(folder: &Path, root: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
            stays_inside(&path, root);
        } else if kind.as_ref().is_ok_and(fs::FileType::is_symlink) {
            let outside = fs::canonicalize(&path).is_ok_and(|to| !to.starts_with(root));
            assert!(!outside, "{} leads out", path.display());
        } else {
            assert!(kind.is_ok_and(|kind| kind.is_file()), "{} is neither file, directory nor link", path.display());
        }
    }
}

/// A Procfile: the same when it is written anew.
pub fn procfile(bytes: &[u8]) {
    let Ok(parsed) = Procfile::parse(bytes) else { return };
    let text = parsed.procfile.to_string();
    match Procfile::parse(text.as_bytes()) {
        Ok(again) => assert_eq!(again.procfile.to_string(), text),
        Err(why) => panic!("{text:?}: {why}"),
    }
    for warning in parsed.warnings {
        assert!(!warning.to_string().chars().any(char::is_control), "{warning}");
    }
}

/// An app.json: the same when it is written anew.
pub fn app_json(bytes: &[u8]) {
    let Ok(parsed) = Manifest::parse(bytes) else { return };
    let text = serde_json::to_vec(&parsed.manifest).unwrap_or_default();
    match Manifest::parse(&text) {
        Ok(again) => assert_eq!(serde_json::to_vec(&again.manifest).unwrap_or_default(), text),
        Err(why) => panic!("{}: {why}", text.escape_ascii()),
    }
}

/// What a buildpack's `bin/release` says.
pub fn bin_release(bytes: &[u8]) {
    if let Err(why) = ReleaseInfo::parse(bytes) {
        assert!(why.to_string().starts_with("bin/release: "));
    }
}

/// What a test program says of its cases: each of them is on a line of its own.
pub fn tap(bytes: &[u8]) {
    let output = String::from_utf8_lossy(bytes);
    let cases = tap::read(&output);
    assert!(cases.len() <= output.lines().count());
    let said: usize =
        cases.iter().map(|case| case.description.len() + case.directive.len() + case.diagnostic.len()).sum();
    assert!(said <= output.len() + cases.len());
}

/// A custom domain: its one form is a hostname, too, and as long as DNS takes it.
pub fn hostname(bytes: &[u8]) {
    let Some(host) = std::str::from_utf8(bytes).ok().and_then(|text| Hostname::parse(text).ok()) else { return };
    let text = host.to_string();
    assert_eq!(Hostname::parse(&text).as_ref(), Ok(&host));
    assert!(text.len() <= 253 && text == text.to_ascii_lowercase() && text.is_ascii());
    assert!(host.covers(&text.replacen('*', "a", 1)));
}

/// An SSH key: the line that is kept of it is the same key.
pub fn ssh_key(bytes: &[u8]) {
    let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| ssh_keys::parse(text).ok()) else { return };
    let again = ssh_keys::parse(&key.line).map(|again| again.fingerprint);
    assert_eq!(again.ok(), Some(key.fingerprint));
}

/// A `Range` header: what is answered can stand in a header, and is understood as it is.
pub fn range(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let range = Range::parse(text);
    let answered = range.to_string();
    assert!(answered.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{answered:?}");
    assert_eq!(Range::parse(&answered).to_string(), answered);
    // Nothing is listed by what is empty.
    if !text.is_empty() {
        let next = range.after("id", text);
        assert_eq!(Range::parse(&next.to_string()), next);
    }
}

/// A frame of an attached dyno: found whole or not at all, and the same when it is written anew.
pub fn attach_frame(bytes: &[u8]) {
    let Ok(Some((frame, used))) = attach::Frame::decode(bytes) else { return };
    for cut in 0..used {
        assert_eq!(attach::Frame::decode(&bytes[..cut]), Ok(None));
    }
    let text = matches!(&frame, attach::Frame::Error(text) if text.as_bytes() != &bytes[attach::HEADER_LEN..used]);
    assert!(text || frame.encode() == bytes[..used]);
}
