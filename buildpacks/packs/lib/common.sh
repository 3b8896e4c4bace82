# What all packs share. Each has it as its own lib/common.sh where it is installed: the catalog
# (buildpacks/src/catalog.rs) puts it there. Sourced, never run.
# shellcheck shell=bash

# A step, a detail of it, something to know, as Heroku's builds print them.
heading() { printf -- '-----> %s\n' "$*"; }
detail() { printf '       %s\n' "$@"; }
warn() { printf ' !     %s\n' "$@"; }

# fail WHAT WHY NEXT...: ends the build. WHAT failed, WHY, and what to do NEXT, a line each.
fail() {
  printf ' !\n'
  printf ' !     %s\n' "$@"
  printf ' !\n'
  exit 1
}

# Indents what comes through, line by line as it comes.
indent() { sed -u 's/^/       /'; }

# run COMMAND...: its output indented, its exit code kept. The output is in $run_log afterwards.
run_log=$(mktemp)
run() {
  local code=0
  "$@" 2>&1 </dev/null | tee "$run_log" | indent || code=${PIPESTATUS[0]}
  return "$code"
}

# load_env ENV_DIR: the app's config vars, but for those that would break the build itself.
load_env() {
  local file name
  [[ -d ${1:-} ]] || return 0
  for file in "$1"/*; do
    [[ -f $file ]] || continue
    name=${file##*/}
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue
    case $name in
      PATH | HOME | PWD | SHELL | IFS | CDPATH | BASH_ENV | ENV | TMPDIR | PORT | DYNO | STACK) ;;
      GIT_DIR | CPATH | CPPATH | LD_PRELOAD | LD_LIBRARY_PATH | LIBRARY_PATH | PYTHONHOME | PYTHONPATH) ;;
      *) export "$name=$(cat "$file")" ;;
    esac
  done
}

# A CA bundle that somebody gave for one client serves the others too.
share_ca_bundle() {
  local bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} name
  [[ -s $bundle ]] || return 0
  for name in SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO; do
    [[ -n ${!name:-} ]] || export "$name=$bundle"
  done
}

# answers URL: whether a server is there, in a few seconds, whatever it says but "not now".
answers() {
  local status
  status=$(curl -sS -o /dev/null --connect-timeout 5 --max-time 10 -w '%{http_code}' -- "$1" 2>"$run_log") || true
  [[ $status =~ ^[1234] ]]
}

# plain ADDRESS: without query, user and password, for showing it.
plain() { sed -E 's,(://[^?[:space:]]*)\?[^[:space:]]*,\1,g; s,://[^/?#[:space:]]*@,://,g' <<<"$1"; }

# keep DIRECTORY FILE: what is in it, as one file of the cache: thousands of small ones are slow.
# Killed half way, it leaves what was there before.
keep() {
  mkdir -p "$(dirname "$2")"
  if tar -C "$1" -cf "$2.part" . && mv "$2.part" "$2"; then return; fi
  rm -f "$2" "$2.part"
  warn "The cache can't be written; the next build takes longer."
}

# restore FILE DIRECTORY: the directory is what it was when kept.
restore() {
  rm -rf "$2"
  mkdir -p "$2"
  tar -C "$2" -xf "$1" 2>/dev/null && return
  # Not a reason to fail: without it the build only takes longer.
  rm -rf "$1" "$2"
  return 1
}

# link_app BUILD_DIR: /app/.heroku is the slug's .heroku during the build too, because installed programs hold their own path.
link_app() {
  local build_dir=$1
  mkdir -p "$build_dir/.heroku"
  [[ $build_dir != /app ]] || return 0
  if [[ -d /app/.heroku && ! -L /app/.heroku ]]; then
    cp -a /app/.heroku/. "$build_dir/.heroku/"
    rm -rf /app/.heroku
  fi
  ln -sfn "$build_dir/.heroku" /app/.heroku
}

# The hash of what comes in.
fingerprint() { sha256sum | cut -c1-32; }
