//! Where users may not have things sent.
//!
//! Private networks are where a self-hosted server's collectors are, so they are allowed. Not
//! allowed are this machine's own addresses, loopback and others: behind them are the
//! daemon's own sockets, the engine's, and whatever else counts on nobody but the machine's
//! own users reaching it; a setting opens them. The apps' own networks are not allowed, since no
//! app reaches another's dynos. Link-local addresses, others where clouds hand out credentials
//! ([`METADATA`]), and those that are no single machine's are not allowed either. The ports of the router are: what
//! answers there is public, and an app may be another's collector.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::config::{Config, METADATA};

/// Says which addresses are allowed.
#[derive(Debug, Clone)]
pub struct Guard {
    open: bool,
    router_ports: [u16; 2],
    apps: String,
}

impl Guard {
    /// By the daemon's settings.
    pub fn new(config: &Config) -> Self {
        Self {
            open: config.allow_loopback,
            router_ports: [config.http_listen.port(), config.https_listen.port()],
            apps: config.network_pool.clone(),
        }
    }

    /// The same where the router is reached by other ports than those that it listens on.
    pub fn for_router(config: &Config, router_ports: [u16; 2]) -> Self {
        Self { router_ports, ..Self::new(config) }
    }

    /// Whether a connection may be opened to this address. It asks the system which of its
    /// own addresses it would come from; no packet is sent.
    pub fn allows(&self, address: SocketAddr) -> bool {
        self.refusal(address).is_none()
    }

    /// Why none may be opened to it, if so.
    pub fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
        let ip = address.ip().to_canonical();
        if is_own(ip) {
            // 0 is where the router doesn't listen, and whoever asks before the port is known.
            let of_router = address.port() != 0 && self.router_ports.contains(&address.port());
            let allowed = self.open || of_router;
            return (!allowed)
                .then_some("is this server itself, which is reached only where PAAS_ALLOW_LOOPBACK is set");
        }
        if is_special(ip) {
            return Some("is a link-local address, or that of no single machine, and is not reached");
        }
        if METADATA.contains(&ip) {
            return Some("is where clouds hand out a machine's credentials, and is not reached");
        }
        let of_apps = matches!(ip, IpAddr::V4(ip) if in_network(&self.apps, ip));
        of_apps.then_some("is in the apps' own networks, which are not reached from outside")
    }
}

/// Whether `ip` is in `network`, as `10.208.0.0/12`.
fn in_network(network: &str, ip: Ipv4Addr) -> bool {
    let Some((base, prefix)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(prefix)) = (base.parse::<Ipv4Addr>(), prefix.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix)).unwrap_or_default();
    u32::from(base) & mask == u32::from(ip) & mask
}

/// Addresses that are no machine's, or every machine's.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

/// Whether it is one of this machine's own.
fn is_own(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip().to_canonical() == ip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn own_sockets_are_no_receivers_but_the_router_and_private_networks_are() {
        let mut guard = Guard { open: false, router_ports: [80, 443], apps: "10.208.0.0/12".into() };
        let allows = |address: &str| guard.allows(address.parse().unwrap());
        for own in ["127.0.0.1:5000", "127.9.9.9:2375", "[::1]:514", "[::ffff:127.0.0.1]:514", "0.0.0.0:514", "[::]:1"]
        {
            assert!(!allows(own), "{own}");
        }
        for special in [
            "169.254.169.254:80",
            "[fe80::1]:514",
            "224.0.0.1:514",
            "255.255.255.255:514",
            "0.1.2.3:1",
            "10.208.3.4:80",
            "100.100.100.200:80",
            "168.63.129.16:80",
            "[::ffff:168.63.129.16]:80",
            "192.0.0.192:80",
            "[fd00:ec2::254]:80",
            "[fd20:ce::254]:80",
        ] {
            assert!(!allows(special), "{special}");
        }
        for good in ["10.250.250.250:514", "192.0.2.7:6514", "203.0.113.9:443", "127.0.0.1:80", "[::1]:443"] {
            assert!(allows(good), "{good}");
        }
        // A router without HTTPS.
        guard.router_ports = [80, 0];
        assert!(!guard.allows("127.0.0.1:0".parse().unwrap()));
        assert!(!guard.allows("127.0.0.1:443".parse().unwrap()));
        let open = Guard { open: true, ..guard };
        assert!(open.allows("127.0.0.1:514".parse().unwrap()));
        assert!(!open.allows("169.254.169.254:80".parse().unwrap()));
    }
}
