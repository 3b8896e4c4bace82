//! Config vars and maintenance mode.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn config() {
    let h = Heroku::fake("config").await;
    h.app.create("shop").await;
    h.ok(
        "config:set",
        "LANG=C GREETING='hello world' -a shop",
        &["Setting LANG, GREETING and restarting", "done, v", "GREETING: hello world"],
    )
    .await;
    h.ok("config", "-a shop", &["shop Config Vars", "LANG:", "hello world"]).await;
    h.ok("config", "-a shop --shell", &["LANG=C", "GREETING='hello world'"]).await;
    let all = h.ok("config", "-a shop --json", &[]).await.json();
    h.check("config", "the JSON has both", all["LANG"] == "C" && all["GREETING"] == "hello world");
    let one = h.ok("config:get", "GREETING -a shop", &[]).await;
    h.check("config:get", "the value alone is printed", one.out == "hello world\n");
    h.ok("config:get", "GREETING -a shop -s", &["GREETING='hello world'"]).await;
    h.ok("config:unset", "LANG -a shop", &["Unsetting LANG and restarting", "done, v"]).await;
    h.fails("config:set", "1X=a -a shop", &["1X"]).await;
    h.fails("config:set", "NOTHING -a shop", &["NOTHING is invalid. Must be in the format FOO=bar."]).await;
    h.place_program("editor", "#!/bin/sh\nsed -i -e \"s/hello/bye/\" \"$1\"\nprintf '\\nNEW=1\\n' >> \"$1\"\n");
    let edited = h.on_terminal("config:edit", "-a shop", &[("(y/N)", "y\r")]).await;
    h.judge("config:edit", "-a shop", &edited, Some(0), &["Updating config", "done"]);
    let all = h.ok("config", "-a shop --json", &[]).await.json();
    h.check("config:edit", &format!("it is set in {all}"), all["NEW"] == "1" && all["GREETING"] == "bye world");

    h.ok("maintenance", "-a shop", &["off"]).await;
    h.ok("maintenance:on", "-a shop", &["Enabling maintenance mode for", "done"]).await;
    h.ok("maintenance", "-a shop", &["on"]).await;
    h.ok("maintenance:off", "-a shop", &["Disabling maintenance mode for", "done"]).await;
    h.done().await;
}
