//! Where users may have the server go: webhooks name addresses, and the server asks them from
//! inside.
//!
//! Which addresses are closed is for [`Guard`] to say, as for drains; here is what an address of a
//! webhook must look like besides.

use std::net::IpAddr;

use url::{Host, Url};

use crate::{config::Config, outbound::Guard};

/// Longest address.
const LONGEST: usize = 2000;

/// Reads an address that the server is to go to; the error says what is wrong with it.
pub fn parse(config: &Config, text: &str) -> Result<Url, String> {
    if text.len() > LONGEST {
        return Err(format!("the address is longer than {LONGEST} characters"));
    }
    let url = Url::parse(text).map_err(|e| format!("{text:?} is no address ({e})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the address must begin with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the address must not have a user name or password in it, since it is shown; give `authorization` instead"
                .to_owned(),
        );
    }
    check_literal(config, &url)?;
    Ok(url)
}

/// Refuses an address that is written in numbers and closed.
pub fn check_literal(config: &Config, url: &Url) -> Result<(), String> {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err("the address has no host".to_owned()),
    };
    match closed(config, ip, url.port_or_known_default().unwrap_or_default()) {
        Some(why) => Err(format!("{ip} {why}")),
        None => Ok(()),
    }
}

/// Why the server may not go to an address, if so.
pub fn closed(config: &Config, ip: IpAddr, port: u16) -> Option<&'static str> {
    Guard::new(config).refusal((ip, port).into())
}

/// Whether the router listens there.
pub fn is_router(config: &Config, port: u16) -> bool {
    port != 0 && [config.http_listen, config.https_listen].iter().any(|listen| listen.port() == port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn what_is_inside_stays_closed() {
        let mut config = Flags::parse_from(["paasd", "--http-listen", "0.0.0.0:80"]).config;
        for (url, open) in [
            ("https://example.com/hook", true),
            ("http://10.0.0.7:9000/hook", true),
            ("http://192.168.1.5/", true),
            ("http://[fd00::1]/", true),
            ("http://127.0.0.1/", true),
            ("http://127.0.0.1:5000/", false),
            ("http://127.1:5000/", false),
            ("http://2130706433:5000/", false),
            ("http://0.0.0.0:5000/", false),
            ("http://[::1]:5000/", false),
            ("http://[::ffff:127.0.0.1]:5000/", false),
            ("http://169.254.169.254/latest", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://[fe80::1]/", false),
            ("http://10.208.3.4/", false),
            ("http://10.223.255.255/", false),
            ("http://10.224.0.1/", true),
            ("http://224.0.0.1/", false),
            ("ftp://example.com/", false),
            ("https://me:secret@example.com/", false),
            ("/hook", false),
            ("https://", false),
        ] {
            assert_eq!(parse(&config, url).is_ok(), open, "{url}");
        }
        config.allow_loopback = true;
        assert!(parse(&config, "http://127.0.0.1:5000/").is_ok());
        assert!(parse(&config, "http://169.254.169.254/").is_err());
    }
}
