//! Lists of addresses and networks in settings: who is believed what.

use std::net::IpAddr;
use std::str::FromStr;

/// Addresses and networks, IPv4 and IPv6: `10.0.0.7,192.168.0.0/16,2001:db8::/32`. Empty by
/// default, which means nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many of the address's first bits count.
    bits: u32,
}

impl Networks {
    /// Whether one of the networks has this address. An IPv4 address that comes by an IPv6
    /// socket (`::ffff:10.0.0.7`) is the IPv4 address.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Networks, String> {
        text.split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(network)
            .collect::<Result<_, _>>()
            .map(Networks)
    }
}

fn network(text: &str) -> Result<Network, String> {
    let wrong = |why: &str| {
        format!(
            "{text:?} {why}; expected addresses and networks between commas, such as 10.0.0.7,192.168.0.0/16,2001:db8::/32"
        )
    };
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong("is no address"))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => longest,
        Some(bits) => bits
            .parse()
            .ok()
            .filter(|parsed| *parsed <= longest && bits.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| wrong(&format!("has no number from 0 to {longest} behind its /")))?,
    };
    Ok(Network { address, bits })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    #[test]
    fn addresses_and_networks_of_both_kinds_are_known() {
        let networks: Networks = "10.0.0.7, 192.168.0.0/16,2001:db8::/32,::1".parse().unwrap();
        for (address, inside) in [
            ("10.0.0.7", true),
            ("10.0.0.8", false),
            ("192.168.255.1", true),
            ("192.169.0.1", false),
            ("::ffff:192.168.3.4", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), inside, "{address}");
        }
        assert!("0.0.0.0/0".parse::<Networks>().unwrap().contain("8.8.8.8".parse().unwrap()));
        assert!("::/0".parse::<Networks>().unwrap().contain("2001:db8::1".parse().unwrap()));
        assert!(!"::/0".parse::<Networks>().unwrap().contain("8.8.8.8".parse().unwrap()));
        assert_eq!("".parse::<Networks>().unwrap(), Networks::default());
        assert!(!Networks::default().contain("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in [
            "proxy.example.com",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0",
            "10.0.0.1:80",
            "10.0.0.0/8/8",
        ] {
            let said = format!("127.0.0.1,{bad}").parse::<Networks>().unwrap_err();
            assert!(said.starts_with(&format!("{bad:?} ")) && said.contains("expected addresses"), "{said}");
        }
    }
}
