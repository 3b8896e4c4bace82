#!/usr/bin/env bash
# Runs one build inside the sandbox: fetches submodules and buildpacks, then detect,
# compile and release, all in one container. What it finds out is left as small files in the
# result directory, which the caller reads with suspicion: the programs of buildpacks could have
# written them too.
#
#   run.sh BUILD_DIR CACHE_DIR ENV_DIR RESULT_DIR WORK_DIR PACKS_DIR detect|set
#
# What to fetch is in the file `plan` of WORK_DIR, words with a NUL behind each, because addresses
# may hold credentials; it is gone before any buildpack runs:
#
#   [--submodule PATH URL COMMIT]… [--tests DIRECTORY] [--pack NAME KIND LOCATION REF]…
#
# With --tests, packs that have a bin/test-compile run that in place of bin/compile, and the last
# pack is left in DIRECTORY of the build directory, for its bin/test.
#
# KIND is dir (a directory of PACKS_DIR), git (a repository) or tgz (the URL of an archive). With
# `detect` the first pack that detects wins, with `set` all of them run, in order.
set -uo pipefail

readonly NO_PACK=71 INCOMPATIBLE=72 COMPILE_FAILED=73 RELEASE_FAILED=74 FETCH_FAILED=75 SUBMODULE_FAILED=76

build_dir=$1 cache_dir=$2 env_dir=$3 result_dir=$4 work_dir=$5 packs_dir=$6 mode=$7
mapfile -d '' -t wanted <"$work_dir/plan" || exit 2
rm -f "$work_dir/plan"
set -- "${wanted[@]}"

heading() { printf -- '-----> %s\n' "$1"; }
detail() { printf '       %s\n' "$1"; }
problem() { printf ' !     %s\n' "$1"; }
result() { printf '%s' "$2" >"$result_dir/$1"; }

# What comes in, addresses without query, user and password.
plain() { sed -E "s,(://[^?[:space:]'\"]*)\\?[^[:space:]'\"]*,\\1,g; s,://[^/?#[:space:]]*@,://,g"; }
# The last errors of git or curl, as they may be shown.
complaint() { plain <"$work_dir/$1.err" | sed 's/^/ !     /'; }

# Ours only: what buildpacks do with git is their affair.
git() { env GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https:http:git git "$@"; }

# A commit, branch or tag (or the default branch when REF is empty) of a repository into a new directory.
clone() { # URL REF DIRECTORY
  local url=$1 ref=$2 dir=$3
  git init -q "$dir" || return
  if git -C "$dir" fetch -q --depth 1 -- "$url" "${ref:-HEAD}" 2>"$work_dir/git.err"; then
    git -C "$dir" -c advice.detachedHead=false checkout -q FETCH_HEAD
  else
    # Not every server hands out a commit by its name: take all and look.
    git -C "$dir" fetch -q --tags -- "$url" '+refs/heads/*:refs/remotes/origin/*' 2>"$work_dir/git.err" &&
      git -C "$dir" -c advice.detachedHead=false checkout -q "${ref:-origin/HEAD}" 2>>"$work_dir/git.err"
  fi
}

submodule() { # PATH URL COMMIT
  detail "Fetching submodule $1"
  if [ -n "$(ls -A "$build_dir/$1" 2>/dev/null)" ]; then
    problem "The submodule's directory $1 isn't empty."
    return 1
  fi
  if ! clone "$2" "$3" "$build_dir/$1"; then
    problem "Could not fetch the submodule $1 from $(plain <<<"$2"):"
    complaint git
    return 1
  fi
  git -C "$build_dir/$1" submodule -q update --init --recursive --depth 1 2>"$work_dir/git.err" || {
    problem "Could not fetch the submodules inside $1:"
    complaint git
    return 1
  }
  find "$build_dir/$1" -name .git -prune -exec rm -rf {} +
}

# The directory of a pack, writable, because packs leave their `export` file at their own root.
fetch_pack() { # INDEX NAME KIND LOCATION REF
  local target=$work_dir/pack_$1
  case $3 in
    dir) cp -R "$packs_dir/$4" "$target" ;;
    git)
      clone "$4" "$5" "$target" || {
        problem "Could not fetch the buildpack $2:"
        complaint git
        return 1
      }
      git -C "$target" submodule -q update --init --recursive --depth 1 2>/dev/null || true
      ;;
    tgz)
      mkdir -p "$target"
      if ! curl -fsSL --retry 3 --max-time 300 --proto '=http,https' -o "$work_dir/pack.tgz" -- "$4" 2>"$work_dir/curl.err"; then
        problem "Could not fetch the buildpack $2:"
        complaint curl
        return 1
      fi
      if ! tar -xzf "$work_dir/pack.tgz" --no-same-owner -C "$target"; then
        problem "The buildpack $2 is not a gzipped tar archive."
        return 1
      fi
      rm -f "$work_dir/pack.tgz"
      # Archives made by code hosts have one directory around everything.
      if [ ! -e "$target/bin" ]; then
        local inner=("$target"/*/)
        if [ "${#inner[@]}" = 1 ] && [ -d "${inner[0]}/bin" ]; then
          mv "${inner[0]}" "$target.inner" && rm -rf "$target" && mv "$target.inner" "$target"
        fi
      fi
      ;;
  esac || return
  if [ ! -f "$target/bin/detect" ] || [ ! -f "$target/bin/compile" ]; then
    problem "$2 is not a buildpack: it has no bin/detect and bin/compile."
    return 1
  fi
  chmod -f u+x "$target"/bin/* || true
}

# Leaves the pack's name for the app in $detected; a pack that says nothing is called by its own name.
detect() { # INDEX NAME
  detected=$("$work_dir/pack_$1/bin/detect" "$build_dir" 2>"$work_dir/detect.err") || return
  detected=$(head -n 1 <<<"$detected" | tr -d '\000-\037' | cut -c1-100)
  detected=${detected:-$2}
}

compile() { # INDEX; the exports of those before it are in effect for this one only
  local i
  for ((i = 0; i < $1; i++)); do
    if [ -f "$work_dir/pack_$i/export" ]; then
      set +u
      # shellcheck disable=SC1090
      source "$work_dir/pack_$i/export"
      set -u
    fi
  done
  local program=compile
  [ -z "$tests" ] || [ ! -f "$work_dir/pack_$1/bin/test-compile" ] || program=test-compile
  exec "$work_dir/pack_$1/bin/$program" "$build_dir" "$cache_dir" "$env_dir"
}

names=() kinds=() locations=() refs=() submodules=() tests=
while [ $# -gt 0 ]; do
  case $1 in
    --pack)
      names+=("$2") kinds+=("$3") locations+=("$4") refs+=("$5")
      shift 5
      ;;
    --tests)
      tests=$2
      shift 2
      ;;
    --submodule)
      submodules+=("$2" "$3" "$4")
      shift 4
      ;;
    *)
      problem "run.sh: what is this in its plan?"
      exit 2
      ;;
  esac
done

cd "$build_dir" || exit 2

if [ "${#submodules[@]}" -gt 0 ]; then
  heading "Fetching submodules"
  for ((i = 0; i < ${#submodules[@]}; i += 3)); do
    submodule "${submodules[@]:i:3}" || exit $SUBMODULE_FAILED
  done
fi

if [ "$mode" = detect ]; then
  heading "Determining which buildpack to use for this app"
  for ((i = 0; i < ${#names[@]}; i++)); do
    fetch_pack "$i" "${names[i]}" "${kinds[i]}" "${locations[i]}" "${refs[i]}" || exit $FETCH_FAILED
    if detect "$i" "${names[i]}"; then
      rm -rf "$work_dir/pack_0.chosen"
      mv "$work_dir/pack_$i" "$work_dir/pack_0.chosen" && rm -rf "$work_dir/pack_0" && mv "$work_dir/pack_0.chosen" "$work_dir/pack_0"
      result chosen "$i"
      names=("${names[i]}")
      break
    fi
  done
  if [ -z "${detected:-}" ] || [ ! -f "$result_dir/chosen" ]; then
    problem "No default language could be detected for this app."
    detail "HINT: This occurs when the buildpack to use for this application can't be found"
    detail "automatically: no Gemfile, package.json, requirements.txt, pyproject.toml, Pipfile,"
    detail "index.html or Procfile at the root of the source. Set one with buildpacks:set."
    result failure "no buildpack fits the source"
    exit $NO_PACK
  fi
  heading "$detected app detected"
  result name.0 "$detected"
else
  if [ "${#names[@]}" = 1 ]; then
    heading "Using buildpack: ${names[0]}"
  else
    heading "Using buildpacks:"
    for ((i = 0; i < ${#names[@]}; i++)); do
      detail "$((i + 1)). ${names[i]}"
    done
  fi
  for ((i = 0; i < ${#names[@]}; i++)); do
    fetch_pack "$i" "${names[i]}" "${kinds[i]}" "${locations[i]}" "${refs[i]}" || {
      result failure "the buildpack ${names[i]} could not be fetched"
      exit $FETCH_FAILED
    }
  done
fi

for ((i = 0; i < ${#names[@]}; i++)); do
  if [ "$mode" = set ]; then
    if ! detect "$i" "${names[i]}"; then
      heading "App not compatible with buildpack: ${names[i]}"
      [ -s "$work_dir/detect.err" ] && head -c 4000 "$work_dir/detect.err" | sed 's/^/       /'
      [ -n "$detected" ] && head -c 4000 <<<"$detected" | sed 's/^/       /'
      result failure "the app is not compatible with the buildpack ${names[i]}"
      exit $INCOMPATIBLE
    fi
    heading "$detected app detected"
    result "name.$i" "$detected"
  fi
  (compile "$i")
  status=$?
  # 128 + SIGXFSZ: a file was to become larger than the disk budget, which the sandbox explains.
  [ $status -ne 153 ] || exit 153
  if [ $status -ne 0 ]; then
    problem "Push rejected, failed to compile $detected app."
    result failure "failed to compile $detected app"
    exit $COMPILE_FAILED
  fi
done

last=$((${#names[@]} - 1))
if [ -n "$tests" ] && [ -f "$work_dir/pack_$last/bin/test" ]; then
  rm -rf "${build_dir:?}/$tests"
  cp -R "$work_dir/pack_$last" "$build_dir/$tests"
  rm -rf "${build_dir:?}/$tests/.git"
fi
if [ -f "$work_dir/pack_$last/bin/release" ]; then
  if ! "$work_dir/pack_$last/bin/release" "$build_dir" >"$result_dir/release.yml"; then
    problem "Push rejected, bin/release of ${names[last]} failed."
    result failure "bin/release of ${names[last]} failed"
    exit $RELEASE_FAILED
  fi
fi
