//! Hostnames of custom domains.

use serde::{Deserialize, Serialize};

use super::{name_traits, shown};

/// A hostname that an app answers at: `www.example.com` or the wildcard `*.example.com`.
///
/// Always lowercase ASCII without a final dot; a name in another script is turned into its
/// `xn--` form (IDNA, UTS 46), so that equal hosts are equal texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// Why a text is no hostname.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    /// It is a URL or has a port.
    #[error("\"{}\" is more than a hostname; give only the name, such as www.example.com, without a scheme, port or path", shown(.0))]
    Url(String),
    /// An address instead of a name.
    #[error("\"{}\" is an IP address; a domain must be a name, such as www.example.com", shown(.0))]
    Address(String),
    /// One word, such as `localhost`.
    #[error("\"{}\" is no full hostname; it must have at least two parts, such as example.com", shown(.0))]
    OneLabel(String),
    /// A star anywhere but as the whole first part.
    #[error("\"{}\" has a * in the wrong place; a wildcard is the whole first part and stands for one name, such as *.example.com", shown(.0))]
    Wildcard(String),
    /// Longer than 253 characters.
    #[error("\"{}\" has more than 253 characters, the most that a hostname can have", shown(.0))]
    TooLong(String),
    /// A part breaks the rules for DNS labels.
    #[error(
        "\"{}\" is no hostname because of the part \"{}\": each part has 1 to 63 letters, digits or dashes and neither starts nor ends with a dash",
        shown(.name), shown(.label)
    )]
    Label {
        /// The text that was given.
        name: String,
        /// The part that is wrong.
        label: String,
    },
    /// Not a name that IDNA allows.
    #[error("\"{}\" has characters that no domain name can have", shown(.0))]
    Unicode(String),
}

impl Hostname {
    /// Checks a hostname and brings it to its one form.
    ///
    /// # Errors
    /// When no request could ever be for it; the error says why.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let owned = || text.to_owned();
        if text.contains(['/', ':', '@', '?', '#']) {
            let inner = text.trim_matches(['[', ']']);
            let address = inner.parse::<std::net::Ipv6Addr>().is_ok();
            return Err(if address { HostnameError::Address(owned()) } else { HostnameError::Url(owned()) });
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let (wildcard, rest) = match name.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        if rest.contains('*') {
            return Err(HostnameError::Wildcard(owned()));
        }
        let rest = ascii(rest).ok_or_else(|| HostnameError::Unicode(owned()))?;
        if rest.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(HostnameError::Address(owned()));
        }
        if let Some(label) = rest.split('.').find(|label| !is_label(label)) {
            return Err(HostnameError::Label { name: owned(), label: label.to_owned() });
        }
        if !rest.contains('.') {
            return Err(HostnameError::OneLabel(owned()));
        }
        let last = rest.rsplit('.').next().unwrap_or("");
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HostnameError::Label { name: owned(), label: last.to_owned() });
        }
        let host = if wildcard { format!("*.{rest}") } else { rest };
        if host.len() > 253 {
            return Err(HostnameError::TooLong(owned()));
        }
        Ok(Self(host))
    }

    /// Whether it is `*.…`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// Whether a request for `host` (lowercase, no port) is for this hostname. A wildcard
    /// stands for exactly one part: `*.example.com` is neither `example.com` nor
    /// `a.b.example.com`.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        match self.0.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == parent),
            None => self.0 == host,
        }
    }
}

name_traits!(Hostname, HostnameError);

fn ascii(name: &str) -> Option<String> {
    if name.is_ascii() && !name.split('.').any(|label| label.len() > 3 && label[..4].eq_ignore_ascii_case("xn--")) {
        return Some(name.to_ascii_lowercase());
    }
    idna::domain_to_ascii(name).ok()
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn one_form() {
        let form = |text: &str| Hostname::parse(text).unwrap().to_string();
        assert_eq!(form("WWW.Example.COM."), "www.example.com");
        assert_eq!(form("*.Example.com"), "*.example.com");
        assert_eq!(form("Bücher.example"), "xn--bcher-kva.example");
        assert_eq!(form("bu\u{308}cher.example"), "xn--bcher-kva.example");
        assert_eq!(form("XN--bcher-kva.example"), "xn--bcher-kva.example");
        assert_eq!(form("1.2.3.4.example"), "1.2.3.4.example");
        assert_eq!(form("a.localhost"), "a.localhost");
    }

    #[test]
    fn says_what_is_wrong() {
        let said = |text: &str| Hostname::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(said("http://example.com/"), @r#""http://example.com/" is more than a hostname; give only the name, such as www.example.com, without a scheme, port or path"#);
        insta::assert_snapshot!(said("example.com:80"), @r#""example.com:80" is more than a hostname; give only the name, such as www.example.com, without a scheme, port or path"#);
        insta::assert_snapshot!(said("10.0.0.1"), @r#""10.0.0.1" is an IP address; a domain must be a name, such as www.example.com"#);
        insta::assert_snapshot!(said("[::1]"), @r#""[::1]" is an IP address; a domain must be a name, such as www.example.com"#);
        insta::assert_snapshot!(said("localhost"), @r#""localhost" is no full hostname; it must have at least two parts, such as example.com"#);
        insta::assert_snapshot!(said("a.*.com"), @r#""a.*.com" has a * in the wrong place; a wildcard is the whole first part and stands for one name, such as *.example.com"#);
        insta::assert_snapshot!(said("*"), @r#""*" has a * in the wrong place; a wildcard is the whole first part and stands for one name, such as *.example.com"#);
        insta::assert_snapshot!(said("a..com"), @r#""a..com" is no hostname because of the part "": each part has 1 to 63 letters, digits or dashes and neither starts nor ends with a dash"#);
        insta::assert_snapshot!(said("-a.com"), @r#""-a.com" is no hostname because of the part "-a": each part has 1 to 63 letters, digits or dashes and neither starts nor ends with a dash"#);
        for bad in ["", ".", "*.", "*.com", "a b.com", "a_b.com", "a.1", "xn--\u{0}.com", "xn--a.com"] {
            assert!(Hostname::parse(bad).is_err(), "{bad:?}");
        }
        assert!(said(&format!("{}.com", "a".repeat(64))).contains("1 to 63"));
        assert!(said(&"a.".repeat(130)).contains("more than 253"));
    }

    #[test]
    fn a_wildcard_stands_for_one_part() {
        let host = Hostname::parse("*.example.com").unwrap();
        assert!(host.is_wildcard());
        assert!(host.covers("www.example.com"));
        for other in ["example.com", "a.b.example.com", ".example.com", "wwwexample.com"] {
            assert!(!host.covers(other), "{other}");
        }
        assert!(Hostname::parse("example.com").unwrap().covers("example.com"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_keeps_its_form(text in "[*a-zA-Z0-9.ß日_-]{0,40}|\\PC*") {
            if let Ok(host) = Hostname::parse(&text) {
                assert_eq!(Hostname::parse(host.as_str()).unwrap(), host);
            }
        }
    }
}
