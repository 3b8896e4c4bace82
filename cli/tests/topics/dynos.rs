//! Programs inside dynos, waiting for dynos, the release phase once more.

use paas_wire::attach::Frame;
use paas_wire::*;
use serde_json::json;

use crate::util::World;
use crate::util::things::*;

fn frames(all: &[Frame]) -> Vec<u8> {
    all.iter().flat_map(Frame::encode).collect()
}

/// A world whose web.1 lets a program wait that says this.
fn entered(said: &[Frame]) -> World {
    let world = World::new();
    let mut made = dyno("web.1", DynoState::Up, "bash");
    made.attach_url = Some("rendezvous://elsewhere:5000/s3cret".to_owned());
    world.stub.status("POST /apps/myapp/dynos/web.1", 201, &made).upgrade("GET /streams/attach/s3cret", frames(said));
    world
}

#[test]
fn commands_run_inside_a_dyno() {
    let world = entered(&[Frame::Stdout(b"hello\n".to_vec()), Frame::Exit(3)]);
    let run = world.run(&["run:inside", "web.1", "echo", "two words", "--app", "myapp"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, "hello\n"), "{}", run.stderr);
    let call = world.stub.calls().into_iter().find(|call| call.starts_with("POST")).unwrap();
    assert!(call.contains(r#""command":"echo 'two words'""#) && call.contains(r#""force_no_tty":true"#), "{call}");

    let world = entered(&[Frame::Exit(0)]);
    assert_eq!(world.run(&["ps:exec", "--", "ls", "-l"]).code, 0);
    let call = world.stub.calls().into_iter().find(|call| call.starts_with("POST")).unwrap();
    assert!(call.contains(r#""command":"ls -l""#), "{call}");
}

#[test]
fn a_file_is_copied_whole_or_not_at_all() {
    let world = entered(&[Frame::Stdout(b"a,b\n".to_vec()), Frame::Stdout(b"1,2\n".to_vec()), Frame::Exit(0)]);
    let run = world.run(&["ps:copy", "tmp/out.csv"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(world.work().join("out.csv")).unwrap(), "a,b\n1,2\n");

    let world = entered(&[Frame::Stdout(b"a,".to_vec()), Frame::Stderr(b"cat: no\n".to_vec()), Frame::Exit(1)]);
    let run = world.run(&["ps:copy", "tmp/out.csv", "--output", "kept.csv"]);
    assert!(
        run.code != 0 && run.stderr.contains("cat: no") && run.stderr.contains("could not be copied"),
        "{}",
        run.stderr
    );
    assert_eq!(std::fs::read_dir(world.work()).unwrap().count(), 0, "nothing half is left");
    assert_ne!(world.run(&["ps:copy", "dir/"]).code, 0);
}

#[test]
fn a_port_is_forwarded_through_a_program() {
    use std::io::{BufRead as _, Read as _, Write as _};
    let world = entered(&[Frame::Stdout(b"pong".to_vec()), Frame::Exit(0)]);
    let mut command = world.command(&["ps:forward", "0:5000"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.write_all(b"ping").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said, "pong");
    let sent = world.stub.upgraded();
    assert!(sent.windows(4).any(|window| window == b"ping"), "{sent:?}");
    assert!(world.stub.calls().iter().any(|call| call.contains("/dev/tcp/127.0.0.1/5000")));
    assert_ne!(world.run(&["ps:forward", "port"]).code, 0);
}

#[test]
fn a_dyno_is_reached_by_socks() {
    use std::io::{BufRead as _, Read as _, Write as _};
    let world = entered(&[Frame::Stdout(b"pong".to_vec()), Frame::Exit(0)]);
    let mut command = world.command(&["ps:socks", "--port", "0"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let port: u16 = line.split_whitespace().next_back().unwrap().parse().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"\x05\x01\x00\x05\x01\x00\x03\x07redis-1\x18\xebping").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said, b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00pong");
    let sent = world.stub.upgraded();
    assert!(sent.windows(4).any(|window| window == b"ping"), "{sent:?}");
    assert!(world.stub.calls().iter().any(|call| call.contains("/dev/tcp/redis-1/6379")));
}

#[test]
fn consoles_and_tasks_are_one_off_dynos() {
    let world = World::new();
    let mut made = dyno("run.1", DynoState::Starting, "x");
    made.attach_url = Some("rendezvous://elsewhere:5000/s3cret".to_owned());
    world
        .stub
        .status("POST /apps/myapp/dynos", 201, &made)
        .upgrade("GET /streams/attach/s3cret", frames(&[Frame::Exit(0)]));
    assert_eq!(world.run(&["rake", "db:migrate", "VERSION=1", "--app", "myapp"]).code, 0);
    assert_eq!(world.run(&["console"]).code, 0);
    let calls: Vec<String> = world.stub.calls().into_iter().filter(|call| call.starts_with("POST")).collect();
    assert!(calls[0].contains(r#""command":"rake db:migrate VERSION=1""#), "{}", calls[0]);
    assert!(calls[1].contains(r#""command":"console""#), "{}", calls[1]);
}

#[test]
fn dynos_are_waited_for_and_named_as_heroku_names_them() {
    let world = World::new();
    let of = |version: u64, state: DynoState| {
        let mut dyno = dyno("web.1", state, "x");
        dyno.release.version = version;
        dyno
    };
    world
        .stub
        .json("GET /apps/myapp/releases", &[release(7, "Deploy", ReleaseStatus::Succeeded)])
        .json("GET /apps/myapp/dynos", &[of(6, DynoState::Up)])
        .json("GET /apps/myapp/dynos", &[of(7, DynoState::Up)])
        .json("POST /apps/myapp/dynos/web.1/actions/stop", &json!({}))
        .json("DELETE /apps/myapp/formations/web", &json!({}));
    let run = world.run(&["ps:wait"]);
    assert!(run.code == 0 && run.stderr.contains("v7") && run.stderr.contains("1 / 1"), "{}", run.stderr);
    assert_eq!(world.run(&["ps:stop", "-d", "web.1"]).code, 0);
    assert_eq!(world.run(&["ps:restart", "-p", "web"]).code, 0);
    assert_ne!(world.run(&["ps:stop"]).code, 0);
}

#[test]
fn a_release_phase_is_run_again() {
    let world = World::new();
    let mut made = release(8, "Retry of v7: Deploy", ReleaseStatus::Pending);
    made.output_stream_url = Some("http://elsewhere:1/streams/releases/r8".to_owned());
    world
        .stub
        .json("GET /apps/myapp/releases", &[release(7, "Deploy", ReleaseStatus::Succeeded)])
        .json("GET /apps/myapp/formation", &[formation("web", 1, "Basic"), formation("release", 0, "Basic")])
        .json("GET /apps/myapp/formation", &[formation("web", 1, "Basic")])
        .status("POST /apps/myapp/releases", 201, &made)
        .text("GET /streams/releases/r8", "migrated\n")
        .json("GET /apps/myapp/releases/8", &release(8, "x", ReleaseStatus::Failed));
    let run = world.run(&["releases:retry"]);
    assert!(run.stdout.contains("migrated") && run.stderr.contains("v8 failed") && run.code != 0, "{}", run.stderr);
    let run = world.run(&["releases:retry"]);
    assert!(run.stderr.contains("no release phase"), "{}", run.stderr);
}

#[test]
fn what_a_file_is_copied_to_stays_what_it_is() {
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    let copied = || entered(&[Frame::Stdout(b"new".to_vec()), Frame::Exit(0)]);

    let world = copied();
    let pipe = world.work().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let there = pipe.clone();
    let reader = std::thread::spawn(move || std::fs::read_to_string(there).unwrap());
    let run = world.run(&["ps:copy", "x", "-o", "pipe"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(reader.join().unwrap(), "new");

    let world = copied();
    std::fs::write(world.work().join("real"), "old").unwrap();
    symlink("real", world.work().join("link")).unwrap();
    assert_eq!(world.run(&["ps:copy", "x", "-o", "link"]).code, 0);
    assert!(world.work().join("link").is_symlink());
    assert_eq!(std::fs::read_to_string(world.work().join("real")).unwrap(), "new");

    let world = entered(&[Frame::Exit(1)]);
    std::fs::write(world.work().join("x.part"), "mine").unwrap();
    assert_eq!(world.run(&["ps:copy", "x"]).code, 1);
    assert_eq!(std::fs::read_to_string(world.work().join("x.part")).unwrap(), "mine");
}
