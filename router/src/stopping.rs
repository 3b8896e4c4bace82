//! Word of the end for a worker's connections: cheaper than a channel for each, since ten
//! thousand of them only ever wait for it.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use slab::Slab;

/// Whether a worker is to end, and who wants to hear of it.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    set: Cell<bool>,
    wakers: RefCell<Slab<Option<Waker>>>,
}

impl Stopping {
    pub(crate) fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Tells everybody.
    pub(crate) fn set(&self) {
        self.set.set(true);
        let wakers: Vec<Waker> = self.wakers.borrow_mut().iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A connection's place among those who want to hear.
pub(crate) struct Ear<'s> {
    stopping: &'s Stopping,
    place: usize,
    registered: bool,
}

impl<'s> Ear<'s> {
    pub(crate) fn new(stopping: &'s Stopping) -> Ear<'s> {
        Ear { stopping, place: stopping.wakers.borrow_mut().insert(None), registered: false }
    }

    /// Whether the end was told of; if not, this task is woken when it is.
    pub(crate) fn hears(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.stopping.is_set() && !self.registered {
            // A connection stays with its task.
            self.registered = true;
            if let Some(place) = self.stopping.wakers.borrow_mut().get_mut(self.place) {
                *place = Some(cx.waker().clone());
            }
        }
        self.stopping.is_set()
    }
}

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        drop(self.stopping.wakers.borrow_mut().try_remove(self.place));
    }
}
