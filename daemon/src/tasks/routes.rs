//! The router's table: made of the rows, handed to the router when it asks for a newer one.
//!
//! Which dynos take requests is recorded with the rows, so a daemon that starts anew has
//! the same table at once. The router asks over the control socket with the generation it
//! has, which tells the reconciler that it follows it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use paas_domain::route::{
    AppRoute, Backend, Certificate, Challenge, ChallengeCertificate, ControlRoute, RouteState, RouteTable, Rules,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    error::Result,
    ops::{self, Platform, config, features, spec},
    store::{self, acme, apps, domains, dynos, releases, sni_endpoints},
};

/// A router that has not asked for so long is gone: one that waits asks again after 25 s.
const GONE: std::time::Duration = std::time::Duration::from_secs(60);

/// After a table that could not be made.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// The table and who follows it; cheap to clone.
#[derive(Clone)]
pub struct Routes {
    inner: Arc<Inner>,
}

struct Inner {
    p: Platform,
    table: watch::Sender<Arc<RouteTable>>,
    acknowledged: watch::Sender<u64>,
    /// Apps whose last change the router has not followed yet, with its generation; none
    /// while the table could not be made anew.
    waiting: Mutex<HashMap<Uuid, Option<u64>>>,
    /// A table could not be made: try again soon.
    again: tokio::sync::Notify,
    /// Error and maintenance pages by app, with the release that they are of.
    pages: Mutex<HashMap<Uuid, (Uuid, Pages)>>,
    /// When a router last asked, or when one began to be waited for.
    asked: Mutex<Option<std::time::Instant>>,
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pages {
    error: Option<String>,
    maintenance: Option<String>,
}

impl Routes {
    /// The table as the rows tell it.
    pub async fn new(p: Platform) -> Result<Self> {
        // A router that goes on by the table of the daemon before this one may know dynos
        // that are to be stopped: it is waited for. With no such dyno there is nothing to wait
        // for, and with no table that a router has kept, nobody.
        let kept = p.cx.path("router/table.json").exists();
        let rows = dynos::all(&mut p.db.read().await?).await?;
        let known: Vec<Uuid> =
            rows.iter().filter(|row| row.routed || row.unrouted_at.is_some()).map(|row| row.app_id).collect();
        let this = Self {
            inner: Arc::new(Inner {
                p,
                table: watch::channel(Arc::new(RouteTable::default())).0,
                acknowledged: watch::channel(0).0,
                waiting: Mutex::default(),
                again: tokio::sync::Notify::new(),
                pages: Mutex::default(),
                asked: Mutex::new((kept && !known.is_empty()).then(std::time::Instant::now)),
                making: tokio::sync::Mutex::default(),
            }),
        };
        let first = this.refresh().await?;
        this.waiting().extend(known.into_iter().map(|app_id| (app_id, Some(first))));
        Ok(this)
    }

    /// Makes the table anew; a generation passes only when something is different.
    pub async fn refresh(&self) -> Result<u64> {
        let _one_at_a_time = self.inner.making.lock().await;
        // What these have changed is in the rows already.
        let unmade: Vec<Uuid> =
            self.waiting().iter().filter(|(_, generation)| generation.is_none()).map(|(id, _)| *id).collect();
        let mut table = self.make().await?;
        let current = self.inner.table.borrow().clone();
        table.generation = current.generation;
        let mut generation = current.generation;
        if table != *current {
            generation = clock(&self.inner.p).max(current.generation + 1);
            table.generation = generation;
            self.inner.table.send_replace(Arc::new(table));
        }
        let mut waiting = self.waiting();
        for app_id in unmade {
            waiting.insert(app_id, Some(generation));
        }
        Ok(generation)
    }

    /// A router of this database has a table with a higher number than ours: the clock went
    /// back since. Ours is numbered anew, so that the router takes it.
    pub async fn overtake(&self, have: u64) {
        let _one_at_a_time = self.inner.making.lock().await;
        self.inner.table.send_if_modified(|table| {
            let behind = table.generation < have;
            if behind {
                tracing::warn!(
                    router.generation = have,
                    table.generation,
                    "the clock has gone back; the router's table is numbered anew"
                );
                *table = Arc::new(RouteTable { generation: have + 1, ..table.as_ref().clone() });
            }
            behind
        });
    }

    /// An app's dynos or state have changed: makes the table anew and waits for nobody.
    pub async fn changed(&self, app_id: Uuid) -> Result<()> {
        // Said first: should the table not be made, the router does not follow the change yet.
        self.waiting().insert(app_id, None);
        self.refresh().await.inspect_err(|_| self.inner.again.notify_one())?;
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Option<u64>>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the router follows the last change of an app. True when none is known, and
    /// when no router has asked for so long that there is none to wait for.
    pub fn acknowledged(&self, app_id: Uuid) -> bool {
        let asked = *self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_none_or(|at| at.elapsed() > GONE) {
            return true;
        }
        let has = *self.inner.acknowledged.borrow();
        self.waiting().get(&app_id).is_none_or(|wanted| wanted.is_some_and(|generation| generation <= has))
    }

    /// Tells when the router follows a newer table.
    pub fn acknowledgements(&self) -> watch::Receiver<u64> {
        self.inner.acknowledged.subscribe()
    }

    /// Makes the table anew and waits until the router follows it; false when it doesn't within
    /// `time`.
    pub async fn followed(&self, time: std::time::Duration) -> Result<bool> {
        let mut acknowledged = self.acknowledgements();
        let generation = self.refresh().await?;
        Ok(tokio::time::timeout(time, acknowledged.wait_for(|has| *has >= generation))
            .await
            .is_ok_and(|has| has.is_ok()))
    }

    /// The apps that waited for what the router follows now.
    pub fn newly_acknowledged(&self) -> Vec<Uuid> {
        let has = *self.inner.acknowledged.borrow();
        let mut waiting = self.waiting();
        let follows = |generation: &Option<u64>| generation.is_some_and(|generation| generation <= has);
        let done: Vec<Uuid> = waiting.iter().filter(|(_, wanted)| follows(wanted)).map(|(id, _)| *id).collect();
        for id in &done {
            waiting.remove(id);
        }
        done
    }

    /// The router has this generation. One that is higher than ours is not of our making.
    pub fn acknowledge(&self, generation: u64) {
        let ours = self.inner.table.borrow().generation;
        let generation = if generation <= ours { generation } else { 0 };
        *self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::time::Instant::now());
        self.inner.acknowledged.send_if_modified(|has| {
            let newer = generation > *has;
            if newer {
                *has = generation;
            }
            newer
        });
    }

    /// What it is made from.
    pub fn platform(&self) -> &Platform {
        &self.inner.p
    }

    /// The table, to be read or waited on.
    pub fn table(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.inner.table.subscribe()
    }

    async fn make(&self) -> Result<RouteTable> {
        let p = &self.inner.p;
        let settings = p.cx.config();
        let mut c = p.db.read().await?;
        let all = apps::list(&mut c).await?;
        let mut hosts: HashMap<Uuid, Vec<String>> = HashMap::new();
        let mut served: HashMap<Uuid, Vec<String>> = HashMap::new();
        for domain in domains::all(&mut c).await? {
            if let Some(endpoint) = domain.sni_endpoint_id {
                served.entry(endpoint).or_default().push(domain.hostname.clone());
            }
            hosts.entry(domain.app_id).or_default().push(domain.hostname);
        }
        let certificates = self.certificates(&mut c, served).await?;
        let challenges = acme::challenges(&mut c).await?.into_iter().map(challenge).collect();
        let mut backends: HashMap<Uuid, Vec<Backend>> = HashMap::new();
        for dyno in dynos::routed(&mut c).await? {
            let Some(ip) = dyno.address.as_deref().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
            let addr = SocketAddr::new(ip, spec::port(dyno.id));
            backends.entry(dyno.app_id).or_default().push(Backend { dyno: dyno.name(), id: dyno.id, addr });
        }
        let current: HashMap<Uuid, Uuid> = releases::all_current(&mut c).await?.into_iter().collect();
        let mut rules = self.rules(&mut c).await?;
        let mut routes = Vec::with_capacity(all.len());
        for app in all.into_iter().filter(|app| !app.deleting) {
            let pages = match current.get(&app.id) {
                Some(release) => self.pages(&mut c, app.id, *release).await?,
                None => Pages::default(),
            };
            let mut names = vec![settings.app_host(&app.name)];
            names.append(hosts.entry(app.id).or_default());
            let backends = backends.remove(&app.id).unwrap_or_default();
            routes.push(AppRoute {
                id: app.id,
                hosts: names,
                state: match app.route_state.as_deref() {
                    Some("no-web") => RouteState::NoWeb,
                    Some("crashed") => RouteState::Crashed,
                    Some("idle") => RouteState::Idle,
                    Some("booting") => RouteState::Booting,
                    Some("serving") if backends.is_empty() => RouteState::Booting,
                    Some("serving") => RouteState::Serving,
                    Some(_) | None => RouteState::Blank,
                },
                maintenance: app.maintenance,
                error_page_url: pages.error,
                maintenance_page_url: pages.maintenance,
                backends,
                rules: rules.remove(&app.id).unwrap_or_default(),
                name: app.name,
            });
        }
        let base = &settings.base_domain;
        Ok(RouteTable {
            instance: p.cx.instance(),
            generation: 0,
            base_domain: base.clone(),
            apps: routes,
            control: Some(ControlRoute {
                hosts: vec![format!("api.{base}"), format!("git.{base}")],
                addr: reachable(settings.api_listen),
            }),
            certificates,
            challenges,
        })
    }

    /// The certificates that serve some domain; `served` has the names by certificate.
    async fn certificates(
        &self,
        c: &mut crate::store::Conn,
        mut served: HashMap<Uuid, Vec<String>>,
    ) -> Result<Vec<Certificate>> {
        let mut certificates = Vec::new();
        if served.is_empty() {
            return Ok(certificates);
        }
        for row in sni_endpoints::all(c).await? {
            let Some(hosts) = served.remove(&row.id) else { continue };
            let key = ops::sni_endpoints::key(&self.inner.p, &row)?;
            certificates.push(Certificate { id: row.certificate_id, hosts, chain: row.certificate_chain, key });
        }
        Ok(certificates)
    }

    /// How apps are treated that are not as all the others.
    async fn rules(&self, c: &mut store::Conn) -> Result<HashMap<Uuid, Rules>> {
        let rows = store::routing::all(c).await?;
        let mut rules: HashMap<Uuid, Rules> = rows.iter().map(|row| (row.app_id, ops::routing::rules(row))).collect();
        for row in store::features::of_name(c, features::SESSION_AFFINITY).await? {
            rules.entry(row.app_id).or_default().affinity = row.enabled;
        }
        for row in store::features::of_name(c, features::HTTP2_TO_DYNOS).await? {
            rules.entry(row.app_id).or_default().http2 = row.enabled;
        }
        Ok(rules)
    }

    /// What an app's current release says of pages; read once.
    async fn pages(&self, c: &mut crate::store::Conn, app_id: Uuid, release_id: Uuid) -> Result<Pages> {
        let known = self.inner.pages.lock().unwrap_or_else(PoisonError::into_inner).get(&app_id).cloned();
        if let Some((_, pages)) = known.filter(|(of, _)| *of == release_id) {
            return Ok(pages);
        }
        let mut pages = Pages::default();
        if let Some(release) = releases::by_id(c, release_id).await? {
            let vars = config::of_release(&self.inner.p, &release)?.merged();
            pages.error = vars.get("ERROR_PAGE_URL").cloned();
            pages.maintenance = vars.get("MAINTENANCE_PAGE_URL").cloned();
        }
        let mut all = self.inner.pages.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(app_id, (release_id, pages.clone()));
        Ok(pages)
    }
}

fn challenge(row: acme::Challenge) -> Challenge {
    let certificate = row.challenge_chain.zip(row.challenge_key);
    Challenge {
        host: row.hostname,
        token: row.challenge_token,
        answer: row.challenge_answer,
        certificate: certificate.map(|(chain, key)| ChallengeCertificate { chain, key }),
    }
}

/// An address that listens everywhere is reached on the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(IpAddr::from([127, 0, 0, 1]), listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), listen.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => listen,
    }
}

/// Microseconds since 1970: a generation that grows over restarts without being kept.
fn clock(p: &Platform) -> u64 {
    u64::try_from(p.cx.now().timestamp_micros()).unwrap_or_default()
}

/// Makes the table anew after changes that touch it, until `stop` becomes true.
pub async fn run(routes: Routes, mut stop: watch::Receiver<bool>) {
    let mut wakes = routes.inner.p.db.wakes();
    let mut period = tokio::time::interval(std::time::Duration::from_secs(30));
    let mut retry = false;
    loop {
        tokio::select! {
            wake = wakes.recv() => match wake {
                Ok(wake) => {
                    let touches = ["app.", "domain.", "config.", "release.", "sni-endpoint.", "routing.", "feature."];
                    if !touches.iter().any(|prefix| wake.kind.starts_with(prefix)) {
                        continue;
                    }
                }
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            },
            _ = period.tick() => {}
            () = routes.inner.again.notified() => {
                retry = true;
                continue;
            }
            () = tokio::time::sleep(AGAIN), if retry => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let made = routes.refresh().await;
        retry = made.is_err();
        if let Err(error) = made {
            tracing::warn!(%error, "the router's table could not be made anew; trying again");
        }
    }
}
