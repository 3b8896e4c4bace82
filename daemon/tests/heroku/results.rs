//! What came of each command: written to `target/compat/TOPIC.json`, from which
//! docs/compatibility.md is made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

/// What came of one command.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Lines that did what they had to.
    pub good: Vec<String>,
    /// Lines that did not.
    pub bad: Vec<String>,
    /// Why it can't work.
    pub reason: Option<String>,
}

/// What came of the commands of a topic.
pub struct Results {
    topic: &'static str,
    commands: Mutex<BTreeMap<String, Outcome>>,
    troubles: Mutex<Vec<String>>,
    told: bool,
}

/// Where the results are.
pub fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from).join("compat")
}

impl Results {
    pub fn new(topic: &'static str) -> Self {
        Self { topic, commands: Mutex::default(), troubles: Mutex::default(), told: false }
    }

    pub fn good(&self, command: &str, line: &str) {
        self.commands.lock().unwrap().entry(command.to_owned()).or_default().good.push(line.to_owned());
    }

    pub fn cannot(&self, command: &str, reason: &str) {
        self.commands.lock().unwrap().entry(command.to_owned()).or_default().reason = Some(reason.to_owned());
    }

    pub fn bad(&self, command: &str, line: &str, why: &str) {
        self.commands.lock().unwrap().entry(command.to_owned()).or_default().bad.push(line.to_owned());
        eprintln!("==== {line}\n{why}");
        self.troubles.lock().unwrap().push(line.to_owned());
    }

    /// Writes them down and fails if any was bad.
    pub fn done(mut self) {
        self.write();
        let troubles = std::mem::take(&mut *self.troubles.lock().unwrap());
        assert!(troubles.is_empty(), "{} of {} went wrong: {troubles:#?}", troubles.len(), self.topic);
    }

    fn write(&mut self) {
        self.told = true;
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        let text = serde_json::to_string_pretty(&*self.commands.lock().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{}.json", self.topic)), text).unwrap();
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        if !self.told {
            self.write();
        }
    }
}
