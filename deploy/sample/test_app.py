"""The whole app with a real Redis: python3 -m unittest"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from urllib.parse import urlencode

from tiny_redis import Redis, RedisError
from worker import factors

HERE = pathlib.Path(__file__).parent
LONG = 9999991**2  # the square of a prime: this takes a moment
PASSWORD = "p@ss/w:rd"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("waited 20 s")


class Factors(unittest.TestCase):
    def test_of_numbers(self):
        for number, found in [(2, [2]), (12, [2, 2, 3]), (97, [97]), (49, [7, 7]), (30030, [2, 3, 5, 7, 11, 13])]:
            self.assertEqual(factors(number), found)


class App(unittest.TestCase):
    def setUp(self):
        if not shutil.which("redis-server"):
            self.skipTest("there is no redis-server here: apt-get install redis-server")
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.redis_port = free_port()
        self.url = f"redis://:p%40ss%2Fw%3Ard@127.0.0.1:{self.redis_port}"
        self.start_redis()

    def start_redis(self):
        options = ["--port", str(self.redis_port), "--dir", self.folder.name, "--requirepass", PASSWORD,
                   "--appendonly", "yes", "--bind", "127.0.0.1"]
        self.redis_server = self.start(["redis-server", *options], {})
        until(lambda: Redis(self.url)("PING") == "PONG")

    def start(self, command, env, **more):
        process = subprocess.Popen(command, cwd=HERE, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, **more)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_web(self, **env):
        self.port = free_port()
        web = self.start([sys.executable, "web.py"], {"PORT": str(self.port), "REDIS_URL": self.url, "DYNO": "web.1", **env})
        until(lambda: self.ask("GET", "/health")[0] == 200)
        return web

    def start_worker(self, name="worker.1"):
        return self.start([sys.executable, "worker.py"], {"REDIS_URL": self.url, "DYNO": name})

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def send(self, number):
        return self.ask("POST", "/jobs", urlencode({"number": number}))

    def jobs(self):
        return json.loads(self.ask("GET", "/jobs.json")[1])["jobs"]

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=20)

    def test_a_number_goes_round(self):
        web, worker = self.start_web(HEROKU_RELEASE_VERSION="v3"), self.start_worker()
        self.assertEqual(self.send("1,001")[0], 303)
        job = until(lambda: [job for job in self.jobs() if job["state"] == "done"])[0]
        self.assertEqual((job["result"], job["worker"]), ([7, 11, 13], "worker.1"))
        status, page = self.ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn("web.1 · release v3", page)
        self.assertIn('"result": [7, 11, 13]', page)
        self.assertEqual(self.ask("HEAD", "/"), (200, ""))
        self.assertEqual((self.end(web), self.end(worker)), (0, 0))

    def test_numbers_wait_for_a_worker(self):
        self.start_web()
        for number in (6, 10, 15):
            self.send(number)
        self.assertEqual([job["state"] for job in self.jobs()], ["waiting"] * 3)
        self.start_worker()
        until(lambda: all(job["state"] == "done" for job in self.jobs()))
        self.assertEqual([job["result"] for job in self.jobs()], [[3, 5], [2, 5], [2, 3]])

    def test_a_killed_worker_s_job_is_taken_up_again(self):
        self.start_web()
        worker = self.start_worker()
        self.send(LONG)
        until(lambda: [job for job in self.jobs() if job["state"] == "working"])
        worker.kill()
        worker.wait()
        self.assertEqual(self.jobs()[0]["state"], "working")
        self.start_worker()
        until(lambda: self.jobs()[0]["state"] == "done")
        self.assertEqual(self.jobs()[0]["result"], [9999991, 9999991])

    def test_a_stopped_worker_finishes_its_job(self):
        self.start_web()
        worker = self.start_worker()
        self.send(LONG)
        until(lambda: [job for job in self.jobs() if job["state"] == "working"])
        self.assertEqual(self.end(worker), 0)
        self.assertEqual(self.jobs()[0]["state"], "done")

    def test_redis_may_restart(self):
        self.start_web()
        self.start_worker()
        self.send(6)
        until(lambda: self.jobs() and self.jobs()[0]["state"] == "done")
        self.redis_server.terminate()
        self.redis_server.wait()
        self.assertEqual(self.send(10)[0], 503)
        self.assertEqual(self.ask("GET", "/")[0], 200)
        self.start_redis()
        self.assertEqual(self.send(10)[0], 303)
        until(lambda: len(self.jobs()) == 2 and self.jobs()[0]["state"] == "done")

    def test_what_is_no_number(self):
        self.start_web()
        for bad in ("", "abc", "-7", "1", "1.5", "٣٣", "9" * 40, "<script>", "100000000000001"):
            status, page = self.send(bad)
            self.assertEqual(status, 400, bad)
            self.assertIn("Give a whole number", page)
        self.assertEqual(self.ask("POST", "/jobs", "number=" + "1" * 2000)[0], 400)
        self.assertEqual(self.ask("POST", "/jobs", None, {"Content-Length": "x"})[0], 400)
        self.assertEqual(self.ask("GET", "/nowhere")[0], 404)
        self.assertEqual(self.jobs(), [])

    def test_without_redis_the_page_says_what_to_do(self):
        self.start_web(REDIS_URL="")
        self.assertIn("paas addons:create redis", self.ask("GET", "/")[1])
        status, page = self.send(6)
        self.assertEqual(status, 503)
        self.assertIn("paas addons:create redis", page)
        worker = self.start([sys.executable, "worker.py"], {"REDIS_URL": ""}, stderr=subprocess.PIPE)
        self.addCleanup(worker.stderr.close)
        self.assertEqual(worker.wait(timeout=20), 1)
        self.assertIn("paas addons:create redis", worker.stderr.read())

    def test_a_wrong_password_is_said(self):
        with self.assertRaises(RedisError):
            Redis(self.url.replace("p%40", "q%40"))("PING")


if __name__ == "__main__":
    unittest.main()
