# shellcheck shell=bash
# Packs one after the other on the same source.
case_begin several-node-static node-npm
rm "$dir/build/server.js"
sed -i 's#"build": ".*"#"build": "mkdir dist \&\& mustache view.json page.mustache dist/index.html"#' "$dir/build/package.json"
claim 'node builds what static serves' build node static
claim 'the web type is that of the last' grep -q static/serve <(type_of web)
dyno "$(type_of web)"
claim 'answers' answers_with / 'made by the build'
stop

case_begin several-node-ruby ruby-rack
cp "$here/fixtures/node-plain/package.json" "$dir/build/"
config BUNDLE_MIRROR__ALL http://127.0.0.1:9/
cat >"$dir/build/Rakefile" <<'RAKE'
task("assets:precompile") { sh "node --print '`made by ${process.version}`' >made.txt" }
RAKE
sed -i 's/^gem "rack".*/&\ngem "rake"/' "$dir/build/Gemfile"
sed -i 's/^    redis (4/    rake (13.0.6)\n&/; s/^  sidekiq (~/  rake\n&/' "$dir/build/Gemfile.lock"
claim 'ruby finds the node of before' build node ruby
claim 'compiles assets with it' grep -q 'made by v24' "$dir/build/made.txt"
dyno "$(type_of web)"
claim 'the web type is that of the last' answers_with / 'rack production'
stop

case_begin several-python-node python-pip
cp "$here/fixtures/node-plain/package.json" "$dir/build/"
claim 'python and node in one app' build node python
claim 'both are on PATH' grep -q 'v24.*Python 3.11' <(run_in_dyno 'echo $(node --version) $(python --version)')
dyno "$(type_of web)"
claim 'answers' answers_with / 'flask /app/.heroku/python'
stop
