//! The daemon is killed (as by the power going) in the middle of everything it does but
//! builds, at points that a seed picks, and started again: what was answered is there, what
//! was asked comes true, and nothing else is left.

use std::{process::Command, thread};

use serde_json::{Value, json};

use crate::{
    engine::{Container, Delays, Watch, docker, new_container},
    util::{Server, wait_for},
};

const WEB: &str = "python3 -m http.server $PORT";
const WORKER: &str = "bash serve.sh";

/// A daemon with a bystander that nothing may happen to, and an app to try things with.
struct Stage {
    server: Server,
    app: String,
    bystander: String,
    untouched: Vec<Container>,
    watch: Watch,
    delays: Delays,
}

impl Stage {
    fn new(name: &str, procfile: &str) -> Self {
        let server = Server::start(name, &[("PAAS_STOP_GRACE", "5")]);
        let watch = server.watch();
        let [bystander, app] = ["bystander", name].map(|name| server.app(name));
        for (app, procfile) in [(&bystander, "web: WEB\nworker: WORKER\n"), (&app, procfile)] {
            let copy = server.copy(app);
            copy.write("Procfile", procfile.replace("WEB", WEB).replace("WORKER", WORKER));
            copy.write("serve.sh", "trap 'exit 0' TERM; while :; do sleep 0.1; done\n");
            copy.commit("Second");
            let (taken, said) = copy.push(&["main"]);
            assert!(taken, "{said}");
        }
        let stage = Self { server, app, bystander, untouched: Vec::new(), watch, delays: Delays::new() };
        stage.server.scale(&stage.bystander, &[("worker", 1)]);
        stage.server.settled(&[(&stage.bystander, &[("web", 1), ("worker", 1)])]);
        Self { untouched: stage.of_bystander(), ..stage }
    }

    fn of_bystander(&self) -> Vec<Container> {
        let mut all = self.server.containers("dyno");
        all.retain(|container| container.app == self.bystander);
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Waits for up to so long, and the daemon dies and comes back.
    fn die_within(&mut self, milliseconds: u64) {
        let delay = self.delays.up_to(milliseconds);
        eprintln!("killed after {delay:?}");
        thread::sleep(delay);
        self.server.kill();
        self.server.up();
    }

    fn settled(&self, formation: &[(&str, usize)]) {
        self.server.settled(&[(&self.app, formation), (&self.bystander, &[("web", 1), ("worker", 1)])]);
        assert_eq!(self.of_bystander(), self.untouched, "the bystander's dynos were touched");
        assert!(
            self.watch
                .events()
                .iter()
                .all(|event| event[0] != "die" || event[1] != self.bystander || event[2].is_empty())
        );
    }

    fn config(&self) -> Value {
        self.server.get(&format!("/apps/{}/config-vars", self.app))
    }
}

impl Server {
    pub(crate) fn scale(&self, app: &str, formation: &[(&str, usize)]) {
        let updates: Vec<Value> =
            formation.iter().map(|(name, quantity)| json!({"type": name, "quantity": quantity})).collect();
        let (status, body) = self.send("PATCH", &format!("/apps/{app}/formation"), &json!({"updates": updates}));
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) fn set(&self, app: &str, key: &str, value: &str) {
        let (status, body) = self.send("PATCH", &format!("/apps/{app}/config-vars"), &json!({key: value}));
        assert_eq!(status, 200, "{body}");
    }
}

#[test]
fn a_daemon_that_is_killed_in_a_rollout_or_a_scale() {
    let mut stage = Stage::new("rollout", "web: WEB\nworker: WORKER\n");
    let app = stage.app.clone();
    stage.server.scale(&app, &[("web", 2), ("worker", 1)]);
    stage.settled(&[("web", 2), ("worker", 1)]);
    for round in 0..3 {
        let before = stage.server.containers("dyno");
        let version = stage.server.version(&app);
        stage.server.set(&app, "ROUND", &round.to_string());
        new_container(&stage.server, &before);
        stage.die_within(1500);
        assert_eq!(stage.config()["ROUND"], round.to_string());
        assert_eq!(stage.server.version(&app), version + 1);
        stage.settled(&[("web", 2), ("worker", 1)]);
        for container in stage.server.containers("dyno") {
            if container.app == app {
                let env = docker(&["inspect", "-f", "{{json .Config.Env}}", &container.id]);
                assert!(env.contains(&format!("\"ROUND={round}\"")), "{env}");
            }
        }
    }
    for (web, worker) in [(4, 3), (1, 2), (3, 0)] {
        let before = stage.server.containers("dyno");
        stage.server.scale(&app, &[("web", web), ("worker", worker)]);
        wait_for("a dyno that comes or goes", || (stage.server.containers("dyno") != before).then_some(()));
        let kept: Vec<String> =
            before.iter().filter(|dyno| dyno.app == app && dyno.name == "web.1").map(|dyno| dyno.id.clone()).collect();
        stage.die_within(600);
        stage.settled(&[("web", web), ("worker", worker)]);
        // Scaling replaces nothing.
        let now = stage.server.containers("dyno");
        assert!(kept.iter().all(|id| now.iter().any(|dyno| dyno.id == *id)), "web.1 was replaced");
    }
    stage.watch.no_worker_twice();
}

#[test]
fn a_daemon_that_is_killed_in_a_release_phase() {
    let mut stage = Stage::new("phased", "web: WEB\nrelease: sleep 1; test \"$BAD\" != yes\n");
    let app = stage.app.clone();
    stage.settled(&[("web", 1)]);
    for round in 0..3 {
        let before = stage.server.containers("dyno");
        stage.server.set(&app, "ROUND", &round.to_string());
        let version = stage.server.version(&app);
        assert_eq!(stage.server.releases(&app).last().unwrap()["status"], "pending");
        if round > 0 {
            new_container(&stage.server, &before);
        }
        stage.die_within(1500);
        let server = &stage.server;
        let status = wait_for("the end of the phase", || {
            let status = server.releases(&app).last().unwrap()["status"].as_str().unwrap().to_owned();
            (status != "pending").then_some(status)
        });
        assert_eq!(status, "succeeded");
        stage.settled(&[("web", 1)]);
        assert_eq!(stage.watch.starts("release", &version.to_string()), 1, "{:?}", stage.watch.events());
        assert_eq!(stage.config()["ROUND"], round.to_string());
    }
    // One that fails while nobody looks: the dynos of the release before stay.
    let before = stage.server.containers("dyno");
    let running = stage.server.dynos(&app);
    stage.server.set(&app, "BAD", "yes");
    new_container(&stage.server, &before);
    // Made is not started: what was only made waits for the daemon.
    wait_for("the phase to run", || {
        let new = stage.server.containers("dyno").into_iter().find(|dyno| !before.iter().any(|old| old.id == dyno.id));
        new.filter(|dyno| dyno.state != "created").map(|_| ())
    });
    stage.server.kill();
    wait_for("the end of the phase", || {
        stage.server.containers("dyno").iter().any(|dyno| dyno.state == "exited").then_some(())
    });
    stage.server.up();
    let server = &stage.server;
    wait_for("the failure", || (server.releases(&app).last().unwrap()["status"] == "failed").then_some(()));
    let ids = |dynos: &[Value]| dynos.iter().map(|dyno| dyno["id"].clone()).collect::<Vec<_>>();
    wait_for("only what ran before", || (ids(&server.dynos(&app)) == ids(&running)).then_some(()));
}

#[test]
fn a_daemon_that_is_killed_while_it_answers() {
    let mut stage = Stage::new("storm", "web: WEB\n");
    let app = stage.app.clone();
    stage.settled(&[("web", 1)]);
    for round in 0..3 {
        let url = format!("{}/apps/{app}/config-vars", stage.server.url);
        let (credentials, version) = (format!(":{}", stage.server.token), stage.server.version(&app));
        let storm = thread::spawn(move || {
            let mut answered = 0;
            loop {
                let body = json!({format!("ROUND_{round}"): (answered + 1).to_string()}).to_string();
                let output = Command::new("curl")
                    .args([
                        "-s",
                        "-m",
                        "20",
                        "-X",
                        "PATCH",
                        "-u",
                        &credentials,
                        "-w",
                        "%{http_code}",
                        "-o",
                        "/dev/null",
                    ])
                    .args(["-H", "content-type: application/json", "-d", &body, &url])
                    .output()
                    .unwrap();
                if output.stdout != b"200" {
                    return answered;
                }
                answered += 1;
            }
        });
        thread::sleep(std::time::Duration::from_millis(300));
        stage.die_within(500);
        let answered: u64 = storm.join().unwrap();
        eprintln!("{answered} were answered");
        assert!(answered > 0);
        let value: u64 = stage.config()[format!("ROUND_{round}")].as_str().unwrap().parse().unwrap();
        // The last one may have been done without its answer having come through.
        assert!(value == answered || value == answered + 1, "{value} after {answered} answers");
        let versions: Vec<u64> =
            stage.server.releases(&app).iter().map(|release| release["version"].as_u64().unwrap()).collect();
        assert_eq!(*versions.last().unwrap(), version + value);
        assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{versions:?}");
        stage.settled(&[("web", 1)]);
    }
}

#[test]
fn a_daemon_that_is_killed_in_a_quick_build() {
    let mut stage = Stage::new("quick", "web: WEB\n");
    let app = stage.app.clone();
    stage.settled(&[("web", 1)]);
    let mut copy = stage.server.again(&app);
    for round in 0..6 {
        let before = stage.server.releases(&app).len();
        copy.write("round", round.to_string());
        let commit = copy.commit(&format!("Round {round}"));
        let mut push = copy.command(&["push", "-q", &copy.remote, "main"]).spawn().unwrap();
        stage.die_within(2000);
        let taken = push.wait().unwrap().success();
        copy.remote = stage.server.remote(&app);
        wait_for("the end of all builds", || {
            stage.server.builds(&app).iter().all(|build| build["status"] != "pending").then_some(())
        });
        let made = stage.server.releases(&app).len() - before;
        eprintln!("taken: {taken}, releases: {made}");
        assert!(made <= 1, "released {made} times");
        assert!(!taken || made == 1, "a push was taken, but nothing released");
        // What the pusher does who was not answered.
        let (taken, said) = copy.push(&["main"]);
        assert!(taken, "{said}");
        assert_eq!(copy.there("main").unwrap(), commit);
        let newest = stage.server.releases(&app).pop().unwrap();
        let slug = stage.server.get(&format!("/apps/{app}/slugs/{}", newest["slug"]["id"].as_str().unwrap()));
        assert_eq!(slug["commit"], commit, "what was pushed last is what runs");
        stage.settled(&[("web", 1)]);
    }
}

#[test]
fn a_daemon_that_is_killed_while_it_makes_an_add_on() {
    let mut stage = Stage::new("making", "web: WEB\n");
    let app = stage.app.clone();
    stage.settled(&[("web", 1)]);
    let mut keys: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        let url = format!("{}/apps/{app}/addons", stage.server.url);
        let credentials = format!(":{}", stage.server.token);
        let body = json!({"plan": "redis", "attachment": {"name": format!("STORE{round}")}}).to_string();
        let request = thread::spawn(move || {
            Command::new("curl")
                .args(["-s", "-m", "20", "-X", "POST", "-u", &credentials, "-w", "\n%{http_code}"])
                .args(["-H", "content-type: application/json", "-d", &body, &url])
                .output()
        });
        let server = &stage.server;
        wait_for("the add-on's row", || (server.get("/addons").as_array().unwrap().len() == round + 1).then_some(()));
        stage.die_within(900);
        let _ = request.join().unwrap();
        let server = &stage.server;
        wait_for("the add-on", || {
            let all = server.get("/addons");
            let all = all.as_array().unwrap();
            assert_eq!(all.len(), round + 1, "made twice, or lost");
            all.iter().all(|addon| addon["state"] == "provisioned").then_some(())
        });
        stage.settled(&[("web", 1)]);
        // Each was released once, and all that was kept is kept.
        let variable = format!("STORE{round}_URL");
        let address = stage.config()[&variable].as_str().unwrap().to_owned();
        let releases = stage.server.releases(&app);
        let attached =
            releases.iter().filter(|one| one["description"].as_str().unwrap().contains(&format!("STORE{round}")));
        assert!(attached.count() <= 1, "{releases:?}");
        keys.push((variable, address));
        for (at, (variable, address)) in keys.iter().enumerate() {
            assert_eq!(stage.config()[variable], *address);
            let name = address.rsplit('@').next().unwrap().rsplit_once(':').unwrap().0;
            let said = stage.redis(address, if at == round { "SET kept yes" } else { "GET kept" });
            assert_eq!(said, if at == round { "OK" } else { "yes" }, "{name}");
        }
    }
    // And in the middle of taking one away.
    let id = stage.server.get("/addons").as_array().unwrap()[0]["id"].as_str().unwrap().to_owned();
    let (status, body) = stage.server.request(
        "DELETE",
        &format!("/apps/{app}/addons/{id}"),
        &["-H", "content-type: application/json", "-d", &json!({"confirm": app}).to_string()],
    );
    assert!(status < 300, "{status} {body}");
    stage.die_within(400);
    let server = &stage.server;
    wait_for("the end of the add-on", || (server.get("/addons").as_array().unwrap().len() == 2).then_some(()));
    stage.settled(&[("web", 1)]);
    // What is left is there still.
    let left = stage.config();
    let left: Vec<&(String, String)> = keys.iter().filter(|(variable, _)| !left[variable].is_null()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    for (_, address) in left {
        assert_eq!(stage.redis(address, "GET kept"), "yes");
    }
}

impl Stage {
    /// A Redis command, given from within the app's dyno by its own address of it.
    fn redis(&self, address: &str, command: &str) -> String {
        let dyno = self.server.containers("dyno").into_iter().find(|dyno| dyno.app == self.app).unwrap();
        let script = "
import socket, sys, urllib.parse
at = urllib.parse.urlparse(sys.argv[1])
s = socket.create_connection((at.hostname, at.port), 10)
f = s.makefile('rw', newline='')
f.write(f'AUTH {at.password}\\r\\n{sys.argv[2]}\\r\\n'); f.flush()
assert f.readline().strip() == '+OK'
said = f.readline().strip()
print(f.readline().strip() if said[0] == '$' else said[1:])
";
        let output = Command::new("docker")
            .args(["exec", &dyno.id, "python3", "-c", script, address, command])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
