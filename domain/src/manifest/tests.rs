#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    Manifest::parse(text.as_bytes()).unwrap_err().to_string()
}

const FULL: &str = r#"{
  "$schema": "https://example.com/schema",
  "name": "Small Sharp Tool",
  "description": "Checks things",
  "keywords": ["productivity", "tool"],
  "website": "https://example.com/",
  "repository": "https://git.example.com/a/b",
  "logo": "https://example.com/logo.svg",
  "success_url": "/welcome",
  "stack": "debian-12",
  "env": {
    "SECRET_TOKEN": {"description": "Signs cookies", "generator": "secret"},
    "WEB_CONCURRENCY": {"value": 5, "required": "false"},
    "HEROKU_APP_NAME": {"required": true},
    "PLAIN": "text",
    "EMPTY": {}
  },
  "formation": {"web": {"quantity": 1, "size": "standard-2X"}, "worker": 2, "clock": {}},
  "addons": ["redis", {"plan": "redis:mini", "as": "CACHE", "options": {"version": 7}}],
  "buildpacks": [{"url": "heroku/ruby"}, "https://example.com/pack.tgz"],
  "scripts": {"postdeploy": "rake db:setup", "test": {"command": "rake", "size": "basic"}},
  "environments": {"test": {"env": {"CI": "1"}, "scripts": {"test": "rake test"}}},
  "surprise": 1
}"#;

#[test]
fn everything_that_can_be_said() {
    let Parsed { manifest, warnings } = Manifest::parse(FULL.as_bytes()).unwrap();
    assert_eq!(warnings, ["app.json: surprise is ignored, there is no such key"]);
    assert_eq!(manifest.name.as_deref(), Some("Small Sharp Tool"));
    assert_eq!(manifest.keywords, ["productivity", "tool"]);
    assert_eq!(manifest.stack.as_deref(), Some("debian-12"));

    let var = |key: &str| manifest.env.get(key).unwrap();
    assert_eq!((var("SECRET_TOKEN").generator, var("SECRET_TOKEN").required), (Some(Generator::Secret), true));
    assert_eq!((var("WEB_CONCURRENCY").value.as_deref(), var("WEB_CONCURRENCY").required), (Some("5"), false));
    assert_eq!(var("PLAIN").value.as_deref(), Some("text"));
    assert!(var("EMPTY").required && var("HEROKU_APP_NAME").required);

    let formation: Vec<_> = manifest.formation.iter().map(|(t, f)| (t.as_str(), f.quantity, f.size)).collect();
    assert_eq!(formation, [("clock", 1, None), ("web", 1, Some(Size::Standard2X)), ("worker", 2, None)]);

    assert_eq!(manifest.addons[0].plan, "redis");
    assert_eq!(manifest.addons[1].attachment.as_deref(), Some("CACHE"));
    assert_eq!(manifest.addons[1].options["version"], "7");
    let packs: Vec<_> = manifest.buildpacks.iter().map(|pack| pack.url.as_str()).collect();
    assert_eq!(packs, ["heroku/ruby", "https://example.com/pack.tgz"]);
    assert_eq!(manifest.scripts["postdeploy"], Script { command: "rake db:setup".to_owned(), size: None });
    assert_eq!(manifest.scripts["test"].size, Some(Size::Basic));
    let test = &manifest.environments["test"];
    assert_eq!(test.env["CI"].value.as_deref(), Some("1"));
    assert_eq!(test.scripts["test"].command, "rake test");
}

#[test]
fn nothing_has_to_be_said() {
    let empty = Parsed { manifest: Manifest::default(), warnings: Vec::new() };
    assert_eq!(Manifest::parse(b"{}").unwrap(), empty);
    assert_eq!(Manifest::parse(b"\xef\xbb\xbf{\"name\": null}\r\n").unwrap(), empty);
}

#[test]
fn errors_name_the_place() {
    insta::assert_snapshot!(refused("[]"), @"app.json: the file must be an object, {…}, not a list");
    insta::assert_snapshot!(refused(""), @"app.json is not valid JSON: EOF while parsing a value at line 1 column 0");
    insta::assert_snapshot!(refused("{\n \"a\": 1,\n}"), @"app.json is not valid JSON: trailing comma at line 3 column 1");
    insta::assert_snapshot!(refused(r#"{"name": []}"#), @"app.json: name must be a string, not a list");
    insta::assert_snapshot!(refused(r#"{"env": {"S": {"generator": "uuid"}}}"#), @r#"app.json: env.S.generator must be "secret", the only generator there is, not "uuid""#);
    insta::assert_snapshot!(refused(r#"{"env": {"S": {"required": "maybe"}}}"#), @r#"app.json: env.S.required must be true or false, not "maybe""#);
    insta::assert_snapshot!(refused(r#"{"env": {"1S": "x"}}"#), @r#"app.json: env.1S is wrong: config var "1S" can't start with a digit; start with a letter or an underscore"#);
    insta::assert_snapshot!(refused(r#"{"addons": [{"as": "X"}]}"#), @r#"app.json: addons[0] needs a "plan""#);
    insta::assert_snapshot!(refused(r#"{"addons": {"redis": 1}}"#), @"app.json: addons must be a list, […], not an object");
    insta::assert_snapshot!(refused(r#"{"formation": {"web": {"quantity": -1}}}"#), @"app.json: formation.web.quantity must be a whole number from 0 to 100, not -1");
    insta::assert_snapshot!(refused(r#"{"formation": {"web": {"size": "huge"}}}"#), @r#"app.json: formation.web.size is wrong: there is no dyno size "huge"; the sizes are eco, basic, standard-1x, standard-2x, performance-m and performance-l"#);
    insta::assert_snapshot!(refused(r#"{"formation": {"w b": 1}}"#), @r#"app.json: formation.w b is wrong: process type "w b" has ' ' in it; only letters, digits, dashes and underscores are allowed"#);
    insta::assert_snapshot!(refused(r#"{"buildpacks": [" "]}"#), @"app.json: buildpacks[0] must not be empty");
    insta::assert_snapshot!(refused(r#"{"environments": {"test": {"scripts": {"test": 1}}}}"#), @"app.json: environments.test.scripts.test must be a string, not 1");
    assert!(refused(&"[".repeat(100_000)).contains("recursion limit"));
    assert!(refused(&" ".repeat(LARGEST + 1)).contains("too large"));
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Manifest::parse(&bytes));
    }

    #[test]
    fn never_panics_on_any_value_anywhere(
        key in "name|keywords|env|addons|formation|buildpacks|scripts|environments|x",
        inner in "\"a\"|1|-1|1e400|null|true|\\[\\]|\\{\\}|\"\"|\\[null\\]|\\{\"a\": (1|null|\\[\\]|\\{\"plan\": 1\\})\\}",
    ) {
        drop(Manifest::parse(format!("{{\"{key}\": {inner}}}").as_bytes()));
    }
}

fn parsed(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes()).unwrap().manifest
}

#[test]
fn an_environment_adds_variables_and_scripts_and_replaces_the_rest() {
    let manifest = parsed(
        r#"{"env": {"A": "1", "B": "2"}, "addons": ["redis"], "formation": {"web": 2}, "scripts": {"test": "a", "postdeploy": "p"},
            "environments": {"review": {"env": {"B": "3"}, "addons": [], "scripts": {"test": "b"}}}}"#,
    );
    let review = manifest.for_environment("review");
    let value = |key: &str| review.env[key].value.as_deref();
    assert_eq!((value("A"), value("B")), (Some("1"), Some("3")));
    assert!(review.addons.is_empty(), "an empty list is said, too");
    assert_eq!(review.formation.len(), 1);
    assert_eq!((review.scripts["test"].command.as_str(), review.scripts["postdeploy"].command.as_str()), ("b", "p"));
    assert_eq!(manifest.for_environment("production"), manifest);
}

#[test]
fn variables_come_from_whoever_sets_up_then_the_file_then_a_generator() {
    let manifest = parsed(
        r#"{"env": {"A": "file", "KEY": {"generator": "secret"}, "TOKEN": {"description": "x"},
            "MAYBE": {"required": false}, "OTHER": {"generator": "secret"}}}"#,
    );
    let env = manifest.env_with(&[("A".to_owned(), "given".to_owned()), ("OTHER".to_owned(), "o".to_owned())].into());
    assert_eq!(env.values["A"], "given");
    assert_eq!(env.secrets, ["KEY"]);
    assert_eq!(env.missing, ["TOKEN"]);
    assert!(!env.values.contains_key("MAYBE"));
}
