# The variables of the build and those of the dynos. Sourced by bin/compile.
# shellcheck shell=bash

set_build_environment() {
  export RACK_ENV=${RACK_ENV:-production}
  if is_rails; then
    export RAILS_ENV=${RAILS_ENV:-$RACK_ENV}
  fi
  export BUNDLE_GEMFILE=$build_dir/Gemfile
  export BUNDLE_WITHOUT=${BUNDLE_WITHOUT:-development:test}
  export BUNDLE_APP_CONFIG=$build_dir/.bundle
  export BUNDLE_USER_CACHE=$cache/bundler-cache
  export BUNDLE_SILENCE_ROOT_WARNING=true BUNDLE_IGNORE_MESSAGES=true
  # How wide this machine is decides how many gems compile at once.
  export BUNDLE_JOBS=${BUNDLE_JOBS:-$(nproc)} MAKEFLAGS=${MAKEFLAGS:--j$(nproc)}
  export PATH=$build_dir/bin:$build_dir/vendor/bundle/bin:$PATH
}

# What every dyno needs, and what the next buildpack of this build needs.
write_runtime_environment() {
  mkdir -p .profile.d
  cat >.profile.d/ruby.sh <<PROFILE
export RACK_ENV=\${RACK_ENV:-production}
export MALLOC_ARENA_MAX=\${MALLOC_ARENA_MAX:-2}
export BUNDLE_GEMFILE=\${BUNDLE_GEMFILE:-\$HOME/Gemfile}
export PATH=\$HOME/bin:\$HOME/vendor/bundle/bin:${own_ruby:+\$HOME/.heroku/ruby/bin:}\$PATH
PROFILE
  if is_rails; then
    cat >>.profile.d/ruby.sh <<'PROFILE'
export RAILS_ENV=${RAILS_ENV:-$RACK_ENV}
export RAILS_LOG_TO_STDOUT=${RAILS_LOG_TO_STDOUT:-enabled}
export RAILS_SERVE_STATIC_FILES=${RAILS_SERVE_STATIC_FILES:-enabled}
PROFILE
  fi
  # Bundler would look for, and download, the version of itself that the lock file names.
  [[ -z ${BUNDLER_VERSION:-} ]] || echo "export BUNDLER_VERSION=$BUNDLER_VERSION" >>.profile.d/ruby.sh
  {
    echo "export RACK_ENV=$RACK_ENV BUNDLE_GEMFILE=\"$build_dir/Gemfile\" BUNDLE_WITHOUT=\"$BUNDLE_WITHOUT\""
    echo "export PATH=\"$build_dir/bin:$build_dir/vendor/bundle/bin:${own_ruby:+$own_ruby/bin:}\$PATH\""
    [[ -z ${RAILS_ENV:-} ]] || echo "export RAILS_ENV=$RAILS_ENV"
  } >"$pack/export"
}
