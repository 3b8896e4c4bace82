//! What a dyno writes, line by line, from a point in time on.
//!
//! Docker cuts lines longer than 16 KB into records that share a time; [`Assembler`] joins
//! them. Docker's `since` counts in whole seconds: we ask from the second's beginning and drop
//! what was handed on before, to the nanosecond. Docker keeps the order in which lines came;
//! their times do not, where the machine's clock was set back.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::ContainerStateStatusEnum as Status;
use bollard::query_parameters::LogsOptions;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::super::dyno::MAX_LINE;
use super::super::{EngineError, OutputLine, OutputStream, Result};
use super::DockerEngine;
use super::client::failed;

/// A line that never ends is handed on in parts once it is this long.
const MAX_JOINED: usize = 1 << 20;

impl DockerEngine {
    /// Follows a container's output until it ends.
    pub(super) async fn follow_output(
        &self,
        name: String,
        since: Option<DateTime<Utc>>,
    ) -> Result<BoxStream<'static, Result<OutputLine>>> {
        let docker = self.docker().await?;
        // A missing container is to be an error now, not the first item.
        docker.inspect_container(&name, None).await.map_err(|error| failed("read the output", error))?;
        let reader = Reader { engine: self.clone(), name, lines: Assembler::new(since) };
        let records = reader.records(&docker, true);
        let batches = stream::unfold(Some((reader, records, true)), async |state| {
            let (mut reader, mut records, following) = state?;
            match records.next().await {
                Some(Ok(record)) => {
                    let lines: Vec<_> = reader.lines.take(record).into_iter().map(Ok).collect();
                    Some((lines, Some((reader, records, following))))
                }
                Some(Err(error)) => Some((vec![Err(failed("read the output", error))], None)),
                None if following => Some(match reader.read_again().await {
                    Ok(records) => (Vec::new(), Some((reader, records, false))),
                    Err(error) => (vec![Err(error)], None),
                }),
                None => Some((reader.lines.finish().into_iter().map(Ok).collect(), None)),
            }
        });
        Ok(batches.flat_map(stream::iter).boxed())
    }

    /// Why the container may still say something: nothing when it has ended for good.
    async fn why_it_goes_on(&self, name: &str) -> Option<&'static str> {
        let Ok(docker) = self.docker().await else { return Some("while the engine is away") };
        match docker.inspect_container(name, None).await.map(|seen| seen.state.unwrap_or_default()) {
            Ok(state) if state.running == Some(true) => Some("while the dyno runs"),
            Ok(state) if state.status == Some(Status::CREATED) => Some("before the dyno was started"),
            Ok(_) => None,
            Err(error) if super::client::status(&error) == Some(404) => None,
            Err(_) => Some("while the engine is away"),
        }
    }
}

/// One container's output under way.
struct Reader {
    engine: DockerEngine,
    name: String,
    lines: Assembler,
}

/// What Docker sends.
type Records = BoxStream<'static, std::result::Result<LogOutput, bollard::errors::Error>>;

impl Reader {
    /// The records from the second on in which the cursor is.
    fn records(&self, docker: &Docker, follow: bool) -> Records {
        let since = self.lines.cursor().map_or(0, |since| i32::try_from(since.timestamp()).unwrap_or(0));
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            timestamps: true,
            since,
            tail: "all".to_owned(),
            ..Default::default()
        };
        docker.logs(&self.name, Some(options)).boxed()
    }

    /// When following has come to its end: Docker ends it also when it is itself being
    /// stopped, and at once for what was not started yet; and it misses what is written in the last moment of a container (always so
    /// when that does not end in a line feed). So read the rest once more without following.
    async fn read_again(&mut self) -> Result<Records> {
        if let Some(when) = self.engine.why_it_goes_on(&self.name).await {
            return Err(EngineError::Unavailable { why: format!("the output broke off {when}") });
        }
        self.lines.begin_again();
        Ok(self.records(&self.engine.docker().await?, false))
    }
}

/// Makes lines of Docker's records.
struct Assembler {
    out: Partial,
    err: Partial,
}

/// One stream: the beginning of a line whose end has not come.
#[derive(Default)]
struct Partial {
    bytes: BytesMut,
    at: DateTime<Utc>,
    /// The last line that was handed on.
    after: Option<DateTime<Utc>>,
    /// Whether this reading is beyond that line, so that everything counts.
    beyond: bool,
    /// Whether this reading has come to that line itself.
    met: bool,
    /// Whether a line was earlier than the one before: its time alone says nothing then.
    set_back: bool,
}

impl Assembler {
    fn new(after: Option<DateTime<Utc>>) -> Self {
        let partial = || Partial { after, ..Partial::default() };
        Self { out: partial(), err: partial() }
    }

    /// From where on both streams are wanted.
    fn cursor(&self) -> Option<DateTime<Utc>> {
        self.out.after.min(self.err.after)
    }

    /// The records from the cursor on will come again, and those of unfinished lines.
    fn begin_again(&mut self) {
        for partial in [&mut self.out, &mut self.err] {
            partial.bytes.clear();
            (partial.beyond, partial.met) = (false, false);
        }
    }

    /// One record: `TIME BLANK BYTES`, with a line feed at its end unless the line goes on.
    fn take(&mut self, record: LogOutput) -> Vec<OutputLine> {
        let (stream, record) = match record {
            LogOutput::StdErr { message } => (OutputStream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (OutputStream::Stdout, message)
            }
        };
        let Some((at, bytes)) = stamped(&record) else { return Vec::new() };
        let partial = match stream {
            OutputStream::Stdout => &mut self.out,
            OutputStream::Stderr => &mut self.err,
        };
        if !partial.is_new(at) {
            return Vec::new();
        }
        // The cursor has to be past every record of the line.
        partial.at = at;
        match bytes.strip_suffix(b"\n") {
            Some(end) => {
                partial.bytes.extend_from_slice(end);
                partial.set_back |= partial.after.is_some_and(|after| at < after);
                partial.after = Some(at);
                partial.cut(stream)
            }
            None => {
                partial.bytes.extend_from_slice(bytes);
                if partial.bytes.len() < MAX_JOINED { Vec::new() } else { partial.cut(stream) }
            }
        }
    }

    /// What is left when the dyno has ended in the middle of a line.
    fn finish(&mut self) -> Vec<OutputLine> {
        let mut lines = Vec::new();
        for (partial, stream) in [(&mut self.out, OutputStream::Stdout), (&mut self.err, OutputStream::Stderr)] {
            if !partial.bytes.is_empty() {
                lines.append(&mut partial.cut(stream));
            }
        }
        lines.sort_by_key(|line| line.at);
        lines
    }
}

impl Partial {
    /// Whether a record was not handed on before. Only the first ones of a reading can have
    /// been.
    fn is_new(&mut self, at: DateTime<Utc>) -> bool {
        match self.after {
            Some(after) if !self.beyond => {
                self.met |= at == after;
                self.beyond = at != after && (self.met || (at > after && !self.set_back));
            }
            Some(_) | None => self.beyond = true,
        }
        self.beyond
    }

    /// The line so far, in pieces of at most [`MAX_LINE`].
    fn cut(&mut self, stream: OutputStream) -> Vec<OutputLine> {
        let mut line = std::mem::take(&mut self.bytes).freeze();
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        let mut pieces = Vec::new();
        loop {
            let rest = line.split_off(cut_at(&line));
            pieces.push(OutputLine { at: self.at, stream, bytes: line });
            if rest.is_empty() {
                return pieces;
            }
            line = rest;
        }
    }
}

/// Where to cut: at the limit, or up to three bytes before it where a UTF-8 character begins.
fn cut_at(line: &Bytes) -> usize {
    if line.len() <= MAX_LINE {
        return line.len();
    }
    (MAX_LINE - 3..=MAX_LINE).rev().find(|at| line[*at] & 0xC0 != 0x80).unwrap_or(MAX_LINE)
}

/// Splits a record into its time and the rest.
fn stamped(record: &[u8]) -> Option<(DateTime<Utc>, &[u8])> {
    let blank = record.iter().position(|byte| *byte == b' ')?;
    let text = std::str::from_utf8(&record[..blank]).ok()?;
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    Some((at, &record[blank + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn err(text: &str) -> LogOutput {
        LogOutput::StdErr { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn texts(lines: &[OutputLine]) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
    }

    #[test]
    fn parts_of_a_line_are_joined_each_stream_for_itself() {
        let mut assembler = Assembler::new(None);
        assert!(assembler.take(out("2026-01-02T03:04:05.000000001Z one ")).is_empty());
        assert_eq!(texts(&assembler.take(err("2026-01-02T03:04:05.000000002Z other\n"))), ["other"]);
        let lines = assembler.take(out("2026-01-02T03:04:05.000000003Z line\r\n"));
        assert_eq!(texts(&lines), ["one line"]);
        assert_eq!(lines[0].at.timestamp_subsec_nanos(), 3);
        assert!(assembler.finish().is_empty());
    }

    #[test]
    fn an_unfinished_line_comes_at_the_end_and_empty_lines_stay() {
        let mut assembler = Assembler::new(None);
        assert_eq!(texts(&assembler.take(out("2026-01-02T03:04:05Z \n"))), [""]);
        assembler.take(out("2026-01-02T03:04:06Z no end"));
        assert_eq!(texts(&assembler.finish()), ["no end"]);
    }

    #[test]
    fn what_is_not_later_than_the_cursor_is_dropped_to_the_nanosecond() {
        let after = DateTime::parse_from_rfc3339("2026-01-02T03:04:05.000000002Z").map(|time| time.to_utc()).ok();
        let mut assembler = Assembler::new(after);
        assert!(assembler.take(out("2026-01-02T03:04:05.000000001Z a\n")).is_empty());
        assert!(assembler.take(out("2026-01-02T03:04:05.000000002Z b\n")).is_empty());
        assert_eq!(texts(&assembler.take(out("2026-01-02T03:04:05.000000003Z c\n"))), ["c"]);
    }

    #[test]
    fn a_clock_set_back_while_following_loses_and_repeats_nothing() {
        let records = |seconds: &[u32]| -> Vec<LogOutput> {
            seconds.iter().map(|second| out(&format!("2026-01-02T03:04:{second:02}Z at {second}\n"))).collect()
        };
        let mut assembler = Assembler::new(None);
        let mut feed = |records: Vec<LogOutput>| -> Vec<String> {
            texts(&records.into_iter().flat_map(|record| assembler.take(record)).collect::<Vec<_>>())
        };
        assert_eq!(feed(records(&[40, 50, 10, 20])), ["at 40", "at 50", "at 10", "at 20"]);
        assembler.begin_again();
        assert_eq!(assembler.cursor(), None, "standard error has said nothing");
        // Docker gives everything from the cursor's second on, and 21 that following missed.
        let again = records(&[40, 50, 20, 21]).into_iter().flat_map(|record| assembler.take(record));
        assert_eq!(texts(&again.collect::<Vec<_>>()), ["at 21"]);
    }

    #[test]
    fn long_lines_are_split_between_characters() {
        let mut assembler = Assembler::new(None);
        let long = format!("x{}", "ä".repeat(MAX_LINE));
        let lines = assembler.take(out(&format!("2026-01-02T03:04:05Z {long}\n")));
        assert!(lines.len() == 3 && lines.iter().all(|line| line.bytes.len() <= MAX_LINE), "{}", lines.len());
        assert_eq!(texts(&lines).concat(), long);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut assembler = Assembler::new(None);
        let part = format!("2026-01-02T03:04:05Z {}", "y".repeat(16 << 10));
        let count: usize = (0..200).map(|_| assembler.take(out(&part)).len()).sum();
        assert!(count > 200, "{count}");
        assert!(assembler.out.bytes.len() < MAX_JOINED);
    }

    #[test]
    fn records_without_a_time_are_not_ours() {
        let mut assembler = Assembler::new(None);
        for bad in ["", "\n", "no-time x\n", "2026 x\n"] {
            assert!(assembler.take(out(bad)).is_empty(), "{bad:?}");
        }
    }
}
