//! What an app should look like, read from the database in one snapshot.

use uuid::Uuid;

use super::words::words;

words! {
    /// How dynos of a type are replaced.
    pub enum Strategy as "strategy" {
        /// The new ones are up before the old ones get SIGTERM: nothing is dropped.
        StartFirst = "start-first",
        /// The old one has exited before the new one of its slot starts: never two at once.
        StopFirst = "stop-first",
    }
}

words! {
    /// What the router is told about an app besides the addresses of its dynos.
    pub enum RouteState as "route state" {
        /// Nothing was deployed yet (H81).
        Blank = "blank",
        /// No web process type, or scaled to 0 (H14).
        NoWeb = "no-web",
        /// Every web dyno has crashed and waits for its next start (H10).
        Crashed = "crashed",
        /// Web dynos are starting: requests wait (H20 when too long).
        Booting = "booting",
        /// At least one web dyno answers.
        Serving = "serving",
        /// Web dynos sleep until somebody asks for the app.
        Idle = "idle",
    }
}

/// The desired state of one app, with what was recorded of its routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// The release to run: the newest that succeeded and has a slug. None: nothing deployed.
    pub release: Option<DesiredRelease>,
    /// The formation; a type that isn't here counts as scaled to 0.
    pub types: Vec<DesiredType>,
    /// Nobody has asked for the app for long: its web dynos sleep, as if scaled to 0, until
    /// somebody does. The other types go on.
    pub idle: bool,
    /// The app is being destroyed: one-offs go too, and nobody waits for requests to drain.
    pub destroyed: bool,
    /// What the last [`super::Step::Routes`] said; None before the first.
    pub route_state: Option<RouteState>,
    /// The routers follow the table that the last [`super::Step::Routes`] made. Say true
    /// when it isn't known: an unrouted dyno is then left alone for [`super::Policy::drain`].
    pub routes_acknowledged: bool,
    /// Dynos that have left the routes and still have requests, as the router says; they are
    /// given [`super::Policy::drain_busy`]. Look again soon while there are any.
    pub busy: Vec<Uuid>,
}

/// The release to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesiredRelease {
    /// Its version, 7 for v7. Versions only grow, a rollback included.
    pub version: i64,
    /// Dynos of this version and later may stay: the releases since then were made with
    /// `--no-restart`. Equal to `version` otherwise.
    pub compatible_from: i64,
    /// [`super::Step::RolloutStalled`] was recorded for it, so it isn't said again.
    pub stalled: bool,
}

/// One process type of the formation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredType {
    /// The Procfile's name for it.
    pub process_type: String,
    /// How many dynos.
    pub quantity: u32,
    /// Dyno size by name; a change replaces the dynos.
    pub size: String,
    /// What bash runs; changes with the release only.
    pub command: String,
    /// How its dynos are replaced.
    pub strategy: Strategy,
    /// Raised by `ps:restart`; dynos of an older epoch are replaced.
    pub epoch: i64,
    /// It must bind `$PORT` and gets the app's requests.
    pub is_web: bool,
}
