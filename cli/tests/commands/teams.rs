//! Teams, who works on what, and apps that change hands.

use paas_wire::*;
use serde_json::{Value, json};

use crate::util::World;
use crate::util::things::*;

fn permission(name: &str) -> collaborator::Permission {
    collaborator::Permission { name: name.to_owned(), description: String::new() }
}

#[test]
fn teams_and_members() {
    let world = World::new();
    let team = |name: &str, role: &str| {
        json!({
            "id": id(40), "name": name, "role": role, "type": "team", "created_at": at(), "updated_at": at(),
        })
    };
    world
        .stub
        .json("GET /teams", &[team("default", "member"), team("crew", "admin")])
        .json("POST /teams", &team("crew", "admin"))
        .json("GET /teams/crew", &team("crew", "admin"))
        .json("PATCH /teams/crew", &team("ship", "admin"))
        .json("DELETE /teams/crew", &team("crew", "admin"))
        .json("GET /teams/crew/members", &[member("me@example.com", "admin"), member("you@example.com", "member")])
        .json("GET /teams/crew/invitations", &[invitation("new@example.com", None)])
        .json("PUT /teams/crew/members", &member("you@example.com", "member"))
        .status(
            "PUT /teams/crew/members",
            404,
            &json!({"id": "not_found", "message": "Couldn't find that account.", "resource": "user"}),
        )
        .json("PATCH /teams/crew/members", &member("you@example.com", "viewer"))
        .json("PUT /teams/crew/invitations", &invitation("new@example.com", Some("secret")))
        .json("DELETE /teams/crew/members/you%40example.com", &member("you@example.com", "member"))
        .status(
            "DELETE /teams/crew/members/new%40example.com",
            404,
            &json!({"id": "not_found", "message": "Couldn't find that member.", "resource": "team_member"}),
        )
        .json("DELETE /teams/crew/invitations/new%40example.com", &invitation("new@example.com", None));
    insta::assert_snapshot!(world.shows(&[
        "teams",
        "orgs",
        "teams:create crew",
        "teams:rename ship -t crew",
        "teams:destroy crew",
        "teams:destroy crew -c crew",
        "members",
        "members -t crew",
        "members -t crew -r viewer",
        "members -t crew --pending",
        "members:add you@example.com -t crew",
        "members:add new@example.com -t crew -r member",
        "members:set you@example.com -t crew -r viewer",
        "members:remove you@example.com -t crew",
        "members:remove new@example.com -t crew",
    ]));
    let calls = world.stub.calls();
    for call in [
        r#"PUT /teams/crew/invitations {"email":"new@example.com","role":"member"}"#,
        r#"PATCH /teams/crew/members {"email":"you@example.com","role":"viewer"}"#,
    ] {
        assert!(calls.contains(&call.to_owned()), "{calls:#?}");
    }
}

#[test]
fn apps_of_teams() {
    let world = World::new();
    let locked = TeamApp { locked: true, joined: false, ..team_app("raft") };
    let mut kim = collaborator("kim@example.com", "member");
    kim.permissions = vec![permission("view"), permission("deploy")];
    let people =
        [collaborator("crew@herokumanager.com", "owner"), kim.clone(), collaborator("me@example.com", "admin")];
    world
        .stub
        .json("GET /apps", &[app("mine"), team_app("myapp").app])
        .json("GET /users/~/apps", &[app("mine")])
        .json("GET /teams/crew/apps", &[team_app("myapp"), locked])
        .json("GET /teams/none/apps", &Vec::<Value>::new())
        .json("POST /teams/apps", &team_app("myapp"))
        .json("GET /apps/myapp", &team_app("myapp").app)
        .json("GET /apps/myapp/collaborators", &people)
        .json("GET /teams/crew/members", &[member("me@example.com", "admin"), member("kim@example.com", "member")])
        .json("POST /teams/apps/myapp/collaborators", &kim)
        .json("PATCH /teams/apps/myapp/collaborators/kim%40example.com", &kim)
        .json("GET /account", &account())
        .json("DELETE /apps/myapp/collaborators/me%40example.com", &kim)
        .json("GET /teams/apps/myapp", &team_app("myapp"))
        .json("PATCH /teams/apps/myapp", &team_app("myapp"));
    insta::assert_snapshot!(world.shows(&[
        "apps",
        "apps -A",
        "apps -p",
        "apps -t crew",
        "apps -t none",
        "create myapp -t crew --locked",
        "create --locked",
        "access",
        "access:add kim@example.com -p operate,deploy",
        "access:update kim@example.com -p deploy",
        "access:update kim@example.com",
        "join",
        "leave",
        "lock",
        "unlock",
    ]));
    let calls = world.stub.calls();
    for call in [
        r#"POST /teams/apps {"locked":true,"name":"myapp","team":"crew"}"#,
        r#"POST /teams/apps/myapp/collaborators {"user":"kim@example.com","permissions":["view","deploy","operate"]}"#,
        r#"PATCH /teams/apps/myapp/collaborators/kim%40example.com {"permissions":["view","deploy"]}"#,
        r#"POST /teams/apps/myapp/collaborators {"user":"me@example.com"}"#,
        r#"PATCH /teams/apps/myapp {"locked":true}"#,
    ] {
        assert!(calls.contains(&call.to_owned()), "{call}: {calls:#?}");
    }
}

#[test]
fn transfers() {
    let world = World::new();
    world
        .stub
        .json("GET /apps/myapp", &app("myapp"))
        .json("GET /apps/boat", &team_app("boat").app)
        .json("POST /account/app-transfers", &transfer("myapp", TransferState::Pending))
        .json("GET /account/app-transfers", &[transfer("myapp", TransferState::Pending)])
        .json("PATCH /account/app-transfers/myapp", &transfer("myapp", TransferState::Accepted))
        .json("DELETE /account/app-transfers/myapp", &transfer("myapp", TransferState::Pending))
        .json("PATCH /teams/apps/myapp", &team_app("myapp"))
        .json("GET /teams/apps/myapp", &team_app("myapp"))
        .json("PATCH /teams/apps/boat", &team_app("boat"));
    insta::assert_snapshot!(world.shows(&[
        "apps:transfer you@example.com",
        "apps:transfer crew --locked",
        "apps:transfer you@example.com -a boat",
        "apps:transfer you@example.com -a boat -c boat",
        "apps:transfer crew --bulk",
        "apps:transfers",
        "apps:transfers:accept myapp",
        "apps:transfers:decline myapp",
        "apps:transfers:cancel myapp",
    ]));
    let calls = world.stub.calls();
    for call in [
        r#"POST /account/app-transfers {"app":"myapp","recipient":"you@example.com"}"#,
        r#"PATCH /teams/apps/myapp {"owner":"crew"}"#,
        r#"PATCH /teams/apps/myapp {"locked":true}"#,
        r#"PATCH /teams/apps/boat {"owner":"you@example.com"}"#,
        r#"PATCH /account/app-transfers/myapp {"state":"declined"}"#,
    ] {
        assert!(calls.contains(&call.to_owned()), "{call}: {calls:#?}");
    }
}

#[test]
fn an_invitation_is_accepted_without_an_account() {
    let mut world = World::new();
    world.stdin("long enough\n");
    world
        .stub
        .json("GET /teams/invitations/secret", &invitation("new@example.com", None))
        .json("POST /teams/invitations/secret/accept", &member("new@example.com", "member"));
    let run = world.run(&["members:accept", "secret"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(world.stub.last_call(), r#"POST /teams/invitations/secret/accept {"password":"long enough"}"#);
    let sent = world.stub.requests();
    assert!(sent.iter().all(|request| !request.headers.contains_key("authorization")), "nobody is logged in for this");
}
