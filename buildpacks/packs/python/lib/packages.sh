# Which lists of packages an app has, and installing them. Sourced by bin/compile.
# shellcheck shell=bash

choose_manager() {
  local found=()
  [[ ! -f Pipfile && ! -f Pipfile.lock ]] || found+=(pipenv)
  [[ ! -f requirements.txt ]] || found+=(pip)
  [[ ! -f uv.lock ]] || found+=(uv)
  manager=${found[0]:-none}
  if ((${#found[@]} > 1)); then
    warn "The app lists its packages more than once: ${found[*]}." \
      "The build uses $manager; delete the files of the others."
  fi
  if [[ $manager == pipenv && ! -f Pipfile.lock ]]; then
    fail 'The app has a Pipfile but no Pipfile.lock.' 'Without one every build would install other versions.' \
      'Run `pipenv lock`, then: git add Pipfile.lock && git commit'
  elif [[ $manager == uv && ! -f pyproject.toml ]]; then
    fail 'The app has an uv.lock but no pyproject.toml.' 'uv needs both.' 'Commit pyproject.toml too.'
  elif [[ $manager == none && -f poetry.lock ]]; then
    fail 'The app lists its packages for Poetry, which this buildpack has not.' \
      'It takes requirements.txt, uv.lock and Pipfile.lock.' \
      'Run `poetry export -o requirements.txt` and commit that, or set a buildpack that knows Poetry (buildpacks:set URL).'
  elif [[ $manager == none && -f pyproject.toml ]] && grep -q '^\[project\]' pyproject.toml; then
    fail 'The app has a pyproject.toml but no lock file.' 'Without one every build would install other versions.' \
      'Run `uv lock`, then: git add uv.lock && git commit' \
      'Or write a requirements.txt.'
  fi
}

set_build_environment() {
  # Where dynos will see it; link_app makes that path work during the build.
  venv=/app/.heroku/python
  export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
  export PIP_CACHE_DIR=$cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
  export PYTHONUNBUFFERED=1 LANG=${LANG:-C.UTF-8}
  unset PYTHONHOME PYTHONPATH
}

venv_key() {
  {
    echo "$python_version $python $manager ${STACK:-}"
    case $manager in
      pip) find . -maxdepth 2 -name '*requirements*.txt' -not -path './.heroku/*' -print0 | sort -z | xargs -0 cat ;;
      pipenv) cat Pipfile.lock ;;
      uv) cat uv.lock pyproject.toml ;;
    esac
  } | fingerprint
}

make_venv() {
  rm -rf "$build_dir/.heroku/python"
  venv_key=$(venv_key) venv_kept=''
  if [[ $(cat "$cache/venv.key" 2>/dev/null) == "$venv_key" ]] &&
    restore "$cache/venv.tar" "$build_dir/.heroku/python"; then
    venv_kept=yes
  else
    mkdir -p "$build_dir/.heroku/python"
  fi
  if [[ -z $venv_kept ]]; then
    local options=()
    # Pip is many files; the stack's own, pointed at this environment, saves them. Not for another
    # Python, which may be too new for it.
    [[ $python != "$stack_python" ]] || ! "$stack_python" -m pip --version >/dev/null 2>&1 || options=(--without-pip)
    run "$python" -m venv "${options[@]}" "$venv" || fail "The environment for the app's packages can't be made." \
      'Python says why, above.' 'Purge the build cache and push again.'
    [[ -z ${options[*]} ]] || link_pip
  fi
}

# Whether requirements.txt names parts of the source, which may differ though the list does not.
names_source() { grep -qE '^[[:space:]]*(-e|--editable|-r|-c|\.|/|file:)|@ *file:' requirements.txt; }

link_pip() {
  printf '#!/bin/sh\nexec %s -m pip --python %s/bin/python "$@"\n' "$stack_python" "$venv" >"$venv/bin/pip"
  chmod 755 "$venv/bin/pip"
  ln -s pip "$venv/bin/pip3"
}

install_packages() {
  local words=() kept=''
  [[ -z $venv_kept ]] || kept=' (kept from the last build)'
  case $manager in
    none)
      detail 'No requirements.txt, uv.lock or Pipfile.lock: no packages to install'
      return
      ;;
    pip)
      heading "Installing packages from requirements.txt$kept"
      if [[ -n $venv_kept ]] && ! names_source; then return; fi
      words=(pip install -r requirements.txt)
      ;;
    pipenv)
      heading "Installing packages from Pipfile.lock$kept"
      tool pipenv 'pipenv>=2024'
      export PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_VENV_IN_PROJECT=0 PIPENV_CACHE_DIR=$cache/pipenv CI=1
      [[ ! -f Pipfile ]] || pipenv verify >"$run_log" 2>&1 || fail "Pipfile.lock doesn't fit the Pipfile." \
        "$(tail -1 "$run_log")" 'Run `pipenv lock`, then: git add Pipfile.lock && git commit'
      words=(pipenv sync)
      ;;
    uv)
      heading "Installing packages from uv.lock$kept"
      use_uv
      export UV_PROJECT_ENVIRONMENT=$venv UV_PYTHON_DOWNLOADS=never
      words=(uv sync --locked --no-default-groups --python "$venv/bin/python")
      ;;
  esac
  local started=$SECONDS
  run "${words[@]}" || explain_failed_install
  detail "Done in $((SECONDS - started)) s"
}

explain_failed_install() {
  if grep -qE 'lockfile.*needs to be updated|--locked' "$run_log"; then
    fail "uv.lock doesn't fit pyproject.toml." 'uv says so, above.' 'Run `uv lock`, then: git add uv.lock && git commit'
  elif grep -qE 'Invalid requirement|[Rr]equirements? file|Could not open requirements' "$run_log"; then
    fail "requirements.txt can't be read." 'pip says where, above.' 'Put it right, and push again.'
  elif grep -qE 'Failed to establish a new connection|Temporary failure in name resolution|[Cc]onnection refused|dns error|tcp connect error|error sending request|Read timed out' "$run_log"; then
    fail "The Python package index doesn't answer." 'The network error is above.' \
      'Push again; or name another index by the config var PIP_INDEX_URL.'
  elif grep -qE 'No matching distribution|Could not find a version' "$run_log"; then
    fail 'A package, or that version of it, is not to be had.' 'pip names it, above; it must also take '"Python $python_version." \
      'Check its name and version; private packages need an index: config var PIP_EXTRA_INDEX_URL.'
  elif grep -qE 'error: command .* failed|Failed building wheel|failed-wheel-build|Failed to build' "$run_log"; then
    fail "A package's native part didn't compile." "The compiler's words are above; often a library is missing." \
      'A release of the package with wheels for this Python needs no compiler.'
  fi
  fail 'The packages could not be installed.' 'The output is above.' 'Try the same in a fresh virtual environment on your machine.'
}

keep_venv() {
  [[ -z $venv_kept ]] || return 0
  rm -f "$cache/venv.key"
  keep "$build_dir/.heroku/python" "$cache/venv.tar"
  echo "$venv_key" >"$cache/venv.key"
}
