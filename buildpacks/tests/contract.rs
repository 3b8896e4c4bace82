//! The classic buildpack contract, as Heroku's packs rely on it, with plain processes for a
//! sandbox.
#![allow(clippy::unwrap_used, reason = "tests")]

mod util;

use paas_buildpacks::build::BuildError;
use paas_buildpacks::output::Output;
use paas_buildpacks::sandbox::{Exit, Sandbox, SandboxError, Step};
use std::process::Command;
use std::time::Duration;
use util::Bench;

const FITS: (&str, &str) = ("detect", "echo Toy");

fn rejected(result: Result<impl std::fmt::Debug, BuildError>) -> String {
    let error = result.unwrap_err();
    let BuildError::Rejected(text) = error else { panic!("{error:?}") };
    text
}

#[tokio::test]
async fn detect_compile_release() {
    let mut bench = Bench::new("flow");
    bench.no_packs().file("app.toy", "x").file("Procfile", "web: serve\r\nweb: serve2\nworker: work\n");
    bench.pack("ruby", &[("detect", "echo nope; exit 1"), ("compile", "exit 9")]);
    bench.pack(
        "node",
        &[
            ("detect", "[ -f \"$1/app.toy\" ] && echo Toy"),
            ("compile", "echo '-----> Compiling'; echo \"       $STACK $SOURCE_VERSION $REQUEST_ID\"; echo oops >&2\n\
              env | sort >$1/env.txt; cat $3/SECRET >$1/secret.txt; ls $3 >$1/keys.txt; [ \"$HOME\" != / ] && touch $HOME/x\n\
              pwd >$1/pwd.txt; echo $1 >>$1/pwd.txt; echo hit >>$2/count; cp $2/count $1/count"),
            ("release", "echo '---'; echo 'addons: [redis]'; echo 'config_vars: {A: b}'; echo 'default_process_types: {web: default, rake: bin/rake}'"),
        ],
    );
    bench.request.config_vars.insert("SECRET".into(), "no newline".into());
    bench.request.env.push(("https_proxy".into(), "http://proxy".into()));
    let outcome = bench.build().await.unwrap();
    assert_eq!(outcome.description, "Toy");
    assert_eq!(outcome.buildpacks, ["urn:buildpack:heroku/nodejs"]);
    assert_eq!(outcome.addons, ["redis"]);
    assert_eq!(outcome.config_vars["A"], "b");
    let types: Vec<_> = outcome.process_types.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(types, ["rake=bin/rake", "web=serve2", "worker=work"]);
    assert_eq!(bench.slug("secret.txt"), "no newline");
    assert_eq!(bench.slug("keys.txt"), "SECRET\n");
    let pwd = bench.slug("pwd.txt");
    let (cwd, argument) = pwd.trim().split_once('\n').unwrap();
    assert_eq!(cwd, argument);
    let env = bench.slug("env.txt");
    assert!(env.contains("https_proxy=http://proxy") && !env.contains("no newline"), "{env}");
    let said = bench.said();
    let expected = "-----> Building on the debian-12 stack\n\
        -----> Determining which buildpack to use for this app\n\
        -----> Toy app detected\n\
        -----> Compiling\n       debian-12 abc123 0198-test\noops\n\
        -----> Discovering process types\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(
        said.contains(
            "       Procfile declares types     -> web, worker\n       Default types for buildpack -> rake\n"
        ),
        "{said}"
    );
    assert!(said.contains(" !     Procfile: "), "a duplicate is told: {said}");
    // The cache is kept for the next build.
    bench.build().await.unwrap();
    assert_eq!(bench.slug("count"), "hit\nhit\n");
}

#[tokio::test]
async fn several_in_order_with_exports() {
    let mut bench = Bench::new("several");
    bench.no_packs().file(".buildpacks", "# ours\nheroku/nodejs\n\nheroku/ruby\n");
    bench.pack(
        "node",
        &[
            ("detect", "echo Node.js"),
            ("compile", "echo 'export NODE=\"$HOME/node\"; export PATH=\"/nowhere:$PATH\"' >\"$(dirname \"$0\")/../export\"; echo \"[$NODE]\" >$1/first"),
            ("release", "echo 'default_process_types: {web: node}'"),
        ],
    );
    bench.pack(
        "ruby",
        &[
            ("detect", "echo Ruby"),
            ("compile", "echo $NODE $PATH >$1/second"),
            ("release", "echo 'default_process_types: {console: irb}'"),
        ],
    );
    let outcome = bench.build().await.unwrap();
    assert_eq!(outcome.description, "Node.js, Ruby");
    assert_eq!(outcome.process_types.keys().collect::<Vec<_>>(), ["console"], "the last one decides");
    assert_eq!(bench.slug("first"), "[]\n");
    assert!(bench.slug("second").contains("/node /nowhere:"), "{}", bench.slug("second"));
    assert!(
        bench.said().contains("-----> Using buildpacks:\n       1. heroku/nodejs\n       2. heroku/ruby\n"),
        "{}",
        bench.said()
    );
    // What the app was told wins over what its source says.
    bench.request.buildpacks = vec!["urn:buildpack:heroku/ruby".into()];
    assert_eq!(bench.build().await.unwrap().description, "Ruby");
    assert!(bench.said().contains("-----> Using buildpack: heroku/ruby\n"), "{}", bench.said());
}

#[tokio::test]
async fn a_build_for_tests_compiles_for_them_and_keeps_the_pack() {
    let mut bench = Bench::new("tests");
    bench.no_packs().file(".buildpacks", "heroku/nodejs\nheroku/ruby\n").file("Procfile", "web: serve\n");
    bench.pack("node", &[("detect", "echo Node.js"), ("compile", "echo plain >$1/first")]);
    bench.pack(
        "ruby",
        &[
            ("detect", "echo Ruby"),
            ("compile", "exit 9"),
            ("test-compile", "echo for tests >$1/second"),
            ("test", "echo testing $1"),
        ],
    );
    bench.request.tests = Some(".paas-test".into());
    bench.build().await.unwrap();
    assert_eq!((bench.slug("first").as_str(), bench.slug("second").as_str()), ("plain\n", "for tests\n"));
    assert!(bench.slug(".paas-test/bin/test").contains("testing"));
    // Otherwise it is built as ever, and nothing of the pack is left.
    bench.request.tests = None;
    assert_eq!(rejected(bench.build().await), "failed to compile Ruby app");
}

#[tokio::test]
async fn nothing_fits() {
    let mut bench = Bench::new("nothing");
    bench.no_packs();
    bench.pack("ruby", &[("detect", "exit 1"), ("compile", "")]);
    assert_eq!(rejected(bench.build().await), "no buildpack fits the source");
    assert!(bench.said().contains(" !     No default language could be detected for this app.\n"), "{}", bench.said());
    bench.request.buildpacks = vec!["ruby".into()];
    assert_eq!(rejected(bench.build().await), "the app is not compatible with the buildpack heroku/ruby");
    assert!(bench.said().contains("-----> App not compatible with buildpack: heroku/ruby\n"), "{}", bench.said());
    bench.request.buildpacks = vec!["/etc/passwd".into()];
    assert!(rejected(bench.build().await).contains("/etc/passwd"));
}

#[tokio::test]
async fn failures_say_what_failed() {
    let mut bench = Bench::new("failures");
    bench.no_packs();
    bench.pack("ruby", &[FITS, ("compile", "echo ' !     no gems'; exit 3")]);
    assert_eq!(rejected(bench.build().await), "failed to compile Toy app");
    assert!(
        bench.said().ends_with(" !     no gems\n !     Push rejected, failed to compile Toy app.\n"),
        "{}",
        bench.said()
    );
    bench.pack("ruby", &[FITS, ("compile", ""), ("release", "exit 1")]);
    assert!(rejected(bench.build().await).contains("bin/release"));
    bench.pack("ruby", &[FITS, ("compile", ""), ("release", "echo '- nonsense'")]);
    assert!(rejected(bench.build().await).contains("bin/release"));
    bench.pack("ruby", &[FITS, ("compile", "kill -9 $PPID")]);
    assert!(rejected(bench.build().await).contains("status 137"));
    bench.pack("ruby", &[FITS, ("compile", "head -c 2000 /dev/urandom >$1/Procfile")]);
    rejected(bench.build().await);
    bench.pack("ruby", &[FITS, ("compile", "printf '' >$1/Procfile")]);
    rejected(bench.build().await);
    bench.pack("ruby", &[FITS, ("compile", "{ echo web: x; head -c 5000000 /dev/zero | tr '\\0' '#'; } >$1/Procfile")]);
    rejected(bench.build().await);
}

#[tokio::test]
async fn time_and_cancellation() {
    let mut bench = Bench::new("time");
    bench.no_packs();
    bench.pack("ruby", &[FITS, ("compile", "touch $2/half; echo waiting; sleep 600")]);
    bench.request.limits.time = Duration::from_secs(1);
    assert!(matches!(bench.build().await, Err(BuildError::TimedOut(1))));
    assert!(!bench.root.join("cache/half").exists(), "a cache that may be half written is not used again");
    bench.request.limits.time = Duration::from_secs(60);
    let cancel = bench.request.cancel.clone();
    let cancel_soon = async {
        let half = bench.root.join("cache/half");
        while !half.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let mut said = Vec::new();
    let (result, ()) = tokio::join!(
        paas_buildpacks::build::build(&util::Processes, &bench.catalog, &bench.request, &mut said),
        cancel_soon
    );
    assert!(matches!(result, Err(BuildError::Cancelled)));
}

#[tokio::test]
async fn a_cache_that_leaves_no_room_is_emptied_and_told() {
    let mut bench = Bench::new("room");
    bench.no_packs();
    bench.pack("ruby", &[FITS, ("compile", "ls $2; head -c 3000000 /dev/zero >$2/gems")]);
    bench.request.limits.disk_bytes = 8 << 20;
    for _ in 0..2 {
        bench.build().await.unwrap();
    }
    assert!(bench.said().contains("gems\n") && !bench.said().contains(" !     "), "{}", bench.said());
    bench.request.limits.disk_bytes = 5 << 20;
    bench.said.clear();
    bench.build().await.unwrap();
    assert!(bench.said().contains(" !     The build cache has grown to 2.9M, over half of"), "{}", bench.said());
    assert!(!bench.said().contains("gems\n"), "{}", bench.said());
}

#[tokio::test]
async fn a_cache_is_not_used_again_after_a_sandbox_that_failed() {
    struct Broken;
    #[async_trait::async_trait]
    impl Sandbox for Broken {
        async fn run(&self, step: &Step, _: &mut dyn Output) -> Result<Exit, SandboxError> {
            let cache = step.mounts.iter().find(|mount| mount.container == "/paas/cache").unwrap();
            std::fs::write(cache.host.join("half"), "").unwrap();
            Err(SandboxError::Engine { message: "it went away".into() })
        }
    }
    let bench = Bench::new("broken");
    let result = paas_buildpacks::build::build(&Broken, &bench.catalog, &bench.request, &mut Vec::new()).await;
    assert!(matches!(result, Err(BuildError::Sandbox(_))), "{result:?}");
    assert!(!bench.root.join("cache/half").exists());
}

#[tokio::test]
async fn results_are_read_with_suspicion() {
    let mut bench = Bench::new("suspicion");
    std::fs::write(bench.root.join("secret.key"), "default_process_types: {web: stolen}").unwrap();
    bench.no_packs();
    // A link out of the result directory, and a pipe that would block a reader.
    bench.pack("ruby", &[FITS, ("compile", "r=$(dirname $1)/result; ln -s ../../secret.key $r/release.yml; rm $r/name.0; mkfifo $r/name.0; mkfifo $1/Procfile")]);
    let outcome = bench.build().await.unwrap();
    assert!(outcome.process_types.is_empty(), "{outcome:?}");
    assert_eq!(outcome.description, "heroku/ruby");
}

#[tokio::test]
async fn a_submodule_that_cannot_be_fetched_ends_the_build() {
    let mut bench = Bench::new("submodule");
    let inner = bench.root.join("inner");
    let git = |args: &[&str]| {
        let status = Command::new("git").arg("-C").arg(&inner).args(args).output().unwrap();
        assert!(status.status.success(), "{status:?}");
        String::from_utf8(status.stdout).unwrap().trim().to_owned()
    };
    std::fs::create_dir(&inner).unwrap();
    git(&["init", "-q"]);
    std::fs::write(inner.join("lib.rb"), "x").unwrap();
    git(&["add", "."]);
    git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]);
    bench.no_packs();
    bench.pack("ruby", &[FITS, ("compile", "")]);
    // Only the network's protocols: nothing of the host by file:// or a helper's ext::.
    for url in [format!("file://{}", inner.display()), inner.display().to_string(), "ext::sh -c id".into()] {
        bench.request.submodules = vec![paas_buildpacks::build::Submodule {
            path: "vendor/inner".into(),
            url,
            commit: git(&["rev-parse", "HEAD"]),
        }];
        assert_eq!(rejected(bench.build().await), "a submodule could not be fetched");
        assert!(bench.said().contains(" !     Could not fetch the submodule vendor/inner"), "{}", bench.said());
        let _ = std::fs::remove_dir_all(bench.root.join("build/source/vendor"));
    }
}

#[tokio::test]
async fn our_own_packs_are_whole() {
    let mut bench = Bench::new("own");
    bench.file("Procfile", "web: ./serve\n").file("serve", "#!/bin/bash\n");
    for pack in bench.catalog.defaults() {
        let paas_buildpacks::catalog::Location::Ours(dir) = pack.location else { panic!("{pack:?}") };
        for program in ["detect", "compile"] {
            let path = bench.catalog.packs().join(dir).join("bin").join(program);
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o111, 0o111, "{}", path.display());
        }
        let shared = std::fs::read_to_string(bench.catalog.packs().join(dir).join("lib/common.sh")).unwrap();
        assert!(shared.contains("heading()"), "{dir}: {shared}");
    }
    bench.request.buildpacks = vec!["procfile".into()];
    let outcome = bench.build().await.unwrap();
    assert_eq!(outcome.process_types["web"], "./serve", "{}", bench.said());
}
