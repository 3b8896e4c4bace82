"""Gets packages of an npm registry without npm.

    registry.py fetch NAME RANGE DIR [--for-node VERSION]

Puts the highest version of NAME that is in RANGE (and that takes that version of Node) unpacked
into DIR/NAME-VERSION, unless it is there, and prints VERSION. When the registry doesn't answer,
what DIR has will do. The registry is NPM_CONFIG_REGISTRY, else .npmrc's, else npm's own.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from semver import BadRange, Range, Version

PUBLIC = "https://registry.npmjs.org/"


def settings():
    """The registry's address, and the token for it when there is one."""
    npmrc = {}
    for path in (os.path.expanduser("~/.npmrc"), ".npmrc"):
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, sign, value = line.partition("=")
                    if sign and not key.lstrip().startswith(("#", ";")):
                        value = re.sub(r"\$\{(\w+)\}", lambda m: os.environ.get(m[1], ""), value)
                        npmrc[key.strip()] = value.strip().strip("\"'")
    named = os.environ.get("NPM_CONFIG_REGISTRY") or os.environ.get("npm_config_registry")
    registry = (named or npmrc.get("registry") or PUBLIC).rstrip("/") + "/"
    return registry, npmrc.get(registry.partition(":")[2] + ":_authToken")


REGISTRY, TOKEN = settings()


def plain(text):
    """Addresses in it without query, user and password, for showing them."""
    text = re.sub(r"(://[^?\s]*)\?\S*", r"\1", str(text))
    return re.sub(r"://[^/?#\s]*@", "://", text)


def ask(url, accept="*/*"):
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "paas-buildpack"})
    if TOKEN and url.startswith(REGISTRY):
        request.add_header("Authorization", f"Bearer {TOKEN}")
    for attempt in range(3):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read()
        except urllib.error.HTTPError as problem:
            if problem.code < 500 or attempt == 2:
                raise
        except OSError:
            if attempt == 2:
                raise
        time.sleep(attempt + 1)
    raise AssertionError("unreachable")


def candidates(name):
    """All versions of a package: Version -> what the registry says of it."""
    text = ask(REGISTRY + name.replace("/", "%2f"), "application/vnd.npm.install-v1+json")
    found = {}
    for version, about in json.loads(text)["versions"].items():
        try:
            found[Version(version)] = about
        except BadRange:
            continue
    return found


def takes(about, node):
    try:
        return Range((about.get("engines") or {}).get("node") or "*").has(node)
    except (BadRange, AttributeError):
        return True


def unpack(about, target):
    dist = about["dist"]
    data = ask(dist["tarball"])
    if dist.get("integrity"):
        algorithm, _, wanted = dist["integrity"].split()[0].partition("-")
        got = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    else:
        wanted, got = dist["shasum"], hashlib.sha1(data).hexdigest()
    if got != wanted:
        sys.exit(f"{plain(dist['tarball'])} is not what the registry promised (its checksum differs)")
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as work:
        archive = os.path.join(work, "package.tgz")
        with open(archive, "wb") as file:
            file.write(data)
        inner = os.path.join(work, "x")
        os.mkdir(inner)
        command = ["tar", "-xzf", archive, "-C", inner, "--strip-components=1", "--no-same-owner"]
        subprocess.run(command, check=True)
        os.rename(inner, target)


def kept(name, directory):
    """The versions that an earlier build left."""
    found = []
    for entry in os.listdir(directory) if os.path.isdir(directory) else []:
        if entry.startswith(name + "-"):
            try:
                found.append(Version(entry[len(name) + 1 :]))
            except BadRange:
                continue
    return found


def main():
    _, name, wanted, directory, *rest = sys.argv[1:]
    node = Version(rest[1]) if rest else None
    try:
        wanted_range = Range(wanted)
    except BadRange as problem:
        sys.exit(f"{wanted!r} is not a version range: {problem}")
    try:
        found = candidates(name)
    except (OSError, ValueError, KeyError) as problem:
        version = wanted_range.best(kept(name, directory))
        if version is None:
            sys.exit(f"the npm registry {plain(REGISTRY)} doesn't answer: {plain(problem)}")
        print(f"The npm registry doesn't answer ({plain(problem)}); taking {version} of an earlier build.", file=sys.stderr)
        print(version)
        return
    fitting = [version for version, about in found.items() if node is None or takes(about, node)]
    version = wanted_range.best(fitting)
    if version is None:
        newest = [str(v) for v in sorted((v for v in found if not v.pre), reverse=True)[:3]]
        sys.exit(f"no version is in the range {wanted!r}; the newest are {', '.join(newest)}")
    target = os.path.join(directory, f"{name}-{version}")
    if not os.path.isdir(target):
        for old in kept(name, directory):
            shutil.rmtree(os.path.join(directory, f"{name}-{old}"), ignore_errors=True)
        try:
            unpack(found[version], target)
        except OSError as problem:
            sys.exit(f"{name} {version} can't be fetched: {plain(problem)}")
    print(version)


main()
