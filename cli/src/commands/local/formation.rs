//! Which processes run, how many of each, and on which ports.
//!
//! Everything is Foreman's: each *line* of the Procfile is a process of its own, so two
//! `worker:` lines both run; its first port is the base port plus 100 for each line before
//! it, and each further instance has the next. Where Foreman would call both workers
//! `worker.1`, the numbers go on here: `worker.1` and `worker.2`.

use std::collections::{BTreeMap, HashMap};

use anyhow::bail;
use paas_domain::procfile::Entry;

/// One process that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// `worker.2`.
    pub(super) name: String,
    /// What the shell is given.
    pub(super) command: String,
    /// What `PORT` says to it.
    pub(super) port: u16,
}

/// `web=2,worker=1`: how many of each type. `all` speaks for the types that aren't named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<String, u16>);

/// Ports of a line are 100 apart from the next line's.
const MOST_OF_A_LINE: u16 = 100;

impl std::str::FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut counts = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let count = part.split_once('=').map(|(name, count)| (name.trim(), count.trim().parse::<u16>()));
            let Some((name, Ok(count))) = count else {
                return Err(format!("\"{part}\" is no TYPE=COUNT, such as web=2"));
            };
            if count > MOST_OF_A_LINE {
                return Err(format!("{name}={count} is too many; at most {MOST_OF_A_LINE} run here"));
            }
            counts.insert(name.to_owned(), count);
        }
        if counts.is_empty() {
            return Err("give at least one TYPE=COUNT, such as web=2".to_owned());
        }
        Ok(Self(counts))
    }
}

/// Works out what runs.
///
/// `types` are the ones asked for by name; without any it is every type but `release`,
/// which belongs to a deploy. With `counts`, only what they name runs, as in Foreman.
pub(super) fn formation(
    entries: &[Entry],
    types: &[String],
    counts: Option<&Counts>,
    base_port: u16,
) -> anyhow::Result<Vec<Process>> {
    let known = |name: &str| entries.iter().any(|entry| entry.process_type.as_str() == name);
    let counted = counts.iter().flat_map(|counts| counts.0.keys()).filter(|name| *name != "all");
    if let Some(unknown) = types.iter().chain(counted).find(|name| !known(name)) {
        bail!("the Procfile has no process type \"{unknown}\"; it has {}", list(entries));
    }
    let count = |name: &str| -> u16 {
        let asked = types.iter().any(|asked| asked == name);
        if !types.is_empty() && !asked {
            return 0;
        }
        let by_default = asked || name != "release";
        let Some(Counts(counts)) = counts else {
            return u16::from(by_default);
        };
        let other = counts.get("all").copied().filter(|_| by_default).unwrap_or(u16::from(asked));
        counts.get(name).copied().unwrap_or(other)
    };
    let mut processes = Vec::new();
    let mut numbers: HashMap<&str, u16> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let name = entry.process_type.as_str();
        for instance in 0..count(name) {
            let number = numbers.entry(name).and_modify(|n| *n += 1).or_insert(1);
            let offset = index * usize::from(MOST_OF_A_LINE) + usize::from(instance);
            let port = u16::try_from(usize::from(base_port) + offset);
            let Ok(port) = port else {
                bail!(
                    "{name}.{number} would need port {}, and 65535 is the last; give a lower one with --port",
                    usize::from(base_port) + offset
                );
            };
            processes.push(Process { name: format!("{name}.{number}"), command: entry.command.clone(), port });
        }
    }
    if processes.is_empty() {
        bail!("nothing to start: every count is 0. The Procfile has {}", list(entries));
    }
    Ok(processes)
}

/// The types of a Procfile, each once, as a list for people.
pub(super) fn list(entries: &[Entry]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for entry in entries {
        if !names.contains(&entry.process_type.as_str()) {
            names.push(entry.process_type.as_str());
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn plan(procfile: &str, types: &[&str], counts: Option<&str>) -> String {
        let (entries, _) = paas_domain::procfile::parse_all(procfile.as_bytes()).unwrap();
        let types: Vec<String> = types.iter().map(|t| (*t).to_owned()).collect();
        let counts: Option<Counts> = counts.map(|c| c.parse().unwrap());
        match formation(&entries, &types, counts.as_ref(), 5000) {
            Ok(processes) => {
                processes.iter().map(|p| format!("{}:{}={}", p.name, p.port, p.command)).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_line_runs() {
        let file = "web: a\nworker: b\nworker: c\nrelease: d\nclock: e";
        assert_eq!(plan(file, &[], None), "web.1:5000=a worker.1:5100=b worker.2:5200=c clock.1:5400=e");
        assert_eq!(plan(file, &["worker"], None), "worker.1:5100=b worker.2:5200=c");
        assert_eq!(plan(file, &["release"], None), "release.1:5300=d");
    }

    #[test]
    fn counts_name_what_runs() {
        let file = "web: a\nworker: b\nworker: c\nrelease: d";
        assert_eq!(plan(file, &[], Some("web=2")), "web.1:5000=a web.2:5001=a");
        assert_eq!(
            plan(file, &[], Some("worker=2")),
            "worker.1:5100=b worker.2:5101=b worker.3:5200=c worker.4:5201=c"
        );
        assert_eq!(plan(file, &[], Some("all=1,web=2")), "web.1:5000=a web.2:5001=a worker.1:5100=b worker.2:5200=c");
        assert_eq!(plan(file, &[], Some("all=1,worker=0")), "web.1:5000=a");
        assert_eq!(plan(file, &["web"], Some("worker=2")), "web.1:5000=a");
        assert_eq!(plan(file, &["web"], Some("web=2,worker=2")), "web.1:5000=a web.2:5001=a");
        assert_eq!(plan(file, &[], Some("release=1")), "release.1:5300=d");
    }

    #[test]
    fn what_can_t_run() {
        insta::assert_snapshot!(plan("web: a", &["wbe"], None), @r#"the Procfile has no process type "wbe"; it has web"#);
        insta::assert_snapshot!(plan("web: a\nw: a\nw: b", &[], Some("x=1")), @r#"the Procfile has no process type "x"; it has web, w"#);
        insta::assert_snapshot!(plan("web: a", &[], Some("web=0")), @"nothing to start: every count is 0. The Procfile has web");
        let many: String = (0..700).map(|n| format!("w{n}: a\n")).collect();
        insta::assert_snapshot!(plan(&many, &[], None), @"w606.1 would need port 65600, and 65535 is the last; give a lower one with --port");
    }

    #[test]
    fn counts_are_checked() {
        let said = |text: &str| text.parse::<Counts>().unwrap_err();
        insta::assert_snapshot!(said("web"), @r#""web" is no TYPE=COUNT, such as web=2"#);
        insta::assert_snapshot!(said("web=-1"), @r#""web=-1" is no TYPE=COUNT, such as web=2"#);
        insta::assert_snapshot!(said("web=101"), @"web=101 is too many; at most 100 run here");
        insta::assert_snapshot!(said(","), @"give at least one TYPE=COUNT, such as web=2");
    }
}
