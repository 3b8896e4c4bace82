#!/bin/bash
# Inside the build container: build.sh PACK... over /tmp/build_test.
set -uo pipefail
done_packs=()
for pack in "$@"; do
  name=$("/packs/$pack/bin/detect" /tmp/build_test) || { echo "detect of $pack said no: $?"; exit 71; }
  echo "-----> $name app detected"
  (
    for before in ${done_packs[@]+"${done_packs[@]}"}; do
      # shellcheck source=/dev/null
      if [[ -f /packs/$before/export ]]; then source "/packs/$before/export"; fi
    done
    exec "/packs/$pack/bin/compile" /tmp/build_test /paas/cache /paas/env
  ) || exit 73
  done_packs+=("$pack")
done
"/packs/$pack/bin/release" /tmp/build_test >/tmp/release.yml || exit 74
python3 - /tmp/release.yml <<'PYTHON'
# Not a YAML parser: the shape that bin/release promises.
import re, sys
text = open(sys.argv[1]).read()
assert text.startswith("---"), text
for line in text.splitlines()[1:]:
    assert re.match(r"^(config_vars|default_process_types|addons):( \{\}| \[\])?$|^  [\w-]+: \S.*$", line), line
PYTHON
