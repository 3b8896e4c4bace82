//! Login, errors, app detection, streams.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::fs;

use paas_wire::attach::Frame;
use paas_wire::*;
use serde_json::{Value, json};
use util::things::*;
use util::{World, wait_for};

fn netrc(world: &World) -> String {
    fs::read_to_string(world.home.path().join(".netrc")).unwrap()
}

#[test]
fn errors_say_what_to_do() {
    let mut world = World::new();
    world
        .stub
        .error("GET /apps", 401, "unauthorized", "The token is not valid.")
        .status(
            "GET /apps/myapp",
            404,
            &json!({"id": "not_found", "resource": "app", "message": "There is no app myapp."}),
        )
        .error("GET /regions", 500, "internal_server_error", "Something failed.")
        .error("GET /stacks", 422, "invalid_params", "No.")
        .status(
            "GET /addons/nope",
            404,
            &json!({"id": "not_found", "resource": "add_on", "message": "Couldn't find that add-on."}),
        )
        .text("GET /apps/myapp/dynos", "not json")
        .status("GET /addons", 502, &"<html>");
    insta::assert_snapshot!(world.shows(&[
        "apps",
        "info",
        "regions",
        "stack",
        "ps",
        "addons --all",
        "addons:rename nope x",
        "confg",
        "logz",
        "config:get",
        "help nope",
    ]));
    world.env("PAAS_APP", None);
    insta::assert_snapshot!(world.show("ps"), @r"
    $ paas ps
    !  ▸    No app is named, and no git remote here leads to one.
    !  ▸    Name it with --app APP, run this in the app's repository, or connect the repository with `paas git:remote --app APP`.
    = 2
    ");
    world.env("PAAS_API_KEY", None);
    insta::assert_snapshot!(world.show("apps"), @r"
    $ paas apps
    !  ▸    You are not logged in to http://SERVER.
    !  ▸    Log in with `paas login`, or set PAAS_API_KEY to an API token.
    = 1
    ");
    world.env("PAAS_API_KEY", Some("x"));
    for (host, part, code) in [
        ("http://127.0.0.1:1", "connection refused", 1),
        ("ftp://x", "no URL of an API", 2),
        ("http://no-such-host.invalid", "can't be reached", 1),
    ] {
        world.env("PAAS_HOST", Some(host));
        let run = world.run(&["apps"]);
        assert!(run.stderr.contains(part) && run.code == code, "{host}: {} {}", run.code, run.stderr);
        assert!(run.stderr.contains("PAAS_HOST"), "{}", run.stderr);
    }
}

#[test]
fn login_and_logout_keep_the_rest_of_netrc() {
    let mut world = World::new();
    world.env("PAAS_API_KEY", None);
    let others = "machine github.com\n  login me\n  password p # keep\n";
    fs::write(world.home.path().join(".netrc"), others).unwrap();
    world
        .stub
        .json("POST /oauth/authorizations", &authorization(Some("t-1")))
        .json("GET /account", &account())
        .json("DELETE /oauth/sessions/~", &json!({}));
    world.stdin("me@example.com\npass:word\n");
    assert_eq!(world.show("login"), "$ paas login\n! Logged in to http://SERVER as me@example.com\n");
    let machine = world.stub.url.trim_start_matches("http://").to_owned();
    assert_eq!(netrc(&world), format!("{others}machine {machine}\n  login me@example.com\n  password t-1\n"));
    let basic = world.stub.requests()[0].headers["authorization"].clone();
    assert_eq!(basic, "Basic bWVAZXhhbXBsZS5jb206cGFzczp3b3Jk");

    assert_eq!(world.run(&["whoami"]).stdout, "me@example.com\n");
    assert_eq!(world.stub.requests().last().unwrap().headers["authorization"], "Bearer t-1");
    assert_eq!(world.run(&["auth:token"]).stdout, "t-1\n");
    assert_eq!(world.run(&["login", "--token", "t-2"]).code, 0);
    assert_eq!(world.run(&["auth:token"]).stdout, "t-2\n");

    assert_eq!(world.run(&["logout"]).code, 0);
    assert_eq!(netrc(&world), others);
    assert_eq!(world.stub.requests().last().unwrap().headers["authorization"], "Bearer t-2");
    assert_eq!(world.run(&["whoami"]).code, 1);
}

#[test]
fn a_login_that_is_refused() {
    let mut world = World::new();
    world.env("PAAS_API_KEY", None).stdin("me@example.com\nwrong\n");
    let words = "Invalid credentials provided. Log in with: paas login";
    world.stub.error("POST /oauth/authorizations", 401, "unauthorized", words);
    world.stub.error("GET /account", 401, "unauthorized", words);
    insta::assert_snapshot!(world.shows(&["login", "login --token x"]), @r"
    $ paas login
    !  ▸    The server does not know this e-mail address with this password.
    !  ▸    Nothing was changed; try again.
    = 1

    $ paas login --token x
    !  ▸    The server does not know this API token.
    !  ▸    Nothing was changed; try again.
    = 1
    ");
}

#[test]
fn login_without_a_terminal() {
    let mut world = World::new();
    world.env("PAAS_API_KEY", None);
    insta::assert_snapshot!(world.show("login"), @r"
    $ paas login
    !  ▸    There is no terminal to ask on.
    !  ▸    Use `paas login --token TOKEN`, set PAAS_API_KEY, or give e-mail address and password as two lines on stdin.
    = 2
    ");
}

#[test]
fn the_app_of_a_repository() {
    let mut world = World::new();
    world.env("PAAS_APP", None);
    world.git(&["init", "-q"]);
    world
        .stub
        .json("POST /apps", &app("shop"))
        .json("GET /apps/shop", &app("shop"))
        .json("GET /apps/shop/dynos", &Vec::<Value>::new())
        .json("GET /apps/blog/dynos", &Vec::<Value>::new())
        .json("PATCH /apps/shop", &app("store"))
        .json("GET /apps/store", &app("store"))
        .json("DELETE /apps/store", &app("store"));
    world.run(&["create", "shop"]);
    assert_eq!(world.git(&["remote", "get-url", "paas"]), format!("{}/shop.git", world.stub.url));
    assert_eq!(world.run(&["ps"]).stdout, "No dynos on ⬢ shop\n");

    // A second app: paas goes first, --remote chooses, an unknown one is an error.
    world.git(&["remote", "add", "blog", &format!("{}/blog.git", world.stub.url)]);
    assert_eq!(world.run(&["ps"]).stdout, "No dynos on ⬢ shop\n");
    assert_eq!(world.run(&["ps", "--remote", "blog"]).stdout, "No dynos on ⬢ blog\n");
    assert_eq!(world.run(&["ps", "--remote", "nope"]).code, 2);

    // The remote follows the app.
    assert_eq!(world.run(&["rename", "store"]).code, 0);
    assert_eq!(world.git(&["remote", "get-url", "paas"]), format!("{}/store.git", world.stub.url));
    assert_eq!(world.run(&["destroy", "--confirm", "store"]).code, 0);
    assert_eq!(world.git(&["remote"]), "blog");
    assert_eq!(world.run(&["git:remote", "-a", "shop"]).code, 0);
    assert_eq!(world.git(&["remote", "get-url", "paas"]), format!("{}/shop.git", world.stub.url));
}

#[test]
fn git_gets_its_token() {
    let world = World::new();
    world.git(&["init", "-q"]);
    world.stub.json("GET /apps/shop", &app("shop"));
    assert_eq!(world.run(&["git:remote", "-a", "shop"]).code, 0);
    let helper = world.git(&["config", &format!("credential.{}.helper", world.stub.url)]);
    assert!(helper.ends_with("/paas' git:credentials"), "{helper}");

    let machine = world.stub.url.trim_start_matches("http://").to_owned();
    let mut world = world;
    world.stdin(&format!("protocol=http\nhost={machine}\n\n"));
    assert_eq!(world.run(&["git:credentials", "get"]).stdout, "username=paas\npassword=secret\n");
    assert_eq!(world.run(&["git:credentials", "erase"]).stdout, "");
    world.stdin("protocol=https\nhost=github.com\n\n");
    assert_eq!(world.run(&["git:credentials", "get"]).stdout, "");
    // A repository of another server: its own login, and never the key that is set for this one.
    fs::write(world.home.path().join(".netrc"), "machine paas.example.com\n  login me\n  password other\n").unwrap();
    world.stdin("protocol=https\nhost=paas.example.com\n\n");
    assert_eq!(world.run(&["git:credentials", "get"]).stdout, "username=paas\npassword=other\n");
}

fn attached(world: &World, frames: &[Frame]) {
    let mut dyno = dyno("run.1234", DynoState::Starting, "cat");
    dyno.attach_url = Some("rendezvous://elsewhere:5001/s3cret".to_owned());
    world
        .stub
        .json("POST /apps/myapp/dynos", &dyno)
        .upgrade("GET /streams/attach/s3cret", frames.iter().flat_map(Frame::encode).collect());
}

#[test]
fn run_pipes_and_keeps_the_exit_code() {
    let mut world = World::new();
    attached(&world, &[Frame::Stdout(b"out\n".to_vec()), Frame::Stderr(b"err\n".to_vec()), Frame::Exit(7)]);
    world.stdin("some input");
    insta::assert_snapshot!(world.show("run -e A=1;B=2 --size basic -- cat -v"), @r"
    $ paas run -e A=1;B=2 --size basic -- cat -v
    ! Running cat -v on ⬢ myapp... run.1234 (Basic)
    ! err
      out
    = 7
    ");
    assert_eq!(
        world.stub.calls()[0],
        r#"POST /apps/myapp/dynos {"command":"cat -v","attach":true,"env":{"A":"1","B":"2"},"force_no_tty":true,"size":"basic"}"#
    );
    let sent: Vec<u8> =
        [Frame::Stdin(b"some input".to_vec()), Frame::StdinEof].iter().flat_map(Frame::encode).collect();
    assert_eq!(world.stub.upgraded(), sent);
    let upgrade = &world.stub.requests()[1].headers;
    assert_eq!((upgrade["upgrade"].as_str(), upgrade["authorization"].as_str()), ("paas-attach/1", "Bearer secret"));
}

#[test]
fn run_that_fails_or_breaks_off() {
    let world = World::new();
    attached(&world, &[Frame::Error("The dyno could not be started: no such command.".to_owned())]);
    let run = world.run(&["run", "nope"]);
    assert!(run.code == 1 && run.stderr.contains("no such command"), "{}", run.stderr);

    let world = World::new();
    attached(&world, &[Frame::Stdout(b"half".to_vec())]);
    let run = world.run(&["run", "x"]);
    assert!(run.code == 1 && run.stderr.contains("ended before the dyno"), "{}", run.stderr);
    assert_eq!(run.stdout, "half");
}

#[test]
fn run_detached() {
    let world = World::new();
    world.stub.json("POST /apps/myapp/dynos", &dyno("run.5", DynoState::Starting, "x"));
    insta::assert_snapshot!(world.show("run:detached rake db:migrate -a myapp"), @r"
    $ paas run:detached rake db:migrate -a myapp
    ! Running rake db:migrate on ⬢ myapp... done, run.5
      See its output with: paas logs --app myapp --dyno run.5
    ");
}

#[test]
fn redis_cli_is_a_stream_too() {
    let mut world = World::new();
    world
        .stub
        .json("GET /apps/myapp/addons", &[addon("redis-calm-1", AddonState::Provisioned)])
        .json("GET /apps/myapp/addon-attachments", &[attachment("REDIS", "redis-calm-1", "myapp")])
        .json("POST /redis/v0/databases/redis-calm-1/cli", &json!({"attach_url": "rendezvous://x:1/abc"}))
        .upgrade(
            "GET /streams/attach/abc",
            [Frame::Stdout(b"PONG\n".to_vec()), Frame::Exit(0)].iter().flat_map(Frame::encode).collect(),
        );
    world.stdin("ping\n");
    let run = world.run(&["redis:cli"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "PONG\n"), "{}", run.stderr);
}

const LOGS: &str = "2026-01-01T00:00:00.000001+00:00 app[web.1]: hello\n\
    2026-01-01T00:00:00.000002+00:00 heroku[router]: at=error code=H12\n";

fn session(world: &World) {
    let session = json!({
        "created_at": at(), "updated_at": at(), "id": id(1), "logplex_url": "http://elsewhere:9/logs/s?token=x",
    });
    world.stub.json("POST /apps/myapp/log-sessions", &session);
}

#[test]
fn logs() {
    let world = World::new();
    session(&world);
    world.stub.text("GET /logs/s?token=x", LOGS);
    let run = world.run(&["logs", "-n", "5", "--source", "app", "--ps", "web.1"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, LOGS), "{}", run.stderr);
    assert_eq!(
        world.stub.calls()[0],
        r#"POST /apps/myapp/log-sessions {"dyno":"web.1","lines":5,"source":"app","tail":false}"#
    );
    let colored = world.run(&["logs", "--force-colors"]).stdout;
    assert!(colored.contains("\u{1b}[") && colored.contains("hello"), "{colored:?}");
}

/// Lines as server-sent events, numbered from `first`.
fn events(first: u64, lines: &[String]) -> String {
    let lines = (first..).zip(lines).map(|(id, line)| format!("id: {id}\ndata: {line}\n\n"));
    std::iter::once(":\n\n".to_owned()).chain(lines).collect()
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|n| format!("2026-01-02T03:{:02}:{:02}.000000+00:00 app[web.1]: same", n / 60 % 60, n % 60)).collect()
}

#[test]
fn logs_without_a_line_say_so() {
    let world = World::new();
    session(&world);
    world.stub.text("GET /logs/s?token=x", "");
    insta::assert_snapshot!(world.shows(&["logs", "logs --dyno web.9", "logs -n 0"]), @r"
    $ paas logs
    !  ▸    myapp has no log lines yet. To wait for some, add --tail.

    $ paas logs --dyno web.9
    !  ▸    myapp has no log lines that match. To wait for some, add --tail.

    $ paas logs -n 0
    ");
}

#[test]
fn a_tail_that_broke_off_goes_on_behind_its_last_line() {
    let world = World::new();
    session(&world);
    // The first connection ends within a line, as when the server is killed.
    let first = format!("{}id: 9000\ndata: 2026-01-02T03:04", events(1, &lines(1..2001)));
    world.stub.text("GET /logs/s?token=x", &first).text("GET /logs/s?token=x", &events(2001, &lines(2001..4001)));
    // Between the two the server is away; the last session is refused, which ends the tail.
    world.stub.error("POST /apps/myapp/log-sessions", 503, "service_unavailable", "Later.");
    session(&world);
    world.stub.error("POST /apps/myapp/log-sessions", 404, "not_found", "The app is gone.");
    let run = world.run(&["logs", "--tail"]);
    let shown: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(shown, lines(1..4001));
    assert!(run.code == 1 && run.stderr.contains("The app is gone."), "{}", run.stderr);
    let requests = world.stub.requests();
    let streams: Vec<_> = requests.iter().filter(|request| request.path.starts_with("/logs/")).collect();
    assert!(streams.iter().all(|request| request.headers["accept"] == "text/event-stream"));
    let last: Vec<_> = streams.iter().map(|request| request.headers.get("last-event-id").map(String::as_str)).collect();
    assert_eq!(last, [None, Some("2000")]);
}

#[test]
fn a_tail_that_had_no_line_yet_comes_back_too() {
    let world = World::new();
    session(&world);
    session(&world);
    world.stub.error("POST /apps/myapp/log-sessions", 404, "not_found", "The app is gone.");
    let old = "2026-01-02T03:04:04.000000+00:00 app[worker.1]: not asked for".to_owned();
    let new = "2026-01-02T03:04:06.000000+00:00 app[worker.1]: new".to_owned();
    world.stub.text("GET /logs/s?token=x", ":\n\n").text("GET /logs/s?token=x", &events(7, &[old, new.clone()]));
    let run = world.run(&["logs", "-t", "-n", "0", "--dyno", "worker.1"]);
    assert_eq!(run.stdout, format!("{new}\n"), "{}", run.stderr);
    assert!(world.stub.calls()[2].contains(r#""lines":10000"#), "{:?}", world.stub.calls());
}

#[test]
fn a_tail_that_never_was_fails() {
    let world = World::new();
    world.stub.error("POST /apps/myapp/log-sessions", 503, "service_unavailable", "Not now.");
    let run = world.run(&["logs", "--tail"]);
    assert!(run.code == 1 && run.stderr.contains("Not now."), "{}", run.stderr);
    let world = World::new();
    session(&world);
    world.stub.refuse("GET /logs/s?token=x", 403, "You have lost the app.\n");
    let run = world.run(&["logs", "--tail"]);
    assert!(run.code == 1 && run.stderr.contains("You have lost the app."), "{}", run.stderr);
}

#[test]
fn an_interrupted_change_is_not_said_to_have_failed() {
    let world = World::new();
    world.stub.silence("PATCH /apps/myapp/config-vars").silence("GET /apps/myapp/config-vars");
    let interrupt = |arguments: &[&str]| {
        let before = world.stub.requests().len();
        let child = world.command(arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
        wait_for(|| world.stub.requests().len() > before);
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = interrupt(&["config:set", "A=1"]);
    assert!(code == Some(130) && said.contains("may have done it all the same"), "{code:?} {said}");
    assert!(said.contains("`paas releases`"), "{said}");
    assert_eq!(interrupt(&["config"]), (Some(130), String::new()));
}

#[test]
fn logout_says_what_stays_when_the_server_is_away() {
    let mut world = World::new();
    world.env("PAAS_API_KEY", None).env("PAAS_HOST", Some("http://127.0.0.1:1"));
    let entry = "machine 127.0.0.1:1\n  login me@example.com\n  password t-1\n";
    fs::write(world.home.path().join(".netrc"), entry).unwrap();
    insta::assert_snapshot!(world.shows(&["logout", "logout"]));
    assert_eq!(netrc(&world), "");
    // A token that was no longer good has nothing left to revoke.
    let world = World::new();
    let machine = world.stub.url.trim_start_matches("http://").to_owned();
    fs::write(world.home.path().join(".netrc"), entry.replace("127.0.0.1:1", &machine)).unwrap();
    world.stub.error("DELETE /oauth/sessions/~", 401, "unauthorized", "No such token.");
    let run = world.run(&["logout"]);
    assert!(run.code == 0 && run.stderr.contains("... done"), "{}", run.stderr);
}

#[test]
fn an_answer_that_leads_elsewhere_is_no_success() {
    let world = World::new();
    let away = ("Location", "https://api.example.com/apps/myapp/dynos");
    let here = ("Location", "/login");
    world
        .stub
        .leads("DELETE /apps/myapp/dynos", away)
        .leads("DELETE /apps/myapp/domains/www.example.com", here)
        .leads("GET /apps", away);
    insta::assert_snapshot!(world.shows(&["ps:restart", "domains:remove www.example.com", "apps"]), @r"
    $ paas ps:restart
    ! Restarting dynos on ⬢ myapp... !
    !  ▸    http://SERVER answered HTTP 301 Moved Permanently, which leads to https://api.example.com; nothing was done.
    !  ▸    If that is your server, set PAAS_HOST to https://api.example.com.
    = 1

    $ paas domains:remove www.example.com
    ! Removing www.example.com from ⬢ myapp... !
    !  ▸    http://SERVER answered HTTP 301 Moved Permanently; nothing was done.
    !  ▸    Is PAAS_HOST the address of a paas API?
    = 1

    $ paas apps
    !  ▸    http://SERVER answered HTTP 301 Moved Permanently, which leads to https://api.example.com; nothing was done.
    !  ▸    If that is your server, set PAAS_HOST to https://api.example.com.
    = 1
    ");
}

#[test]
fn what_a_server_says_makes_no_entry_of_netrc() {
    let mut world = World::new();
    world.env("PAAS_API_KEY", None);
    let mut evil = account();
    evil.email = "a@b\n  password x\nmachine github.com\n  login evil".to_owned();
    world.stub.json("GET /account", &evil);
    let run = world.run(&["login", "--token", "tok"]);
    assert!(run.code == 1 && run.stderr.contains("can't be kept"), "{}", run.stderr);
    assert!(!world.home.path().join(".netrc").exists());
    assert_eq!(world.run(&["login", "--token", "t k"]).code, 1);
    assert!(!world.home.path().join(".netrc").exists());
}

#[test]
fn what_can_not_be_written_is_no_success() {
    let world = World::new();
    world.stub.json("GET /apps/myapp/config-vars", &json!({"A": "1"})).json("GET /apps", &[app("a")]);
    for line in ["config -s", "config:get A", "apps", "apps --json"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = world.command(&line.split(' ').collect::<Vec<_>>()).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("can't be written"), "{line}: {said}");
    }
}

#[test]
fn values_are_kept_byte_for_byte() {
    let world = World::new();
    world.stub.json("GET /apps/myapp/config-vars", &json!({"A": "one\r\ntwo\u{1b}[0m"}));
    assert_eq!(world.run(&["config:get", "A"]).stdout, "one\r\ntwo\u{1b}[0m\n");
}
