//! What the commands say and send, by topic. Each test shows some runs in one snapshot:
//! `!` marks stderr, `=` an exit code other than 0.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "platform/accounts.rs"]
mod accounts;
#[path = "platform/certs.rs"]
mod certs;
#[path = "platform/drains.rs"]
mod drains;
#[path = "topics/dynos.rs"]
mod dynos_topic;
#[path = "commands/pipelines.rs"]
mod pipelines;
#[path = "topics/platform.rs"]
mod platform_topic;
#[path = "topics/routing.rs"]
mod routing_topic;
#[path = "commands/setups.rs"]
mod setups;
#[path = "commands/teams.rs"]
mod teams;
mod util;
#[path = "platform/webhooks.rs"]
mod webhooks;

use paas_wire::domain::DomainKind;
use paas_wire::*;
use serde_json::{Value, json};
use util::World;
use util::things::*;

#[test]
fn apps() {
    let world = World::new();
    let mut paused = app("blog");
    paused.maintenance = true;
    world
        .stub
        .json("GET /apps", &[app("shop"), paused])
        .json("POST /apps", &app("brave-river-1234"))
        .json("GET /apps/myapp", &app("myapp"))
        .json("GET /apps/myapp/addons", &[addon("redis-calm-1", AddonState::Provisioned)])
        .json(
            "GET /apps/myapp/dynos",
            &[
                dyno("worker.1", DynoState::Up, "x"),
                dyno("web.1", DynoState::Up, "x"),
                dyno("web.2", DynoState::Up, "x"),
            ],
        )
        .json(
            "GET /apps/myapp/collaborators",
            &[collaborator("me@example.com", "owner"), collaborator("you@example.com", "collaborator")],
        )
        .json("PATCH /apps/myapp", &app("other"))
        .json("DELETE /apps/myapp", &app("myapp"));
    insta::assert_snapshot!(world.shows(&[
        "apps",
        "create",
        "create brave-river-1234 --stack debian-12",
        "info",
        "rename other",
        "destroy",
        "destroy --confirm wrong",
        "destroy --confirm myapp",
        "open some/path",
    ]));
    let calls = world.stub.calls();
    assert!(calls.contains(&r#"POST /apps {"name":"brave-river-1234","stack":"debian-12"}"#.to_owned()), "{calls:#?}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("DELETE")).count(), 1);
}

#[test]
fn create_with_all() {
    let world = World::new();
    world
        .stub
        .json("POST /apps", &app("shop"))
        .json("PUT /apps/shop/buildpack-installations", &[buildpack(0, "ruby")])
        .json("POST /apps/shop/addons", &addon("redis-calm-1", AddonState::Provisioning));
    insta::assert_snapshot!(world.shows(&["create shop -b ruby --addons redis:mini,redis"]));
    assert_eq!(
        world.stub.calls()[1..],
        [
            r#"PUT /apps/shop/buildpack-installations {"updates":[{"buildpack":"ruby"}]}"#,
            r#"POST /apps/shop/addons {"plan":"redis:mini"}"#,
            r#"POST /apps/shop/addons {"plan":"redis"}"#,
        ]
    );
}

#[test]
fn config() {
    let world = World::new();
    let vars = json!({"LANG": "C", "GREETING": "hello world", "KEY": "line 1\nline 2"});
    world
        .stub
        .json("GET /apps/myapp/config-vars", &vars)
        .json("PATCH /apps/myapp/config-vars", &vars)
        .json("PATCH /apps/myapp/config-vars?restart=false", &vars)
        .json("GET /apps/myapp/releases", &[release(12, "Set LANG", ReleaseStatus::Succeeded)]);
    insta::assert_snapshot!(world.shows(&[
        "config",
        "config --shell",
        "config --json",
        "config:get LANG",
        "config:get GREETING NOPE -s",
        "config:get NOPE",
        "config:set LANG=C GREETING=x=y",
        "config:set LANG=C --no-restart",
        "config:unset LANG KEY NOPE",
        "config:unset NOPE",
        "config:set LANG",
        "config:set =x",
    ]));
    let patches: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    assert_eq!(
        patches,
        [
            r#"PATCH /apps/myapp/config-vars {"GREETING":"x=y","LANG":"C"}"#,
            r#"PATCH /apps/myapp/config-vars?restart=false {"LANG":"C"}"#,
            r#"PATCH /apps/myapp/config-vars {"KEY":null,"LANG":null}"#,
        ]
    );
    let range = world.stub.requests().iter().rev().find_map(|r| r.headers.get("range").cloned());
    assert_eq!(range.as_deref(), Some("version ..; max=1, order=desc"));
}

#[test]
fn config_in_an_editor() {
    let mut world = World::new();
    let vars = json!({"A": "1", "B": "2", "C": "two\nlines"});
    world
        .stub
        .json("GET /apps/myapp/config-vars", &vars)
        .json("PATCH /apps/myapp/config-vars", &vars)
        .json("GET /apps/myapp/releases", &Vec::<Value>::new());
    world.env("EDITOR", Some("sed -i -e s/^A=1/A=x/ -e /^B=/d"));
    insta::assert_snapshot!(world.shows(&["config:edit"]), @r"
    $ paas config:edit
    ! Setting A and unsetting B and restarting ⬢ myapp... done
    ");
    assert!(world.stub.calls().contains(&r#"PATCH /apps/myapp/config-vars {"A":"x","B":null}"#.to_owned()));
    world.env("EDITOR", Some("true"));
    insta::assert_snapshot!(world.shows(&["config:edit", "config:edit A"]), @r"
    $ paas config:edit
    ! Nothing changed.

    $ paas config:edit A
    ! Nothing changed.
    ");
    world.env("EDITOR", Some("false"));
    assert_eq!(world.run(&["config:edit"]).code, 1);
}

#[test]
fn what_was_edited_is_not_lost() {
    let mut world = World::new();
    let kept = world.home.path().join("tmp");
    std::fs::create_dir(&kept).unwrap();
    world.stub.json("GET /apps/myapp/config-vars", &json!({"A": "1"})).error(
        "PATCH /apps/myapp/config-vars",
        422,
        "invalid_params",
        "A: too long.",
    );
    world.env("TMPDIR", kept.to_str());
    let texts = || -> Vec<(String, u32)> {
        use std::os::unix::fs::PermissionsExt as _;
        let files = std::fs::read_dir(&kept).unwrap().map(|file| file.unwrap().path());
        let texts = files.map(|file| {
            let found =
                (std::fs::read_to_string(&file).unwrap(), file.metadata().unwrap().permissions().mode() & 0o777);
            std::fs::remove_file(&file).unwrap();
            found
        });
        texts.collect()
    };
    for (editor, said, text) in [
        ("printf 'B\n' >>", "Line 2 is not of the form KEY=VALUE", "A=1\nB\n"),
        ("sed -i s/1/2/", "A: too long.", "A=2\n"),
        ("sh -c 'echo C=3 > $0; exit 4'", "ended with exit status: 4", "C=3\n"),
    ] {
        world.env("EDITOR", Some(editor));
        let run = world.run(&["config:edit"]);
        assert!(run.code == 1 && run.stderr.contains(said), "{}", run.stderr);
        let name = format!("kept in {}/paas-config-", kept.display());
        assert!(run.stderr.contains(&name), "{}", run.stderr);
        assert_eq!(texts(), [(text.to_owned(), 0o600)], "{editor}");
    }
    world.env("EDITOR", Some("false"));
    assert_eq!(world.run(&["config:edit"]).code, 1);
    assert_eq!(texts(), []);
}

#[test]
fn dynos() {
    let world = World::new();
    world
        .stub
        .json(
            "GET /apps/myapp/dynos",
            &[
                dyno("web.10", DynoState::Starting, "bundle exec puma"),
                dyno("web.2", DynoState::Up, "bundle exec puma"),
                dyno("worker.1", DynoState::Crashed, "bundle exec sidekiq"),
                dyno("run.1234", DynoState::Up, "rails console"),
            ],
        )
        .json("GET /apps/empty/dynos", &Vec::<Value>::new())
        .status("DELETE /apps/myapp/dynos", 202, &json!({}))
        .status("DELETE /apps/myapp/dynos/web.2", 202, &json!({}))
        .status("DELETE /apps/myapp/formations/web", 202, &json!({}))
        .status("POST /apps/myapp/dynos/run.1234/actions/stop", 202, &json!({}))
        .status("POST /apps/myapp/formations/run/actions/stop", 202, &json!({}))
        .status("POST /apps/myapp/formations/web/actions/stop", 202, &json!({}));
    insta::assert_snapshot!(world.shows(&[
        "ps",
        "ps worker",
        "ps -a empty",
        "ps:restart",
        "ps:restart web",
        "restart web.2",
        "ps:stop run.1234",
        "ps:kill run",
        "ps:stop web",
        "ps:stop",
    ]));
}

#[test]
fn scaling() {
    let world = World::new();
    let now = [formation("worker", 0, "Basic"), formation("web", 2, "Standard-1X")];
    world
        .stub
        .json("GET /apps/myapp/formation", &now)
        .json("GET /apps/new/formation", &Vec::<Value>::new())
        .json("PATCH /apps/myapp/formation", &now);
    insta::assert_snapshot!(world.shows(&[
        "ps:scale",
        "ps:scale -a new",
        "ps:scale web=2:standard-1x worker+1",
        "ps:scale web-1",
        "ps:scale web=-1",
        "ps:scale web=abc",
        "ps:scale web",
        "ps:resize",
        "ps:resize web=standard-1x",
        "ps:type basic",
        "ps:resize web=",
    ]));
    let patches: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    insta::assert_snapshot!(patches.join("\n"), @r#"
    PATCH /apps/myapp/formation {"updates":[{"type":"web","quantity":2,"dyno_size":"standard-1x"},{"type":"worker","quantity":"+1"}]}
    PATCH /apps/myapp/formation {"updates":[{"type":"web","quantity":"-1"}]}
    PATCH /apps/myapp/formation {"updates":[{"type":"web","dyno_size":"standard-1x"}]}
    PATCH /apps/myapp/formation {"updates":[{"type":"web","dyno_size":"basic"},{"type":"worker","dyno_size":"basic"}]}
    "#);
}

#[test]
fn releases() {
    let world = World::new();
    let mut current = release(12, "Set LANG config var", ReleaseStatus::Succeeded);
    current.current = true;
    let mut failed = release(13, "Deploy 0123abcd", ReleaseStatus::Failed);
    failed.output_stream_url = Some("http://elsewhere:1/streams/release/r13?x=1".to_owned());
    let all = [failed.clone(), current, release(11, "Deploy 1234abcd", ReleaseStatus::Succeeded)];
    world
        .stub
        .json("GET /apps/myapp/releases", &all)
        .json("GET /apps/new/releases", &Vec::<Value>::new())
        .json("GET /apps/myapp/releases/11", &all[2])
        .json("POST /apps/myapp/releases", &release(14, "Rollback to v11", ReleaseStatus::Succeeded))
        .text("GET /streams/release/r13?x=1", "migrating\nfailed\n");
    insta::assert_snapshot!(world.shows(&[
        "releases",
        "releases -a new",
        "releases:info v11",
        "releases:output",
        "releases:output v11",
        "rollback",
        "rollback v11",
        "rollback v99",
        "rollback -a new",
    ]));
    let posts: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("POST")).collect();
    assert_eq!(posts[0], format!(r#"POST /apps/myapp/releases {{"release":"{}"}}"#, id(11)));
    assert_eq!(posts.len(), 2);
}

#[test]
fn builds() {
    let world = World::new();
    let one = format!("/apps/myapp/builds/{}", id(11));
    world
        .stub
        .json("GET /apps/myapp/builds", &[build(BuildStatus::Pending)])
        .json(&format!("GET {one}"), &build(BuildStatus::Failed))
        .json(&format!("DELETE {one}"), &build(BuildStatus::Failed))
        .status("DELETE /apps/myapp/build-cache", 202, &json!({}))
        .json("GET /apps/new/builds", &Vec::<Value>::new())
        .text("GET /streams/build/b1", "-----> Building\n");
    insta::assert_snapshot!(world.shows(&[
        "builds",
        "builds:info",
        "builds:output",
        "builds:output -a new",
        "builds:cancel",
        "builds:cache:purge --confirm myapp",
    ]));
}

#[test]
fn buildpacks() {
    let world = World::new();
    world
        .stub
        .json("GET /apps/myapp/buildpack-installations", &[buildpack(0, "node"), buildpack(1, "ruby")])
        .json("GET /apps/new/buildpack-installations", &Vec::<Value>::new())
        .json("PUT /apps/myapp/buildpack-installations", &[buildpack(0, "ruby")]);
    insta::assert_snapshot!(world.shows(&[
        "buildpacks",
        "buildpacks -a new",
        "buildpacks:set python -i 2",
        "buildpacks:add static",
        "buildpacks:add ruby",
        "buildpacks:remove node",
        "buildpacks:remove nope",
        "buildpacks:clear",
    ]));
    let puts: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("PUT")).collect();
    assert!(puts[1].ends_with(r#"{"updates":[{"buildpack":"node"},{"buildpack":"ruby"},{"buildpack":"static"}]}"#));
    assert!(puts[3].ends_with(r#"{"updates":[]}"#));
}

#[test]
fn addons() {
    let world = World::new();
    let made = addon("redis-calm-1", AddonState::Provisioned);
    let making = addon("redis-calm-1", AddonState::Provisioning);
    let mut gone = made.clone();
    gone.state = AddonState::Deprovisioned;
    let one = format!("/apps/myapp/addons/{}", id(21));
    world
        .stub
        .json("GET /apps/myapp/addons", &[&made])
        .json("GET /apps/new/addons", &Vec::<Value>::new())
        .json("GET /apps/new/addon-attachments", &Vec::<Value>::new())
        .json(
            "GET /apps/myapp/addon-attachments",
            &[
                attachment("REDIS", "redis-calm-1", "myapp"),
                attachment("CACHE", "redis-calm-1", "myapp"),
                attachment("SHARED", "redis-far-2", "shop"),
            ],
        )
        .json("GET /addons", &[&made])
        .json("POST /apps/myapp/addons", &making)
        .json(&format!("GET {one}"), &making)
        .json(&format!("GET {one}"), &made)
        .json("POST /actions/addons/resolve", &[&made])
        .json(&format!("GET /addons/{}/addon-attachments", id(21)), &[attachment("REDIS", "redis-calm-1", "myapp")])
        .json(&format!("DELETE {one}"), &gone)
        .json(&format!("PATCH {one}"), &made)
        .json("GET /addons/redis-calm-1", &made)
        .json("POST /addon-attachments", &attachment("CACHE", "redis-calm-1", "myapp"))
        .json("GET /apps/myapp/addon-attachments/CACHE", &attachment("CACHE", "redis-calm-1", "myapp"))
        .json(&format!("DELETE /addon-attachments/{}", id(23)), &attachment("CACHE", "redis-calm-1", "myapp"));
    insta::assert_snapshot!(world.shows(&[
        "addons",
        "addons -a new",
        "addons --all",
        "addons:create redis:mini --as CACHE maxmemory_policy=allkeys-lru",
        "addons:create redis --wait",
        "addons:create redis nonsense",
        "addons:info redis",
        "addons:destroy redis",
        "addons:destroy redis --confirm myapp --force",
        "addons:upgrade redis premium",
        "addons:upgrade redis:mini",
        "addons:upgrade myapp::REDIS redis:mini",
        "addons:upgrade myapp::REDIS",
        "addons:rename redis-calm-1 cache",
        "addons:attach redis-calm-1 --as CACHE",
        "addons:detach CACHE",
    ]));
    let calls = world.stub.calls();
    for call in [
        r#"POST /apps/myapp/addons {"plan":"redis:mini","attachment":{"name":"CACHE"},"config":{"maxmemory_policy":"allkeys-lru"}}"#.to_owned(),
        format!(r#"DELETE {one} {{"force":true}}"#),
        format!(r#"PATCH {one} {{"plan":"redis:premium"}}"#),
        format!(r#"PATCH {one} {{"plan":"redis:mini"}}"#),
        r#"POST /actions/addons/resolve {"addon":"myapp::REDIS","app":"myapp"}"#.to_owned(),
        r#"POST /addon-attachments {"addon":"redis-calm-1","app":"myapp","name":"CACHE"}"#.to_owned(),
    ] {
        assert!(calls.contains(&call), "{call} is not in {calls:#?}");
    }
}

#[test]
fn waiting_for_an_addon_says_why_and_ends() {
    let world = World::new();
    let at = |message: Option<&str>| {
        let mut addon = addon("redis-calm-1", AddonState::Provisioning);
        addon.provision_message = message.unwrap_or_default().to_owned();
        addon
    };
    let one = format!("GET /apps/myapp/addons/{}", id(21));
    world
        .stub
        .json("POST /actions/addons/resolve", &[at(None)])
        .json(&one, &at(Some("Fetching its image.")))
        .json(&one, &at(Some("Fetching its image.")))
        .json(&one, &at(Some("Starting it.")))
        .json(&one, &addon("redis-calm-1", AddonState::Provisioned))
        .json(&one, &at(Some("Docker does not answer.")));
    insta::assert_snapshot!(world.shows(&["addons:wait redis", "addons:wait redis --timeout 1"]));
}

#[test]
fn a_redis_is_known_by_its_attachments() {
    let world = World::new();
    world
        .stub
        .json("GET /apps/stall/addons", &[addon("redis-calm-1", AddonState::Provisioned)])
        .json(
            "GET /apps/stall/addon-attachments",
            &[
                attachment("REDIS", "redis-calm-1", "myapp"),
                attachment("CACHE", "redis-calm-1", "myapp"),
                attachment("SHARED", "redis-far-2", "shop"),
            ],
        )
        .json("POST /actions/addons/resolve", &[addon("redis-far-2", AddonState::Provisioned)])
        .json("GET /redis/v0/databases/redis-calm-1", &redis_info())
        .json("GET /redis/v0/databases/redis-far-2", &redis_info());
    insta::assert_snapshot!(world.shows(&[
        "redis:credentials -a stall",
        "redis:credentials CACHE_URL -a stall",
        "redis:credentials cache -a stall",
        "redis:credentials SHARED -a stall",
        "redis:credentials shop::REDIS -a stall",
        "redis:credentials NOPE -a stall",
        "redis:info -a stall",
    ]));
    let read: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("GET /redis")).collect();
    let names: Vec<&str> = read.iter().filter_map(|call| call.rsplit('/').next()).collect();
    assert_eq!(names[..4], ["redis-calm-1", "redis-calm-1", "redis-far-2", "redis-far-2"]);
}

#[test]
fn redis() {
    let world = World::new();
    let database = "/redis/v0/databases/redis-calm-1";
    world
        .stub
        .json("GET /apps/myapp/addons", &[addon("redis-calm-1", AddonState::Provisioned)])
        .json(
            "GET /apps/two/addons",
            &[addon("redis-a", AddonState::Provisioned), addon("redis-b", AddonState::Provisioned)],
        )
        .json("GET /apps/new/addons", &Vec::<Value>::new())
        .json("GET /apps/myapp/addon-attachments", &[attachment("REDIS", "redis-calm-1", "myapp")])
        .json("GET /apps/two/addon-attachments", &Vec::<Value>::new())
        .json("GET /apps/new/addon-attachments", &Vec::<Value>::new())
        .json(&format!("GET {database}"), &redis_info())
        .json(&format!("PATCH {database}/config"), &redis_config("allkeys-lru"))
        .json(&format!("POST {database}/credentials_rotation"), &json!({"message": "Rotated."}))
        .json(&format!("GET {database}/wait"), &json!({"message": "available", "waiting?": false}));
    insta::assert_snapshot!(world.shows(&[
        "redis",
        "redis:info REDIS -a new",
        "redis:maxmemory --policy allkeys-lru",
        "redis:credentials",
        "redis:credentials REDIS_URL --reset",
        "redis:credentials -a two",
        "redis:wait",
    ]));
}

#[test]
fn domains_and_the_rest() {
    let world = World::new();
    let own = domain("myapp.example.net", DomainKind::Heroku);
    let www = domain("www.example.com", DomainKind::Custom);
    let mut paused = app("myapp");
    paused.maintenance = true;
    let stack =
        |name: &str| json!({"created_at": at(), "updated_at": at(), "id": id(1), "name": name, "state": "public"});
    world
        .stub
        .json("GET /apps/myapp/domains", &[own, www.clone()])
        .json("POST /apps/myapp/domains", &www)
        .json("GET /apps/myapp/domains/www.example.com", &www)
        .json("DELETE /apps/myapp/domains/www.example.com", &www)
        .json("GET /apps/myapp", &paused)
        .json("PATCH /apps/myapp", &paused)
        .json("GET /stacks", &[stack("debian-12"), stack("heroku-24")])
        .json("GET /apps/myapp/collaborators", &[collaborator("me@example.com", "owner")])
        .json("POST /apps/myapp/collaborators", &collaborator("you@example.com", "collaborator"))
        .json("DELETE /apps/myapp/collaborators/you%40example.com", &collaborator("you@example.com", "collaborator"))
        .json("GET /oauth/authorizations", &[authorization(None)])
        .json("POST /oauth/authorizations", &authorization(Some("the-token")))
        .json(&format!("DELETE /oauth/authorizations/{}", id(8)), &authorization(None));
    let revoke = format!("authorizations:revoke {}", id(8));
    insta::assert_snapshot!(world.shows(&[
        "domains",
        "domains:add www.example.com --wait",
        "domains:info www.example.com",
        "domains:clear",
        "maintenance",
        "maintenance:off",
        "stack",
        "stack:set heroku-24",
        "access",
        "access:add you@example.com",
        "access:remove you@example.com",
        "authorizations",
        "authorizations:create -d CI -s read,write",
        "authorizations:create -S",
        &revoke,
    ]));
}

/// Commands that do something, or hand on what a program says: nothing to be had as JSON.
const NO_LISTING: &[&str] = &[
    "access:add",
    "access:remove",
    "access:update",
    "addons:attach",
    "addons:destroy",
    "addons:detach",
    "addons:rename",
    "addons:upgrade",
    "addons:wait",
    "apps:destroy",
    "apps:join",
    "apps:leave",
    "apps:lock",
    "apps:open",
    "apps:rename",
    "apps:transfer",
    "apps:transfers:accept",
    "apps:transfers:cancel",
    "apps:transfers:decline",
    "apps:unlock",
    "auth:token",
    "authorizations:revoke",
    "authorizations:update",
    "builds:cache:purge",
    "addons:docs",
    "addons:open",
    "builds:cancel",
    "builds:create",
    "builds:output",
    "certs:auto:disable",
    "certs:auto:enable",
    "certs:auto:refresh",
    "certs:generate",
    "certs:remove",
    "ci:cancel",
    "clients:destroy",
    "clients:update",
    "ci:config:set",
    "ci:config:unset",
    "ci:debug",
    "ci:info",
    "ci:last",
    "ci:rerun",
    "ci:run",
    "completions",
    "config:edit",
    "config:set",
    "config:unset",
    "domains:clear",
    "domains:remove",
    "domains:update",
    "domains:wait",
    "features:disable",
    "features:enable",
    "git:clone",
    "git:remote",
    "help",
    "keys:add",
    "keys:clear",
    "keys:remove",
    "labs:disable",
    "labs:enable",
    "local",
    "local:check",
    "local:run",
    "login",
    "logout",
    "logs",
    "maintenance:off",
    "maintenance:on",
    "pipelines:add",
    "pipelines:connect",
    "pipelines:destroy",
    "pipelines:disconnect",
    "pipelines:open",
    "pipelines:remove",
    "pipelines:rename",
    "pipelines:transfer",
    "pipelines:update",
    "members:accept",
    "members:add",
    "members:remove",
    "members:set",
    "ps:restart",
    "ps:stop",
    "redis:cli",
    "redis:credentials",
    "redis:maxmemory",
    "redis:wait",
    "releases:output",
    "releases:rollback",
    "reviewapps:destroy",
    "reviewapps:disable",
    "reviewapps:enable",
    "reviewapps:wait",
    "run",
    "run:detached",
    "sessions:destroy",
    "stack:set",
    "teams:create",
    "teams:destroy",
    "teams:rename",
    "version",
    "webhooks:remove",
    "console",
    "drains:remove",
    "heroku",
    "ps:copy",
    "ps:exec",
    "ps:forward",
    "ps:socks",
    "ps:wait",
    "rake",
    "redis:keyspace-notifications",
    "redis:promote",
    "redis:stats-reset",
    "redis:timeout",
    "redis:upgrade",
    "releases:retry",
    "run:inside",
    "telemetry:remove",
];

#[test]
fn whatever_lists_or_shows_has_json() {
    let world = World::new();
    let made = addon("redis-calm-1", AddonState::Provisioned);
    let domains = [domain("www.example.com", DomainKind::Custom)];
    let none = Vec::<Value>::new();
    let now = [formation("web", 1, "Basic")];
    let (hook, event, delivery) = (id(20).to_string(), id(21).to_string(), id(22).to_string());
    let webhook = format!("/apps/myapp/webhooks/{hook}");
    let endpoint = certs::endpoint("brave-river-1");
    world
        .stub
        .json("GET /apps/myapp/sni-endpoints", &[&endpoint])
        .json("POST /apps/myapp/sni-endpoints", &endpoint)
        .json("PATCH /apps/myapp/sni-endpoints/brave-river-1", &endpoint)
        .json("PATCH /apps/myapp/domains/www.example.com", &domains[0])
        .json("GET /apps/myapp/webhooks", &[webhooks::webhook()])
        .json("POST /apps/myapp/webhooks", &webhooks::webhook())
        .json(&format!("GET {webhook}"), &webhooks::webhook())
        .json(&format!("PATCH {webhook}"), &webhooks::webhook())
        .json("GET /apps/myapp/webhook-events", &[webhooks::event()])
        .json(&format!("GET /apps/myapp/webhook-events/{event}"), &webhooks::event())
        .json("GET /apps/myapp/webhook-deliveries", &[webhooks::delivery()])
        .json(&format!("GET /apps/myapp/webhook-deliveries/{delivery}"), &webhooks::delivery());
    world
        .stub
        .json("GET /account", &account())
        .json("GET /account/app-transfers", &none)
        .json("GET /teams", &none)
        .json("GET /teams/crew/members", &none)
        .json("GET /teams/crew/invitations", &none)
        .json("GET /addon-services", &none)
        .json("GET /addon-services/redis/plans", &none)
        .json("GET /addons", &[&made])
        .json("GET /apps", &[app("myapp")])
        .json("GET /apps/myapp", &app("myapp"))
        .json("GET /apps/myapp/addons", &[&made])
        .json("GET /apps/myapp/addon-attachments", &[attachment("REDIS", "redis-calm-1", "myapp")])
        .json("GET /apps/myapp/buildpack-installations", &[buildpack(0, "ruby")])
        .json("PUT /apps/myapp/buildpack-installations", &[buildpack(0, "ruby")])
        .json("GET /apps/myapp/builds", &[build(BuildStatus::Succeeded)])
        .json("GET /apps/myapp/collaborators", &[collaborator("me@example.com", "owner")])
        .json("GET /apps/myapp/config-vars", &json!({"A": "1"}))
        .json("GET /apps/myapp/domains", &domains)
        .json("GET /apps/myapp/domains/www.example.com", &domains[0])
        .json("GET /apps/myapp/dynos", &[dyno("web.1", DynoState::Up, "x")])
        .json("GET /apps/myapp/formation", &now)
        .json("GET /apps/myapp/releases", &[release(1, "Deploy", ReleaseStatus::Succeeded)])
        .json("GET /oauth/authorizations", &[authorization(None)])
        .json(&format!("GET /oauth/authorizations/{}", id(8)), &authorization(None))
        .json(&format!("POST /oauth/authorizations/{}/actions/regenerate-tokens", id(8)), &authorization(Some("t")))
        .json("GET /oauth/clients", &[oauth_client("Amazing")])
        .json("POST /oauth/clients", &oauth_client("Amazing"))
        .json(&format!("GET /oauth/clients/{}", id(8)), &oauth_client("Amazing"))
        .json(&format!("POST /oauth/clients/{}/actions/rotate-credentials", id(8)), &oauth_client("Amazing"))
        .json("GET /oauth/sessions", &[session("laptop")])
        .json("GET /account/keys", &[key("me@laptop")])
        .json("GET /account/features", &[feature("beta", "public", true)])
        .json("GET /account/features/beta", &feature("beta", "public", true))
        .json("GET /apps/myapp/features", &[feature("preboot", "general", true)])
        .json("GET /apps/myapp/features/beta", &feature("beta", "public", true))
        .json("GET /redis/v0/databases/redis-calm-1", &redis_info())
        .json("GET /regions", &none)
        .json("GET /stacks", &none)
        .json("PATCH /apps/myapp/formation", &now)
        .json("POST /actions/addons/resolve", &[&made])
        .json("POST /apps", &app("shop"))
        .json("POST /apps/myapp/addons", &made)
        .json("POST /apps/myapp/domains", &domains[0])
        .json("POST /oauth/authorizations", &authorization(Some("t")));
    pipelines::for_all(&world);
    platform_topic::for_all(&world);
    routing_topic::for_all(&world);
    setups::for_all(&world);
    let [telemetry, telemetry_update] = drains::for_all(&world);
    let mut without = Vec::new();
    let table = world.run(&["docs:table"]).stdout;
    for call in table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        let name = call.split(' ').next().unwrap();
        if NO_LISTING.contains(&name) {
            continue;
        }
        let number = id(8).to_string();
        // What the command needs besides its options.
        let argument = match name {
            "addons:info" => Some("redis"),
            "apps:diff" => Some("myapp myapp"),
            "buildpacks:add" | "buildpacks:set" => Some("python"),
            "buildpacks:remove" => Some("ruby"),
            "buildpacks:info" | "buildpacks:versions" => Some("heroku/ruby"),
            "addons:plans" | "addons:create" => Some("redis"),
            "certs:add" => Some("/dev/null /dev/null --domain www.example.com"),
            "certs:update" => Some("/dev/null /dev/null --confirm myapp"),
            "webhooks:add" => Some("-i api:app -l sync -u https://example.com"),
            "webhooks:info" | "webhooks:update" => Some(hook.as_str()),
            "webhooks:deliveries:info" => Some(delivery.as_str()),
            "webhooks:events:info" => Some(event.as_str()),
            "drains:add" => Some("syslog://logs.example.com:514"),
            "telemetry:add" => Some("https://otel.example.com"),
            "telemetry:info" => Some(telemetry.as_str()),
            "telemetry:update" => Some(telemetry_update.as_str()),
            "apps:setup" => Some("--source=https://example.com/source.tgz"),
            "config:get" | "ci:config:get" => Some("A"),
            "reviewapps:create" => Some("--branch=fix"),
            "members" => Some("--team=crew"),
            "domains:add" | "domains:info" => Some("www.example.com"),
            "authorizations:info" | "authorizations:rotate" | "clients:info" | "clients:rotate" => Some(&*number),
            "clients:create" => Some("Amazing https://example.com/cb"),
            "features:info" | "labs:info" => Some("beta"),
            "routing:set" => Some("idle=2m"),
            "pipelines:info" => Some("shop"),
            _ => None,
        };
        let words = argument.into_iter().flat_map(|words| words.split(' '));
        let arguments: Vec<&str> = std::iter::once(name).chain(words).chain(["--json"]).collect();
        let run = world.run(&arguments);
        if run.code != 0 || serde_json::from_str::<Value>(&run.stdout).is_err() {
            without.push(format!("{arguments:?} = {}: {}{}", run.code, run.stderr, run.stdout));
        }
    }
    assert!(without.is_empty(), "{}", without.join("\n"));
    for name in NO_LISTING {
        assert!(table.contains(&format!("| `{name}")), "{name} is no command any more");
        assert!(!world.run(&[name, "--help"]).stdout.contains("--json"), "{name} has --json: take it off the list");
    }
}

#[test]
fn listings_have_json_and_all_pages() {
    let world = World::new();
    world.stub.page("GET /apps", "name ]a..; max=1", &[app("a")]).json("GET /apps", &[app("b")]);
    let run = world.run(&["apps", "--json"]);
    let apps: Vec<App> = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(apps, [app("a"), app("b")]);
    let ranges: Vec<_> = world.stub.requests().iter().map(|r| r.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("name ]a..; max=1".to_owned())]);
}

#[test]
fn a_redis_is_known_by_all_names_that_it_is_sold_by() {
    for service in ["redis", "heroku-redis", "redistogo", "rediscloud"] {
        let world = World::new();
        let mut made = addon("redis-calm-1", AddonState::Provisioned);
        service.clone_into(&mut made.addon_service.name);
        world
            .stub
            .json("GET /apps/myapp/addons", &[made])
            .json("GET /apps/myapp/addon-attachments", &[attachment("REDIS", "redis-calm-1", "myapp")])
            .json("GET /redis/v0/databases/redis-calm-1/wait", &json!({"message": "available", "waiting?": false}));
        let run = world.run(&["redis:wait"]);
        assert_eq!(run.code, 0, "{service}: {}", run.stderr);
    }
}
