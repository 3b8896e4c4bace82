# Where an app's gems come from, and getting them. Sourced by bin/compile.
#
#   vendored  vendor/cache has them
#   index     a gem index answers: the one of the lock file, or its mirror
#   system    no index answers: the gems that the stack itself has
# shellcheck shell=bash

# The address that Bundler would really ask for SOURCE, by the mirror settings.
mirror_of() {
  bundle config get "mirror.$1" 2>/dev/null | sed -nE 's/.*: "([^"]*)"$/\1/p' | head -1 | grep . ||
    bundle config get mirror.all 2>/dev/null | sed -nE 's/.*: "([^"]*)"$/\1/p' | head -1 | grep . ||
    echo "$1"
}

# Sets gem_mode, and silent_source to the first index that doesn't answer.
choose_gem_mode() {
  local source address
  if compgen -G 'vendor/cache/*.gem' >/dev/null; then
    gem_mode=vendored
    return
  fi
  # GEM_SOURCE is the short way to name a mirror for everything.
  [[ -z ${GEM_SOURCE:-} || -n ${BUNDLE_MIRROR__ALL:-} ]] || export BUNDLE_MIRROR__ALL=$GEM_SOURCE
  gem_mode=index silent_source=''
  while IFS= read -r source; do
    address=$(mirror_of "$source")
    if ! answers "${address%/}/versions"; then
      gem_mode=system silent_source=$(plain "$address") silent_reason=$(plain "$(tail -1 "$run_log")")
      return
    fi
  done < <(gem_sources)
}

install_gems() {
  choose_gem_mode
  rm -rf vendor/bundle
  case $gem_mode in
    vendored) install_own "Installing gems from vendor/cache" --local ;;
    index) install_own "Installing gems" ;;
    system) install_system ;;
  esac
  make_binstubs
}

# The app's own settings stay (compiler flags of gems, mirrors), but for where and what to install.
configure_bundler() {
  local own=''
  mkdir -p .bundle
  [[ ! -f .bundle/config ]] ||
    own=$(grep -vE '^(---|BUNDLE_(PATH.*|BIN|DEPLOYMENT|FROZEN|WITHOUT|WITH|DISABLE_SHARED_GEMS):)' .bundle/config || true)
  {
    echo ---
    [[ -z $own ]] || echo "$own"
    printf '%s\n' "$@" 'BUNDLE_FROZEN: "true"' "BUNDLE_WITHOUT: \"$BUNDLE_WITHOUT\""
  } >"$run_log.config"
  mv "$run_log.config" .bundle/config
}

# Gems of the app's own, in vendor/bundle, kept between builds.
install_own() {
  local title=$1 key
  shift
  heading "$title with Bundler $(bundle --version | grep -oE '[0-9]+(\.[0-9]+)+' | head -1)"
  key=$( (ruby -v && echo "${STACK:-} $BUNDLE_WITHOUT" && cat Gemfile.lock) | fingerprint)
  # Those of another lock file are a good start too, but not those of another Ruby.
  if [[ $(cat "$cache/bundle.ruby" 2>/dev/null) == "$(ruby -v) ${STACK:-}" ]]; then
    restore "$cache/bundle.tar" vendor/bundle || true
  fi
  configure_bundler 'BUNDLE_PATH: "vendor/bundle"' 'BUNDLE_DEPLOYMENT: "true"'
  run bundle install --retry 3 "$@" || explain_failed_install
  if [[ $key != "$(cat "$cache/bundle.key" 2>/dev/null)" || ! -f $cache/bundle.tar ]]; then
    bundle clean --force >/dev/null 2>&1 || true
    rm -f "$cache"/bundle.{key,ruby}
    keep vendor/bundle "$cache/bundle.tar"
    echo "$key" >"$cache/bundle.key"
    echo "$(ruby -v) ${STACK:-}" >"$cache/bundle.ruby"
  fi
  # What gems are made from is of no use to dynos.
  rm -rf vendor/bundle/ruby/*/cache
}

# The stack's own gems, when there is nothing else: honest about it, because versions are few.
install_system() {
  BUNDLER_VERSION=$(ruby -rbundler -e 'print Bundler::VERSION')
  export BUNDLER_VERSION
  heading 'Using the gems of the stack'
  detail "The gem index $silent_source doesn't answer${silent_reason:+ ($silent_reason)}," \
    "and the app has no vendor/cache." \
    'Name another index by the config var BUNDLE_MIRROR__ALL, or run `bundle package` and commit vendor/cache.'
  configure_bundler 'BUNDLE_PATH__SYSTEM: "true"'
  run bundle install --local || fail \
    "The app's gems can't be had." \
    "The gem index $silent_source doesn't answer, and the stack hasn't these gems in these versions (see above)." \
    'Give the build a gem index that answers: paas config:set BUNDLE_MIRROR__ALL=https://…' \
    'Or bring the gems along: bundle package && git add vendor/cache && git commit'
}

explain_failed_install() {
  if grep -qE 'lockfile|frozen|deployment mode' "$run_log" && grep -qiE 'Gemfile' "$run_log" &&
    ! grep -qE 'native extension|Could not find' "$run_log"; then
    fail 'Bundler refused the Gemfile.lock.' "It doesn't fit the Gemfile (see above)." \
      'Run `bundle install`, then: git add Gemfile.lock && git commit'
  elif grep -q 'Failed to build gem native extension' "$run_log"; then
    fail "A gem's native extension didn't compile." "The compiler's words are above; often a library is missing." \
      'The stack has headers for PostgreSQL, MySQL, SQLite, OpenSSL, libyaml, libffi, readline and zlib.'
  elif [[ $gem_mode == vendored ]]; then
    fail 'vendor/cache lacks gems that Gemfile.lock names (see above).' \
      'With vendor/cache present, no gem index is asked.' \
      'Run `bundle package --all-platforms`, commit vendor/cache, and push again.'
  fi
  fail 'Bundler could not install the gems.' 'Its own words are above.' \
    'If a gem index was out of reach, push again, or name a mirror by the config var BUNDLE_MIRROR__ALL.'
}

# So that a Procfile may say `sidekiq` or `puma` as well as `bundle exec puma`.
make_binstubs() {
  if ! BUNDLE_FROZEN=true bundle binstubs --all --force --path vendor/bundle/bin >"$run_log" 2>&1; then
    warn "No short names for the programs of gems; use \`bundle exec\`:" "$(tail -1 "$run_log")"
  fi
  # Set by the command above, and in the way of an app's own bin/.
  sed -i '/^BUNDLE_BIN:/d' .bundle/config
}
