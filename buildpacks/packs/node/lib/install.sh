# An app's packages: installing, keeping between builds, pruning; and its scripts. Sourced by bin/compile.
# shellcheck shell=bash

# What decides the content of node_modules.
packages_key() {
  {
    echo "$node_version $manager ${STACK:-} $NODE_ENV"
    "${manager/berry/yarn}" --version 2>/dev/null || true
    cat package.json "$lock" .npmrc .yarnrc .yarnrc.yml pnpm-workspace.yaml 2>/dev/null || true
  } | fingerprint
}

restore_packages() {
  [[ $manager != berry ]] || export YARN_ENABLE_GLOBAL_CACHE=false
  packages_key=$(packages_key)
  packages_kept=''
  [[ ${NODE_MODULES_CACHE:-true} != false ]] || return 0
  if [[ -n $lock && $(cat "$cache/node_modules.key" 2>/dev/null) == "$packages_key" ]] &&
    restore "$cache/node_modules.tar" node_modules; then
    packages_kept=yes
  fi
}

install_packages() {
  local words=()
  case $manager in
    npm)
      # With the same lock file and a whole node_modules, npm has only the app's own scripts to run.
      words=(npm ci --include=dev)
      [[ -z $packages_kept ]] || words=(npm install --include=dev --no-save --prefer-offline)
      [[ -n $lock ]] || words=(npm install --include=dev --no-save)
      ;;
    yarn) words=(yarn install --frozen-lockfile --production=false --non-interactive --ignore-engines) ;;
    berry) words=(yarn install --immutable) ;;
    pnpm) words=(pnpm install --frozen-lockfile --prod=false --store-dir "$cache/pnpm-store") ;;
  esac
  if [[ -n $packages_kept ]]; then
    heading 'Installing packages (node_modules kept from the last build)'
  else
    heading "Installing packages with ${manager/berry/yarn}"
  fi
  if [[ -z $lock ]]; then
    warn 'There is no lock file: every build may install other versions.' \
      'Run `npm install`, then: git add package-lock.json && git commit'
  fi
  local started=$SECONDS
  run "${words[@]}" || explain_failed_install
  detail "Done in $((SECONDS - started)) s"
}

explain_failed_install() {
  if grep -qE 'package-lock.json.*not in sync|are in sync|npm ci. can only|frozen-lockfile|ERR_PNPM_OUTDATED_LOCKFILE|YN0028|lockfile needs to be updated|lockfile would have been modified' "$run_log"; then
    fail "The lock file $lock doesn't fit package.json." 'The package manager says where they differ, above.' \
      "Run \`${manager/berry/yarn} install\`, then: git add $lock && git commit"
  elif grep -qE 'E404|ERR_PNPM_FETCH_404|Not [Ff]ound' "$run_log"; then
    fail "The npm registry doesn't have one of the packages." 'Its name is above.' \
      'If it is private, give the build a token (config var NPM_TOKEN, used in .npmrc) or another registry (NPM_CONFIG_REGISTRY).'
  elif grep -qE 'ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET' "$run_log"; then
    fail "The npm registry doesn't answer." 'The network error is above.' \
      'Push again; or name another registry by the config var NPM_CONFIG_REGISTRY.'
  fi
  fail 'The packages could not be installed.' 'The output is above.' \
    "Try \`${manager/berry/yarn} install\` on a fresh clone of the app."
}

# What was installed, with development packages, as the next build starts from it.
keep_packages() {
  [[ ${NODE_MODULES_CACHE:-true} != false ]] || return 0
  [[ -n $lock && -d node_modules && -z $packages_kept ]] || return 0
  rm -f "$cache/node_modules.key"
  keep node_modules "$cache/node_modules.tar"
  echo "$packages_key" >"$cache/node_modules.key"
}

# Development packages are for building; NPM_CONFIG_PRODUCTION=false and the like keep them.
prune_packages() {
  local words=()
  if [[ $NODE_ENV != production || ${NPM_CONFIG_PRODUCTION:-} == false || ${YARN_PRODUCTION:-} == false ||
    ${PNPM_SKIP_PRUNING:-} == true || ${YARN2_SKIP_PRUNING:-} == true ]]; then
    return
  fi
  [[ -d node_modules ]] || return 0
  case $manager in
    npm) words=(npm prune --omit=dev) ;;
    yarn) words=(yarn install --production --frozen-lockfile --ignore-scripts --prefer-offline --non-interactive --ignore-engines) ;;
    berry)
      grep -q '"devDependencies"' package.json || return 0
      words=(yarn workspaces focus --all --production)
      ;;
    pnpm) words=(pnpm prune --prod --ignore-scripts) ;;
  esac
  heading 'Pruning development packages'
  if ! "${words[@]}" >"$run_log" 2>&1 </dev/null; then
    tail -10 "$run_log" | indent
    # Too much is installed then, and nothing is missing.
    warn 'They could not be pruned (see above); the slug is larger than it need be.'
  fi
}

# run_script NAME: a script of package.json, if there is one.
run_script() {
  [[ -n $(package get scripts "$1") ]] || return 0
  local runner=${manager/berry/yarn}
  # Yarn runs nothing before it has installed.
  [[ $1 != heroku-prebuild ]] || runner=npm
  heading "Running $1"
  run "$runner" run "$1" || fail "The script \"$1\" of package.json failed." 'Its output is above.' \
    "Try: NODE_ENV=$NODE_ENV $runner run $1" \
    'If it lacks a package, see whether that is in dependencies or devDependencies of package.json.'
}
