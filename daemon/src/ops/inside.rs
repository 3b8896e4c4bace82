//! One more program in a dyno that runs: `run:inside`, `ps:exec`.

use serde_json::json;

use super::{Actor, Platform, dynos};
use crate::{
    engine::{ExecSpec, Target, shell},
    error::{Error, Result},
    store::{apps::App, dynos::Dyno, events::Event},
};

/// Lets a program wait for its user; gives the secret by which they attach, once and soon. It
/// starts as a dyno's command does, with the dyno's environment and some more.
pub async fn offer(p: &Platform, actor: &Actor, app: &App, dyno: &Dyno, run: dynos::Run) -> Result<String> {
    dynos::check(&run)?;
    if !matches!(dyno.phase.as_str(), "starting" | "up") {
        return Err(Error::Conflict(format!(
            "{} does not run now. `paas ps` shows what does; `paas run` starts a dyno of its own.",
            dyno.name()
        )));
    }
    let mut c = p.db.read().await?;
    let release = crate::store::releases::by_id(&mut c, dyno.release_id).await?;
    let slug = match &release {
        Some(release) => super::releases::slug_of(&mut c, release).await?,
        None => None,
    };
    drop(c);
    let command = match &slug {
        Some(slug) => dynos::resolve_command(&slug.process_types.0, &run.command),
        None => run.command.trim().to_owned(),
    };
    let number = |key: &str| run.env.get(key).and_then(|value| value.parse::<u16>().ok()).filter(|n| *n > 0);
    let spec = ExecSpec {
        argv: shell(&command),
        size: number("COLUMNS").zip(number("LINES")).filter(|_| run.tty),
        env: run.env.into_iter().collect(),
        tty: run.tty,
    };
    let change = p.change(app.id).await?;
    p.commit(change, Event::new("dyno.exec", actor.name(), json!({"dyno": dyno.name()}))).await?;
    p.tell(app.id, format!("Running `{command}` inside {} by user {}", dyno.name(), actor.name()));
    Ok(p.attachments.offer(Target::Dyno(dyno.id), spec, p.cx.now()))
}
