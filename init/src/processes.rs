//! Who else lives in this container.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

/// A process, safe against its number being used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId {
    number: i32,
    /// Clock ticks from the machine's boot to its birth.
    born: u64,
}

impl ProcessId {
    /// The number to send signals to.
    pub(crate) fn pid(self) -> Pid {
        Pid::from_raw(self.number)
    }
}

/// Every process but the first.
pub(crate) fn others() -> Vec<ProcessId> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|number| *number > 1)
        // One that ends between the listing and the reading is simply not there.
        .filter_map(|number| {
            let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
            Some(ProcessId { number, born: birth(&stat)? })
        })
        .collect()
}

/// The 22nd field of `/proc/PID/stat`. The second, the name, is in brackets and may hold
/// anything, blanks and brackets included; so count from the last bracket.
fn birth(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Who has been asked to end, and who is still let be.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// None: asked. Some: first seen then, not asked.
    processes: HashMap<ProcessId, Option<Instant>>,
}

impl Seen {
    /// These have been asked.
    pub(crate) fn asked(processes: Vec<ProcessId>) -> Self {
        Self { processes: processes.into_iter().map(|process| (process, None)).collect() }
    }

    /// Those of `living` who are to be asked now: unasked for `patience` since they were first
    /// seen. Each comes once.
    pub(crate) fn due(&mut self, living: Vec<ProcessId>, now: Instant, patience: Duration) -> Vec<ProcessId> {
        let mut due = Vec::new();
        for process in living {
            let since = self.processes.entry(process).or_insert(Some(now));
            if since.is_some_and(|since| now.duration_since(since) >= patience) {
                *since = None;
                due.push(process);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't read its own process has failed")]
    use super::*;

    #[test]
    fn the_birth_is_found_behind_any_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(birth(&format!("12 (bash) {tail}")), Some(4711));
        assert_eq!(birth(&format!("12 (a) b (c) {tail}")), Some(4711));
        assert_eq!(birth("12 (bash"), None);
        assert_eq!(birth("12 (bash) S 1"), None);
    }

    #[test]
    fn sees_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(others().iter().any(|process| process.number == own));
    }

    #[test]
    fn newborns_are_asked_once_and_only_after_a_while() {
        let (old, new) = (ProcessId { number: 5, born: 1 }, ProcessId { number: 6, born: 2 });
        let start = Instant::now();
        let patience = Duration::from_secs(5);
        let mut seen = Seen::asked(vec![old]);
        assert_eq!(seen.due(vec![old, new], start, patience), vec![]);
        assert_eq!(seen.due(vec![old, new], start + patience / 2, patience), vec![]);
        assert_eq!(seen.due(vec![old, new], start + patience, patience), vec![new]);
        assert_eq!(seen.due(vec![old, new], start + 2 * patience, patience), vec![]);
        // The same number, another process.
        let reused = ProcessId { number: 5, born: 9 };
        assert_eq!(seen.due(vec![reused], start, patience), vec![]);
        assert_eq!(seen.due(vec![reused], start + patience, patience), vec![reused]);
    }
}
