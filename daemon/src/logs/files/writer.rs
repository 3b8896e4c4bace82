//! The one writer: takes what is queued, writes it in one go for each app, turns segments.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Shared;
use super::app::{AppLog, Form, Segment, Tail, raw_path};
use super::codec::{MAGIC, Message, put_message, put_positions};
use super::upkeep::Chore;
use crate::logs::line::{NewLine, Position, Source, clean_message, clean_process, pieces};
use crate::logs::{LogError, Result};

/// Files held open for writing; other apps' are opened again when they have lines.
const OPEN_FILES: usize = 64;

/// Origins remembered in one app; beyond it those are let go that have said the least lately.
const MAX_ORIGINS: usize = 2000;

/// Up to so many files are synced one by one.
const SYNC_SINGLY: usize = 32;

/// How often free disk is asked for.
const DISK_EVERY: Duration = Duration::from_secs(1);

/// What is asked of the writer.
pub(super) enum Command {
    /// Store lines; without somebody to answer to, what finds no room is counted.
    Append { app: Arc<AppLog>, lines: Vec<NewLine>, reply: Option<oneshot::Sender<Result<()>>> },
    /// Let go of an origin.
    Forget { app: Arc<AppLog>, origin: Uuid },
    /// Make safe what was written.
    Sync { app: Arc<AppLog>, reply: oneshot::Sender<Result<()>> },
    /// Begin a new segment, so that the old one can go.
    Turn { app: Arc<AppLog> },
    /// Remove everything.
    Remove { app: Arc<AppLog>, reply: oneshot::Sender<Result<()>> },
    /// Make everything safe and end the followers.
    Close { reply: oneshot::Sender<()> },
}

/// Files of each app that were written since they were last made safe.
pub(super) type Dirty = HashMap<Uuid, BTreeSet<PathBuf>>;

pub(super) struct Writer {
    shared: Arc<Shared>,
    open: HashMap<Uuid, (Arc<File>, u64)>,
    uses: u64,
    /// Apps whose last write failed and could not be taken back yet.
    uncut: HashSet<Uuid>,
    dirty: Dirty,
    disk_at: Option<Instant>,
    disk_full: bool,
}

/// What one app gets in this round.
struct Batch {
    app: Arc<AppLog>,
    lines: Vec<NewLine>,
    /// Lines of those that nobody waits for.
    unowned: u64,
    replies: Vec<oneshot::Sender<Result<()>>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            open: HashMap::new(),
            uses: 0,
            uncut: HashSet::new(),
            dirty: HashMap::new(),
            disk_at: None,
            disk_full: false,
        }
    }

    /// Does what is asked, in this order for each app. Blocks.
    pub(super) fn handle(&mut self, commands: Vec<Command>) {
        let mut order: Vec<Uuid> = Vec::new();
        let mut batches: HashMap<Uuid, Batch> = HashMap::new();
        for command in commands {
            match command {
                Command::Append { app, lines, reply } => {
                    let batch = batches.entry(app.id).or_insert_with(|| {
                        order.push(app.id);
                        Batch { app, lines: Vec::new(), unowned: 0, replies: Vec::new() }
                    });
                    if reply.is_none() {
                        batch.unowned += lines.len() as u64;
                    }
                    batch.lines.extend(lines);
                    batch.replies.extend(reply);
                    continue;
                }
                command @ (Command::Forget { .. }
                | Command::Sync { .. }
                | Command::Turn { .. }
                | Command::Remove { .. }
                | Command::Close { .. }) => {
                    self.flush(&mut order, &mut batches);
                    self.control(command);
                }
            }
        }
        self.flush(&mut order, &mut batches);
    }

    fn control(&mut self, command: Command) {
        match command {
            Command::Append { .. } => {}
            Command::Forget { app, origin } => {
                app.view_if_open(|view| {
                    if let Some(view) = view {
                        view.positions.remove(&origin);
                        view.said.remove(&origin);
                    }
                });
            }
            Command::Sync { app, reply } => {
                let files = self.dirty.remove(&app.id).unwrap_or_default();
                let done = files.iter().try_for_each(|path| sync(path));
                if done.is_err() {
                    self.still_dirty([(app.id, files)].into());
                }
                let _ = reply.send(done.map_err(disk));
            }
            Command::Turn { app } => {
                if let Err(error) = self.turn(&app) {
                    tracing::warn!(app.id = %app.id, %error, "an old log segment could not be closed");
                }
            }
            Command::Remove { app, reply } => {
                let _ = reply.send(self.remove(&app).map_err(disk));
            }
            Command::Close { reply } => {
                let dirty = self.take_dirty();
                sync_all(&self.shared.config.dir, dirty);
                let _ = reply.send(());
            }
        }
    }

    /// Notices for lines that were lost while nothing else was said since.
    pub(super) fn tell_losses(&mut self) {
        for app in self.shared.take_lossy() {
            self.write(Batch { app, lines: Vec::new(), unowned: 0, replies: Vec::new() });
        }
    }

    /// What has been written since this was last asked, to be made safe beside the writing.
    pub(super) fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// What could not be made safe is to be tried again.
    pub(super) fn still_dirty(&mut self, dirty: Dirty) {
        for (id, files) in dirty {
            self.dirty.entry(id).or_default().extend(files);
        }
    }

    fn flush(&mut self, order: &mut Vec<Uuid>, batches: &mut HashMap<Uuid, Batch>) {
        for id in order.drain(..) {
            if let Some(batch) = batches.remove(&id) {
                self.write(batch);
            }
        }
    }

    fn write(&mut self, mut batch: Batch) {
        let lost = batch.app.take_lost();
        if let Some(lost) = lost {
            let at = batch.lines.first().map_or(lost.since, |line| line.at.max(lost.since));
            batch.lines.insert(0, notice(at, lost.lines, lost.since));
        }
        let first_at = batch.lines.first().map(|line| line.at);
        let result = self.try_write(&batch.app, &batch.lines);
        if result.is_ok() {
            self.shared.written.fetch_add(batch.lines.len() as u64, Ordering::Relaxed);
        }
        if result.is_err() {
            if let Some(lost) = lost {
                batch.app.lose(lost.lines, lost.since);
            }
            batch.app.lose(batch.unowned, first_at.unwrap_or_default());
            if lost.is_some() || batch.unowned > 0 {
                self.shared.lossy(&batch.app);
            }
        }
        for reply in batch.replies {
            let _ = reply.send(result.clone());
        }
    }

    fn try_write(&mut self, app: &Arc<AppLog>, lines: &[NewLine]) -> Result<()> {
        if app.view(|view| view.removed).map_err(disk)? {
            return Ok(());
        }
        if self.disk_is_full() {
            return Err(LogError::Disk { why: "too little of the disk is free".into() });
        }
        self.put(app, lines).map_err(|error| {
            // Whatever was written of it is taken back before anything else is.
            self.uncut.insert(app.id);
            let _ = self.cut(app);
            disk(error)
        })
    }

    fn put(&mut self, app: &Arc<AppLog>, lines: &[NewLine]) -> io::Result<()> {
        self.cut(app)?;
        let (mut seq, known) = app.view(|view| {
            let known: HashMap<Uuid, Position> = lines
                .iter()
                .filter_map(|line| line.origin)
                .filter_map(|origin| Some((origin.id, *view.positions.get(&origin.id)?)))
                .collect();
            (view.next_seq, known)
        })?;
        let mut positions = known;
        let mut bytes = Vec::with_capacity(lines.len() * 160);
        for line in lines {
            if let Some(origin) = line.origin {
                if positions.get(&origin.id).is_some_and(|stored| *stored >= origin.position) {
                    continue;
                }
                positions.insert(origin.id, origin.position);
            }
            let text = clean_message(&line.message);
            let process = clean_process(&line.process);
            put_message(
                &mut bytes,
                &Message {
                    seq,
                    at: line.at.timestamp_micros(),
                    source: line.source,
                    process: &process,
                    origin: line.origin,
                    text: &text,
                },
            );
            seq += pieces(&text).count() as u64;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let started = lines.first().map(|line| line.at.timestamp_micros());
        let (file, len) = self.active(app, bytes.len() as u64, started)?;
        let first = app.view(|view| view.segments.back().map_or(seq, |segment| segment.first))?;
        file.write_all_at(&bytes, len)?;
        drop(file);
        self.dirty.entry(app.id).or_default().insert(raw_path(&app.dir, first));
        app.view(|view| {
            if let Some(Segment { form: Form::Open { len, since }, .. }) = view.segments.back_mut() {
                *len += bytes.len() as u64;
                *since = since.or(started);
            }
            view.next_seq = seq;
            view.said.extend(positions.keys().map(|id| (*id, seq)));
            view.positions.extend(positions);
        })?;
        app.tail.send_replace(Tail { next_seq: seq, ended: false });
        Ok(())
    }

    /// The segment to write to, with where its end is; a new one when the last is full.
    fn active(&mut self, app: &Arc<AppLog>, more: u64, now: Option<i64>) -> io::Result<(Arc<File>, u64)> {
        let last = app.view(|view| view.segments.back().copied())?;
        if let Some(Segment { first, form: Form::Open { len, since } }) = last {
            let settings = &self.shared.config;
            let old = match (since, now) {
                (Some(since), Some(now)) => {
                    now.saturating_sub(since) > i64::try_from(settings.max_age.as_micros() / 7).unwrap_or(i64::MAX)
                }
                (None, _) | (_, None) => false,
            };
            if since.is_none() || (len + more <= settings.segment_bytes && !old) {
                return Ok((self.file(app, first)?, len));
            }
        }
        self.new_segment(app)
    }

    fn turn(&mut self, app: &Arc<AppLog>) -> io::Result<()> {
        let last = app.view(|view| if view.removed { None } else { view.segments.back().copied() })?;
        if let Some(Segment { form: Form::Open { since: Some(_), .. }, .. }) = last {
            self.cut(app)?;
            self.new_segment(app)?;
        }
        Ok(())
    }

    fn new_segment(&mut self, app: &Arc<AppLog>) -> io::Result<(Arc<File>, u64)> {
        let (first, head) = app.view(|view| {
            let excess = view.positions.len().saturating_sub(MAX_ORIGINS);
            if excess > 0 {
                // None is known of those that have said nothing since the log was opened.
                let last = |id: &Uuid| view.said.get(id).copied().unwrap_or_default();
                let mut by_age: Vec<_> = view.positions.keys().map(|id| (last(id), *id)).collect();
                by_age.sort_unstable();
                for (_, id) in by_age.into_iter().take(excess) {
                    view.positions.remove(&id);
                    view.said.remove(&id);
                }
            }
            let mut head = MAGIC.to_vec();
            put_positions(&mut head, &view.positions);
            (view.next_seq, head)
        })?;
        DirBuilder::new().recursive(true).mode(0o700).create(&app.dir)?;
        let path = raw_path(&app.dir, first);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        if let Err(error) = file.write_all_at(&head, 0).and_then(|()| File::open(&app.dir)?.sync_all()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let file = Arc::new(file);
        let len = head.len() as u64;
        let closed = app.view(|view| {
            let closed = match view.segments.back_mut() {
                Some(last) if matches!(last.form, Form::Open { .. }) => {
                    last.form = Form::Closed;
                    true
                }
                Some(_) | None => false,
            };
            view.segments.push_back(Segment { first, form: Form::Open { len, since: None } });
            closed
        })?;
        self.remember(app.id, Arc::clone(&file));
        if closed {
            self.shared.chore(Chore::Pack(Arc::clone(app)));
        }
        Ok((file, len))
    }

    fn file(&mut self, app: &AppLog, first: u64) -> io::Result<Arc<File>> {
        self.uses += 1;
        if let Some((file, used)) = self.open.get_mut(&app.id) {
            *used = self.uses;
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(OpenOptions::new().write(true).open(raw_path(&app.dir, first))?);
        self.remember(app.id, Arc::clone(&file));
        Ok(file)
    }

    fn remember(&mut self, app: Uuid, file: Arc<File>) {
        self.uses += 1;
        self.open.insert(app, (file, self.uses));
        if self.open.len() > OPEN_FILES
            && let Some(oldest) = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id)
        {
            self.open.remove(&oldest);
        }
    }

    /// Takes back what a failed write may have left behind the end.
    fn cut(&mut self, app: &AppLog) -> io::Result<()> {
        if !self.uncut.contains(&app.id) {
            return Ok(());
        }
        let last = app.view(|view| view.segments.back().copied())?;
        if let Some(Segment { first, form: Form::Open { len, .. } }) = last {
            self.file(app, first)?.set_len(len)?;
        }
        self.uncut.remove(&app.id);
        Ok(())
    }

    fn remove(&mut self, app: &AppLog) -> io::Result<()> {
        self.open.remove(&app.id);
        self.dirty.remove(&app.id);
        self.uncut.remove(&app.id);
        app.take_lost();
        app.view(|view| {
            *view = super::app::View { next_seq: view.next_seq, removed: true, ..Default::default() };
        })?;
        app.tail.send_modify(|tail| tail.ended = true);
        // Again where upkeep has just put a compressed segment into it.
        let mut tries = 0;
        loop {
            tries += 1;
            match fs::remove_dir_all(&app.dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if tries == 5 => return Err(error),
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
    }

    fn disk_is_full(&mut self) -> bool {
        if self.disk_at.is_none_or(|at| at.elapsed() >= DISK_EVERY) {
            self.disk_at = Some(Instant::now());
            let reserve = self.shared.reserve.load(Ordering::Relaxed);
            let free = rustix::fs::statvfs(&self.shared.config.dir).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            let full = free.is_ok_and(|free| free < reserve);
            if full != self.disk_full {
                tracing::warn!(full, reserve.bytes = reserve, "the room for logs has changed");
            }
            self.disk_full = full;
        }
        self.disk_full
    }
}

/// Makes files safe from a power failure; many at once by the whole file system. Gives those
/// that could not be. Blocks.
pub(super) fn sync_all(dir: &Path, mut dirty: Dirty) -> Dirty {
    let told = |error: io::Error| {
        tracing::warn!(%error, "logs could not be synced: a power failure now would take lines");
    };
    if dirty.len() > SYNC_SINGLY {
        match File::open(dir).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)) {
            Ok(()) => dirty.clear(),
            Err(error) => told(error),
        }
    } else {
        dirty.retain(|_, files| {
            files.retain(|path| sync(path).map_err(told).is_err());
            !files.is_empty()
        });
    }
    dirty
}

/// The same for one; what has been compressed or removed meanwhile is safe or gone.
fn sync(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => file.sync_data(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn notice(at: DateTime<Utc>, lines: u64, since: DateTime<Utc>) -> NewLine {
    let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, false);
    NewLine {
        at,
        source: Source::Heroku,
        process: "logplex".into(),
        message: format!(
            "Error L12 (Local buffer overflow) -> {lines} lines dropped since {since}: the disk was full or too slow"
        )
        .into_bytes(),
        origin: None,
    }
}

pub(super) fn disk(error: io::Error) -> LogError {
    LogError::Disk { why: error.to_string() }
}
