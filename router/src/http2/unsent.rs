//! What a connection was given to send and has not sent yet: so much and no more, however many
//! streams it has, so that a client that doesn't read holds little.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::exchange::{ALL_RESPONSES, RESPONSE_BUFFER};
use crate::flow::Ahead;
use crate::worker::SCRATCH;

/// The bytes of all streams of a connection that are with HTTP/2 or the socket's buffer before it.
#[derive(Debug)]
pub(super) struct Unsent {
    bytes: AtomicUsize,
    /// Streams that wait until it is less, in order.
    waiting: Mutex<BTreeMap<u64, Waker>>,
    next: AtomicU64,
    /// How often some of it was sent.
    sent: AtomicU64,
    /// Those of all connections, beyond what each may have in any case.
    all: Arc<AtomicUsize>,
}

impl Unsent {
    pub(super) fn new(all: &Arc<AtomicUsize>) -> Arc<Unsent> {
        Arc::new(Unsent {
            bytes: AtomicUsize::new(0),
            waiting: Mutex::default(),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            all: Arc::clone(all),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `bytes` more, if there is: what is read at once in any case, and 1 MB while all
    /// connections together have not too much.
    fn room(&self, bytes: usize) -> Option<Option<Ahead>> {
        match self.bytes.load(Ordering::Relaxed) {
            0 => Some(None),
            before if before + bytes <= SCRATCH => Some(None),
            before if before + bytes <= RESPONSE_BUFFER => Ahead::new(&self.all, bytes, ALL_RESPONSES).map(Some),
            _ => None,
        }
    }
}

/// One stream's way to send.
#[derive(Debug)]
pub(super) struct Gate {
    of: Arc<Unsent>,
    /// Its place among those that wait.
    number: Option<u64>,
    /// How often others had sent when that was last looked at.
    seen: u64,
}

impl Gate {
    pub(super) fn new(of: &Arc<Unsent>) -> Gate {
        Gate { of: Arc::clone(of), number: None, seen: 0 }
    }

    /// Whether it waits for others, and they have sent something since this was last asked.
    pub(super) fn comes_nearer(&mut self) -> bool {
        let before = std::mem::replace(&mut self.seen, self.of.sent.load(Ordering::Relaxed));
        self.number.is_some() && self.seen != before
    }

    /// `data` as it is sent, which counts until it is; when there is room for it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, data: &mut BytesMut, most: usize) -> Poll<Bytes> {
        let bytes = data.len().min(most);
        let Some(room) = self.of.room(bytes) else {
            let number = match self.number {
                Some(number) => number,
                None => {
                    self.seen = self.of.sent.load(Ordering::Relaxed);
                    self.of.next.fetch_add(1, Ordering::Relaxed)
                }
            };
            self.number = Some(number);
            self.of.waiting().insert(number, cx.waker().clone());
            return Poll::Pending;
        };
        self.leave();
        let data = if bytes == data.len() { std::mem::take(data) } else { data.split_to(bytes) };
        self.of.bytes.fetch_add(bytes, Ordering::Relaxed);
        Poll::Ready(Bytes::from_owner(Piece { data, of: Arc::clone(&self.of), _room: room }))
    }

    fn leave(&mut self) {
        if let Some(number) = self.number.take() {
            self.of.waiting().remove(&number);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Bytes that count for as long as they are somewhere.
#[derive(Debug)]
struct Piece {
    data: BytesMut,
    of: Arc<Unsent>,
    _room: Option<Ahead>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let left = self.of.bytes.fetch_sub(self.data.len(), Ordering::Relaxed) - self.data.len();
        self.of.sent.fetch_add(1, Ordering::Relaxed);
        // One for the room of one. When there is nothing that could make room later, all.
        let wake = if left > 0 {
            self.of.waiting().pop_first().into_iter().collect()
        } else {
            std::mem::take(&mut *self.of.waiting())
        };
        wake.into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn poll(gate: &mut Gate, woken: &Arc<Woken>, bytes: usize) -> Poll<Bytes> {
        let waker = Waker::from(Arc::clone(woken));
        gate.poll(&mut Context::from_waker(&waker), &mut BytesMut::zeroed(bytes), usize::MAX)
    }

    fn ready(polled: Poll<Bytes>) -> Option<Bytes> {
        match polled {
            Poll::Ready(bytes) => Some(bytes),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_connection_has_1_mb_under_way_and_those_beyond_wait_in_order() {
        let all = Arc::new(AtomicUsize::new(0));
        let unsent = Unsent::new(&all);
        let woken: [Arc<Woken>; 3] = Default::default();
        let is_woken = |at: usize| woken[at].0.swap(false, Ordering::Relaxed);
        let mut gates: Vec<Gate> = (0..3).map(|_| Gate::new(&unsent)).collect();
        let mut sent: Vec<Bytes> = (0..16).map(|_| ready(poll(&mut gates[0], &woken[0], SCRATCH)).unwrap()).collect();
        // The first is any connection's own.
        assert_eq!(all.load(Ordering::Relaxed), RESPONSE_BUFFER - SCRATCH);
        for at in 0..3 {
            assert!(poll(&mut gates[at], &woken[at], SCRATCH).is_pending());
        }
        // Who asks again stays where it was.
        assert!(poll(&mut gates[0], &woken[0], SCRATCH).is_pending());
        // Part of a piece is still the piece.
        let mut half = sent.pop().unwrap();
        drop(half.split_to(SCRATCH / 2));
        assert_eq!([0, 1, 2].map(is_woken), [false; 3]);
        drop(half);
        assert_eq!([0, 1, 2].map(is_woken), [true, false, false]);
        sent.push(ready(poll(&mut gates[0], &woken[0], SCRATCH)).unwrap());
        // Who is gone is not waited for.
        gates.remove(1);
        drop(sent.pop());
        assert_eq!([0, 1, 2].map(is_woken), [false, false, true]);
        assert!(poll(&mut gates[1], &woken[2], 2 * SCRATCH).is_pending());
        sent.clear();
        assert!(is_woken(2) && unsent.bytes.load(Ordering::Relaxed) == 0);
        assert_eq!(all.load(Ordering::Relaxed), 0);
        // What is larger than all that there may be is sent by itself.
        assert!(poll(&mut gates[1], &woken[2], 2 * RESPONSE_BUFFER).is_ready());
    }

    #[test]
    fn a_connection_has_its_own_part_when_all_together_have_too_much() {
        let all = Arc::new(AtomicUsize::new(ALL_RESPONSES));
        let unsent = Unsent::new(&all);
        let (mut gate, woken) = (Gate::new(&unsent), Arc::default());
        let first = ready(poll(&mut gate, &woken, SCRATCH / 2));
        let second = ready(poll(&mut gate, &woken, SCRATCH / 2));
        assert!(first.is_some() && second.is_some());
        assert!(poll(&mut gate, &woken, 1).is_pending());
        assert!(!gate.comes_nearer());
        drop(first);
        assert!(gate.comes_nearer() && !gate.comes_nearer());
        assert!(poll(&mut gate, &woken, 1).is_ready());
        drop(second);
        assert_eq!(all.load(Ordering::Relaxed), ALL_RESPONSES);
    }
}
