# Django's static files, and what dynos need. Sourced by bin/compile.
# shellcheck shell=bash

collect_static() {
  local manage
  manage=$(find . -maxdepth 3 -name manage.py -not -path './.heroku/*' -not -path './node_modules/*' -printf '%d %P\n' | sort -n | head -1 | cut -d' ' -f2-)
  [[ -n $manage ]] || return 0
  python -c 'import django' 2>/dev/null || return 0
  case ${DISABLE_COLLECTSTATIC:-} in
    '' | 0 | false) ;;
    *)
      heading 'Not collecting static files (DISABLE_COLLECTSTATIC is set)'
      return
      ;;
  esac
  # Only projects that use django.contrib.staticfiles have the command.
  if ! python "$manage" help --commands 2>"$run_log" | grep -qx collectstatic; then
    [[ -s $run_log ]] || return 0
    grep -q Error "$run_log" || return 0
    heading 'Looking for collectstatic'
    tail -15 "$run_log" | indent
    fail "Django's settings could not be loaded." 'The reason is above. Config vars are set during the build; databases are out of reach.' \
      'Set what is missing (paas config:set NAME=value), or skip this: paas config:set DISABLE_COLLECTSTATIC=1'
  fi
  heading "Collecting static files: python $manage collectstatic --noinput"
  run python "$manage" collectstatic --noinput || fail 'collectstatic failed.' \
    'Its output is above. Often STATIC_ROOT or a config var is missing.' \
    'Put it right, or skip it: paas config:set DISABLE_COLLECTSTATIC=1'
}

# Packages that are installed "editable" name the directory of the source, which is /app in dynos.
settle_paths() {
  local home=$build_dir/.heroku/python file
  while IFS= read -r -d '' file; do
    sed -i "s#$build_dir#/app#g" "$file"
  done < <(
    grep -rlIFZ --include='*.pth' --include='__editable__*' --include='*.egg-link' --include=direct_url.json "$build_dir" "$home"
    find "$home/bin" -type f -exec grep -lIFZ "$build_dir" {} +
  )
}

write_runtime_environment() {
  mkdir -p .profile.d
  cat >.profile.d/python.sh <<'PROFILE'
export PATH="$HOME/.heroku/python/bin:$PATH"
export VIRTUAL_ENV="$HOME/.heroku/python"
export PYTHONUNBUFFERED=${PYTHONUNBUFFERED:-true}
export PYTHONPATH=${PYTHONPATH:-$HOME}
export LANG=${LANG:-C.UTF-8}
# Only the router reaches a dyno, so that what it says of the client is true.
export FORWARDED_ALLOW_IPS=${FORWARDED_ALLOW_IPS:-*}
PROFILE
  cp "$pack/lib/web_concurrency.sh" .profile.d/python-web-concurrency.sh
  echo "export PATH=\"$venv/bin:\$PATH\" VIRTUAL_ENV=\"$venv\"" >"$pack/export"
  if [[ ! -f Procfile ]] && ! "$pack/bin/release" "$build_dir" | grep -q '  web:'; then
    warn 'There is no Procfile, so that nothing says what to run.' \
      'Write one, such as: web: gunicorn app:app' 'Servers of Python apps must listen on 0.0.0.0:$PORT.'
  fi
}
