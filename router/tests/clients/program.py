"""A router program of its own: its table, its certificate, and in the daemon's place a socket that takes its access
lines. For what asks it from outside: the clients of this folder, deploy/nightly and benches/router.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def end_well():
    """SIGTERM is an end like any other: what was started is ended, too. For the main program, before it starts others."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, look, patience=30):
    """Waits for a state, and ends the program where it does not come."""
    end = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            sys.exit(f"waited {patience} s in vain for: {what}")
        time.sleep(0.01)


def answers(port, address="127.0.0.1"):
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


def certificate(directory, names=("localhost", "*.localhost")):
    """Makes cert.pem and key.pem in this directory: ECDSA P-256, signed by itself."""
    cert, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    os.makedirs(directory, exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365",
         "-subj", f"/CN={names[0]}", "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
         "-addext", "extendedKeyUsage=serverAuth", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return cert, key


def app(number, hosts, backends, **rules):
    """An app of the table; `backends` are (address, port)."""
    return {
        "id": str(uuid.UUID(int=0x1000000 + number)), "name": f"app-{number}", "hosts": hosts, "state": "serving",
        "backends": [{"dyno": f"web.{n}", "id": str(uuid.UUID(int=0x2000000 + number * 16 + n)), "addr": f"{host}:{port}"}
                     for n, (host, port) in enumerate(backends, 1)],
        "rules": rules,
    }


def write_table(data_dir, apps):
    """The table as the router itself keeps it: router/src/table_file.rs."""
    table = json.dumps({"instance": str(uuid.UUID(int=1)), "generation": 1, "base_domain": "localhost", "apps": apps})
    header = json.dumps({"format": 1, "sha256": hashlib.sha256(table.encode()).hexdigest()})
    os.makedirs(os.path.join(data_dir, "router"), exist_ok=True)
    with open(os.path.join(data_dir, "router", "table.json"), "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(f"{header}\n{table}\n")


class Daemon:
    """What the router asks of paasd: no newer table, and thanks for access lines, which are counted and dropped. A
    process of its own, so that it may be measured apart."""

    def __init__(self, data_dir):
        os.makedirs(os.path.join(data_dir, "run"), exist_ok=True)
        self.count = multiprocessing.Value("Q", 0)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(data_dir, "run", "control.sock"))
        self.listener.listen(64)
        self.process = multiprocessing.get_context("fork").Process(target=self.serve, daemon=True)
        self.process.start()
        self.listener.close()

    def lines(self):
        return self.count.value

    def serve(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, body = data.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /router/table"):
                # As long as the daemon holds it; the router hangs up when it ends.
                connection.settimeout(20)
                try:
                    connection.recv(1)
                except TimeoutError:
                    pass
            else:
                length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                whole = bytearray(length)
                whole[:len(body)] = body
                at, view = len(body), memoryview(whole)
                while at < length:
                    got = connection.recv_into(view[at:])
                    if not got:
                        return
                    at += got
                with self.count.get_lock():
                    self.count.value += whole.count(b'"app_id"')
            try:
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            except OSError:
                pass

    def end(self):
        self.process.terminate()
        self.process.join()


class Router:
    """The program, from its start to its end. `directory` becomes its data directory."""

    def __init__(self, program, directory, apps, threads=2, settings=None):
        self.dir, self.http, self.https = directory, free_port(), free_port()
        write_table(directory, apps)
        self.cert = os.path.join(directory, "tls", "cert.pem")
        if not os.path.exists(self.cert):
            certificate(os.path.join(directory, "tls"))
        self.daemon = Daemon(directory)
        env = dict(os.environ, PAAS_DATA_DIR=directory, PAAS_HTTP_LISTEN=f"127.0.0.1:{self.http}",
                   PAAS_HTTPS_LISTEN=f"127.0.0.1:{self.https}", PAAS_ROUTER_THREADS=str(threads),
                   PAAS_LOG="warn,hyper=off", **(settings or {}))
        self.log = os.path.join(directory, "router.log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([program], env=env, stdout=log, stderr=log)
        try:
            until("the router takes connections", lambda: self.is_dead() or answers(self.http) and answers(self.https))
            if self.is_dead():
                sys.exit(f"{program} does not start:\n{self.said()}")
        except BaseException:
            self.end()
            raise

    def is_dead(self):
        return self.process.poll() is not None

    def said(self):
        with open(self.log) as log:
            return log.read()

    def status(self):
        """What it says of itself."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.dir, "run", "router.sock"))
            s.sendall(b"GET /status HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n")
            text = b""
            while more := s.recv(65536):
                text += more
        return json.loads(text.split(b"\r\n\r\n", 1)[1])

    def end(self):
        """Gives its exit code."""
        if not self.is_dead():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.daemon.end()
        return code


def default_program():
    """The release build, where there is one."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    places = [os.path.join(ROOT, "dist"), os.path.join(target, "release"), os.path.join(target, "libexec"), os.path.join(target, "debug")]
    return next((path for path in (os.path.join(place, "paas-router") for place in places) if os.access(path, os.X_OK)), None)


class Trial:
    """A router before a backend (`backend.py`), in a directory that goes with it: `with Trial(program) as trial`. It has
    to end well, whatever was done to it."""

    def __init__(self, program, settings=None, **rules):
        self.program, self.settings, self.rules = program, settings, rules

    def __enter__(self):
        from backend import Backend
        self.scratch = tempfile.TemporaryDirectory(prefix="paas-trial-")
        self.dir, self.backend = self.scratch.name, Backend()
        self.router = Router(self.program, os.path.join(self.dir, "data"),
                             [app(1, ["localhost", "127.0.0.1"], [("127.0.0.1", self.backend.port)], **self.rules)], settings=self.settings)
        self.http, self.https = f"http://127.0.0.1:{self.router.http}", f"https://localhost:{self.router.https}"
        return self

    def __exit__(self, kind, error, trace):
        died = self.router.is_dead()
        code, said = self.router.end(), self.router.said()
        self.backend.end()
        self.scratch.cleanup()
        if kind is None and (died or code != 0 or re.search("panicked|ERROR", said)):
            sys.exit(f"The router {'died' if died else 'was ended'} with exit code {code} and said:\n{said[-3000:]}")

    def memory(self):
        """RSS, MiB."""
        with open(f"/proc/{self.router.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


def arguments(about, *more):
    """What each of these programs takes: the router's, and --quick. `more` are (name, default, help) of numbers."""
    end_well()
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("router", nargs="?", default=default_program(), help="the program paas-router (default: dist, then target)")
    parser.add_argument("--quick", action="store_true", help="what is done in seconds")
    for name, default, text in more:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    options = parser.parse_args()
    if not options.router:
        parser.error("there is no paas-router: build it, or name it")
    return options
