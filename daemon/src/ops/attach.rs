//! Programs that wait for somebody to attach: one-off dynos, which have a row, and programs
//! beside what runs already (`redis:cli`), which are remembered here for a while only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Platform, dynos, spec};
use crate::{
    engine::{ExecSpec, Session, Target},
    error::{Error, Result},
    secret,
    store::{self, apps::App, dynos::Dyno},
};

/// How long a program waits for its user.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);

/// How long it is remembered that somebody has attached.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);

/// Programs that wait; cheap to clone.
#[derive(Clone, Default)]
pub struct Attachments {
    waiting: Arc<Mutex<HashMap<Vec<u8>, Pending>>>,
    /// Dynos that somebody has attached to, while their rows may not say so yet.
    taken: Arc<Mutex<HashMap<Uuid, DateTime<Utc>>>>,
}

struct Pending {
    target: Target,
    spec: ExecSpec,
    until: DateTime<Utc>,
}

impl Attachments {
    /// Lets a program wait; gives the secret by which its user attaches, once and soon.
    pub fn offer(&self, target: Target, spec: ExecSpec, now: DateTime<Utc>) -> String {
        let secret = secret::random_password();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, pending| pending.until > now);
        waiting.insert(secret::token_hash(&secret), Pending { target, spec, until: now + PATIENCE });
        secret
    }

    fn take(&self, secret: &str, now: DateTime<Utc>) -> Option<Pending> {
        let pending =
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&secret::token_hash(secret))?;
        (pending.until > now).then_some(pending)
    }

    /// Takes a dyno for one user; `false` when another was first.
    fn take_dyno(&self, dyno: Uuid, now: DateTime<Utc>) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, until| *until > now);
        taken.insert(dyno, now + REMEMBERED).is_none()
    }
}

/// What somebody attaches to.
#[expect(clippy::large_enum_variant, reason = "one for each attached user, and short-lived")]
pub enum Waiting {
    /// A one-off dyno, not started yet: it starts with its user there, so that no output
    /// is lost.
    Dyno {
        /// Its app.
        app: App,
        /// Its row.
        dyno: Dyno,
    },
    /// A program beside what runs.
    Program {
        /// Where.
        target: Target,
        /// Which.
        spec: ExecSpec,
    },
}

impl Waiting {
    /// Whether it has a terminal.
    pub fn tty(&self) -> bool {
        match self {
            Self::Dyno { dyno, .. } => dyno.tty,
            Self::Program { spec, .. } => spec.tty,
        }
    }
}

/// Finds what waits for this secret.
pub async fn find(p: &Platform, secret: &str) -> Result<Waiting> {
    if let Some(Pending { target, spec, .. }) = p.attachments.take(secret, p.cx.now()) {
        return Ok(Waiting::Program { target, spec });
    }
    let dyno = dynos::by_attach_secret(p, secret).await?;
    if dyno.phase != "starting" || dyno.request.is_some() {
        return Err(Error::Conflict(format!("{} does not wait for anybody any more. Run it again.", dyno.name())));
    }
    let app = store::apps::by_id(&mut p.db.read().await?, dyno.app_id)
        .await?
        .ok_or_else(|| Error::not_found("app", dyno.app_id.to_string()))?;
    if !p.attachments.take_dyno(dyno.id, p.cx.now()) {
        return Err(Error::Conflict(format!("Somebody has attached to {} already.", dyno.name())));
    }
    Ok(Waiting::Dyno { app, dyno })
}

/// Starts it with its user attached from the first byte on.
pub async fn start(p: &Platform, waiting: &Waiting) -> Result<Session> {
    match waiting {
        Waiting::Dyno { app, dyno } => {
            let spec = spec::build(p, app, dyno).await?;
            Ok(p.engine.start_attached(&spec).await?)
        }
        Waiting::Program { target, spec } => Ok(p.engine.exec(*target, spec).await?),
    }
}
