# rake assets:precompile, for the apps that have it. Sourced by bin/compile.
# shellcheck shell=bash

compile_assets() {
  [[ -f Rakefile || -f rakefile || -f Rakefile.rb ]] || return 0
  locked rake >/dev/null || return 0
  if compgen -G 'public/assets/.sprockets-manifest-*.json' >/dev/null ||
    compgen -G 'public/assets/manifest-*.json' >/dev/null || [[ -f public/assets/.manifest.json ]]; then
    heading 'Assets are in the source already (public/assets has a manifest)'
    return
  fi
  # Never used, but Rails refuses to start without them.
  local settings=(SECRET_KEY_BASE="${SECRET_KEY_BASE:-only-for-the-build}" SECRET_KEY_BASE_DUMMY=1)
  if [[ -z ${DATABASE_URL:-} ]] && locked pg >/dev/null; then
    settings+=(DATABASE_URL=postgres://user:password@127.0.0.1/database)
  fi
  local tasks
  if ! tasks=$(env "${settings[@]}" bundle exec rake -P 2>"$run_log" </dev/null); then
    is_rails || return 0
    heading 'Looking for the task assets:precompile'
    tail -15 "$run_log" | indent
    fail 'The Rakefile could not be loaded, so that nobody knows whether there are assets.' \
      'The reason is above. Config vars are set during the build; the database and add-ons are out of reach.' \
      'Try: RAILS_ENV=production SECRET_KEY_BASE=x bundle exec rake -P'
  fi
  grep -qx 'rake assets:precompile' <<<"$tasks" || return 0

  heading 'Compiling assets'
  # Assets of earlier releases stay, because pages that were served then still ask for them.
  [[ ! -f $cache/public-assets.tar || -e public/assets ]] || restore "$cache/public-assets.tar" public/assets || true
  [[ ! -f $cache/tmp-assets.tar ]] || restore "$cache/tmp-assets.tar" tmp/cache/assets || true
  local started=$SECONDS
  run env "${settings[@]}" bundle exec rake assets:precompile || fail \
    'rake assets:precompile failed.' 'Its output is above.' \
    'Try: RAILS_ENV=production SECRET_KEY_BASE=x bundle exec rake assets:precompile' \
    'If it needs Node: paas buildpacks:add --index 1 heroku/nodejs'
  detail "Done in $((SECONDS - started)) s"
  ! grep -qx 'rake assets:clean' <<<"$tasks" ||
    env "${settings[@]}" bundle exec rake assets:clean >"$run_log" 2>&1 </dev/null || true
  [[ ! -d public/assets ]] || keep public/assets "$cache/public-assets.tar"
  [[ ! -d tmp/cache/assets ]] || keep tmp/cache/assets "$cache/tmp-assets.tar"
  rm -rf tmp/cache/assets
}
