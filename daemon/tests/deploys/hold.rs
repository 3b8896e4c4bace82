//! An app of one dyno whose dyno goes, by its user's will or by a crash: visitors wait for the
//! next one and get no error.

use std::{path::Path, process::Command, time::Instant};

use serde_json::json;

use crate::{
    engine::docker,
    load::{APP, Load, connect, free, head, request},
    util::{Server, wait_for},
};

/// The process of a dyno that answers, as the machine knows it.
fn server_process(container: &str) -> u32 {
    let table = docker(&["top", container, "-eo", "pid,args"]);
    let line = table
        .lines()
        .find(|line| line.trim().split_once(' ').is_some_and(|(_, args)| args.trim().starts_with("python3")));
    let line = line.unwrap_or_else(|| panic!("no python3 in {table}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Kills the only dyno's process; the moment from which on nothing of it is left.
fn crash(server: &Server, app: &str) -> Instant {
    let dynos = server.containers("dyno");
    let dyno = dynos.iter().find(|dyno| dyno.app == *app && dyno.state == "running").unwrap();
    let pid = server_process(&dyno.id);
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    wait_for("the end of the process", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    Instant::now()
}

#[test]
fn visitors_of_one_dyno_wait_while_it_is_replaced() {
    let to = free();
    let server = Server::start("hold", &[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", &to.to_string())]);
    let app = server.app("hold");
    let copy = server.copy(&app);
    copy.write("Procfile", "web: exec python3 app.py\n");
    copy.write("app.py", APP);
    copy.write("version", "one\n");
    copy.commit("One");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    let host = format!("{app}.localhost");
    let body = || connect(to).and_then(|mut c| request(&mut c, &head(&host, 2, false))).unwrap_or_default().1;
    wait_for("the first answer", || body().starts_with("one None").then_some(()));
    let settled = |server: &Server| server.settled(&[(&app, &[("web", 1)])]);
    settled(&server);
    let another = |server: &Server, before: &serde_json::Value| {
        wait_for("another dyno alone", || {
            let now = server.dynos(&app);
            (now.len() == 1 && now[0]["state"] == "up" && now[0]["id"] != *before).then_some(())
        });
    };

    for (method, path, what) in
        [("DELETE", "dynos/web.1", "ps:restart web.1"), ("POST", "dynos/web.1/actions/stop", "ps:stop web.1")]
    {
        let load = Load::start(to, &host);
        let before = server.dynos(&app)[0]["id"].clone();
        let (status, said) = server.send(method, &format!("/apps/{app}/{path}"), &json!({}));
        assert!(status < 300, "{said}");
        another(&server, &before);
        settled(&server);
        load.end(what);
    }

    let load = Load::start(to, &host);
    let killed = crash(&server, &app);
    wait_for("the next dyno", || {
        let now = server.dynos(&app);
        (now.len() == 1 && now[0]["state"] == "up" && server.crashes(&app) == 1).then_some(())
    });
    settled(&server);
    load.end_but("a crash", Some(killed));

    let (status, said) = server.send("PATCH", &format!("/apps/{app}/features/preboot"), &json!({"enabled": false}));
    assert!(status < 300, "{said}");
    let load = Load::start(to, &host);
    server.set(&app, "ROUND", "1");
    wait_for("the new release", || body().starts_with("one 1").then_some(()));
    settled(&server);
    load.end("config:set without preboot");

    let load = Load::start(to, &host);
    let mut copy = server.again(&app);
    copy.remote = server.remote(&app);
    copy.write("version", "two\n");
    copy.commit("Two");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    wait_for("the new version", || body().starts_with("two 1").then_some(()));
    settled(&server);
    load.end("a deploy without preboot");

    let load = Load::start(to, &host);
    for count in [2, 1] {
        server.scale(&app, &[("web", count)]);
        server.settled(&[(&app, &[("web", count)])]);
    }
    load.end("ps:scale up and down without preboot");
    let lines = server.log_of(&app);
    for code in ["H10", "H20", "H21", "H99"] {
        assert!(!lines.contains(&format!("code={code} ")), "{code} in {lines}");
    }
}

impl Server {
    /// What an app's log has to say.
    pub(crate) fn log_of(&self, app: &str) -> String {
        let (status, session) = self.send("POST", &format!("/apps/{app}/log-sessions"), &json!({"lines": 1500}));
        assert_eq!(status, 201, "{session}");
        self.request("GET", session["logplex_url"].as_str().unwrap(), &[]).1
    }

    /// How often dynos of an app have crashed.
    fn crashes(&self, app: &str) -> usize {
        self.log_of(app).matches("to crashed").count()
    }
}
