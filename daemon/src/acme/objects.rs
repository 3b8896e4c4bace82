//! What authorities answer with (RFC 8555 §7.1, RFC 9773).

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// The addresses that a directory names.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    pub(super) new_order: String,
    #[serde(default)]
    pub(super) renewal_info: Option<String>,
}

/// An order of a certificate.
#[derive(Debug, Clone, Deserialize)]
pub struct Order {
    /// `pending`, `ready`, `processing`, `valid`, `invalid`.
    pub status: String,
    /// Where it is proved that the names are ours.
    #[serde(default)]
    pub authorizations: Vec<String>,
    /// Where the signing request goes.
    pub finalize: String,
    /// Where the certificate is.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Why it has become invalid.
    #[serde(default)]
    pub error: Option<Problem>,
}

/// The proof for one name.
#[derive(Debug, Clone, Deserialize)]
pub struct Authorization {
    /// `pending`, `valid`, `invalid`, `deactivated`, `expired`, `revoked`.
    pub status: String,
    /// The ways to prove it.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

/// One way to prove it.
#[derive(Debug, Clone, Deserialize)]
pub struct Challenge {
    /// `http-01`, `tls-alpn-01`, `dns-01` or another.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where to say that the answer is ready.
    pub url: String,
    /// What is asked.
    #[serde(default)]
    pub token: String,
    /// `pending`, `processing`, `valid`, `invalid`.
    #[serde(default)]
    pub status: String,
    /// Why it did not succeed.
    #[serde(default)]
    pub error: Option<Problem>,
}

/// A problem document (RFC 7807).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// `urn:ietf:params:acme:error:…`
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What it is about, in words.
    #[serde(default)]
    pub detail: String,
    /// The same for each name.
    #[serde(default)]
    pub subproblems: Vec<Problem>,
}

impl Problem {
    /// The last part of its kind: `rateLimited`, `badNonce` …
    pub fn name(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It is shown in terminals and logs: one line, and not endless.
        let mut words: Vec<String> = Vec::new();
        for problem in std::iter::once(self).chain(&self.subproblems) {
            let detail = problem.detail.split(|c: char| c.is_control() || c.is_whitespace());
            let detail = detail.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            if !detail.is_empty() && !words.contains(&detail) {
                words.push(detail);
            }
        }
        let text = if words.is_empty() { "no reason is given".to_owned() } else { words.join("; ") };
        let text: String = text.chars().take(500).collect();
        let name: String = self.name().chars().filter(|c| !c.is_control()).take(100).collect();
        match name.as_str() {
            "" => f.write_str(&text),
            name => write!(f, "{text} ({name})"),
        }
    }
}

/// When an authority wants a certificate to be renewed (ARI, RFC 9773).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfo {
    /// At some time in it.
    pub suggested_window: Window,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Window {
    /// From.
    pub start: DateTime<Utc>,
    /// To.
    pub end: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_its_name() {
        let problem: Problem = serde_json::from_str(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many\n\u001b[31mcertificates", "status": 429,
                "subproblems": [{"detail": "for example.com", "identifier": {}}]}"#,
        )
        .unwrap();
        assert_eq!(problem.to_string(), "too many [31mcertificates; for example.com (rateLimited)");
        assert_eq!(Problem::default().to_string(), "no reason is given");
        let named = Problem { kind: "urn:bad\n\u{1b}[31mName".to_owned(), ..Problem::default() };
        assert_eq!(named.to_string(), "no reason is given (bad[31mName)");
    }
}
