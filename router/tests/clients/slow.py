"""slowhttptest at the router: visitors who send their request's head or body, or read the answer, as slowly as they can.
Others have to be served all the while, and what the slow ones held is given back."""

import csv
import http.client
import os
import subprocess
import sys
import threading
import time

import program


class Others:
    """Visitors that behave: a request on a new connection, again and again, each with 5 s to be answered."""

    def __init__(self, port):
        self.port, self.well, self.failed, self.worst, self.open = port, 0, [], 0.0, True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.open:
            begin = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/small", headers={"Host": "localhost"})
                if connection.getresponse().status != 200:
                    raise OSError("another status than 200")
                self.well += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
            finally:
                connection.close()
            self.worst = max(self.worst, time.monotonic() - begin)
            time.sleep(0.05)

    def end(self):
        self.open = False
        self.thread.join()


def attack(trial, name, seconds, connections, *options):
    """How many things were wrong."""
    out, before = os.path.join(trial.dir, name.replace(" ", "-")), trial.memory()
    others = Others(trial.router.http)
    done = subprocess.run(["slowhttptest", "-c", str(connections), "-r", "200", "-l", str(seconds), "-p", "5", "-g", "-o", out, *options],
                          capture_output=True, text=True, env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")})
    peak = trial.memory()
    others.end()
    try:
        with open(f"{out}.csv") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        rows = []
    wrong = []
    if not rows or max(int(row["Connected"]) for row in rows) < connections // 2:
        wrong.append(f"it did not come to {connections // 2} connections: {done.stdout[-500:]} {done.stderr[-500:]}")
    away = [row["Seconds"] for row in rows if int(row["Service Available"]) == 0]
    if away:
        wrong.append(f"slowhttptest was not answered in the seconds {', '.join(away)}")
    if others.failed:
        wrong.append(f"{len(others.failed)} of {len(others.failed) + others.well} requests of others failed: {others.failed[0]}")
    # What they held goes when they go.
    program.until("connections of slow visitors are given up", lambda: trial.router.status()["connections"] == 0, 90)
    closed = f", {rows[-1]['Closed']} closed by the router" if rows else ""
    print(f"{name}: {connections} connections for {seconds} s{closed}; others: {others.well} requests, the slowest {others.worst * 1000:.0f} ms; "
          f"{before:.1f} MiB before, {peak:.1f} at the end")
    for what in wrong:
        print(f"{name}: {what}")
    return len(wrong)


def main():
    options = program.arguments(__doc__, ("seconds", 0, "of each attack; 0: 100, or 8 with --quick"), ("connections", 800, "slow visitors at once"))
    seconds = options.seconds or (8 if options.quick else 100)
    count, wrong = options.connections, 0
    # Else slow bodies are as many requests at once as the app's one dyno may have (H11), and the trial is over.
    with program.Trial(options.router, concurrency=100_000) as trial:
        url, post = ["-u", f"{trial.http}/megabytes/1"], ["-u", f"{trial.http}/digest"]
        wrong += attack(trial, "slow heads", seconds, count, "-H", "-i", "5", "-x", "24", "-t", "GET", *url)
        wrong += attack(trial, "slow bodies", seconds, count, "-B", "-i", "5", "-x", "10", "-s", "8192", "-t", "POST", *post)
        wrong += attack(trial, "slow reading", seconds, count, "-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "1", *url)
        if not options.quick:
            wrong += attack(trial, "slow heads over TLS", seconds, count, "-H", "-i", "5", "-x", "24", "-u", f"https://127.0.0.1:{trial.router.https}/small")
    sys.exit(1 if wrong else 0)


main()
