#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

fn commands(text: &str) -> Vec<(String, String)> {
    let parsed = Procfile::parse(text.as_bytes()).unwrap();
    let entries = parsed.procfile.entries.into_iter();
    entries.map(|e| (e.process_type.to_string(), e.command)).collect()
}

fn warned(text: &str) -> String {
    let parsed = Procfile::parse(text.as_bytes()).unwrap();
    parsed.warnings.iter().map(|w| format!("{w}\n")).collect()
}

fn refused(bytes: &[u8]) -> String {
    Procfile::parse(bytes).unwrap_err().to_string()
}

fn pair(name: &str, command: &str) -> (String, String) {
    (name.to_owned(), command.to_owned())
}

#[test]
fn the_seed_story() {
    let text = "web: bundle exec puma -C config/puma.rb\nworker: bundle exec sidekiq\n";
    assert_eq!(
        commands(text),
        [pair("web", "bundle exec puma -C config/puma.rb"), pair("worker", "bundle exec sidekiq")]
    );
    assert_eq!(warned(text), "");
    let procfile = Procfile::parse(text.as_bytes()).unwrap().procfile;
    assert_eq!(procfile.command("worker"), Some("bundle exec sidekiq"));
    assert_eq!(procfile.command("clock"), None);
    assert_eq!(procfile.to_string(), text);
}

#[test]
fn what_editors_leave_behind() {
    assert_eq!(commands("\u{feff}web: a\r\nworker: b\r\n"), [pair("web", "a"), pair("worker", "b")]);
    assert_eq!(commands("# hi\n\n  # there\n\t\nweb: a  "), [pair("web", "a")]);
    assert_eq!(warned("\u{feff}# hi\r\n\r\nweb: a\r\n"), "");
}

#[test]
fn colons_and_blanks() {
    assert_eq!(commands("web:a:b: c"), [pair("web", "a:b: c")]);
    assert_eq!(commands("web:\t  a # not a comment"), [pair("web", "a # not a comment")]);
    assert_eq!(commands("-_9: a"), [pair("-_9", "a")]);
    assert_eq!(commands("web: écho 日本"), [pair("web", "écho 日本")]);
}

#[test]
fn the_last_of_two_wins_and_both_lines_are_named() {
    let text = "worker: one\nweb: a\nworker: two\nworker: three\n";
    assert_eq!(commands(text), [pair("worker", "three"), pair("web", "a")]);
    insta::assert_snapshot!(warned(text), @r#"
    Procfile lines 1 and 3 both name "worker"; line 3 is used
    Procfile lines 3 and 4 both name "worker"; line 4 is used
    "#);
}

#[test]
fn foreman_gets_every_line() {
    let (entries, warnings) = parse_all(b"worker: one\nworker: two\n").unwrap();
    let lines: Vec<_> = entries.iter().map(|e| (e.command.as_str(), e.line)).collect();
    assert_eq!(lines, [("one", 1), ("two", 2)]);
    assert_eq!(warnings, []);
}

#[test]
fn ignored_lines_are_warned_about() {
    let long = "x".repeat(129);
    let text = format!("web: a\nhello\nbare:\nblank:   \n web: b\nw b: c\n: d\nwéb: e\n{long}: f\nbad\u{1b}[2J\n");
    assert_eq!(commands(&text), [pair("web", "a")]);
    insta::assert_snapshot!(warned(&text), @r#"
    Procfile line 2 is ignored, it isn't "type: command": hello
    Procfile line 3 is ignored, there is no command after the colon: bare:
    Procfile line 4 is ignored, there is no command after the colon: blank:
    Procfile line 5 is ignored, it starts with blanks; a process type must start its line: web: b
    Procfile line 6 is ignored, it isn't "type: command": w b: c
    Procfile line 7 is ignored, it isn't "type: command": : d
    Procfile line 8 is ignored, it isn't "type: command": wéb: e
    Procfile line 9 is ignored, the process type has more than 128 characters: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    Procfile line 10 is ignored, it isn't "type: command": bad\u{1b}[2J
    "#);
}

#[test]
fn what_is_no_procfile() {
    insta::assert_snapshot!(refused(b""), @r#"the Procfile is empty; it needs a line such as "web: bundle exec puma""#);
    insta::assert_snapshot!(refused(b"\xef\xbb\xbf \r\n"), @r#"the Procfile is empty; it needs a line such as "web: bundle exec puma""#);
    insta::assert_snapshot!(refused(b"# only\nweb"), @r#"the Procfile names no process types; a line must look like "web: bundle exec puma""#);
    insta::assert_snapshot!(refused(b"web: a\nx\0y"), @"the Procfile is binary, not text: line 2 has a NUL byte. Save it as plain text in UTF-8");
    insta::assert_snapshot!(refused(b"web: \xff"), @"the Procfile is binary, not text: line 1 has bytes that are not UTF-8. Save it as plain text in UTF-8");
    let large = "web: a\n".repeat(5 * 1024 * 1024 / 7);
    insta::assert_snapshot!(refused(large.as_bytes()), @"the Procfile is too large: 5242874 bytes, at most 1048576 (1 MB) are read");
}

#[test]
fn a_megabyte_of_lines_is_quick() {
    let most: String = (0..100_000).map(|n| format!("w{n}: a\n")).take_while_size(LARGEST);
    let begun = std::time::Instant::now();
    Procfile::parse(most.as_bytes()).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "quadratic?");
}

trait TakeWhileSize {
    fn take_while_size(self, most: usize) -> String;
}

impl<I: Iterator<Item = String>> TakeWhileSize for I {
    fn take_while_size(self, most: usize) -> String {
        let mut out = String::new();
        for piece in self {
            if out.len() + piece.len() > most {
                break;
            }
            out.push_str(&piece);
        }
        out
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(Procfile::parse(&bytes));
        drop(parse_all(&bytes));
    }

    #[test]
    fn never_panics_on_lines(text in "([ a-zé:#\u{feff}-]{0,12}\r?\n){0,12}") {
        if let Ok(parsed) = Procfile::parse(text.as_bytes()) {
            for warning in parsed.warnings {
                assert!(!warning.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn round_trip(lines in proptest::collection::vec(("[A-Za-z0-9_-]{1,20}", "[^\\s\\pC](\\PC*[^\\s\\pC])?"), 1..20)) {
        let text: String = lines.iter().map(|(name, command)| format!("{name}: {command}\n")).collect();
        let (all, warnings) = parse_all(text.as_bytes()).unwrap();
        assert_eq!(warnings, []);
        let read: Vec<_> = all.into_iter().map(|e| (e.process_type.to_string(), e.command)).collect();
        assert_eq!(read, lines);

        let procfile = Procfile::parse(text.as_bytes()).unwrap().procfile;
        for entry in &procfile.entries {
            let last = lines.iter().rfind(|(name, _)| name == entry.process_type.as_str());
            assert_eq!(Some(&entry.command), last.map(|(_, command)| command));
        }
        let again = Procfile::parse(procfile.to_string().as_bytes()).unwrap();
        assert_eq!(again.warnings, []);
        let pairs = |p: &Procfile| p.entries.iter().map(|e| (e.process_type.clone(), e.command.clone())).collect::<Vec<_>>();
        assert_eq!(pairs(&again.procfile), pairs(&procfile));
    }
}
