//! The table that requests are routed by: read without a lock, replaced as a whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use paas_domain::route::{AppRoute, Backend, ControlRoute, HostIndex, RouteTable, Target};
use tokio::sync::watch;
use uuid::Uuid;

use crate::activity::Activity;
use crate::certificates::AppCertificates;
use crate::settings::{AppLimits, Limits};

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
}

/// An app and its dynos.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) route: AppRoute,
    pub(crate) backends: Vec<Arc<Upstream>>,
    pub(crate) limits: AppLimits,
    pub(crate) activity: Arc<Activity>,
}

/// A dyno as all workers see it. It stays the same object from table to table.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) backend: Backend,
    /// Shared with every request's record.
    pub(crate) dyno: Arc<str>,
    pub(crate) app: Uuid,
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
        let until = self.quarantined_until.load(Ordering::Relaxed);
        until != 0 && micros(clock.elapsed()) < until
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
    fn new(
        table: RouteTable,
        limits: &Limits,
        known: bool,
        upstreams: &mut HashMap<(Uuid, Uuid), Weak<Upstream>>,
        before: Option<&Snapshot>,
    ) -> Snapshot {
        let no_certificates = AppCertificates::default();
        let known_certificates = before.map_or(&no_certificates, |before| &before.certificates);
        let certificates = AppCertificates::new(&table.certificates, known_certificates);
        let index = HostIndex::new(&table);
        let mut apps = Vec::with_capacity(table.apps.len());
        let mut by_id = HashMap::with_capacity(table.apps.len());
        for route in table.apps {
            let known = before.and_then(|before| before.app(route.id));
            let activity = known.map_or_else(|| Arc::new(Activity::new()), |app| Arc::clone(&app.activity));
            let backends = route
                .backends
                .iter()
                .map(|backend| {
                    let before = upstreams.get(&(route.id, backend.id)).and_then(Weak::upgrade);
                    before.filter(|before| before.backend == *backend).unwrap_or_else(|| {
                        let new = Arc::new(Upstream::new(backend, route.id, Arc::clone(&activity)));
                        upstreams.insert((route.id, backend.id), Arc::downgrade(&new));
                        new
                    })
                })
                .collect();
            by_id.insert(route.id, apps.len());
            let limits = AppLimits::new(limits, &route.rules);
            apps.push(Arc::new(App { route, backends, limits, activity }));
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

    pub(crate) fn apps(&self) -> usize {
        self.apps.len()
    }

    /// Every dyno that takes requests.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.apps.iter().flat_map(|app| &app.backends).map(|upstream| &upstream.backend)
    }
}

/// The current table, and word of its changes.
#[derive(Debug)]
pub(crate) struct Routes {
    current: ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
    upstreams: Mutex<HashMap<(Uuid, Uuid), Weak<Upstream>>>,
    limits: Limits,
}

impl Routes {
    pub(crate) fn new(table: Option<RouteTable>, limits: Limits) -> Routes {
        let mut upstreams = HashMap::new();
        let known = table.is_some();
        let snapshot = Snapshot::new(table.unwrap_or_default(), &limits, known, &mut upstreams, None);
        Routes {
            current: ArcSwap::from_pointee(snapshot),
            changed: watch::Sender::new(0),
            upstreams: Mutex::new(upstreams),
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
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = Snapshot::new(table, &self.limits, true, &mut upstreams, Some(&self.current.load()));
        self.current.store(Arc::new(snapshot));
        upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        drop(upstreams);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells of every later table. Look at the table after asking for this, not before.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Every dyno that is in the table or still busy.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.values().filter_map(Weak::upgrade).collect()
    }
}
