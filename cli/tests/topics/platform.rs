//! The status, buildpacks of the registry, add-ons' pages, Redis's settings, two apps compared,
//! and what there is not.

use paas_wire::addon_service::AddonServiceRef;
use paas_wire::*;
use serde_json::{Value, json};

use crate::util::World;
use crate::util::things::*;

/// What the test of all commands asks of this topic.
pub(crate) fn for_all(world: &World) {
    let at = "2026-01-01T00:00:00Z";
    let pack = json!({
        "blob_url": "urn:buildpack:heroku/ruby", "category": "languages", "created_at": at, "description": "Ruby",
        "id": id(1), "name": "ruby", "namespace": "heroku", "source": {"type": "embedded"},
        "support": {"address": "x", "method": "website"}, "updated_at": at,
    });
    let slug = json!({
        "blob": {"method": "GET", "url": "http://x"}, "checksum": "SHA256:1", "created_at": at, "id": id(6),
        "stack": {"id": id(2), "name": "debian-12"}, "updated_at": at,
    });
    world
        .stub
        .json("GET /api/v4/current-status", &json!({"status": [], "incidents": [], "scheduled": []}))
        .json("GET /buildpacks?", &[&pack])
        .json("GET /buildpacks/heroku%2Fruby", &pack)
        .json("GET /buildpacks/heroku%2Fruby/revisions", &Vec::<Value>::new())
        .json(&format!("GET /apps/myapp/slugs/{}", id(6)), &slug);
}

#[test]
fn the_status_of_each_part() {
    let world = World::new();
    let at = "2026-01-01T00:00:00Z";
    let update =
        json!({"contents": "Apps can't be reached.", "created_at": at, "update_type": "issue", "updated_at": at});
    let incident = json!({
        "created_at": at, "full_url": "http://x", "id": 1, "state": "open", "title": "The router does not answer",
        "updates": [update],
    });
    let now = json!({
        "status": [{"status": "red", "system": "Apps"}, {"status": "green", "system": "Data"}],
        "incidents": [incident], "scheduled": [],
    });
    world.stub.json("GET /api/v4/current-status", &now);
    let run = world.run(&["status"]);
    assert!(run.stdout.contains("Apps:      Out of order."), "{}", run.stdout);
    assert!(run.stdout.contains("Data:      No known issues at this time."), "{}", run.stdout);
    assert!(run.stdout.contains("The router does not answer") && run.stdout.contains("can't be reached"));
    let shown: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(shown["status"], now["status"]);
}

#[test]
fn buildpacks_of_the_registry() {
    let world = World::new();
    let at = "2026-01-01T00:00:00Z";
    let pack = |namespace: &str, name: &str, about: &str| {
        json!({
            "blob_url": format!("urn:buildpack:{namespace}/{name}"), "category": "languages", "created_at": at,
            "description": about, "id": id(1), "name": name, "namespace": namespace,
            "source": {"type": "embedded"}, "support": {"address": "x", "method": "website"}, "updated_at": at,
        })
    };
    let version = json!({
        "created_at": at, "id": id(2), "license": "Apache-2.0", "ref": "v1", "release": 1, "status": "published",
    });
    world
        .stub
        .json("GET /buildpacks?", &[pack("heroku", "ruby", "Ruby, with Rails"), pack("paas", "static", "Files")])
        .json("GET /buildpacks?in%5Bnamespace%5D%5B%5D=paas", &[pack("paas", "static", "Files")])
        .json("GET /buildpacks/heroku%2Fruby", &pack("heroku", "ruby", "Ruby, with Rails"))
        .json("GET /buildpacks/heroku%2Fruby/readme", &json!({"content": "IyBoZXJva3UvcnVieQo=", "encoding": "base64"}))
        .json("GET /buildpacks/heroku%2Fruby/revisions", &[version]);
    let found = world.run(&["buildpacks:search", "rails"]).stdout;
    assert!(found.contains("heroku/ruby") && !found.contains("paas/static"), "{found}");
    let found = world.run(&["buildpacks:search", "--namespace", "paas"]).stdout;
    assert!(found.contains("paas/static") && !found.contains("heroku/ruby"), "{found}");
    assert!(world.run(&["buildpacks:search", "cobol"]).stdout.contains("No buildpacks found"));
    let info = world.run(&["buildpacks:info", "heroku/ruby"]).stdout;
    assert!(info.contains("Apache-2.0") && info.contains("# heroku/ruby"), "{info}");
    assert!(world.run(&["buildpacks:versions", "heroku/ruby"]).stdout.contains("published"));
    assert_ne!(world.run(&["buildpacks:info", "none/such"]).code, 0);
}

#[test]
fn manuals_and_dashboards_of_add_ons() {
    let world = World::new();
    let mut with = addon("board-1", AddonState::Provisioned);
    with.web_url = Some("https://board.example.com/".to_owned());
    let mut theirs = addon("other-1", AddonState::Provisioned);
    theirs.addon_service = AddonServiceRef { name: "papertrail".to_owned(), ..theirs.addon_service };
    world
        .stub
        .json("POST /actions/addons/resolve", &[with])
        .json("POST /actions/addons/resolve", &[addon("redis-calm-1", AddonState::Provisioned)])
        .json("POST /actions/addons/resolve", &[theirs])
        .error("GET /addon-services/other-1", 404, "not_found", "Couldn't find that add-on service.");
    assert_eq!(world.run(&["addons:open", "board-1", "--show-url"]).stdout, "https://board.example.com/\n");
    let run = world.run(&["addons:open", "redis-calm-1"]);
    assert!(run.code != 0 && run.stderr.contains("no dashboard"), "{}", run.stderr);
    let run = world.run(&["addons:docs", "other-1", "--show-url"]);
    assert_eq!(run.stdout, "https://devcenter.heroku.com/articles/papertrail\n", "{}", run.stderr);
}

#[test]
fn settings_of_redis() {
    let world = World::new();
    let setting = |value: Value| json!({"desc": "x", "value": value, "default": ""});
    let config = json!({
        "maxmemory_policy": setting(json!("noeviction")), "notify_keyspace_events": setting(json!("AKE")),
        "timeout": setting(json!(60)),
    });
    world
        .stub
        .json("GET /apps/myapp/addons", &[addon("redis-calm-1", AddonState::Provisioned)])
        .json("GET /apps/myapp/addon-attachments", &[attachment("REDIS", "redis-calm-1", "myapp")])
        .json("PATCH /redis/v0/databases/redis-calm-1/config", &config)
        .json("POST /redis/v0/databases/redis-calm-1/stats/reset", &json!({"message": "They have been reset."}))
        .error("POST /redis/v0/databases/redis-calm-1/upgrade", 422, "invalid_params", "version: 7 only.")
        .status("POST /addon-attachments", 201, &attachment("REDIS", "redis-calm-1", "myapp"));
    let run = world.run(&["redis:timeout", "--seconds", "60"]);
    assert!(run.stdout.contains("60 s") && world.stub.last_call().ends_with(r#"{"timeout":60}"#), "{}", run.stderr);
    assert_eq!(world.run(&["redis:keyspace-notifications", "-c", "AKE"]).code, 0);
    assert!(world.stub.last_call().ends_with(r#"{"notify_keyspace_events":"AKE"}"#), "{}", world.stub.last_call());
    assert!(world.run(&["redis:stats-reset"]).stderr.contains("--confirm myapp"));
    assert!(world.run(&["redis:stats-reset", "--confirm", "myapp"]).stdout.contains("have been reset"));
    let run = world.run(&["redis:upgrade", "--version", "8", "--confirm", "myapp"]);
    assert!(run.code != 0 && run.stderr.contains("7 only"), "{}", run.stderr);
    assert_eq!(world.run(&["redis:promote", "redis-calm-1"]).code, 0);
    let call = world.stub.last_call();
    assert!(call.contains(r#""confirm":"myapp","name":"REDIS""#), "{call}");
}

#[test]
fn two_apps_are_compared() {
    let world = World::new();
    for (name, stack, value) in [("one", "debian-12", "1"), ("two", "heroku-24", "1")] {
        let mut shown = app(name);
        shown.build_stack.name = stack.to_owned();
        world
            .stub
            .json(&format!("GET /apps/{name}"), &shown)
            .json(&format!("GET /apps/{name}/releases"), &Vec::<Value>::new())
            .json(&format!("GET /apps/{name}/config-vars"), &json!({"SAME": value, (name): "x"}))
            .json(&format!("GET /apps/{name}/buildpack-installations"), &Vec::<Value>::new())
            .json(&format!("GET /apps/{name}/addons"), &Vec::<Value>::new());
    }
    let run = world.run(&["apps:diff", "one", "two"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("stack") && run.stdout.contains("config (one)"), "{}", run.stdout);
    assert!(!run.stdout.contains("SAME"), "{}", run.stdout);
    assert!(world.run(&["apps:diff", "one", "one"]).stdout.contains("are alike"));
    let rows: Value = serde_json::from_str(&world.run(&["apps:diff", "one", "two", "--json"]).stdout).unwrap();
    assert_eq!(rows[2], json!({"property": "stack", "app1": "debian-12", "app2": "heroku-24"}));
}

#[test]
fn docker_images_are_refused_with_what_to_do() {
    let world = World::new();
    for (command, hint) in [
        ("container:push web", "git push paas main"),
        ("container:release web -a myapp", "git push paas main"),
        ("container:rm web", "ps:scale"),
        ("container:login", "paas login"),
        ("container:run web bash", "local:run"),
    ] {
        let run = world.run(&command.split(' ').collect::<Vec<_>>());
        assert!(run.code != 0 && run.stderr.contains(hint), "{command}: {}", run.stderr);
    }
    assert!(world.stub.calls().is_empty());
}

#[test]
fn hands_that_know_heroku_type_on() {
    let mut world = World::new();
    let made = release(7, "Deploy", ReleaseStatus::Succeeded);
    world
        .stub
        .json("GET /apps/myapp", &app("myapp"))
        .json("GET /apps/myapp/addons", &Vec::<u8>::new())
        .json("GET /apps/myapp/dynos", &[dyno("web.1", DynoState::Up, "x")])
        .json("GET /apps/myapp/collaborators", &Vec::<u8>::new())
        .json("GET /apps/myapp/releases/7", &made)
        .json("GET /apps/myapp/releases/7/config-vars", &json!({"A": "two words"}))
        .json("GET /apps/myapp/domains", &[domain("www.example.com", paas_wire::domain::DomainKind::Custom)])
        .json("PUT /apps/myapp/buildpack-installations", &Vec::<u8>::new())
        .json("GET /apps/myapp/config-vars", &json!({"A": "1"}))
        .json("POST /apps/myapp/dynos/web.1/actions/stop", &json!({}));
    let run = world.run(&["apps:info", "-s"]);
    assert!(run.stdout.contains("\nweb_url=") && run.stdout.contains("\ndynos=web: 1\n"), "{}", run.stdout);
    let run = world.run(&["releases:info", "v7", "--shell"]);
    assert!(run.stdout.ends_with("=== v7 Config vars\n\nA='two words'\n"), "{}", run.stdout);
    let run = world.run(&["domains", "--csv"]);
    assert!(run.stdout.starts_with("Domain,DNS target,Status\nwww.example.com,"), "{}", run.stdout);
    assert_eq!(world.run(&["buildpacks:clear", "-j"]).stdout, "[]\n");
    assert_eq!(world.run(&["config", "-j"]).stdout, "{\n  \"A\": \"1\"\n}\n");
    assert_eq!(world.run(&["stop", "web.1"]).code, 0);
    let run = world.run(&["apps:errors"]);
    assert!(run.code == 1 && run.stderr.contains("paas logs"), "{}", run.stderr);
    world.env("SHELL", Some("/usr/bin/zsh"));
    assert!(world.run(&["autocomplete"]).stdout.starts_with("#compdef paas"));
    world.env("SHELL", Some("/bin/csh"));
    assert_eq!(world.run(&["autocomplete"]).code, 2);
}

#[test]
fn what_was_written_wrongly_is_told_in_one_voice() {
    let world = World::new();
    insta::assert_snapshot!(world.shows(&[
        "apps:destory",
        "plugins",
        "nope",
        "ps:scael",
        "apps:nothing",
        "spaces:create",
        "apps --jsn",
        "config:get",
        "logs --num x",
    ]), @r"
    $ paas apps:destory
    !  ▸    apps:destory is no paas command.
    !  ▸    What there is: paas help apps
    = 2

    $ paas plugins
    !  ▸    plugins is no paas command.
    !  ▸    paas has no plugins.
    = 2

    $ paas nope
    !  ▸    nope is no paas command.
    !  ▸    All there is: paas help
    = 2

    $ paas ps:scael
    !  ▸    ps:scael is no paas command.
    !  ▸    Did you mean `paas ps:scale`? All there is: paas help
    = 2

    $ paas apps:nothing
    !  ▸    apps:nothing is no paas command.
    !  ▸    What there is: paas help apps
    = 2

    $ paas spaces:create
    !  ▸    spaces:create is no paas command.
    !  ▸    There are no spaces: one machine runs all apps.
    = 2

    $ paas apps --jsn
    !  ▸    Unexpected argument '--jsn' found.
    !  ▸    a similar argument exists: '--json'
    !  ▸    Usage: paas apps --json
    !  ▸    All about it: paas apps --help
    = 2

    $ paas config:get
    !  ▸    The following required arguments were not provided: <KEY>...
    !  ▸    Usage: paas config:get <KEY>...
    !  ▸    All about it: paas config:get --help
    = 2

    $ paas logs --num x
    !  ▸    Invalid value 'x' for '--num <COUNT>': invalid digit found in string.
    = 2
    ");
}
