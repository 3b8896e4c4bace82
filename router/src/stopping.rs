//! What a worker tells its connections while they wait: that it is to end, or that one has to
//! make room for others. Cheaper than a channel for each, since ten thousand of them only
//! ever wait for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::ending::Ending;

/// A connection that has never asked for anything gets this long to do so once the worker is
/// to end: its request may be on the way.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// Whether a worker is to end, and who wants to hear of it.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    set: Cell<bool>,
    places: RefCell<Slab<Place>>,
}

#[derive(Debug)]
struct Place {
    waker: Option<Waker>,
    use_of_it: Use,
}

/// What a connection is good for just now.
#[derive(Debug, Clone, Copy)]
enum Use {
    Request,
    /// Nothing, since then.
    Nothing(Instant),
    /// Nothing, and it was told to go.
    SentAway,
}

impl Stopping {
    pub(crate) fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Tells everybody.
    pub(crate) fn set(&self) {
        self.set.set(true);
        let mut places = self.places.borrow_mut();
        let wakers: Vec<Waker> = places.iter_mut().filter_map(|(_, place)| place.waker.take()).collect();
        drop(places);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sends the connections away that have been unused for longest, and at least since `since`,
    /// until `count` are on their way.
    pub(crate) fn make_room(&self, count: usize, since: Instant) {
        let mut places = self.places.borrow_mut();
        let (mut unused, mut going) = (Vec::new(), 0);
        for (at, place) in places.iter() {
            match place.use_of_it {
                Use::Request => {}
                Use::Nothing(unused_since) if unused_since <= since => unused.push((unused_since, at)),
                Use::Nothing(_) => {}
                Use::SentAway => going += 1,
            }
        }
        let count = count.saturating_sub(going);
        if count < unused.len() {
            unused.select_nth_unstable(count);
            unused.truncate(count);
        }
        let mut wakers = Vec::with_capacity(unused.len());
        for (_, at) in unused {
            if let Some(place) = places.get_mut(at) {
                place.use_of_it = Use::SentAway;
                wakers.extend(place.waker.clone());
            }
        }
        drop(places);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// What a connection hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    GoOn,
    /// It is unused, and others need its place.
    MakeRoom,
    /// The worker is to end.
    End,
}

/// A connection's place among those who want to hear.
pub(crate) struct Ear<'s> {
    stopping: &'s Stopping,
    at: usize,
    registered: bool,
}

impl<'s> Ear<'s> {
    pub(crate) fn new(stopping: &'s Stopping) -> Ear<'s> {
        let place = Place { waker: None, use_of_it: Use::Request };
        Ear { stopping, at: stopping.places.borrow_mut().insert(place), registered: false }
    }

    /// What there is to hear for a connection that is `unused` since then, or in use; when there
    /// is something new, this task is woken.
    pub(crate) fn hears(&mut self, cx: &mut Context<'_>, unused: Option<Instant>) -> Word {
        if self.stopping.is_set() {
            return Word::End;
        }
        let mut places = self.stopping.places.borrow_mut();
        let Some(place) = places.get_mut(self.at) else { return Word::GoOn };
        if !self.registered {
            // A connection stays with its task.
            self.registered = true;
            place.waker = Some(cx.waker().clone());
        }
        place.use_of_it = match (unused, place.use_of_it) {
            (Some(_), Use::SentAway) => return Word::MakeRoom,
            (Some(since), Use::Request | Use::Nothing(_)) => Use::Nothing(since),
            (None, _) => Use::Request,
        };
        Word::GoOn
    }

    /// The connection has something to do.
    fn is_used(&mut self) {
        if let Some(place) = self.stopping.places.borrow_mut().get_mut(self.at) {
            place.use_of_it = Use::Request;
        }
    }

    /// Awaits what a client without a request sends, unless its connection is to go before: at
    /// `deadline`, to make room, or at the end. It is unused `since` then; `served`: it has had a request.
    pub(crate) async fn unless_it_goes<T>(
        &mut self,
        ending: &Ending,
        alarm: &mut Alarm,
        since: Instant,
        mut deadline: Instant,
        served: bool,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let mut waited = false;
        let mut told = false;
        let came = poll_fn(|cx| {
            if let Poll::Ready(came) = poll(cx) {
                return Poll::Ready(Some(came));
            }
            waited = true;
            match self.hears(cx, Some(since)) {
                Word::GoOn => {}
                Word::MakeRoom => return Poll::Ready(None),
                // Where another router has taken over there is no haste: a client that sends just
                // now is answered.
                Word::End if told || ending.handed_over() => {}
                Word::End if served => return Poll::Ready(None),
                Word::End => {
                    told = true;
                    deadline = deadline.min(Instant::now() + LAST_CHANCE);
                }
            }
            alarm.poll(cx, deadline).map(|()| None)
        })
        .await;
        if waited {
            self.is_used();
        }
        came
    }
}

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        drop(self.stopping.places.borrow_mut().try_remove(self.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go_first_and_no_more_than_have_to() {
        let stopping = Stopping::default();
        let mut ears: Vec<Ear<'_>> = (0..5).map(|_| Ear::new(&stopping)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let unused = [Some(at(3)), Some(at(1)), None, Some(at(2)), Some(at(9))];
        let mut words =
            || -> Vec<Word> { ears.iter_mut().zip(unused).map(|(ear, unused)| ear.hears(&mut cx, unused)).collect() };
        let (go_on, make_room) = (Word::GoOn, Word::MakeRoom);
        assert_eq!(words(), [go_on; 5]);
        stopping.make_room(1, at(5));
        assert_eq!(words(), [go_on, make_room, go_on, go_on, go_on]);
        // It is on its way: not another for the same place.
        stopping.make_room(1, at(5));
        assert_eq!(words(), [go_on, make_room, go_on, go_on, go_on]);
        stopping.make_room(100, at(5));
        assert_eq!(words(), [make_room, make_room, go_on, make_room, go_on], "who is used, or was just now, stays");
        // Who has a request after all goes on, and is asked again when it has none.
        assert_eq!(ears[0].hears(&mut cx, None), Word::GoOn);
        assert_eq!(ears[0].hears(&mut cx, unused[0]), Word::GoOn);
        drop(ears.split_off(1));
        stopping.make_room(1, at(5));
        assert_eq!(ears[0].hears(&mut cx, unused[0]), Word::MakeRoom);
        stopping.set();
        assert_eq!(ears[0].hears(&mut cx, unused[0]), Word::End);
    }
}
