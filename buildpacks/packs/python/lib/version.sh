# Which Python: the stack's where that will do, else one that uv can get. Sourced by bin/compile.
# shellcheck shell=bash

# Sets wanted (such as 3.12 or 3.12.4; empty: any) and wanted_from.
wanted_python() {
  wanted='' wanted_from=''
  if [[ -f .python-version ]]; then
    wanted=$(sed 's/#.*//; s/[[:space:]]//g; /^$/d' .python-version | head -1) wanted_from=.python-version
  elif [[ -f runtime.txt ]]; then
    wanted=$(tr -d '[:space:]' <runtime.txt) wanted_from=runtime.txt
  elif [[ $manager == pipenv ]]; then
    wanted=$(python3 -c 'import json; r = json.load(open("Pipfile.lock"))["_meta"].get("requires") or {}
print(r.get("python_full_version") or r.get("python_version") or "")' 2>/dev/null || true) wanted_from=Pipfile.lock
  fi
  wanted=${wanted#python-} wanted=${wanted#cpython-}
  [[ -z $wanted || $wanted =~ ^3\.[0-9]+(\.[0-9]+)?$ ]] || fail \
    "$wanted_from asks for '$wanted', which is not a Python version." \
    'It must be a number such as 3.12 (or 3.12.4).' "Put it right, or delete $wanted_from to use the stack's Python."
}

# Sets python, the interpreter that the app's environment is made from, and python_version.
choose_python() {
  local have
  wanted_python
  have=$(python3 -c 'import platform; print(platform.python_version())')
  heading 'Installing Python'
  if [[ -z $wanted ]] && ! project_takes "$have"; then
    wanted=$(project_minimum) wanted_from='requires-python of pyproject.toml'
  fi
  if [[ -z $wanted ]]; then
    detail "The app asks for no version in .python-version; using the stack's"
  else
    detail "Asked for by $wanted_from: $wanted"
  fi
  # Fixes of the same series are the stack's affair, as security updates are.
  if [[ -z $wanted || $wanted == "$have" || $wanted == "${have%.*}" || ${wanted%.*} == "${have%.*}" ]]; then
    [[ -z $wanted || $have == "$wanted"* ]] || warn "The stack's fix release differs: $have instead of $wanted."
    python=$stack_python python_version=$have
  else
    fetch_python "$have"
  fi
  detail "Using Python $python_version"
}

# Whether pyproject.toml's requires-python has a version in it.
project_takes() {
  [[ $manager == uv ]] || return 0
  python3 - "$1" <<'PYTHON'
import sys
try:
    import tomllib
    from pip._vendor.packaging.specifiers import SpecifierSet
    with open("pyproject.toml", "rb") as file:
        wanted = tomllib.load(file).get("project", {}).get("requires-python", "")
    sys.exit(sys.argv[1] not in SpecifierSet(wanted))
except (ImportError, OSError, ValueError):
    sys.exit(0)  # uv itself says what is wrong with it
PYTHON
}

project_minimum() { sed -nE 's/^requires-python *= *"[^0-9]*([0-9]+\.[0-9]+).*/\1/p' pyproject.toml | head -1; }

# Another Python, by uv, inside the slug.
fetch_python() {
  local home=/app/.heroku/python-runtime
  use_uv
  mkdir -p "$build_dir/.heroku/python-runtime"
  if [[ $(cat "$cache/runtime.key" 2>/dev/null) == "$wanted ${STACK:-}" ]] &&
    restore "$cache/runtime.tar" "$build_dir/.heroku/python-runtime"; then
    :
  elif UV_PYTHON_INSTALL_DIR=$home uv python install --no-bin "$wanted" >"$run_log" 2>&1; then
    rm -f "$cache/runtime.key"
    keep "$build_dir/.heroku/python-runtime" "$cache/runtime.tar"
    echo "$wanted ${STACK:-}" >"$cache/runtime.key"
  else
    tail -4 "$run_log" | indent
    fail "Python $wanted can't be had." \
      "The stack ${STACK:-} has Python $1, and uv could not get another one (see above)." \
      "Write ${1%.*} in .python-version to use the stack's," \
      'or name a mirror of Python builds that answers by the config var UV_PYTHON_INSTALL_MIRROR.'
  fi
  python=$(UV_PYTHON_INSTALL_DIR=$home uv python find --managed-python "$wanted" 2>"$run_log") ||
    fail "Python $wanted was installed, but can't be found." "$(tail -1 "$run_log")" 'Purge the build cache and push again.'
  # The path by which dynos see it, whatever uv makes of the link.
  python=${python/#"$build_dir/.heroku/python-runtime"/$home}
  python_version=$("$python" -c 'import platform; print(platform.python_version())')
}
