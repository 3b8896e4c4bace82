# shellcheck shell=bash
# The stack image itself, as dynos see it.
case_begin stack procfile
claim 'runs as dyno, 10001, with a home at /app' grep -qx 'dyno 10001 10001 /app' <(run_in_dyno 'echo $(id -un) $(id -u) $(id -g) $HOME')
claim 'speaks UTF-8' grep -qx 'UTF-8' <(run_in_dyno 'locale charmap')
claim 'knows time zones' grep -q 'CES\?T' <(run_in_dyno 'env TZ=Europe/Berlin date +%Z')
claim 'has what apps and buildpacks need' run_in_dyno 'bash -c "type git curl jq unzip xz zstd gcc make pkg-config python3 ruby bundle nginx nc ps rsync" >/dev/null'
claim 'has the headers of common libraries' run_in_dyno 'pkg-config --exists libpq sqlite3 openssl libffi yaml-0.1 zlib'
claim 'has no program that gains rights' test -z "$(run_in_dyno 'find / -xdev -type f -perm /6000 2>/dev/null')"
claim 'takes every gem for whole' test -z "$(run_in_dyno 'ruby -e "Gem::Specification.each { |s| puts s.full_gem_path unless s.default_gem? || Dir.exist?(s.full_gem_path) }"')"

case_begin stack-redis procfile
redis_id=$("$docker" run --detach --label "$label" --read-only --cap-drop ALL --tmpfs /data:uid=10001,gid=10001 paas/redis:7 \
  redis-server --appendonly yes --requirepass secret)
redis() { "$docker" exec "$redis_id" redis-cli --no-auth-warning -a secret "$@"; }
for _ in {1..50}; do
  [[ $(redis ping 2>/dev/null) != PONG ]] || break
  sleep 0.1
done
claim 'Redis answers' grep -qx PONG <(redis ping)
claim 'is of version 7' grep -q '^redis_version:7\.' <(redis info server)
"$docker" rm -f "$redis_id" >/dev/null
