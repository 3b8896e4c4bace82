//! TAP, the Test Anything Protocol: what many test programs say about their cases.

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its number: as told, else counted.
    pub number: i64,
    /// `ok` and not `not ok`; what is skipped or to do does not fail.
    pub passed: bool,
    /// What it is about.
    pub description: String,
    /// `SKIP why` or `TODO why`.
    pub directive: String,
    /// The lines about it that follow.
    pub diagnostic: String,
}

/// Most bytes that are kept of what is said about one case.
const LONGEST: usize = 10_000;

/// The cases that an output tells of. None, unless it says that it is TAP: by a plan (`1..4`)
/// or a version line.
#[must_use]
pub fn read(output: &str) -> Vec<Case> {
    let says = |line: &str| {
        let line = line.trim_end();
        line.starts_with("TAP version ")
            || line.strip_prefix("1..").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    if !output.lines().any(says) {
        return Vec::new();
    }
    let mut cases: Vec<Case> = Vec::new();
    for line in output.lines() {
        if let Some(case) = case(line, cases.last().map_or(1, |last| last.number.saturating_add(1))) {
            cases.push(case);
        } else if let Some(last) = cases.last_mut()
            && (line.starts_with('#') || line.starts_with("  "))
            && last.diagnostic.len() + line.len() < LONGEST
        {
            last.diagnostic.push_str(line.strip_prefix('#').unwrap_or(line).trim());
            last.diagnostic.push('\n');
        }
    }
    cases
}

fn case(line: &str, next: i64) -> Option<Case> {
    let (ok, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(digits);
    let (description, directive) = match rest.trim_start().strip_prefix('#') {
        Some(mark) => ("", mark.trim()),
        None => rest.split_once(" #").map_or((rest, ""), |(text, mark)| (text, mark.trim())),
    };
    let mark = directive.to_ascii_uppercase();
    let excused = mark.starts_with("SKIP") || mark.starts_with("TODO");
    Some(Case {
        number: number.parse().unwrap_or(next),
        passed: ok || excused,
        description: description.trim().trim_start_matches("- ").to_owned(),
        directive: directive.to_owned(),
        diagnostic: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_with_what_is_said_about_them() {
        let cases = read(
            "noise\n1..4\nok 1 - adds\nnot ok 2 - divides\n# by zero\n  at line 3\nok # SKIP no net\nnot ok 4 later # TODO some day\nokay then\n",
        );
        let told: Vec<_> = cases.iter().map(|c| (c.number, c.passed, c.description.as_str())).collect();
        assert_eq!(told, [(1, true, "adds"), (2, false, "divides"), (3, true, ""), (4, true, "later")]);
        assert_eq!(cases[1].diagnostic, "by zero\nat line 3\n");
        assert_eq!(cases[3].directive, "TODO some day");
        assert_eq!(cases[2].directive, "SKIP no net");
    }

    #[test]
    fn other_outputs_have_none() {
        assert!(read("ok so far\nok\n").is_empty());
        assert!(read("").is_empty());
    }
}
