//! The engine's settings: plain values, filled by the daemon's configuration and by tests.

use std::path::PathBuf;

/// Everything that an engine must be told.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where Docker listens: `unix:///var/run/docker.sock`, `tcp://host:2375`; `None` is the
    /// default socket (`PAAS_DOCKER_HOST`).
    pub docker_host: Option<String>,
    /// Names this data directory; goes into the label `paas.instance`, so that two daemons on
    /// one engine never touch each other's containers. Lower-case letters, digits, `-`.
    pub instance: String,
    /// The data directory (absolute, without `:` `,` and `\`, which overlay mounts can't take).
    pub data_dir: PathBuf,
    /// The static `paas-init` binary, mounted into every dyno.
    pub init_path: PathBuf,
    /// The IPv4 block out of which each app gets its subnet, for example `10.210.0.0/16`.
    pub network_pool: String,
    /// The prefix length of an app's subnet: 26 has room for 61 containers.
    pub network_prefix: u8,
    /// The ports of this host that dynos may reach: the router's public ones.
    pub router_ports: Vec<u16>,
    /// A CA bundle that dynos and builds are to trust, mounted read-only into each.
    pub ca_bundle: Option<PathBuf>,
    /// Free bytes on the data directory's disk below which builds are ended.
    pub disk_reserve: u64,
    /// Whether to keep dynos off the host by firewall rules (needs root and `iptables`).
    pub firewall: bool,
}

impl EngineConfig {
    /// Settings with every default for one data directory.
    pub fn new(instance: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            docker_host: None,
            instance: instance.into(),
            data_dir: data_dir.into(),
            init_path: PathBuf::from("paas-init"),
            network_pool: "10.210.0.0/16".to_owned(),
            network_prefix: 26,
            router_ports: vec![80, 443],
            ca_bundle: None,
            disk_reserve: 1 << 30,
            firewall: true,
        }
    }
}
