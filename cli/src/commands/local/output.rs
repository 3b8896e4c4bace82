//! The one stream in which all processes speak: a time, a name, what it says.
//!
//! A thread of its own writes it, so that a terminal that is held (Ctrl-S) or a slow pipe
//! slows the processes down and nothing else: Ctrl-C still works.

use std::io::Write as _;

use chrono::{DateTime, Local};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait for the terminal; then the processes have to wait.
const BUFFERED: usize = 1024;

/// What the platform itself says stands under this name.
const SYSTEM: &str = "system";

/// ANSI colours that are told apart on dark and on light ground, one process after another.
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

#[derive(Debug)]
struct Line {
    time: DateTime<Local>,
    speaker: usize,
    text: Vec<u8>,
}

/// The way to the printer for one speaker.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    lines: mpsc::Sender<Line>,
    index: usize,
}

/// The reader of our output is gone (`| head`).
#[derive(Debug)]
pub(super) struct Closed;

impl Speaker {
    /// Says one line, without its end. Waits while the terminal is held.
    pub(super) async fn say(&self, text: impl Into<Vec<u8>>) -> Result<(), Closed> {
        let line = Line { time: Local::now(), speaker: self.index, text: text.into() };
        self.lines.send(line).await.map_err(|_| Closed)
    }
}

/// Everybody who may speak, and the thread that prints.
pub(super) struct Output {
    lines: mpsc::Sender<Line>,
    printed: oneshot::Receiver<()>,
}

impl Output {
    /// Starts to print for processes of these names.
    pub(super) fn start(names: Vec<String>, colour: bool) -> Self {
        let (lines, mut queue) = mpsc::channel::<Line>(BUFFERED);
        let prefixes = Prefixes::new(names, colour);
        let (end, printed) = oneshot::channel();
        std::thread::spawn(move || {
            // Told by being dropped: a thread that is waited for in no other way can't keep
            // the program from ending when the terminal is held for good.
            let _end: oneshot::Sender<()> = end;
            let mut out = std::io::stdout().lock();
            let mut buffer = Vec::new();
            while let Some(line) = queue.blocking_recv() {
                buffer.clear();
                prefixes.write(&mut buffer, &line);
                // The queue closes with this thread: whoever speaks next hears of it.
                if out.write_all(&buffer).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        });
        Self { lines, printed }
    }

    /// The way to the printer for the process of this index.
    pub(super) fn process(&self, index: usize) -> Speaker {
        Speaker { lines: self.lines.clone(), index }
    }

    /// The way to the printer for ourselves.
    pub(super) fn system(&self) -> Speaker {
        Speaker { lines: self.lines.clone(), index: usize::MAX }
    }

    /// Waits until the reader of our output is gone.
    pub(super) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Waits until everything is printed; every speaker must be gone.
    pub(super) async fn finish(self) {
        drop(self.lines);
        let _ = self.printed.await;
    }
}

/// How each speaker's lines begin.
struct Prefixes {
    names: Vec<String>,
    width: usize,
    colour: bool,
}

impl Prefixes {
    fn new(names: Vec<String>, colour: bool) -> Self {
        let width = names.iter().map(String::len).chain([SYSTEM.len()]).max().unwrap_or(0);
        Self { names, width, colour }
    }

    fn write(&self, buffer: &mut Vec<u8>, line: &Line) {
        let name = self.names.get(line.speaker).map_or(SYSTEM, String::as_str);
        let prefix = format!("{} {name:<width$} | ", line.time.format("%H:%M:%S"), width = self.width);
        let colour = COLOURS.get(line.speaker % COLOURS.len()).filter(|_| line.speaker < self.names.len());
        match colour.filter(|_| self.colour) {
            Some(colour) => buffer.extend_from_slice(format!("\u{1b}[{colour}m{prefix}\u{1b}[0m").as_bytes()),
            None => buffer.extend_from_slice(prefix.as_bytes()),
        }
        buffer.extend_from_slice(&line.text);
        // A colour that a process leaves on must not run into the next one's lines.
        if self.colour && line.text.contains(&0x1b) {
            buffer.extend_from_slice(b"\x1b[0m");
        }
        buffer.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn printed(colour: bool, speaker: usize, text: &[u8]) -> String {
        let prefixes = Prefixes::new(vec!["web.1".to_owned(), "worker.10".to_owned()], colour);
        let time = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().with_timezone(&Local);
        let time = time.with_time(chrono::NaiveTime::from_hms_opt(12, 0, 1).unwrap()).unwrap();
        let mut buffer = Vec::new();
        prefixes.write(&mut buffer, &Line { time, speaker, text: text.to_vec() });
        String::from_utf8_lossy(&buffer).into_owned()
    }

    #[test]
    fn names_are_padded() {
        assert_eq!(printed(false, 0, b"hi"), "12:00:01 web.1     | hi\n");
        assert_eq!(printed(false, 1, b""), "12:00:01 worker.10 | \n");
        assert_eq!(printed(false, usize::MAX, b"bye"), "12:00:01 system    | bye\n");
        assert_eq!(printed(false, 0, b"\xff"), "12:00:01 web.1     | \u{fffd}\n");
    }

    #[test]
    fn colours() {
        assert_eq!(printed(true, 0, b"hi"), "\u{1b}[36m12:00:01 web.1     | \u{1b}[0mhi\n");
        assert_eq!(
            printed(true, 0, b"\x1b[31mred"),
            "\u{1b}[36m12:00:01 web.1     | \u{1b}[0m\u{1b}[31mred\u{1b}[0m\n"
        );
        assert_eq!(printed(true, usize::MAX, b"bye"), "12:00:01 system    | bye\n");
    }
}
