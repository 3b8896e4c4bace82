# shellcheck shell=bash
# Addresses that refuse at once stand for a gem index that is out of reach.
no_index() { config BUNDLE_MIRROR__ALL http://127.0.0.1:9/; }

# A gem index of our own, in a container: its address is in $index.
own_gem_index() {
  mkdir -p "$work/index/gems" "$work/gem"
  cp -a "$here/fixtures/gems/greeter/." "$work/gem/"
  chown -R 10001:10001 "$work/index" "$work/gem"
  index_id=$("$docker" run --detach --init --label "$label" --user 10001:10001 --env HOME=/tmp \
    --volume "$work/index:/index" --volume "$work/gem:/gem" --workdir /gem paas/stack:debian-12 bash -c '
      gem build --output /index/gems/greeter-1.2.0.gem greeter.gemspec && gem generate_index --directory /index &&
      cd /index && exec python3 -m http.server 8808')
  index=http://$(address_of "$index_id"):8808
  for _ in {1..100}; do
    ! curl -s --noproxy '*' -o /dev/null "$index/specs.4.8.gz" || return 0
    sleep 0.1
  done
  "$docker" logs "$index_id"
  return 1
}

case_begin ruby-rack ruby-rack
no_index
claim 'builds a rack app with the gems of the stack' build ruby
claim 'says that it uses the gems of the stack' says 'Using the gems of the stack'
claim 'has a default web type' grep -q 'rackup config.ru' <(type_of web)
dyno "$(type_of web)"
claim 'answers' answers_with / 'rack production 2.2'
stop
dyno 'puma -p $PORT'
claim 'bare puma answers' answers_with / 'rack production 2.2'
stop
claim 'bare sidekiq runs' grep -q 'sidekiq\|Sidekiq' <(run_in_dyno 'sidekiq --version')

case_begin ruby-no-lock ruby-no-lock
refute 'refuses an app without Gemfile.lock' build ruby
claim 'says what to do' says 'git add Gemfile.lock'

case_begin ruby-merge ruby-merge
refute 'refuses an unfinished merge' build ruby
claim 'says so' says 'unfinished merge'

case_begin ruby-broken-lock ruby-broken-lock
refute 'refuses a broken Gemfile.lock' build ruby
claim 'says so' says "Gemfile.lock can't be read"

case_begin ruby-other-version ruby-rack
sed -i 's/^ruby .*/ruby "2.7.8"/' "$dir/build/Gemfile"
refute 'refuses a Ruby that cannot run on the stack' build ruby
claim 'says why' says 'asks for Ruby 2.7.8; the stack debian-12 has Ruby 3.1'
sed -i 's/^ruby .*/ruby "9.8.7"/' "$dir/build/Gemfile"
config RUBY_DOWNLOAD_URL http://127.0.0.1:9
refute 'refuses a Ruby that cannot be fetched' build ruby
claim 'says what to do' says 'RUBY_DOWNLOAD_URL'

case_begin ruby-broken-gemfile ruby-rack
echo 'gem "x' >>"$dir/build/Gemfile"
refute 'refuses a Gemfile with a syntax error' build ruby
claim 'shows it' says 'syntax error|unterminated'

case_begin ruby-missing-gem ruby-rack
no_index
sed -i 's/^gem "rack".*/&\ngem "left_pad_of_ruby"/' "$dir/build/Gemfile"
sed -i 's/^    rack (2.2.*/    left_pad_of_ruby (1.0.0)\n&/; s/^  rack .*/  left_pad_of_ruby\n&/' "$dir/build/Gemfile.lock"
refute 'refuses gems that nobody has' build ruby
claim 'says how to bring them' says 'bundle package'

case_begin ruby-rails rails
no_index
stack=debian-12-rails
claim 'builds a Rails app' build ruby
claim 'compiles its assets' says 'Compiling assets'
claim 'has a default web type' grep -q 'bin/rails server' <(type_of web)
claim 'brings SECRET_KEY_BASE' grep -qE '^  SECRET_KEY_BASE: [0-9a-f]{128}$' "$dir/tmp/release.yml"
extra_options=(--env SECRET_KEY_BASE=0123456789abcdef0123456789abcdef)
dyno "$(type_of web)"
claim 'answers in production, with the digest of an asset' answers_with / 'rails production /assets/site-'
css=${answer#* production }
claim 'serves that asset' answers_with "${css% *}" 'color: teal'
claim 'logs to stdout' grep -q 'Started GET' <("$docker" logs "$dyno_id" 2>&1)
stop
extra_options=()
claim 'rake type runs' grep -q 'rake, version' <(run_in_dyno "$(type_of rake) --version")
push_again rails
claim 'builds again' build ruby

push_again rails
echo '/*= require no-such-file */' >"$dir/build/app/assets/stylesheets/site.css"
refute 'refuses assets that fail' build ruby
claim 'shows why' says 'assets:precompile failed'
push_again rails
echo 'raise "boom at load"' >>"$dir/build/config/application.rb"
refute 'refuses a Rakefile that fails to load' build ruby
claim 'shows why' says 'boom at load'
stack=debian-12

case_begin ruby-own-index ruby-own-index
claim 'a gem index of our own is up' own_gem_index
config BUNDLE_MIRROR__ALL "$index/"
claim 'installs from an index, compiling the native part' build ruby
claim 'with bundler in deployment mode' says 'Installing greeter 1.2.0 with native extensions'
dyno greet-server
claim 'the program of a gem is on PATH and answers' answers_with / 'hello from C'
stop
push_again ruby-own-index
claim 'builds again' build ruby
claim 'from the cache' says 'Using greeter 1.2.0'
push_again ruby-own-index
sed -i 's/~> 1.0"$/~> 2.0"/' "$dir/build/Gemfile"
refute 'refuses a lock file that does not fit the Gemfile' build ruby
claim 'says what to do' says 'Bundler refused the Gemfile.lock'
push_again ruby-own-index
mkdir -p "$dir/build/vendor/cache"
cp "$work/index/gems/greeter-1.2.0.gem" "$dir/build/vendor/cache/"
rm -rf "$dir/cache/ruby"
config BUNDLE_MIRROR__ALL http://127.0.0.1:9/
claim 'installs from vendor/cache without any index' build ruby
claim 'says so' says 'from vendor/cache'
dyno greet-server
claim 'and that answers' answers_with / 'hello from C'
stop
"$docker" rm -f "$index_id" >/dev/null
