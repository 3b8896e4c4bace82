//! Dynos, on the fake engine, and what they said.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn ps() {
    let h = Heroku::fake("ps").await;
    h.app.create("shop").await;
    h.ok("ps", "-a shop", &["No dynos on", "shop"]).await;
    h.app.deploy("shop", &[("a", "")], &[("clock", "tick"), ("worker", "work it")]).await;
    h.ok("ps:scale", "clock=1 worker=2 -a shop", &["Scaling dynos... done", "worker at 2"]).await;
    h.ok("ps:scale", "worker+1 -a shop", &["worker at 3"]).await;
    h.ok("ps:scale", "-a shop", &["clock=1:", "worker=3:"]).await;
    h.fails("ps:scale", "nothing=1 -a shop", &["Couldn't find that process type"]).await;
    h.app.until_dynos("shop", &["clock.1 up", "worker.1 up", "worker.2 up", "worker.3 up"]).await;
    h.ok("ps", "-a shop", &["=== clock", "tick (1)", "=== worker", "work it (3)", "clock.1: up", "worker.3: up"]).await;
    h.ok("ps", "worker -a shop", &["worker.1: up"]).await;
    let all = h.ok("ps", "-a shop --json", &[]).await.json();
    h.check("ps", "the JSON has all", all.as_array().is_some_and(|all| all.len() == 4));
    h.ok("ps:type", "-a shop", &["clock", "worker", "qty", "1", "3"]).await;
    h.ok("ps:type", "worker=standard-2x -a shop", &["Scaling dynos on", "done", "Standard-2X"]).await;
    h.fails("ps:type", "worker=huge -a shop", &["huge"]).await;
    h.ok("ps:restart", "-a shop", &["Restarting all dynos on", "done"]).await;
    h.ok("ps:restart", "--dyno-name worker.1 -a shop", &["Restarting dyno worker.1 on", "done"]).await;
    h.ok("ps:restart", "--process-type clock -a shop", &["Restarting all clock dynos on", "done"]).await;
    h.ok("ps:wait", "-a shop --wait-interval 10", &[]).await;
    h.app.until_dynos("shop", &["clock.1 up", "worker.1 up", "worker.2 up", "worker.3 up"]).await;
    h.ok("ps:stop", "--dyno-name worker.1 -a shop", &["Stopping dyno worker.1 on", "done"]).await;
    h.ok("ps:stop", "--process-type worker -a shop", &["Stopping all worker dynos on", "done"]).await;
    h.fails("ps:stop", "--dyno-name clock.9 -a shop", &["Couldn't find that"]).await;
    h.ok("logs", "-a shop -n 100", &["Scaled to", "app[api]", "heroku[clock.1]", "State changed from starting to up"])
        .await;
    let only = h.ok("logs", "-a shop --source app --dyno-name clock.1 -n 5", &[]).await;
    h.check("logs", "the source is kept to", !only.out.contains("heroku["));
    h.ok("run:detached", "'sleep 5' -a shop", &["Running sleep 5 on", "run.", "heroku logs --app shop --dyno run."])
        .await;
    h.done().await;
}

/// A shell that says what it is told.
const APP: &[(&str, &str)] = &[("hello.txt", "hello from a file\n")];

#[tokio::test(flavor = "multi_thread")]
async fn attached() {
    let h = Heroku::docker("attached").await;
    h.app.create("shop").await;
    h.app
        .deploy("shop", APP, &[("worker", "sleep 1000"), ("console", "cat hello.txt"), ("rake", "echo rake is")])
        .await;
    h.ok("run", "-a shop --no-tty -- cat hello.txt", &["Running cat hello.txt on", "hello from a file"]).await;
    h.ends("run", "-a shop --no-tty -x -- sh -c 'exit 7'", 7, &[]).await;
    let typed = [("$ ", "echo $((40+2))\r"), ("42", "exit\r")];
    let said = h.on_terminal("run", "-a shop bash", &typed).await;
    h.judge("run", "-a shop bash (on a terminal)", &said, Some(0), &["42"]);
    h.ok("console", "-a shop", &["hello from a file"]).await;
    h.ok("rake", "-a shop done", &["rake is"]).await;
    // It follows the log until it is told to stop.
    let said = h
        .on_terminal("run:detached", "-a shop --tail 'echo said $((1+1)) apart; sleep 2'", &[("said 2 apart", "\u{3}")])
        .await;
    let status = said.status;
    h.judge("run:detached", "-a shop --tail", &said, Some(status), &["said 2 apart"]);
    h.ok("ps:scale", "worker=1 -a shop", &["worker at 1"]).await;
    h.app.until_dynos("shop", &["worker.1 up"]).await;
    let typed = [("$ ", "cat hello.txt; exit\r")];
    let said = h.on_terminal("run:inside", "-a shop worker.1 bash", &typed).await;
    h.judge("run:inside", "-a shop worker.1 bash", &said, Some(0), &["hello from a file"]);
    let reason = "its tunnel is SSH on port 80 of a host of its own, which the router has";
    for (command, arguments) in [
        ("ps:exec", "-a shop"),
        ("ps:copy", "-a shop hello.txt"),
        ("ps:forward", "-a shop 8080"),
        ("ps:socks", "-a shop"),
    ] {
        h.cannot(command, arguments, reason).await;
    }
    h.app.destroy("shop").await;
    h.done().await;
}
