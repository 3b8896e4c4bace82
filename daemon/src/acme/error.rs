//! What can go wrong with an authority.

use chrono::{DateTime, TimeDelta, Utc};

use super::objects::Problem;

/// When the other side wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so long.
    In(TimeDelta),
    /// At this time.
    At(DateTime<Utc>),
}

impl RetryAfter {
    /// Reads the header's value: seconds, or a date of HTTP's.
    pub fn parse(value: &str) -> Option<Self> {
        match value.trim().parse::<i64>() {
            Ok(seconds) => TimeDelta::try_seconds(seconds.clamp(0, 366 * 86_400)).map(Self::In),
            Err(_) => DateTime::parse_from_rfc2822(value.trim()).ok().map(|at| Self::At(at.to_utc())),
        }
    }

    /// When that is.
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::In(time) => now + time,
            Self::At(at) => at,
        }
    }
}

/// Why an authority did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcmeError {
    /// It can't be reached, or has troubles of its own.
    #[error("{host} can't be asked now: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        why: String,
    },
    /// It has had enough of us.
    #[error("{host} takes no more from us for now: {problem}")]
    RateLimited {
        /// Who.
        host: String,
        /// What it says.
        problem: Problem,
        /// When to come back, if it says so.
        retry_after: Option<RetryAfter>,
    },
    /// It refuses.
    #[error("{host} refuses: {problem}")]
    Refused {
        /// Who.
        host: String,
        /// What it says.
        problem: Problem,
    },
    /// What it says makes no sense.
    #[error("{host} answers what can't be understood: {why}")]
    Nonsense {
        /// Who.
        host: String,
        /// What.
        why: String,
    },
    /// The settings are not right.
    #[error("{0}")]
    Settings(String),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let now: DateTime<Utc> = "2026-01-02T03:04:05Z".parse().unwrap();
        let at = |text| RetryAfter::parse(text).map(|after| after.at(now).to_rfc3339());
        assert_eq!(at("120").as_deref(), Some("2026-01-02T03:06:05+00:00"));
        assert_eq!(at("Fri, 02 Jan 2026 04:00:00 GMT").as_deref(), Some("2026-01-02T04:00:00+00:00"));
        assert_eq!(at("-5").as_deref(), Some("2026-01-02T03:04:05+00:00"));
        assert_eq!(at("soon"), None);
        assert!(at("999999999999999999").is_some());
    }
}
