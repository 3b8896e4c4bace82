//! The machine: its disk, memory, limits, programs and networks.

use std::{net::Ipv4Addr, path::Path, process::Command};

use rustix::process::{Resource, getrlimit};

use super::{Finding, bad, good, warning};

/// How many files the router and the daemon should be able to open: two for each request.
const OPEN_FILES: u64 = 16_384;

pub(super) fn disk(place: &Path, reserve_mib: u64) -> Finding {
    match rustix::fs::statvfs(place) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            let text = format!("{free} MiB free at {}", place.display());
            if free < reserve_mib {
                bad("disk", format!("{text}: builds are refused below {reserve_mib} MiB. Make room."))
            } else if free < reserve_mib * 4 {
                warning("disk", format!("{text}: little for slugs, caches and logs"))
            } else {
                good("disk", text)
            }
        }
        Err(e) => warning("disk", format!("free space could not be read: {e}")),
    }
}

pub(super) fn open_files() -> Finding {
    // The soft limit is raised to the hard one by each program at its start.
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < OPEN_FILES => warning(
            "open files",
            format!(
                "{most} at most, two for each request: raise the hard limit (ulimit -Hn, LimitNOFILE= of a unit) to {OPEN_FILES} or more"
            ),
        ),
        Some(most) => good("open files", format!("{most} at most")),
        None => good("open files", "without a limit"),
    }
}

pub(super) fn memory() -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default()
        >> 10;
    if available < 700 {
        warning(
            "memory",
            format!("{available} MiB available: not enough for a build beside a dyno. 2 GiB are comfortable."),
        )
    } else {
        good("memory", format!("{available} MiB available"))
    }
}

pub(super) fn git() -> Finding {
    match Command::new("git").arg("version").output() {
        Ok(out) if out.status.success() => good("git", String::from_utf8_lossy(&out.stdout).trim().to_owned()),
        Ok(_) | Err(_) => bad("git", "git is missing: pushes can't be taken. apt-get install git"),
    }
}

pub(super) fn cgroup() -> Finding {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        good("cgroups", "version 2")
    } else if Path::new("/sys/fs/cgroup/memory").exists() {
        good("cgroups", "version 1")
    } else {
        warning("cgroups", "no memory controller was found: dynos' memory can't be limited or measured")
    }
}

pub(super) fn firewall() -> Finding {
    match Command::new("iptables").args(["-w", "-n", "-L", "INPUT"]).output() {
        Ok(out) if out.status.success() => good("firewall", "iptables answers: dynos are kept off this host"),
        Ok(out) => warning(
            "firewall",
            format!(
                "iptables refuses ({}): dynos can reach services of this host. Run paasd as root.",
                String::from_utf8_lossy(&out.stderr).trim()
            ),
        ),
        Err(_) => {
            warning("firewall", "iptables is missing: dynos can reach services of this host. apt-get install iptables")
        }
    }
}

/// Whether what the apps' networks are taken from leads somewhere else already.
pub(super) fn network_pool(pool: &str) -> Finding {
    let Some(block) = parse(pool) else {
        return bad(
            "network pool",
            format!("PAAS_NETWORK_POOL is {pool}: it has to be an IPv4 network such as 10.208.0.0/12."),
        );
    };
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let taken: Vec<String> = routes
        .lines()
        .skip(1)
        .filter_map(route)
        // Ours come out of the pool; the default route leads wherever nothing else does.
        .filter(|(name, other)| !name.starts_with("paas-") && other.prefix > 0 && overlap(block, *other))
        .map(|(name, other)| format!("{}/{} by {name}", other.first, other.prefix))
        .collect();
    if taken.is_empty() {
        return good("network pool", format!("nothing else of this machine is in {pool}"));
    }
    warning(
        "network pool",
        format!(
            "this machine reaches {} already: apps in the same part of {pool} can't reach it, nor it them. Set PAAS_NETWORK_POOL to a network that nothing uses.",
            taken.join(", ")
        ),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    first: Ipv4Addr,
    prefix: u32,
}

fn parse(text: &str) -> Option<Block> {
    let (first, prefix) = text.split_once('/')?;
    Some(Block { first: first.parse().ok()?, prefix: prefix.parse().ok().filter(|prefix| *prefix <= 32)? })
}

fn overlap(one: Block, other: Block) -> bool {
    let mask = u32::MAX.checked_shl(32 - one.prefix.min(other.prefix)).unwrap_or(0);
    u32::from(one.first) & mask == u32::from(other.first) & mask
}

/// A line of the kernel's table of routes: the interface and where it leads.
fn route(line: &str) -> Option<(&str, Block)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let number = |word: &str| u32::from_str_radix(word, 16).ok();
    // The bytes of the address as they lie in memory.
    let first = Ipv4Addr::from(number(words.next()?)?.to_ne_bytes());
    let mask = number(words.nth(5)?)?;
    Some((name, Block { first, prefix: mask.count_ones() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_compared() {
        let (name, block) = route("eth1\t0001D00A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0").unwrap();
        assert_eq!((name, block), ("eth1", parse("10.208.1.0/24").unwrap()));
        let pool = parse("10.208.0.0/12").unwrap();
        assert!(overlap(pool, block) && overlap(block, pool));
        assert!(overlap(pool, parse("10.0.0.0/8").unwrap()));
        assert!(!overlap(pool, parse("10.224.0.0/16").unwrap()) && !overlap(pool, parse("192.0.2.0/24").unwrap()));
        assert_eq!(parse("10.0.0.0"), None);
        assert_eq!(parse("10.0.0.0/33"), None);
    }
}
