# How many processes of an app's server fit into the dyno's memory. Sourced as the dyno starts.
#   WEB_CONCURRENCY = MEMORY_AVAILABLE / WEB_MEMORY, in MB
# shellcheck shell=bash

paas_memory_mb() {
  local bytes file
  if [ -n "${MEMORY_AVAILABLE:-}" ]; then
    echo "$MEMORY_AVAILABLE"
    return
  fi
  # cgroup v2, then v1. "max" and absurd numbers mean that there is no limit.
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ -r "$file" ] || continue
    bytes=$(cat "$file")
    case $bytes in
      '' | *[!0-9]*) ;;
      *) [ "${#bytes}" -gt 15 ] || { echo $((bytes / 1048576)) && return; } ;;
    esac
  done
  echo 512
}

export MEMORY_AVAILABLE=${MEMORY_AVAILABLE:-$(paas_memory_mb)}
case $MEMORY_AVAILABLE in *[!0-9]*) MEMORY_AVAILABLE=512 ;; esac
if [ -z "${WEB_MEMORY:-}" ]; then
  WEB_MEMORY=512
  [ "$MEMORY_AVAILABLE" -le 16384 ] || WEB_MEMORY=2048
fi
export WEB_MEMORY
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  WEB_CONCURRENCY=$((MEMORY_AVAILABLE / (WEB_MEMORY > 0 ? WEB_MEMORY : 512)))
  if [ "$WEB_CONCURRENCY" -lt 1 ] || [ "$WEB_CONCURRENCY" -gt 200 ]; then
    WEB_CONCURRENCY=1
  fi
  export WEB_CONCURRENCY WEB_CONCURRENCY_SET_BY=heroku/nodejs
fi
unset -f paas_memory_mb
