"""Questions about an app's package.json.

    package.py check            ends with 1 and the reason when it can't be read
    package.py get KEY...       the text at that path (empty when there is none)
    package.py lock             the lock files there are, one a line
"""

import json
import os
import sys

LOCKS = ["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"]


def main():
    command, *path = sys.argv[1:]
    if command == "lock":
        print("\n".join(name for name in LOCKS if os.path.isfile(name)))
        return
    try:
        with open("package.json", encoding="utf-8-sig") as file:
            package = json.load(file)
    except (ValueError, OSError) as problem:
        sys.exit(str(problem))
    if not isinstance(package, dict):
        sys.exit("it is not an object")
    if command == "get":
        value = package
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (str, int, float)):
            print(value)


main()
