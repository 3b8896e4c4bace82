# What can be known before anything is installed. Sourced by bin/compile.
# shellcheck shell=bash

check_lock_file() {
  [[ -f Gemfile.lock ]] || fail 'The app has no Gemfile.lock.' \
    'It says which versions of which gems the app was tried with; without it every build would differ.' \
    'Run `bundle install`, then: git add Gemfile.lock && git commit'
  if grep -qE '^(<<<<<<<|=======|>>>>>>>)' Gemfile.lock; then
    fail "Gemfile.lock can't be read." 'It has marks of an unfinished merge (<<<<<<<, =======, >>>>>>>).' \
      'Resolve them, run `bundle install`, and commit Gemfile.lock.'
  fi
  # A lock file from Windows has line ends that some of Bundler's parsers take for names.
  if grep -q $'\r$' Gemfile.lock; then
    sed -i 's/\r$//' Gemfile.lock
    warn 'Gemfile.lock has Windows line ends; the build goes on with Unix ones.'
  fi
  local problem
  # shellcheck disable=SC2016 # Ruby, not bash.
  problem=$(ruby -rbundler -e '
    lock = Bundler::LockfileParser.new(File.read("Gemfile.lock"))
    abort "It lists no platform and no gem." if lock.platforms.empty? && lock.specs.empty?
  ' 2>&1 >/dev/null) || fail "Gemfile.lock can't be read." "$(head -1 <<<"$problem")" \
    'Delete it, run `bundle install`, and commit what that makes.'
}
