//! One process type of the formation: its slots are filled, and what is of an older release,
//! size or restart epoch makes way.
//!
//! **Stop-first**: the old dyno of a slot gets SIGTERM at once, and the slot is filled when it
//! has exited. **Start-first**: all new dynos are made beside the old ones. The rollout is
//! *settled* when every slot's new dyno is up; then (for web) the routes move, and a pass
//! later the old ones have left the routers' tables, are given [`super::Policy::drain`] for
//! their last requests, and get SIGTERM. Until then the old ones serve; should one of them
//! crash, it is restarted with its own release.

use super::look::{Dyno, State};
use super::pass::Pass;
use super::routes::Routes;
use super::{Create, DesiredRelease, DesiredType, DynoRow, ExitReason, Request, Step, StopReason, Strategy};

/// More dynos of one type than anybody is allowed, so that no number can exhaust the memory.
const MOST_DYNOS: u32 = 10_000;

/// A process type as it should be.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    release: DesiredRelease,
    typ: &'a DesiredType,
}

/// One place of the formation and who is in it.
#[derive(Default)]
struct Place<'d, 'a> {
    /// The dyno that is as desired.
    current: Option<&'d Dyno<'a>>,
    /// Start-first: the dyno that stays until the current one can take over.
    standing: Option<Standing<'d, 'a>>,
    /// Another dyno of the slot still runs.
    busy: bool,
}

#[derive(Clone, Copy)]
struct Standing<'d, 'a> {
    dyno: &'d Dyno<'a>,
    reason: StopReason,
    /// Replaced alone, by `ps:restart web.1`, and not with its whole generation.
    alone: bool,
}

/// Plans one type. `dynos` are its formation dynos, in order of their numbers.
pub(super) fn plan<'a>(
    pass: &mut Pass<'_>,
    desired: Option<&DesiredType>,
    dynos: &[Dyno<'a>],
    routes: &mut Routes<'a>,
) {
    let asleep = desired.is_some_and(|typ| is_asleep(pass, typ));
    let wanted = match (pass.desired.release, desired) {
        (Some(release), Some(typ)) if !pass.desired.destroyed && typ.quantity > 0 && !asleep => Wanted { release, typ },
        (_, desired) => {
            if asleep {
                routes.sleep();
            }
            for dyno in dynos.iter().rev() {
                retire(pass, dyno, reason_to_go(pass, desired));
            }
            return;
        }
    };
    let mut places: Vec<Place<'_, '_>> = Vec::new();
    let quantity = wanted.typ.quantity.min(MOST_DYNOS);
    places.resize_with(quantity as usize, Place::default);
    let mut leaving = Vec::new();
    for (at, dyno) in dynos.iter().enumerate() {
        let index = (dyno.row.number as usize).wrapping_sub(1);
        match places.get_mut(index) {
            Some(_) if has_successor(dyno, &dynos[at + 1..]) => {
                leaving.push((dyno, StopReason::Restart));
            }
            Some(place) => leaving.extend(place.take(pass, wanted, dyno)),
            None => leaving.push((dyno, StopReason::Scale)),
        }
    }
    // The highest numbers go first.
    for (dyno, reason) in leaving.into_iter().rev() {
        retire(pass, dyno, reason);
    }
    let settled = is_settled(wanted, &places);
    if !settled {
        say_if_stalled(pass, wanted, &places);
    }
    for (place, number) in places.iter().zip(1..) {
        fill(pass, wanted, place, number, routes);
        make_way(pass, wanted, place, settled, routes);
    }
    if wanted.typ.is_web {
        routes.want();
        choose(&places, settled, routes);
    }
}

impl<'d, 'a> Place<'d, 'a> {
    /// Lets a dyno of this slot take its part; gives back who has to leave for it, and why.
    fn take(&mut self, pass: &Pass<'_>, wanted: Wanted<'_>, dyno: &'d Dyno<'a>) -> Option<(&'d Dyno<'a>, StopReason)> {
        if matches!(dyno.state, State::Stopping | State::Ended) {
            self.busy |= dyno.state.is_running();
            return None;
        }
        let Some(reason) = reason_to_replace(wanted, dyno.row) else {
            let loser = match self.current {
                Some(other) if current_rank(other) > current_rank(dyno) => dyno,
                other => {
                    self.current = Some(dyno);
                    other?
                }
            };
            return Some((loser, StopReason::Scale));
        };
        let alone = reason == StopReason::Restart && dyno.row.epoch == wanted.typ.epoch;
        let this = Standing { dyno, reason, alone };
        if wanted.typ.strategy == Strategy::StopFirst || !may_stand(pass, this) {
            self.busy |= dyno.state.is_running();
            return Some((dyno, reason));
        }
        let loser = match self.standing {
            Some(other) if standing_rank(other) > standing_rank(this) => this,
            other => {
                self.standing = Some(this);
                other?
            }
        };
        Some((loser.dyno, loser.reason))
    }

    fn is_up(&self) -> bool {
        self.current.is_some_and(|dyno| dyno.state == State::Up)
    }
}

/// A crashed dyno whose slot was filled again already; only its removal was interrupted.
/// `later` are the dynos made after it.
fn has_successor(dyno: &Dyno<'_>, later: &[Dyno<'_>]) -> bool {
    let generation = |row: &DynoRow| (row.release_version, row.epoch);
    matches!(dyno.state, State::Waiting { .. })
        && (later.iter())
            .take_while(|other| other.row.number == dyno.row.number)
            .any(|other| generation(other.row) == generation(dyno.row) && other.row.size == dyno.row.size)
}

/// Why a type's dynos go when none is to be left.
fn reason_to_go(pass: &Pass<'_>, desired: Option<&DesiredType>) -> StopReason {
    if pass.desired.destroyed || pass.desired.release.is_none() {
        StopReason::Destroy
    } else if let Some(typ) = desired {
        if is_asleep(pass, typ) { StopReason::Idle } else { StopReason::Scale }
    } else {
        // The release no longer has the type.
        StopReason::Deploy
    }
}

/// Its dynos would be there if anybody had asked for the app of late.
const fn is_asleep(pass: &Pass<'_>, typ: &DesiredType) -> bool {
    pass.desired.idle && typ.is_web && typ.quantity > 0
}

/// Why a dyno isn't as desired; None: it is.
fn reason_to_replace(wanted: Wanted<'_>, row: &DynoRow) -> Option<StopReason> {
    let Wanted { release, typ } = wanted;
    match row.request {
        Some(Request::Stop) => return Some(StopReason::User),
        Some(Request::Restart | Request::MemoryVastly | Request::DiskFull) | None => {}
    }
    if !(release.compatible_from..=release.version).contains(&row.release_version) {
        Some(StopReason::Deploy)
    } else if row.size != typ.size {
        Some(StopReason::Resize)
    } else if row.epoch != typ.epoch || row.request == Some(Request::Restart) {
        Some(StopReason::Restart)
    } else {
        None
    }
}

/// Of two dynos in one slot that are both as desired, the one that is further stays.
fn current_rank(dyno: &Dyno<'_>) -> (u8, bool) {
    let rank = match dyno.state {
        State::Up => 3,
        State::Booting => 2,
        State::Unstarted => 1,
        State::Waiting { .. } | State::Stopping | State::Ended => 0,
    };
    (rank, dyno.row.routed)
}

/// Of two old dynos in one slot, the one that serves stays. The older generation is the one
/// that served: a newer one stands beside it only because it never came up.
fn standing_rank(standing: Standing<'_, '_>) -> impl Ord {
    let row = standing.dyno.row;
    let generation = (row.release_version, row.epoch, row.created_at);
    (row.routed, std::cmp::Reverse(generation))
}

/// May an old dyno stay until the new one is up?
fn may_stand(pass: &Pass<'_>, standing: Standing<'_, '_>) -> bool {
    match standing.dyno.state {
        State::Unstarted | State::Booting | State::Up => standing.reason != StopReason::User,
        // Of the same release only a fresh one is of use, of an older one this may be all
        // that works.
        State::Waiting { crashes, .. } => standing.reason == StopReason::Deploy && crashes < pass.policy.stalled_after,
        State::Stopping | State::Ended => false,
    }
}

/// Can the new dynos do without the old ones? Either all of them are up, or the routes have
/// moved already and one of them has fallen since.
fn is_settled(wanted: Wanted<'_>, places: &[Place<'_, '_>]) -> bool {
    let moved = |place: &Place<'_, '_>| place.is_up() && place.current.is_some_and(|dyno| dyno.row.routed);
    places.iter().all(Place::is_up) || (wanted.typ.is_web && places.iter().any(moved))
}

/// Fills a slot with a dyno that is as desired.
fn fill(pass: &mut Pass<'_>, wanted: Wanted<'_>, place: &Place<'_, '_>, number: u32, routes: &mut Routes<'_>) {
    let may_begin = wanted.typ.strategy == Strategy::StartFirst || !place.busy;
    match place.current {
        None => {
            if may_begin {
                create(pass, wanted, number, 0);
            }
            // Also while it waits for the old one's end: nobody is to be told that all has crashed.
            if wanted.typ.is_web {
                routes.expect();
            }
        }
        Some(dyno) => match dyno.state {
            State::Unstarted if may_begin => pass.begins.push(Step::Start { id: dyno.row.id }),
            State::Waiting { at, crashes, .. } if pass.due(at) => {
                if may_begin {
                    create(pass, wanted, number, crashes);
                    pass.removals.push(Step::Remove { id: dyno.row.id });
                }
                if wanted.typ.is_web {
                    routes.expect();
                }
            }
            State::Unstarted | State::Waiting { .. } | State::Booting | State::Up | State::Stopping | State::Ended => {}
        },
    }
}

/// The old dyno of a slot goes when the new ones can do without it; until then it is kept up.
fn make_way<'a>(
    pass: &mut Pass<'_>,
    wanted: Wanted<'_>,
    place: &Place<'_, 'a>,
    settled: bool,
    routes: &mut Routes<'a>,
) {
    let Some(standing) = place.standing else {
        return;
    };
    let dyno = standing.dyno;
    let done = if standing.alone { place.is_up() } else { settled };
    if done {
        retire(pass, dyno, standing.reason);
        return;
    }
    match dyno.state {
        State::Unstarted => pass.begins.push(Step::Start { id: dyno.row.id }),
        State::Waiting { at, crashes, .. } if pass.due(at) => {
            pass.begins.push(Step::Create(Create {
                slot: dyno.row.slot(),
                release_version: dyno.row.release_version,
                size: dyno.row.size.clone(),
                command: dyno.row.command.clone(),
                epoch: dyno.row.epoch,
                crashes,
            }));
            pass.removals.push(Step::Remove { id: dyno.row.id });
            if wanted.typ.is_web {
                routes.expect();
            }
        }
        State::Waiting { .. } | State::Booting | State::Up | State::Stopping | State::Ended => {}
    }
}

fn create(pass: &mut Pass<'_>, wanted: Wanted<'_>, number: u32, crashes: u32) {
    pass.begins.push(Step::Create(Create {
        slot: super::Slot { process_type: wanted.typ.process_type.clone(), number },
        release_version: wanted.release.version,
        size: wanted.typ.size.clone(),
        command: wanted.typ.command.clone(),
        epoch: wanted.typ.epoch,
        crashes,
    }));
}

/// Lets a dyno go: out of the routes first, then SIGTERM when its last requests had time to
/// end; at once when it gets none.
fn retire(pass: &mut Pass<'_>, dyno: &Dyno<'_>, reason: StopReason) {
    let id = dyno.row.id;
    match dyno.state {
        State::Unstarted | State::Waiting { .. } => pass.removals.push(Step::Remove { id }),
        State::Booting | State::Up => {
            if reason == StopReason::Destroy || has_drained(pass, dyno) {
                pass.ends.push(Step::Stop { id, reason });
            }
        }
        State::Stopping | State::Ended => {}
    }
}

/// No router sends it requests any more, and those that it had have ended or had time to.
fn has_drained(pass: &mut Pass<'_>, dyno: &Dyno<'_>) -> bool {
    let drain = if !pass.desired.routes_acknowledged {
        pass.policy.drain_unacknowledged
    } else if pass.desired.busy.contains(&dyno.row.id) {
        pass.policy.drain_busy
    } else {
        pass.policy.drain
    };
    match (dyno.row.routed, dyno.row.unrouted_at) {
        (true, _) => false,
        (false, None) => true,
        (false, Some(unrouted_at)) => pass.due(unrouted_at + drain),
    }
}

/// Tells, once per release, that the new dynos don't come up and the old ones go on.
fn say_if_stalled(pass: &mut Pass<'_>, wanted: Wanted<'_>, places: &[Place<'_, '_>]) {
    let already = wanted.release.stalled || pass.notices.iter().any(|step| matches!(step, Step::RolloutStalled { .. }));
    if already || places.iter().all(|place| place.standing.is_none()) {
        return;
    }
    let stuck = places.iter().find_map(|place| match place.current?.state {
        State::Waiting { crashes, exit, .. }
            if crashes >= pass.policy.stalled_after || exit == ExitReason::BootTimeout =>
        {
            Some(exit)
        }
        State::Waiting { .. } | State::Unstarted | State::Booting | State::Up | State::Stopping | State::Ended => None,
    });
    if let Some(why) = stuck {
        pass.notices.push(Step::RolloutStalled {
            process_type: wanted.typ.process_type.clone(),
            release: wanted.release.version,
            why,
        });
    }
}

/// Says which dynos get the requests: never two generations at once, and the old one as long
/// as the rollout isn't settled and it has somebody up.
fn choose<'a>(places: &[Place<'_, 'a>], settled: bool, routes: &mut Routes<'a>) {
    let is_up = |old: &Standing<'_, '_>| old.dyno.state == State::Up;
    let old_serve = !settled && (places.iter()).filter_map(|place| place.standing).any(|old| !old.alone && is_up(&old));
    for place in places {
        let standing = place.standing.filter(is_up);
        let chosen = if old_serve {
            standing.filter(|old| !old.alone).map(|old| old.dyno)
        } else {
            let current = place.current.filter(|dyno| dyno.state == State::Up);
            current.or(standing.filter(|old| old.alone).map(|old| old.dyno))
        };
        chosen.iter().for_each(|dyno| routes.choose(dyno));
        place.current.iter().for_each(|dyno| routes.note(dyno));
        place.standing.iter().for_each(|old| routes.note(old.dyno));
    }
}
