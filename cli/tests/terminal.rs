//! What is different on a terminal: colour, the spinner, questions. `script` makes the terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::json;
use util::things::*;
use util::{World, wait_for};

/// Runs `paas` on a terminal; each pair is what it must have said before the next is typed.
fn on_terminal(world: &World, line: &str, typed: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new("script");
    let call = format!("stty cols 120; exec '{}' {line}", assert_cmd::cargo::cargo_bin!("paas").display());
    command.args(["-q", "-e", "-f", "-c", &call, "/dev/null"]);
    world.surround(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            heard.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    let text = || String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
    for (question, answer) in typed {
        wait_for(|| text().contains(question));
        input.write_all(answer.as_bytes()).unwrap();
    }
    let status = child.wait().unwrap();
    reader.join().unwrap();
    (status.code().unwrap(), text())
}

#[test]
fn colour_is_for_terminals_only() {
    let mut world = World::new();
    world.stub.json("GET /apps/myapp/config-vars", &json!({"A": "1"})).json("PATCH /apps/myapp", &app("myapp")).error(
        "GET /apps/myapp/dynos",
        422,
        "invalid_params",
        "No.",
    );
    world.env("TERM", Some("xterm-256color"));
    let lines = ["config", "maintenance:on", "ps"];
    for line in lines {
        let (_, said) = on_terminal(&world, line, &[]);
        assert!(said.contains("\u{1b}[1m") || said.contains("\u{1b}[3"), "{line}: {said:?}");
        let run = world.run(&[line]);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{line}");
    }
    let (_, said) = on_terminal(&world, "maintenance:on", &[]);
    assert!(said.contains("Enabling maintenance mode for ") && said.contains("... done"), "{said:?}");
    world.env("NO_COLOR", Some("1"));
    for line in lines {
        // The spinner moves the cursor; it must not colour.
        let (_, said) = on_terminal(&world, line, &[]);
        let colours: Vec<&str> = said
            .split("\u{1b}[")
            .skip(1)
            .filter(|part| part.trim_start_matches(|c: char| c == ';' || c.is_ascii_digit()).starts_with('m'))
            .collect();
        assert!(colours.is_empty(), "{line}: {said:?}");
    }
}

#[test]
fn what_is_destroyed_is_typed_first() {
    let world = World::new();
    let made = addon("redis-calm-1", paas_wire::AddonState::Provisioned);
    let mut gone = made.clone();
    gone.state = paas_wire::AddonState::Deprovisioned;
    world
        .stub
        .json("GET /apps/myapp", &app("myapp"))
        .json("DELETE /apps/myapp", &app("myapp"))
        .json("POST /actions/addons/resolve", &[&made])
        .json(&format!("DELETE /apps/myapp/addons/{}", id(21)), &gone);
    let deleted = || world.stub.calls().iter().filter(|call| call.starts_with("DELETE")).count();
    let question = "To go on, type myapp";
    for line in ["destroy", "addons:destroy redis"] {
        let before = deleted();
        let (code, said) = on_terminal(&world, line, &[(question, "nope\r")]);
        assert!(code == 1 && said.contains("is not myapp; nothing was changed"), "{code} {said}");
        let (code, _) = on_terminal(&world, line, &[(question, "\u{3}")]);
        assert_eq!((code, deleted()), (130, before), "{line}");
        let (code, said) = on_terminal(&world, line, &[(question, "myapp\r")]);
        assert!(code == 0 && said.contains("done"), "{code} {said}");
        assert_eq!(deleted(), before + 1, "{line}");
    }
}

#[test]
fn a_text_with_a_mistake_can_be_edited_again() {
    let mut world = World::new();
    world
        .stub
        .json("GET /apps/myapp/config-vars", &json!({"A": "1"}))
        .json("PATCH /apps/myapp/config-vars", &json!({"A": "1", "B": "2"}))
        .json("GET /apps/myapp/releases", &Vec::<u8>::new());
    // Each time one more character: B, B=, and that is good.
    world.env("EDITOR", Some("sh -c 'if grep -q B $0; then sed -i s/B/B=2/ $0; else echo B >> $0; fi'"));
    let (code, said) = on_terminal(&world, "config:edit", &[("Edit the text again?", "y\r")]);
    assert!(code == 0 && said.contains("Line 2 is not of the form"), "{code} {said}");
    assert_eq!(world.stub.calls()[1], r#"PATCH /apps/myapp/config-vars {"B":"2"}"#);
}

#[test]
fn words_of_others_do_not_command_the_terminal() {
    let world = World::new();
    let evil = "\u{1b}]0;pwn\u{7}\u{1b}[2Jevil";
    let release = release(13, evil, paas_wire::ReleaseStatus::Succeeded);
    world
        .stub
        .json("GET /apps/myapp/releases", &[&release])
        .json("GET /apps/myapp/releases/13", &release)
        .json("GET /apps/myapp/config-vars", &json!({"A": evil}))
        .error("GET /apps/myapp/dynos", 422, "invalid_params", evil);
    for line in ["releases", "releases:info 13", "config", "config:get A", "config -s", "ps"] {
        let (_, said) = on_terminal(&world, line, &[]);
        assert!(said.contains("evil") && said.contains('\u{fffd}'), "{line}: {said:?}");
        assert!(
            !said.contains("\u{1b}]0;") && !said.contains("\u{1b}[2J") && !said.contains('\u{7}'),
            "{line}: {said:?}"
        );
    }
}

#[test]
fn ctrl_c_is_heard_while_input_is_waited_for() {
    let mut world = World::new();
    world.env("PAAS_API_KEY", None);
    // What is polled first is by chance, so once proves nothing.
    for _ in 0..6 {
        let (code, _) = on_terminal(&world, "login --token -", &[("Type the token", "\u{3}")]);
        assert_eq!(code, 130);
    }
}

#[test]
fn ctrl_c_in_an_editor_is_the_editors() {
    let mut world = World::new();
    world
        .stub
        .json("GET /apps/myapp/config-vars", &json!({"A": "1"}))
        .json("PATCH /apps/myapp/config-vars", &json!({"A": "2"}))
        .json("GET /apps/myapp/releases", &Vec::<u8>::new());
    let editor = "sh -c 'trap : INT; echo editing; read line; sed -i s/1/2/ $0'";
    world.env("EDITOR", Some(editor));
    let (code, said) = on_terminal(&world, "config:edit", &[("editing", "\u{3}"), ("^C", "\r")]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.stub.calls()[1], r#"PATCH /apps/myapp/config-vars {"A":"2"}"#);
}
