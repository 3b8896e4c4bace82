//! `paasd doctor`: what is wrong with a machine, before a user finds out.

mod acme;
mod files;
mod machine;
mod ports;

use std::{path::Path, time::Duration};

use crate::{
    config::Config,
    engine::{Engine as _, docker::DockerEngine},
    serve,
    store::{
        instance,
        look::{self, Tables},
    },
};

/// The oldest Docker Engine that has what we use.
const OLDEST_ENGINE: (u32, u32) = (20, 10);

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

/// Looks at everything and changes nothing: what it tries, it takes away again.
pub async fn examine(config: &Config) -> Vec<Finding> {
    // What is relative is to the engine what it is to us.
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let config = &Config { data_dir, ..config.clone() };
    let place = nearest(&config.data_dir);
    let mut findings = vec![
        files::data_dir(&config.data_dir, place),
        files::overlay(place),
        machine::disk(place, config.disk_reserve_mib),
        machine::memory(),
        machine::open_files(),
        machine::git(),
        machine::cgroup(),
        machine::firewall(),
        machine::network_pool(&config.network_pool),
    ];
    findings.extend(files::programs(config));
    findings.extend(engine(config).await);
    findings.push(database(config).await);
    findings.extend(ports::examine(config).await);
    findings.push(names(config));
    findings.extend(acme::examine(config).await);
    findings
}

/// The directory, or what will be above it once it is made.
fn nearest(dir: &Path) -> &Path {
    dir.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"))
}

async fn engine(config: &Config) -> Vec<Finding> {
    let instance = instance::identity(&config.data_dir).ok().flatten().unwrap_or_default();
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
            let text =
                format!("Docker {} with {} processors and {} MiB", node.version, node.cpus, node.memory_bytes >> 20);
            match version(&node.version) {
                Some(version) if version < OLDEST_ENGINE => {
                    bad("engine", format!("{text} is too old: it has to be 20.10 or newer. Upgrade Docker Engine."))
                }
                Some(_) => good("engine", text),
                None => warning(
                    "engine",
                    format!("{text}: what version that is can't be told; 20.10 is the oldest that will do"),
                ),
            }
        })
        .collect();
    findings.extend(nodes.iter().map(|node| live_restore(node.outlived)));
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

fn live_restore(on: bool) -> Finding {
    if on {
        return good("live-restore", "dynos and add-ons outlive a restart of Docker");
    }
    warning(
        "live-restore",
        "is off: when Docker is restarted, killed or upgraded, all dynos and add-ons end. Put \"live-restore\": true into /etc/docker/daemon.json, then: systemctl reload docker",
    )
}

/// The first two numbers of an engine's version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

async fn database(config: &Config) -> Finding {
    let look = match look::look(&config.database_url()).await {
        Ok(look) => look,
        Err(e) => return bad("database", format!("{}. Is PAAS_DATABASE_URL right?", serve::chain(&e))),
    };
    if let Err(e) = instance::check(&config.data_dir, &look) {
        return bad("database", format!("{}.", serve::chain(&e)));
    }
    let place = look.place;
    match look.tables {
        Tables::None => good("database", format!("{place} is new: the first start makes its tables")),
        Tables::Behind(count) => warning(
            "database",
            format!("{place} wants {count} migrations: the next start of paasd applies them. Take a backup before."),
        ),
        Tables::Current => good("database", format!("{place} opens and its tables are up to date")),
        Tables::Foreign => bad(
            "database",
            format!(
                "{place} has tables of another version of paasd. Install the newer paasd again, or bring back the backup that you took before the upgrade."
            ),
        ),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_engines() {
        assert_eq!(version("20.10.24+dfsg1"), Some((20, 10)));
        assert_eq!(version("27.0-rc.1"), Some((27, 0)));
        assert!(version("19.03.15").unwrap() < OLDEST_ENGINE && version("20.10").unwrap() >= OLDEST_ENGINE);
        assert_eq!(version("dev"), None);
    }
}
