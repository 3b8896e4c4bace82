# Programs that a build needs and a dyno doesn't, kept in the cache. Sourced by bin/compile.
# shellcheck shell=bash

stack_python=$(command -v python3)

# tool NAME REQUIREMENT: NAME is on PATH afterwards, or the build ends.
tool() {
  local name=$1 requirement=$2 home=$cache/tools/$1
  if [[ $(cat "$home/.requirement" 2>/dev/null) != "$requirement ${STACK:-}" ]]; then
    rm -rf "$home"
    "$stack_python" -m pip --disable-pip-version-check install --quiet --no-warn-script-location --target "$home" \
      --cache-dir "$cache/pip" "$requirement" >"$run_log" 2>&1 || {
      tail -5 "$run_log" | indent
      fail "$name can't be installed." 'pip says why, above.' \
        'If PyPI is out of reach, name another index by the config var PIP_INDEX_URL.'
    }
    echo "$requirement ${STACK:-}" >"$home/.requirement"
  fi
  export PATH=$PATH:$home/bin
}

# uv also gets its settings from pip's, which people know.
use_uv() {
  [[ -z ${PIP_INDEX_URL:-} || -n ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]] || export UV_DEFAULT_INDEX=$PIP_INDEX_URL
  [[ -z ${PIP_EXTRA_INDEX_URL:-} || -n ${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-} ]] || export UV_INDEX=$PIP_EXTRA_INDEX_URL
  export UV_CACHE_DIR=$cache/uv UV_LINK_MODE=copy UV_NO_PROGRESS=1
  tool uv 'uv>=0.8'
}

# A program of a pip --target directory needs to be told where its modules are.
pipenv() { PYTHONPATH=$cache/tools/pipenv "$stack_python" -m pipenv "$@"; }

run_hook() {
  [[ -f $1 ]] || return 0
  heading "Running $1"
  run bash "$1" || fail "$1 failed." 'Its output is above.' 'It runs in the root of the source, with the config vars set.'
}
