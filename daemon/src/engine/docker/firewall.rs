//! Keeps dynos and builds off the host: from the bridges `paas-*` nothing of the host answers
//! but the router's public ports, and the cloud's metadata service (where a machine's own
//! credentials lie) can't be reached: it is at a link-local address, and with some clouds at
//! another of its own.
//!
//! Docker keeps bridges apart from each other but lets containers reach every port of the
//! host, by any of its addresses. Two chains of our own close that, each with one jump to it:
//!
//! ```text
//! INPUT       -i paas-+ -j PAAS-INPUT      established → go on · router's ports → go on · else reject
//! DOCKER-USER -i paas-+ -j PAAS-FORWARD    METADATA: port 53 → go on, else reject
//! ```
//! (Some clouds have their name server at such an address, on the one port that gives nothing
//! away.)
//! "Go on" leaves the last word to the machine's own rules. The rules are the same for IPv6.
//! Rules of a daemon carry its instance as a comment, so that several daemons share the chains
//! and each replaces only its own.

use tokio::process::Command;

use super::super::EngineConfig;
use crate::config::METADATA;

/// For packets to the host.
const INPUT: &str = "PAAS-INPUT";
/// For packets through the host.
const FORWARD: &str = "PAAS-FORWARD";
/// Docker's and our bridges' names begin so; `+` is iptables' wildcard.
const BRIDGES: &str = "paas-+";
/// Which tool is for IPv6, and the link-local addresses: metadata services are there, and at
/// those of [`METADATA`].
const TOOLS: [(&str, bool, &str); 2] = [("iptables", false, "169.254.0.0/16"), ("ip6tables", true, "fe80::/10")];

/// Brings the rules into place; each sentence returned is one thing that is not as safe as it
/// should be.
pub(super) async fn ensure(config: &EngineConfig) -> Vec<String> {
    if !config.firewall {
        return vec![
            "The firewall between dynos and this host is turned off: dynos can reach every port of it.".into(),
        ];
    }
    let mut findings = Vec::new();
    for (tool, is_ipv6, link_local) in TOOLS {
        let others = METADATA.iter().filter(|ip| ip.is_ipv6() == is_ipv6).map(ToString::to_string);
        let metadata: Vec<String> = std::iter::once(link_local.to_owned()).chain(others).collect();
        if let Err(why) = ensure_with(tool, &metadata, config).await {
            findings.push(format!(
                "Dynos are not kept off this host: {tool}: {why}. Install iptables and run paasd as root (`apt-get install iptables`), or keep them out with rules of your own for interfaces paas-*."
            ));
        }
    }
    findings
}

async fn ensure_with(tool: &str, metadata: &[String], config: &EngineConfig) -> Result<(), String> {
    ensure_chain(tool, INPUT).await?;
    ensure_rule(tool, INPUT, &["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN"], false).await?;
    if tool == "ip6tables" {
        // Neighbours are found by it.
        ensure_rule(tool, INPUT, &["-p", "ipv6-icmp", "-j", "RETURN"], false).await?;
    }
    replace_ports(tool, config).await?;
    ensure_rule(tool, INPUT, &["-j", "REJECT"], true).await?;
    ensure_rule(tool, "INPUT", &["-i", BRIDGES, "-j", INPUT], false).await?;

    ensure_chain(tool, FORWARD).await?;
    for address in metadata {
        ensure_rule(tool, FORWARD, &["-d", address, "-j", "REJECT"], true).await?;
        for protocol in ["udp", "tcp"] {
            let names = ["-d", address, "-p", protocol, "--dport", "53", "-j", "RETURN"];
            ensure_rule(tool, FORWARD, &names, false).await?;
        }
    }
    // Docker's place for rules of others; it is looked at before Docker's own.
    let place = match run(tool, &["-n", "-L", "DOCKER-USER"]).await {
        Ok(_) => "DOCKER-USER",
        Err(_) => "FORWARD",
    };
    ensure_rule(tool, place, &["-i", BRIDGES, "-j", FORWARD], false).await
}

/// Makes the rule for the router's ports the only one of this instance.
async fn replace_ports(tool: &str, config: &EngineConfig) -> Result<(), String> {
    let comment = format!("paas:{}", config.instance);
    let mut ports: Vec<String> = config.router_ports.iter().map(u16::to_string).collect();
    ports.sort();
    let ports = ports.join(",");
    let wanted =
        ["-p", "tcp", "-m", "multiport", "--dports", &ports, "-m", "comment", "--comment", &comment, "-j", "RETURN"];
    if !ports.is_empty() {
        ensure_rule(tool, INPUT, &wanted, false).await?;
    }
    for line in run(tool, &["-S", INPUT]).await?.lines() {
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let ours = words.windows(2).any(|pair| pair == ["--comment", &comment]);
        let current = words.windows(2).any(|pair| pair == ["--dports", &ports]);
        if let (true, false, ["-A", rule @ ..]) = (ours, current, words.as_slice()) {
            run(tool, &[&["-D"], rule].concat()).await?;
        }
    }
    Ok(())
}

async fn ensure_chain(tool: &str, chain: &str) -> Result<(), String> {
    if run(tool, &["-n", "-L", chain]).await.is_ok() {
        return Ok(());
    }
    run(tool, &["-N", chain]).await.map(drop)
}

/// Adds the rule unless it is there, at the chain's end or its beginning.
async fn ensure_rule(tool: &str, chain: &str, rule: &[&str], at_end: bool) -> Result<(), String> {
    if run(tool, &[&["-C", chain], rule].concat()).await.is_ok() {
        return Ok(());
    }
    let verb = if at_end { "-A" } else { "-I" };
    run(tool, &[&[verb, chain], rule].concat()).await.map(drop)
}

/// Runs the tool, waiting for its lock; gives its output, or what it complains of.
async fn run(tool: &str, arguments: &[&str]) -> Result<String, String> {
    // Daemons often have no sbin on their PATH.
    let path = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin";
    let output = Command::new(tool)
        .env("PATH", path)
        .args(["-w", "10"])
        .args(arguments)
        .output()
        .await
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().lines().next().unwrap_or("failed without a word").to_owned())
}
