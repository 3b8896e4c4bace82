//! What a dyno uses, read from the kernel's own files: a thousand times cheaper than Docker's
//! statistics, which stay the way when the engine is on another machine.

use std::path::{Path, PathBuf};

use bollard::query_parameters::StatsOptions;
use futures_util::StreamExt;
use uuid::Uuid;

use super::super::{Result, Usage};
use super::client::{failed, status};
use super::overlay::blocking;
use super::{DockerEngine, names};

impl DockerEngine {
    pub(super) async fn dyno_usage(&self, dyno: Uuid) -> Result<Option<Usage>> {
        let docker = self.docker().await?;
        let name = names::dyno(dyno);
        let seen = match docker.inspect_container(&name, None).await {
            Ok(seen) => seen,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(failed("look at a dyno", error)),
        };
        let state = seen.state.unwrap_or_default();
        let (true, Some(pid)) = (state.running.unwrap_or(false), state.pid) else { return Ok(None) };
        let container = seen.id.unwrap_or_default();
        if let Some(usage) = blocking(move || Ok(Cgroup::of(pid, &container).and_then(|group| group.read()))).await? {
            return Ok(Some(usage));
        }
        let options = StatsOptions { stream: false, one_shot: true };
        match docker.stats(&name, Some(options)).next().await {
            Some(Ok(stats)) => {
                let memory = stats.memory_stats.unwrap_or_default();
                let detail = memory.stats.unwrap_or_default();
                let figure = |keys: &[&str]| keys.iter().find_map(|key| detail.get(*key).copied()).unwrap_or(0);
                let idle = figure(&["total_inactive_file", "inactive_file"]);
                Ok(Some(Usage {
                    memory_total: memory.usage.unwrap_or(0).saturating_sub(idle),
                    rss: figure(&["total_rss", "anon"]),
                    cache: figure(&["total_cache", "file"]),
                    swap: figure(&["total_swap"]),
                    limit: memory.limit.unwrap_or(0),
                    cpu_micros: stats
                        .cpu_stats
                        .and_then(|cpu| cpu.cpu_usage?.total_usage)
                        .map_or(0, |nanoseconds| nanoseconds / 1000),
                    pids: stats.pids_stats.and_then(|pids| pids.current).unwrap_or(0),
                    runnable: None,
                    oom_kills: None,
                }))
            }
            Some(Err(error)) if status(&error) == Some(404) => Ok(None),
            Some(Err(error)) => Err(failed("measure a dyno", error)),
            None => Ok(None),
        }
    }
}

/// Where a container's figures are.
#[derive(Debug, PartialEq, Eq)]
enum Cgroup {
    /// One tree per resource.
    V1 { memory: PathBuf, cpu: PathBuf, pids: PathBuf },
    /// One tree.
    V2(PathBuf),
}

impl Cgroup {
    /// The groups of a process; `None` when it is not on this machine, which the container's
    /// id in the path tells.
    fn of(pid: i64, container: &str) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Self::parse(&text, container, Path::new("/sys/fs/cgroup"))
    }

    /// `/proc/PID/cgroup`: lines of `number:controllers:path`; version 2 has number 0 and no
    /// controllers.
    fn parse(text: &str, container: &str, root: &Path) -> Option<Self> {
        let groups: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(':')?.1.split_once(':'))
            .filter(|(_, path)| !container.is_empty() && path.contains(container))
            .collect();
        let of = |controller: &str| {
            let (_, path) = groups.iter().find(|(names, _)| names.split(',').any(|name| name == controller))?;
            Some(root.join(controller).join(path.trim_start_matches('/')))
        };
        if let (Some(memory), Some(cpu), Some(pids)) = (of("memory"), of("cpuacct"), of("pids")) {
            return Some(Self::V1 { memory, cpu, pids });
        }
        let (_, path) = groups.iter().find(|(names, _)| names.is_empty())?;
        Some(Self::V2(root.join(path.trim_start_matches('/'))))
    }

    fn read(&self) -> Option<Usage> {
        match self {
            Self::V1 { memory, cpu, pids } => {
                let stat = Figures::read(&memory.join("memory.stat"))?;
                let idle = stat.get("total_inactive_file");
                Some(Usage {
                    memory_total: number(&memory.join("memory.usage_in_bytes"))?.saturating_sub(idle)
                        + stat.get("total_swap"),
                    rss: stat.get("total_rss"),
                    cache: stat.get("total_cache"),
                    swap: stat.get("total_swap"),
                    limit: number(&memory.join("memory.limit_in_bytes")).unwrap_or(0),
                    cpu_micros: number(&cpu.join("cpuacct.usage")).unwrap_or(0) / 1000,
                    pids: number(&pids.join("pids.current")).unwrap_or(0),
                    runnable: runnable(&pids.join("tasks")),
                    oom_kills: Figures::read(&memory.join("memory.oom_control")).map(|all| all.get("oom_kill")),
                })
            }
            Self::V2(group) => {
                let stat = Figures::read(&group.join("memory.stat"))?;
                let swap = number(&group.join("memory.swap.current")).unwrap_or(0);
                Some(Usage {
                    memory_total: number(&group.join("memory.current"))?.saturating_sub(stat.get("inactive_file"))
                        + swap,
                    rss: stat.get("anon"),
                    cache: stat.get("file"),
                    swap,
                    limit: number(&group.join("memory.max")).unwrap_or(0),
                    cpu_micros: Figures::read(&group.join("cpu.stat")).map_or(0, |cpu| cpu.get("usage_usec")),
                    pids: number(&group.join("pids.current")).unwrap_or(0),
                    runnable: runnable(&group.join("cgroup.threads")),
                    oom_kills: Figures::read(&group.join("memory.events")).map(|all| all.get("oom_kill")),
                })
            }
        }
    }
}

/// A file of `name value` lines.
struct Figures(String);

impl Figures {
    fn read(path: &Path) -> Option<Self> {
        std::fs::read_to_string(path).ok().map(Self)
    }

    fn get(&self, name: &str) -> u64 {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or(0)
    }
}

/// A file with one figure; `max` and a missing file are `None`.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// How many of the threads listed run, wait for a processor or for the disk: what Linux
/// averages as load.
fn runnable(threads: &Path) -> Option<u64> {
    let listed = std::fs::read_to_string(threads).ok()?;
    let wants_processor = |thread: &&str| {
        std::fs::read_to_string(format!("/proc/{thread}/stat"))
            .ok()
            .and_then(|stat| stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with(['R', 'D'])))
            .unwrap_or(false)
    };
    Some(listed.lines().filter(wants_processor).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_kernels_list_are_read() {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = "12:pids:/docker/abc\n9:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n";
        assert_eq!(
            Cgroup::parse(v1, "abc", root),
            Some(Cgroup::V1 {
                memory: "/sys/fs/cgroup/memory/docker/abc".into(),
                cpu: "/sys/fs/cgroup/cpuacct/docker/abc".into(),
                pids: "/sys/fs/cgroup/pids/docker/abc".into(),
            })
        );
        let v2 = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(
            Cgroup::parse(v2, "abc", root),
            Some(Cgroup::V2("/sys/fs/cgroup/system.slice/docker-abc.scope".into()))
        );
        // A process of the same number, on this machine, that is another.
        assert_eq!(Cgroup::parse("0::/init.scope\n", "abc", root), None);
        assert_eq!(Cgroup::parse("nonsense", "abc", root), None);
    }

    #[test]
    fn figures_are_found_by_their_whole_name() {
        let figures = Figures("rss_huge 7\nrss 5\nfile 9\n".to_owned());
        assert_eq!((figures.get("rss"), figures.get("file"), figures.get("none")), (5, 9, 0));
    }
}
