//! Examples in the help of the commands that are used most.

/// Command, and lines that one may type.
pub(crate) const EXAMPLES: &[(&str, &[&str])] = &[
    ("access:add", &["paas access:add bob@example.com --app blog"]),
    ("addons:create", &["paas addons:create redis", "paas addons:create redis:mini --as CACHE"]),
    ("apps:create", &["paas create", "paas create blog --addons redis --buildpack ruby"]),
    ("builds:create", &["paas builds:create"]),
    ("certs:add", &["paas certs:add www.pem www.key --domain www.example.com"]),
    ("config:set", &["paas config:set LANG=en_US.UTF-8 RACK_ENV=production"]),
    ("domains:add", &["paas domains:add www.example.com --wait", "paas domains:add '*.example.com'"]),
    ("drains:add", &["paas drains:add syslog+tls://logs.example.com:6514"]),
    ("git:remote", &["paas git:remote --app blog"]),
    ("local", &["paas local", "paas local web,worker --port 3000"]),
    ("login", &["paas login", "paas login --browser", "paas login --token - < token"]),
    ("logs", &["paas logs --tail", "paas logs --num 500 --dyno web", "paas logs --source heroku --tail"]),
    ("pipelines:promote", &["paas pipelines:promote --app blog-staging"]),
    ("ps:exec", &["paas ps:exec", "paas ps:exec --dyno worker.1 -- ls -l"]),
    ("ps:forward", &["paas ps:forward 9090", "paas ps:forward 8000:5000 --dyno web.2"]),
    ("ps:scale", &["paas ps:scale web=2 worker=1:standard-2x", "paas ps:scale web+1"]),
    ("redis:cli", &["paas redis:cli", "paas redis:cli REDIS_URL -- GET key"]),
    ("releases:rollback", &["paas rollback", "paas rollback v12"]),
    ("routing:set", &["paas routing:set first-byte=60s concurrency=500", "paas routing:set https-only=on hsts=1y"]),
    ("run", &["paas run bash", "paas run -- rake db:migrate", "paas run 'echo $PORT'"]),
    ("webhooks:add", &["paas webhooks:add --include api:release --level notify --url https://example.com/hook"]),
];
