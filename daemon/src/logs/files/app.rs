//! One app's log: which segments it has, and how far each is written.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use uuid::Uuid;

use super::codec::{Frame, Frames, decode};
use crate::logs::line::{Position, pieces};

/// How far an app's log goes, for those who follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tail {
    /// The number that the next line gets.
    pub(super) next_seq: u64,
    /// Nothing will follow.
    pub(super) ended: bool,
}

/// Lines that found no room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) since: DateTime<Utc>,
}

/// One app's log. Only the writer changes its files; readers go by its [`View`].
#[derive(Debug)]
pub(super) struct AppLog {
    pub(super) id: Uuid,
    pub(super) dir: PathBuf,
    view: Mutex<Option<View>>,
    pub(super) tail: watch::Sender<Tail>,
    pub(super) lost: Mutex<Option<Lost>>,
}

/// What is there, as far as it is written and whole.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Oldest first; their first numbers rise. Only the last may be [`Form::Open`].
    pub(super) segments: VecDeque<Segment>,
    /// The number that the next line gets; the first is 1.
    pub(super) next_seq: u64,
    /// How far each origin has been stored.
    pub(super) positions: HashMap<Uuid, Position>,
    /// The number of the line after each one's last, as far as it is known.
    pub(super) said: HashMap<Uuid, u64>,
    /// The log is gone for good.
    pub(super) removed: bool,
}

/// One file of an app's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Number of its first line, also its name.
    pub(super) first: u64,
    pub(super) form: Form,
}

/// The form that a segment is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Being written; whole up to this byte.
    Open { len: u64, since: Option<i64> },
    /// Full, not yet compressed.
    Closed,
    /// Compressed.
    Packed,
}

impl View {
    /// What readers need of it.
    pub(super) fn without_positions(&self) -> Self {
        Self {
            segments: self.segments.clone(),
            next_seq: self.next_seq,
            positions: HashMap::new(),
            said: HashMap::new(),
            removed: self.removed,
        }
    }
}

/// The name of a segment that is written.
pub(super) fn raw_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// The name of one that is compressed.
pub(super) fn packed_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log.zst"))
}

/// The first number in a segment's file name, and whether it is compressed.
pub(super) fn parse_name(name: &str) -> Option<(u64, bool)> {
    let (number, packed) = match name.strip_suffix(".log.zst") {
        Some(number) => (number, true),
        None => (name.strip_suffix(".log")?, false),
    };
    (number.len() == 20 && number.bytes().all(|b| b.is_ascii_digit()))
        .then(|| number.parse().ok())?
        .map(|n| (n, packed))
}

/// Opens a segment in whichever form it is now; `None` when it has been removed.
pub(super) fn open_segment(dir: &Path, first: u64) -> io::Result<Option<Box<dyn Read + Send>>> {
    // Twice, since it may be compressed between the two looks.
    for _ in 0..2 {
        match File::open(raw_path(dir, first)) {
            Ok(file) => return Ok(Some(Box::new(BufReader::with_capacity(64 * 1024, file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match File::open(packed_path(dir, first)) {
            Ok(file) => return Ok(Some(Box::new(BufReader::new(zstd::stream::read::Decoder::new(file)?)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl AppLog {
    pub(super) fn new(id: Uuid, dir: PathBuf) -> Self {
        Self {
            id,
            dir,
            view: Mutex::new(None),
            tail: watch::Sender::new(Tail { next_seq: 1, ended: false }),
            lost: Mutex::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the view; the first time, it is made from the files (blocking:
    /// a segment is read). The lock is held meanwhile, so `with` is to be brief.
    pub(super) fn view<T>(&self, with: impl FnOnce(&mut View) -> T) -> io::Result<T> {
        let mut slot = self.lock();
        if slot.is_none() {
            let view = recover(&self.dir)?;
            self.tail.send_replace(Tail { next_seq: view.next_seq, ended: false });
            *slot = Some(view);
        }
        let view = slot.get_or_insert_default();
        Ok(with(view))
    }

    /// The same for a view that need not have been made yet.
    pub(super) fn view_if_open<T>(&self, with: impl FnOnce(Option<&mut View>) -> T) -> T {
        with(self.lock().as_mut())
    }

    /// Counts lines that found no room.
    pub(super) fn lose(&self, lines: u64, since: DateTime<Utc>) {
        if lines == 0 {
            return;
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match lost.as_mut() {
            Some(lost) => lost.lines += lines,
            None => *lost = Some(Lost { lines, since }),
        }
    }

    /// Takes the count.
    pub(super) fn take_lost(&self) -> Option<Lost> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Finds out what the files hold: cuts what a crash tore, removes what it left half made.
fn recover(dir: &Path) -> io::Result<View> {
    let mut found: Vec<(u64, bool)> = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                match name.to_str().and_then(parse_name) {
                    Some(segment) => found.push(segment),
                    None if name.to_string_lossy().ends_with(".tmp") => fs::remove_file(entry.path())?,
                    None => {}
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.sort_unstable();
    let mut segments: VecDeque<Segment> = VecDeque::new();
    for (first, packed) in found {
        let form = if packed { Form::Packed } else { Form::Closed };
        match segments.back_mut() {
            Some(last) if last.first == first => {
                // Compressed, and the daemon fell before the plain one was removed.
                fs::remove_file(raw_path(dir, first))?;
                last.form = Form::Packed;
            }
            Some(_) | None => segments.push_back(Segment { first, form }),
        }
    }
    let mut view = View { next_seq: 1, ..View::default() };
    while let Some(last) = segments.back_mut() {
        let scanned = match scan(dir, last.first) {
            // What can't be decompressed is damaged; what can't be read may be readable later.
            Err(_) if last.form == Form::Packed => None,
            other => other?,
        };
        let Some(scan) = scanned else {
            // It was being made when the power failed: nothing is in it.
            tracing::warn!(segment = %raw_path(dir, last.first).display(), "a log segment without a whole beginning was set aside");
            let path = if last.form == Form::Packed { packed_path(dir, last.first) } else { raw_path(dir, last.first) };
            fs::rename(&path, path.with_extension("damaged"))?;
            segments.pop_back();
            continue;
        };
        if last.form == Form::Closed {
            let path = raw_path(dir, last.first);
            let file = OpenOptions::new().write(true).open(&path)?;
            let size = file.metadata()?.len();
            if size > scan.len {
                tracing::info!(segment = %path.display(), bytes = size - scan.len, "the torn end of a log was cut");
                file.set_len(scan.len)?;
                file.sync_data()?;
            }
            last.form = Form::Open { len: scan.len, since: scan.since };
        }
        view.next_seq = scan.next_seq;
        view.positions = scan.positions;
        break;
    }
    view.segments = segments;
    Ok(view)
}

struct Scan {
    len: u64,
    next_seq: u64,
    since: Option<i64>,
    positions: HashMap<Uuid, Position>,
}

/// Reads a segment to its end or to where it is torn; `None` when not even its first frame
/// is whole.
fn scan(dir: &Path, first: u64) -> io::Result<Option<Scan>> {
    let Some(reader) = open_segment(dir, first)? else { return Ok(None) };
    let Some(mut frames) = Frames::begin(reader)? else { return Ok(None) };
    let Some(Some(Frame::Positions(positions))) = frames.next()?.map(decode) else { return Ok(None) };
    let mut scan = Scan { len: frames.offset(), next_seq: first, since: None, positions };
    while let Some(Some(Frame::Message(message))) = frames.next()?.map(decode) {
        if message.seq != scan.next_seq {
            break;
        }
        scan.next_seq += pieces(message.text).count() as u64;
        scan.since.get_or_insert(message.at);
        if let Some(origin) = message.origin {
            scan.positions.insert(origin.id, origin.position);
        }
        scan.len = frames.offset();
    }
    Ok(Some(scan))
}
