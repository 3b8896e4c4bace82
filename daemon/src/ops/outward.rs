//! Where users may have the server go: webhooks name addresses, and the server asks them from
//! inside.
//!
//! Private networks are open: who hosts their own server has receivers there. Closed are the
//! machine's loopback (but for the router's ports, which are everybody's anyway) unless a
//! setting opens it, link-local addresses (clouds hand out credentials there), and the
//! networks of the apps, which no app may reach but its own.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

use crate::config::Config;

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
    let ip = ip.to_canonical();
    let loopback = ip.is_loopback() || ip.is_unspecified();
    if loopback {
        let open = config.webhook_loopback || is_router(config, port);
        return (!open)
            .then_some("is this server itself, which webhooks reach only where PAAS_WEBHOOK_LOOPBACK is set");
    }
    match ip {
        IpAddr::V4(ip) if ip.is_link_local() => Some("is a link-local address, which webhooks don't reach"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("is a link-local address, which webhooks don't reach"),
        IpAddr::V4(ip) if in_network(&config.network_pool, ip) => {
            Some("is in the apps' own networks, which webhooks don't reach")
        }
        ip if ip.is_multicast() => Some("is a multicast address, which webhooks don't reach"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("is a broadcast address, which webhooks don't reach"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Whether the router listens there.
pub fn is_router(config: &Config, port: u16) -> bool {
    port == config.http_listen.port() || port == config.https_listen.port()
}

/// Whether `ip` is in `network`, as `10.208.0.0/12`.
fn in_network(network: &str, ip: Ipv4Addr) -> bool {
    let Some((base, prefix)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(prefix)) = (base.parse::<Ipv4Addr>(), prefix.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix)).unwrap_or_default();
    u32::from(base) & mask == u32::from(ip) & mask
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
        config.webhook_loopback = true;
        assert!(parse(&config, "http://127.0.0.1:5000/").is_ok());
        assert!(parse(&config, "http://169.254.169.254/").is_err());
    }
}
