//! Programs that users let in, and logins by a browser.

use std::time::Duration;

use serde_json::{Value, json};

use crate::util::TestApp;

/// A browser: keeps its cookie, follows nothing.
struct Browser<'a> {
    t: &'a TestApp,
    http: reqwest::Client,
    cookie: Option<String>,
}

/// A page as it came.
struct Page {
    status: u16,
    to: Option<String>,
    text: String,
}

impl<'a> Browser<'a> {
    fn new(t: &'a TestApp) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { t, http, cookie: None }
    }

    async fn open(&mut self, path: &str, form: Option<&[(&str, &str)]>) -> Page {
        let url = format!("{}{path}", self.t.url);
        let mut request = match form {
            None => self.http.get(url),
            Some(form) => {
                let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                self.http.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(body)
            }
        };
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        if let Some(cookie) = header("set-cookie") {
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        if header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let policy = header("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        }
        let (status, to) = (response.status().as_u16(), header("location"));
        Page { status, to, text: response.text().await.unwrap() }
    }
}

impl Page {
    /// The hidden fields of the form.
    fn hidden(&self) -> Vec<(String, String)> {
        let parts = self.text.split("<input type=\"hidden\" name=\"").skip(1);
        parts
            .map(|part| {
                let (name, rest) = part.split_once("\" value=\"").unwrap();
                (name.to_owned(), rest.split_once('"').unwrap().0.to_owned())
            })
            .collect()
    }

    /// The form filled in.
    fn filled<'p>(hidden: &'p [(String, String)], more: &[(&'p str, &'p str)]) -> Vec<(&'p str, &'p str)> {
        hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(more.iter().copied()).collect()
    }
}

const YES: [(&str, &str); 3] = [("email", "owner@example.com"), ("password", "correct horse"), ("decision", "yes")];

async fn client(t: &TestApp) -> Value {
    t.post("/oauth/clients", json!({"name": "<b>Amazing</b>", "redirect_uri": "https://example.com/cb?x=1"})).await.ok()
}

async fn trade(t: &TestApp, body: Value) -> crate::util::Answer {
    t.send_with("POST", "/oauth/tokens", &[("Content-Type", "application/json")], &body.to_string()).await
}

async fn code(t: &TestApp, client: &Value, scope: &str) -> String {
    let mut browser = Browser::new(t);
    let path = format!(
        "/oauth/authorize?client_id={}&response_type=code&scope={scope}&state=s%26t",
        client["id"].as_str().unwrap()
    );
    let page = browser.open(&path, None).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("&lt;b&gt;Amazing") && !page.text.contains("<b>Amazing"));
    let hidden = page.hidden();
    let done = browser.open("/oauth/authorize", Some(&Page::filled(&hidden, &YES))).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let to = url::Url::parse(&done.to.unwrap()).unwrap();
    assert!(to.as_str().starts_with("https://example.com/cb?x=1&"), "{to}");
    let value = |name: &str| to.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
    // The page holds it escaped, as the browser gives it back.
    assert!(value("state").starts_with("s&"), "{to}");
    value("code")
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_made_changed_rotated_and_removed() {
    let mut t = TestApp::fake().await;
    let made = client(&t).await;
    let path = format!("/oauth/clients/{}", made["id"].as_str().unwrap());
    assert_eq!(t.get("/oauth/clients").await.ok(), json!([made]));
    t.restart().await;
    assert_eq!(t.get(&path).await.ok(), made, "the secret can be seen again");
    let changed = t.patch(&path, json!({"name": "Other"})).await.ok();
    assert_eq!((&changed["name"], &changed["redirect_uri"]), (&json!("Other"), &made["redirect_uri"]));
    let rotated = t.post(&format!("{path}/actions/rotate-credentials"), json!({})).await.ok();
    assert_ne!(rotated["secret"], made["secret"]);
    for bad in [
        json!({"name": "x"}),
        json!({"name": "", "redirect_uri": "https://example.com/"}),
        json!({"name": "x", "redirect_uri": "http://example.com/"}),
        json!({"name": "x", "redirect_uri": "javascript:alert(1)"}),
        json!({"name": 1, "redirect_uri": "https://example.com/"}),
    ] {
        t.post("/oauth/clients", bad).await.error(422);
    }
    t.patch(&path, json!({"redirect_uri": "http://example.com/"})).await.error(422);
    let other = t.other("other@example.com").await;
    for method in ["GET", "PATCH", "DELETE"] {
        t.send(method, &path, Some(&other), Some(b"{}".to_vec())).await.error(404);
    }
    t.delete(&path).await.ok();
    t.get(&path).await.error(404);
    t.get("/oauth/clients/nobody").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_let_in_by_a_code_that_works_once() {
    let t = TestApp::fake().await;
    t.create("app").await;
    let client = client(&t).await;
    let secret = client["secret"].as_str().unwrap();
    let code_ = code(&t, &client, "read%20identity").await;
    let body = |code: &str, secret: &str| json!({"grant": {"type": "authorization_code", "code": code}, "client": {"secret": secret}});
    trade(&t, body(&code_, "wrong")).await.error(401);
    trade(&t, body("wrong", secret)).await.error(401);
    trade(&t, json!({"grant": {"type": "password"}, "client": {"secret": secret}})).await.error(422);
    trade(&t, json!({"grant": {"type": "authorization_code"}})).await.error(422);
    let made = trade(&t, body(&code_, secret)).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    let token = made["access_token"]["token"].as_str().unwrap();
    assert_eq!(made["access_token"]["expires_in"], 28800);
    t.send("GET", "/apps", Some(token), None).await.ok();
    t.send("GET", "/account", Some(token), None).await.ok();
    t.send("GET", "/apps/app/config-vars", Some(token), None).await.error(403);
    let listed = t.get("/oauth/authorizations").await.ok();
    let listed = listed.as_array().unwrap().iter().find(|a| a["id"] == made["authorization"]["id"]).unwrap().clone();
    assert_eq!((&listed["client"]["id"], &listed["scope"]), (&client["id"], &json!(["read", "identity"])));

    // It renews its token: the last one ends.
    let renew = |refresh: &Value| json!({"grant": {"type": "refresh_token"}, "client": {"secret": secret}, "refresh_token": {"token": refresh}});
    let renewed = trade(&t, renew(&made["refresh_token"]["token"])).await.ok();
    t.send("GET", "/apps", Some(token), None).await.error(401);
    let token = renewed["access_token"]["token"].as_str().unwrap();
    t.send("GET", "/apps", Some(token), None).await.ok();
    trade(&t, renew(&json!("wrong"))).await.error(401);

    // A code that comes again was stolen: what it gave is taken back.
    trade(&t, body(&code_, secret)).await.error(401);
    t.send("GET", "/apps", Some(token), None).await.error(401);
    trade(&t, renew(&renewed["refresh_token"]["token"])).await.error(401);

    // A token ends itself, and not others; a client takes its tokens along.
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let code = code(&t, &client, "read").await;
        let made = trade(&t, body(&code, secret)).await.ok();
        tokens.push((
            made["access_token"]["token"].as_str().unwrap().to_owned(),
            made["id"].as_str().unwrap().to_owned(),
        ));
    }
    let [(first, first_id), (second, second_id)] = &tokens[..] else { unreachable!() };
    t.send("DELETE", &format!("/oauth/tokens/{second_id}"), Some(first), None).await.error(403);
    t.send("DELETE", &format!("/oauth/tokens/{first_id}"), Some(first), None).await.ok();
    t.send("GET", "/apps", Some(first), None).await.error(401);
    t.send("GET", "/apps", Some(second), None).await.ok();
    t.delete(&format!("/oauth/clients/{}", client["id"].as_str().unwrap())).await.ok();
    t.send("GET", "/apps", Some(second), None).await.error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standards_own_form_works_too() {
    let t = TestApp::fake().await;
    let client = client(&t).await;
    let (id, secret) = (client["id"].as_str().unwrap(), client["secret"].as_str().unwrap());
    // A code can be had by the API as well.
    let made = t.post("/oauth/authorizations", json!({"client": id, "scope": ["read"]})).await.ok();
    assert_eq!(made["access_token"], json!(null));
    let code = made["grant"]["code"].as_str().unwrap();
    let form =
        |pairs: &[(&str, &str)]| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let ask = async |pairs: &[(&str, &str)]| t.send_with("POST", "/oauth/token", &[], &form(pairs)).await;
    let wrong = ask(&[("grant_type", "authorization_code"), ("code", code), ("client_secret", "x")]).await;
    assert_eq!((wrong.status, &wrong.body["error"]), (401, &json!("invalid_client")));
    assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    let other = [("client_id", "00000000-0000-0000-0000-000000000000"), ("client_secret", secret)];
    let wrong = ask(&[&[("grant_type", "authorization_code"), ("code", code)], &other[..]].concat()).await;
    assert_eq!(wrong.body["error"], "invalid_client");
    let proof = [("client_id", id), ("client_secret", secret)];
    let good = ask(&[&[("grant_type", "authorization_code"), ("code", code)], &proof[..]].concat()).await.ok();
    assert_eq!((&good["token_type"], &good["scope"]), (&json!("Bearer"), &json!("read")));
    t.send("GET", "/apps", good["access_token"].as_str(), None).await.ok();
    let refresh = good["refresh_token"].as_str().unwrap();
    let again = ask(&[&[("grant_type", "refresh_token"), ("refresh_token", refresh)], &proof[..]].concat()).await.ok();
    t.send("GET", "/apps", again["access_token"].as_str(), None).await.ok();
    let used = ask(&[&[("grant_type", "authorization_code"), ("code", code)], &proof[..]].concat()).await;
    assert_eq!((used.status, &used.body["error"]), (400, &json!("invalid_grant")));
    assert_eq!(ask(&[]).await.body["error"], "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_consent_sends_nobody_astray() {
    let t = TestApp::fake().await;
    let client = client(&t).await;
    let id = client["id"].as_str().unwrap();
    let mut browser = Browser::new(&t);
    // Unknown programs and addresses: told here, not sent on.
    for path in [
        "/oauth/authorize".to_owned(),
        "/oauth/authorize?client_id=nobody".to_owned(),
        format!("/oauth/authorize?client_id={id}&redirect_uri=https://evil.example/"),
    ] {
        let page = browser.open(&path, None).await;
        assert_eq!((page.status, page.to), (400, None), "{path}");
    }
    // Nor by what a link asks: anybody may have made it.
    for (query, error) in [("response_type=token", "unsupported_response_type"), ("scope=all", "invalid_scope")] {
        let page = browser.open(&format!("/oauth/authorize?client_id={id}&{query}&state=7"), None).await;
        assert_eq!((page.status, page.to), (400, None));
        assert!(page.text.contains(error), "{}", page.text);
    }
    let page =
        browser.open(&format!("/oauth/authorize?client_id={id}&redirect_uri=https://example.com/cb?x%3D1"), None).await;
    assert!(page.text.contains("a program of owner@example.com"), "{}", page.text);
    let hidden = page.hidden();
    assert!(hidden.contains(&("scope".into(), "identity".into())), "{hidden:?}");
    // A form that another page has posted, though it has the cookie and the proof of its own.
    for (name, value, status) in [
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Origin", t.url.as_str(), 303),
        ("Sec-Fetch-Site", "same-origin", 303),
    ] {
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(Page::filled(&hidden, &[("decision", "no")]))
            .finish();
        let sent = browser.http.post(format!("{}/oauth/authorize", t.url)).header(name, value).body(form);
        let sent = sent.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = sent.header("Cookie", browser.cookie.as_deref().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}: {value}");
    }
    // No, a wrong password, and a form that another browser was given.
    let no = browser.open("/oauth/authorize", Some(&Page::filled(&hidden, &[("decision", "no")]))).await;
    assert_eq!(no.to.unwrap(), "https://example.com/cb?x=1&error=access_denied");
    let wrong = [("email", "owner@example.com"), ("password", "wrong"), ("decision", "yes")];
    let page = browser.open("/oauth/authorize", Some(&Page::filled(&hidden, &wrong))).await;
    assert!(page.status == 401 && page.to.is_none() && page.text.contains("class=\"bad\""), "{}", page.text);
    let mut strange = Browser::new(&t);
    let page = strange.open("/oauth/authorize", Some(&Page::filled(&hidden, &YES))).await;
    assert_eq!((page.status, page.to), (403, None), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_logs_in_by_a_browser() {
    let t = TestApp::fake().await;
    let begin = async || {
        t.send_with("POST", "/auth", &[("Content-Type", "application/json")], r#"{"description": "Login from <x>"}"#)
            .await
            .ok()
    };
    let wait = |begun: &Value| {
        let (url, token) =
            (format!("{}{}", t.url, begun["cli_url"].as_str().unwrap()), begun["token"].as_str().unwrap().to_owned());
        tokio::spawn(async move {
            let response = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
            serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()
        })
    };
    let begun = begin().await;
    let waiting = wait(&begun);
    let path = begun["browser_url"].as_str().unwrap();
    let mut browser = Browser::new(&t);
    let page = browser.open(path, None).await;
    assert!(page.text.contains("Login from &lt;x&gt;"), "{}", page.text);
    let hidden = page.hidden();
    let wrong = [("email", "owner@example.com"), ("password", "wrong"), ("decision", "yes")];
    assert_eq!(browser.open(path, Some(&Page::filled(&hidden, &wrong))).await.status, 401);
    assert!(!waiting.is_finished());
    let page = browser.open(path, Some(&Page::filled(&hidden, &YES))).await;
    assert!(page.status == 200 && page.text.contains("owner@example.com"), "{}", page.text);
    let answer = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(t.send("GET", "/account", Some(token), None).await.ok()["email"], "owner@example.com");
    assert_eq!(t.get("/oauth/sessions").await.ok()[0]["description"], "Login from <x>");
    // Neither page nor token work twice, and the token of the one is not the secret of the other.
    assert_eq!(browser.open(path, Some(&Page::filled(&hidden, &YES))).await.status, 404);
    t.send("GET", "/auth/cli", begun["token"].as_str(), None).await.error(404);
    t.send("GET", "/auth/cli", None, None).await.error(404);
    t.send("GET", "/auth/cli", Some(token), None).await.error(404);

    let begun = begin().await;
    let waiting = wait(&begun);
    let path = begun["browser_url"].as_str().unwrap();
    let page = browser.open(path, None).await;
    let hidden = page.hidden();
    browser.open(path, Some(&Page::filled(&hidden, &[("decision", "no")]))).await;
    let answer = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert!(answer["error"].as_str().unwrap().contains("cancelled"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_on_has_a_page_for_whoever_may_see_its_app() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let made = t.post("/apps/shop/addons", json!({"plan": "redis", "name": "cache"})).await.ok();
    let path = format!("/addons/{}/dashboard", made["id"].as_str().unwrap());
    let mut browser = Browser::new(&t);
    let page = browser.open(&path, None).await;
    assert!(
        page.status == 200 && page.text.contains(">Log in</button>") && !page.text.contains("cache"),
        "{}",
        page.text
    );
    let hidden = page.hidden();
    let wrong = [("email", "owner@example.com"), ("password", "wrong"), ("decision", "yes")];
    assert_eq!(browser.open(&path, Some(&Page::filled(&hidden, &wrong))).await.status, 401);
    let page = browser.open(&path, Some(&Page::filled(&hidden, &YES))).await;
    assert!(page.status == 200 && page.text.contains("<h1>cache</h1>"), "{}", page.text);
    // What isn't there is not told from what is another's.
    paas_daemon::ops::accounts::create(t.platform(), "stranger@example.com", Some("battery staple"), false)
        .await
        .unwrap();
    let stranger = [("email", "stranger@example.com"), ("password", "battery staple"), ("decision", "yes")];
    let of_another = browser.open(&path, Some(&Page::filled(&hidden, &stranger))).await;
    let of_nobody =
        browser.open(&format!("/addons/{}/dashboard", uuid::Uuid::new_v4()), Some(&Page::filled(&hidden, &YES))).await;
    assert_eq!((of_another.status, of_nobody.status), (404, 404));
    assert_eq!(of_another.text, of_nobody.text);
}
