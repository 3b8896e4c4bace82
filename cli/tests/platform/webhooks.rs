//! `webhooks…`.

use serde_json::{Value, json};

use crate::util::World;
use crate::util::things::{at, id};

pub(crate) fn webhook() -> Value {
    json!({
        "app": {"id": id(1), "name": "myapp"}, "created_at": at(), "id": id(20),
        "include": ["api:release", "api:dyno"], "level": "sync", "updated_at": at(), "url": "https://example.com/hook",
    })
}

pub(crate) fn event() -> Value {
    json!({
        "created_at": at(), "id": id(21), "include": "api:release", "updated_at": at(),
        "payload": {
            "action": "create", "actor": {"email": "me@example.com", "id": id(2)}, "data": {"version": 7},
            "previous_data": {}, "published_at": at(), "resource": "release",
            "version": "application/vnd.heroku+json; version=3",
        },
    })
}

pub(crate) fn delivery() -> Value {
    json!({
        "created_at": at(), "event": {"id": id(21), "include": "api:release"}, "id": id(22), "num_attempts": 2,
        "last_attempt": {"code": 500, "created_at": at(), "error_class": "ServerError", "id": id(23),
            "status": "failed", "updated_at": at()},
        "next_attempt_at": at(), "status": "retrying", "updated_at": at(),
        "webhook": {"id": id(20), "level": "sync"},
    })
}

#[test]
fn webhooks() {
    let world = World::new();
    let path = format!("/apps/myapp/webhooks/{}", id(20));
    world
        .stub
        .json("GET /apps/myapp/webhooks", &[webhook()])
        .with_header("POST /apps/myapp/webhooks", ("Heroku-Webhook-Secret", "the-secret"), &webhook())
        .json(&format!("GET {path}"), &webhook())
        .json(&format!("PATCH {path}"), &webhook())
        .json(&format!("DELETE {path}"), &webhook())
        .json("GET /apps/myapp/webhook-deliveries", &[delivery()])
        .json("GET /apps/myapp/webhook-deliveries?eq[status]=failed", &Vec::<Value>::new())
        .json(&format!("GET /apps/myapp/webhook-deliveries/{}", id(22)), &delivery())
        .json("GET /apps/myapp/webhook-events", &[event()])
        .json(&format!("GET /apps/myapp/webhook-events/{}", id(21)), &event());
    let with = |command: &str, number| format!("{command} {}", id(number));
    insta::assert_snapshot!(world.shows(&[
        "webhooks",
        "webhooks:add -i api:release,api:dyno -l sync -u https://example.com/hook",
        "webhooks:add -i api:app -l loud -u https://example.com/hook",
        &with("webhooks:info", 20),
        &format!("{} -l notify -t ''", with("webhooks:update", 20)),
        "webhooks:deliveries",
        "webhooks:deliveries -s failed",
        &with("webhooks:deliveries:info", 22),
        "webhooks:events",
        &with("webhooks:events:info", 21),
        &with("webhooks:remove", 20),
    ]));
    let calls = world.stub.calls();
    let sent = calls.iter().find(|call| call.starts_with("POST")).unwrap();
    assert!(sent.contains(r#""include":["api:release","api:dyno"],"level":"sync""#), "{sent}");
    let changed = calls.iter().find(|call| call.starts_with("PATCH")).unwrap();
    assert!(changed.contains(r#""level":"notify""#) && !changed.contains("include"), "{changed}");
    let requests = world.stub.requests();
    let list = requests.iter().find(|request| request.path == "/apps/myapp/webhook-deliveries").unwrap();
    assert_eq!(list.headers["range"], "seq ..; max=1000, order=desc");
}
