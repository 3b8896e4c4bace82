//! Slows down whoever tries one password after the other.
//!
//! Counted are wrong passwords by who asks, by whom they ask for, and by both together. A few
//! are free; after these, each takes twice as long as the one before until the next is looked
//! at. Whom somebody asks for alone has a high count and a short wait, so that strangers can't
//! shut an account's owner out. It is kept in memory: a restart forgets it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// More names are not kept: the oldest half goes.
const MOST: usize = 20_000;

/// How long a wrong password counts.
const MEMORY: TimeDelta = TimeDelta::hours(1);

#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Wrong ones that cost nothing.
    free: u32,
    /// The longest wait.
    longest: TimeDelta,
}

const BY_BOTH: Limit = Limit { free: 5, longest: TimeDelta::minutes(15) };
const BY_PEER: Limit = Limit { free: 20, longest: TimeDelta::minutes(15) };
const BY_ACCOUNT: Limit = Limit { free: 50, longest: TimeDelta::seconds(30) };

#[derive(Debug, Clone, Copy)]
struct Count {
    wrong: u32,
    last: DateTime<Utc>,
}

impl Count {
    fn free_at(self, limit: Limit) -> DateTime<Utc> {
        let Some(over) = self.wrong.checked_sub(limit.free) else { return self.last };
        let wait = TimeDelta::seconds(1_i64 << over.min(20));
        self.last + wait.min(limit.longest)
    }
}

/// Wrong passwords of late; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Guesses(Arc<Mutex<HashMap<String, Count>>>);

fn keys(peer: &str, account: &str) -> [(String, Limit); 3] {
    [
        (format!("both {peer} {account}"), BY_BOTH),
        (format!("peer {peer}"), BY_PEER),
        (format!("account {account}"), BY_ACCOUNT),
    ]
}

impl Guesses {
    /// How long to wait before another password is looked at; nothing: it may be now. Until it
    /// is known to be right it counts as wrong, so that many at once are no way round.
    pub fn try_one(&self, peer: &str, account: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys(peer, account);
        let free_at = keys
            .iter()
            .filter_map(|(key, limit)| {
                counts.get(key).filter(|count| now - count.last < MEMORY).map(|c| c.free_at(*limit))
            })
            .max();
        if let Some(free_at) = free_at.filter(|at| *at > now) {
            return Some(free_at - now);
        }
        if counts.len() >= MOST {
            counts.retain(|_, count| now - count.last < MEMORY);
        }
        if counts.len() >= MOST {
            let mut times: Vec<_> = counts.values().map(|count| count.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            counts.retain(|_, count| count.last > middle);
        }
        for (key, _) in keys {
            let count = counts.entry(key).or_insert(Count { wrong: 0, last: now });
            if now - count.last >= MEMORY {
                count.wrong = 0;
            }
            count.wrong = count.wrong.saturating_add(1);
            count.last = now;
        }
        None
    }

    /// The last one was right: it is taken off again, and what this peer got wrong for this
    /// account is forgotten.
    pub fn was_right(&self, peer: &str, account: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [(both, _), (peer, _), (account, _)] = keys(peer, account);
        counts.remove(&both);
        for key in [peer, account] {
            if let Some(count) = counts.get_mut(&key) {
                count.wrong = count.wrong.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let guesses = Guesses::default();
        let mut now = DateTime::UNIX_EPOCH;
        for _ in 0..5 {
            assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), None);
        }
        assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), Some(TimeDelta::seconds(1)));
        now += TimeDelta::seconds(1);
        assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), None);
        assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), Some(TimeDelta::seconds(2)));
        // The owner, from elsewhere, is not held up by it.
        assert_eq!(guesses.try_one("5.6.7.8", "a@b", now), None);
        guesses.was_right("5.6.7.8", "a@b");
        // One peer that tries many accounts is.
        let mut tried = 0;
        while guesses.try_one("9.9.9.9", &format!("{tried}@b"), now).is_none() {
            tried += 1;
        }
        assert_eq!(tried, 20);
        for _ in 0..40 {
            now += TimeDelta::minutes(15);
            assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), None, "never longer than a quarter of an hour");
        }
        now += MEMORY;
        for _ in 0..5 {
            assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), None, "an hour later it is forgotten");
        }
    }

    #[test]
    fn being_right_costs_nothing() {
        let guesses = Guesses::default();
        let now = DateTime::UNIX_EPOCH;
        for _ in 0..200 {
            assert_eq!(guesses.try_one("1.2.3.4", "a@b", now), None);
            guesses.was_right("1.2.3.4", "a@b");
        }
    }
}
