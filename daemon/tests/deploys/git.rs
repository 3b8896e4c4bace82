//! Pushes, fetches and clones.

use std::{fs, os::unix::process::CommandExt as _, process::Command};

use crate::util::{Server, wait_for};

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
    copy.gemfile("sleep 0.1 until File.exist?('/paas/cache/go')");
    let mut first = copy.command(&["push", "-q", &copy.remote, "main"]).spawn().unwrap();
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("is being built; only one can be at a time"), "{said}");
    let cache = fs::read_dir(server.root.join("data/cache")).unwrap().next().unwrap().unwrap().path();
    fs::write(cache.join("go"), "").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(copy.there("main").unwrap(), copy.git(&["rev-parse", "HEAD"]));
    assert_eq!(server.builds(&app).len(), 1);
}

#[test]
fn a_pusher_who_goes_away_does_not_end_the_build() {
    let server = Server::start("gone", &[]);
    let app = server.app("gone");
    let copy = server.copy(&app);
    let commit = copy.gemfile("sleep 0.1 until File.exist?('/paas/cache/go')");
    let mut push = copy.command(&["push", "-q", &copy.remote, "main"]).process_group(0).spawn().unwrap();
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    // git's helper holds the connection: both go.
    rustix::process::kill_process_group(rustix::process::Pid::from_child(&push), rustix::process::Signal::KILL)
        .unwrap();
    push.wait().unwrap();
    let cache = fs::read_dir(server.root.join("data/cache")).unwrap().next().unwrap().unwrap().path();
    fs::write(cache.join("go"), "").unwrap();
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
    assert!(said.contains("Running release command...\nWaiting for release.... done."), "{said}");
    // A release phase that fails: the push is taken, the release doesn't count.
    copy.write("Procfile", "web: bash serve.sh\nrelease: echo half migrated; exit 3\n");
    copy.commit("With one that fails");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken && said.contains(" !     Release command failed"), "{said}");
    assert_eq!(copy.there("main").unwrap(), copy.git(&["rev-parse", "HEAD"]));
    let releases = server.get(&format!("/apps/{app}/releases"));
    let status: Vec<_> =
        releases.as_array().unwrap().iter().map(|release| release["status"].as_str().unwrap()).collect();
    assert_eq!(status.last(), Some(&"failed"), "{status:?}");
    // What the command said stays to be read, also that of one that failed.
    let urls: Vec<_> =
        releases.as_array().unwrap().iter().map(|release| release["output_stream_url"].as_str()).collect();
    let said = |url: Option<&str>| server.request("GET", url.unwrap(), &["-u", ""]);
    assert_eq!(said(urls[urls.len() - 1]), (200, "half migrated\n".to_owned()));
    assert_eq!(said(urls[urls.len() - 2]), (200, "migrated\n".to_owned()));
    assert_eq!(urls[0], None);
}
