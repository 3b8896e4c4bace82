//! How the platform is: what the database, the engine, the router and the add-ons say now.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use super::{Platform, router};
use crate::store;

/// How long an answer counts: whoever asks needs no credentials, and must not be a burden.
const FRESH: Duration = Duration::from_secs(3);

/// How long each part may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What runs goes on; something else does not work.
    Yellow,
    /// Users are without it.
    Red,
}

/// Which users notice, by Heroku's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// Dynos and their visitors.
    Apps,
    /// Add-ons.
    Data,
    /// API, builds, git.
    Tools,
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whose.
    pub system: System,
    /// How bad.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// What it means.
    pub text: &'static str,
    /// Since when it is known.
    pub since: DateTime<Utc>,
}

/// What was found last; cheap to clone.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    problems: Vec<Problem>,
    since: BTreeMap<&'static str, DateTime<Utc>>,
}

/// What is wrong now; nothing when all is well.
pub async fn problems(p: &Platform) -> Vec<Problem> {
    let mut seen = p.board.0.lock().await;
    if seen.at.is_some_and(|at| at.elapsed() < FRESH) {
        return seen.problems.clone();
    }
    let now = p.cx.now();
    let found = look(p).await;
    seen.since.retain(|title, _| found.iter().any(|(_, _, other, _)| other == title));
    let mut problems = Vec::new();
    for (system, severity, title, text) in found {
        let since = *seen.since.entry(title).or_insert(now);
        problems.push(Problem { system, severity, title, text, since });
    }
    seen.problems.clone_from(&problems);
    seen.at = Some(Instant::now());
    problems
}

async fn look(p: &Platform) -> Vec<(System, Severity, &'static str, &'static str)> {
    let mut found = Vec::new();
    let database = async {
        let mut c = p.db.read().await?;
        store::settings::get(&mut c, store::settings::INSTANCE).await?;
        store::addons::all(&mut c).await
    };
    let addons = match tokio::time::timeout(PATIENCE, database).await {
        Ok(Ok(addons)) => addons,
        Ok(Err(_)) | Err(_) => {
            let text = "Nothing can be changed or looked up until it does; what runs goes on.";
            found.push((System::Tools, Severity::Red, "The database does not answer", text));
            Vec::new()
        }
    };
    let silent = |addon: &&store::addons::Addon| addon.state == "provisioned" && addon.message.is_some();
    if addons.iter().any(|addon| silent(&addon)) {
        let text = "At least one add-on does not answer; `paas addons:info` tells more.";
        found.push((System::Data, Severity::Yellow, "An add-on does not answer", text));
    }
    if !matches!(tokio::time::timeout(PATIENCE, p.engine.nodes()).await, Ok(Ok(_))) {
        let text = "No dyno, build or add-on can be started or stopped until it does; what runs goes on.";
        found.push((System::Apps, Severity::Yellow, "The container engine does not answer", text));
        found.push((System::Data, Severity::Yellow, "The container engine does not answer", text));
        found.push((System::Tools, Severity::Yellow, "The container engine does not answer", text));
    }
    if router::ask(&p.cx.path(router::SOCKET), "/status").await.is_err() {
        let text = "Apps can't be reached from outside until it does.";
        found.push((System::Apps, Severity::Red, "The router does not answer", text));
    }
    found
}
