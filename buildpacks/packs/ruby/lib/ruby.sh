# Which Ruby: the stack's where that will do, else one that is compiled, once. Sourced by bin/compile.
# shellcheck shell=bash

# Where Ruby's sources are; the config var RUBY_DOWNLOAD_URL names a mirror.
ruby_sources=https://cache.ruby-lang.org/pub/ruby

choose_ruby() {
  local have wanted code=0
  have=$(ruby -e 'print RUBY_VERSION')
  own_ruby=''
  wanted=$(ruby -rbundler -e '
    version = Bundler::Definition.build("Gemfile", nil, nil).ruby_version
    exit if version.nil?
    print version.versions.join(", ")
    exit(3) unless Gem::Requirement.new(version.versions).satisfied_by?(Gem::Version.new(RUBY_VERSION))
  ' 2>"$run_log") || code=$?
  case $code in
    0) heading "Using Ruby $have" ;;
    3) compile_ruby "$wanted" "$have" ;;
    *)
      grep -v '^$' "$run_log" | head -8 | indent
      fail "The Gemfile can't be read." 'Bundler says why, above.' 'Try `bundle check` on your machine.'
      ;;
  esac
}

# The exact version, which is the lock file's where the Gemfile leaves a choice.
exact_ruby() {
  if [[ $1 =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
    echo "$1"
  else
    sed -nE '/^RUBY VERSION/{n;s/^ *ruby ([0-9]+\.[0-9]+\.[0-9]+).*/\1/p}' Gemfile.lock
  fi
}

# compile_ruby WANTED HAVE: another Ruby, in the slug, and in the cache for the next builds.
compile_ruby() {
  local wanted=$1 have=$2 version home=/app/.heroku/ruby key
  version=$(exact_ruby "$wanted")
  [[ -n $version ]] || fail "The Gemfile asks for Ruby $wanted; the stack ${STACK:-} has Ruby $have." \
    'Which version that is exactly, Gemfile.lock should say, and does not.' \
    'Run `bundle update --ruby`, then: git add Gemfile.lock && git commit'
  [[ ! $version =~ ^(2\.|3\.0\.) ]] || fail \
    "The Gemfile asks for Ruby $wanted; the stack ${STACK:-} has Ruby $have." \
    'Rubies before 3.1 do not work with the OpenSSL 3 of the stack.' \
    "Move the app to a newer Ruby; ruby \"~> ${have%.*}.0\" in the Gemfile needs no compiling."
  link_app "$build_dir"
  own_ruby=$home key="$version ${STACK:-}"
  rm -rf "$build_dir/.heroku/ruby"
  if [[ $(cat "$cache/ruby.key" 2>/dev/null) == "$key" ]] && restore "$cache/ruby.tar" "$build_dir/.heroku/ruby"; then
    heading "Using Ruby $version (kept from an earlier build)"
  else
    heading "Compiling Ruby $version: the stack has $have"
    detail 'This takes some minutes, once. The version of the stack needs none of them.'
    fetch_ruby "$version"
    show_life &
    local life=$!
    (cd "$ruby_source" && ./configure --prefix="$home" --disable-install-doc debugflags=-g0 &&
      make -j"$(nproc)" && make install) >"$run_log" 2>&1 </dev/null || {
      kill "$life" 2>/dev/null || true
      tail -20 "$run_log" | indent
      fail "Ruby $version didn't compile on the stack ${STACK:-}." 'The compiler says why, above.' \
        "Try another fix release; ruby \"~> ${have%.*}.0\" in the Gemfile needs no compiling."
    }
    kill "$life" 2>/dev/null || true
    rm -rf "$ruby_source"
    strip "$home/bin/ruby" 2>/dev/null || true
    rm -rf "$home/lib/"libruby-static.a "$home/share"
    rm -f "$cache/ruby.key"
    keep "$build_dir/.heroku/ruby" "$cache/ruby.tar"
    echo "$key" >"$cache/ruby.key"
  fi
  export PATH=$home/bin:$PATH
  hash -r
}

# A line every half minute, so that nobody takes a long compilation for a dead one.
show_life() {
  local seconds=0
  while sleep 1; do
    seconds=$((seconds + 1))
    ((seconds % 30)) || detail "Still compiling ($seconds s)"
  done
}

# Sets ruby_source to the unpacked sources.
fetch_ruby() {
  local version=$1 base=${RUBY_DOWNLOAD_URL:-$ruby_sources} name archive index wanted_sum
  base=${base%/} name=ruby-$version.tar.gz archive=$(mktemp) ruby_source=$(mktemp -d)
  # The list of all releases has their checksums; a mirror may do without.
  if index=$(curl -fsSL --max-time 30 -- "$base/index.txt" 2>/dev/null); then
    wanted_sum=$(awk -v name="${name%.tar.gz}" '$1 == name && $2 ~ /\.tar\.gz$/ { print $4; exit }' <<<"$index")
    [[ -n $wanted_sum ]] || fail "There is no Ruby $version." "$base/index.txt, the list of all, doesn't have it." \
      'Check the version in the Gemfile.'
  fi
  curl -fsSL --retry 3 --max-time 300 -o "$archive" -- "$base/${version%.*}/$name" 2>"$run_log" || fail \
    "Ruby $version can't be fetched from $base." "$(tail -1 "$run_log")" \
    'Name a mirror that answers by the config var RUBY_DOWNLOAD_URL, or ask for the Ruby of the stack in the Gemfile.'
  if [[ -n ${wanted_sum:-} ]]; then
    echo "$wanted_sum  $archive" | sha256sum --check --status || fail "$name is damaged." \
      'Its checksum is not the published one.' 'Push again.'
  fi
  tar -xzf "$archive" -C "$ruby_source" --strip-components=1
  rm -f "$archive"
}
