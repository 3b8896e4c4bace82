//! The address of somebody's repository: looked up and checked once, and git is held to what was
//! found.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use tokio::process::Command;
use url::{Host, Url};

use super::RepoError;
use crate::outbound::Guard;

/// An address that git may go to.
#[derive(Debug)]
pub(super) struct Address {
    /// Without user and password.
    url: String,
    /// `HOST:PORT:IP,IP`: git looks no name up itself.
    pin: Option<String>,
    /// The header that user and password make.
    authorization: Option<String>,
}

impl Address {
    /// Reads an address, looks up where it leads and asks whether that is allowed.
    pub(super) async fn check(guard: &Guard, text: &str) -> Result<Self, RepoError> {
        // What programs read differently is not taken: curl sees a user where others see a host.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(RepoError::Address);
        }
        let mut url = Url::parse(text).map_err(|_| RepoError::Address)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(RepoError::Address);
        }
        let port = url.port_or_known_default().ok_or(RepoError::Address)?;
        let (found, name) = match url.host() {
            Some(Host::Ipv4(ip)) => (vec![IpAddr::V4(ip)], None),
            Some(Host::Ipv6(ip)) => (vec![IpAddr::V6(ip)], None),
            Some(Host::Domain(name)) => {
                let found = tokio::net::lookup_host((name, port)).await;
                let found = found.map_err(|_| RepoError::Host(name.to_owned()))?;
                (found.map(|address| address.ip()).collect(), Some(name.to_owned()))
            }
            None => return Err(RepoError::Address),
        };
        for ip in &found {
            if let Some(why) = guard.refusal(SocketAddr::new(*ip, port)) {
                return Err(RepoError::NotAllowed(format!("{ip} {why}")));
            }
        }
        let pin = name.map(|name| pin(&name, port, &found));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| RepoError::Address)?;
        Ok(Self { url: url.into(), pin, authorization })
    }

    /// What git is given as the address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Settings of git that go with it, in its environment: others see its arguments.
    pub(super) fn settings(&self, command: &mut Command) {
        let all = [("http.curloptResolve", &self.pin), ("http.extraHeader", &self.authorization)];
        let mut count = 0;
        for (key, value) in all.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
    }
}

/// How curl is told where a name leads.
fn pin(name: &str, port: u16, found: &[IpAddr]) -> String {
    let shown = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("{name}:{port}:{}", found.iter().map(shown).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use std::net::UdpSocket;

    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        config: Config,
    }

    fn guard(open: bool) -> Guard {
        let mut config = Flags::parse_from(["paasd", "--http-listen", "0.0.0.0:8080"]).config;
        config.allow_loopback = open;
        Guard::new(&config)
    }

    #[tokio::test]
    async fn what_leads_inside_is_refused_however_it_is_written() {
        let guard = guard(false);
        // The machine's own address, as others see it; no packet is sent.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let own = socket.connect("192.0.2.9:9").and_then(|()| socket.local_addr());
        let own = own.map_or_else(|_| "127.0.0.1".to_owned(), |own| own.ip().to_string());
        for inside in [
            "http://127.0.0.1:18481/x".to_owned(),
            "http://127.1:18481/x".to_owned(),
            "http://localhost:18481/x".to_owned(),
            "http://[::1]:18481/x".to_owned(),
            "http://[::ffff:127.0.0.1]:18481/x".to_owned(),
            format!("http://{own}:18481/x"),
            "http://169.254.169.254/latest".to_owned(),
            "http://10.208.0.1:18481/x".to_owned(),
        ] {
            let refused = Address::check(&guard, &inside).await;
            assert!(matches!(refused, Err(RepoError::NotAllowed(_))), "{inside}: {refused:?}");
        }
        for wrong in [r"http://8.8.8.8\@127.0.0.1:18481/x", r"http:\\127.0.0.1\x", "ssh://a/b", "http://a b/", "x"] {
            let refused = Address::check(&guard, wrong).await;
            assert!(matches!(refused, Err(RepoError::Address)), "{wrong}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn git_is_held_to_the_address_that_was_checked_and_no_secret_is_an_argument() {
        let address = Address::check(&guard(true), "http://me:p%40ss@localhost:18481/x.git").await.unwrap();
        assert_eq!(address.url(), "http://localhost:18481/x.git");
        assert_eq!(address.authorization.as_deref(), Some("Authorization: Basic bWU6cEBzcw=="));
        let pin = address.pin.unwrap();
        assert!(pin.starts_with("localhost:18481:") && (pin.contains("127.0.0.1") || pin.contains("[::1]")), "{pin}");
        assert_eq!(super::pin("h", 1, &["1.2.3.4".parse().unwrap(), "::2".parse().unwrap()]), "h:1:1.2.3.4,[::2]");
        assert!(Address::check(&guard(false), "https://192.0.2.7/x").await.unwrap().pin.is_none());
    }
}
