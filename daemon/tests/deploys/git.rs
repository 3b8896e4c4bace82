//! Pushes, fetches and clones.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::util::{Copy, Server, wait_for};

/// A push under way, and what it says as it says it.
fn begin(copy: &Copy, arguments: &[&str]) -> (Child, impl BufRead) {
    let mut command = copy.command(&["push", &copy.remote]);
    let mut child = command.args(arguments).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    (child, said)
}

/// Reads on to a line with `part` in it; gives everything up to there.
fn heard(said: &mut impl BufRead, part: &str) -> String {
    let mut text = String::new();
    loop {
        let before = text.len();
        assert!(said.read_line(&mut text).unwrap() > 0, "{part:?} is missing in:\n{text}");
        if text[before..].contains(part) {
            return text;
        }
    }
}

/// The file that the builds of these tests wait for.
fn go(server: &Server) {
    let cache = fs::read_dir(server.root.join("data/cache")).unwrap().next().unwrap().unwrap().path();
    fs::write(cache.join("go"), "").unwrap();
}

/// A pusher whose machine is gone: a helper of git's holds the connection, so all go.
fn vanish(mut push: Child) {
    let group = format!("-{}", push.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    push.wait().unwrap();
}

#[test]
fn a_push_is_built_and_released() {
    let server = Server::start("push", &[]);
    let app = server.app("push");
    let copy = server.copy(&app);
    // An empty repository can be cloned.
    let clone = server.root.join("empty");
    copy.git(&["clone", "-q", &copy.remote, clone.to_str().unwrap()]);
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    for line in [
        "-----> Building on the debian-12 stack",
        "-----> Procfile app detected",
        "       Procfile declares types     -> web",
        "-----> Compressing...",
        "       Done: ",
        "-----> Launching...",
        "       Released v",
        &format!("       http://{app}.localhost"),
        "Verifying deploy... done.",
    ] {
        assert!(said.contains(line), "{line:?} is missing in:\n{said}");
    }
    let head = copy.git(&["rev-parse", "HEAD"]);
    let build = &server.builds(&app)[0];
    assert_eq!(build["status"], "succeeded");
    assert_eq!(build["source_blob"]["version"], head.as_str());
    assert_eq!(build["source_blob"]["version_description"], "First");
    let release = server.get(&format!("/apps/{app}/releases"));
    let release = release.as_array().unwrap().last().unwrap();
    assert_eq!(release["description"], format!("Deploy {}", &head[..8]));
    assert_eq!(release["slug"]["id"], build["slug"]["id"]);
    // The slug and what is left on disk.
    let id = build["id"].as_str().unwrap();
    assert!(server.root.join("data/releases").join(id).join("serve.sh").exists());
    let left: Vec<_> =
        fs::read_dir(server.root.join("data/builds").join(id)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["output.log"]);
    assert!(server.build_containers().is_empty());
    // The same again, and back out: with both protocols.
    assert!(copy.push(&["main"]).1.contains("Everything up-to-date"));
    for version in ["0", "2"] {
        let clone = server.root.join(format!("clone-{version}"));
        copy.git(&["-c", &format!("protocol.version={version}"), "clone", "-q", &copy.remote, clone.to_str().unwrap()]);
        assert!(clone.join("serve.sh").exists());
    }
    // History may be rewritten, with force.
    copy.git(&["commit", "-q", "--amend", "-m", "Rewritten"]);
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("rejected"), "{said}");
    let (taken, said) = copy.push(&["-f", "main"]);
    assert!(taken && said.contains("Released v3"), "{said}");
    assert_eq!(copy.there("main").unwrap(), copy.git(&["rev-parse", "HEAD"]));
}

#[test]
fn who_may_push() {
    let server = Server::start("auth", &[]);
    let app = server.app("auth");
    let mut copy = server.copy(&app);
    let good = copy.remote.clone();
    copy.remote = good.replace(&server.token, "wrong-token");
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("Authentication failed"), "{said}");
    copy.remote = good.replace(&app, "no-such-app");
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("No such app: no-such-app"), "{said}");
    // Somebody else's token.
    let output = server.paasd(&["admin", "user:create", "other@example.com"]);
    let other = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    copy.remote = good.replace(&server.token, &other);
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("403"), "{said}");
    // A token of one's own, until it is revoked.
    let (status, more) = server.send("POST", "/oauth/authorizations", &json!({"description": "git"}));
    assert_eq!(status, 201, "{more}");
    copy.remote = good.replace(&server.token, more["access_token"]["token"].as_str().unwrap());
    assert!(copy.push(&["main:kept"]).0);
    let id = more["id"].as_str().unwrap();
    assert_eq!(server.send("DELETE", &format!("/oauth/authorizations/{id}"), &json!({})).0, 200);
    let (taken, said) = copy.push(&["main:other"]);
    assert!(!taken && said.contains("Authentication failed"), "{said}");
    // Without credentials git is told to ask for some.
    let (status, _) = server.request("GET", &format!("/{app}.git/info/refs?service=git-receive-pack"), &["-u", ""]);
    assert_eq!(status, 401);
    let (status, body) = server.request("GET", &format!("/{app}.git/info/refs"), &[]);
    assert!(status == 403 && body.contains("smart protocol"), "{status} {body}");
}

#[test]
fn branches_tags_and_deletions() {
    let server = Server::start("refs", &[]);
    let app = server.app("refs");
    let copy = server.copy(&app);
    let (taken, said) = copy.push(&["main:feature"]);
    assert!(taken && said.contains("Pushed to branch other than [main, master], skipping build."), "{said}");
    assert!(said.contains("git push paas feature:main"), "{said}");
    copy.git(&["tag", "v1"]);
    assert!(copy.push(&["v1"]).0);
    assert!(server.builds(&app).is_empty());
    assert!(copy.there("feature").is_some() && copy.there("v1").is_some());
    // master deploys, too, and is what a clone gets.
    let (taken, said) = copy.push(&["main:master"]);
    assert!(taken && said.contains("Released v2"), "{said}");
    let clone = server.root.join("clone");
    copy.git(&["clone", "-q", &copy.remote, clone.to_str().unwrap()]);
    assert!(clone.join("Procfile").exists());
    let (taken, said) = copy.push(&["--delete", "master"]);
    assert!(!taken && said.contains("it can't be deleted"), "{said}");
    assert!(copy.there("master").is_some());
    assert!(copy.push(&["--delete", "feature"]).0);
    assert!(copy.there("feature").is_none());
}

#[test]
fn a_failed_build_rejects_the_push() {
    let server = Server::start("reject", &[]);
    let app = server.app("reject");
    let copy = server.copy(&app);
    copy.git(&["rm", "-q", "Procfile"]);
    copy.commit("No language");
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken, "{said}");
    assert!(said.contains(" !     No default language could be detected for this app."), "{said}");
    assert!(said.contains(&format!(" !     Push rejected to {app}.")), "{said}");
    assert!(said.contains("pre-receive hook declined"), "{said}");
    assert_eq!(copy.there("main"), None);
    let binary: Vec<u8> = (0..=255).collect();
    let large = vec![b'#'; 5_000_000];
    for (content, what) in [(&b""[..], "empty"), (&binary[..], "binary"), (&large[..], "large")] {
        copy.write("Procfile", content);
        copy.commit(what);
        let (taken, said) = copy.push(&["main"]);
        assert!(!taken && said.contains(" !     ") && said.contains("Procfile"), "{what}: {said}");
    }
    // A link out of the tree.
    std::os::unix::fs::symlink("../../secret.key", copy.path.join("link")).unwrap();
    copy.commit("A link");
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("the symbolic link link points out of the source"), "{said}");
    fs::remove_file(copy.path.join("link")).unwrap();
    copy.write("Procfile", "web: bash serve.sh\n");
    copy.commit("Good again");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    assert!(server.builds(&app).iter().filter(|build| build["status"] == "succeeded").count() == 1);
}

#[test]
fn two_pushes_at_once() {
    let server = Server::start("two", &[]);
    let app = server.app("two");
    let copy = server.copy(&app);
    let commit = copy.gemfile("sleep 0.1 until File.exist?('/paas/cache/go')");
    let (mut first, mut said) = begin(&copy, &["main"]);
    // Output comes while the build runs, and not after it.
    heard(&mut said, "-----> Ruby app detected");
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    let (taken, second) = copy.push(&["main"]);
    assert!(!taken && second.contains("is being built; only one can be at a time"), "{second}");
    assert!(second.contains("paas builds:cancel"), "{second}");
    // Force changes nothing of that; branches that are only kept don't wait.
    copy.commit("Another");
    let (taken, second) = copy.push(&["-f", "main"]);
    assert!(!taken && second.contains("only one can be at a time"), "{second}");
    assert!(copy.push(&["main:kept"]).0);
    go(&server);
    heard(&mut said, "Released v2");
    assert!(first.wait().unwrap().success());
    assert_eq!(copy.there("main").unwrap(), commit);
    assert_eq!(server.builds(&app).len(), 1);
}

#[test]
fn a_pusher_who_goes_away_does_not_end_the_build() {
    let server = Server::start("gone", &[]);
    let app = server.app("gone");
    let copy = server.copy(&app);
    let commit = copy.gemfile("sleep 0.1 until File.exist?('/paas/cache/go')");
    let (push, _said) = begin(&copy, &["main"]);
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    vanish(push);
    go(&server);
    let id = server.builds(&app)[0]["id"].as_str().unwrap().to_owned();
    let build = server.ended(&app, &id);
    assert_eq!(build["status"], "succeeded", "{}", server.output(&id));
    wait_for("the ref", || (copy.there("main").as_deref() == Some(commit.as_str())).then_some(()));
}

#[test]
fn a_push_of_200_mb() {
    let server = Server::start("large", &[]);
    let app = server.app("large");
    let copy = server.copy(&app);
    let mut noise = vec![0u8; 200 << 20];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    copy.write("noise.bin", &noise);
    copy.write(".slugignore", "*.bin\n");
    copy.commit("Large");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken && said.contains("Released v2"), "{said}");
    // Streamed, not held: the daemon stays small.
    let pid = wait_for("its pid", || server.pid());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak: u64 =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok()).unwrap();
    assert!(peak < 500_000, "the daemon took {peak} kB");
}

#[test]
fn gzip_bodies_are_understood() {
    let server = Server::start("gzip", &[]);
    let app = server.app("gzip");
    let copy = server.copy(&app);
    assert!(copy.push(&["main:kept"]).0);
    let body = server.root.join("body");
    fs::write(&body, "0014command=ls-refs\n00010000").unwrap();
    assert!(Command::new("gzip").arg(&body).status().unwrap().success());
    let data = format!("@{}.gz", body.display());
    let (status, text) = server.request(
        "POST",
        &format!("/{app}.git/git-upload-pack"),
        &[
            "-H",
            "Git-Protocol: version=2",
            "-H",
            "Content-Encoding: gzip",
            "-H",
            "Content-Type: application/x-git-upload-pack-request",
            "--data-binary",
            &data,
        ],
    );
    assert!(status == 200 && text.contains("refs/heads/kept"), "{status} {text}");
    // A push too: of a deletion, which has no pack.
    let command =
        format!("{} {} refs/heads/kept\0report-status delete-refs", copy.git(&["rev-parse", "HEAD"]), "0".repeat(40));
    fs::write(&body, format!("{:04x}{command}0000", command.len() + 4)).unwrap();
    assert!(Command::new("gzip").arg("-f").arg(&body).status().unwrap().success());
    let (status, text) = server.request(
        "POST",
        &format!("/{app}.git/git-receive-pack"),
        &[
            "-H",
            "Content-Encoding: gzip",
            "-H",
            "Content-Type: application/x-git-receive-pack-request",
            "--data-binary",
            &data,
        ],
    );
    assert!(status == 200 && text.contains("ok refs/heads/kept"), "{status} {text}");
    assert_eq!(copy.there("kept"), None);
}

#[test]
fn a_push_waits_for_the_release_phase() {
    let server = Server::start("phase", &[]);
    let app = server.app("phase");
    let copy = server.copy(&app);
    copy.write("Procfile", "web: bash serve.sh\nrelease: sleep 1; echo migrated\n");
    copy.commit("With a release phase");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    assert!(said.contains(" !     Release command declared"), "{said}");
    assert!(said.contains("Running release command...\nmigrated\nWaiting for release.... done."), "{said}");
    // A release phase that fails: the push is taken, the release doesn't count.
    copy.write("Procfile", "web: bash serve.sh\nrelease: ls; echo no such table; exit 3\n");
    copy.write("notes.txt", "not for dynos");
    copy.write(".slugignore", "notes.txt\n");
    copy.commit("With one that fails");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken && said.contains("Running release command...\nProcfile\nserve.sh\nno such table\n"), "{said}");
    assert!(said.contains(" !     Release command failed"), "{said}");
    // What is named as the place to look at has it.
    let dyno = said.split("paas logs --dyno ").nth(1).unwrap().lines().next().unwrap();
    let (_, session) = server.send("POST", &format!("/apps/{app}/log-sessions"), &json!({"dyno": dyno}));
    let (_, lines) = server.request("GET", session["logplex_url"].as_str().unwrap(), &["-u", ""]);
    assert!(lines.contains("no such table"), "{dyno}: {lines}");
    assert_eq!(copy.there("main").unwrap(), copy.git(&["rev-parse", "HEAD"]));
    let releases = server.get(&format!("/apps/{app}/releases"));
    let status: Vec<_> =
        releases.as_array().unwrap().iter().map(|release| release["status"].as_str().unwrap()).collect();
    assert_eq!(status.last(), Some(&"failed"), "{status:?}");
    // What the command said stays to be read, also that of one that failed.
    let urls: Vec<_> =
        releases.as_array().unwrap().iter().map(|release| release["output_stream_url"].as_str()).collect();
    let said = |url: Option<&str>| server.request("GET", url.unwrap(), &["-u", ""]);
    assert_eq!(said(urls[urls.len() - 1]), (200, "Procfile\nserve.sh\nno such table\n".to_owned()));
    assert_eq!(said(urls[urls.len() - 2]), (200, "migrated\n".to_owned()));
    assert_eq!(urls[0], None);
}

#[test]
fn a_release_phase_that_goes_on_and_on() {
    let server = Server::start("phases", &[]);
    let app = server.app("phases");
    let copy = server.copy(&app);
    copy.write("Procfile", "web: bash serve.sh\nrelease: echo begun; sleep 600\n");
    let first = copy.commit("With a long release phase");
    let (push, mut said) = begin(&copy, &["main"]);
    heard(&mut said, "begun");
    // The next pusher is told what can be done.
    copy.commit("Second");
    let (taken, second) = copy.push(&["main"]);
    assert!(!taken && second.contains("is running its release command; only one can be at a time"), "{second}");
    let dyno = second.split("paas ps:stop ").nth(1).unwrap().split(')').next().unwrap();
    // A pusher who is gone is not waited for: git takes what was released.
    vanish(push);
    wait_for("the ref", || (copy.there("main").as_deref() == Some(first.as_str())).then_some(()));
    let releases = server.get(&format!("/apps/{app}/releases"));
    assert_eq!(releases.as_array().unwrap().last().unwrap()["status"], "pending");
    let (status, answer) = server.send("POST", &format!("/apps/{app}/dynos/{dyno}/actions/stop"), &json!({}));
    assert!(status < 300, "{status} {answer}");
    wait_for("the end of the phase", || {
        let releases = server.get(&format!("/apps/{app}/releases"));
        (releases.as_array().unwrap().last().unwrap()["status"] == "failed").then_some(())
    });
}

#[test]
fn what_git_would_refuse_in_the_end_is_not_built() {
    let server = Server::start("meanwhile", &[]);
    let app = server.app("meanwhile");
    let copy = server.copy(&app);
    // A branch that was kept, where git wants a file for `main`.
    let (taken, said) = copy.push(&["main:main/x"]);
    assert!(taken && said.contains("git push paas --delete main/x && git push paas main/x:main"), "{said}");
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("git can't have the branch main beside main/x"), "{said}");
    assert!(server.builds(&app).is_empty());
    assert!(copy.push(&["--delete", "main/x"]).0);
    // An annotated tag is no commit.
    copy.git(&["tag", "-a", "-m", "One", "v1.2.3"]);
    let (taken, said) = copy.push(&["v1.2.3:refs/heads/main"]);
    assert!(!taken && said.contains("git push paas v1.2.3^{}:refs/heads/main"), "{said}");
    assert_eq!(fs::read_dir(server.root.join("data/builds")).unwrap().count(), 0);
    // Somebody has looked at the refs, and then another push comes first.
    let other = Copy { path: server.root.join("other"), remote: copy.remote.clone() };
    copy.git(&["clone", "-q", ".", other.path.to_str().unwrap()]);
    other.commit("Mine");
    let (looked, go) = (server.root.join("looked"), server.root.join("go"));
    let hook = format!("#!/bin/sh\ntouch {}\nuntil [ -e {} ]; do sleep 0.1; done\n", looked.display(), go.display());
    other.write(".git/hooks/pre-push", hook);
    let (mut late, mut said) = begin(&other, &["main"]);
    wait_for("the hook", || looked.exists().then_some(()));
    assert!(copy.push(&["v1.2.3^{}:refs/heads/main"]).0);
    fs::write(go, "").unwrap();
    heard(&mut said, "main was pushed meanwhile: git fetch, then push again");
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert!(!late.wait().unwrap().success());
    assert_eq!(server.builds(&app).len(), 1);
    assert_eq!(copy.there("main").unwrap(), copy.git(&["rev-parse", "HEAD"]));
    // As it was told.
    other.git(&["fetch", "-q", &other.remote, "main"]);
    assert_eq!(other.git(&["rev-parse", "FETCH_HEAD"]), copy.git(&["rev-parse", "HEAD"]));
    let (taken, said) = other.push(&["main"]);
    assert!(taken, "{said}");
    copy.git(&["pull", "-q", "--ff-only", &copy.remote, "main"]);
    assert_eq!(copy.git(&["log", "-1", "--format=%s"]), "Mine");
}

#[test]
fn clones_get_the_branch_that_was_deployed_last() {
    let server = Server::start("head", &[]);
    let app = server.app("head");
    let copy = server.copy(&app);
    let clone = |name: &str| {
        let path = server.root.join(name);
        copy.git(&["clone", "-q", &copy.remote, path.to_str().unwrap()]);
        copy.git(&["-C", path.to_str().unwrap(), "log", "-1", "--format=%s"])
    };
    copy.git(&["checkout", "-q", "-b", "broken"]);
    copy.git(&["rm", "-q", "Procfile"]);
    copy.commit("Broken");
    assert!(!copy.push(&["broken:master"]).0);
    copy.git(&["checkout", "-q", "main"]);
    assert!(copy.push(&["main"]).0);
    assert_eq!(clone("one"), "First");
    copy.commit("Second");
    assert!(copy.push(&["main:master"]).0);
    assert_eq!(clone("two"), "Second");
    // Only what was deployed last stays.
    let (taken, said) = copy.push(&["--delete", "master"]);
    assert!(!taken && said.contains("The branch master is what") && said.contains("it can't be deleted"), "{said}");
    let (taken, said) = copy.push(&["--delete", "main"]);
    assert!(taken, "{said}");
    copy.commit("Third");
    assert!(copy.push(&["main"]).0);
    assert_eq!(clone("three"), "Third");
    assert!(copy.push(&["--delete", "master"]).0);
}
