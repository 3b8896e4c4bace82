//! One bridge network per app, with an explicit small subnet out of the pool: Docker's own
//! pools run out after about thirty networks. Docker keeps bridges apart from each other, so
//! apps can't reach each other; the firewall keeps them off the host.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions};
use uuid::Uuid;

use super::super::{AppNetwork, EngineError, Result};
use super::client::{failed, status};
use super::{DockerEngine, names};

/// How many subnets that Docker finds taken after all (by the host's routes) are tried.
const TRIES: usize = 64;

/// All add-ons of the machine are on one network: room for 1,021.
const ADDON_PREFIX: u8 = 22;

/// What a network lets its members do.
struct Kind {
    members_see_each_other: bool,
    leads_out: bool,
    prefix: u8,
}

impl DockerEngine {
    pub(super) async fn ensure_app_network(&self, app: &AppNetwork) -> Result<()> {
        let labels = HashMap::from([
            (names::INSTANCE.to_owned(), self.config().instance.clone()),
            (names::APP.to_owned(), app.app_name.clone()),
            (names::APP_ID.to_owned(), app.app_id.to_string()),
        ]);
        let kind = Kind { members_see_each_other: true, leads_out: true, prefix: self.config().network_prefix };
        self.ensure_bridge(&names::network(app.app_id), &names::bridge(app.app_id), labels, kind).await
    }

    /// The network of builds, on which builds don't see each other. It carries no instance:
    /// all daemons of one engine share it, and none removes it.
    pub(super) async fn ensure_build_network(&self) -> Result<()> {
        let labels = HashMap::from([(names::KIND.to_owned(), "build".to_owned())]);
        let kind = Kind { members_see_each_other: false, leads_out: true, prefix: self.config().network_prefix };
        self.ensure_bridge(names::BUILD_NETWORK, names::BUILD_NETWORK, labels, kind).await
    }

    /// The home of add-ons, see [`super::service`]. Shared like that of builds.
    pub(super) async fn ensure_addon_network(&self) -> Result<()> {
        let labels = HashMap::from([(names::KIND.to_owned(), "addon".to_owned())]);
        let prefix = self.config().network_prefix.min(ADDON_PREFIX);
        let kind = Kind { members_see_each_other: false, leads_out: false, prefix };
        self.ensure_bridge(names::ADDON_NETWORK, names::ADDON_NETWORK, labels, kind).await
    }

    async fn ensure_bridge(&self, name: &str, bridge: &str, labels: HashMap<String, String>, kind: Kind) -> Result<()> {
        if self.network_exists(name).await? {
            return Ok(());
        }
        let docker = self.docker().await?;
        let _one_at_a_time = self.inner.subnets.lock().await;
        let pool = Pool::parse(&self.config().network_pool, kind.prefix)?;
        let taken = self.taken_subnets().await?;
        let mut last = None;
        for subnet in pool.free(&taken).take(TRIES) {
            let request = NetworkCreateRequest {
                name: name.to_owned(),
                driver: Some("bridge".to_owned()),
                ipam: Some(Ipam {
                    config: Some(vec![IpamConfig { subnet: Some(subnet.to_string()), ..Default::default() }]),
                    ..Default::default()
                }),
                options: Some(HashMap::from([
                    ("com.docker.network.bridge.name".to_owned(), bridge.to_owned()),
                    ("com.docker.network.bridge.enable_icc".to_owned(), kind.members_see_each_other.to_string()),
                ])),
                internal: Some(!kind.leads_out),
                labels: Some(labels.clone()),
                ..Default::default()
            };
            match docker.create_network(request).await {
                Ok(_) => return Ok(()),
                // Made in the meantime by another process.
                Err(error) if status(&error) == Some(409) => return Ok(()),
                Err(error) if error.to_string().to_lowercase().contains("overlap") => last = Some(error),
                // Another process of this engine has taken name or bridge.
                Err(_) if self.network_exists(name).await? => return Ok(()),
                Err(error) => return Err(failed("make a network", error)),
            }
        }
        Err(EngineError::OutOfResources {
            what: format!(
                "no free subnet in {} for one more network{}; set PAAS_NETWORK_POOL to a larger block",
                self.config().network_pool,
                last.map(|error| format!(" ({error})")).unwrap_or_default()
            ),
        })
    }

    async fn network_exists(&self, name: &str) -> Result<bool> {
        match self.docker().await?.inspect_network(name, None::<InspectNetworkOptions>).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(failed("look at a network", error)),
        }
    }

    async fn taken_subnets(&self) -> Result<Vec<Subnet>> {
        let docker = self.docker().await?;
        let networks =
            docker.list_networks(None::<ListNetworksOptions>).await.map_err(|error| failed("list networks", error))?;
        Ok(networks
            .into_iter()
            .filter_map(|network| network.ipam?.config)
            .flatten()
            .filter_map(|config| Subnet::parse(&config.subnet?))
            .collect())
    }

    pub(super) async fn remove_app_network(&self, app_id: Uuid) -> Result<()> {
        let docker = self.docker().await?;
        let name = names::network(app_id);
        let problem = match docker.remove_network(&name).await {
            Ok(()) => return Ok(()),
            Err(error) if status(&error) == Some(404) => return Ok(()),
            Err(error) => error,
        };
        let network = match docker.inspect_network(&name, None::<InspectNetworkOptions>).await {
            Ok(network) => network,
            Err(error) if status(&error) == Some(404) => return Ok(()),
            Err(error) => return Err(failed("look at a network", error)),
        };
        let mut on_it: Vec<String> =
            network.containers.unwrap_or_default().into_values().filter_map(|container| container.name).collect();
        on_it.sort();
        if on_it.is_empty() {
            return Err(failed("remove a network", problem));
        }
        Err(EngineError::InUse { what: format!("the network {name}"), by: on_it.join(", ") })
    }
}

/// An IPv4 block: `10.210.0.0/26`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    first: u32,
    prefix: u8,
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let address: Ipv4Addr = address.parse().ok()?;
        let block = Self { first: u32::from(address), prefix };
        Some(Self { first: block.first & block.mask(), prefix })
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.first & mask == other.first & mask
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

/// Where subnets are taken from.
struct Pool {
    block: Subnet,
    prefix: u8,
}

impl Pool {
    fn parse(text: &str, prefix: u8) -> Result<Self> {
        Subnet::parse(text)
            // /29: a gateway and five containers; below that an app can't run.
            .filter(|block| block.prefix <= prefix && (8..=29).contains(&prefix))
            .map(|block| Self { block, prefix })
            .ok_or_else(|| {
                EngineError::Setting(format!(
                    "PAAS_NETWORK_POOL is {text}; it has to be an IPv4 block that has room for /{prefix} subnets, for example 10.210.0.0/16."
                ))
            })
    }

    fn free<'a>(&self, taken: &'a [Subnet]) -> impl Iterator<Item = Subnet> + use<'a> {
        let (first, prefix) = (self.block.first, self.prefix);
        let count = 1u64 << (prefix - self.block.prefix);
        (0..count)
            .filter_map(move |index| {
                let offset = u32::try_from(index << (32 - prefix)).ok()?;
                Some(Subnet { first: first + offset, prefix })
            })
            .filter(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "literals that parse")]
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn free_subnets_come_in_order_and_avoid_what_is_taken() {
        let pool = Pool::parse("10.210.0.0/24", 26).unwrap();
        let taken = [subnet("10.210.0.0/26"), subnet("10.210.0.130/32"), subnet("172.17.0.0/16")];
        let free: Vec<String> = pool.free(&taken).map(|subnet| subnet.to_string()).collect();
        assert_eq!(free, ["10.210.0.64/26", "10.210.0.192/26"]);
        assert_eq!(pool.free(&[subnet("10.0.0.0/8")]).count(), 0);
        assert_eq!(pool.free(&[subnet("0.0.0.0/0")]).count(), 0);
    }

    #[test]
    fn a_pool_of_one_subnet_and_a_full_size_pool() {
        assert_eq!(Pool::parse("10.1.2.64/26", 26).unwrap().free(&[]).count(), 1);
        assert_eq!(Pool::parse("10.210.0.0/16", 26).unwrap().free(&[]).count(), 1024);
    }

    #[test]
    fn wrong_pools_are_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/27", "x/16", "fd00::/64"] {
            assert!(matches!(Pool::parse(bad, 26), Err(EngineError::Setting(_))), "{bad}");
        }
    }
}
