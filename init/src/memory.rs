//! Whether the kernel killed a process of this container for memory.

use std::fs;

/// Where to note it. Only who made the container can have put the file there: the root is
/// read-only, and the file is never made here.
const NOTE: &str = "/paas-end";
/// Where the kernel counts: cgroup version 2, version 1.
const COUNTS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// Notes it, if so. A note that can't be written is nobody's harm: the exit code stays.
pub(crate) fn note() {
    let killed = COUNTS.iter().filter_map(|path| fs::read_to_string(path).ok()).any(|text| kills(&text) > 0);
    if killed && let Ok(mut note) = fs::OpenOptions::new().write(true).open(NOTE) {
        let _ = std::io::Write::write_all(&mut note, b"oom\n");
    }
}

/// The count in a file of `name value` lines; both versions call it the same.
fn kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_by_both_versions() {
        assert_eq!(kills("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), 5);
        assert_eq!(kills("oom_kill_disable 1\n"), 0);
    }
}
