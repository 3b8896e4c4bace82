//! When a certificate is renewed: in the window that its authority names (ARI, RFC 9773), else at two
//! thirds of its time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Acm, times};
use crate::{
    acme::{RetryAfter, Window, renewal_id},
    error::Result,
    store::acme::Certificate,
};

/// How often an authority is asked for the window, at least and at most. RFC 9773 §4.3.
const OFTEN: TimeDelta = TimeDelta::minutes(1);
const SELDOM: TimeDelta = TimeDelta::days(1);

/// And when it says nothing of that.
const USUAL: TimeDelta = TimeDelta::hours(6);

/// Writes into the row when to renew this certificate, and when to ask for that again.
pub(super) async fn plan(acm: &Acm, row: &mut Certificate, chain: &str) -> Result<()> {
    let now = acm.p.cx.now();
    let (starts, ends) = times(chain)?;
    let authority = acm.authorities.iter().find(|one| row.directory.as_deref() == Some(one.directory()));
    let mut said = None;
    if let (Some(authority), Some(id)) = (authority, renewal_id(chain)) {
        match authority.renewal(&id).await {
            Ok(found) => said = found,
            // Without it the certificate's own time counts.
            Err(error) => tracing::info!("when a certificate is to be renewed can't be asked: {error}"),
        }
    }
    let chance = f64::from(rand::random::<u32>()) / f64::from(u32::MAX);
    let (renew_at, next_at) = decide(now, (starts, ends), row.renew_at, said, chance);
    row.renew_at = Some(renew_at);
    row.next_at = next_at;
    Ok(())
}

/// One that has just come is good for a tenth of its time, whatever its authority says: two that
/// disagree would order without end.
pub(super) fn not_at_once(now: DateTime<Utc>, row: &mut Certificate, chain: &str) -> Result<()> {
    let (starts, ends) = times(chain)?;
    let earliest = now + (ends - starts) / 10;
    if row.renew_at.is_some_and(|at| at < earliest) {
        row.renew_at = Some(earliest);
        row.next_at = earliest;
    }
    Ok(())
}

/// When to renew, and when to look again. A time that was chosen stays while it is in the window.
fn decide(
    now: DateTime<Utc>,
    (starts, ends): (DateTime<Utc>, DateTime<Utc>),
    chosen: Option<DateTime<Utc>>,
    said: Option<(Window, Option<RetryAfter>)>,
    chance: f64,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let Some((window, again)) = said.filter(|(window, _)| window.start <= window.end) else {
        let life = ends - starts;
        let chosen = chosen.filter(|at| *at > starts + life / 2 && *at < ends);
        // At two thirds, earlier or later by up to a twenty-fourth.
        let at = chosen.unwrap_or_else(|| starts + part(life, 2.0 / 3.0 + (chance - 0.5) / 12.0));
        return (at, at);
    };
    let chosen = chosen.filter(|at| *at >= window.start && *at <= window.end);
    let at = chosen.unwrap_or_else(|| window.start + part(window.end - window.start, chance));
    let pause = again.map_or(USUAL, |again| again.at(now) - now).clamp(OFTEN, SELDOM);
    (at, at.min(now + pause))
}

fn part(of: TimeDelta, part: f64) -> TimeDelta {
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds of some months are far from the end of i64")]
    TimeDelta::milliseconds((of.num_milliseconds() as f64 * part) as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn day(day: f64) -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + part(TimeDelta::days(1), day)
    }

    #[test]
    fn without_a_window_it_is_about_two_thirds() {
        let life = (day(0.0), day(90.0));
        for (chance, from, to) in [(0.0, 56.2, 56.3), (0.5, 59.9, 60.1), (1.0, 63.7, 63.8)] {
            let (at, next) = decide(day(0.0), life, None, None, chance);
            assert!(at > day(from) && at < day(to) && at == next, "{chance}: {at}");
        }
        // What was chosen stays; what was chosen for the one before does not.
        assert_eq!(decide(day(1.0), life, Some(day(58.0)), None, 0.9).0, day(58.0));
        assert!(decide(day(1.0), life, Some(day(-10.0)), None, 0.5).0 > day(59.0));
        // Of five minutes, too.
        let (at, _) = decide(day(0.0), (day(0.0), day(0.0) + TimeDelta::seconds(300)), None, None, 0.5);
        assert_eq!((at - day(0.0)).num_seconds(), 200);
    }

    #[test]
    fn a_window_counts_and_is_asked_for_again() {
        let life = (day(0.0), day(90.0));
        let window = Window { start: day(70.0), end: day(72.0) };
        let said = |again| Some((window, again));
        let (at, next) = decide(day(1.0), life, None, said(None), 0.5);
        assert_eq!((at, next), (day(71.0), day(1.25)));
        let (at, _) = decide(day(2.0), life, Some(at), said(None), 0.1);
        assert_eq!(at, day(71.0));
        // A window that is over (a revocation): now.
        let over = Window { start: day(1.0), end: day(1.5) };
        let (at, next) = decide(day(2.0), life, Some(day(71.0)), Some((over, None)), 0.5);
        assert!(at < day(2.0) && next < day(2.0));
        // Neither every second nor in a year.
        let often = Some(RetryAfter::In(TimeDelta::zero()));
        assert_eq!(decide(day(1.0), life, None, said(often), 0.5).1, day(1.0) + OFTEN);
        let seldom = Some(RetryAfter::In(TimeDelta::days(400)));
        assert_eq!(decide(day(1.0), life, None, said(seldom), 0.5).1, day(2.0));
    }
}
