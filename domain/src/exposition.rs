//! Metrics as a text that Prometheus reads (its text format, version 0.0.4): what router and
//! daemon answer when they are asked for theirs.

use std::fmt::Write as _;

/// The value of `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until its program starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
    /// A sum and a count.
    Summary,
}

/// A text that grows metric by metric.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

impl Exposition {
    /// Begins a metric: its name with the unit at its end, and what it tells. Its samples follow.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        self.name = name;
        self.put(format_args!(
            "# HELP {name} {}\n# TYPE {name} {kind}\n",
            help.replace('\\', "\\\\").replace('\n', "\\n")
        ));
        self
    }

    /// A value of it. `part` is what comes after the name (`_sum`, `_count`, `_bucket`) or nothing;
    /// numbers of seconds and the like are written as they are.
    pub fn sample(&mut self, part: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(part);
        let mut open = '{';
        for (name, text) in labels {
            self.put(format_args!("{open}{name}=\""));
            for letter in text.chars() {
                match letter {
                    '"' => self.text.push_str("\\\""),
                    '\\' => self.text.push_str("\\\\"),
                    '\n' => self.text.push_str("\\n"),
                    letter => self.text.push(letter),
                }
            }
            self.text.push('"');
            open = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
        self
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.text.write_fmt(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_inside_their_quotes() {
        let mut text = Exposition::default();
        text.metric("a_total", Kind::Counter, "One\nline with a \\.").sample("", &[], 1).sample(
            "",
            &[("app", "a\"} 5\n"), ("b", "\\")],
            0.25,
        );
        assert_eq!(
            text.into_text(),
            "# HELP a_total One\\nline with a \\\\.\n# TYPE a_total counter\na_total 1\n\
             a_total{app=\"a\\\"} 5\\n\",b=\"\\\\\"} 0.25\n"
        );
    }
}
