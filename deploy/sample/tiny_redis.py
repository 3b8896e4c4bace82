"""A Redis client in a few lines, so that this app has nothing to install.

A real app uses the `redis` package. What this one shows is all there is to it: the address
and the password come from REDIS_URL, which the add-on sets.
"""

import os
import socket
import ssl
import threading
from urllib.parse import unquote, urlsplit


class RedisError(Exception):
    """Redis was reached and said no."""


class Redis:
    """One connection, shared by threads, made anew when it breaks."""

    def __init__(self, url=None):
        self.url = urlsplit(url or os.environ.get("REDIS_URL", ""))
        self.lock = threading.Lock()
        self.stream = None
        if self.url.scheme not in ("redis", "rediss") or not self.url.hostname:
            raise RedisError("REDIS_URL is not set; run: paas addons:create redis")

    def __call__(self, *words):
        """Sends a command: redis("SET", "key", "value")."""
        with self.lock:
            fresh = self.stream is None
            try:
                return self._ask(words)
            except (OSError, EOFError):
                self._close()
                if fresh:
                    raise
                return self._ask(words)  # an idle connection is cut off now and then

    def _ask(self, words):
        if self.stream is None:
            self._connect()
        parts = [str(word).encode() for word in words]
        body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.stream.write(b"*%d\r\n%s" % (len(parts), body))
        self.stream.flush()
        return self._read()

    def _connect(self):
        url = self.url
        plain = socket.create_connection((url.hostname, url.port or 6379), timeout=10)
        if url.scheme == "rediss":  # Redis add-ons have certificates of their own making
            context = ssl._create_unverified_context()
            plain = context.wrap_socket(plain, server_hostname=url.hostname)
        self.stream = plain.makefile("rwb")
        plain.close()  # the stream keeps the connection
        try:
            if url.password:
                user = [unquote(url.username)] if url.username not in (None, "", "h") else []
                self._ask(["AUTH", *user, unquote(url.password)])
            if url.path.strip("/"):
                self._ask(["SELECT", url.path.strip("/")])
        except RedisError:
            self._close()
            raise

    def _close(self):
        if self.stream is not None:
            try:
                self.stream.close()
            except OSError:
                pass
            self.stream = None

    def _read(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.stream.read(size + 2)[:-2].decode()
        if kind == b"*":
            return None if int(rest) < 0 else [self._read() for _ in range(int(rest))]
        raise RedisError(f"no Redis answers there, but something that says {line!r}")
