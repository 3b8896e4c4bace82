"""gRPC from end to end: a client over HTTP/2, with TLS and without, the router, and a server that speaks HTTP/2 without TLS as the dyno.

Messages are plain bytes: what is tried is the way there and back, and no schema is needed for it.
"""

import argparse
import concurrent.futures
import os
import sys
import tempfile
import threading

import grpc

import program

MEGABYTE = 1 << 20
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 32 * MEGABYTE), ("grpc.max_send_message_length", 32 * MEGABYTE)]
# Calls that hang end by this, as an error. Seconds.
PATIENCE = 30


class Service(grpc.GenericRpcHandler):
    """The dyno's side. `cancelled` has a place for each call that its client gave up."""

    def __init__(self):
        self.cancelled = threading.Semaphore(0)
        self.methods = {
            "/test.Calls/Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "/test.Calls/Count": grpc.unary_stream_rpc_method_handler(self.count),
            "/test.Calls/Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "/test.Calls/Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "/test.Calls/Metadata": grpc.unary_unary_rpc_method_handler(self.metadata),
            "/test.Calls/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/test.Calls/FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "/test.Calls/Hang": grpc.unary_stream_rpc_method_handler(self.hang),
        }

    def service(self, details):
        return self.methods.get(details.method)

    def echo(self, request, context):
        return request

    def count(self, request, context):
        return (b"%d" % n for n in range(int(request)))

    def sum(self, requests, context):
        return b"%d" % sum(map(int, requests))

    def chat(self, requests, context):
        yield from requests

    def metadata(self, request, context):
        sent = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-test-")]
        context.send_initial_metadata(sent)
        context.set_trailing_metadata(sent)
        return b""

    def fail(self, request, context):
        context.set_trailing_metadata([("x-test-why-bin", bytes(range(256)))])
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ü, %, \n")

    def fail_late(self, request, context):
        yield b"one"
        yield b"two"
        context.abort(grpc.StatusCode.DATA_LOSS, "the third is gone")

    def hang(self, request, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        context.add_callback(self.cancelled.release)
        yield b"begun"
        gone.wait(PATIENCE)


class Calls:
    """The client's side: each `test_` is one case."""

    def __init__(self, channel, service):
        self.service = service
        self.echo, self.metadata, self.fail, self.nobody = (channel.unary_unary(f"/test.Calls/{name}") for name in ("Echo", "Metadata", "Fail", "Nobody"))
        self.count, self.fail_late, self.hang = (channel.unary_stream(f"/test.Calls/{name}") for name in ("Count", "FailLate", "Hang"))
        self.sum, self.chat = channel.stream_unary("/test.Calls/Sum"), channel.stream_stream("/test.Calls/Chat")

    def test_messages_of_every_size(self):
        for size in (0, 1, 16383, 16384, 65535, 65536, MEGABYTE, 16 * MEGABYTE):
            message = os.urandom(size)
            equal(self.echo(message, timeout=PATIENCE), message, f"{size} bytes")

    def test_a_compressed_message(self):
        message = b"again " * 100_000
        equal(self.echo(message, timeout=PATIENCE, compression=grpc.Compression.Gzip), message, "compressed")

    def test_many_answers_to_one_message(self):
        equal(list(self.count(b"2000", timeout=PATIENCE)), [b"%d" % n for n in range(2000)], "answers")

    def test_one_answer_to_many_messages(self):
        equal(self.sum((b"%d" % n for n in range(2000)), timeout=PATIENCE), b"%d" % sum(range(2000)), "sum")

    def test_talk_in_turn(self):
        """A message is sent only when the answer to the one before is there: nothing may be held back on the way."""
        turn = threading.Semaphore(1)

        def messages():
            for n in range(200):
                turn.acquire()
                yield b"%d" % n
        got = []
        for answer in self.chat(messages(), timeout=PATIENCE):
            got.append(answer)
            turn.release()
        equal(got, [b"%d" % n for n in range(200)], "answers in turn")

    def test_much_in_both_directions(self):
        messages = [os.urandom(100_000) for _ in range(200)]
        equal(list(self.chat(iter(messages), timeout=PATIENCE)), messages, "20 MB there and back")

    def test_many_calls_at_once(self):
        calls = [self.echo.future(b"%d" % n, timeout=PATIENCE) for n in range(500)]
        equal([call.result() for call in calls], [b"%d" % n for n in range(500)], "500 calls on one connection")

    def test_metadata_goes_both_ways(self):
        sent = (("x-test-text", "some words"), ("x-test-many", "one"), ("x-test-many", "two"), ("x-test-some-bin", bytes(range(256))))
        _, call = self.metadata.with_call(b"", metadata=sent, timeout=PATIENCE)
        for where, got in (("initial", call.initial_metadata()), ("trailing", call.trailing_metadata())):
            equal(sorted((key, value) for key, value in got if key.startswith("x-test-")), sorted(sent), f"{where} metadata")

    def test_an_error_with_its_trailers(self):
        error = failure(lambda: self.fail(b"", timeout=PATIENCE))
        equal((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such thing: ü, %, \n"), "status")
        equal(dict(error.trailing_metadata())["x-test-why-bin"], bytes(range(256)), "trailing metadata of an error")

    def test_an_error_after_answers(self):
        call, got = self.fail_late(b"", timeout=PATIENCE), []
        error = failure(lambda: got.extend(iter(call.next, None)))
        equal((got, error.code(), error.details()), ([b"one", b"two"], grpc.StatusCode.DATA_LOSS, "the third is gone"), "answers and status")

    def test_a_method_that_is_not_there(self):
        equal(failure(lambda: self.nobody(b"", timeout=PATIENCE)).code(), grpc.StatusCode.UNIMPLEMENTED, "status")

    def test_a_deadline_ends_the_call_on_both_sides(self):
        call = self.hang(b"", timeout=1)
        equal(next(call), b"begun", "first answer")
        equal(failure(lambda: next(call)).code(), grpc.StatusCode.DEADLINE_EXCEEDED, "status")
        equal(self.service.cancelled.acquire(timeout=PATIENCE), True, "the server hears of it")

    def test_a_client_that_gives_up_is_told_to_the_server(self):
        call = self.hang(b"", timeout=PATIENCE)
        equal(next(call), b"begun", "first answer")
        call.cancel()
        equal(self.service.cancelled.acquire(timeout=PATIENCE), True, "the server hears of it")


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:200]} came, {str(wanted)[:200]} was due")


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("there was no error")


def try_all(channel, service):
    calls, wrong = Calls(channel, service), 0
    tests = [name for name in dir(calls) if name.startswith("test_")]
    for name in tests:
        try:
            getattr(calls, name)()
        except (AssertionError, grpc.RpcError, StopIteration) as error:
            wrong += 1
            why = f"{error.code()}: {error.details()}" if isinstance(error, grpc.RpcError) else error
            print(f"{name[5:].replace('_', ' ')}: {why}")
    return len(tests), wrong


def main():
    program.end_well()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("router", nargs="?", help="the program paas-router; without it the server is called directly")
    options = parser.parse_args()
    port = program.free_port()
    if options.router:
        with tempfile.TemporaryDirectory(prefix="paas-grpc-") as directory:
            router = program.Router(options.router, directory, [program.app(1, ["localhost"], [("127.0.0.1", port)], http2=True, concurrency=100_000)])
            try:
                with open(router.cert, "rb") as file:
                    credentials = grpc.ssl_channel_credentials(file.read())
                secure = grpc.secure_channel(f"127.0.0.1:{router.https}", credentials, [*OPTIONS, ("grpc.ssl_target_name_override", "localhost")])
                plain = grpc.insecure_channel(f"127.0.0.1:{router.http}", [*OPTIONS, ("grpc.default_authority", "localhost")])
                count, wrong = serve_and_try(port, secure, plain)
            finally:
                router.end()
    else:
        count, wrong = serve_and_try(port, grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS))
    print(f"{count - wrong} of {count} kinds of gRPC calls went well")
    sys.exit(1 if wrong else 0)


def serve_and_try(port, *channels):
    service = Service()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), handlers=[service], options=OPTIONS)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    count = wrong = 0
    try:
        for channel in channels:
            with channel:
                tried, failed = try_all(channel, service)
            count, wrong = count + tried, wrong + failed
        return count, wrong
    finally:
        server.stop(None).wait()


main()
