"""Versions and ranges as npm understands them (semver 2.0 and npm's range grammar)."""

import re
from functools import total_ordering

_VERSION = re.compile(
    r"^[v=\s]*(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$"
)
_PART = r"(?:\d+|[xX*])"
_PARTIAL = re.compile(
    rf"^[v=\s]*({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(?:-([0-9A-Za-z.-]+))?(?:\+\S+)?$"
)
_OPERATOR = re.compile(r"^(\^|~>?|>=|<=|>|<|=)?\s*(.*)$")


class BadRange(ValueError):
    """A text that is no version range."""


@total_ordering
class Version:
    """One version; ordered by precedence."""

    def __init__(self, text):
        match = _VERSION.match(text.strip())
        if not match:
            raise BadRange(f"{text!r} is not a version")
        self.core = tuple(int(part) for part in match.group(1, 2, 3))
        self.pre = tuple(match.group(4).split(".")) if match.group(4) else ()

    def _key(self):
        # A release comes after its prereleases; numbers come before words.
        pre = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre]
        return (self.core, not self.pre, pre)

    def __eq__(self, other):
        return self._key() == other._key()

    def __lt__(self, other):
        return self._key() < other._key()

    def __hash__(self):
        return hash(str(self))

    def __str__(self):
        return ".".join(map(str, self.core)) + ("-" + ".".join(self.pre) if self.pre else "")


def _version(core, pre=""):
    return Version(".".join(map(str, core)) + (f"-{pre}" if pre else ""))


def _bounds(operator, text):
    """One comparator as a list of (operator, Version)."""
    match = _PARTIAL.match(text) if text else None
    if text and not match:
        raise BadRange(f"{text!r} is not a version")
    parts = [None if part is None or part in "xX*" else int(part) for part in match.group(1, 2, 3)] if match else []
    pre = (match.group(4) or "") if match else ""
    given = []
    for part in parts:
        if part is None:
            break
        given.append(part)
    low = given + [0] * (3 - len(given))

    def after(position):
        return [*low[:position], low[position] + 1, *[0] * (2 - position)]

    if not given:
        # "*" is everything; "<*" and ">*" are nothing.
        return [("<", _version([0, 0, 0], "0"))] if operator in ("<", ">") else []
    if operator == "^":
        first = next((i for i, part in enumerate(given) if part), len(given) - 1)
        return [(">=", _version(low, pre)), ("<", _version(after(first), "0"))]
    if operator in ("~", "~>"):
        return [(">=", _version(low, pre)), ("<", _version(after(min(len(given) - 1, 1)), "0"))]
    if len(given) == 3:
        return [(operator or "=", _version(low, pre))]
    end = after(len(given) - 1)
    if operator in ("", "="):
        return [(">=", _version(low)), ("<", _version(end, "0"))]
    return {
        ">": [(">=", _version(end))],
        ">=": [(">=", _version(low))],
        "<": [("<", _version(low, "0"))],
        "<=": [("<", _version(end, "0"))],
    }[operator]


def _comparators(text):
    text = text.strip()
    hyphen = re.match(r"^(\S+)\s+-\s+(\S+)$", text)
    if hyphen:
        return _bounds(">=", hyphen.group(1)) + _bounds("<=", hyphen.group(2))
    text = re.sub(r"(\^|~>?|>=|<=|>|<|=)\s+", r"\1", text)
    bounds = []
    for word in text.split():
        operator, version = _OPERATOR.match(word).groups()
        bounds += _bounds(operator or "", version)
    return bounds


_TESTS = {
    "=": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


class Range:
    """A set of versions, such as ``^18.2 || >=20``."""

    def __init__(self, text):
        self.alternatives = [_comparators(part) for part in text.split("||")]

    def has(self, version):
        return any(self._fits(version, bounds) for bounds in self.alternatives)

    @staticmethod
    def _fits(version, bounds):
        if not all(_TESTS[operator](version, bound) for operator, bound in bounds):
            return False
        # A prerelease is meant only by who names one of the same version.
        return not version.pre or any(bound.pre and bound.core == version.core for _, bound in bounds)

    def best(self, versions):
        """The highest of these versions that is in the range, or None."""
        return max((version for version in versions if self.has(version)), default=None)
