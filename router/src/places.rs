//! Places among the connections to dynos, of which there may be so many that the process never
//! runs out of files. Who finds none waits for its turn, and gets the place of the next
//! connection that ends, or of an unused one, which is closed for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

/// All places, for all workers.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) most: usize,
    queue: Mutex<Queue>,
    /// How many wait, for those who look without the lock.
    waiting: AtomicUsize,
    wanted: watch::Sender<()>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    next: u64,
    /// First come, first served.
    waiting: BTreeMap<u64, oneshot::Sender<Place>>,
}

/// A connection's place. It is given on when this is dropped; without anything in it, it has
/// been already.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Places>>);

/// A turn in the queue. It is over when this is dropped, and a place that has come with it is
/// the next one's.
#[derive(Debug)]
pub(crate) struct Turn {
    places: Arc<Places>,
    number: u64,
    place: oneshot::Receiver<Place>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Places {
        let most = most.max(1);
        Places {
            most,
            queue: Mutex::new(Queue { free: most, next: 0, waiting: BTreeMap::new() }),
            waiting: AtomicUsize::new(0),
            wanted: watch::Sender::new(()),
        }
    }

    /// A place, or a turn where there is none.
    pub(crate) fn take(self: &Arc<Places>) -> Result<Place, Turn> {
        let mut queue = self.lock();
        // As long as somebody waits, none is free.
        if queue.free > 0 {
            queue.free -= 1;
            return Ok(Place(Some(Arc::clone(self))));
        }
        let number = queue.next;
        queue.next += 1;
        let (give, place) = oneshot::channel();
        queue.waiting.insert(number, give);
        self.count(&queue);
        Err(Turn { places: Arc::clone(self), number, place })
    }

    /// Whether somebody waits.
    pub(crate) fn are_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Asks every worker for what it has unused.
    pub(crate) fn call(&self) {
        self.wanted.send_replace(());
    }

    /// Hears of every later call.
    pub(crate) fn calls(&self) -> watch::Receiver<()> {
        self.wanted.subscribe()
    }

    /// Gives a place to the first that waits; gives it back where nobody does.
    pub(crate) fn pass_on(&self, place: Place) -> Option<Place> {
        let mut queue = self.lock();
        let place = queue.serve(place);
        self.count(&queue);
        place
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, queue: &Queue) {
        self.waiting.store(queue.waiting.len(), Ordering::Relaxed);
    }
}

impl Queue {
    fn serve(&mut self, mut place: Place) -> Option<Place> {
        while let Some((_, first)) = self.waiting.pop_first() {
            match first.send(place) {
                Ok(()) => return None,
                // Just about to leave.
                Err(back) => place = back,
            }
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(places) = self.0.take() else { return };
        let mut queue = places.lock();
        if let Some(mut place) = queue.serve(Place(Some(Arc::clone(&places)))) {
            place.0 = None;
            queue.free += 1;
        }
        places.count(&queue);
    }
}

impl Turn {
    /// The place, when it is there.
    pub(crate) async fn place(mut self) -> Option<Place> {
        (&mut self.place).await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.places.lock();
        queue.waiting.remove(&self.number);
        self.places.count(&queue);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Whether the turn has come.
    fn has_come(turn: &mut Turn) -> bool {
        !turn.place.is_empty()
    }

    fn state(places: &Places) -> (usize, usize) {
        let queue = places.lock();
        assert_eq!(queue.waiting.len(), places.waiting.load(Ordering::Relaxed));
        (queue.free, queue.waiting.len())
    }

    #[test]
    fn there_are_so_many_and_who_waits_is_served_in_turn() {
        let places = Arc::new(Places::new(2));
        let (one, two) = (places.take().unwrap(), places.take().unwrap());
        let (mut first, mut second) = (places.take().unwrap_err(), places.take().unwrap_err());
        assert!(places.are_wanted());
        drop(one);
        assert!(has_come(&mut first) && !has_come(&mut second));
        // Who comes later is behind them, also when a place was given on just now.
        let mut third = places.take().unwrap_err();
        let Poll::Ready(Some(place)) = pin!(first.place()).poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it had come")
        };
        drop(two);
        assert!(has_come(&mut second) && !has_come(&mut third));
        drop(place);
        assert!(has_come(&mut third) && !places.are_wanted());
        drop((second, third));
        assert_eq!(state(&places), (2, 0));
    }

    #[test]
    fn who_leaves_takes_nothing_along() {
        let places = Arc::new(Places::new(1));
        let only = places.take().unwrap();
        let mut turns: Vec<Turn> = (0..4).map(|_| places.take().unwrap_err()).collect();
        let mut last = turns.pop().unwrap();
        // Before its turn.
        drop(turns.remove(1));
        assert_eq!(state(&places), (0, 3));
        // With the place in its hand.
        drop(only);
        assert!(has_come(&mut turns[0]));
        drop(turns.remove(0));
        assert!(has_come(&mut turns[0]) && !has_come(&mut last));
        drop(turns);
        assert!(has_come(&mut last));
        drop(last);
        assert_eq!(state(&places), (1, 0));
    }

    #[test]
    fn an_unused_one_goes_to_who_waits_and_else_stays_where_it_is() {
        let places = Arc::new(Places::new(1));
        let unused = places.pass_on(places.take().unwrap()).unwrap();
        assert_eq!(state(&places), (0, 0));
        let mut turn = places.take().unwrap_err();
        assert!(places.pass_on(unused).is_none() && has_come(&mut turn));
        assert_eq!(state(&places), (0, 0));
    }

    /// Threads that take places, leave early and pass places on lose none.
    #[test]
    fn no_place_is_lost_among_threads() {
        const MOST: usize = 3;
        let places = Arc::new(Places::new(MOST));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let places = Arc::clone(&places);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for round in 0..2000 {
                        let place = match places.take() {
                            Ok(place) => Some(place),
                            Err(turn) if (round + number) % 3 == 0 => {
                                drop(turn);
                                None
                            }
                            Err(turn) => Some(runtime.block_on(turn.place()).unwrap()),
                        };
                        drop(place.and_then(|place| places.pass_on(place)));
                    }
                });
            }
        });
        assert_eq!(state(&places), (MOST, 0));
    }
}
