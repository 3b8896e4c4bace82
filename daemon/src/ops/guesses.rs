//! Slows down whoever tries one password after the other.
//!
//! Counted are wrong passwords by who asks, by whom they ask for, and by both together. A few
//! are free; after these, each takes twice as long as the one before until the next is looked
//! at. Whom somebody asks for alone has a high count and a short wait. Who was right from where
//! they are within the last month is counted by both together only, so that strangers can't shut
//! an account's owner out. It is kept in memory: a restart forgets it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// More names are not kept: the oldest half goes.
const MOST: usize = 20_000;

/// How long a wrong password counts.
const MEMORY: TimeDelta = TimeDelta::hours(1);

/// How long it is known from where somebody has logged in.
const KNOWN_FOR: TimeDelta = TimeDelta::days(30);

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
pub struct Guesses(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    counts: HashMap<String, Count>,
    /// By peer and account: when it was right last.
    right: HashMap<String, DateTime<Utc>>,
}

impl Kept {
    /// What counts for this peer and account: the pair of them first.
    fn keys(&self, peer: &str, account: &str, now: DateTime<Utc>) -> Vec<(String, Limit)> {
        let both = format!("both {peer} {account}");
        let known = self.right.get(&both).is_some_and(|at| now - *at < KNOWN_FOR);
        let mut keys = vec![(both, BY_BOTH)];
        if !known {
            keys.extend([(format!("peer {peer}"), BY_PEER), (format!("account {account}"), BY_ACCOUNT)]);
        }
        keys
    }
}

/// Makes room where there are too many: what is over first, then the older half.
fn make_room<T>(kept: &mut HashMap<String, T>, lasts: TimeDelta, now: DateTime<Utc>, at: impl Fn(&T) -> DateTime<Utc>) {
    if kept.len() >= MOST {
        kept.retain(|_, one| now - at(one) < lasts);
    }
    if kept.len() >= MOST {
        let mut times: Vec<_> = kept.values().map(&at).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        kept.retain(|_, one| at(one) > middle);
    }
}

impl Guesses {
    /// How long to wait before another password is looked at; nothing: it may be now. Until it
    /// is known to be right it counts as wrong, so that many at once are no way round.
    pub fn try_one(&self, peer: &str, account: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = kept.keys(peer, account, now);
        let counts = &mut kept.counts;
        let free_at = keys
            .iter()
            .filter_map(|(key, limit)| {
                counts.get(key).filter(|count| now - count.last < MEMORY).map(|c| c.free_at(*limit))
            })
            .max();
        if let Some(free_at) = free_at.filter(|at| *at > now) {
            return Some(free_at - now);
        }
        make_room(counts, MEMORY, now, |count| count.last);
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
    pub fn was_right(&self, peer: &str, account: &str, now: DateTime<Utc>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in kept.keys(peer, account, now).into_iter().skip(1) {
            if let Some(count) = kept.counts.get_mut(&key) {
                count.wrong = count.wrong.saturating_sub(1);
            }
        }
        let both = format!("both {peer} {account}");
        kept.counts.remove(&both);
        make_room(&mut kept.right, KNOWN_FOR, now, |at| *at);
        kept.right.insert(both, now);
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
        guesses.was_right("5.6.7.8", "a@b", now);
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
            guesses.was_right("1.2.3.4", "a@b", now);
        }
    }

    #[test]
    fn strangers_do_not_shut_out_who_was_right_from_there() {
        let guesses = Guesses::default();
        let mut now = DateTime::UNIX_EPOCH;
        assert_eq!(guesses.try_one("home", "a@b", now), None);
        guesses.was_right("home", "a@b", now);
        for second in 0..600 {
            now += TimeDelta::seconds(1);
            for stranger in 0..20 {
                guesses.try_one(&format!("{second} {stranger}"), "a@b", now);
            }
            assert_eq!(guesses.try_one("home", "a@b", now), None, "{second}");
            guesses.was_right("home", "a@b", now);
        }
        assert_ne!(guesses.try_one("elsewhere", "a@b", now), None, "from elsewhere it is one of the strangers");
        for _ in 0..5 {
            assert_eq!(guesses.try_one("home", "a@b", now), None);
        }
        assert_ne!(guesses.try_one("home", "a@b", now), None, "there too nobody guesses for ever");
    }
}
