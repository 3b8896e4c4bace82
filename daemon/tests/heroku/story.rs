//! A whole way on real containers: from an empty folder to two apps in a pipeline, and down
//! again.

use crate::client::Heroku;

const SERVER: &str = "import http.server, os\n\
class H(http.server.SimpleHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n        \
self.wfile.write(('hello ' + os.environ.get('WHO', 'nobody')).encode())\n\
print('listening', flush=True)\n\
http.server.HTTPServer(('', int(os.environ['PORT'])), H).serve_forever()\n";

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_production_and_down_again() {
    let h = Heroku::docker("story").await;
    for (name, text) in [
        ("Procfile", "web: python3 server.py\nrelease: echo migrated\n"),
        ("server.py", SERVER),
        ("bin/detect", "#!/bin/sh\necho Plain\n"),
        ("bin/compile", "#!/bin/sh\necho '-----> Nothing to do'\n"),
        ("bin/release", "#!/bin/sh\necho '--- {}'\n"),
    ] {
        let path = h.place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    h.tool("chmod", "+x bin/detect bin/compile bin/release").await;
    h.tool("git", "init -q").await;
    h.tool("git", "add .").await;
    h.tool("git", "commit -q -m First").await;
    h.ok("apps:create", "shop-staging", &["Creating", "shop-staging... done", "https://localhost"]).await;
    h.ok("addons:create", "heroku-redis:mini --wait", &["Creating heroku-redis:mini on", "REDIS_URL"]).await;
    h.ok("config:set", "WHO=world", &["Setting WHO and restarting", "done, v"]).await;
    let pushed = h.tool("git", "push heroku main").await.all();
    for text in ["remote: -----> ", "migrated", "Released v", "deployed to"] {
        h.check("git push", text, pushed.contains(text));
    }
    h.ok("ps:wait", "--wait-interval 10", &[]).await;
    h.ok("ps", "", &["=== web", "python3 server.py (1)", "web.1: up"]).await;
    let answer = h.app.ask_web("shop-staging", "/").await;
    h.check("config:set", "the app has it", answer == "hello world");
    h.app.until_logged("shop-staging", "listening").await;
    h.ok("logs", "-n 200", &["app[web.1]: listening", "Release v", "heroku[web.1]"]).await;
    h.ok("run", "--no-tty -x -- cat Procfile", &["web: python3 server.py"]).await;
    h.ok("releases", "", &["Deploy", "Set WHO config vars", "Initial release"]).await;
    h.ok("releases:output", "", &["migrated"]).await;
    h.ok("config:set", "WHO=everybody", &["done, v"]).await;
    h.ok("releases:rollback", "", &["Rolling back", "done, v"]).await;
    h.ok("releases:retry", "", &["Retrying v", "done, v"]).await;
    h.ok("domains", "", &["shop-staging.localhost"]).await;
    h.ok("git:clone", "copy -a shop-staging", &["Cloning into 'copy'..."]).await;
    h.check("git:clone", "the files are there", h.place.join("copy/Procfile").exists());

    h.ok("apps:create", "shop --no-remote", &["shop... done"]).await;
    h.ok("pipelines:create", "shop -a shop-staging --stage staging", &["done"]).await;
    h.ok("pipelines:add", "shop -a shop --stage production", &["done"]).await;
    h.ok("pipelines:promote", "-a shop-staging", &["Promotion successful"]).await;
    h.app.until_dynos("shop", &["web.1 up"]).await;
    let answer = h.app.ask_web("shop", "/").await;
    h.check("pipelines:promote", "the config is its own", answer == "hello nobody");
    h.ok("pipelines:destroy", "shop", &["done"]).await;
    for app in ["shop", "shop-staging"] {
        h.ok("apps:destroy", &format!("-a {app} --confirm {app}"), &["Destroying", "done"]).await;
    }
    h.app.until("nothing to be left on the engine", async || h.app.owned().await.is_empty().then_some(())).await;
    h.done().await;
}
