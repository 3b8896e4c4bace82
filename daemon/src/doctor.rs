//! `paasd doctor`: what is wrong with a machine, before a user finds out.

use std::{net::TcpListener, path::Path, process::Command, time::Duration};

use crate::{
    config::{Config, RouterMode},
    engine::{Engine as _, docker::DockerEngine},
    serve, store,
};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but worse or less safely than it could.
    Warning,
    /// Users will find out.
    Bad,
}

/// One check's outcome.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How it came out.
    pub verdict: Verdict,
    /// What was looked at.
    pub what: &'static str,
    /// What was found, and what to do where it is not good.
    pub text: String,
}

fn good(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Good, what, text: text.into() }
}

fn warning(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Warning, what, text: text.into() }
}

fn bad(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Bad, what, text: text.into() }
}

/// Looks at everything; changes nothing but to make the data directory.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![data_dir(config), disk(config), memory(), git(), cgroup(), firewall()];
    for (name, why) in
        [("paas-init", "no dyno can start without it"), ("paas-router", "no app is reachable without it")]
    {
        let path = config.program(name);
        findings.push(if path.is_file() {
            good("programs", format!("{} is there", path.display()))
        } else {
            bad(
                "programs",
                format!("{} is missing: {why}. Put it there, or set PAAS_LIBEXEC_DIR to where it is.", path.display()),
            )
        });
    }
    findings.extend(engine(config).await);
    findings.push(database(config).await);
    findings.extend(ports(config).await);
    findings.push(names(config));
    findings
}

fn data_dir(config: &Config) -> Finding {
    let dir = &config.data_dir;
    let probe = dir.join(".doctor");
    let tried = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&probe, "x"))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => good("data directory", format!("{} can be written", dir.display())),
        Err(e) => bad(
            "data directory",
            format!("{} can't be written: {e}. Run paasd as root, or set PAAS_DATA_DIR.", dir.display()),
        ),
    }
}

fn disk(config: &Config) -> Finding {
    match rustix::fs::statvfs(&config.data_dir) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            let text = format!("{free} MiB free at {}", config.data_dir.display());
            if free < config.disk_reserve_mib {
                bad("disk", format!("{text}: builds are refused below {} MiB. Make room.", config.disk_reserve_mib))
            } else if free < config.disk_reserve_mib * 4 {
                warning("disk", format!("{text}: little for slugs, caches and logs"))
            } else {
                good("disk", text)
            }
        }
        Err(e) => warning("disk", format!("free space could not be read: {e}")),
    }
}

fn memory() -> Finding {
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

fn git() -> Finding {
    match Command::new("git").arg("version").output() {
        Ok(out) if out.status.success() => good("git", String::from_utf8_lossy(&out.stdout).trim().to_owned()),
        Ok(_) | Err(_) => bad("git", "git is missing: pushes can't be taken. apt-get install git"),
    }
}

fn cgroup() -> Finding {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        good("cgroups", "version 2")
    } else if Path::new("/sys/fs/cgroup/memory").exists() {
        good("cgroups", "version 1")
    } else {
        warning("cgroups", "no memory controller was found: dynos' memory can't be limited or measured")
    }
}

fn firewall() -> Finding {
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

async fn engine(config: &Config) -> Vec<Finding> {
    let instance = serve::instance(&config.data_dir).unwrap_or_default();
    let engine = DockerEngine::new(serve::engine_config(config, instance));
    let nodes = match tokio::time::timeout(Duration::from_secs(10), engine.nodes()).await {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(e)) => return vec![bad("engine", e.to_string())],
        Err(_) => {
            return vec![bad(
                "engine",
                "The Docker engine did not answer within 10 s. Restart it: systemctl restart docker",
            )];
        }
    };
    let mut findings: Vec<Finding> = nodes
        .iter()
        .map(|node| {
            good(
                "engine",
                format!("Docker {} with {} processors and {} MiB", node.version, node.cpus, node.memory_bytes >> 20),
            )
        })
        .collect();
    for (image, why) in [
        (config.stack_image(&config.stack, false), "apps run in it"),
        ("paas/redis:7".to_owned(), "Redis add-ons run in it"),
    ] {
        findings.push(match engine.image_exists(&image).await {
            Ok(true) => good("images", format!("{image} is there")),
            Ok(false) => bad("images", format!("{image} is missing ({why}). Make it with: buildpacks/stack/build")),
            Err(e) => bad("images", e.to_string()),
        });
    }
    findings
}

async fn database(config: &Config) -> Finding {
    match store::Db::open(&config.database_url()).await {
        Ok(db) => {
            let name = db.name();
            db.close().await;
            good("database", format!("{name} opens and its tables are up to date"))
        }
        Err(e) => bad("database", serve::chain(&e)),
    }
}

async fn ports(config: &Config) -> Vec<Finding> {
    let router = crate::tasks::router::status(&config.data_dir.join("run/router.sock")).await.is_some();
    let mut findings = Vec::new();
    for (what, address, flag) in [
        ("API", config.api_listen, "PAAS_API_LISTEN"),
        ("HTTP", config.http_listen, "PAAS_HTTP_LISTEN"),
        ("HTTPS", config.https_listen, "PAAS_HTTPS_LISTEN"),
    ] {
        findings.push(match TcpListener::bind(address) {
            Ok(_) => good("ports", format!("{what}: {address} is free")),
            Err(_) if what != "API" && router => good("ports", format!("{what}: {address} is held by our router")),
            Err(e) if what != "API" && config.router == RouterMode::External => {
                good("ports", format!("{what}: {address} is in use ({e}), by the router's own unit, one hopes"))
            }
            Err(e) if what == "API" && e.kind() == std::io::ErrorKind::AddrInUse => {
                warning("ports", format!("{what}: {address} is in use: by a paasd that runs, or set {flag} to another"))
            }
            Err(e) => bad("ports", format!("{what}: {address} can't be used: {e}. Stop what uses it (ss -ltnp shows it), or set {flag} to another.")),
        });
    }
    findings
}

fn names(config: &Config) -> Finding {
    use std::net::ToSocketAddrs as _;
    let base = &config.base_domain;
    if base == "localhost" {
        return good(
            "names",
            "apps answer at NAME.localhost, on this machine only. For the world, set PAAS_BASE_DOMAIN to a domain whose wildcard points here.",
        );
    }
    let probe = config.app_host("paas-doctor");
    match (probe.as_str(), 80u16).to_socket_addrs() {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => good("names", format!("*.{base} points to {}", address.ip())),
            None => bad("names", format!("{probe} has no address. Add a wildcard record *.{base} that points here.")),
        },
        Err(e) => bad(
            "names",
            format!("{probe} can't be resolved ({e}). Add a wildcard DNS record *.{base} that points to this machine."),
        ),
    }
}
