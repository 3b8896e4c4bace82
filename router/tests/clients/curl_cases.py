"""curl and nghttp as visitors: HTTP/1.0, 1.1 and 2, plain and with TLS, and what of it the dyno and the visitor see."""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

from backend import LARGE, SMALL
import program


class Answer:
    """What curl got: `headers` with lower-case names, the last of each name."""

    def __init__(self, done, head, body, facts):
        self.exit, self.body = done.returncode, body
        self.facts, self.headers = facts, {}
        self.status = facts.get("http_code", 0)
        for line in head.split("\r\n")[1:]:
            if ": " in line:
                name, value = line.split(": ", 1)
                self.headers[name.lower()] = value


class Visitor:
    """curl, by one version of HTTP to one of the router's ports."""

    def __init__(self, trial, name, url, *options):
        self.trial, self.name, self.url, self.options = trial, name, url, options

    def can_not_reuse(self):
        """curl 7.88 breaks a connection by prior knowledge that it uses again, with every server; 8.0 doesn't. nghttp stands in."""
        version = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split()[1]
        return "--http2-prior-knowledge" in self.options and int(version.split(".")[0]) < 8

    def ask(self, path, *options, host=None, body=None):
        where = os.path.join(self.trial.dir, f"curl-{self.name.replace('/', '')}")
        argv = ["curl", "-sS", "--noproxy", "*", "--cacert", self.trial.router.cert, "--max-time", "60", "-o", f"{where}-body", "-D", f"{where}-head",
                "-w", "%{json}", *self.options, *options]
        if host:
            argv += ["-H", f"Host: {host}"]
        for kind in ("body", "head"):
            with open(f"{where}-{kind}", "wb"):
                pass
        done = subprocess.run([*argv, f"{self.url}{path}"], capture_output=True, input=body)
        with open(f"{where}-body", "rb") as file:
            got = file.read()
        with open(f"{where}-head", encoding="latin-1", newline="") as file:
            # Those of an interim answer stand before.
            head = file.read().strip("\r\n").split("\r\n\r\n")[-1]
        return Answer(done, head, got, json.loads(done.stdout or b"{}"))


def case_get(visitor):
    answer = visitor.ask("/small")
    equal((answer.status, answer.body), (200, SMALL), "answer")
    equal((answer.headers["content-length"], answer.headers["content-type"]), (str(len(SMALL)), "text/plain"), "headers")


def case_head(visitor):
    answer = visitor.ask("/small", "-I")
    equal((answer.exit, answer.status, answer.headers["content-length"]), (0, 200, str(len(SMALL))), "answer to HEAD")


def case_answers_without_a_body(visitor):
    for status in (204, 304):
        answer = visitor.ask(f"/status/{status}")
        equal((answer.exit, answer.status, answer.body, answer.headers["etag"]), (0, status, b"", '"one"'), "answer")


def case_statuses_pass(visitor):
    for status in (201, 301, 418, 500, 503, 599):
        answer = visitor.ask(f"/status/{status}")
        equal((answer.exit, answer.status, answer.body), (0, status, SMALL), "answer")


def case_bodies_there(visitor):
    for size in (0, 1, 1000, 65536, 5_000_000):
        body = os.urandom(size)
        answer = visitor.ask("/digest", "--data-binary", "@-", body=body)
        equal(digest_of(answer), ("POST", size, hashlib.sha256(body).hexdigest()), f"body of {size} bytes")


def case_bodies_of_unknown_length_there(visitor):
    if visitor.name == "HTTP/1.0":
        return
    body = os.urandom(3_000_000)
    answer = visitor.ask("/digest", "-T", "-", body=body)
    equal(digest_of(answer), ("PUT", len(body), hashlib.sha256(body).hexdigest()), "body")


def case_bodies_back(visitor):
    equal(visitor.ask("/large").body == LARGE, True, "100 KB")
    equal(len(visitor.ask("/megabytes/40").body), 40 << 20, "40 MB")
    answer = visitor.ask("/until-closed")
    equal((answer.exit, answer.body == LARGE), (0, True), "body that ends with its connection")
    answer = visitor.ask("/trailers")
    equal((answer.exit, answer.body), (0, b"hello"), "body with trailers")


def case_a_visitor_who_reads_slowly(visitor):
    answer = visitor.ask("/megabytes/4", "--limit-rate", "2M")
    equal((answer.exit, len(answer.body)), (0, 4 << 20), "body read at 2 MB/s")


def case_expect_100(visitor):
    # curl sends the body without being asked to after this many seconds; to HTTP/1.0 there is no such answer.
    patience = 20 if "1.1" in visitor.name else 0.1
    answer = visitor.ask("/digest", "--data-binary", "@-", "-H", "Expect: 100-continue", "--expect100-timeout", str(patience), body=b"x" * 5000)
    equal((digest_of(answer)[1], answer.facts["time_total"] < 15), (5000, True), "body after 100 Continue")


def case_expect_something_else(visitor):
    equal(visitor.ask("/small", "-H", "Expect: miracles").status, 417, "status")


def case_an_answer_before_the_body_has_ended(visitor):
    answer = visitor.ask("/refuse", "--data-binary", "@-", "-H", "Expect:", body=b"x" * 2_000_000)
    equal((answer.status, answer.body), (413, b"too much\n"), "answer")


def case_a_dyno_that_hangs_up(visitor):
    answer = visitor.ask("/drop")
    equal((answer.exit, answer.status), (0, 503), "answer")


def case_a_host_that_nobody_has(visitor):
    equal(visitor.ask("/small", host="nobody.example").status, 404, "status")


def case_bytes_that_look_compressed(visitor):
    answer = visitor.ask("/compressed")
    equal((answer.body, answer.headers["content-encoding"], answer.headers["vary"]), (b"\x1f\x8bnot at all", "gzip", "Accept-Encoding"), "answer")


def case_two_cookies(visitor):
    answer = visitor.ask("/cookies")
    equal(answer.status, 200, "status")
    with open(os.path.join(visitor.trial.dir, f"curl-{visitor.name.replace('/', '')}-head")) as file:
        equal(sum(line.lower().startswith("set-cookie:") for line in file), 2, "Set-Cookie lines")


def case_what_the_dyno_is_told(visitor):
    answer = visitor.ask("/headers?a=1&b=%20", "-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Request-Id: 0123456789abcdefghij", "-H", "Connection: X-Hop, keep-alive",
                         "-H", "X-Hop: 1", "-H", "X_Forwarded_Proto: evil", "-H", "X-Own: kept", "-H", "Proxy-Connection: keep-alive", "-b", "a=1; b=2")
    got = {}
    for name, value in json.loads(answer.body):
        equal(name.lower() in got, False, f"{name} twice")
        got[name.lower()] = value
    https = visitor.url.startswith("https")
    port = visitor.trial.router.https if https else visitor.trial.router.http
    wanted = {"x-forwarded-for": "192.0.2.1,127.0.0.1", "x-forwarded-proto": "https" if https else "http", "x-forwarded-port": str(port),
              "x-request-id": "0123456789abcdefghij", "x-own": "kept", "cookie": "a=1; b=2", "host": f"{visitor.url.split('/')[2]}"}
    got["x-forwarded-for"] = got["x-forwarded-for"].replace(", ", ",")
    equal({name: got.get(name) for name in wanted}, wanted, "headers at the dyno")
    # curl sends no Connection by HTTP/2, and so names nothing there.
    hops = ("x_forwarded_proto", "proxy-connection", *(("x-hop",) if "HTTP/1" in visitor.name else ()))
    equal([name for name in hops if name in got], [], "headers that stop at the router")
    equal("x-request-start" in got and "via" in got, True, "X-Request-Start and Via")


def case_headers_that_are_long(visitor):
    equal(visitor.ask("/small", "-H", f"X-Long: {'x' * 8000}").status, 200, "status with 8,000 bytes")
    equal(visitor.ask("/small", "-H", f"X-Long: {'x' * 9000}").status, 400, "status with 9,000 bytes")
    equal(visitor.ask(f"/small?{'x' * 8000}").status, 200, "status of a target of 8,000 bytes")
    equal(visitor.ask(f"/small?{'x' * 9000}").status, 400, "status of a target of 9,000 bytes")


def case_one_connection_for_many_requests(visitor):
    if visitor.name == "HTTP/1.0" or visitor.can_not_reuse():
        return
    more = [word for _ in range(9) for word in ("-o", "/dev/null", f"{visitor.url}/small")]
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", visitor.trial.router.cert, *visitor.options, "-w", "%{http_code} %{num_connects}\n",
                           "-o", "/dev/null", f"{visitor.url}/small", *more], capture_output=True, text=True)
    equal(done.stdout.split("\n")[:10], ["200 1", *["200 0"] * 9], "statuses and new connections")


def case_many_at_once(visitor):
    if visitor.can_not_reuse():
        return
    more = [word for n in range(200) for word in ("-o", "/dev/null", f"{visitor.url}/{'large' if n % 2 else 'small'}")]
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", visitor.trial.router.cert, *visitor.options, "--parallel", "--parallel-max", "100",
                           "-w", "%{http_code}\n", *more], capture_output=True, text=True)
    equal((done.returncode, done.stdout.split()), (0, ["200"] * 200), "statuses")


# --- what only one kind of visitor can do ---------------------------------------------------------


def case_connect_is_refused(trial):
    answer = Visitor(trial, "CONNECT", trial.http, "--http1.1").ask("", "-X", "CONNECT", "--request-target", "localhost:22")
    equal(answer.status, 405, "status")


def case_versions_of_tls(trial):
    for wanted, options in ((True, ("--tlsv1.3",)), (True, ("--tlsv1.2", "--tls-max", "1.2")), (False, ("--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"))):
        equal(Visitor(trial, "TLS", trial.https).ask("/small", *options).exit == 0, wanted, f"a connection by {options[-1]}")


def case_no_server_name(trial):
    answer = Visitor(trial, "TLS", f"https://127.0.0.1:{trial.router.https}", "--insecure").ask("/small")
    equal((answer.status, answer.body), (200, SMALL), "answer")


def case_plain_http_on_the_tls_port(trial):
    answer = Visitor(trial, "wrong port", f"http://127.0.0.1:{trial.router.https}").ask("/small")
    equal(answer.status == 200, False, "success")
    equal(Visitor(trial, "HTTP/1.1", trial.http).ask("/small").status, 200, "others are served")


def case_h2c_is_not_upgraded_to(trial):
    """The dyno must not be talked into a protocol behind the router's back. By prior knowledge the router speaks it itself."""
    answer = Visitor(trial, "h2c", trial.http, "--http2").ask("/headers")
    got = {name.lower(): value for name, value in json.loads(answer.body)}
    equal((answer.status, answer.facts["http_version"], got.get("upgrade"), got.get("http2-settings")), (200, "1.1", None, None), "answer")


def case_nghttp_with_trailers(trial):
    body = os.path.join(trial.dir, "upload")
    with open(body, "wb") as file:
        file.write(LARGE)
    for url in (trial.https, trial.http):
        done = subprocess.run(["nghttp", "--no-content-length", "--data", body, "--trailer", "x-sum: five", f"{url}/digest"], capture_output=True, text=True)
        said = json.loads(done.stdout)
        equal((said["bytes"], [line.lower() for line in said["trailers"]]), (len(LARGE), ["x-sum: five"]), "body and trailers at the dyno")
        done = subprocess.run(["nghttp", "-v", f"{url}/trailers"], capture_output=True, text=True)
        equal("x-sum: five" in done.stdout, True, "trailers at the visitor")


def case_nghttp_with_many_streams(trial):
    for url in (trial.https, trial.http):
        done = subprocess.run(["nghttp", "-ns", "-m", "300", "--window-bits", "10", f"{url}/large"], capture_output=True, text=True)
        statuses = [line.split()[4] for line in done.stdout.splitlines() if line.strip().endswith("/large")]
        equal((len(statuses), set(statuses)), (300, {"200"}), "300 streams with a window of 1 KB")


# --------------------------------------------------------------------------------------------------


def digest_of(answer):
    equal((answer.exit, answer.status), (0, 200), "exit code and status")
    said = json.loads(answer.body)
    return said["method"], said["bytes"], said["sha256"]


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:300]} came, {str(wanted)[:300]} was due")


def main():
    options = program.arguments(__doc__)
    os.environ["NO_PROXY"] = "*"
    # Two of them at once have more requests than one dyno may have (H11).
    with program.Trial(options.router, concurrency=100_000) as trial:
        visitors = [Visitor(trial, "HTTP/1.0", trial.http, "--http1.0"), Visitor(trial, "HTTP/1.1", trial.http, "--http1.1"),
                    Visitor(trial, "HTTP/1.1 with TLS", trial.https, "--http1.1"), Visitor(trial, "HTTP/2", trial.https, "--http2"),
                    Visitor(trial, "HTTP/2 without TLS", trial.http, "--http2-prior-knowledge")]
        count = wrong = 0

        def tried(visitor):
            nonlocal count, wrong
            for name, case in list(globals().items()):
                takes = case.__code__.co_varnames[0] if name.startswith("case_") else None
                if takes != ("visitor" if visitor else "trial"):
                    continue
                count += 1
                try:
                    case(visitor or trial)
                except (AssertionError, KeyError, ValueError) as error:
                    wrong += 1
                    why = error if isinstance(error, AssertionError) else repr(error)
                    print(f"{visitor.name + ': ' if visitor else ''}{name[5:].replace('_', ' ')}: {why}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(tried, [*visitors, None]))
    print(f"{count - wrong} of {count} cases of {', '.join(visitor.name for visitor in visitors)} went well")
    sys.exit(1 if wrong else 0)


main()
