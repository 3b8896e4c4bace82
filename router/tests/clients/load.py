"""h2load for minutes: HTTP/1.1 and HTTP/2, plain and TLS, small and large, connections that stay and that don't. No request
may fail, each has its access line or is counted as dropped, and memory does not go up and up."""

import re
import subprocess
import sys

import program

# (name, scheme, path, options)
KINDS = [
    ("HTTP/1.1", "http", "/small", ["--h1", "-c64"]),
    ("HTTP/1.1, 100 KB", "http", "/large", ["--h1", "-c64"]),
    ("HTTP/1.1, TLS", "https", "/small", ["--h1", "-c64"]),
    ("HTTP/1.1, 1,000 connections", "http", "/small", ["--h1", "-c1000"]),
    ("HTTP/2", "https", "/small", ["-c64", "-m10"]),
    ("HTTP/2, 100 KB", "https", "/large", ["-c16", "-m10"]),
    ("HTTP/2, 100 streams", "https", "/small", ["-c8", "-m100"]),
    ("HTTP/2, small windows", "https", "/large", ["-c8", "-m10", "-w12", "-W14"]),
    ("HTTP/2 without TLS", "http", "/small", ["-c64", "-m10"]),
]


def load(trial, kind, seconds):
    """Requests that succeeded, and what is wrong."""
    name, scheme, path, options = kind
    url = f"{trial.http if scheme == 'http' else trial.https}{path}"
    done = subprocess.run(["h2load", "-t1", f"-D{seconds}", *options, url], capture_output=True, text=True, timeout=seconds + 120)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if not counts or int(counts.group(1)) == 0:
        return 0, f"h2load did nothing: {done.stdout[-500:]}{done.stderr[-500:]}"
    succeeded, *others = map(int, counts.groups())
    bad = re.search(r"status codes: (.*)", done.stdout).group(1)
    if any(others) or not re.match(r"\d+ 2xx, 0 3xx, 0 4xx, 0 5xx", bad):
        return succeeded, f"{counts.group()}; {bad}"
    return succeeded, ""


def soak(trial, kinds, seconds):
    """How many kinds went wrong, and how many requests succeeded."""
    wrong = requests = 0
    for kind in kinds:
        seen, total, why = [], 0, ""
        # A short one first, so that buffers, pools and the table of streams are there.
        for part in (1, *[seconds / 6] * 6):
            count, why = load(trial, kind, max(1, round(part)))
            total += count
            if why:
                break
            program.until("the router is at rest", lambda: trial.router.status()["connections"] == 0, 90)
            seen.append(trial.memory())
        # Allocators keep some and give some back, so that it goes up and down by some MiB; a leak goes up only.
        grown = min(seen[4:]) - max(seen[1:4]) if len(seen) == 7 else 0
        if not why and grown > 1 + total / 2 * 20 / (1 << 20):
            why = f"memory goes up, by {grown:.1f} MiB and more over {total // 2} requests"
        print(f"{kind[0]}: {total} requests, memory {' '.join(f'{mib:.1f}' for mib in seen)} MiB{': ' + why if why else ''}", flush=True)
        wrong += bool(why)
        requests += total
    return wrong, requests


def lines(trial, requests):
    """Each request has its line, or is told of as dropped. Those that h2load broke off at its end have one, too."""
    program.until("the last access lines are delivered", lambda: trial.router.status()["log_waiting"] == 0)
    delivered, dropped = trial.router.daemon.lines(), trial.router.status()["log_dropped"]
    print(f"{requests} requests: {delivered} access lines, {dropped} dropped")
    return int(delivered + dropped < requests)


def main():
    options = program.arguments(__doc__, ("seconds", 0, "of each kind; 0: 60, or 6 with --quick"))
    seconds = options.seconds or (6 if options.quick else 60)
    with program.Trial(options.router, concurrency=100_000) as trial:
        wrong, requests = soak(trial, KINDS, seconds)
        wrong += lines(trial, requests)
    sys.exit(1 if wrong else 0)


main()
