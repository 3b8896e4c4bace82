//! Rules of webhooks: what can be heard of, and when a telling is tried again.

use std::time::Duration;

/// What webhooks can be told of, by Heroku's names.
pub const INCLUDES: [&str; 10] = [
    "api:addon",
    "api:addon-attachment",
    "api:app",
    "api:build",
    "api:collaborator",
    "api:domain",
    "api:dyno",
    "api:formation",
    "api:release",
    "api:sni-endpoint",
];

/// How often a webhook of level `sync` is tried.
pub const ATTEMPTS: u32 = 10;

/// How much longer each pause is than the one before.
const GROWTH: f64 = 2.5;

/// How long after its `made`-th attempt a telling is tried again; none: it has failed.
///
/// `notify` is tried once, as Heroku's schema says. `sync` is tried [`ATTEMPTS`] times, with
/// pauses that grow from `first`: with the 100 s that are the default, over 70.6 hours, within
/// the 72 that Heroku names.
#[must_use]
pub fn pause(sync: bool, made: u32, first: Duration) -> Option<Duration> {
    if !sync || made >= ATTEMPTS {
        return None;
    }
    let exponent = i32::try_from(made.saturating_sub(1)).unwrap_or_default();
    Some(first.mul_f64(GROWTH.powi(exponent)))
}

/// The app's own name for an include: `release` of `api:release`.
#[must_use]
pub fn resource(include: &str) -> &str {
    include.split_once(':').map_or(include, |(_, resource)| resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_tried_ten_times_within_72_hours_and_a_notify_once() {
        let first = Duration::from_secs(100);
        let pauses: Vec<Duration> = (1..=ATTEMPTS).map_while(|made| pause(true, made, first)).collect();
        assert_eq!(pauses.len(), 9);
        assert_eq!(&pauses[..3], [Duration::from_secs(100), Duration::from_secs(250), Duration::from_secs(625)]);
        let all: Duration = pauses.iter().sum();
        assert!(all > Duration::from_secs(70 * 3600) && all < Duration::from_secs(72 * 3600), "{all:?}");
        assert_eq!(pause(false, 1, first), None);
        assert_eq!(pause(true, 11, first), None);
    }

    #[test]
    fn a_resource_is_the_include_without_its_source() {
        assert_eq!(resource("api:sni-endpoint"), "sni-endpoint");
    }
}
