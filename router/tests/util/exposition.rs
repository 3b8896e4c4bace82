//! Reads metrics as strictly as Prometheus's text format (0.0.4) is written down.

#![allow(unreachable_pub, reason = "the daemon's tests read with it, too")]

use std::collections::{BTreeMap, BTreeSet};

/// Metrics by their name with its labels as they stand: `a_total{app="x"}`.
#[derive(Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads a text; panics with the line that breaks a rule.
    pub fn parse(text: &str) -> Metrics {
        let mut values = BTreeMap::new();
        let mut done = BTreeSet::new();
        let mut current: Option<(String, String)> = None;
        let mut help = None;
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!words.is_empty(), "no help: {line}");
                help = Some(name.to_owned());
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
                assert_eq!(help.take().as_deref(), Some(name), "HELP and TYPE are of two metrics: {line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "a counter is a _total: {line}");
                assert!(done.insert(name.to_owned()), "a metric is in two places: {line}");
                current = Some((name.to_owned(), kind.to_owned()));
                continue;
            }
            let (metric, kind) = current.as_ref().unwrap_or_else(|| panic!("a sample of no metric: {line}"));
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            let name = series.split('{').next().unwrap();
            let part = name.strip_prefix(metric.as_str()).unwrap_or_else(|| panic!("{line} is not of {metric}"));
            let parts: &[&str] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "summary" => &["_sum", "_count"],
                _ => &[""],
            };
            assert!(parts.contains(&part), "{line} is no part of a {kind}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{line}"
            );
            labels(&series[name.len()..], line);
            assert!(values.insert(series.to_owned(), value).is_none(), "a sample is there twice: {line}");
        }
        let metrics = Metrics(values);
        metrics.check_histograms();
        metrics
    }

    /// Buckets grow, and the last is the count.
    fn check_histograms(&self) {
        let mut last: BTreeMap<String, f64> = BTreeMap::new();
        let mut ordered: Vec<(String, f64, f64)> = Vec::new();
        for (series, value) in &self.0 {
            let Some((front, bound)) = series.split_once("le=\"") else { continue };
            let bound = bound.split('"').next().unwrap();
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            ordered.push((front.trim_end_matches(',').replace("_bucket", "_count"), bound, *value));
        }
        ordered.sort_by(|a, b| a.1.total_cmp(&b.1));
        for (front, bound, value) in ordered {
            let before = last.insert(front.clone(), value).unwrap_or_default();
            assert!(value >= before, "{front} shrinks at {bound}");
        }
        for (front, value) in last {
            let count = format!("{front}}}");
            assert_eq!(self.0.get(&count), Some(&value), "the last bucket is not {count}");
        }
    }

    /// The value of a sample, which must be there.
    pub fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.0.keys()))
    }

    /// Whether some sample has this in its name or labels.
    pub fn has(&self, part: &str) -> bool {
        self.0.keys().any(|series| series.contains(part))
    }
}

fn labels(text: &str, line: &str) {
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        assert!(text.is_empty(), "{line}");
        return;
    };
    let mut rest = inner;
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
        let end = value.find('"').unwrap_or_else(|| panic!("a label without end: {line}"));
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return assert!(rest.is_empty(), "{line}"),
        }
    }
}
