//! Dynos as users see them: listed, restarted, stopped, run once.

use std::collections::{BTreeMap, HashSet};

use paas_domain::{
    name::{ConfigKey, DynoName},
    plan::{DynoKind, Request},
    size::Size,
};
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform, apps::sentence, idle, releases};
use crate::{
    context::new_id,
    error::{Error, Result},
    secret,
    store::{
        self,
        apps::App,
        dynos::{self, Dyno},
        events::Event,
        formations, scripts,
    },
};

/// What to restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every dyno of the formation.
    All,
    /// Those of one process type.
    Type(String),
    /// One, by name or identity.
    One(String),
}

/// A one-off dyno to be run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// What to run; a process type as its first word stands for that type's command.
    pub command: String,
    /// Somebody will attach to it.
    pub attach: bool,
    /// With a terminal.
    pub tty: bool,
    /// Extra environment.
    pub env: BTreeMap<String, String>,
    /// Its size, else the default.
    pub size: Option<String>,
    /// The word before the number in its name; `run` when none is given.
    pub process_type: Option<String>,
    /// Seconds after which it is stopped.
    pub time_to_live: Option<i64>,
    /// Its identity, chosen by who waits for its end, which is kept (`ops::scripts`).
    pub script: Option<Uuid>,
}

/// Most seconds that a one-off may be given to live: a day, Heroku's limit.
const LONGEST_LIFE: i64 = 86_400;

/// The dynos of an app that users care for. Of two generations of one name both are there.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Dyno>> {
    let mut c = p.db.read().await?;
    let mut rows = dynos::list(&mut c, app.id).await?;
    rows.retain(|dyno| dyno.phase != "exited" && dyno.phase != "stopping");
    idle::shown(&mut c, app, rows).await
}

/// One of them, by name (`web.1`) or identity; of two of one name the newer.
pub async fn find(p: &Platform, app: &App, name: &str) -> Result<Dyno> {
    let mut c = p.db.read().await?;
    let rows = dynos::list(&mut c, app.id).await?;
    named(idle::shown(&mut c, app, rows).await?, name)
}

fn named(rows: Vec<Dyno>, name: &str) -> Result<Dyno> {
    rows.into_iter()
        .rfind(|dyno| dyno.name() == name || dyno.id.to_string() == name)
        .ok_or_else(|| Error::not_found("dyno", name))
}

/// Restarts dynos; those of a web type are replaced without a gap.
pub async fn restart(p: &Platform, actor: &Actor, app: &App, which: &Which) -> Result<()> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let told = match which {
        Which::All => {
            formations::restart(&mut change, app.id, None, now).await?;
            "all dynos".to_owned()
        }
        Which::Type(name) => {
            if formations::restart(&mut change, app.id, Some(name), now).await? == 0 {
                return Err(Error::not_found("formation", name.as_str()));
            }
            format!("{name} dynos")
        }
        Which::One(name) => {
            let dyno = find(p, app, name).await?;
            if dyno.phase == "idle" {
                store::apps::set_idle_since(&mut change, app.id, None).await?;
            } else {
                let what = if dyno.kind == "formation" { "restart" } else { "stop" };
                dynos::request(&mut change, dyno.id, what, now).await?;
            }
            dyno.name()
        }
    };
    p.commit(change, Event::new("dyno.restart", actor.name(), json!({"which": told}))).await?;
    p.tell(app.id, format!("Restart {told} by user {}", actor.name()));
    Ok(())
}

/// Stops dynos: a one-off ends; one of the formation is started anew, as the formation
/// asks for it (scale to 0 to have none).
pub async fn stop(p: &Platform, actor: &Actor, app: &App, which: &Which) -> Result<()> {
    let mut change = p.change(app.id).await?;
    let rows = dynos::list(&mut change, app.id).await?;
    let live = |dyno: &&Dyno| matches!(dyno.phase.as_str(), "starting" | "up");
    let (which, told): (Vec<Uuid>, String) = match which {
        Which::One(name) => {
            let dyno = named(idle::shown(&mut change, app, rows).await?, name)?;
            // One that sleeps has no row to ask anything of, and nothing to stop.
            (vec![dyno.id], dyno.name())
        }
        Which::Type(kind) => {
            let of_type: Vec<&Dyno> = rows.iter().filter(|dyno| dyno.process_type == *kind).collect();
            if of_type.is_empty() && formations::find(&mut change, app.id, kind).await?.is_none() {
                return Err(Error::not_found("formation", kind.as_str()));
            }
            (of_type.into_iter().filter(live).map(|dyno| dyno.id).collect(), format!("{kind} dynos"))
        }
        Which::All => (rows.iter().filter(live).map(|dyno| dyno.id).collect(), "all dynos".to_owned()),
    };
    for id in which {
        dynos::request(&mut change, id, "stop", p.cx.now()).await?;
    }
    p.commit(change, Event::new("dyno.stop", actor.name(), json!({"dyno": told}))).await?;
    p.tell(app.id, format!("Stop {told} by user {}", actor.name()));
    Ok(())
}

/// Refuses what can't be run.
pub(super) fn check(run: &Run) -> Result<()> {
    let command = run.command.trim();
    if command.is_empty() || command.contains('\0') || command.len() > 128 * 1024 {
        return Err(Error::invalid("The command must not be empty, longer than 128 KB, or have a NUL byte in it."));
    }
    for key in run.env.keys() {
        ConfigKey::parse(key).map_err(|e| Error::invalid(sentence(&e)))?;
    }
    Ok(())
}

/// A command whose first word is a process type is that type's, with the rest behind it.
pub(super) fn resolve_command(types: &BTreeMap<String, String>, command: &str) -> String {
    let command = command.trim();
    let (first, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match types.get(first) {
        Some(known) => format!("{known} {rest}").trim_end().to_owned(),
        None => command.to_owned(),
    }
}

/// Runs a one-off dyno. With `attach`, it starts when somebody comes with the secret that
/// is returned.
pub async fn run(p: &Platform, actor: &Actor, app: &App, run: Run) -> Result<(Dyno, Option<String>)> {
    check(&run)?;
    let size = match &run.size {
        Some(size) => Size::parse(size).map_err(|e| Error::invalid(sentence(&e)))?,
        None => Size::default(),
    };
    if run.time_to_live.is_some_and(|seconds| !(1..=LONGEST_LIFE).contains(&seconds)) {
        return Err(Error::invalid(format!("time_to_live must be from 1 to {LONGEST_LIFE} seconds.")));
    }
    let process_type = run.process_type.as_deref().unwrap_or("run");
    DynoName::parse(&format!("{process_type}.1")).map_err(|e| Error::invalid(sentence(&e)))?;
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let release = crate::store::releases::current(&mut change, app.id).await?;
    let slug = match &release {
        Some(release) => releases::slug_of(&mut change, release).await?,
        None => None,
    };
    let (Some(release), Some(slug)) = (release, slug) else {
        return Err(Error::invalid(format!(
            "{} has nothing to run yet: deploy it first, with git push paas main.",
            app.name
        )));
    };
    let command = resolve_command(&slug.process_types.0, &run.command);
    let rows = dynos::list(&mut change, app.id).await?;
    // Those that have ended count until they are gone: they still take room on the machine.
    let oneoffs = rows.iter().filter(|dyno| dyno.kind == "oneoff").count();
    let taken: HashSet<i64> =
        rows.iter().filter(|dyno| dyno.process_type == process_type).map(|dyno| dyno.number).collect();
    let most = usize::try_from(p.cx.config().max_dynos).unwrap_or(usize::MAX);
    let number = free_number(&taken, i64::from(rand::random::<u16>())).filter(|_| oneoffs < most);
    let Some(number) = number else {
        return Err(Error::invalid(format!(
            "Cannot run more: {} has {oneoffs} one-off dynos, and {most} are the most it can have. Wait until some end, or stop some: `paas ps` lists them, `paas ps:stop` stops one.",
            app.name
        )));
    };
    let secret = run.attach.then(secret::random_password);
    let id = run.script.unwrap_or_else(new_id);
    let env = serde_json::to_vec(&run.env).map_err(|e| Error::internal("The environment could not be kept.", e))?;
    let dyno = Dyno {
        size: size.name().to_lowercase(),
        command,
        time_to_live: run.time_to_live,
        attach: run.attach,
        tty: run.tty,
        env: Some(p.cx.sealer().seal(&format!("dyno/{id}"), &env)),
        user_id: Some(actor.user.id),
        attributes: sqlx::types::Json(match &secret {
            Some(secret) => json!({"attach": hex::encode(secret::token_hash(secret))}),
            None => json!({}),
        }),
        ..Dyno::new(id, &release, DynoKind::Oneoff, process_type, number, now)
    };
    dynos::insert(&mut change, &dyno).await?;
    if run.script.is_some() {
        scripts::insert(&mut change, id, app.id, &dyno.name(), now).await?;
    }
    p.commit(change, event("dyno.create", actor.name(), &dyno)).await?;
    p.tell(app.id, format!("Starting process with command `{}` by user {}", dyno.command, actor.name()));
    Ok((dyno, secret))
}

/// A number from 1000 to 9999 that no other one-off of its type has, looked for from somewhere on.
fn free_number(taken: &HashSet<i64>, from: i64) -> Option<i64> {
    (0..9000).map(|step| 1000 + (from + step) % 9000).find(|number| !taken.contains(number))
}

/// What is told of a dyno that begins, comes to another state or is gone: it as it is then.
pub fn event(kind: &'static str, actor: &str, dyno: &Dyno) -> Event {
    Event::new(kind, actor, json!({"id": dyno.id, "dyno": dyno.name(), "was": dyno}))
}

/// The dyno that waits for somebody with this secret.
pub async fn by_attach_secret(p: &Platform, secret: &str) -> Result<Dyno> {
    let hash = hex::encode(secret::token_hash(secret));
    dynos::all(&mut p.db.read().await?)
        .await?
        .into_iter()
        .find(|dyno| dyno.attach && dyno.attributes.get("attach").and_then(|v| v.as_str()) == Some(hash.as_str()))
        .ok_or_else(|| Error::not_found("dyno", "by an attach secret"))
}

/// The dyno's own environment of a one-off.
pub fn own_env(p: &Platform, dyno: &Dyno) -> Result<BTreeMap<String, String>> {
    let Some(sealed) = &dyno.env else { return Ok(BTreeMap::new()) };
    let text =
        p.cx.sealer()
            .open(&format!("dyno/{}", dyno.id), sealed)
            .map_err(|e| Error::internal("The dyno's environment can't be read.", e))?;
    serde_json::from_slice(&text).map_err(|e| Error::internal("The dyno's environment can't be read.", e))
}

/// Asks the reconciler to kill a dyno that takes too much.
pub async fn request_kill(p: &Platform, dyno_id: Uuid, why: Request) -> Result<()> {
    let Some(dyno) = dynos::by_id(&mut p.db.read().await?, dyno_id).await? else { return Ok(()) };
    let mut change = p.change(dyno.app_id).await?;
    dynos::request(&mut change, dyno.id, why.as_str(), p.cx.now()).await?;
    p.commit(change, Event::new("dyno.kill", "paas", json!({"dyno": dyno.name()}))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_free_number_is_found_and_then_none() {
        let mut taken: HashSet<i64> = (1000..=9999).filter(|number| *number != 4711).collect();
        assert!((0..3).map(|turn| free_number(&taken, turn * 30_000)).all(|number| number == Some(4711)));
        taken.insert(4711);
        assert_eq!(free_number(&taken, 65_535), None);
    }
}
