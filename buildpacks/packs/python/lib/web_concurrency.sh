# How many processes of an app's server fit into the dyno. Sourced as the dyno starts.
#   WEB_CONCURRENCY = min(2 * CPUs + 1, memory / 256 MB)
# shellcheck shell=bash

if [ -z "${WEB_CONCURRENCY:-}" ]; then
  paas_memory=${MEMORY_AVAILABLE:-}
  if [ -z "$paas_memory" ]; then
    # cgroup v2, then v1. "max" and absurd numbers mean that there is no limit.
    for paas_file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
      [ -r "$paas_file" ] || continue
      paas_memory=$(cat "$paas_file")
      case $paas_memory in
        *[!0-9]* | ????????????????*) paas_memory='' ;;
        *) paas_memory=$((paas_memory / 1048576)) && break ;;
      esac
    done
  fi
  case $paas_memory in '' | *[!0-9]*) paas_memory=512 ;; esac
  WEB_CONCURRENCY=$((2 * $(nproc) + 1))
  [ "$WEB_CONCURRENCY" -le $((paas_memory / 256)) ] || WEB_CONCURRENCY=$((paas_memory / 256))
  [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
  export WEB_CONCURRENCY WEB_CONCURRENCY_SET_BY=heroku/python
  unset paas_memory paas_file
fi
