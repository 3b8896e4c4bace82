//! The rate limit, as Heroku's: a bucket of tokens for each account, a request takes one, and
//! they come back evenly. Whoever has no valid credentials has a smaller bucket, by address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// An hour of requests for an account is so many times one for an address without an account.
const STRANGER: u32 = 5;

/// So many buckets are kept; full ones are forgotten then, and the fullest after them.
const MOST: usize = 10_000;

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// An account.
    Account(Uuid),
    /// A network ([`super::transport::network`]) without valid credentials.
    Address(IpAddr),
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may; so many are left.
    Passed(u32),
    /// It may not; in so many seconds it may.
    Refused(u64),
}

/// The buckets.
#[derive(Debug)]
pub(super) struct Limit {
    an_hour: u32,
    buckets: Mutex<HashMap<Who, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

impl Limit {
    /// So many requests an hour for each account; 0: no limit.
    pub(super) fn new(an_hour: u32) -> Self {
        Self { an_hour, buckets: Mutex::default() }
    }

    /// Requests an hour; 0: no limit.
    pub(super) fn an_hour(&self) -> u32 {
        self.an_hour
    }

    /// Requests an hour of this one; 0: no limit.
    pub(super) fn of(&self, who: Who) -> u32 {
        match who {
            Who::Account(_) => self.an_hour,
            Who::Address(_) => self.an_hour.div_ceil(STRANGER),
        }
    }

    fn size(&self, who: Who) -> f64 {
        f64::from(self.of(who))
    }

    /// How many requests are left, without taking one.
    pub(super) fn left(&self, who: Who, now: DateTime<Utc>) -> u32 {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let size = self.size(who);
        whole(buckets.get(&who).map_or(size, |bucket| bucket.filled(size, now)))
    }

    /// Takes a token.
    pub(super) fn take(&self, who: Who, now: DateTime<Utc>) -> Verdict {
        if self.an_hour == 0 {
            return Verdict::Passed(u32::MAX);
        }
        let size = self.size(who);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(&who) {
            self.forget(&mut buckets, now);
        }
        let bucket = buckets.entry(who).or_insert(Bucket { tokens: size, at: now });
        *bucket = Bucket { tokens: bucket.filled(size, now), at: now.max(bucket.at) };
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Verdict::Passed(whole(bucket.tokens));
        }
        let wait = (1.0 - bucket.tokens) * 3600.0 / size;
        Verdict::Refused(u64::from(whole(wait.ceil())).max(1))
    }

    /// Drops those that are full by now, and if they are few, the fullest half.
    fn forget(&self, buckets: &mut HashMap<Who, Bucket>, now: DateTime<Utc>) {
        buckets.retain(|who, bucket| bucket.filled(self.size(*who), now) < self.size(*who));
        if buckets.len() < MOST {
            return;
        }
        let mut levels: Vec<f64> =
            buckets.iter().map(|(who, bucket)| bucket.filled(self.size(*who), now) / self.size(*who)).collect();
        let middle = levels.len() / 2;
        let (_, median, _) = levels.select_nth_unstable_by(middle, f64::total_cmp);
        let median = *median;
        buckets.retain(|who, bucket| bucket.filled(self.size(*who), now) / self.size(*who) < median);
    }
}

impl Bucket {
    /// Its tokens by now; a clock that went back brings none.
    fn filled(&self, size: f64, now: DateTime<Utc>) -> f64 {
        let passed = (now - self.at).as_seconds_f64().max(0.0);
        (self.tokens + passed * size / 3600.0).min(size)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "floored, and within u32 by its bounds")]
fn whole(tokens: f64) -> u32 {
    tokens.clamp(0.0, f64::from(u32::MAX)).floor() as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use chrono::TimeDelta;

    use super::*;

    fn address(n: u32) -> Who {
        Who::Address(std::net::Ipv4Addr::from(n).into())
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limit = Limit::new(3600);
        let (me, mut now) = (Who::Account(Uuid::from_u128(1)), DateTime::UNIX_EPOCH);
        for left in (0..3600).rev() {
            assert_eq!(limit.take(me, now), Verdict::Passed(left));
        }
        assert_eq!(limit.take(me, now), Verdict::Refused(1));
        assert_eq!(limit.take(Who::Account(Uuid::from_u128(2)), now), Verdict::Passed(3599));
        now += TimeDelta::seconds(10);
        assert_eq!(limit.left(me, now), 10);
        assert_eq!(limit.take(me, now), Verdict::Passed(9));
        // A clock that goes back takes nothing and gives nothing.
        assert_eq!(limit.take(me, now - TimeDelta::hours(1)), Verdict::Passed(8));
        assert_eq!(limit.take(me, now), Verdict::Passed(7));
        now += TimeDelta::days(1);
        assert_eq!(limit.left(me, now), 3600);
    }

    #[test]
    fn strangers_have_a_fifth() {
        let limit = Limit::new(100);
        assert_eq!(limit.take(address(1), DateTime::UNIX_EPOCH), Verdict::Passed(19));
        assert_eq!(Limit::new(0).take(address(1), DateTime::UNIX_EPOCH), Verdict::Passed(u32::MAX));
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_free_no_one_who_is_out() {
        let limit = Limit::new(100);
        let (me, now) = (Who::Account(Uuid::from_u128(1)), DateTime::UNIX_EPOCH);
        while let Verdict::Passed(_) = limit.take(me, now) {}
        for n in 0..30_000 {
            limit.take(address(n), now);
        }
        assert!(limit.buckets.lock().unwrap().len() <= MOST);
        assert!(matches!(limit.take(me, now), Verdict::Refused(_)));
    }
}
