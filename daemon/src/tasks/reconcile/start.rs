//! Starts of a pass: rows of new dynos, and containers of those that have none.

use futures_util::future::join_all;
use paas_domain::plan::{self, Create, DynoKind, Request};
use serde_json::json;
use uuid::Uuid;

use super::{act::AtWork, view};
use crate::{
    context::new_id,
    engine::EngineError,
    error::{Error, Result},
    ops::{self, spec},
    store::{
        self,
        dynos::{self, Dyno},
    },
};

/// How often a release phase's start may be refused before the phase has failed.
const REFUSALS: u64 = 3;

/// What has become of a start.
enum Outcome {
    /// It runs.
    Started(Dyno),
    /// Time alone does not mend what is in its way.
    Refused(Dyno),
    /// Time may.
    Failed(Dyno, Error),
}

impl AtWork<'_> {
    /// The row of a new dyno. A release that is not there is an error, so that the app is
    /// tried again after a while and not at once and for ever.
    pub(super) async fn create(&mut self, create: &Create) -> Result<Uuid> {
        let now = self.p.cx.now();
        let mut change = self.p.change(self.app.id).await?;
        let release = store::releases::by_version(&mut change, self.app.id, create.release_version).await?;
        let release = release.ok_or_else(|| {
            Error::Unavailable(format!("Release v{} of {} is not there.", create.release_version, self.app.name))
        })?;
        let row = plan::DynoRow::new(new_id(), create, now);
        let mut dyno = Dyno {
            size: row.size.clone(),
            command: row.command.clone(),
            epoch: row.epoch,
            ..Dyno::new(row.id, &release, row.kind, &row.process_type, i64::from(row.number), now)
        };
        view::write_back(&mut dyno, &row, now);
        dynos::insert(&mut change, &dyno).await?;
        self.p.commit(change, ops::dynos::event("dyno.create", "paas", &dyno)).await?;
        let id = dyno.id;
        self.rows.insert(id, dyno);
        Ok(id)
    }

    /// Starts dynos side by side. Whether one was refused for a reason that time alone does
    /// not mend; when one has failed for another reason, that is the error.
    pub(super) async fn start_all(&mut self, ids: &mut Vec<Uuid>) -> Result<bool> {
        let ids = std::mem::take(ids);
        let results = join_all(ids.iter().filter_map(|id| self.rows.get(id)).map(|row| self.start(row))).await;
        let mut refused = false;
        let mut failure = None;
        for result in results {
            let dyno = match result {
                Ok(Outcome::Started(dyno)) => dyno,
                Ok(Outcome::Refused(dyno)) => {
                    refused = true;
                    dyno
                }
                Ok(Outcome::Failed(dyno, error)) => {
                    failure = Some(error);
                    dyno
                }
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            self.rows.insert(dyno.id, dyno);
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(refused),
        }
    }

    /// Starts one. What keeps it from starting is told to its user once.
    async fn start(&self, row: &Dyno) -> Result<Outcome> {
        let mut row = row.clone();
        if row.attributes.get("announced").is_none() {
            if row.crashes > 0 {
                self.say(row.id, "State changed from crashed to starting");
            }
            self.say(row.id, &format!("Starting process with command `{}`", row.command));
            set(&mut row, "announced", json!(true));
            self.keep(&row).await?;
        }
        let (error, for_good) = match spec::build(self.p, self.app, &row).await {
            Ok(spec) => match self.p.engine.start(&spec).await {
                Ok(()) => return Ok(Outcome::Started(row)),
                Err(
                    error @ (EngineError::NoSuchImage { .. } | EngineError::Setting(_) | EngineError::Other { .. }),
                ) => {
                    tracing::warn!(app = self.app.name, dyno = row.name(), %error, "a dyno could not be started");
                    // In its own words, where an internal error has none for users.
                    (Error::Conflict(error.to_string()), true)
                }
                Err(error) => (error.into(), false),
            },
            Err(error) => {
                let passes = matches!(error, Error::Unavailable(_) | Error::Internal { .. });
                (error, !passes)
            }
        };
        self.refuse(&mut row, &error.to_string(), for_good).await?;
        Ok(if for_good { Outcome::Refused(row) } else { Outcome::Failed(row, error) })
    }

    /// Tells why a dyno could not be started, and remembers it with the row. A release phase
    /// that is refused again and again is given up: its release must not hold up others.
    async fn refuse(&self, row: &mut Dyno, why: &str, for_good: bool) -> Result<()> {
        let known = row.attributes.get("refused").and_then(|v| v.as_str()) == Some(why);
        if !known {
            self.say(row.id, &format!("Error R99 (Platform error) -> The dyno could not be started: {why}"));
            set(row, "refused", json!(why));
        }
        if for_good && row.kind == DynoKind::Release.as_str() {
            let refusals = row.attributes.get("refusals").and_then(serde_json::Value::as_u64).unwrap_or(0) + 1;
            set(row, "refusals", json!(refusals));
            if refusals >= REFUSALS {
                let mut tx = self.p.db.begin().await?;
                dynos::request(&mut tx, row.id, Request::Stop.as_str(), self.p.cx.now()).await?;
                tx.commit(Some(store::Wake { app_id: Some(row.app_id), kind: "dyno.stop" })).await?;
            }
        } else if known {
            return Ok(());
        }
        self.keep(row).await
    }

    async fn keep(&self, row: &Dyno) -> Result<()> {
        let mut tx = self.p.db.begin().await?;
        dynos::update(&mut tx, row).await?;
        Ok(tx.commit(None).await?)
    }
}

fn set(row: &mut Dyno, key: &str, value: serde_json::Value) {
    if let Some(map) = row.attributes.0.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}
