//! Times and sizes as people read them.

use chrono::{DateTime, Local, Utc};

/// `2026/11/23 13:05:12 +0000 (~ 5m ago)`, in the user's time zone.
#[allow(clippy::disallowed_methods, reason = "how long ago is asked here only")]
pub(crate) fn ago(time: DateTime<Utc>) -> String {
    format!("{} ({})", local(time), relative(Utc::now() - time))
}

/// `2026/11/23 13:05:12 +0000`, in the user's time zone.
pub(crate) fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y/%m/%d %H:%M:%S %z").to_string()
}

fn relative(age: chrono::TimeDelta) -> String {
    format!("~ {} ago", span(age.num_seconds().max(0).unsigned_abs()))
}

/// `5m`
pub(crate) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "m"),
        3_600..90_000 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count}{unit}")
}

/// `12.3M`
pub(crate) fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "K", "M"] {
        if amount < 1000.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{amount:.1}{unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1}G")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes() {
        let ages = [-5, 59, 60, 3_599, 3_600, 89_999, 90_000, 864_000];
        let texts = ages.map(|seconds| relative(chrono::TimeDelta::seconds(seconds)));
        assert_eq!(
            texts,
            ["~ 0s ago", "~ 59s ago", "~ 1m ago", "~ 59m ago", "~ 1h ago", "~ 24h ago", "~ 1d ago", "~ 10d ago"]
        );
        assert_eq!([0, 999, 2_048, 12_900_000, 5_000_000_000].map(size), ["0B", "999B", "2.0K", "12.3M", "4.7G"]);
    }
}
