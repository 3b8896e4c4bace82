//! Where a dyno's output is resumed, and which dynos have been read to their end. The task
//! that does the reading is `tasks::collect`.
//!
//! An engine stamps each line and can be asked for all later than a time. Two things make
//! that less than exact: lines may share a time, and standard output and error are stamped
//! by two hands, so that one may overtake the other by a little. So each stream has a
//! position of its own, time and count within that time; reading is resumed a little before
//! the later of the two, and what each stream has stored already is dropped.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use uuid::Uuid;

use super::{LogStore, Origin, Position, Result};

/// How far one stream of a dyno may lag behind the other.
const SKEW: TimeDelta = TimeDelta::seconds(10);

/// One of a dyno's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Lane {
    const ALL: [Self; 2] = [Self::Out, Self::Err];

    /// The identity under which the store remembers this stream of a dyno.
    pub fn origin_of(self, dyno: Uuid) -> Uuid {
        match self {
            Self::Out => dyno,
            Self::Err => Uuid::from_u128(dyno.as_u128() ^ 1),
        }
    }
}

/// The identity under which the store remembers what the platform said of a dyno.
pub(crate) fn steps_of(dyno: Uuid) -> Uuid {
    Uuid::from_u128(dyno.as_u128() ^ 2)
}

/// Gives each line of a dyno its origin and knows those that are stored.
#[derive(Debug, Clone)]
pub struct Resume {
    dyno: Uuid,
    lanes: [LaneState; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct LaneState {
    /// The last that was stored.
    stored: Option<Position>,
    /// The last that was seen since the output was opened.
    seen: Option<Position>,
    /// Beyond what was stored before: from here on nothing can be a repetition.
    fresh: bool,
}

impl Resume {
    /// Goes on where the store says that the dyno's output was.
    pub async fn load(store: &dyn LogStore, app_id: Uuid, dyno: Uuid) -> Result<Self> {
        let mut positions = [None; 2];
        for (lane, position) in Lane::ALL.into_iter().zip(&mut positions) {
            *position = store.position(app_id, lane.origin_of(dyno)).await?;
        }
        Ok(Self::new(dyno, positions))
    }

    /// The same with the positions of standard output and error known.
    pub fn new(dyno: Uuid, positions: [Option<Position>; 2]) -> Self {
        Self { dyno, lanes: positions.map(|stored| LaneState { stored, seen: None, fresh: stored.is_none() }) }
    }

    /// The time after which lines are to be asked for; `None`: all.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        let last = self.lanes.iter().filter_map(|lane| lane.stored).map(|position| position.major).max()?;
        let nanos = i64::try_from(last).unwrap_or(i64::MAX);
        DateTime::from_timestamp_nanos(nanos).checked_sub_signed(SKEW)
    }

    /// The origin of the next line that the engine gives, stamped `at`; `None` when it has
    /// been stored before.
    pub fn take(&mut self, lane: Lane, at: DateTime<Utc>) -> Option<Origin> {
        let major = u64::try_from(at.timestamp_nanos_opt().unwrap_or_default()).unwrap_or_default();
        let state = &mut self.lanes[match lane {
            Lane::Out => 0,
            Lane::Err => 1,
        }];
        let mut position = match state.seen {
            Some(seen) if seen.major == major => Position { major, minor: seen.minor.saturating_add(1) },
            Some(_) | None => Position { major, minor: 0 },
        };
        state.seen = Some(position);
        if let Some(stored) = state.stored
            && position <= stored
        {
            if !state.fresh {
                return None;
            }
            // The machine's clock was set back: the line is new all the same.
            position = Position { major: stored.major, minor: stored.minor.saturating_add(1) };
        }
        state.fresh = true;
        state.stored = Some(position);
        Some(Origin { id: lane.origin_of(self.dyno), position })
    }

    /// The dyno is gone for good: the store need not remember it.
    pub async fn forget(store: &dyn LogStore, app_id: Uuid, dyno: Uuid) -> Result<()> {
        for lane in Lane::ALL {
            store.forget(app_id, lane.origin_of(dyno)).await?;
        }
        store.forget(app_id, steps_of(dyno)).await
    }
}

/// Which dynos have been read to their end. Whoever removes a container waits for it here,
/// since the engine's copy of the output goes with the container.
#[derive(Debug, Default)]
pub struct Drains {
    done: watch::Sender<HashSet<Uuid>>,
}

impl Drains {
    /// Everything that the dyno said is stored.
    pub fn mark(&self, dyno: Uuid) {
        self.done.send_if_modified(|done| done.insert(dyno));
    }

    /// The dyno is gone.
    pub fn forget(&self, dyno: Uuid) {
        self.done.send_if_modified(|done| done.remove(&dyno));
    }

    /// Waits until everything that the dyno said is stored, `bound` at most; whether it is.
    pub async fn drained(&self, dyno: Uuid, bound: Duration) -> bool {
        let mut done = self.done.subscribe();
        tokio::time::timeout(bound, done.wait_for(|done| done.contains(&dyno))).await.is_ok_and(|seen| seen.is_ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    const DYNO: Uuid = Uuid::from_u128(6);

    fn at(nanos: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(1_790_000_000_000_000_000 + nanos)
    }

    fn positions(resume: &Resume) -> [Option<Position>; 2] {
        resume.lanes.map(|lane| lane.stored)
    }

    #[test]
    fn reading_again_from_anywhere_gives_what_is_missing_and_nothing_twice() {
        // Lines that share a time, and a stream that overtakes the other.
        let said: Vec<(Lane, i64)> =
            [(0, 5), (0, 5), (1, 9), (0, 7), (0, 7), (0, 7), (1, 9), (0, 11), (1, 10), (0, 12)]
                .map(|(lane, nanos)| (Lane::ALL[lane], nanos))
                .to_vec();
        for killed_at in 0..=said.len() {
            let mut first = Resume::new(DYNO, [None; 2]);
            let mut got: Vec<Origin> =
                said[..killed_at].iter().filter_map(|(lane, nanos)| first.take(*lane, at(*nanos))).collect();
            assert_eq!(got.len(), killed_at);
            let mut second = Resume::new(DYNO, positions(&first));
            assert!(second.since().is_none_or(|since| since < at(0)));
            let rest: Vec<Origin> = said.iter().filter_map(|(lane, nanos)| second.take(*lane, at(*nanos))).collect();
            assert_eq!(rest.len(), said.len() - killed_at, "killed at {killed_at}");
            got.extend(rest);
            // Each position once, and rising in each stream: the store drops nothing.
            for lane in Lane::ALL {
                let of_lane: Vec<_> =
                    got.iter().filter(|origin| origin.id == lane.origin_of(DYNO)).map(|o| o.position).collect();
                assert!(of_lane.is_sorted_by(|a, b| a < b), "{of_lane:?}");
            }
        }
    }

    #[test]
    fn a_clock_set_back_loses_no_line() {
        let mut resume = Resume::new(DYNO, [None; 2]);
        let times = [100, 200, 50, 60, 300];
        let got: Vec<_> = times.iter().filter_map(|nanos| resume.take(Lane::Out, at(*nanos))).collect();
        assert_eq!(got.len(), 5);
        assert!(got.is_sorted_by(|a, b| a.position < b.position), "{got:?}");
    }

    #[tokio::test]
    async fn waiting_for_the_end_ends_with_it_or_with_the_bound() {
        let drains = std::sync::Arc::new(Drains::default());
        assert!(!drains.drained(DYNO, Duration::from_millis(1)).await);
        let waiting = tokio::spawn({
            let drains = drains.clone();
            async move { drains.drained(DYNO, Duration::from_secs(30)).await }
        });
        drains.mark(DYNO);
        assert!(waiting.await.unwrap());
        assert!(drains.drained(DYNO, Duration::ZERO).await);
        drains.forget(DYNO);
        assert!(!drains.drained(DYNO, Duration::from_millis(1)).await);
    }
}
