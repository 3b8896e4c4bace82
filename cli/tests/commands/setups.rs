//! `apps:setup`, `reviewapps` and `ci`.

use paas_wire::{
    app_setup::{Postdeploy, SetupBuild, SetupStatus},
    review_app::{DeployTarget, RepoRef},
    *,
};
use serde_json::json;

use crate::util::{World, things::*};

fn setup(status: SetupStatus) -> AppSetup {
    AppSetup {
        app: Named { id: id(60), name: "fresh".to_owned() },
        build: None,
        created_at: at(),
        failure_message: None,
        id: id(80),
        manifest_errors: Vec::new(),
        postdeploy: None,
        resolved_success_url: None,
        status,
        updated_at: at(),
    }
}

fn review(status: &str) -> ReviewApp {
    ReviewApp {
        app: Some(IdRef { id: id(61) }),
        app_setup: Some(IdRef { id: id(80) }),
        branch: "fix".to_owned(),
        created_at: at(),
        creator: IdRef { id: id(2) },
        error_status: None,
        fork_repo: None,
        id: id(81),
        message: None,
        pipeline: IdRef { id: id(50) },
        pr_number: None,
        status: status.to_owned(),
        updated_at: at(),
        wait_for_ci: false,
    }
}

fn config() -> ReviewAppConfig {
    ReviewAppConfig {
        automatic_review_apps: true,
        base_name: None,
        deploy_target: Some(DeployTarget { id: id(1).to_string(), kind: "region".to_owned() }),
        destroy_stale_apps: true,
        pipeline_id: id(50),
        repo: RepoRef { id: 7 },
        stale_days: 5,
        wait_for_ci: false,
    }
}

fn repo() -> PipelineRepo {
    PipelineRepo {
        created_at: at(),
        full_name: "me/shop".to_owned(),
        id: 7,
        name: "shop".to_owned(),
        pipeline: IdRef { id: id(50) },
        repo_url: "https://example.com/me/shop.git".to_owned(),
    }
}

fn run(number: i64, status: TestStatus) -> TestRun {
    TestRun {
        actor_email: "me@example.com".to_owned(),
        app_setup: None,
        clear_cache: Some(false),
        commit_branch: "main".to_owned(),
        commit_message: "A change".to_owned(),
        commit_sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        created_at: at(),
        debug: false,
        dyno: None,
        id: id(90),
        message: None,
        number,
        organization: None,
        pipeline: IdRef { id: id(50) },
        source_blob_url: "http://SERVER/sources/x".to_owned(),
        status,
        updated_at: at(),
        user: account(),
        warning_message: None,
    }
}

fn node(status: TestStatus, exit_code: Option<i64>) -> TestNode {
    TestNode {
        created_at: at(),
        dyno: None,
        error_status: None,
        exit_code,
        id: id(91),
        index: 0,
        message: None,
        output_stream_url: "https://elsewhere/streams/test-runs/90/tests?signature=x".to_owned(),
        pipeline: IdRef { id: id(50) },
        setup_stream_url: "https://elsewhere/streams/test-runs/90/setup?signature=x".to_owned(),
        status,
        test_run: IdRef { id: id(90) },
        updated_at: at(),
    }
}

fn pipeline_path(rest: &str) -> String {
    format!("/pipelines/{}{rest}", id(50))
}

/// What all listings need.
pub(crate) fn for_all(world: &World) {
    world
        .stub
        .json("POST /app-setups", &setup(SetupStatus::Succeeded))
        .json("POST /review-apps", &review("created"))
        .json(&format!("GET /apps/{}", id(61)), &app("shop-fix"))
        .json(&format!("GET {}", pipeline_path("/review-apps")), &[review("created")])
        .json(&format!("GET {}", pipeline_path("/test-runs")), &[run(1, TestStatus::Succeeded)]);
}

fn world() -> World {
    let world = World::new();
    let shop = json!([{"id": id(50), "name": "shop", "owner": {"id": id(2), "type": "user"}, "created_at": at(), "updated_at": at()}]);
    world
        .stub
        .json("GET /pipelines?eq[name]=shop", &shop)
        .json("GET /apps/shop-fix/review-app", &review("created"))
        .json(&format!("GET /apps/{}", id(61)), &app("shop-fix"));
    world
}

#[test]
fn an_app_is_set_up_and_shown_on_its_way() {
    let world = world();
    let build = SetupBuild {
        id: id(82),
        output_stream_url: "http://elsewhere/streams/builds/82?signature=x".to_owned(),
        status: BuildStatus::Succeeded,
    };
    let done = AppSetup {
        build: Some(build),
        postdeploy: Some(Postdeploy { exit_code: 0, output: "migrated\n".to_owned() }),
        resolved_success_url: Some("http://fresh.localhost/welcome".to_owned()),
        ..setup(SetupStatus::Succeeded)
    };
    world
        .stub
        .json("POST /app-setups", &setup(SetupStatus::Pending))
        .json(&format!("GET /app-setups/{}", id(80)), &done)
        .text("GET /streams/builds/82?signature=x", "-----> Building\n");
    let shown = world.run(&["apps:setup", "fresh", "--source", "https://example.com/x.tgz", "--env", "A=1"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for text in ["-----> Building", "migrated", "http://fresh.localhost/welcome"] {
        assert!(shown.stdout.contains(text), "{text}: {}", shown.stdout);
    }
    let sent = &world.stub.calls()[0];
    assert!(sent.contains(r#""env":{"A":"1"}"#) && sent.contains("https://example.com/x.tgz"), "{sent}");
}

#[test]
fn a_setup_that_fails_says_why() {
    let world = world();
    let failed = AppSetup {
        failure_message: Some("app.json can't be read".to_owned()),
        manifest_errors: vec!["env.A: a value is needed".to_owned()],
        ..setup(SetupStatus::Failed)
    };
    world.stub.json("POST /app-setups", &failed);
    let shown = world.run(&["apps:setup", "--source=https://example.com/x.tgz"]);
    assert_ne!(shown.code, 0);
    assert!(
        shown.stderr.contains("env.A: a value is needed") && shown.stderr.contains("can't be read"),
        "{}",
        shown.stderr
    );
}

#[test]
fn review_apps_are_made_listed_and_configured() {
    let world = world();
    let config_path = pipeline_path("/review-app-config");
    world
        .stub
        .json("POST /review-apps", &review("pending"))
        .json(&format!("GET /review-apps/{}", id(81)), &review("creating"))
        .json(&format!("GET /review-apps/{}", id(81)), &review("created"))
        .json(&format!("GET {}", pipeline_path("/review-apps")), &[review("created")])
        .json(&format!("GET {config_path}"), &config())
        .json(&format!("PATCH {config_path}"), &config())
        .json(&format!("DELETE {config_path}"), &config())
        .json(&format!("GET {}", pipeline_path("/repo")), &repo())
        .json(&format!("POST {}", pipeline_path("/repo")), &repo())
        .json(&format!("DELETE /review-apps/{}", id(81)), &review("deleting"));
    let good = |line: &str| {
        let run = world.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        run.stdout + &run.stderr
    };
    assert!(good("reviewapps:create -p shop --branch fix --wait --wait-interval 1").contains("shop-fix"));
    assert!(world.stub.calls().iter().any(|call| call.contains(r#""url":"resolve""#)));
    let listed = good("reviewapps -p shop");
    assert!(listed.contains("shop-fix") && listed.contains("after 5 days"), "{listed}");
    good("reviewapps:enable -p shop --autodeploy");
    assert!(
        world.stub.last_call().contains(r#""automatic_review_apps":true"#)
            && world.stub.last_call().contains("me/shop")
    );
    good("reviewapps:disable -p shop --no-autodestroy");
    assert!(world.stub.last_call().contains(r#""destroy_stale_apps":false"#));
    good("reviewapps:disable -p shop");
    assert_eq!(world.stub.last_call(), format!("DELETE {config_path}"));
    good("reviewapps:wait shop-fix");
    good("reviewapps:destroy shop-fix --confirm shop-fix");
    assert!(good("pipelines:connect shop --repo https://example.com/me/shop.git").contains("me/shop"));
}

#[test]
fn a_review_app_that_can_not_be_made_is_a_failure() {
    let world = world();
    let errored = ReviewApp { message: Some("app.json not found".to_owned()), ..review("errored") };
    world.stub.json("POST /review-apps", &review("pending")).json(&format!("GET /review-apps/{}", id(81)), &errored);
    let run = world.run(&["reviewapps:create", "-p", "shop", "-b", "fix", "--wait"]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("app.json not found"), "{}", run.stderr);
}

#[test]
fn test_runs_are_listed_and_shown_with_their_exit_code() {
    let world = world();
    let runs = pipeline_path("/test-runs");
    world
        .stub
        .json(&format!("GET {runs}"), &[run(2, TestStatus::Failed)])
        .json(&format!("GET {runs}/2"), &run(2, TestStatus::Failed))
        .json(&format!("GET /test-runs/{}/test-nodes", id(90)), &[node(TestStatus::Failed, Some(4))])
        .json(&format!("PATCH /test-runs/{}", id(90)), &run(2, TestStatus::Cancelled))
        .json("POST /test-runs", &run(3, TestStatus::Failed))
        .text("GET /streams/test-runs/90/setup?signature=x", "-----> Building\n")
        .text("GET /streams/test-runs/90/tests?signature=x", "not ok 1\n");
    let listed = world.run(&["ci", "-p", "shop"]);
    assert!(listed.stdout.contains("#2") && listed.stdout.contains("0123456") && listed.code == 0, "{}", listed.stdout);
    for arguments in [&["ci:last", "-p", "shop"][..], &["ci:info", "2", "-p", "shop"], &["ci:rerun", "-p", "shop"]] {
        let shown = world.run(arguments);
        assert_eq!(shown.code, 4, "{arguments:?}: {}", shown.stderr);
        assert!(shown.stdout.contains("-----> Building\nnot ok 1\n"), "{}", shown.stdout);
    }
    assert_eq!(world.run(&["ci:cancel", "-p", "shop"]).code, 0);
    assert!(world.stub.last_call().contains(r#""status":"cancelled""#));
}

#[test]
fn the_present_commit_is_uploaded_and_tested() {
    let world = world();
    let source = json!({"source_blob": {"get_url": "http://SERVER/sources/x", "put_url": format!("{}/sources/x", world.stub.url)}});
    world
        .stub
        .json("POST /sources", &source)
        .json("PUT /sources/x", &json!({}))
        .json("POST /test-runs", &run(1, TestStatus::Succeeded))
        .json(&format!("GET /test-runs/{}/test-nodes", id(90)), &[node(TestStatus::Succeeded, Some(0))])
        .text("GET /streams/test-runs/90/setup?signature=x", "built\n")
        .text("GET /streams/test-runs/90/tests?signature=x", "ok\n");
    assert_ne!(world.run(&["ci:run", "-p", "shop"]).code, 0, "there is no commit yet");
    world.git(&["init", "-q", "-b", "topic"]);
    std::fs::write(world.work().join("file"), "x").unwrap();
    world.git(&["add", "."]);
    world.git(&["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "A change"]);
    let ran = world.run(&["ci:run", "-p", "shop"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let sent = world.stub.calls().into_iter().find(|call| call.starts_with("POST /test-runs")).unwrap();
    let commit = world.git(&["rev-parse", "HEAD"]);
    assert!(
        sent.contains(&commit) && sent.contains(r#""commit_branch":"topic""#) && sent.contains("A change"),
        "{sent}"
    );
}
