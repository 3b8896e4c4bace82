//! `logs`: what the app and the platform said, and say.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use paas_wire::{LogSession, LogSessionCreate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, status_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Lines to ask for after a tail broke off that had none before: all that the server gives.
const BACKLOG: u64 = 10_000;
/// Pause before a broken tail is taken up again; each further one is longer by as much.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const MOST_PAUSE: Duration = Duration::from_secs(10);
/// A connection of which nothing is heard for so long is broken: the server says something
/// every 15 s.
const QUIET: Duration = Duration::from_secs(60);

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
    #[arg(
        short,
        long,
        visible_alias = "ps",
        visible_short_alias = 'p',
        aliases = ["dyno-name", "process-type"],
        value_name = "DYNO"
    )]
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
    let session = session(client, app, wanted).await?;
    let mut response = client.text(&session.logplex_url).await?.ok_or_else(forgotten)?;
    let mut lines = Lines::default();
    let mut any = false;
    while let Some(chunk) = response.chunk().await.context("The log stream broke off")? {
        any = true;
        lines.add(&chunk);
        while let Some(line) = lines.next() {
            show(&line);
        }
    }
    show(&lines.rest());
    if !any && wanted.lines != Some(0) {
        let filtered = wanted.dyno.is_some() || wanted.source.is_some();
        let which = if filtered { "that match" } else { "yet" };
        output::complain(&format!("{app} has no log lines {which}. To wait for some, add --tail."));
    }
    Ok(())
}

async fn session(client: &Client, app: &str, wanted: &LogSessionCreate) -> anyhow::Result<LogSession> {
    client.send_json(Method::POST, &app_path(app, "/log-sessions"), wanted).await
}

fn forgotten() -> anyhow::Error {
    Failure::new("The server forgot the log session at once.").hint("Try again.").into()
}

/// Shows new lines until Ctrl-C. When the connection breaks (a restart of the server, a change
/// of network), it is made anew and goes on behind the last line that was shown.
async fn tail(client: &Client, app: &str, mut wanted: LogSessionCreate) -> anyhow::Result<()> {
    let mut place = Place::default();
    let mut pause = Duration::ZERO;
    loop {
        let connections = place.connections;
        let result = follow(client, app, &wanted, &mut place).await;
        // A refusal (wrong app, no rights) stays one; what may pass is tried again.
        if let Err(error) = result
            && (place.connections == 0 || status_of(&error).is_some_and(|status| status.is_client_error()))
        {
            return Err(error);
        }
        if place.connections > connections {
            output::complain("The log stream broke off; taking it up again.");
            pause = Duration::ZERO;
        }
        // Whoever has had no line has none to go on behind: what came meanwhile is in the backlog.
        wanted.lines = Some(BACKLOG);
        pause = (pause + PAUSE).min(MOST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}

/// How far a tail is.
#[derive(Default)]
struct Place {
    /// Id of the last event.
    last: Option<String>,
    /// When the first connection was made; what is older was not asked for again.
    since: Option<DateTime<Utc>>,
    connections: u64,
}

impl Place {
    /// Whether a line is new to a tail that came back without having had any.
    fn is_new(&self, line: &str) -> bool {
        self.connections < 2
            || self.last.is_some()
            || match (self.since, line.split(' ').next().map(DateTime::parse_from_rfc3339)) {
                (Some(since), Some(Ok(time))) => time >= since,
                _ => true,
            }
    }
}

/// One connection of a tail, until it ends.
async fn follow(client: &Client, app: &str, wanted: &LogSessionCreate, place: &mut Place) -> anyhow::Result<()> {
    // A new session each time: one is good for a day only, and rights may have changed.
    let session = session(client, app, wanted).await?;
    let mut response = client.events(&session.logplex_url, place.last.as_deref()).await?.ok_or_else(forgotten)?;
    place.connections += 1;
    place.since.get_or_insert(session.created_at);
    let mut lines = Lines::default();
    let mut id = None;
    loop {
        let chunk = tokio::time::timeout(QUIET, response.chunk()).await.context("The log stream went silent")?;
        let Some(chunk) = chunk.context("The log stream broke off")? else { return Ok(()) };
        lines.add(&chunk);
        while let Some(line) = lines.next() {
            if let Some(new) = line.strip_prefix("id: ") {
                id = Some(new.to_owned());
            } else if let Some(line) = line.strip_prefix("data: ") {
                if place.is_new(line) {
                    show(line);
                }
                place.last = id.take().or(place.last.take());
            }
        }
    }
}

/// Cuts what arrives into lines.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
    /// Where the next line starts.
    at: usize,
}

impl Lines {
    fn add(&mut self, chunk: &[u8]) {
        self.pending.drain(..self.at);
        self.at = 0;
        self.pending.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Option<String> {
        let rest = &self.pending[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Some(line)
    }

    /// What came without a line end.
    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.pending[self.at..]).into_owned()
    }
}

fn show(line: &str) {
    if !line.is_empty() {
        output::line(colored(line));
    }
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
    fn lines_arrive_in_any_pieces() {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for piece in ["one\ntw", "o\n", "", "\nthree", " and\nfour"] {
            lines.add(piece.as_bytes());
            got.extend(std::iter::from_fn(|| lines.next()));
        }
        assert_eq!((got.join("|").as_str(), lines.rest().as_str()), ("one|two||three and", "four"));
    }

    #[test]
    fn a_line_without_a_head_stays_as_it_is() {
        assert_eq!(colored("no log line"), "no log line");
        assert!(colored("t app[web.1]: hello").contains("hello"));
    }
}
