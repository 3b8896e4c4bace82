//! `pipelines` and `ci:config`.

use paas_wire::{pipeline_promotion::PromotionSource, *};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::util::{World, things::*};

fn pipeline(name: &str, number: u128) -> Pipeline {
    Pipeline {
        created_at: at(),
        generation: Some(named("cedar")),
        id: id(number),
        name: name.to_owned(),
        owner: Some(PipelineOwner { id: id(2), kind: OwnerKind::User }),
        updated_at: at(),
    }
}

fn coupling(app: &str, number: u128, stage: Stage) -> PipelineCoupling {
    PipelineCoupling {
        app: Named { id: id(number), name: app.to_owned() },
        created_at: at(),
        id: id(number + 100),
        pipeline: Named { id: id(50), name: "shop".to_owned() },
        stage,
        updated_at: at(),
    }
}

fn target(app: u128, status: TargetStatus, error: Option<&str>) -> PromotionTarget {
    PromotionTarget {
        app: IdRef { id: id(app) },
        error_message: error.map(str::to_owned),
        id: id(app + 200),
        pipeline_promotion: IdRef { id: id(70) },
        release: error.is_none_or(|error| !error.contains("access")).then(|| IdRef { id: id(9) }),
        status,
    }
}

fn path(rest: &str) -> String {
    format!("/pipelines/{}{rest}", id(50))
}

/// What every command with `--json` needs.
pub(super) fn for_all(world: &World) {
    answers(world);
    let promotion = json!({
        "created_at": at(), "id": id(70), "pipeline": {"id": id(50)}, "status": "completed", "updated_at": at(),
        "source": {"app": {"id": id(60)}, "release": {"id": id(7)}},
    });
    let ended = [target(61, TargetStatus::Succeeded, None)];
    let slug = json!({
        "blob": {"method": "GET", "url": "http://elsewhere:1/"}, "created_at": at(), "updated_at": at(),
        "id": id(6), "process_types": {}, "stack": named("debian-12"),
    });
    for app in ["myapp", "shop-eu", "shop-us"] {
        let one = [release(7, "Deploy", ReleaseStatus::Succeeded)];
        world.stub.json(&format!("GET /apps/{app}/releases"), &one);
        world.stub.json(&format!("GET /apps/{app}/slugs/{}", id(6)), &slug);
    }
    world
        .stub
        .json("GET /pipelines", &[pipeline("shop", 50)])
        .json("POST /pipelines", &pipeline("shop", 50))
        .json("POST /pipeline-couplings", &coupling("myapp", 60, Stage::Staging))
        .json("POST /pipeline-promotions", &promotion)
        .json(&format!("GET /pipeline-promotions/{}/promotion-targets", id(70)), &ended)
        .json(&format!("GET {}", path("/stage/test/config-vars")), &json!({"A": "1"}));
}

/// `shop` with `myapp` at staging and two apps at production.
fn world() -> World {
    let world = World::new();
    answers(&world);
    world
}

fn answers(world: &World) {
    let all = [
        coupling("shop-us", 62, Stage::Production),
        coupling("shop-eu", 61, Stage::Production),
        coupling("myapp", 60, Stage::Staging),
        coupling("shop-dev", 59, Stage::Development),
    ];
    world
        .stub
        .json("GET /pipelines?eq[name]=shop", &[pipeline("shop", 50)])
        .json("GET /pipelines?eq[name]=nope", &Vec::<Pipeline>::new())
        .json("GET /pipelines?eq[name]=twice", &[pipeline("twice", 51), pipeline("twice", 52)])
        .json(&format!("GET {}", path("/pipeline-couplings")), &all)
        .json("GET /apps/myapp/pipeline-couplings", &all[2])
        .json("GET /apps/shop-us/pipeline-couplings", &all[0])
        .json("GET /apps/lonely", &app("lonely"));
}

#[test]
fn showing() {
    let world = world();
    let mut eu = app("shop-eu");
    eu.id = id(61);
    world
        .stub
        .json("GET /pipelines", &[pipeline("twice", 52), pipeline("shop", 50), pipeline("twice", 51)])
        .json("GET /pipelines", &Vec::<Pipeline>::new())
        .json("GET /apps", &[eu])
        .json("GET /apps/shop-us", &app("shop-us"))
        .json("GET /apps/shop-eu", &app("shop-eu"));
    insta::assert_snapshot!(world.shows(&[
        "pipelines",
        "pipelines",
        "pipelines:info shop",
        "pipelines:info shop --with-owners",
        "pipelines:info nope",
        "pipelines:info twice",
        "pipelines:open shop",
        "pipelines:open shop --stage review",
    ]));
    let info: Value = serde_json::from_str(&world.run(&["pipelines:info", "shop", "--json"]).stdout).unwrap();
    assert_eq!((&info["pipeline"]["name"], info["apps"].as_array().unwrap().len()), (&json!("shop"), 4));
}

#[test]
fn changing() {
    let world = world();
    let one = coupling("myapp", 60, Stage::Staging);
    world
        .stub
        .json("POST /pipelines", &pipeline("shop", 50))
        .json("POST /pipeline-couplings", &one)
        .json(&format!("PATCH /pipeline-couplings/{}", id(160)), &one)
        .json(&format!("DELETE /pipeline-couplings/{}", id(160)), &one)
        .json(&format!("PATCH {}", path("")), &pipeline("store", 50))
        .json(&format!("DELETE {}", path("")), &pipeline("shop", 50))
        .json("GET /teams/ops", &json!({"id": id(30), "name": "ops"}))
        .json("GET /users/you%40example.com", &account())
        .json(
            "POST /pipeline-transfers",
            &PipelineTransfer {
                new_owner: PipelineOwner { id: id(30), kind: OwnerKind::Team },
                pipeline: IdRef { id: id(50) },
                previous_owner: PipelineOwner { id: id(2), kind: OwnerKind::User },
            },
        );
    insta::assert_snapshot!(world.shows(&[
        "pipelines:create --app shop-stg",
        "pipelines:create shop --stage development --team ops",
        "pipelines:add shop --app shop-qa",
        "pipelines:add shop --stage live",
        "pipelines:update --stage production",
        "pipelines:remove",
        "pipelines:remove --app lonely",
        "pipelines:rename shop store",
        "pipelines:transfer ops --pipeline shop",
        "pipelines:transfer ops --pipeline shop --confirm shop",
        "pipelines:transfer you@example.com -p shop -c shop",
        "pipelines:destroy shop",
    ]));
    let changes: Vec<String> = world.stub.calls().into_iter().filter(|call| !call.starts_with("GET")).collect();
    insta::assert_snapshot!(changes.join("\n"));
}

#[test]
fn promoting() {
    let world = world();
    let promotion = PipelinePromotion {
        created_at: at(),
        id: id(70),
        pipeline: IdRef { id: id(50) },
        source: PromotionSource { app: IdRef { id: id(60) }, release: IdRef { id: id(7) } },
        status: PromotionStatus::Pending,
        updated_at: at(),
    };
    let mut phase = release(9, "Promote myapp v7 01234567", ReleaseStatus::Pending);
    phase.output_stream_url = Some("http://elsewhere:1/streams/releases/9".to_owned());
    let targets = format!("GET /pipeline-promotions/{}/promotion-targets", id(70));
    use TargetStatus::{Failed, Pending, Succeeded};
    let denied = Some("User does not have access to that app");
    world
        .stub
        .json("POST /pipeline-promotions", &promotion)
        .json(&targets, &[target(61, Pending, None), target(62, Failed, denied)])
        .json(&targets, &[target(61, Pending, None), target(62, Failed, denied)])
        .json(&targets, &[target(61, Succeeded, None), target(62, Failed, denied)])
        .json(&targets, &[target(62, Succeeded, None)])
        .json(&format!("GET /apps/shop-eu/releases/{}", id(9)), &phase)
        .json(&format!("GET /apps/shop-us/releases/{}", id(9)), &phase)
        .json("GET /apps/shop-eu", &app("shop-eu"))
        .json("GET /apps/shop-us", &app("shop-us"))
        .refuse("GET /streams/releases/9", 404, "Couldn't find that release.")
        .text("GET /streams/releases/9", "migrating\nmigrated\n");
    insta::assert_snapshot!(world.shows(&[
        "pipelines:promote",
        "pipelines:promote --to shop-us,",
        "pipelines:promote --to shop-us,myapp",
        "pipelines:promote --to nope",
        "pipelines:promote --app shop-us",
        "pipelines:promote --app lonely",
    ]));
    let asked: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("POST")).collect();
    let body = |apps: &[u128]| {
        let apps: Vec<Value> = apps.iter().map(|app| json!({"app": {"id": id(*app)}})).collect();
        json!({"pipeline": {"id": id(50)}, "source": {"app": {"id": id(60)}}, "targets": apps})
    };
    let sent =
        |call: &str| serde_json::from_str::<Value>(call.trim_start_matches("POST /pipeline-promotions ")).unwrap();
    assert_eq!([sent(&asked[0]), sent(&asked[1])], [body(&[61, 62]), body(&[62])]);
}

#[test]
fn comparing() {
    let world = world();
    world.git(&["init", "-q"]);
    let commit = |text: &str| {
        let who =
            ["-c", "user.name=me", "-c", "user.email=me@example.com", "commit", "-q", "--allow-empty", "-m", text];
        world.git(&who);
        world.git(&["rev-parse", "HEAD"])
    };
    let (old, new) = (commit("First"), commit("Second"));
    let slug = |commit: Option<&str>| {
        json!({
            "blob": {"method": "GET", "url": "http://elsewhere:1/"}, "commit": commit, "created_at": at(), "updated_at": at(),
            "id": id(6), "process_types": {}, "stack": named("debian-12"),
        })
    };
    let one = [release(7, "Deploy", ReleaseStatus::Succeeded)];
    for app in ["myapp", "shop-eu", "shop-us"] {
        world.stub.json(&format!("GET /apps/{app}/releases"), &one);
    }
    let of = |app: &str| format!("GET /apps/{app}/slugs/{}", id(6));
    world
        .stub
        .json(&of("myapp"), &slug(Some(&new)))
        .json(&of("shop-eu"), &slug(Some(&old)))
        .json(&of("shop-us"), &slug(Some(&new)))
        .json(&of("shop-us"), &slug(Some(&"0".repeat(40))));
    let shown = world.shows(&["pipelines:diff", "pipelines:diff", "pipelines:diff --app shop-us"]);
    insta::assert_snapshot!(
        shown.replace(&new[..8], "NEWNEWNE").replace(&new[..7], "NEWNEWN").replace(&old[..8], "OLDOLDOL")
    );
}

#[test]
fn config_of_tests() {
    let world = world();
    let vars = json!({"KEY": "two words", "RAILS_ENV": "test"});
    let path = path("/stage/test/config-vars");
    world.stub.json(&format!("GET {path}"), &vars).json(&format!("PATCH {path}"), &vars);
    insta::assert_snapshot!(world.shows(&[
        "ci:config",
        "ci:config --pipeline shop --shell",
        "ci:config -p shop --json",
        "ci:config:get RAILS_ENV",
        "ci:config:get KEY -s -p shop",
        "ci:config:get NOPE",
        "ci:config:set RAILS_ENV=test -p shop",
        "ci:config:set RAILS_ENV",
        "ci:config:unset RAILS_ENV KEY",
        "ci:config --app lonely",
    ]));
    let changes: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    assert_eq!(
        changes,
        [format!(r#"PATCH {path} {{"RAILS_ENV":"test"}}"#), format!(r#"PATCH {path} {{"KEY":null,"RAILS_ENV":null}}"#),]
    );
}

#[test]
fn a_pipeline_by_its_id() {
    let world = World::new();
    let one = Uuid::from_u128(50);
    world.stub.json(&format!("GET /pipelines/{one}"), &pipeline("shop", 50));
    world.stub.json(&format!("DELETE /pipelines/{one}"), &pipeline("shop", 50));
    assert_eq!(world.run(&["pipelines:destroy", &one.to_string()]).code, 0);
    assert_eq!(world.stub.last_call(), format!("DELETE /pipelines/{one}"));
}
