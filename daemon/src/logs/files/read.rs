//! Reads lines back: the last ones, and from a place on. All of it blocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

use chrono::{DateTime, Utc};

use super::app::{AppLog, Form, Segment, open_segment, raw_path};
use super::codec::{Frame, Frames, MAGIC, Message, decode};
use crate::logs::line::{Filter, Line, Source, pieces};

type Reader = Frames<Box<dyn Read + Send>>;

/// A place in an app's log.
pub(super) struct Cursor {
    /// The first number of the segment that it is in.
    first: u64,
    /// Bytes into it.
    offset: u64,
    /// The number of the next line to give.
    next_seq: u64,
    /// A full segment that is being read, kept so that it is decompressed once only.
    reader: Option<Reader>,
}

impl Cursor {
    /// Before the line of this number.
    pub(super) fn before(next_seq: u64, app: &AppLog) -> io::Result<Self> {
        app.view(|view| {
            let first = view.segments.iter().rev().find(|segment| segment.first <= next_seq).map_or(0, |s| s.first);
            Self { first, offset: 0, next_seq, reader: None }
        })
    }
}

/// The last `n` lines that pass, oldest first, and the place after the last line there is.
pub(super) fn recent(app: &AppLog, n: usize, filter: &Filter) -> io::Result<(VecDeque<Line>, Cursor)> {
    let view = app.view(|view| view.without_positions())?;
    let (first, offset) = match view.segments.back() {
        Some(Segment { first, form: Form::Open { len, .. } }) => (*first, *len),
        // The next line will be in a segment of its own.
        Some(Segment { form: Form::Closed | Form::Packed, .. }) | None => (view.next_seq, 0),
    };
    let end = Cursor { first, offset, next_seq: view.next_seq, reader: None };
    let mut lines = VecDeque::new();
    for segment in view.segments.iter().rev() {
        let room = n - lines.len();
        if room == 0 {
            break;
        }
        let mut older = VecDeque::new();
        if let Err(error) = last_of(app, *segment, room, filter, &mut older) {
            tracing::warn!(app.id = %app.id, segment = segment.first, %error, "a log segment can't be read; its lines are left out");
        }
        older.append(&mut lines);
        lines = older;
    }
    Ok((lines, end))
}

/// The last `room` lines of one segment that pass.
fn last_of(app: &AppLog, segment: Segment, room: usize, filter: &Filter, lines: &mut VecDeque<Line>) -> io::Result<()> {
    let Some(reader) = open_segment(&app.dir, segment.first)? else { return Ok(()) };
    let reader: Box<dyn Read + Send> = match segment.form {
        Form::Open { len, .. } => Box::new(reader.take(len)),
        Form::Closed | Form::Packed => reader,
    };
    let Some(mut frames) = Frames::begin(reader)? else { return Ok(()) };
    while let Some(payload) = frames.next()? {
        match decode(payload) {
            Some(Frame::Message(message)) if filter.passes(message.source, message.process) => {
                for line in lines_of(&message) {
                    if lines.len() == room {
                        lines.pop_front();
                    }
                    lines.push_back(line);
                }
            }
            Some(Frame::Message(_) | Frame::Positions(_)) => {}
            None => break,
        }
    }
    Ok(())
}

/// The same, but no more of them than there is `room` for, in bytes; the place is after those.
pub(super) fn backlog(
    app: &AppLog,
    n: usize,
    filter: &Filter,
    mut room: usize,
) -> io::Result<(VecDeque<Line>, Cursor)> {
    let (mut lines, end) = recent(app, n, filter)?;
    let fits = |line: &&Line| {
        let before = room;
        room = room.saturating_sub(line.message.len());
        before > 0
    };
    let count = lines.iter().take_while(fits).count();
    let Some(next) = lines.get(count).map(|line| line.seq) else { return Ok((lines, end)) };
    lines.truncate(count);
    lines.shrink_to_fit();
    Ok((lines, Cursor::before(next, app)?))
}

/// The next lines at the cursor that pass, about `max` bytes of them; fewer or none does not mean
/// the end: that is when [`Cursor`] and the tail's number agree. Moves the cursor.
pub(super) fn next(app: &AppLog, cursor: &mut Cursor, filter: &Filter, max: usize) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    loop {
        let view = app.view(|view| view.without_positions())?;
        if cursor.next_seq >= view.next_seq || view.removed {
            return Ok(lines);
        }
        let Some(index) = view.segments.iter().position(|segment| segment.first >= cursor.first) else {
            return Ok(lines);
        };
        let segment = view.segments[index];
        if segment.first != cursor.first {
            // It begins a new segment, or the one that it was in has been removed.
            if segment.first > cursor.next_seq {
                lines.push(lost(cursor.next_seq, segment.first));
                cursor.next_seq = segment.first;
            }
            *cursor = Cursor { first: segment.first, offset: 0, next_seq: cursor.next_seq, reader: None };
        }
        let mut reader = match cursor.reader.take() {
            Some(reader) => reader,
            None => match at(app, segment, cursor.offset)? {
                Some(reader) => reader,
                // Removed just now, or damaged: what comes after it is still there.
                None => {
                    let Some(after) = view.segments.get(index + 1) else { return Ok(lines) };
                    *cursor = Cursor { first: after.first, offset: 0, next_seq: cursor.next_seq, reader: None };
                    if after.first > cursor.next_seq {
                        lines.push(lost(cursor.next_seq, after.first));
                        cursor.next_seq = after.first;
                    }
                    continue;
                }
            },
        };
        let mut ended = true;
        while let Some(payload) = reader.next()? {
            match decode(payload) {
                Some(Frame::Message(message)) if filter.passes(message.source, message.process) => {
                    for line in lines_of(&message).filter(|line| line.seq >= cursor.next_seq) {
                        bytes += line.message.len() + size_of::<Line>();
                        lines.push(line);
                    }
                    cursor.next_seq = cursor.next_seq.max(message.seq + count(&message));
                }
                Some(Frame::Message(message)) => {
                    cursor.next_seq = cursor.next_seq.max(message.seq + count(&message));
                }
                Some(Frame::Positions(_)) => {}
                None => break,
            }
            if bytes >= max {
                ended = false;
                break;
            }
        }
        cursor.offset = reader.offset();
        let open = matches!(segment.form, Form::Open { .. });
        if !ended {
            cursor.reader = (!open).then_some(reader);
            return Ok(lines);
        }
        if open || index + 1 == view.segments.len() {
            return Ok(lines);
        }
        let next = view.segments[index + 1].first;
        // What a power failure took out of the end of a full segment is not waited for.
        cursor.next_seq = cursor.next_seq.max(next);
        *cursor = Cursor { first: next, offset: 0, next_seq: cursor.next_seq, reader: None };
    }
}

/// A reader of a segment from this byte on.
fn at(app: &AppLog, segment: Segment, offset: u64) -> io::Result<Option<Reader>> {
    let from_start = |mut reader: Box<dyn Read + Send>| -> io::Result<Option<Reader>> {
        if offset < MAGIC.len() as u64 {
            return Frames::begin(reader);
        }
        io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
        Ok(Some(Frames::resume(reader, offset)))
    };
    if let Form::Open { len, .. } = segment.form {
        match File::open(raw_path(&app.dir, segment.first)) {
            Ok(mut file) => {
                if offset < MAGIC.len() as u64 {
                    return Frames::begin(Box::new(BufReader::new(file).take(len)));
                }
                file.seek(SeekFrom::Start(offset))?;
                let reader = BufReader::new(file).take(len.saturating_sub(offset));
                return Ok(Some(Frames::resume(Box::new(reader), offset)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        return match open_segment(&app.dir, segment.first)? {
            Some(reader) => from_start(Box::new(reader.take(len))),
            None => Ok(None),
        };
    }
    match open_segment(&app.dir, segment.first)? {
        Some(reader) => from_start(reader),
        None => Ok(None),
    }
}

fn count(message: &Message<'_>) -> u64 {
    pieces(message.text).count() as u64
}

fn lines_of<'a>(message: &Message<'a>) -> impl Iterator<Item = Line> + use<'a> {
    let Message { seq, at, source, process, text, .. } = *message;
    pieces(text).enumerate().map(move |(i, piece)| Line {
        seq: seq + i as u64,
        at: DateTime::<Utc>::from_timestamp_micros(at).unwrap_or_default(),
        source,
        process: process.to_owned(),
        message: piece.to_owned(),
    })
}

/// Stands in for lines that were removed before a follower saw them.
fn lost(from: u64, to: u64) -> Line {
    Line {
        seq: to - 1,
        at: DateTime::<Utc>::from(std::time::SystemTime::now()),
        source: Source::Heroku,
        process: "logplex".into(),
        message: format!(
            "Error L11 (Tail buffer overflow) -> {} lines were removed from the log before this tail read them",
            to - from
        ),
    }
}
