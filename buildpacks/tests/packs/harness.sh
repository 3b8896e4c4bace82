# A build container, a dyno, and a few claims about them. Sourced by run.
# shellcheck shell=bash

packs=$(cd "$here/../../packs" && pwd)
# In memory where there is room: node_modules and the like are thousands of files.
shm_free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -1) || shm_free=0
if [[ -z ${TMPDIR:-} && ${shm_free:-0} -gt 4000000 ]]; then
  work=$(mktemp -d -p /dev/shm)
else
  work=$(mktemp -d)
fi
docker=${DOCKER:-docker}
passed=0 failed=0 dir=
# Everything made here has this label.
label=paas.packs-test=$$
stack=debian-12

cleanup() {
  "$docker" ps -aq --filter "label=$label" | xargs -r "$docker" rm -f >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The limits of a build or dyno container, and this machine's CA bundle.

container_options=(--label "$label" --read-only --cap-drop ALL --security-opt no-new-privileges
  --user 10001:10001 --env HOME=/app --env LANG=C.UTF-8 --memory 1g --pids-limit 512)
if [[ -s /etc/ssl/certs/ca-certificates.crt ]]; then
  container_options+=(--volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt)
fi
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY NPM_CONFIG_REGISTRY PIP_INDEX_URL UV_INDEX_URL; do
  [[ -z ${!name:-} ]] || container_options+=(--env "$name")
done

# case_begin NAME FIXTURE: a fresh app from a fixture, with an empty cache and no config vars.
case_begin() {
  [[ -z ${dir:-} ]] || rm -rf "$dir"
  case_name=$1 dir=$work/$1
  mkdir -p "$dir"/{build,app,cache,env,tmp}
  lay "$2"
  printf '\n== %s\n' "$case_name"
}

# A later push of the same app: fresh source, the cache of before.
push_again() {
  rm -rf "$dir/build" "$dir/app" "$dir/tmp"
  mkdir -p "$dir"/{build,app,tmp}
  lay "$1"
}

# lay FIXTURE: the source. Its lock file is made here, as its developer makes it: what fits the
# gems of a stack or the package index of today would not fit those of a year later.
lay() {
  local image=debian-12 network=bridge list file words lock=$work/locks/$1
  cp -a "$here/fixtures/$1/." "$dir/build/"
  case $1 in
    rails | ruby-rack) list=Gemfile file=Gemfile.lock network=none words='bundle lock --local' ;;
    python-uv) list=pyproject.toml file=uv.lock words='pip install -q --target /tmp/uv uv && /tmp/uv/bin/uv lock' ;;
    python-pipenv) list=Pipfile file=Pipfile.lock words='pip install -q --target /tmp/tool pipenv && PYTHONPATH=/tmp/tool python3 -m pipenv lock' ;;
    *) return 0 ;;
  esac
  [[ $1 != rails ]] || image=debian-12-rails
  if [[ ! -s $lock/$file ]]; then
    mkdir -p "$lock"
    cp "$here/fixtures/$1/$list" "$lock/"
    chown -R 10001:10001 "$lock"
    "$docker" run --rm "${container_options[@]}" --network "$network" --env HOME=/tmp --tmpfs /tmp:exec --volume "$lock:/lock" \
      --workdir /lock "paas/stack:$image" bash -c "$words" >"$lock/log" 2>&1 || sed 's/^/    | /' "$lock/log"
  fi
  cp "$lock/$file" "$dir/build/"
}

config() { printf %s "$2" >"$dir/env/$1"; }

# build PACK...: detect, compile and release of each pack, in one container. Exit code as theirs.
build() {
  local pack code=0
  rm -rf "$dir/packs" && mkdir "$dir/packs"
  for pack in "$@"; do
    cp -R "$packs/$pack" "$dir/packs/$pack"
    # As the catalog does.
    mkdir -p "$dir/packs/$pack/lib"
    cp "$packs"/lib/* "$dir/packs/$pack/lib/"
  done
  chown -R 10001:10001 "$dir"
  "$docker" run --rm "${container_options[@]}" ${extra_options[@]+"${extra_options[@]}"} \
    --env "STACK=$stack" --env SOURCE_VERSION=0123456789abcdef \
    --volume "$dir/tmp:/tmp" --volume "$dir/build:/tmp/build_test" --volume "$dir/app:/app" \
    --volume "$dir/cache:/paas/cache" --volume "$dir/env:/paas/env:ro" --volume "$dir/packs:/packs" \
    --volume "$here/build.sh:/build.sh:ro" --workdir /tmp/build_test \
    "paas/stack:$stack" bash /build.sh "$@" >"$dir/log" 2>&1 || code=$?
  sed 's/^/    | /' "$dir/log" >>"$work/logs"
  return "$code"
}
extra_options=()

# dyno COMMAND: starts it as a dyno: the build at /app, .profile.d, then the command. With PORT.
dyno() {
  rm -rf "$dir/dyno-tmp"
  mkdir "$dir/dyno-tmp" && chown 10001:10001 "$dir/dyno-tmp"
  dyno_id=$("$docker" run --detach --init "${container_options[@]}" ${extra_options[@]+"${extra_options[@]}"} \
    --env PORT=12345 --env DYNO=web.1 --volume "$dir/build:/app" --volume "$dir/dyno-tmp:/tmp" --workdir /app \
    "paas/stack:$stack" bash -c 'for f in .profile.d/*.sh; do [ ! -f "$f" ] || . "$f"; done; eval "exec $0"' "$1")
}

# type NAME: the command of a process type, from the Procfile, else from bin/release.
type_of() {
  { [[ ! -f $dir/build/Procfile ]] || sed -nE "s/^$1:[[:space:]]*//p" "$dir/build/Procfile"
    sed -nE "/^default_process_types:/,\$s/^  $1: //p" "$dir/build/../tmp/release.yml"; } | head -1
}

# run_in_dyno COMMAND: what it prints; its exit code.
run_in_dyno() {
  dyno "$1"
  local code
  code=$(timeout 60 "$docker" wait "$dyno_id")
  "$docker" logs "$dyno_id" 2>&1
  "$docker" rm -f "$dyno_id" >/dev/null
  return "${code:-1}"
}

# address_of CONTAINER: its address in its one network.
address_of() { "$docker" inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }

# get PATH [CURL OPTION]...: asks the dyno, once it listens. The answer is in $answer.
get() {
  local path=$1 address deadline=$((SECONDS + 60))
  shift
  address=$(address_of "$dyno_id")
  while ! (exec 3<>"/dev/tcp/$address/12345") 2>/dev/null; do
    if ((SECONDS > deadline)) || [[ $("$docker" inspect --format '{{.State.Running}}' "$dyno_id") != true ]]; then
      answer="nothing listens: $("$docker" logs "$dyno_id" 2>&1 | tail -20)"
      return 1
    fi
    sleep 0.1
  done
  answer=$(curl -sS --noproxy '*' --max-time 20 "$@" "http://$address:12345$path" 2>&1)
}

stop() {
  "$docker" stop --time 15 "$dyno_id" >/dev/null
  "$docker" rm -f "$dyno_id" >/dev/null
}

ok() {
  passed=$((passed + 1))
  printf '   ok   %s\n' "$1"
}

not_ok() {
  failed=$((failed + 1))
  printf '   FAIL %s\n' "$1"
  shift
  printf '%s\n' "$@" | sed 's/^/        /'
  # Once is enough.
  : >"$dir/log"
}

# claim WORDS COMMAND...: the command succeeds.
claim() {
  local words=$1
  shift
  if "$@"; then ok "$words"; else not_ok "$words" "failed: $*" "$(tail -25 "$dir/log" 2>/dev/null)"; fi
}

refute() {
  local words=$1
  shift
  if "$@"; then not_ok "$words" "should fail: $*" "$(tail -25 "$dir/log" 2>/dev/null)"; else ok "$words"; fi
}

says() { grep -qE -- "$1" "$dir/log"; }
# answers_with PATH TEXT [CURL OPTION]...
answers_with() {
  local wanted=$2
  if get "$1" "${@:3}" && [[ $answer == *"$wanted"* ]]; then return 0; fi
  echo "        got: ${answer:0:600}"
  return 1
}
