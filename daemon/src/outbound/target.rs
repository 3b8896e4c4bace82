//! The address of a receiver.

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Longest address, in bytes.
pub const LONGEST: usize = 2_000;

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `syslog://`: RFC 5424 over TCP.
    Syslog,
    /// `syslog+tls://`: the same over TLS.
    SyslogTls,
    /// `http://`
    Http,
    /// `https://`
    Https,
}

impl Scheme {
    const ALL: [(&'static str, Self, u16); 4] = [
        ("syslog", Self::Syslog, 514),
        ("syslog+tls", Self::SyslogTls, 6514),
        ("http", Self::Http, 80),
        ("https", Self::Https, 443),
    ];

    /// Whether it is one of the two of syslog.
    pub fn is_syslog(self) -> bool {
        matches!(self, Self::Syslog | Self::SyslogTls)
    }
}

/// Where to connect, and what is asked for there. Its text may carry a password, so it is not
/// in its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    usual_port: bool,
    path: String,
    authorization: Option<String>,
    name: &'static str,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Target {
    /// Reads an address; an error is a sentence for its user, without the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("it has white space in it".into());
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let known = Scheme::ALL.into_iter().find(|(name, _, _)| *name == url.scheme());
        let Some((name, scheme, usual)) = known else {
            return Err("it must begin with syslog://, syslog+tls://, https:// or http://".into());
        };
        // What the system is asked for: no brackets around it.
        let host = match url.host() {
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(Host::Domain(host)) if is_host(host) => host.to_ascii_lowercase(),
            Some(Host::Domain(_)) | None => return Err("it has no host name".into()),
        };
        let port = url.port().unwrap_or(usual);
        if port == 0 {
            return Err("its port is 0".into());
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        if scheme.is_syslog() && user.is_some() {
            return Err("syslog knows no user name and password".into());
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = if scheme.is_syslog() { String::new() } else { format!("{}{query}", url.path()) };
        Ok(Self { scheme, host, port, usual_port: port == usual, path, authorization: user, name })
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Name or address of the machine, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is spoken to by TLS.
    pub fn tls(&self) -> bool {
        matches!(self.scheme, Scheme::SyslogTls | Scheme::Https)
    }

    /// Path and query of a request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the `Host` of a request is.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.usual_port { host } else { format!("{host}:{}", self.port) }
    }

    /// The value of `Authorization`, where the address has a user name or password. A secret.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// What may be shown of it to anybody: no password, no path, no query.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.name, self.authority())
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn addresses_of_receivers() {
        let target = Target::parse("syslog+tls://Logs.example.com:12345").unwrap();
        assert_eq!((target.host(), target.port(), target.tls()), ("logs.example.com", 12345, true));
        let target = Target::parse("https://me:p%40ss@logs.example.com/in/x?key=1#f").unwrap();
        assert_eq!((target.port(), target.path()), (443, "/in/x?key=1"));
        assert_eq!(target.authorization(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(target.authority(), "logs.example.com");
        assert_eq!(format!("{target:?}"), "https://logs.example.com");
        let target = Target::parse("http://[2001:db8::1]:8080").unwrap();
        assert_eq!((target.host(), target.authority().as_str()), ("2001:db8::1", "[2001:db8::1]:8080"));
        assert_eq!(Target::parse("syslog://h").unwrap().port(), 514);
        assert_eq!(Target::parse("syslog+tls://[::1]").unwrap().shown(), "syslog+tls://[::1]");
        for bad in [
            "",
            "x",
            "syslog:",
            "syslog://",
            "ftp://h",
            "udp://h:1",
            "https://",
            "syslog://h:0",
            "syslog://h:99999",
            "syslog://a b",
            "https://h/\n",
            "syslog://me:pw@h",
            "javascript:alert(1)",
            "syslog://h%20x",
            "file:///etc",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Target::parse(&format!("https://h/{}", "x".repeat(LONGEST))).is_err());
    }
}
