# Which package manager an app uses, and getting it. Sourced by bin/compile.
# shellcheck shell=bash

# Sets manager (npm, yarn, berry or pnpm), manager_range, and lock (empty: none).
# berry is Yarn 2 and later, which shares little with Yarn 1 but the name.
choose_manager() {
  local locks named
  locks=$(package lock)
  # npm itself prefers npm-shrinkwrap.json to package-lock.json.
  [[ $locks != package-lock.json$'\n'npm-shrinkwrap.json ]] || locks=npm-shrinkwrap.json
  if [[ $locks == *$'\n'* ]]; then
    fail "There is more than one lock file: ${locks//$'\n'/, }." \
      'Each belongs to another package manager, and they disagree sooner or later.' \
      'Keep the one of the package manager that you use: git rm the others, and push again.'
  fi
  lock=$locks
  case $lock in
    yarn.lock) manager=yarn ;;
    pnpm-lock.yaml) manager=pnpm ;;
    *) manager=npm ;;
  esac
  named=$(package get packageManager)
  if [[ -z $lock && $named =~ ^(yarn|pnpm)@ ]]; then
    fail "package.json asks for ${named%%+*}, but there is no lock file of it." \
      'Without one every build would install other versions.' \
      "Run \`${named%%@*} install\`, and commit the lock file that it writes."
  fi
  if [[ -n $named && -n $lock && ${named%%@*} != "$manager" ]]; then
    fail "package.json asks for ${named%%+*}, but the lock file is $lock." \
      "The field packageManager and the lock file must be of the same package manager." \
      "Change one of them, and push again."
  fi
  manager_range=''
  [[ -z $named ]] || manager_range=${named#*@} manager_range=${manager_range%%+*}
  manager_range=${manager_range:-$(package get engines "$manager")}
  if [[ $manager == yarn ]] && { grep -q '^__metadata:' yarn.lock || [[ $manager_range =~ ^[^0-9]?[2-9] ]]; }; then
    manager=berry
  fi
  if [[ $manager == pnpm && -z $manager_range ]]; then
    case $(sed -nE "s/^lockfileVersion: '?([0-9]+)\..*/\1/p" pnpm-lock.yaml) in
      5) manager_range=7.x ;;
      6) manager_range=8.x ;;
      *) manager_range=10.x ;;
    esac
  fi
}

# yarn and pnpm are packages themselves; npm gets them.
install_manager() {
  local name range
  case $manager in
    npm) return ;;
    yarn) name=yarn range=${manager_range:-1.x} ;;
    berry) name=@yarnpkg/cli-dist range=${manager_range:-4.x} ;;
    pnpm) name=pnpm range=$manager_range ;;
  esac
  npm install --global --prefix "$node_home" --no-audit --no-fund --prefer-offline "$name@$range" >"$run_log" 2>&1 || {
    tail -5 "$run_log" | indent
    fail "${name#@yarnpkg/} $range can't be installed." 'npm says why, above.' \
      'Check the version in packageManager or engines of package.json.'
  }
  # Yarn 1 hands over to the release that .yarnrc.yml names, if one is in the source.
  detail "Using $name $("${name/@yarnpkg\/cli-dist/yarn}" --version 2>/dev/null | tail -1)"
}
