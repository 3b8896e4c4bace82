//! The planner's stories: what it does, pass by pass, as text to be read.
//!
//! Each story is a snapshot in `snapshots/`; review a change of one as you would a change of
//! behaviour (`INSTA_UPDATE=always cargo test -p paas-domain --test plan` writes them anew).
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

#[allow(dead_code, reason = "each test file uses its own part of the world")]
mod world;

use chrono::TimeDelta;
use paas_domain::plan::{CrashPolicy, DynoKind, Request, Strategy};
use uuid::Uuid;
use world::Behaviour;
use world::story::Story;

/// A process that ends after so many seconds.
const fn ends(after: i64, code: i32) -> Behaviour {
    Behaviour { ends_after: Some((TimeDelta::seconds(after), code)), listens_after: None, ..Behaviour::healthy() }
}

macro_rules! tell {
    ($story:expr) => {
        insta::assert_snapshot!($story.text.trim_start())
    };
}

#[test]
fn blank_app() {
    let mut story = Story::new();
    story.after(0, "created, nothing deployed");
    tell!(story);
}

#[test]
fn first_deploy() {
    let mut story = Story::new();
    story.world.release(2);
    story.world.typ("web").quantity = 1;
    story.world.typ("worker").quantity = 0;
    story.after(0, "deployed");
    story.after(1, "not listening yet");
    story.after(1, "listening");
    tell!(story);
}

#[test]
fn deploy_starts_web_first_and_stops_workers_first() {
    let mut story = Story::running(&[("web", 2), ("worker", 1)]);
    story.world.release(3);
    story.after(0, "v3 deployed");
    story.after(1, "the old worker has exited");
    story.after(1, "the new web dynos listen");
    story.after(2, "the last requests have ended");
    story.after(1, "the old web dynos have exited");
    tell!(story);
}

#[test]
fn deploy_waits_for_routers() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.desired.routes_acknowledged = false;
    story.world.release(3);
    story.after(0, "v3 deployed");
    story.after(2, "the new one listens; no router has the new table");
    story.after(20, "still none");
    story.world.desired.routes_acknowledged = true;
    story.after(0, "the router has it");
    tell!(story);
}

#[test]
fn deploy_waits_for_the_last_requests() {
    let mut story = Story::running(&[("web", 2)]);
    story.world.release(3);
    story.after(0, "v3 deployed");
    let old = [story.dyno("web.1"), story.dyno("web.2")];
    story.after(2, "the new ones listen");
    story.world.desired.busy = old.to_vec();
    story.after(2, "both old ones have requests still");
    story.world.desired.busy = vec![old[0]];
    story.after(1, "those of web.2 have ended");
    story.after(27, "web.1 has had its time");
    tell!(story);
}

#[test]
fn bad_deploy_leaves_the_old_serving() {
    let mut story = Story::running(&[("web", 2)]);
    story.behave = |row| match row.release_version {
        3 => ends(0, 1),
        _ => Behaviour::healthy(),
    };
    story.world.release(3);
    story.after(0, "v3 deployed: it crashes at once");
    let (id, end) = (story.dyno("web.1"), Some((story.world.now, 1)));
    story.world.containers.get_mut(&id).unwrap().end = end;
    story.after(0, "an old one crashes, too");
    story.after(2, "and is up again");
    story.world.release(4);
    story.after(1, "v4 deployed: it is good");
    story.after(2, "it listens");
    tell!(story);
}

#[test]
fn deploy_that_never_listens_is_told_once() {
    let mut story = Story::running(&[("web", 1)]);
    story.behave = |_| Behaviour { listens_after: None, ..Behaviour::healthy() };
    story.world.release(3);
    story.after(0, "v3 deployed");
    story.after(60, "R10");
    story.after(60, "R10 again");
    tell!(story);
}

#[test]
fn new_release_falls_before_the_old_is_gone() {
    let mut story = Story::running(&[("web", 1)]);
    story.behave = |_| Behaviour { ends_after: Some((TimeDelta::seconds(3), 1)), ..Behaviour::healthy() };
    story.world.release(3);
    story.after(0, "v3 deployed");
    story.after(2, "it listens");
    story.after(1, "it crashes while the old one drains");
    tell!(story);
}

#[test]
fn second_deploy_while_the_first_boots() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.release(3);
    story.after(0, "v3 deployed");
    story.world.release(4);
    story.after(1, "v4 deployed");
    story.after(1, "v3 has exited");
    story.after(1, "v4 listens");
    tell!(story);
}

#[test]
fn config_set_without_restart() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.release(3);
    story.world.desired.release.as_mut().unwrap().compatible_from = 2;
    story.after(0, "config:set --no-restart makes v3");
    story.world.typ("web").quantity = 2;
    story.after(0, "scaled up: the new dyno runs v3");
    tell!(story);
}

#[test]
fn scale_up_and_down() {
    let mut story = Story::running(&[("web", 1), ("worker", 1)]);
    story.world.typ("web").quantity = 3;
    story.world.typ("worker").quantity = 3;
    story.after(0, "web=3 worker=3");
    story.after(2, "listening");
    story.world.typ("web").quantity = 1;
    story.world.typ("worker").quantity = 0;
    story.after(0, "web=1 worker=0");
    story.after(2, "drained");
    story.after(1, "exited");
    story.world.typ("web").quantity = 0;
    story.after(0, "web=0");
    story.after(2, "drained");
    story.after(1, "exited");
    tell!(story);
}

#[test]
fn type_leaves_the_procfile() {
    let mut story = Story::running(&[("clock", 1), ("worker", 1)]);
    story.world.release(3);
    story.world.desired.types.retain(|typ| typ.process_type == "worker");
    story.after(0, "v3 has no clock");
    story.after(1, "both have exited");
    tell!(story);
}

#[test]
fn restart_all() {
    let mut story = Story::running(&[("web", 1), ("worker", 1)]);
    story.world.typ("web").epoch = 1;
    story.world.typ("worker").epoch = 1;
    story.after(0, "ps:restart");
    story.after(2, "the worker has exited, the new web dyno listens");
    story.after(2, "drained");
    story.after(1, "exited");
    tell!(story);
}

#[test]
fn restart_one() {
    let mut story = Story::running(&[("web", 2), ("worker", 2)]);
    story.request("web.2", Request::Restart);
    story.request("worker.1", Request::Restart);
    story.after(0, "ps:restart web.2, worker.1");
    story.after(2, "worker.1 has exited, the new web.2 listens");
    story.after(2, "drained");
    story.after(1, "exited");
    tell!(story);
}

#[test]
fn restart_one_while_a_rollout_goes_on() {
    let mut story = Story::running(&[("web", 1)]);
    story.behave = |row| Behaviour {
        listens_after: Some(TimeDelta::seconds(if row.number == 1 { 50 } else { 2 })),
        ..Behaviour::healthy()
    };
    story.world.release(3);
    story.world.typ("web").quantity = 2;
    story.after(0, "v3 deployed, web=2");
    story.after(2, "its web.2 listens, its web.1 takes longer");
    let mut rows = story.world.rows.iter_mut();
    let row = rows.find(|row| row.number == 2 && row.release_version == 3);
    row.unwrap().request = Some(Request::Restart);
    story.after(0, "ps:restart web.2, the new one");
    story.after(2, "the newer web.2 listens; v2's web.1 goes on serving");
    story.after(46, "web.1 listens as well");
    tell!(story);
}

#[test]
fn stop_one() {
    let mut story = Story::running(&[("web", 2), ("worker", 1)]);
    story.request("web.1", Request::Stop);
    story.request("worker.1", Request::Stop);
    story.after(0, "ps:stop web.1, worker.1");
    story.after(2, "worker.1 has exited, the new web.1 listens");
    tell!(story);
}

#[test]
fn resize() {
    let mut story = Story::running(&[("web", 1), ("worker", 1)]);
    story.world.typ("web").size = "standard-2x".to_owned();
    story.world.typ("worker").size = "standard-2x".to_owned();
    story.after(0, "ps:resize");
    story.after(2, "the worker has exited, the new web dyno listens");
    story.after(3, "drained");
    tell!(story);
}

#[test]
fn strategies_the_other_way_round() {
    let mut story = Story::running(&[("web", 1), ("worker", 1)]);
    story.world.typ("web").strategy = Strategy::StopFirst;
    story.world.typ("worker").strategy = Strategy::StartFirst;
    story.world.release(3);
    story.after(0, "v3 deployed");
    story.after(2, "drained");
    story.after(1, "exited");
    story.after(2, "listening");
    tell!(story);
}

#[test]
fn crash_loop_backs_off() {
    let mut story = Story::new();
    story.behave = |_| ends(1, 1);
    story.world.release(2);
    story.world.typ("worker").quantity = 1;
    story.after(0, "deployed");
    for _ in 0..6 {
        story.after(1, "it has crashed");
    }
    story.after(10, "the first wait is over");
    story.after(1, "it has crashed");
    story.behave = |_| Behaviour::healthy();
    story.world.release(3);
    story.after(5, "v3 starts with a clean slate");
    tell!(story);
}

#[test]
fn crash_loop_of_web_by_herokus_policy() {
    let mut story = Story::new();
    story.world.policy.crash_policy = CrashPolicy::Heroku;
    story.behave = |_| ends(1, 0);
    story.world.release(2);
    story.world.typ("web").quantity = 1;
    story.after(0, "deployed");
    story.after(1, "status 0 is a crash as well");
    story.after(1, "crashed again");
    story.world.typ("web").epoch = 1;
    story.after(60, "ps:restart doesn't wait");
    tell!(story);
}

#[test]
fn crash_after_a_healthy_run_is_the_first() {
    let mut story = Story::running(&[("worker", 1)]);
    story.world.rows[0].crashes = 6;
    let (id, end) = (story.dyno("worker.1"), story.world.now + TimeDelta::minutes(11));
    story.world.containers.get_mut(&id).unwrap().end = Some((end, 1));
    story.after(11 * 60, "it crashes after eleven minutes");
    tell!(story);
}

#[test]
fn boot_timeout() {
    let mut story = Story::new();
    story.behave = |_| Behaviour { listens_after: None, ..Behaviour::healthy() };
    story.world.release(2);
    story.world.typ("web").quantity = 1;
    story.after(0, "deployed");
    story.after(59, "not yet");
    story.after(1, "R10");
    tell!(story);
}

#[test]
fn exit_timeout() {
    let mut story = Story::new();
    story.behave = |_| Behaviour { stops_after: None, ..Behaviour::healthy() };
    story.world.release(2);
    story.world.typ("worker").quantity = 1;
    story.after(0, "deployed");
    story.behave = |_| Behaviour::healthy();
    story.world.release(3);
    story.after(10, "v3 deployed; the old worker ignores SIGTERM");
    story.after(29, "not yet");
    story.after(1, "R12");
    tell!(story);
}

#[test]
fn kill_is_sent_again_to_what_survives_it() {
    let mut story = Story::running(&[("worker", 1)]);
    let id = story.dyno("worker.1");
    story.world.typ("worker").quantity = 0;
    story.after(0, "worker=0");
    let mut frozen = *story.world.containers.get(&id).unwrap();
    frozen.end = None;
    for (seconds, what) in [(30, "R12"), (1, "frozen in the kernel"), (9, "again"), (10, "again")] {
        story.world.containers.insert(id, frozen);
        story.world.now += TimeDelta::seconds(seconds);
        story.heading(what);
        story.pass(usize::MAX);
    }
    tell!(story);
}

#[test]
fn memory_vastly_exceeded() {
    let mut story = Story::running(&[("worker", 1)]);
    story.request("worker.1", Request::MemoryVastly);
    story.after(5, "R15");
    tell!(story);
}

#[test]
fn daemon_killed_between_row_and_start() {
    let mut story = Story::new();
    story.world.release(2);
    story.world.typ("web").quantity = 1;
    story.world.typ("worker").quantity = 1;
    story.heading("deployed; the daemon is killed when the rows are written");
    let plan = story.world.plan();
    for step in &plan.steps {
        story.world.record(step);
    }
    story.after(5, "the daemon is back");
    let id = story.dyno("worker.1");
    story.world.containers.get_mut(&id).unwrap().started_at = None;
    story.world.rows.iter_mut().find(|row| row.id == id).unwrap().phase = paas_domain::plan::Phase::Starting;
    story.after(0, "a container that was made and not started");
    tell!(story);
}

#[test]
fn daemon_restart_touches_nothing() {
    let mut story = Story::running(&[("web", 2), ("worker", 3)]);
    story.after(3600, "the daemon was away for an hour");
    tell!(story);
}

#[test]
fn lost_and_stray_containers() {
    let mut story = Story::running(&[("web", 1), ("worker", 1)]);
    let id = story.dyno("worker.1");
    let container = story.world.containers.remove(&id).unwrap();
    let stray = Uuid::from_u128(0x0bad);
    story.world.containers.insert(stray, container);
    story.after(60, "worker.1's container is gone, and another is there that nobody knows");
    tell!(story);
}

#[test]
fn lost_container_shows_up_again() {
    let mut story = Story::running(&[("worker", 1)]);
    let id = story.dyno("worker.1");
    let container = story.world.containers.remove(&id).unwrap();
    story.heading("worker.1 is out of sight; the daemon is killed after the first step");
    story.pass(1);
    story.world.containers.insert(id, container);
    story.after(5, "the same container is back");
    tell!(story);
}

#[test]
fn machine_rebooted_during_a_stalled_rollout() {
    let mut story = Story::running(&[("web", 1)]);
    story.behave = |row| match row.release_version {
        3 => ends(1, 1),
        _ => Behaviour::healthy(),
    };
    story.world.release(3);
    story.after(0, "v3 deployed");
    for _ in 0..6 {
        story.after(1, "it has crashed");
    }
    for container in story.world.containers.values_mut() {
        container.end = container.end.or(Some((story.world.now, 137)));
    }
    story.after(1, "everything has ended");
    story.after(2, "the old one listens");
    tell!(story);
}

#[test]
fn oneoff_ends() {
    let mut story = Story::running(&[]);
    story.world.oneoff(DynoKind::Oneoff, 1234);
    story.behave = |_| ends(3, 7);
    story.after(0, "run");
    story.after(3, "its process has ended with 7");
    tell!(story);
}

#[test]
fn oneoff_is_stopped() {
    let mut story = Story::running(&[]);
    story.world.oneoff(DynoKind::Oneoff, 1);
    story.after(0, "run");
    story.request("run.1", Request::Stop);
    story.after(1, "ps:stop run.1");
    story.after(1, "exited");
    story.world.oneoff(DynoKind::Oneoff, 2);
    story.request("run.2", Request::Stop);
    story.after(1, "another is stopped before it starts");
    tell!(story);
}

#[test]
fn time_to_live() {
    let mut story = Story::running(&[]);
    story.world.oneoff(DynoKind::Oneoff, 1);
    story.world.rows[0].time_to_live = Some(60);
    story.after(0, "run --time-to-live 60");
    story.after(59, "not yet");
    story.after(1, "its time is over");
    story.after(1, "exited");
    tell!(story);
}

#[test]
fn oneoff_is_lost() {
    let mut story = Story::running(&[]);
    let id = story.world.oneoff(DynoKind::Oneoff, 1);
    story.after(0, "run");
    story.world.containers.remove(&id);
    story.after(1, "its container is gone: it isn't run twice");
    tell!(story);
}

#[test]
fn release_phase() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.oneoff(DynoKind::Release, 3);
    story.behave = |_| ends(4, 1);
    story.after(0, "v3 is pending, its release phase starts");
    story.after(4, "it fails: v2 goes on");
    tell!(story);
}

#[test]
fn release_phase_that_never_starts() {
    let mut story = Story::running(&[]);
    let id = story.world.oneoff(DynoKind::Release, 3);
    story.world.rows[0].time_to_live = Some(60);
    story.heading("its start is refused");
    story.pass(0);
    story.world.now += TimeDelta::seconds(59);
    story.heading("not yet");
    story.pass(0);
    assert_eq!(story.world.row(id).exit_code, None);
    story.after(1, "its time is over");
    tell!(story);
}

#[test]
fn out_of_memory() {
    let mut story = Story::running(&[("web", 1)]);
    let ids = [1, 2].map(|number| story.world.oneoff(DynoKind::Oneoff, number));
    story.behave = |_| ends(3, 0);
    story.after(0, "run twice");
    for id in story.world.containers.values_mut() {
        id.oom = true;
    }
    let [_, lost] = ids;
    story.world.containers.get_mut(&lost).unwrap().end_by(story.world.now, 1);
    story.after(3, "a child was killed in each: one did without it, the other did not");
    tell!(story);
}

#[test]
fn disk_filled() {
    let mut story = Story::running(&[("worker", 1)]);
    story.request("worker.1", Request::DiskFull);
    story.after(0, "the disk is nearly full");
    story.after(1, "killed");
    tell!(story);
}

#[test]
fn idle_and_wake() {
    let mut story = Story::running(&[("web", 2), ("worker", 1)]);
    story.world.desired.idle = true;
    story.after(1800, "nobody has asked for half an hour");
    story.after(2, "drained");
    story.after(1, "exited");
    story.world.desired.idle = false;
    story.after(3600, "the first request");
    story.after(2, "listening");
    tell!(story);
}

#[test]
fn idle_meets_a_request_on_its_way() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.desired.idle = true;
    story.after(1800, "nobody has asked for half an hour");
    story.world.desired.idle = false;
    story.after(1, "somebody asks while the dyno drains: it is taken back");
    story.world.desired.idle = true;
    story.after(1800, "nobody again");
    story.after(2, "drained");
    story.world.desired.idle = false;
    story.after(0, "somebody asks after its SIGTERM");
    story.after(2, "the new one listens");
    tell!(story);
}

#[test]
fn idle_app_is_deployed_scaled_and_crashes_when_woken() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.desired.idle = true;
    story.after(1800, "idle");
    story.after(2, "drained");
    story.after(1, "exited");
    story.world.typ("web").quantity = 0;
    story.after(0, "web=0: nothing is left to be woken");
    story.world.typ("web").quantity = 1;
    story.world.desired.idle = false;
    story.world.release(3);
    story.behave = |_| ends(0, 1);
    story.after(0, "web=1 and v3, which crashes at once");
    tell!(story);
}

#[test]
fn crash_that_is_mended_at_once_is_no_crash_for_visitors() {
    let mut story = Story::running(&[("web", 1)]);
    story.world.typ("web").strategy = Strategy::StopFirst;
    let (id, end) = (story.dyno("web.1"), story.world.now);
    story.world.containers.get_mut(&id).unwrap().end = Some((end, 137));
    story.after(0, "killed");
    story.after(2, "listening");
    tell!(story);
}

#[test]
fn crash_beside_a_dyno_that_is_being_replaced() {
    let mut story = Story::running(&[("web", 2)]);
    story.world.typ("web").strategy = Strategy::StopFirst;
    story.world.rows[0].crashes = 6;
    let (id, end) = (story.dyno("web.1"), story.world.now);
    story.world.containers.get_mut(&id).unwrap().end = Some((end, 1));
    story.request("web.2", Request::Restart);
    story.after(0, "web.1 crashes for the seventh time, web.2 is to be restarted");
    story.after(2, "web.2 gets SIGTERM: visitors wait for its successor");
    tell!(story);
}

#[test]
fn app_destroyed() {
    let mut story = Story::running(&[("web", 2), ("worker", 1)]);
    story.world.oneoff(DynoKind::Oneoff, 1);
    story.after(0, "run");
    story.world.desired.destroyed = true;
    story.after(1, "apps:destroy");
    story.after(1, "all have exited");
    tell!(story);
}
