"""The Autobahn cases (RFC 6455 and 7692) through the router: a real server as the dyno, a fuzzing client in front.

What the server passes alone, it has to pass behind the router.
"""

import argparse
import asyncio
import logging
import os
import socket
import ssl
import sys
import tempfile

import kosoku
from websockets.asyncio import messages
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

import program

# A thousand compressed messages each: minutes, most of them zlib's. A few of the kind are left.
LONG = ["12.1.1*", "12.2.*", "12.3.*", "12.4.*", "12.5.*", "13.*"]


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def verdicts(port, include, exclude=None, concurrency=4):
    """Those of all cases, by their names."""
    try:
        results = await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{port}", include, exclude, concurrency)
    except kosoku.FailureError as error:
        results = error.results
    return {result.case_id: result for result in results}


async def byte_for_byte(router, tls):
    """Autobahn counts the bytes of big messages, and has no TLS: one in one piece, one in many, and a ping between them."""
    context = ssl.create_default_context(cafile=router.cert) if tls else None
    sock = socket.create_connection(("127.0.0.1", router.https if tls else router.http))
    whole, pieces = os.urandom(16 << 20), [os.urandom(10_000) for _ in range(100)]
    try:
        async with connect("wss://localhost/" if tls else "ws://localhost/", ssl=context, sock=sock, max_size=None, close_timeout=20) as connection:
            await connection.send(whole)
            await (await connection.ping())
            await connection.send(pieces)
            well = [await connection.recv(), await connection.recv()] == [whole, b"".join(pieces)]
    except (OSError, WebSocketException) as error:
        well = False
        print(f"{'with' if tls else 'without'} TLS: {error!r}")
    print(f"messages {'with' if tls else 'without'} TLS {'come back byte for byte' if well else 'do not come back as they went'}")
    return well


async def compare(options, dyno, router):
    async with serve(echo, "127.0.0.1", dyno, max_size=None, ping_interval=None, close_timeout=5):
        exclude = LONG if options.quick else None
        alone, through = await verdicts(dyno, options.include, exclude), await verdicts(router.http, options.include, exclude)
        # Some have a limit of time, which a busy machine may miss: alone, they have no excuse.
        doubtful = [name for name, result in through.items() if alone[name].passed and not result.passed]
        again = await verdicts(router.http, doubtful, concurrency=1) if doubtful else {}
        well = [await byte_for_byte(router, tls) for tls in (False, True)]
    wrong = 0
    for name, result in again.items():
        if not result.passed:
            wrong += 1
            print(f"case {name} passes without the router, and is {result.behavior.value}, {result.behavior_close.value} through it: "
                  f"{result.result} {result.result_close}")
    failed = [name for name, result in alone.items() if not result.passed]
    print(f"{len(through) - wrong} of {len(through)} WebSocket cases pass through the router or fail without it, too"
          + (f"; the server itself fails {', '.join(failed)}" if failed else ""))
    return all(well) and wrong == 0 and len(through) > 0


def main():
    program.end_well()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("router", help="the program paas-router")
    parser.add_argument("--include", action="append", help="a case or a glob such as 9.* (all, if there is none)")
    parser.add_argument("--quick", action="store_true", help="with few cases of compression")
    options = parser.parse_args()
    # Cases of 4 MB in pieces of 64 bytes have more than it allows.
    messages.MAX_FRAGMENTS = 1 << 20
    # The cases break every rule; the server has nothing to tell of that.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="paas-websocket-") as directory:
        dyno = program.free_port()
        router = program.Router(options.router, directory, [program.app(1, ["127.0.0.1", "localhost"], [("127.0.0.1", dyno)])])
        try:
            well = asyncio.run(compare(options, dyno, router))
        finally:
            router.end()
    sys.exit(0 if well else 1)


main()
