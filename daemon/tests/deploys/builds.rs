//! Builds through the API: sources, output, queue, buildpacks, slugs.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::util::{Server, exists, wait_for};

fn tar(server: &Server, name: &str, script: &str) -> std::path::PathBuf {
    let archive = server.root.join(name);
    let program = format!(
        "import io, tarfile, sys\nt = tarfile.open(sys.argv[1], 'w:gz')\ndef add(name, data=b'', **kw):\n    i = tarfile.TarInfo(name); i.size = len(data)\n    for k, v in kw.items(): setattr(i, k, v)\n    t.addfile(i, io.BytesIO(data))\n{script}\nt.close()\n"
    );
    let status = Command::new("python3").arg("-c").arg(program).arg(&archive).status().unwrap();
    assert!(status.success());
    archive
}

fn build(server: &Server, app: &str, archive: &Path) -> Value {
    let (status, source) = server.send("POST", "/sources", &json!({}));
    assert_eq!(status, 201, "{source}");
    let put = source["source_blob"]["put_url"].as_str().unwrap();
    let (status, body) = server.request("PUT", put, &["-u", "", "-T", archive.to_str().unwrap()]);
    assert_eq!(status, 200, "{body}");
    let blob = json!({"source_blob": {"url": source["source_blob"]["get_url"], "version": "v1.2"}});
    let (status, build) = server.send("POST", &format!("/apps/{app}/builds"), &blob);
    assert_eq!(status, 201, "{build}");
    assert_eq!(build["status"], "pending");
    build
}

#[test]
fn a_tarball_is_built_and_its_output_can_be_resumed() {
    let server = Server::start("tarball", &[]);
    let app = server.app("tarball");
    let archive = tar(
        &server,
        "a.tgz",
        "add('top/Procfile', b'web: bash serve.sh\\nworker: x\\n'); add('top/serve.sh', b'sleep 9', mode=0o755)",
    );
    let build = build(&server, &app, &archive);
    let id = build["id"].as_str().unwrap();
    // The stream ends with the build; it is asked for without credentials.
    let (status, text) = server.request("GET", build["output_stream_url"].as_str().unwrap(), &["-u", ""]);
    assert!(status == 200 && text.contains("Released v2"), "{text}");
    assert_eq!(server.ended(&app, id)["status"], "succeeded");
    let (status, rest) = server.request("GET", &format!("/streams/builds/{id}"), &["-H", "Range: bytes=20-"]);
    assert!(status == 206 && rest == text[20..], "{rest}");
    let (_, events) = server.request("GET", &format!("/streams/builds/{id}"), &["-H", "Accept: text/event-stream"]);
    assert!(events.contains("data: -----> Launching...\n\n"), "{events}");
    let formation = server.get(&format!("/apps/{app}/formation"));
    assert_eq!(formation.as_array().unwrap().len(), 2, "{formation}");
    // The slug's bytes, and the same slug given by a client.
    let slug = server.get(&format!("/apps/{app}/slugs/{id}"));
    let blob = server.root.join("slug");
    server.request("GET", slug["blob"]["url"].as_str().unwrap(), &["-o", blob.to_str().unwrap()]);
    assert_eq!(fs::metadata(&blob).unwrap().len(), slug["size"].as_u64().unwrap());
    let (status, new) =
        server.send("POST", &format!("/apps/{app}/slugs"), &json!({"process_types": {"web": "bash serve.sh"}}));
    assert_eq!((status, &new["blob"]["method"]), (201, &json!("PUT")));
    let (status, _) = server.send("POST", &format!("/apps/{app}/releases"), &json!({"slug": new["id"]}));
    assert_eq!(status, 422, "a slug without bytes can't be released");
    let url = new["blob"]["url"].as_str().unwrap();
    assert_eq!(server.request("PUT", url, &["-T", blob.to_str().unwrap()]).0, 200);
    assert_eq!(server.request("PUT", url, &["-T", blob.to_str().unwrap()]).0, 409);
    let (status, release) = server.send("POST", &format!("/apps/{app}/releases"), &json!({"slug": new["id"]}));
    assert_eq!(status, 201, "{release}");
}

#[test]
fn archives_that_would_do_harm() {
    let server = Server::start("archives", &[]);
    let app = server.app("archives");
    let outside = server.root.join("data/builds/outside");
    for (name, script) in [
        ("climbs", "add('../../outside', b'x')"),
        ("absolute", "add('/tmp/paas-absolute', b'x')"),
        ("link", "add('link', type=tarfile.SYMTYPE, linkname='/etc/passwd')"),
        ("through", "add('d', type=tarfile.SYMTYPE, linkname='../..'); add('d/outside', b'x')"),
        ("hard", "add('h', type=tarfile.LNKTYPE, linkname='../../../secret.key')"),
        ("device", "add('dev', type=tarfile.CHRTYPE, devmajor=1, devminor=3)"),
    ] {
        let archive = tar(&server, name, script);
        let id = build(&server, &app, &archive)["id"].as_str().unwrap().to_owned();
        let ended = server.ended(&app, &id);
        let said = server.output(&id);
        assert_eq!(ended["status"], "failed", "{name}: {said}");
        assert!(said.contains(" !     Push rejected, the source archive can't be unpacked: "), "{name}: {said}");
        assert!(!exists(&outside) && !exists(Path::new("/tmp/paas-absolute")));
    }
    let garbage = server.root.join("garbage");
    fs::write(&garbage, vec![7; 5000]).unwrap();
    let id = build(&server, &app, &garbage)["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&app, &id)["status"], "failed");
    // A place that nothing was uploaded to, and addresses that are none.
    let (_, source) = server.send("POST", "/sources", &json!({}));
    let blob = json!({"source_blob": {"url": source["source_blob"]["get_url"]}});
    let (_, row) = server.send("POST", &format!("/apps/{app}/builds"), &blob);
    let id = row["id"].as_str().unwrap().to_owned();
    server.ended(&app, &id);
    assert!(server.output(&id).contains("no source has been uploaded"), "{}", server.output(&id));
    for url in ["", "file:///etc/passwd", "/etc"] {
        let (status, _) = server.send("POST", &format!("/apps/{app}/builds"), &json!({"source_blob": {"url": url}}));
        assert_eq!(status, 422, "{url}");
    }
}

#[test]
fn cancelling_running_and_waiting_builds() {
    let server = Server::start("cancel", &[]);
    let (one, two) = (server.app("one"), server.app("two"));
    let copy = server.copy(&one);
    copy.gemfile("sleep 600");
    let mut push = copy.command(&["push", "-q", &copy.remote, "main"]).spawn().unwrap();
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    // The queue has one place: this one waits.
    let archive = tar(&server, "a.tgz", "add('Procfile', b'web: x')");
    let waiting = build(&server, &two, &archive)["id"].as_str().unwrap().to_owned();
    let (status, cancelled) = server.send("DELETE", &format!("/apps/{two}/builds/{waiting}"), &json!({}));
    assert_eq!((status, &cancelled["status"]), (200, &json!("failed")));
    assert_eq!(server.output(&waiting), " !     Build cancelled.\n");
    let running = server.builds(&one)[0]["id"].as_str().unwrap().to_owned();
    let (status, _) = server.send("DELETE", &format!("/apps/{one}/builds/{running}"), &json!({}));
    assert_eq!(status, 200);
    assert!(!push.wait().unwrap().success());
    assert_eq!(server.ended(&one, &running)["status"], "failed");
    assert!(server.output(&running).contains("the build was cancelled"));
    assert!(server.build_containers().is_empty());
    let (status, _) = server.send("DELETE", &format!("/apps/{one}/builds/{running}"), &json!({}));
    assert_eq!(status, 409);
}

#[test]
fn buildpacks_of_an_app() {
    let server = Server::start("packs", &[]);
    let app = server.app("packs");
    let path = format!("/apps/{app}/buildpack-installations");
    assert_eq!(server.get(&path), json!([]));
    let (status, set) = server.send(
        "PUT",
        &path,
        &json!({"updates": [{"buildpack": "nodejs"}, {"buildpack": "https://example.com/x.git#v1"}]}),
    );
    assert_eq!(status, 200);
    assert_eq!(
        set[0],
        json!({"ordinal": 0, "buildpack": {"url": "urn:buildpack:heroku/nodejs", "name": "heroku/nodejs"}})
    );
    assert_eq!(set[1]["buildpack"]["name"], "https://example.com/x.git#v1");
    let (status, error) = server.send("PUT", &path, &json!({"updates": [{"buildpack": "ext::sh -c id"}]}));
    assert!(status == 422 && error["message"].as_str().unwrap().contains("ext::"), "{error}");
    server.send("PUT", &path, &json!({"updates": [{"buildpack": "nodejs"}]}));
    let copy = server.copy(&app);
    let (taken, said) = copy.push(&["main"]);
    assert!(!taken && said.contains("-----> App not compatible with buildpack: heroku/nodejs"), "{said}");
    server.send("PUT", &path, &json!({"updates": []}));
    assert!(copy.push(&["main"]).0);
}
