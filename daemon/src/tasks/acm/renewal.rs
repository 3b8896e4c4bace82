//! When a certificate is renewed: in the window that its authority names (ARI, RFC 9773), else at two
//! thirds of its time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Acm, times};
use crate::{
    acme::{RetryAfter, Window, renewal_id},
    error::Result,
    ops,
    store::acme::{self, Certificate},
};

/// How often an authority is asked for the window, at least and at most. RFC 9773 §4.3.
const OFTEN: TimeDelta = TimeDelta::minutes(1);
const SELDOM: TimeDelta = TimeDelta::days(1);

/// And when it says nothing of that.
const USUAL: TimeDelta = TimeDelta::hours(6);

/// The pause between renewals of those that are of other authorities than those that are set: Let's Encrypt takes
/// 300 orders of an account in three hours.
const OTHERS: TimeDelta = TimeDelta::minutes(1);

/// What an authority says of when to renew.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said {
    /// A window, and when to ask again.
    Window(Window, Option<RetryAfter>),
    /// It has none.
    Nothing,
    /// It could not be asked now.
    NoAnswer,
}

/// Makes certificates due whose authority isn't set any more: who goes over from a staging directory to the
/// true one wants its certificates, and nobody else says when these are to be renewed.
pub(super) async fn of_others(acm: &Acm) -> Result<()> {
    if acm.authorities.is_empty() {
        return Ok(());
    }
    let now = acm.p.cx.now();
    let rows = acme::at_rest(&mut acm.p.db.read().await?, now).await?;
    let is_set =
        |row: &Certificate| acm.authorities.iter().any(|one| row.directory.as_deref() == Some(one.directory()));
    let mut at = now;
    for mut row in rows.into_iter().filter(|row| !is_set(row)) {
        let due = at.min(row.renew_at.unwrap_or(at));
        row.renew_at = Some(due);
        row.next_at = due;
        ops::acm::save(&acm.p, &mut row).await?;
        at += OTHERS;
    }
    Ok(())
}

/// Writes into the row when to renew this certificate, and when to ask for that again.
pub(super) async fn plan(acm: &Acm, row: &mut Certificate, chain: &str) -> Result<()> {
    let now = acm.p.cx.now();
    let (starts, ends) = times(chain)?;
    let authority = acm.authorities.iter().find(|one| row.directory.as_deref() == Some(one.directory()));
    let mut said = Said::Nothing;
    if let (Some(authority), Some(id)) = (authority, renewal_id(chain)) {
        match authority.renewal(&id).await {
            Ok(found) => said = found.map_or(Said::Nothing, |(window, again)| Said::Window(window, again)),
            // What was known counts, else the certificate's own time, and it is asked again.
            Err(error) => {
                tracing::info!("when a certificate is to be renewed can't be asked: {error}");
                said = Said::NoAnswer;
            }
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
pub(crate) fn decide(
    now: DateTime<Utc>,
    (starts, ends): (DateTime<Utc>, DateTime<Utc>),
    chosen: Option<DateTime<Utc>>,
    said: Said,
    chance: f64,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let life = ends - starts;
    // At two thirds, earlier or later by up to a twenty-fourth.
    let own = || starts + part(life, 2.0 / 3.0 + (chance - 0.5) / 12.0);
    let (window, again) = match said {
        Said::Window(window, again) if window.start <= window.end => (window, again),
        Said::NoAnswer => {
            let at = chosen.filter(|at| *at > now && *at < ends).unwrap_or_else(own);
            return (at, at.min(now + USUAL));
        }
        Said::Window(..) | Said::Nothing => {
            let at = chosen.filter(|at| *at > starts + life / 2 && *at < ends).unwrap_or_else(own);
            return (at, at);
        }
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
            let (at, next) = decide(day(0.0), life, None, Said::Nothing, chance);
            assert!(at > day(from) && at < day(to) && at == next, "{chance}: {at}");
        }
        // What was chosen stays; what was chosen for the one before does not.
        assert_eq!(decide(day(1.0), life, Some(day(58.0)), Said::Nothing, 0.9).0, day(58.0));
        assert!(decide(day(1.0), life, Some(day(-10.0)), Said::Nothing, 0.5).0 > day(59.0));
        // Of five minutes, too.
        let (at, _) = decide(day(0.0), (day(0.0), day(0.0) + TimeDelta::seconds(300)), None, Said::Nothing, 0.5);
        assert_eq!((at - day(0.0)).num_seconds(), 200);
    }

    #[test]
    fn a_window_counts_and_is_asked_for_again() {
        let life = (day(0.0), day(90.0));
        let window = Window { start: day(70.0), end: day(72.0) };
        let said = |again| Said::Window(window, again);
        let (at, next) = decide(day(1.0), life, None, said(None), 0.5);
        assert_eq!((at, next), (day(71.0), day(1.25)));
        let (at, _) = decide(day(2.0), life, Some(at), said(None), 0.1);
        assert_eq!(at, day(71.0));
        // A window that is over (a revocation): now.
        let over = Window { start: day(1.0), end: day(1.5) };
        let (at, next) = decide(day(2.0), life, Some(day(71.0)), Said::Window(over, None), 0.5);
        assert!(at < day(2.0) && next < day(2.0));
        // Neither every second nor in a year.
        let often = Some(RetryAfter::In(TimeDelta::zero()));
        assert_eq!(decide(day(1.0), life, None, said(often), 0.5).1, day(1.0) + OFTEN);
        let seldom = Some(RetryAfter::In(TimeDelta::days(400)));
        assert_eq!(decide(day(1.0), life, None, said(seldom), 0.5).1, day(2.0));
    }

    #[test]
    fn an_authority_that_does_not_answer_is_asked_again() {
        let life = (day(0.0), day(90.0));
        let (at, next) = decide(day(0.0), life, None, Said::NoAnswer, 0.5);
        assert_eq!((at, next), (day(60.0), day(0.25)));
        // What it has said before stays, though it is earlier than ours would be.
        assert_eq!(decide(day(1.0), life, Some(day(20.0)), Said::NoAnswer, 0.5), (day(20.0), day(1.25)));
        assert_eq!(decide(day(19.9), life, Some(day(20.0)), Said::NoAnswer, 0.5), (day(20.0), day(20.0)));
        // What was chosen for the one before does not.
        assert_eq!(decide(day(1.0), life, Some(day(0.5)), Said::NoAnswer, 0.5).0, day(60.0));
    }
}
