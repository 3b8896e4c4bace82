//! The table that requests are routed by: read without a lock, replaced as a whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::header::HeaderValue;
use paas_domain::route::{AppRoute, Backend, ControlRoute, HostIndex, RouteTable, Target};
use tokio::sync::watch;
use uuid::Uuid;

use crate::activity::Activity;
use crate::affinity;
use crate::certificates::AppCertificates;
use crate::challenge::Challenges;
use crate::https_policy;
use crate::load::Load;
use crate::settings::{AppLimits, Limits};
use crate::stats::AppStats;

/// A table made ready for requests.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) instance: Uuid,
    pub(crate) generation: u64,
    /// False until a first table came from the disk or from the daemon.
    pub(crate) known: bool,
    index: HostIndex,
    apps: Vec<Arc<App>>,
    by_id: HashMap<Uuid, usize>,
    control: Option<ControlRoute>,
    pub(crate) certificates: AppCertificates,
    pub(crate) challenges: Challenges,
}

/// An app and its dynos.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) route: AppRoute,
    pub(crate) backends: Vec<Arc<Upstream>>,
    pub(crate) limits: AppLimits,
    /// When it was last asked for.
    pub(crate) activity: Arc<Activity>,
    /// What it has going on.
    pub(crate) load: Arc<Load>,
    /// What was counted of it.
    pub(crate) stats: Arc<AppStats>,
    /// What its responses say of HTTPS.
    pub(crate) hsts: Option<HeaderValue>,
}

impl App {
    /// Requests that it may have going on at once (H11); those that wait for its first dyno may
    /// be as many as for one.
    pub(crate) fn most_requests(&self) -> u32 {
        let dynos = u32::try_from(self.backends.len()).unwrap_or(u32::MAX).max(1);
        self.limits.concurrency.saturating_mul(dynos)
    }
}

/// A dyno as all workers see it. It stays the same object from table to table.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) backend: Backend,
    /// Shared with every request's record.
    pub(crate) dyno: Arc<str>,
    pub(crate) app: Uuid,
    /// Its value in the cookie of session affinity.
    pub(crate) token: String,
    activity: Arc<Activity>,
    in_flight: AtomicU32,
    quarantined_until: AtomicU64,
}

impl Upstream {
    fn new(backend: &Backend, app: Uuid, activity: Arc<Activity>) -> Upstream {
        Upstream {
            backend: backend.clone(),
            dyno: backend.dyno.as_str().into(),
            app,
            token: affinity::token(app, backend.id),
            activity,
            in_flight: AtomicU32::new(0),
            quarantined_until: AtomicU64::new(0),
        }
    }

    /// Requests and tunnels that are on this dyno now.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn quarantined(&self, clock: Instant) -> bool {
        self.quarantined_until(clock).is_some()
    }

    /// Until when it is left alone, if it is: the more, the later.
    pub(crate) fn quarantined_until(&self, clock: Instant) -> Option<u64> {
        let until = self.quarantined_until.load(Ordering::Relaxed);
        (until != 0 && micros(clock.elapsed()) < until).then_some(until)
    }

    /// Leaves the dyno alone for a while. `clock` is when the router started.
    pub(crate) fn quarantine(&self, clock: Instant, time: Duration) {
        self.quarantined_until.store(micros(clock.elapsed() + time), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Counts a request on a dyno for as long as it lives.
#[derive(Debug)]
pub(crate) struct OnDyno(pub(crate) Arc<Upstream>);

impl OnDyno {
    pub(crate) fn new(upstream: Arc<Upstream>) -> OnDyno {
        upstream.in_flight.fetch_add(1, Ordering::Relaxed);
        upstream.activity.touch();
        OnDyno(upstream)
    }
}

impl Drop for OnDyno {
    fn drop(&mut self) {
        self.0.activity.touch();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a host name leads.
#[derive(Debug)]
pub(crate) enum Destination {
    App(Arc<App>),
    Control(ControlRoute),
}

impl Snapshot {
    fn new(table: RouteTable, limits: &Limits, known: bool, kept: &mut Kept, before: Option<&Snapshot>) -> Snapshot {
        let (no_certificates, no_challenges) = (AppCertificates::default(), Challenges::default());
        let known_certificates = before.map_or(&no_certificates, |before| &before.certificates);
        let certificates = AppCertificates::new(&table.certificates, known_certificates);
        let index = HostIndex::new(&table);
        let known_challenges = before.map_or(&no_challenges, |before| &before.challenges);
        let challenges = Challenges::new(table.challenges, known_challenges);
        let mut apps = Vec::with_capacity(table.apps.len());
        let mut by_id = HashMap::with_capacity(table.apps.len());
        for route in table.apps {
            let known = before.and_then(|before| before.app(route.id));
            let activity = known.map_or_else(|| Arc::new(Activity::new()), |app| Arc::clone(&app.activity));
            let backends = route
                .backends
                .iter()
                .map(|backend| {
                    let before = kept.upstreams.get(&(route.id, backend.id)).and_then(Weak::upgrade);
                    before.filter(|before| before.backend == *backend).unwrap_or_else(|| {
                        let new = Arc::new(Upstream::new(backend, route.id, Arc::clone(&activity)));
                        kept.upstreams.insert((route.id, backend.id), Arc::downgrade(&new));
                        new
                    })
                })
                .collect();
            by_id.insert(route.id, apps.len());
            let limits = AppLimits::new(limits, &route.rules);
            let load = kept.loads.get(&route.id).and_then(Weak::upgrade).unwrap_or_else(|| {
                let new = Arc::default();
                kept.loads.insert(route.id, Arc::downgrade(&new));
                new
            });
            let stats = kept.stats.get(&route.id).and_then(Weak::upgrade).unwrap_or_else(|| {
                let new = Arc::default();
                kept.stats.insert(route.id, Arc::downgrade(&new));
                new
            });
            let hsts = route.rules.hsts.as_ref().and_then(https_policy::hsts);
            apps.push(Arc::new(App { route, backends, limits, activity, load, stats, hsts }));
        }
        Snapshot {
            instance: table.instance,
            generation: table.generation,
            known,
            index,
            apps,
            by_id,
            control: table.control,
            certificates,
            challenges,
        }
    }

    /// Who answers for a `Host` header.
    pub(crate) fn find(&self, host: &str) -> Option<Destination> {
        match self.index.find(host)? {
            Target::App(at) => self.apps.get(at).cloned().map(Destination::App),
            Target::Control => self.control.clone().map(Destination::Control),
        }
    }

    /// The app as it is in this table.
    pub(crate) fn app(&self, id: Uuid) -> Option<Arc<App>> {
        self.by_id.get(&id).and_then(|&at| self.apps.get(at)).cloned()
    }

    /// Whether this very dyno takes new requests.
    pub(crate) fn has(&self, upstream: &Upstream) -> bool {
        self.by_id
            .get(&upstream.app)
            .and_then(|&at| self.apps.get(at))
            .is_some_and(|app| app.backends.iter().any(|other| other.backend == upstream.backend))
    }

    /// Which table it is: its database, and its generation.
    pub(crate) fn identity(&self) -> (Uuid, u64) {
        (self.instance, self.generation)
    }

    pub(crate) fn apps(&self) -> &[Arc<App>] {
        &self.apps
    }

    /// Every dyno that takes requests.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.apps.iter().flat_map(|app| &app.backends).map(|upstream| &upstream.backend)
    }
}

/// What stays the same object from table to table, for as long as somebody has it.
#[derive(Debug, Default)]
struct Kept {
    /// By app and dyno.
    upstreams: HashMap<(Uuid, Uuid), Weak<Upstream>>,
    /// By app.
    loads: HashMap<Uuid, Weak<Load>>,
    /// By app.
    stats: HashMap<Uuid, Weak<AppStats>>,
}

/// The current table, and word of its changes.
#[derive(Debug)]
pub(crate) struct Routes {
    current: ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
    kept: Mutex<Kept>,
    limits: Limits,
}

impl Routes {
    pub(crate) fn new(table: Option<RouteTable>, limits: Limits) -> Routes {
        let mut kept = Kept::default();
        let known = table.is_some();
        let snapshot = Snapshot::new(table.unwrap_or_default(), &limits, known, &mut kept, None);
        Routes {
            current: ArcSwap::from_pointee(snapshot),
            changed: watch::Sender::new(0),
            kept: Mutex::new(kept),
            limits,
        }
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// For looks that last longer than a moment.
    pub(crate) fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the table.
    pub(crate) fn publish(&self, table: RouteTable) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = Snapshot::new(table, &self.limits, true, &mut kept, Some(&self.current.load()));
        self.current.store(Arc::new(snapshot));
        kept.upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        kept.loads.retain(|_, load| load.strong_count() > 0);
        kept.stats.retain(|_, stats| stats.strong_count() > 0);
        drop(kept);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells of every later table. Look at the table after asking for this, not before.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Every dyno that is in the table or still busy.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.upstreams.values().filter_map(Weak::upgrade).collect()
    }
}
