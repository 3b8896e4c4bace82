"""The web process: a page with a form, and the jobs as JSON for the page to poll."""

import html
import json
import os
import pathlib
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template
from urllib.parse import parse_qs

import jobs
from tiny_redis import Redis, RedisError

PAGE = Template((pathlib.Path(__file__).parent / "page.html").read_text())
DYNO = os.environ.get("DYNO") or os.environ.get("PS") or "web"
RELEASE = os.environ.get("HEROKU_RELEASE_VERSION", "")
LONGEST_BODY = 1000
LARGEST = 10**14


class Bad(Exception):
    """What the visitor sent can't be used."""


def redis():
    """One connection for all; made when it is first needed, so that the page works without."""
    global _redis
    with _lock:
        if _redis is None:
            _redis = Redis()
        return _redis


_redis, _lock = None, threading.Lock()


class Handler(BaseHTTPRequestHandler):
    timeout = 20

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/":
            self.page(200)
        elif path == "/jobs.json":
            self.answer(200, "application/json", json.dumps(self.jobs()))
        elif path == "/health":
            self.answer(200, "text/plain", "ok\n")
        else:
            self.page(404, "There is no such page.")

    do_HEAD = do_GET

    def do_POST(self):
        if self.path != "/jobs":
            return self.page(404, "There is no such page.")
        try:
            jobs.add(redis(), self.number())
        except Bad as bad:
            return self.page(400, str(bad))
        except (RedisError, OSError, EOFError) as error:
            return self.page(503, f"The number could not be queued: {error}")
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def number(self):
        try:
            size = int(self.headers.get("Content-Length") or "")
        except ValueError:
            raise Bad("Send a form.") from None
        if not 0 <= size <= LONGEST_BODY:
            raise Bad("That is too long.")
        form = parse_qs(self.rfile.read(size).decode("utf-8", "replace"))
        text = form.get("number", [""])[0].replace(" ", "").replace(",", "")
        if not (text.isascii() and text.isdigit()) or len(text) > 15 or not 2 <= int(text) <= LARGEST:
            raise Bad("Give a whole number from 2 to 100,000,000,000,000.")
        return int(text)

    def jobs(self):
        try:
            return {"jobs": jobs.recent(redis())}
        except (RedisError, OSError, EOFError) as error:
            return {"jobs": [], "trouble": str(error)}

    def page(self, status, message=""):
        filled = PAGE.substitute(
            message=f'<p class="message" role="alert">{html.escape(message)}</p>' if message else "",
            # "<" is written so that no job can end the script that it stands in.
            jobs=json.dumps(self.jobs()).replace("<", "\\u003c"),
            served=html.escape(f"{DYNO} · release {RELEASE}" if RELEASE else DYNO),
        )
        self.answer(status, "text/html; charset=utf-8", filled)

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """The router logs every request; the app says only what the router can't know."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # requests under way are finished before the process ends


def main():
    server = Server(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler)

    def stop(*_):
        print("SIGTERM: finishing the requests under way", flush=True)
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    print("bye", flush=True)


if __name__ == "__main__":
    main()
