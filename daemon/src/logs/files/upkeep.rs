//! What is done beside the writing: compress full segments, remove the oldest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::app::{AppLog, Form, open_segment, packed_path, parse_name, raw_path};
use super::codec::{Frames, MAGIC};
use super::writer::Command;
use super::{LogConfig, Shared};

/// Level of compression: the fastest; a tenth of the size for logs as they are.
const LEVEL: i32 = 1;

/// A piece of work beside the writing.
pub(super) enum Chore {
    /// Compress an app's full segments, then hold it to its budget.
    Pack(Arc<AppLog>),
    /// Hold every app to its budget.
    Sweep,
    /// No more will come.
    End,
}

/// Does one piece of work. Blocks.
pub(super) fn work(shared: &Shared, chore: Chore) {
    match chore {
        Chore::Pack(app) => {
            if let Err(error) = pack(&app, shared).and_then(|()| prune(&app, &shared.config).map(drop)) {
                tracing::warn!(app.id = %app.id, %error, "a full log segment could not be compressed; it stays as it is");
            }
        }
        Chore::Sweep => sweep(shared),
        Chore::End => {}
    }
}

/// Compresses what is full: whole under another name first, so that a crash leaves one of
/// the two.
fn pack(app: &AppLog, shared: &Shared) -> io::Result<()> {
    let full: Vec<u64> = app.view(|view| {
        view.segments.iter().filter(|segment| segment.form == Form::Closed).map(|segment| segment.first).collect()
    })?;
    for first in full {
        // The store that is opened next goes on with it.
        if shared.is_closed() {
            return Ok(());
        }
        let raw = raw_path(&app.dir, first);
        let packed = packed_path(&app.dir, first);
        if let Some(mut frames) = open_segment(&app.dir, first)?.map(Frames::begin).transpose()?.flatten() {
            // Only what is whole: its length is what readers' cursors count in.
            while frames.next()?.is_some() {}
            let whole = frames.offset();
            let temp = packed.with_extension("tmp");
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
            let mut encoder = zstd::stream::write::Encoder::new(BufWriter::new(file), LEVEL)?;
            encoder.include_checksum(true)?;
            let source = File::open(&raw)?;
            let modified = source.metadata()?.modified()?;
            io::copy(&mut io::Read::take(source, whole), &mut encoder)?;
            let mut buffered = encoder.finish()?;
            buffered.flush()?;
            let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.set_modified(modified)?;
            file.sync_all()?;
            fs::rename(&temp, &packed)?;
            File::open(&app.dir)?.sync_all()?;
        }
        app.view(|view| {
            if let Some(segment) = view.segments.iter_mut().find(|segment| segment.first == first) {
                segment.form = Form::Packed;
            }
        })?;
        fs::remove_file(&raw)?;
    }
    Ok(())
}

/// Removes an app's oldest full segments until it is within its budgets; gives whether the
/// one being written is itself too old.
fn prune(app: &AppLog, config: &LogConfig) -> io::Result<bool> {
    app.view_if_open(|view| {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&app.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            if let Some((first, _)) = entry.file_name().to_str().and_then(parse_name) {
                let meta = entry.metadata()?;
                found.push((first, entry.path(), meta.len(), meta.modified()?));
            }
        }
        found.sort_unstable();
        let now = SystemTime::now();
        let old = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age > config.max_age);
        let mut total: u64 = found.iter().map(|(_, _, size, _)| size).sum();
        let last = found.pop();
        let mut view = view;
        for (first, path, size, modified) in found {
            if total <= config.budget_bytes && !old(modified) {
                break;
            }
            fs::remove_file(&path)?;
            total -= size;
            if let Some(view) = view.as_mut() {
                view.segments.retain(|segment| segment.first != first);
            }
        }
        Ok(last.is_some_and(|(_, _, size, modified)| old(modified) && size > MAGIC.len() as u64))
    })
}

fn sweep(shared: &Shared) {
    for id in apps(&shared.config.dir).unwrap_or_default() {
        let Some(app) = shared.app(id) else { return };
        match prune(&app, &shared.config) {
            // The writer turns it to a new one; the next sweep removes the old.
            Ok(true) => drop(shared.commands.try_send(Command::Turn { app })),
            Ok(false) => {}
            Err(error) => tracing::warn!(app.id = %id, %error, "old log segments could not be removed"),
        }
    }
}

/// The apps that have a log on disk. Blocks.
pub(super) fn apps(dir: &Path) -> io::Result<Vec<Uuid>> {
    Ok(fs::read_dir(dir)?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
