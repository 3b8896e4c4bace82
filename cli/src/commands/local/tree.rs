//! The processes that ours started, and theirs, so that none is left behind.
//!
//! Each process is the leader of a process group of its own, which is what is signalled. On
//! Linux the whole tree below us is looked at too: we are made the parent of what loses its
//! own, so that groups which a shell made (`set -m`) and processes whose parent has exited
//! are found. What has left our session with setsid has detached itself on purpose (a
//! browser, a build daemon) and is left alone, as Foreman leaves it.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// The groups of the processes we started.
#[derive(Debug, Default)]
pub(super) struct Tree {
    leaders: Vec<Pid>,
}

impl Tree {
    /// Makes a tree; from now on orphans below us become our children.
    pub(super) fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            // Only kernels before 3.4 refuse; then just the groups are known.
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        }
        Self::default()
    }

    /// Adds a process that leads a group of its own.
    pub(super) fn add(&mut self, id: u32) {
        self.leaders.extend(i32::try_from(id).ok().and_then(Pid::from_raw));
    }

    /// The groups in which something still runs.
    pub(super) fn alive(&self) -> HashSet<Pid> {
        #[cfg(target_os = "linux")]
        if let Some(groups) = linux::groups_below_us() {
            return groups;
        }
        self.leaders.iter().copied().filter(|group| test_kill_process_group(*group).is_ok()).collect()
    }

    /// Signals everything that still runs.
    pub(super) fn signal(&self, signal: Signal) {
        for group in self.alive() {
            // Gone meanwhile is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Takes exited orphans off the process table.
    pub(super) fn reap(&self) {
        #[cfg(target_os = "linux")]
        linux::reap(&self.leaders);
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;

    use rustix::process::{Pid, WaitOptions, getpid, waitpid};

    struct Stat {
        pid: i32,
        state: char,
        parent: i32,
        group: i32,
        session: i32,
    }

    /// `/proc/PID/stat`; the name in it may hold blanks and parentheses.
    fn stat(pid: i32) -> Option<Stat> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let after = text.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = std::str::from_utf8(text.get(after..)?).ok()?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse().ok();
        Some(Stat { pid, state, parent: number()?, group: number()?, session: number()? })
    }

    fn all() -> Option<Vec<Stat>> {
        let entries = std::fs::read_dir("/proc").ok()?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<Stat> = pids.filter_map(stat).collect();
        all.iter().any(|stat| stat.pid == getpid().as_raw_nonzero().get()).then_some(all)
    }

    /// `None` where /proc doesn't show us ourselves.
    pub(super) fn groups_below_us() -> Option<HashSet<Pid>> {
        let us = stat(getpid().as_raw_nonzero().get())?;
        let all = all()?;
        let mut below = HashSet::from([us.pid]);
        loop {
            let known = below.len();
            for stat in &all {
                if below.contains(&stat.parent) {
                    below.insert(stat.pid);
                }
            }
            if below.len() == known {
                break;
            }
        }
        let ours = all
            .iter()
            .filter(|stat| stat.pid != us.pid && below.contains(&stat.pid) && !matches!(stat.state, 'Z' | 'X'));
        let stayed = ours.filter(|stat| stat.session == us.session && stat.group != us.group);
        Some(stayed.filter_map(|stat| Pid::from_raw(stat.group)).collect())
    }

    /// The leaders are waited for by their own tasks.
    pub(super) fn reap(leaders: &[Pid]) {
        let us = getpid().as_raw_nonzero().get();
        let exited = all().unwrap_or_default().into_iter().filter(|stat| stat.parent == us && stat.state == 'Z');
        for pid in exited.filter_map(|stat| Pid::from_raw(stat.pid)).filter(|pid| !leaders.contains(pid)) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}
