//! What the router knows: the routing table that the daemon makes, and the access lines
//! that come back. Both sides of the socket between them speak these types.
//!
//! The table is whole, never a difference: a router that has one table can serve, whatever
//! happened to the daemon since.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Every app's route at one moment.
///
/// `GET /router/table?after=GENERATION` on the control socket answers with one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// Which database the table comes from. Generations are compared only between tables
    /// of one instance: a router takes the table of another instance whatever its number,
    /// since a database that was made anew counts from 1 again.
    #[serde(default)]
    pub instance: Uuid,
    /// Grows with every change. A router refuses a table that is older than its own.
    pub generation: u64,
    /// Apps are at NAME.BASE; the daemon lists that name in [`AppRoute::hosts`] too.
    pub base_domain: String,
    /// Every app that exists, whether it runs or not.
    #[serde(default)]
    pub apps: Vec<AppRoute>,
    /// The daemon's own names (`api.BASE`, `git.BASE`), when it wants to be reached
    /// through the router.
    #[serde(default)]
    pub control: Option<ControlRoute>,
    /// The certificates that apps have brought. A name that none of them is for is served
    /// with the router's own.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// What certificate authorities will ask for, and the answers.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

/// How a host name proves to a certificate authority that it leads here (ACME, RFC 8555 §8.3
/// and RFC 8737). The router answers by itself, whatever state the app is in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The name, exact and lower-case.
    pub host: String,
    /// Asked for as `/.well-known/acme-challenge/TOKEN`.
    pub token: String,
    /// The answer to that: the key authorization.
    pub answer: String,
    /// A certificate that carries the answer, for who speaks `acme-tls/1` only.
    #[serde(default)]
    pub certificate: Option<ChallengeCertificate>,
}

/// A certificate that nobody but the asking authority gets to see.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeCertificate {
    /// PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: String,
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenge").field("host", &self.host).field("token", &self.token).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ChallengeCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChallengeCertificate(..)")
    }
}

/// A certificate with its key, and the names that are served with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Another one with every certificate: what has the same id is the same.
    pub id: Uuid,
    /// Host names as in [`AppRoute::hosts`].
    pub hosts: Vec<String>,
    /// Certificate and what it is signed by, PEM.
    pub chain: String,
    /// The key, PEM. Never shown.
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("id", &self.id).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// The daemon's own API and git server, seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRoute {
    /// Host names, lower-case.
    pub hosts: Vec<String>,
    /// Where the daemon takes plain HTTP.
    pub addr: SocketAddr,
}

/// One app as the router sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoute {
    /// The app's id: its access lines carry it.
    pub id: Uuid,
    /// The app's name, for pages and diagnosis.
    pub name: String,
    /// Every name it answers to: exact and lower-case, or `*.example.com` for every name of
    /// one part more than `example.com`. NAME.BASE is among them.
    pub hosts: Vec<String>,
    /// Why there are no backends, when there are none.
    pub state: RouteState,
    /// Maintenance mode: every request gets H80 and the dynos get none.
    #[serde(default)]
    pub maintenance: bool,
    /// Config var ERROR_PAGE_URL: what visitors see in place of our error page.
    #[serde(default)]
    pub error_page_url: Option<String>,
    /// Config var MAINTENANCE_PAGE_URL.
    #[serde(default)]
    pub maintenance_page_url: Option<String>,
    /// Web dynos that are up, in any order.
    #[serde(default)]
    pub backends: Vec<Backend>,
    /// What differs from the router's own rules for this app.
    #[serde(default)]
    pub rules: Rules,
}

/// How the router treats one app, where its owner wants it otherwise than Heroku does.
/// What is not set is as the router has it for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Connecting to one dyno, milliseconds (H19).
    pub connect_ms: Option<u64>,
    /// Waiting for a dyno and connecting, together, milliseconds (H20).
    pub queue_ms: Option<u64>,
    /// From the last byte of a request to the first of its response, milliseconds (H12).
    pub first_byte_ms: Option<u64>,
    /// Silence in both directions after that, milliseconds (H15, H28).
    pub idle_ms: Option<u64>,
    /// Requests at once for each web dyno that is up, all dynos together (H11).
    pub concurrency: Option<u32>,
    /// How a dyno is chosen.
    pub balancing: Balancing,
    /// A visitor comes back to the dyno that answered first (`http-session-affinity`).
    pub affinity: bool,
    /// The dynos speak HTTP/2 without TLS, by prior knowledge; gRPC needs it.
    pub http2: bool,
    /// Plain HTTP is answered with a redirect to HTTPS.
    pub https_only: bool,
    /// `Strict-Transport-Security` for what is answered over HTTPS.
    pub hsts: Option<Hsts>,
}

/// What holds for an app without rules of its own: Heroku's figures.
pub mod usual {
    /// See [`Rules::connect_ms`](super::Rules::connect_ms).
    pub const CONNECT_MS: u64 = 5_000;
    /// See [`Rules::queue_ms`](super::Rules::queue_ms).
    pub const QUEUE_MS: u64 = 75_000;
    /// See [`Rules::first_byte_ms`](super::Rules::first_byte_ms).
    pub const FIRST_BYTE_MS: u64 = 30_000;
    /// See [`Rules::idle_ms`](super::Rules::idle_ms).
    pub const IDLE_MS: u64 = 55_000;
    /// See [`Rules::concurrency`](super::Rules::concurrency).
    pub const CONCURRENCY: u32 = 200;
}

/// How a dyno is chosen among those that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    /// By chance, as Heroku does.
    #[default]
    Random,
    /// The one with the fewest requests on it now; by chance among equals.
    LeastConnections,
}

impl Balancing {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Random, Self::LeastConnections];

    /// `random`, `least-connections`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::LeastConnections => "least-connections",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|balancing| balancing.name() == name)
    }
}

/// What browsers are told to remember of an app's HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hsts {
    /// For how long, seconds.
    pub max_age: u64,
    /// Names below the app's are meant, too.
    #[serde(default)]
    pub include_subdomains: bool,
    /// The name may go into browsers' built-in lists.
    #[serde(default)]
    pub preload: bool,
}

/// What an app is able to do with a request.
///
/// Backends win over the state: while a rollout goes on, an app that is `Booting` and has
/// backends is served by those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// Nothing was ever released: H81.
    Blank,
    /// Scaled to no web dynos: H14.
    NoWeb,
    /// Every web dyno crashed: H10.
    Crashed,
    /// Web dynos are on their way: requests wait for one, H20 after 75 s.
    Booting,
    /// Web dynos take requests. With none in the list (a short gap) requests wait, too.
    Serving,
    /// No web dyno runs since nobody has asked for long: the first request wakes the app and
    /// waits as with `Booting`.
    Idle,
}

/// A web dyno that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name in logs, `web.1`.
    pub dyno: String,
    /// The dyno's id; a restarted `web.1` is another backend, even at the same address.
    pub id: Uuid,
    /// Container address and `$PORT`.
    pub addr: SocketAddr,
}

/// Access lines on their way to the apps' logs: body of `POST /router/log`.
///
/// A router repeats a batch until it is acknowledged; the daemon drops a batch whose
/// `seq` it has already stored for that router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBatch {
    /// The router process: a restarted one has a new id and counts from 1 again.
    pub router: Uuid,
    /// Number of the batch: 1, 2, 3 …
    pub seq: u64,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
}

/// One line of `heroku[router]` in an app's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Whose log it belongs to.
    pub app_id: Uuid,
    /// End of the request, microseconds since 1970 UTC.
    pub at_micros: i64,
    /// `at=info method=GET path="/" …`, without time and source.
    pub line: String,
}

/// Apps that sleep and are asked for: body of `POST /router/wake`.
///
/// A router repeats it for as long as somebody waits for them and they sleep; the daemon wakes
/// those that do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// Their ids.
    pub apps: Vec<Uuid>,
}

/// Of when an app was last asked for: answer to `GET /activity?apps=ID,ID` on the router's own
/// socket, one for each of those that are in its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppActivity {
    /// Which.
    pub app_id: Uuid,
    /// Milliseconds since a request came or ended; since the router's start, or since the app
    /// was new to it, if none did.
    pub quiet_ms: u64,
    /// Requests and tunnels on its dynos, and requests that wait for one.
    pub open: u64,
}

/// Who answers for a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The app at this place of [`RouteTable::apps`].
    App(usize),
    /// The daemon itself.
    Control,
}

/// Host names of a table, made once for each table and asked for each request.
#[derive(Debug, Default)]
pub struct HostIndex {
    exact: HashMap<String, Target>,
    below: HashMap<String, Target>,
}

impl HostIndex {
    /// Index of `table`. Where two routes claim a name, the daemon's own wins, then the
    /// app that comes first.
    #[must_use]
    pub fn new(table: &RouteTable) -> HostIndex {
        let mut index = HostIndex::default();
        for host in table.control.iter().flat_map(|control| &control.hosts) {
            index.insert(host, Target::Control);
        }
        for (at, app) in table.apps.iter().enumerate() {
            for host in &app.hosts {
                index.insert(host, Target::App(at));
            }
        }
        index
    }

    fn insert(&mut self, host: &str, target: Target) {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match host.strip_prefix("*.") {
            Some(suffix) => self.below.entry(suffix.to_owned()).or_insert(target),
            None => self.exact.entry(host).or_insert(target),
        };
    }

    /// Finds who answers for the value of a `Host` header: the exact name first, then the
    /// wildcard, which stands for one part as in [`Hostname::covers`](crate::name::Hostname::covers)
    /// and in certificates. Port, letter case and a final dot make no difference.
    #[must_use]
    pub fn find(&self, host_header: &str) -> Option<Target> {
        let name = host_name(host_header);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.find_lower(&name.to_ascii_lowercase())
        } else {
            self.find_lower(name)
        }
    }

    fn find_lower(&self, name: &str) -> Option<Target> {
        if let Some(target) = self.exact.get(name) {
            return Some(*target);
        }
        let (first, parent) = name.split_once('.')?;
        self.below.get(parent).filter(|_| !first.is_empty()).copied()
    }
}

/// The name in a `Host` header: without port, brackets of an IPv6 address kept, without a
/// final dot.
#[must_use]
pub fn host_name(host_header: &str) -> &str {
    let host = host_header.trim();
    let name = match host.rfind(']') {
        Some(end) if host.starts_with('[') => &host[..=end],
        _ => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    fn app(name: &str, hosts: &[&str]) -> AppRoute {
        AppRoute {
            id: Uuid::from_u128(1),
            name: name.to_owned(),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            state: RouteState::Serving,
            maintenance: false,
            error_page_url: None,
            maintenance_page_url: None,
            backends: vec![],
            rules: Rules::default(),
        }
    }

    fn index() -> HostIndex {
        HostIndex::new(&RouteTable {
            apps: vec![
                app("zero", &["zero.localhost", "example.com", "*.example.com"]),
                app("one", &["one.localhost", "www.example.com", "*.deep.example.com"]),
                app("thief", &["api.localhost", "zero.localhost"]),
            ],
            control: Some(ControlRoute {
                hosts: vec!["api.localhost".to_owned()],
                addr: ([127, 0, 0, 1], 5000).into(),
            }),
            ..RouteTable::default()
        })
    }

    #[test]
    fn exact_names_come_before_wildcards_which_stand_for_one_part() {
        let index = index();
        for (host, target) in [
            ("zero.localhost", Some(Target::App(0))),
            ("one.localhost", Some(Target::App(1))),
            ("example.com", Some(Target::App(0))),
            ("www.example.com", Some(Target::App(1))),
            ("a.example.com", Some(Target::App(0))),
            (".example.com", None),
            ("a.b.example.com", None),
            ("a.deep.example.com", Some(Target::App(1))),
            ("a.b.deep.example.com", None),
            ("deep.example.com", Some(Target::App(0))),
            ("api.localhost", Some(Target::Control)),
            ("localhost", None),
            ("com", None),
            ("", None),
            ("notexample.com", None),
        ] {
            assert_eq!(index.find(host), target, "{host}");
        }
    }

    #[test]
    fn port_case_and_final_dot_make_no_difference() {
        let index = index();
        for host in
            ["ZERO.LocalHost", "zero.localhost:8080", "zero.localhost.", "Zero.localhost.:80", " zero.localhost"]
        {
            assert_eq!(index.find(host), Some(Target::App(0)), "{host}");
        }
        assert_eq!(host_name("[::1]:80"), "[::1]");
        assert_eq!(host_name("[::1]"), "[::1]");
        assert_eq!(host_name("[broken:80"), "[broken");
    }

    #[test]
    fn a_table_without_the_optional_fields_is_read() {
        let table: RouteTable = serde_json::from_str(
            r#"{"generation": 3, "base_domain": "localhost", "apps": [
                {"id": "00000000-0000-0000-0000-000000000001", "name": "a", "hosts": ["a.localhost"], "state": "no_web"}]}"#,
        )
        .unwrap();
        assert_eq!(table.apps[0].state, RouteState::NoWeb);
        assert_eq!(table.instance, Uuid::nil());
        let again: RouteTable = serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();
        assert_eq!(again, table);
    }
}
