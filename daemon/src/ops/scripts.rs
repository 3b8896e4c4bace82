//! Programs that the platform runs once in an app and whose end it waits for: what an app.json
//! has run after a deploy, before a review app goes, or as its tests.
//!
//! Each is a one-off dyno with an identity that whoever waits has chosen and written down, so
//! that asking twice runs it once, and a daemon that was killed goes on waiting.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use paas_domain::size::Size;
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform, dynos};
use crate::{
    error::{Error, Result},
    logs::{Filter, Source},
    store::{apps::App, dynos as rows, events::Event, scripts},
};

/// Most lines of its output that are kept.
const MOST_LINES: usize = 10_000;

/// Most bytes of it: they are in a row, and in every answer that shows it.
const MOST_BYTES: usize = 1 << 20;

/// How long one may wait to be started, beside the time that it may run.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Script {
    /// The word before the number in the dyno's name.
    pub process_type: &'static str,
    /// What bash runs.
    pub command: String,
    /// On how large a dyno.
    pub size: Option<Size>,
    /// Environment beside the config vars.
    pub env: BTreeMap<String, String>,
    /// Seconds that it may run.
    pub limit_s: i64,
}

/// How one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; 143 when it never ran.
    pub exit_code: i64,
    /// What it said.
    pub output: String,
}

/// Runs one, unless it has been started before.
pub async fn start(p: &Platform, actor: &Actor, app: &App, id: Uuid, script: &Script) -> Result<()> {
    if scripts::by_id(&mut p.db.read().await?, id).await?.is_some() {
        return Ok(());
    }
    let run = dynos::Run {
        command: script.command.clone(),
        env: script.env.clone(),
        size: script.size.map(|size| size.name().to_owned()),
        process_type: Some(script.process_type.to_owned()),
        time_to_live: Some(script.limit_s),
        script: Some(id),
        ..dynos::Run::default()
    };
    dynos::run(p, actor, app, run).await?;
    Ok(())
}

/// Writes down how the dyno of one ended; dynos that are none are left out. Safe to repeat.
pub async fn ended(p: &Platform, dyno_id: Uuid, code: i32) -> Result<()> {
    let Some(script) = scripts::by_id(&mut p.db.read().await?, dyno_id).await? else { return Ok(()) };
    let Some(mut change) = p.db.change(script.app_id).await? else { return Ok(()) };
    scripts::end(&mut change, dyno_id, Some(i64::from(code)), p.cx.now()).await?;
    let event = json!({"dyno": script.name, "exit_code": code});
    p.commit(change, Event::new("script.end", "paas", event)).await
}

/// How one ended, once it has and all that it said is kept. One that isn't started in time is
/// given up.
pub async fn outcome(p: &Platform, id: Uuid, limit_s: i64) -> Result<Option<Outcome>> {
    let mut c = p.db.read().await?;
    // In this order: the end is written before the dyno's row goes.
    let dyno = rows::by_id(&mut c, id).await?;
    let script = scripts::by_id(&mut c, id).await?;
    let script = script.ok_or_else(|| Error::internal("A script was lost.", "no such row in scripts"))?;
    drop(c);
    match (script.ended_at, dyno) {
        // The reconciler removes the row when it has stored the last line.
        (Some(_), None) => {
            let exit_code = script.exit_code.unwrap_or(143);
            Ok(Some(Outcome { exit_code, output: output(p, script.app_id, &script.name).await? }))
        }
        (Some(_), Some(_)) => Ok(None),
        (None, Some(dyno)) => {
            let late = p.cx.now() - script.created_at > TimeDelta::seconds(limit_s) + PATIENCE;
            if late && dyno.request.is_none() {
                let mut change = p.change(script.app_id).await?;
                rows::request(&mut change, id, "stop", p.cx.now()).await?;
                p.commit(change, Event::new("dyno.stop", "paas", json!({"dyno": script.name}))).await?;
            }
            Ok(None)
        }
        (None, None) => Ok(Some(Outcome { exit_code: 143, output: output(p, script.app_id, &script.name).await? })),
    }
}

/// Which lines of its app's log are its own.
pub fn lines(name: &str) -> Filter {
    Filter { source: Some(Source::App), process: Some(name.to_owned()) }
}

async fn output(p: &Platform, app_id: Uuid, name: &str) -> Result<String> {
    let lines = p.logs.store().recent(app_id, MOST_LINES, lines(name)).await;
    let lines = lines.map_err(|error| Error::Unavailable(error.to_string()))?;
    let text: String = lines.into_iter().map(|line| format!("{}\n", line.message)).collect();
    Ok(end_of(text))
}

/// The last lines of an output, as many as are kept.
fn end_of(text: String) -> String {
    let Some(over) = text.len().checked_sub(MOST_BYTES).filter(|over| *over > 0) else { return text };
    let rest = &text.as_bytes()[over..];
    let start = over + rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
    format!("(what came before was cut off: {start} bytes)\n{}", &text[start..])
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, end_of};

    #[test]
    fn of_much_output_the_end_is_kept() {
        assert_eq!(end_of("a\nb\n".into()), "a\nb\n");
        let line = "0123456789äöü\n";
        let long = end_of(line.repeat(100_000) + "1..1\n");
        assert!(long.len() <= MOST_BYTES + 60, "{}", long.len());
        assert!(long.starts_with("(what came before was cut off: ") && long.ends_with("äöü\n1..1\n"));
        assert!(long.lines().nth(1).is_some_and(|first| format!("{first}\n") == line));
    }
}
