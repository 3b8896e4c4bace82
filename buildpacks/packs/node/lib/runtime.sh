# Node and npm, and the environment that they run in. Sourced by bin/compile.
# shellcheck shell=bash

# For apps that don't say: the current line with long-term support.
default_node=24.x

set_build_environment() {
  node_home=$build_dir/.heroku/node
  export NODE_ENV=${NODE_ENV:-production}
  export PATH=$node_home/bin:$build_dir/node_modules/.bin:$PATH
  export npm_config_cache=$cache/npm npm_config_update_notifier=false
  export npm_config_fund=false npm_config_audit=false
  export YARN_CACHE_FOLDER=$cache/yarn YARN_ENABLE_TELEMETRY=0 COREPACK_ENABLE_DOWNLOAD_PROMPT=0
  export CI=${CI:-true}
}

# The range of Node versions that the app asks for, and who said so.
wanted_node() {
  local range file
  range=$(package get engines node)
  node_range=$range node_range_from=engines.node
  [[ -z $range ]] || return 0
  for file in .node-version .nvmrc; do
    [[ -f $file ]] || continue
    range=$(head -1 "$file" | tr -d '\r ' | sed 's/^v//')
    if [[ $range =~ ^[0-9]+(\.[0-9]+){0,2}$ ]]; then
      node_range=$range node_range_from=$file
      return
    fi
    detail "$file says '$range', which is not a version number; passed over."
  done
  node_range=$default_node node_range_from=''
}

fetch() { python3 -B "$pack/lib/registry.py" fetch "$@" 2>"$run_log"; }

install_runtime() {
  local machine version dist npm_version npm_wanted
  case $(uname -m) in
    aarch64 | arm64) machine=arm64 ;;
    *) machine=x64 ;;
  esac
  wanted_node
  heading 'Installing Node.js'
  if [[ -n $node_range_from ]]; then
    detail "Asked for by $node_range_from: $node_range"
    # A range without an end will some day give a Node that the app was never tried with.
    [[ ! $node_range =~ ^\>=?[^\<-]*$|^\*$ ]] ||
      warn "The range $node_range has no end: name the major version that the app was tried with."
  else
    detail "package.json has no engines.node; using $node_range"
  fi
  version=$(fetch "node-linux-$machine" "$node_range" "$cache/dist") || fail \
    "No Node.js $node_range can be had." "$(cat "$run_log")" \
    'Check engines.node in package.json; another npm registry can be named by the config var NPM_CONFIG_REGISTRY.'
  [[ ! -s $run_log ]] || warn "$(cat "$run_log")"
  dist=$cache/dist/node-linux-$machine-$version
  if [[ ! -e $dist/stripped ]]; then
    # A seventh of the binary is names for debuggers of Node itself.
    strip "$dist/bin/node" 2>/dev/null || true
    touch "$dist/stripped"
  fi
  rm -rf "$node_home"
  mkdir -p "$node_home/bin"
  cp --reflink=auto "$dist/bin/node" "$node_home/bin/node"
  chmod 755 "$node_home/bin/node"
  # Headers are for compiling addons only: they stay out of the slug.
  export npm_config_nodedir=$dist
  node --version >/dev/null 2>"$run_log" || fail "Node.js $version doesn't run on this stack." \
    "$(head -1 "$run_log")" 'Ask for a newer Node by engines.node in package.json.'

  npm_wanted=$(package get engines npm)
  case ${version%%.*} in
    [0-9] | 1[0-4]) npm_wanted=${npm_wanted:-6.x} ;;
    1[5-7]) npm_wanted=${npm_wanted:-8.x} ;;
    1[89] | 2[0-3]) npm_wanted=${npm_wanted:-10.x} ;;
    *) npm_wanted=${npm_wanted:-11.x} ;;
  esac
  npm_version=$(fetch npm "$npm_wanted" "$cache/dist" --for-node "$version") || fail \
    "No npm $npm_wanted for Node.js $version can be had." "$(cat "$run_log")" \
    'Check engines.npm in package.json.'
  # Many small files that nobody reads in a dyno.
  rm -rf "$cache/dist/npm-$npm_version/"{docs,man}
  mkdir -p "$node_home/lib/node_modules"
  cp -a --reflink=auto "$cache/dist/npm-$npm_version" "$node_home/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$node_home/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$node_home/bin/npx"
  chmod 755 "$node_home"/lib/node_modules/npm/bin/np[mx]-cli.js
  node_version=$version
  detail "Using node $version" "Using npm $npm_version"
}

write_runtime_environment() {
  mkdir -p .profile.d
  cat >.profile.d/node.sh <<'PROFILE'
export PATH="$HOME/.heroku/node/bin:$PATH:$HOME/bin:$HOME/node_modules/.bin"
export NODE_HOME="$HOME/.heroku/node"
export NODE_ENV=${NODE_ENV:-production}
export NPM_CONFIG_UPDATE_NOTIFIER=false
PROFILE
  cp "$pack/lib/web_concurrency.sh" .profile.d/node-web-concurrency.sh
  echo "export PATH=\"$node_home/bin:\$PATH:$build_dir/node_modules/.bin\" NODE_HOME=\"$node_home\" NODE_ENV=$NODE_ENV" >"$pack/export"
}
