//! Log sessions: a URL by which lines can be read without further proof.
//!
//! The URL's secret is the session itself, sealed: nothing of it is kept here, so it works
//! over a restart of the daemon, as tails do that come back to it.

use base64::Engine as _;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Platform, access, apps::WORK};
use crate::{
    context::new_id,
    error::{Error, Result},
    logs::{Filter, Source},
    store::{self, apps::App},
};

/// Lines that a session begins with when its user does not say (Heroku's default).
const LINES: u64 = 100;

/// Most that can be asked for (Heroku's limit). A slow reader holds them all in memory.
const MOST_LINES: u64 = 1_500;

/// How long a session's URL can be used for the first time.
const FRESH: TimeDelta = TimeDelta::hours(1);

/// How long a tail that broke off can come back to it.
const RESUMABLE: TimeDelta = TimeDelta::hours(24);

/// What the sealer knows these by.
const PLACE: &str = "log-session";

/// What lines a user wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this dyno or process type.
    pub process: Option<String>,
    /// Of this source: `app` or `heroku`.
    pub source: Option<String>,
    /// So many of the past.
    pub lines: Option<u64>,
    /// And all that come.
    pub tail: bool,
}

/// A session and the secret that opens it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Identity.
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The last segment of its URL.
    pub secret: String,
}

/// What a secret opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Whose lines.
    pub app_id: Uuid,
    /// Which of them.
    pub filter: Filter,
    /// How many of the past.
    pub lines: usize,
    /// Whether new ones follow.
    pub tail: bool,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    app: Uuid,
    user: Uuid,
    at: i64,
    process: Option<String>,
    source: Option<String>,
    lines: u64,
    tail: bool,
}

/// Makes a session.
pub fn session(p: &Platform, actor: &Actor, app: &App, wanted: Wanted) -> Result<Session> {
    let source = wanted.source.filter(|source| !source.is_empty());
    if let Some(source) = &source
        && Source::parse(source).is_none()
    {
        return Err(Error::invalid(format!(
            "source: {source} is none. Sources are app and heroku; for one process use dyno (web.1, web, router)."
        )));
    }
    let created_at = p.cx.now();
    let sealed = Sealed {
        app: app.id,
        user: actor.user.id,
        at: created_at.timestamp(),
        process: wanted.process.filter(|process| !process.is_empty()),
        source,
        lines: wanted.lines.unwrap_or(LINES).min(MOST_LINES),
        tail: wanted.tail,
    };
    let text = serde_json::to_vec(&sealed).map_err(|e| Error::internal("The log session could not be made.", e))?;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(p.cx.sealer().seal(PLACE, &text));
    Ok(Session { id: new_id(), created_at, secret })
}

/// Opens a session; `again`: for a reader who has had lines of it before.
pub async fn open(p: &Platform, secret: &str, again: bool) -> Result<Opened> {
    let gone = || Error::not_found("log_session", "by its secret");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret).map_err(|_| gone())?;
    let text = p.cx.sealer().open(PLACE, &bytes).map_err(|_| gone())?;
    let sealed: Sealed = serde_json::from_slice(&text).map_err(|_| gone())?;
    let age = p.cx.now() - DateTime::from_timestamp(sealed.at, 0).unwrap_or_default();
    if age > if again { RESUMABLE } else { FRESH } {
        return Err(gone());
    }
    // Whoever has lost the app has lost its log.
    let mut c = p.db.read().await?;
    let app = store::apps::by_id(&mut c, sealed.app).await?.ok_or_else(gone)?;
    let user = store::users::by_id(&mut c, sealed.user).await?.ok_or_else(gone)?;
    if !access::of(&mut c, &user, &app).await?.may_any(&WORK) {
        return Err(gone());
    }
    let filter = Filter { source: sealed.source.as_deref().and_then(Source::parse), process: sealed.process };
    let lines = usize::try_from(sealed.lines).unwrap_or(usize::MAX);
    Ok(Opened { app_id: app.id, filter, lines, tail: sealed.tail })
}
