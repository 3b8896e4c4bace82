//! Several people on one daemon, for the tests of who may do what.

use paas_daemon::ops::accounts;
use serde_json::Value;

use crate::util::{Answer, TestApp};

/// Somebody with a token.
pub(crate) struct Person<'t> {
    pub(crate) t: &'t TestApp,
    pub(crate) token: String,
}

impl<'t> Person<'t> {
    /// With an account like all others.
    pub(crate) async fn new(t: &'t TestApp, name: &str) -> Self {
        let email = format!("{name}@example.com");
        Self { t, token: t.other(&email).await }
    }

    /// An administrator.
    pub(crate) async fn admin(t: &'t TestApp, name: &str) -> Self {
        let email = format!("{name}@example.com");
        let user = accounts::create(t.platform(), &email, Some("battery staple"), true).await.unwrap();
        let token = accounts::create_token(t.platform(), user.id, "test", None).await.unwrap().1;
        Self { t, token }
    }

    /// The owner of what the test itself makes.
    pub(crate) fn owner(t: &'t TestApp) -> Self {
        Self { t, token: t.token.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.t.send("GET", path, Some(&self.token), None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.t.send("DELETE", path, Some(&self.token), None).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.t.send(method, path, Some(&self.token), Some(body.to_string().into_bytes())).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, body).await
    }

    /// One text of each thing in a list.
    pub(crate) async fn names(&self, path: &str, key: &str) -> Vec<String> {
        let list = self.get(path).await.ok();
        list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    }
}
