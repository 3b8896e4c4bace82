//! Programs that wait for somebody to attach: one-off dynos, which have a row, and programs
//! beside what runs already (`redis:cli`), which are remembered here for a while only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{Platform, dynos, spec};
use crate::{
    engine::{EngineError, ExecSpec, Session, Signal, Target},
    error::{Error, Result},
    secret,
    store::{self, apps::App, dynos::Dyno},
};

/// How long a program waits for its user.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);

/// How long it is remembered that somebody has attached.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);

/// Programs that wait; cheap to clone.
#[derive(Clone)]
pub struct Attachments {
    waiting: Arc<Mutex<HashMap<Vec<u8>, Pending>>>,
    dynos: Arc<Mutex<HashMap<Uuid, Taken>>>,
    ended: Arc<broadcast::Sender<Uuid>>,
}

impl Default for Attachments {
    fn default() -> Self {
        let ended = Arc::new(broadcast::Sender::new(256));
        Self { waiting: Arc::default(), dynos: Arc::default(), ended }
    }
}

/// A dyno that somebody has attached to, while its row may not say so yet, or that nobody
/// attaches to any more.
struct Taken {
    until: DateTime<Utc>,
    /// Its user is here: a session makes it ready, or carries its bytes.
    held: bool,
    /// When it was told that its user is gone.
    hung_up: Option<DateTime<Utc>>,
}

/// A session's hold on its dyno; dropped, it has ended.
pub struct Held {
    dyno: Uuid,
    app_id: Uuid,
    of: Attachments,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(taken) = self.of.dynos().get_mut(&self.dyno) {
            taken.held = false;
        }
        // Nobody listening is no failure: the reconciler looks by its own period.
        let _ = self.of.ended.send(self.app_id);
    }
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

    /// Takes a dyno for one user; none when another was first.
    fn take_dyno(&self, dyno: &Dyno, now: DateTime<Utc>) -> Option<Held> {
        let mut dynos = self.dynos();
        dynos.retain(|_, taken| taken.held || taken.until > now);
        if dynos.contains_key(&dyno.id) {
            return None;
        }
        dynos.insert(dyno.id, Taken { until: now + REMEMBERED, held: true, hung_up: None });
        Some(Held { dyno: dyno.id, app_id: dyno.app_id, of: self.clone() })
    }

    /// Whether a session holds this dyno.
    pub fn holds(&self, dyno: Uuid) -> bool {
        self.dynos().get(&dyno).is_some_and(|taken| taken.held)
    }

    /// Nobody is to attach to this dyno any more; `false` when a session holds it.
    pub fn give_up(&self, dyno: Uuid, now: DateTime<Utc>) -> bool {
        let gone = Taken { until: now + REMEMBERED, held: false, hung_up: None };
        !self.dynos().entry(dyno).or_insert(gone).held
    }

    /// When a dyno was told that its user is gone.
    pub fn hung_up(&self, dyno: Uuid) -> Option<DateTime<Utc>> {
        self.dynos().get(&dyno)?.hung_up
    }

    /// Tells the app of each dyno whose session has ended.
    pub fn endings(&self) -> broadcast::Receiver<Uuid> {
        self.ended.subscribe()
    }

    fn dynos(&self) -> MutexGuard<'_, HashMap<Uuid, Taken>> {
        self.dynos.lock().unwrap_or_else(PoisonError::into_inner)
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
        /// Until it has ended, or its user is gone.
        held: Held,
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
    let held = p
        .attachments
        .take_dyno(&dyno, p.cx.now())
        .ok_or_else(|| Error::Conflict(format!("Somebody has attached to {} already.", dyno.name())))?;
    Ok(Waiting::Dyno { app, dyno, held })
}

/// Starts it with its user attached from the first byte on.
pub async fn start(p: &Platform, waiting: &Waiting) -> Result<Session> {
    match waiting {
        Waiting::Dyno { app, dyno, .. } => {
            let spec = spec::build(p, app, dyno).await?;
            Ok(p.engine.start_attached(&spec).await?)
        }
        Waiting::Program { target, spec } => match p.engine.exec(*target, spec).await {
            Err(EngineError::NotFound { .. }) => Err(Error::Conflict(
                "It does not run just now, most likely since it is being started again. Try again in a moment; `paas ps` shows dynos.".into(),
            )),
            started => Ok(started?),
        },
    }
}

/// Tells a dyno that its user is gone: SIGHUP. The reconciler ends what goes on for long.
pub async fn hang_up(p: &Platform, dyno: Uuid) -> Result<()> {
    p.engine.signal(dyno, Signal::Hup).await?;
    let now = p.cx.now();
    let taken = Taken { until: now + REMEMBERED, held: false, hung_up: None };
    p.attachments.dynos().entry(dyno).or_insert(taken).hung_up = Some(now);
    // Its container may go: there is nobody to hear the rest.
    p.logs.drains().mark(dyno);
    Ok(())
}
