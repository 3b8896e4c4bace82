//! Accounts and tokens that change while somebody else changes them, and what ends with a password
//! or an account.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use base64::Engine as _;
use paas_daemon::{
    ops::{accounts, browser_logins, tokens},
    store::{authorizations, users},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    people::Person,
    util::{Answer, TestApp},
};

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")))
}

/// A token by address and password, from `path`; none where they are refused.
async fn login(t: &TestApp, path: &str, email: &str, password: &str) -> Option<String> {
    let answer = t.send_with("POST", path, &[("Authorization", &basic(email, password))], "{}").await;
    match answer.status {
        401 => None,
        _ => Some(answer.ok()["access_token"]["token"].as_str().unwrap().to_owned()),
    }
}

async fn works(t: &TestApp, token: &str) -> bool {
    match t.send("GET", "/account", Some(token), None).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// Sends one and the same request again and again, several at once, until it is dropped.
struct Loop {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Loop {
    fn start(t: &TestApp, method: &str, path: &str, token: &str, body: Value) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let (stop, url, method) = (stop.clone(), format!("{}{path}", t.url), method.parse().unwrap());
            let (token, body) = (token.to_owned(), body.to_string());
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                while !stop.load(SeqCst) {
                    let request: reqwest::RequestBuilder = http.request(reqwest::Method::clone(&method), &url);
                    let _ = request.bearer_auth(&token).body(body.clone()).send().await;
                }
            })
        };
        Self { tasks: (0..4).map(one).collect(), stop }
    }

    async fn end(self) {
        self.stop.store(true, SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_thing_leaves_the_others_as_they_are() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let mut old = "correct horse".to_owned();
    for round in 0..3 {
        // A new password, while the name changes.
        let names = Loop::start(&t, "PATCH", "/account", &t.token, json!({"name": "Tina"}));
        let new = format!("new password {round}");
        t.patch("/account", json!({"password": old, "new_password": new})).await.ok();
        names.end().await;
        assert_eq!(login(&t, "/oauth/sessions", &t.email, &old).await, None);
        assert!(login(&t, "/oauth/sessions", &t.email, &new).await.is_some());
        old = new;

        // Somebody who is no administrator any more, while they change their name, or make
        // themselves one again.
        let eve = Person::admin(&t, &format!("eve{round}")).await;
        let email = format!("eve{round}@example.com");
        let names = Loop::start(&t, "PATCH", "/account", &eve.token, json!({"name": "Eve"}));
        let again = json!({"email": email, "role": "admin"});
        let admins = Loop::start(&t, "PUT", "/teams/default/members", &eve.token, again);
        root.put("/teams/default/members", json!({"email": email, "role": "member"})).await.ok();
        names.end().await;
        admins.end().await;
        let members = root.get("/teams/default/members").await.ok();
        let member = members.as_array().unwrap().iter().find(|member| member["email"] == *email).unwrap();
        assert_eq!(member["role"], "member");

        // An account that is deleted, while it changes.
        let names = Loop::start(&t, "PATCH", "/account", &eve.token, json!({"name": "Eve", "beta": true}));
        let told = Loop::start(&t, "PATCH", "/users/~/preferences", &eve.token, json!({"timezone": "UTC"}));
        let gone = root.send("DELETE", &format!("/users/{email}"), json!({})).await.ok();
        names.end().await;
        told.end().await;
        root.get(&format!("/users/{}", gone["id"].as_str().unwrap())).await.error(404);
        let ghost = format!("{}@deleted.invalid", gone["id"].as_str().unwrap());
        assert_eq!(login(&t, "/oauth/sessions", &ghost, "battery staple").await, None);
        let id = gone["id"].as_str().unwrap().parse().unwrap();
        let row = users::by_id(&mut t.platform().db.read().await.unwrap(), id).await.unwrap().unwrap();
        assert!(row.deleted_at.is_some() && !row.admin && row.password_hash.is_none() && row.name.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_s_new_secret_stays_while_its_name_changes() {
    let t = TestApp::fake().await;
    let made = t.post("/oauth/clients", json!({"name": "x", "redirect_uri": "https://example.com/"})).await.ok();
    let path = format!("/oauth/clients/{}", made["id"].as_str().unwrap());
    for _ in 0..5 {
        let names = Loop::start(&t, "PATCH", &path, &t.token, json!({"name": "y"}));
        let rotated = t.post(&format!("{path}/actions/rotate-credentials"), json!({})).await.ok();
        names.end().await;
        assert_eq!(t.get(&path).await.ok()["secret"], rotated["secret"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_to_renew_by_that_was_taken_back_renews_nothing() {
    let t = TestApp::fake().await;
    let client = t.post("/oauth/clients", json!({"name": "x", "redirect_uri": "https://example.com/"})).await.ok();
    let made = t.post("/oauth/authorizations", json!({"client": client["id"]})).await.ok();
    let proof = json!({"secret": client["secret"]});
    let code = json!({"grant": {"type": "authorization_code", "code": made["grant"]["code"]}, "client": proof});
    let token = t.post("/oauth/tokens", code).await.ok();
    let path = format!("/oauth/authorizations/{}", token["authorization"]["id"].as_str().unwrap());
    let mut refresh = token["refresh_token"]["token"].clone();
    for _ in 0..5 {
        let stolen = json!({"grant": {"type": "refresh_token"}, "client": proof, "refresh_token": {"token": refresh}});
        let thief = Loop::start(&t, "POST", "/oauth/tokens", &t.token, stolen.clone());
        let fresh = t.post(&format!("{path}/actions/regenerate-tokens"), json!({})).await.ok();
        thief.end().await;
        t.post("/oauth/tokens", stolen).await.error(401);
        assert!(works(&t, fresh["access_token"]["token"].as_str().unwrap()).await);
        refresh = fresh["refresh_token"]["token"].clone();
    }
}

/// Begins a login by a browser and says yes to it as `email`: what the command line waits with.
async fn approved(t: &TestApp, email: &str, password: &str) -> String {
    let p = t.platform();
    let begun = browser_logins::begin(p, "192.0.2.1", None).await.unwrap();
    let row = browser_logins::of_page(p, &begun.page).await.unwrap().unwrap();
    let accounts::Login::In(actor) = accounts::login(p, "192.0.2.1", email, password).await.unwrap() else { panic!() };
    assert!(browser_logins::decide(p, &row, Some(&actor)).await.unwrap());
    begun.token
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_by_an_account_that_is_gone() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let fred = Person::new(&t, "fred").await;
    root.post("/teams/apps", json!({"name": "theirs", "team": "default"})).await.ok();
    let waiting = approved(&t, "fred@example.com", "battery staple").await;
    let (reset, _) = accounts::reset(t.platform(), "fred@example.com").await.unwrap();
    let accounts::Login::In(actor) =
        accounts::login(t.platform(), "x", "fred@example.com", "battery staple").await.unwrap()
    else {
        panic!()
    };
    let gone = root.send("DELETE", "/users/fred@example.com", json!({})).await.ok();
    let id = gone["id"].as_str().unwrap();
    assert!(!works(&t, &fred.token).await);
    t.send("GET", "/auth/cli", Some(&waiting), None).await.error(404);
    let body = json!({"password": "ghost-password", "password_confirmation": "ghost-password"}).to_string();
    t.send_with("POST", &format!("/password-resets/{reset}/actions/finalize"), &[], &body).await.error(404);
    // A login that was proven just before makes no token, and one that is there all the same opens nothing.
    let new = || tokens::New {
        description: "late".into(),
        scopes: paas_daemon::ops::scopes::Scopes::global(),
        expires_in: None,
        session: true,
    };
    tokens::create(t.platform(), &actor, new()).await.unwrap_err();
    let late = accounts::create_token(t.platform(), actor.user.id, "late", None).await.unwrap().1;
    t.send("GET", "/apps", Some(&late), None).await.error(401);
    // Nobody can give them anything by their id, or the address that their row has now.
    for who in [id.to_owned(), format!("{id}@deleted.invalid")] {
        let (_, why) = root.post("/teams/apps/theirs/collaborators", json!({"user": who})).await.error(422);
        assert!(why.contains("has no account here"), "{why}");
        let transfer = root.post("/account/app-transfers", json!({"app": "theirs", "recipient": who})).await;
        assert!(matches!(transfer.status, 404 | 422), "{transfer:?}");
        root.put("/teams/default/members", json!({"email": who, "role": "admin"})).await.error(404);
        assert_eq!(login(&t, "/oauth/sessions", &who, "battery staple").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_what_came_in_by_the_old_one() {
    let t = TestApp::fake().await;
    let both = ["/oauth/authorizations", "/oauth/sessions"];
    let mut old = "correct horse".to_owned();
    // By its owner, by a token that was made out, and by an administrator of the machine.
    for way in ["owner", "reset", "machine"] {
        let mut theirs = Vec::new();
        for path in both {
            theirs.push(login(&t, path, &t.email, &old).await.unwrap());
        }
        let own = login(&t, "/oauth/authorizations", &t.email, &old).await.unwrap();
        let program = t.post("/oauth/authorizations", json!({"description": "CI"})).await.ok();
        let program = program["access_token"]["token"].as_str().unwrap().to_owned();
        let waiting = approved(&t, &t.email, &old).await;
        let (reset, _) = accounts::reset(t.platform(), &t.email).await.unwrap();
        let new = format!("battery staple by {way}");
        let kept = match way {
            "owner" => {
                let body = json!({"password": old, "new_password": new}).to_string().into_bytes();
                t.send("PATCH", "/account", Some(&own), Some(body)).await.ok();
                true
            }
            "reset" => {
                accounts::finalize_reset(t.platform(), &reset, &new).await.unwrap();
                false
            }
            _ => {
                accounts::create(t.platform(), &t.email, Some(&new), false).await.unwrap();
                false
            }
        };
        for token in &theirs {
            assert!(!works(&t, token).await, "{way}");
        }
        assert_eq!(works(&t, &own).await, kept, "{way}: the one that changed it stays");
        assert!(works(&t, &program).await && works(&t, &t.token).await, "{way}: those of programs stay");
        t.send("GET", "/auth/cli", Some(&waiting), None).await.error(404);
        accounts::finalize_reset(t.platform(), &reset, "guessed again").await.unwrap_err();
        old = new;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let (_, why) = root.send("DELETE", "/account", json!({"password": "battery staple"})).await.error(422);
    assert_eq!(why, "root@example.com is the only admin of default. Make somebody else one first.");
    // Of a team too, and of two who go at once one stays.
    let (ann, second) = (Person::new(&t, "ann").await, Person::admin(&t, "second").await);
    second.post("/teams", json!({"name": "crew"})).await.ok();
    second.put("/teams/crew/members", json!({"email": "ann@example.com", "role": "admin"})).await.ok();
    second.send("DELETE", "/teams/crew/members/second@example.com", json!({})).await.ok();
    let (_, why) = ann.send("DELETE", "/account", json!({"password": "battery staple"})).await.error(422);
    assert!(why.contains("crew"), "{why}");
    let go = |who: &Person<'_>| {
        let (token, body) = (who.token.clone(), json!({"password": "battery staple"}).to_string().into_bytes());
        let t = &t;
        async move { t.send("DELETE", "/account", Some(&token), Some(body)).await }
    };
    let (one, other): (Answer, Answer) = tokio::join!(go(&root), go(&second));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422]);
    let left = users::all_present(&mut t.platform().db.read().await.unwrap()).await.unwrap();
    assert_eq!(left.iter().filter(|user| user.admin).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_the_logins_stops_their_own_only() {
    let t = TestApp::fake().await;
    let begin = async |peer: &str| {
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", peer)];
        t.send_with("POST", "/auth", &headers, "{}").await.ok()["browser_url"].as_str().unwrap().to_owned()
    };
    let status = async |page: &str| t.send_with("GET", page, &[], "").await.status;
    let mine = begin("192.0.2.7").await;
    let mut theirs = Vec::new();
    for n in 0..21 {
        // One host has all of these addresses.
        theirs.push(begin(&format!("2001:db8::{n:x}")).await);
    }
    assert_eq!(status(&mine).await, 200);
    assert_eq!((status(&theirs[0]).await, status(&theirs[1]).await, status(&theirs[20]).await), (404, 200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_have_ended_are_not_kept() {
    let t = TestApp::fake().await;
    let short = t.post("/oauth/authorizations", json!({"expires_in": 1})).await.ok();
    let token = short["access_token"]["token"].as_str().unwrap().to_owned();
    t.until("its end", || async { (!works(&t, &token).await).then_some(()) }).await;
    let next = t.post("/oauth/authorizations", json!({})).await.ok();
    let user = t.actor().await.user.id;
    let rows = authorizations::list(&mut t.platform().db.read().await.unwrap(), user).await.unwrap();
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    assert!(!ids.contains(&short["id"].as_str().unwrap().to_owned()), "{ids:?}");
    assert!(ids.contains(&next["id"].as_str().unwrap().to_owned()) && ids.len() == 2, "{ids:?}");
}

/// A request of which all but the end of its body has been sent.
struct Begun {
    stream: tokio::net::TcpStream,
    rest: Vec<u8>,
}

impl Begun {
    async fn new(t: &TestApp, method: &str, path: &str, token: &str, body: &Value) -> Self {
        let body = body.to_string();
        let (first, rest) = body.as_bytes().split_at(1);
        let mut stream = tokio::net::TcpStream::connect(t.config.api_listen).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(first).await.unwrap();
        // Until it is no longer as good as sent at once.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        Self { stream, rest: rest.to_vec() }
    }

    /// Sends the rest; the status that it gets.
    async fn end(mut self) -> u16 {
        self.stream.write_all(&self.rest).await.unwrap();
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_not_had_by_a_request_that_had_begun() {
    let t = TestApp::fake().await;
    let root = Person::admin(&t, "root").await;
    let (eve, carol) = (Person::admin(&t, "eve").await, Person::new(&t, "carol").await);
    let role = |who: &str, role: &str| json!({"email": format!("{who}@example.com"), "role": role});
    let members = "/teams/default/members";
    // A token that is revoked.
    let stolen = root.post("/oauth/authorizations", json!({"scope": ["global"]})).await.ok();
    let token = stolen["access_token"]["token"].as_str().unwrap();
    let begun = Begun::new(&t, "PUT", members, token, &role("carol", "admin")).await;
    root.delete(&format!("/oauth/authorizations/{}", stolen["id"].as_str().unwrap())).await.ok();
    assert_eq!(begun.end().await, 401);
    // An administrator who is one no more.
    let body = json!({"new_password": "battery staple"});
    let begun = Begun::new(&t, "PATCH", "/users/root@example.com", &eve.token, &body).await;
    root.put(members, role("eve", "member")).await.ok();
    assert_eq!(begun.end().await, 401);
    // An account that is gone.
    let begun = Begun::new(&t, "POST", "/apps", &carol.token, &json!({"name": "ghost"})).await;
    root.delete("/users/carol@example.com").await.ok();
    assert_eq!(begun.end().await, 401);
    assert_eq!(root.get("/apps").await.ok(), json!([]));
    let all = root.get(members).await.ok();
    let admins = all.as_array().unwrap().iter().filter(|member| member["role"] == "admin").count();
    assert_eq!(admins, 1, "{all}");
    // Whose token is as it was may be slow.
    let begun = Begun::new(&t, "POST", "/apps", &eve.token, &json!({"name": "slow"})).await;
    assert_eq!(begun.end().await, 201);
}
