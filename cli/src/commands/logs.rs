//! `logs`: what the app and the platform said, and say.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use paas_wire::{LogSession, LogSessionCreate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, status_of};
use crate::context::Context;
use crate::output;

/// Lines to ask for after a tail broke off, of which the known ones are left out.
const BACKLOG: u16 = 1500;
/// Pause before a broken tail is taken up again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a broken tail is taken up again before it is given up.
const ATTEMPTS: u32 = 30;

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Go on with new lines
    #[arg(short, long)]
    tail: bool,
    /// How many lines of the past to show
    #[arg(short, long, value_name = "COUNT")]
    num: Option<u64>,
    /// Only lines of this source (app, heroku)
    #[arg(short, long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only lines of this dyno (web.1) or process type (web)
    #[arg(short, long, visible_alias = "ps", alias = "dyno-name", alias = "process-type", value_name = "DYNO")]
    dyno: Option<String>,
    /// Colours even without a terminal
    #[arg(long)]
    force_colors: bool,
}

impl LogsArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        if self.force_colors {
            anstream::ColorChoice::Always.write_global();
        }
        let (app, client) = context.app(&self.app)?;
        let wanted = LogSessionCreate {
            dyno: self.dyno,
            lines: self.num,
            source: self.source,
            tail: Some(self.tail),
            kind: None,
        };
        if self.tail { tail(client, &app, wanted).await } else { once(client, &app, &wanted).await }
    }
}

/// Shows a dyno's lines from its start on.
pub(crate) async fn tail_dyno(client: &Client, app: &str, dyno: &str) -> anyhow::Result<()> {
    let wanted = LogSessionCreate { dyno: Some(dyno.to_owned()), tail: Some(true), ..LogSessionCreate::default() };
    tail(client, app, wanted).await
}

async fn once(client: &Client, app: &str, wanted: &LogSessionCreate) -> anyhow::Result<()> {
    show(client, app, wanted, &mut Seen::default()).await
}

/// Shows new lines until Ctrl-C. When the connection breaks (a restart of the server, a change
/// of network), it is made anew, and lines that were shown are left out.
async fn tail(client: &Client, app: &str, mut wanted: LogSessionCreate) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    let mut attempts = 0;
    loop {
        let before = seen.count;
        seen.again();
        let result = show(client, app, &wanted, &mut seen).await;
        if seen.count > before {
            attempts = 0;
        }
        // A refusal (wrong app, no rights) stays one; only what may pass is tried again.
        if let Err(error) = result
            && (seen.count == 0
                || status_of(&error).is_some_and(|status| status.is_client_error())
                || attempts >= ATTEMPTS)
        {
            return Err(error);
        }
        if attempts == 0 {
            output::complain("The log stream broke off; taking it up again.");
        }
        attempts += 1;
        wanted.lines = Some(BACKLOG.into());
        tokio::time::sleep(PAUSE).await;
    }
}

async fn show(client: &Client, app: &str, wanted: &LogSessionCreate, seen: &mut Seen) -> anyhow::Result<()> {
    let session: LogSession = client.send_json(Method::POST, &app_path(app, "/log-sessions"), wanted).await?;
    let mut response = client
        .text(&session.logplex_url)
        .await?
        .ok_or_else(|| anyhow!("The server forgot the log session at once; try again"))?;
    let mut pending: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await.context("The log stream broke off")? {
        pending.extend_from_slice(&chunk);
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = pending.split_off(end + 1);
        for line in pending.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            if seen.is_new(&line) {
                output::line(colored(&line));
            }
        }
        pending = rest;
    }
    if !pending.is_empty() {
        let line = String::from_utf8_lossy(&pending);
        if seen.is_new(&line) {
            output::line(colored(&line));
        }
    }
    Ok(())
}

/// Which lines were shown already. Lines come in the order in which the server got them, not
/// in that of their times: the router's are often older than what a dyno said before them.
#[derive(Default)]
struct Seen {
    /// The latest, as many as a stream that is taken up again repeats.
    kept: VecDeque<String>,
    /// How often each of them is still to be left out of the present stream.
    repeated: HashMap<String, usize>,
    /// Set until the present stream has come to a line that was kept: the newest time among
    /// those. What is older and comes before them was not asked for.
    until: Option<String>,
    count: u64,
}

impl Seen {
    /// The stream begins anew, with lines that may have been shown.
    fn again(&mut self) {
        self.repeated.clear();
        for line in &self.kept {
            *self.repeated.entry(line.clone()).or_default() += 1;
        }
        self.until = self.kept.iter().map(|line| time(line)).max().map(str::to_owned);
    }

    fn is_new(&mut self, line: &str) -> bool {
        if let Some(left) = self.repeated.get_mut(line).filter(|left| **left > 0) {
            *left -= 1;
            self.until = None;
            return false;
        }
        if self.until.as_deref().is_some_and(|until| time(line) < until) {
            return false;
        }
        self.until = None;
        if self.kept.len() == usize::from(BACKLOG) {
            self.kept.pop_front();
        }
        self.kept.push_back(line.to_owned());
        self.count += 1;
        true
    }
}

/// A line's time; all have the same width and zone, so they compare as texts.
fn time(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Colours `TIME SOURCE[DYNO]:`, each dyno in its own.
fn colored(line: &str) -> String {
    const COLORS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Yellow,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
    ];
    let Some((head, message)) = line.split_once("]: ") else { return line.to_owned() };
    let Some((_, dyno)) = head.rsplit_once('[') else { return line.to_owned() };
    let sum = dyno.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
    let style: Style = COLORS[sum % COLORS.len()].on_default();
    let message_style = if message.starts_with("Error ") || message.starts_with("at=error") {
        AnsiColor::Red.on_default()
    } else {
        Style::new()
    };
    format!("{style}{head}]:{style:#} {message_style}{message}{message_style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_whatever_their_times() {
        let mut seen = Seen::default();
        let lines = [
            "2026-01-01T00:00:00.000003+00:00 app[web.1]: Completed",
            "2026-01-01T00:00:00.000002+00:00 heroku[router]: at=info",
            "2026-01-01T00:00:00.000003+00:00 app[web.1]: again",
            "2026-01-01T00:00:00.000003+00:00 app[web.1]: again",
        ];
        assert!(lines.iter().all(|line| seen.is_new(line)));
    }

    #[test]
    fn a_stream_taken_up_again_repeats_nothing_and_loses_nothing() {
        let mut seen = Seen::default();
        let shown = [
            "2026-01-01T00:00:00.000003+00:00 app[web.1]: a",
            "2026-01-01T00:00:00.000002+00:00 heroku[router]: b",
            "2026-01-01T00:00:00.000004+00:00 app[web.1]: twice",
        ];
        assert!(shown.iter().all(|line| seen.is_new(line)));
        seen.again();
        assert!(!seen.is_new("2026-01-01T00:00:00.000003+00:00 app[web.1]: older than what was asked for"));
        assert!(!shown.iter().any(|line| seen.is_new(line)));
        // The same once more, and one with an earlier time, came while the stream was away.
        assert!(seen.is_new(shown[2]));
        assert!(seen.is_new("2026-01-01T00:00:00.000003+00:00 heroku[router]: late"));
        seen.again();
        assert!(!seen.is_new(shown[2]) && !seen.is_new(shown[2]) && seen.is_new(shown[2]));
    }

    #[test]
    fn a_line_without_a_head_stays_as_it_is() {
        assert_eq!(colored("no log line"), "no log line");
        assert!(colored("t app[web.1]: hello").contains("hello"));
    }
}
