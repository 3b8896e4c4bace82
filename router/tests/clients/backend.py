"""A dyno for the clients of this folder: an HTTP/1.1 server that does what its path says. A process of its own."""

import asyncio
import gc
import hashlib
import json
import multiprocessing
import signal

import program

SMALL = b"hello world\n"
LARGE = bytes(range(256)) * 400


class Backend:
    def __init__(self):
        self.port = program.free_port()
        self.process = multiprocessing.get_context("fork").Process(target=run, args=(self.port,), daemon=True)
        self.process.start()
        program.until("the backend takes connections", lambda: program.answers(self.port))

    def end(self):
        self.process.terminate()
        self.process.join()


def run(port):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()

    async def serve():
        server = await asyncio.start_server(connection, "127.0.0.1", port, backlog=4096, limit=1 << 20)
        async with server:
            await server.serve_forever()
    asyncio.run(serve())


async def connection(reader, writer):
    try:
        while await request(reader, writer):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def request(reader, writer):
    """One exchange; whether another may follow."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = [line.split(": ", 1) for line in head[1:] if line]
    _, what, *rest = target.split("?")[0].split("/")
    body = Body(reader, {name.lower(): value for name, value in headers})
    return await ANSWERS.get(what, missing)(writer, method, rest, headers, body) is not False


class Body:
    """What the client sends, piece by piece; `trailers` is there after the last."""

    def __init__(self, reader, headers):
        self.reader, self.trailers = reader, []
        self.chunked = headers.get("transfer-encoding") == "chunked"
        self.length = int(headers.get("content-length", 0))

    async def pieces(self):
        if not self.chunked:
            while self.length:
                piece = await self.reader.read(min(self.length, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", self.length)
                self.length -= len(piece)
                yield piece
            return
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        while (line := (await self.reader.readuntil(b"\r\n")).strip()):
            self.trailers.append(line.decode("latin-1"))

    async def whole(self):
        return b"".join([piece async for piece in self.pieces()])


def head(status, *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


async def send(writer, status, body, *headers, method="GET"):
    writer.write(head(status, f"Content-Length: {len(body)}", *headers) + (b"" if method == "HEAD" else body))
    await writer.drain()


async def small(writer, method, rest, headers, body):
    await send(writer, "200 OK", SMALL, "Content-Type: text/plain", method=method)


async def large(writer, method, rest, headers, body):
    await send(writer, "200 OK", LARGE, "Content-Type: application/octet-stream", method=method)


async def megabytes(writer, method, rest, headers, body):
    """/megabytes/N: as many, always the same ones."""
    count = int(rest[0])
    writer.write(head("200 OK", f"Content-Length: {count << 20}"))
    for _ in range(count * 16):
        writer.write(LARGE[:65536])
        await writer.drain()


async def digest(writer, method, rest, headers, body):
    """How many bytes came, which, and with which trailers."""
    count, sum_ = 0, hashlib.sha256()
    async for piece in body.pieces():
        count += len(piece)
        sum_.update(piece)
    text = json.dumps({"method": method, "bytes": count, "sha256": sum_.hexdigest(), "trailers": body.trailers})
    await send(writer, "200 OK", text.encode(), "Content-Type: application/json")


async def request_headers(writer, method, rest, headers, body):
    await send(writer, "200 OK", json.dumps(headers).encode(), "Content-Type: application/json", method=method)


async def status(writer, method, rest, headers, body):
    """/status/N"""
    if rest[0] in ("204", "304"):
        writer.write(head(f"{rest[0]} No Body", "ETag: \"one\""))
    else:
        await send(writer, f"{rest[0]} Some Words", SMALL, method=method)


async def trailers(writer, method, rest, headers, body):
    writer.write(head("200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum") + b"5\r\nhello\r\n0\r\nX-Sum: five\r\n\r\n")


async def until_closed(writer, method, rest, headers, body):
    """Neither length nor chunks: the end of the connection is the end of the body."""
    writer.write(head("200 OK", "Connection: close") + LARGE)
    await writer.drain()
    return False


async def drop(writer, method, rest, headers, body):
    return False


async def refuse(writer, method, rest, headers, body):
    """An answer before the body has been read, which goes on to be read."""
    await send(writer, "413 Too Much", b"too much\n")
    await body.whole()


async def events(writer, method, rest, headers, body):
    """A stream without an end."""
    writer.write(head("200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked") + b"d\r\ndata: begun\n\n\r\n")
    await writer.drain()
    await body.reader.read(1)
    return False


async def compressed(writer, method, rest, headers, body):
    """Bytes that only claim to be compressed: nobody on the way may look inside."""
    await send(writer, "200 OK", b"\x1f\x8bnot at all", "Content-Encoding: gzip", "Vary: Accept-Encoding", method=method)


async def cookies(writer, method, rest, headers, body):
    await send(writer, "200 OK", SMALL, "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/", method=method)


async def missing(writer, method, rest, headers, body):
    await body.whole()
    await send(writer, "404 Not Found", b"no such path\n", method=method)


ANSWERS = {
    "small": small, "large": large, "megabytes": megabytes, "digest": digest, "headers": request_headers, "status": status,
    "trailers": trailers, "until-closed": until_closed, "drop": drop, "refuse": refuse, "events": events, "compressed": compressed,
    "cookies": cookies,
}
