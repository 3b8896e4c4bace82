//! What this daemon has on the engine, and what the engine did: looked at from the outside,
//! with Docker's own client.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::util::{Server, wait_for};

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A container of this daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) release: String,
    pub(crate) app: String,
    pub(crate) dyno_id: String,
    pub(crate) state: String,
}

impl Server {
    fn filter(&self) -> String {
        format!("label=paas.instance={}", self.instance())
    }

    pub(crate) fn containers(&self, kind: &str) -> Vec<Container> {
        let format = ["paas.dyno", "paas.release", "paas.app", "paas.dyno-id"]
            .map(|label| format!("{{{{.Label \"{label}\"}}}}"))
            .join("|");
        let format = format!("{{{{.ID}}}}|{format}|{{{{.State}}}}");
        let kind = format!("label=paas.kind={kind}");
        let text =
            docker(&["ps", "-a", "--no-trunc", "--filter", &self.filter(), "--filter", &kind, "--format", &format]);
        text.lines()
            .map(|line| {
                let mut words = line.split('|').map(str::to_owned);
                let mut word = || words.next().unwrap();
                Container { id: word(), name: word(), release: word(), app: word(), dyno_id: word(), state: word() }
            })
            .collect()
    }

    fn labels(&self, what: &str, label: &str) -> BTreeSet<String> {
        let text = docker(&[what, "ls", "-q", "--filter", &self.filter()]);
        let ids: Vec<&str> = text.split_whitespace().collect();
        if ids.is_empty() {
            return BTreeSet::new();
        }
        let format = format!("{{{{index .Labels \"{label}\"}}}}");
        let found = docker(&[&[what, "inspect", "--format", &format][..], &ids].concat());
        found.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn version(&self, app: &str) -> u64 {
        self.releases(app).last().unwrap()["version"].as_u64().unwrap()
    }

    pub(crate) fn releases(&self, app: &str) -> Vec<Value> {
        self.get(&format!("/apps/{app}/releases")).as_array().unwrap().clone()
    }

    pub(crate) fn dynos(&self, app: &str) -> Vec<Value> {
        self.get(&format!("/apps/{app}/dynos")).as_array().unwrap().clone()
    }

    /// Why an app does not run exactly these types, each so often, all on its newest release.
    fn differs(&self, app: &str, formation: &[(&str, usize)]) -> Option<String> {
        let version = self.version(app);
        let dynos = self.dynos(app);
        let mut count = BTreeMap::new();
        for dyno in &dynos {
            if dyno["state"] != "up" || dyno["release"]["version"] != version {
                return Some(format!("{app} at v{version} has {dyno}"));
            }
            *count.entry(dyno["type"].as_str().unwrap()).or_insert(0) += 1;
        }
        let wanted: BTreeMap<&str, usize> = formation.iter().copied().filter(|(_, count)| *count > 0).collect();
        (count != wanted).then(|| format!("{app} has {count:?}, not {wanted:?}"))
    }

    /// Why what is on the engine and on disk is not what the API speaks of.
    fn strays(&self) -> Option<String> {
        let apps = self.get("/apps");
        let mut dynos = BTreeSet::new();
        let mut networks = BTreeSet::new();
        for app in apps.as_array().unwrap() {
            networks.insert(app["id"].as_str().unwrap().to_owned());
            // One that sleeps is shown, and nothing is there of it.
            let all = self.dynos(app["name"].as_str().unwrap());
            for dyno in all.into_iter().filter(|dyno| dyno["state"] != "idle") {
                dynos.insert(dyno["id"].as_str().unwrap().to_owned());
            }
        }
        let addons = self.get("/addons");
        let addons: BTreeSet<String> =
            addons.as_array().unwrap().iter().map(|addon| addon["id"].as_str().unwrap().to_owned()).collect();
        let containers = self.containers("dyno");
        if let Some(dead) = containers.iter().find(|container| container.state != "running") {
            return Some(format!("{dead:?}"));
        }
        let running: BTreeSet<String> = containers.into_iter().map(|container| container.dyno_id).collect();
        let volumes = self.labels("volume", "paas.dyno-id");
        let dirs: BTreeSet<String> = fs::read_dir(self.root.join("data/dynos"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let data = self.labels("volume", "paas.addon-id");
        let services = docker(&[
            "ps",
            "-a",
            "--filter",
            &self.filter(),
            "--filter",
            "label=paas.kind=addon",
            "--format",
            "{{.Label \"paas.addon-id\"}}",
        ]);
        let services: BTreeSet<String> = services.lines().map(str::to_owned).collect();
        let bridges = self.labels("network", "paas.app-id");
        for (what, there, wanted) in [
            ("containers of dynos", &running, &dynos),
            ("volumes of dynos", &volumes, &dynos),
            ("directories of dynos", &dirs, &dynos),
            ("containers of add-ons", &services, &addons),
            ("volumes of add-ons", &data, &addons),
        ] {
            if there != wanted {
                return Some(format!("{what}: {there:?}, not {wanted:?}"));
            }
        }
        let builds = self.build_containers();
        if !builds.is_empty() {
            return Some(format!("containers of builds: {builds:?}"));
        }
        if let Some(stray) = self.stray_file() {
            return Some(format!("left behind: {}", stray.display()));
        }
        (!bridges.is_subset(&networks)).then(|| format!("networks: {bridges:?}, not {networks:?}"))
    }

    /// What a build or an unpacking has left behind, once none is under way: of a build nothing
    /// stays but its output, and nothing that is not whole has its name yet.
    fn stray_file(&self) -> Option<PathBuf> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        };
        let data = self.root.join("data");
        let of_builds = list(&data.join("builds")).into_iter().flat_map(|dir| list(&dir));
        let mut strays = of_builds.filter(|path| !path.ends_with("output.log"));
        let halves = ["slugs", "releases"].into_iter().flat_map(|dir| list(&data.join(dir)));
        let mut halves = halves.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".new-"));
        strays.next().or_else(|| halves.next())
    }

    /// Waits until these apps run what was asked.
    pub(crate) fn runs(&self, apps: &[(&str, &[(&str, usize)])]) {
        let differs = || apps.iter().find_map(|(app, formation)| self.differs(app, formation));
        wait_for("what was asked for", || differs().is_none().then_some(()));
    }

    /// Waits until these apps run what was asked, and nothing is there that nobody asked for.
    pub(crate) fn settled(&self, apps: &[(&str, &[(&str, usize)])]) {
        let mut last = String::new();
        let begin = std::time::Instant::now();
        loop {
            let wrong = apps.iter().find_map(|(app, formation)| self.differs(app, formation));
            let Some(wrong) = wrong.or_else(|| self.strays()) else { return };
            last.clone_from(&wrong);
            assert!(begin.elapsed().as_secs() < 60, "it does not settle: {last}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Follows what the engine does with this daemon's containers.
    pub(crate) fn watch(&self) -> Watch {
        let path = self.root.join("events");
        let file = fs::File::create(&path).unwrap();
        let since = docker(&["info", "--format", "{{.SystemTime}}"]);
        let format = "{{.Action}}|{{index .Actor.Attributes \"paas.app\"}}|{{index .Actor.Attributes \"paas.dyno\"}}|{{index .Actor.Attributes \"paas.release\"}}|{{.Actor.ID}}";
        let child = Command::new("docker")
            .args(["events", "--since", since.trim(), "--filter", &self.filter(), "--filter", "type=container"])
            .args(["--filter", "event=start", "--filter", "event=die", "--format", format])
            .stdout(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Watch(child, path)
    }
}

/// What the engine did.
pub(crate) struct Watch(Child, std::path::PathBuf);

impl Watch {
    /// What happened (`start`, `die`) to which app's which dyno of which release, in order.
    pub(crate) fn events(&self) -> Vec<[String; 4]> {
        let text = fs::read_to_string(&self.1).unwrap();
        text.lines()
            .map(|line| {
                let words: Vec<&str> = line.split('|').collect();
                [0, 1, 2, 3].map(|at| words.get(at).map_or("", |word| *word).to_owned())
            })
            .collect()
    }

    /// How often a process type of a release was started.
    pub(crate) fn starts(&self, process_type: &str, release: &str) -> usize {
        let of_type = |dyno: &str| dyno.split('.').next() == Some(process_type);
        self.events()
            .iter()
            .filter(|e| e[0] == "start" && of_type(&e[2]) && e[3].trim_start_matches('v') == release)
            .count()
    }

    /// That no worker ran twice at any time.
    pub(crate) fn no_worker_twice(&self) {
        let mut running: BTreeMap<(String, String), i32> = BTreeMap::new();
        let mut starts = 0;
        for [action, app, dyno, release] in self.events() {
            if !dyno.starts_with("worker.") {
                continue;
            }
            let count = running.entry((app.clone(), dyno.clone())).or_default();
            match action.as_str() {
                "start" => {
                    *count += 1;
                    starts += 1;
                }
                _ => *count -= 1,
            }
            assert!(*count <= 1, "{dyno} of {app} ran twice when release {release} began: {:?}", self.events());
        }
        assert!(starts > 0, "no worker was seen");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Delays out of a seed that is printed, or given by `PAAS_SEED`.
pub(crate) struct Delays(u64);

impl Delays {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("PAAS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 17);
        eprintln!("PAAS_SEED={seed} tries the same delays again");
        Self(seed)
    }

    pub(crate) fn up_to(&mut self, milliseconds: u64) -> std::time::Duration {
        // Knuth's generator: any will do.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::time::Duration::from_millis((self.0 >> 33) % milliseconds)
    }
}

/// Waits until a dyno that was not there before has a container.
pub(crate) fn new_container(server: &Server, before: &[Container]) {
    wait_for("a new container", || {
        let now = server.containers("dyno");
        now.iter().any(|one| before.iter().all(|old| old.id != one.id)).then_some(())
    });
}
