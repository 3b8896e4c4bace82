//! What is sent of lines: syslog, and Heroku's `application/logplex-1`.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use bytes::Bytes;
use chrono::SecondsFormat;
use uuid::Uuid;

use super::otlp::Telemetry;
use crate::logs::{Line, Source};

/// How long more lines are waited for before a request is made of the first.
const LINGER: Duration = Duration::from_millis(100);

/// How a receiver wants its lines.
pub(super) enum Form {
    /// RFC 5424 with octet counting (RFC 6587), under this token.
    Syslog(String),
    /// Requests of type `application/logplex-1`, under this token.
    Logplex(String),
    /// OpenTelemetry.
    Otlp(Telemetry),
}

/// Lines on their way: taken when each of its pieces is.
pub(super) struct Frame {
    pub(super) pieces: VecDeque<Piece>,
}

/// One request, or one write.
pub(super) struct Piece {
    /// What is put to the end of the receiver's path.
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Form {
    /// How long more lines are waited for.
    pub(super) fn linger(&self) -> Duration {
        match self {
            Self::Syslog(_) => Duration::ZERO,
            Self::Logplex(_) | Self::Otlp(_) => LINGER,
        }
    }

    /// What is sent of these lines.
    pub(super) fn frame(&self, lines: &[Line]) -> Frame {
        let pieces = match self {
            Self::Syslog(token) => {
                let body = messages(lines, token, " - - ", "");
                vec![Piece { path: "", content_type: "", headers: Vec::new(), body }]
            }
            Self::Logplex(token) => {
                let headers = vec![
                    ("logplex-msg-count", lines.len().to_string()),
                    // The same however often it is tried.
                    ("logplex-frame-id", Uuid::new_v4().simple().to_string().to_ascii_uppercase()),
                    ("logplex-drain-token", token.clone()),
                ];
                // Heroku leaves out the structured data here, and its readers count on that.
                let body = messages(lines, token, " - ", "\n");
                vec![Piece { path: "", content_type: "application/logplex-1", headers, body }]
            }
            Self::Otlp(telemetry) => telemetry.pieces(lines),
        };
        Frame { pieces: pieces.into() }
    }
}

/// Lines one after the other, each with its length in bytes before it.
fn messages(lines: &[Line], token: &str, between: &str, end: &str) -> Bytes {
    let mut all = String::with_capacity(lines.iter().map(|line| line.message.len() + 120).sum());
    let mut one = String::new();
    for line in lines {
        one.clear();
        // Facility and severity: local7.info of apps, local3.info of the platform.
        let priority = match line.source {
            Source::App => 190,
            Source::Heroku => 158,
        };
        let at = line.at.to_rfc3339_opts(SecondsFormat::Micros, false);
        let (source, process, message) = (line.source.as_str(), &line.process, &line.message);
        // Writing to a String can't fail.
        let _ = write!(one, "<{priority}>1 {at} {token} {source} {process}{between}{message}{end}");
        let _ = write!(all, "{} {one}", one.len());
    }
    all.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn line(source: Source, process: &str, message: &str) -> Line {
        let at = "2012-10-11T03:47:20.000001Z".parse().unwrap();
        Line { seq: 1, at, source, process: process.into(), message: message.into() }
    }

    #[test]
    fn lines_read_as_syslog_has_them() {
        let lines = [line(Source::Heroku, "router", "at=info"), line(Source::App, "web.1", "Grüße")];
        let frame = Form::Syslog("d.1".into()).frame(&lines);
        assert_eq!(
            frame.pieces[0].body,
            "69 <158>1 2012-10-11T03:47:20.000001+00:00 d.1 heroku router - - at=info\
             65 <190>1 2012-10-11T03:47:20.000001+00:00 d.1 app web.1 - - Grüße"
        );
    }

    #[test]
    fn and_as_logplex_has_them() {
        let lines = [line(Source::App, "web.1", "one"), line(Source::App, "web.1", "two")];
        let frame = Form::Logplex("d.1".into()).frame(&lines);
        let piece = &frame.pieces[0];
        assert_eq!(
            piece.body,
            "60 <190>1 2012-10-11T03:47:20.000001+00:00 d.1 app web.1 - one\n\
             60 <190>1 2012-10-11T03:47:20.000001+00:00 d.1 app web.1 - two\n"
        );
        assert_eq!(piece.headers[0], ("logplex-msg-count", "2".into()));
        assert_eq!(piece.headers[2], ("logplex-drain-token", "d.1".into()));
    }
}
