"""RFC 9113 and 7541, rule by rule, by frames made by hand: what breaks a rule ends the stream or the connection with the
error that the RFC names, what only looks odd does not, and others are served meanwhile.

Where the RFC asks for an error of a stream, one of the connection is right as well (5.4.2); where it asks for one of the
connection, so is just closing it (5.4.1). A request that is malformed may be answered with 400 instead (8.1.1). The crate
h2 says PROTOCOL_ERROR for most errors of a connection, whatever their own name: that is let pass, since they end it.
"""

import http.client
import socket
import ssl
import struct
import sys

import hpack

import program

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, TIMEOUT, CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(12)
ERRORS = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
          "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(":method", "GET"), (":scheme", "https"), (":path", "/small"), (":authority", "localhost")]
POST = [(":method", "POST"), (":scheme", "https"), (":path", "/digest"), (":authority", "localhost")]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(number, value):
    return struct.pack(">HI", number, value)


def block(fields):
    """Literals without Huffman and without the table, so that anything can be said."""
    def text(value):
        value = value.encode("latin-1") if isinstance(value, str) else value
        return length(len(value)) + value

    def length(size):
        if size < 127:
            return bytes([size])
        rest, out = size - 127, [127]
        while rest >= 128:
            out.append(rest % 128 + 128)
            rest //= 128
        return bytes([*out, rest])
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields)


def headers(stream, fields, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(fields))


class Connection:
    """Over TLS, with the preface and settings exchanged."""

    def __init__(self, router, settings=b"", preface=PREFACE):
        context = ssl.create_default_context(cafile=router.cert)
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", router.https), timeout=20), server_hostname="localhost")
        self.buffer, self.decoder, self.ended = b"", hpack.Decoder(), None
        self.statuses, self.resets, self.bytes, self.pings, self.acks, self.done = {}, {}, {}, [], 0, set()
        self.send(preface + (frame(SETTINGS, 0, 0, settings) if preface == PREFACE else b""))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # What the other side did is read, whatever of this it took.

    def until(self, look, patience=10):
        """Reads frames until `look()`; false when the connection ends, or nothing comes, before that."""
        self.socket.settimeout(patience)
        while not look():
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                more = b""
            if not more:
                self.ended = self.ended or "closed"
                return look()
            self.buffer += more
            while len(self.buffer) >= 9 and len(self.buffer) >= 9 + (size := int.from_bytes(self.buffer[:3], "big")):
                kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                self.take(kind, flags, stream, self.buffer[9:9 + size])
                self.buffer = self.buffer[9 + size:]
        return True

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            fields = dict(self.decoder.decode(payload))
            self.statuses.setdefault(stream, fields.get(":status"))
        elif kind == DATA:
            self.bytes[stream] = self.bytes.get(stream, 0) + len(payload)
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            if code != NO_ERROR:
                self.ended = code
        elif kind == PING:
            self.pings.append((flags & ACK, payload))
        elif kind == SETTINGS:
            self.acks += flags & ACK
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.done.add(stream)

    def is_alive(self):
        """Whether it answers a ping."""
        self.send(frame(PING, 0, 0, b"are you?"))
        return self.until(lambda: (ACK, b"are you?") in self.pings or self.ended is not None) and self.ended is None


# What is due. Each gets the connection, after the frames were sent, and says what is wrong, or nothing.


def connection_error(*codes):
    def look(c):
        c.until(lambda: c.ended is not None)
        if c.ended not in (*codes, PROTOCOL, "closed"):
            return f"{said(c)}; {' or '.join(ERRORS[code] for code in codes)} was due"
    return look


def stream_error(*codes, stream=1):
    def look(c):
        c.until(lambda: c.ended is not None or stream in c.resets)
        if c.ended is None and c.resets.get(stream) not in codes or c.ended not in (None, "closed", PROTOCOL, *codes):
            return f"{said(c)}; {' or '.join(ERRORS[code] for code in codes)} was due"
    return look


def malformed(c):
    c.until(lambda: c.ended is not None or 1 in c.resets or 1 in c.statuses)
    if c.statuses.get(1) == "400" or c.ended in (PROTOCOL, "closed") or c.resets.get(1) == PROTOCOL:
        return None
    return f"{said(c)}; PROTOCOL_ERROR or 400 was due"


def answered(status="200", stream=1):
    def look(c):
        c.until(lambda: c.ended is not None or stream in c.resets or stream in c.done)
        if c.statuses.get(stream) != status or stream not in c.done:
            return f"{said(c)}; {status} was due"
    return look


def malformed_or_dropped(c):
    """The crate h2 leaves out a pseudo-header among trailers, so that no dyno sees it."""
    return malformed(c) and answered()(c)


def alive(c):
    return None if c.is_alive() else f"{said(c)}; an answer to a ping was due"


def said(c):
    parts = [f"connection {ERRORS[c.ended] if isinstance(c.ended, int) else c.ended}"] if c.ended is not None else []
    parts += [f"stream {stream} reset with {ERRORS[code]}" for stream, code in c.resets.items()]
    parts += [f"stream {stream} answered with {status}" for stream, status in c.statuses.items()]
    return ", ".join(parts) or "nothing came"


def with_field(*extra, base=GET):
    return headers(1, [*base, *extra])


def without(name):
    return headers(1, [field for field in GET if field[0] != name])


RAW = END_STREAM | END_HEADERS
# (what, frames after the preface, what is due)
RULES = [
    ("3.4 settings are acknowledged", b"", lambda c: None if c.until(lambda: c.acks == 1) else "no acknowledgement"),
    ("4.1 a frame of an unknown type is ignored", frame(0x16, 0, 0, b"x" * 8), alive),
    ("4.1 flags that have no meaning are ignored", frame(PING, 0xfe, 0, b"12345678"), alive),
    ("4.1 the reserved bit is ignored", frame(PING, 0, 1 << 31, b"12345678"), alive),
    ("4.2 DATA above the size", headers(1, POST, END_HEADERS) + frame(DATA, END_STREAM, 1, b"x" * 16385), stream_error(FRAME_SIZE)),
    ("4.2 HEADERS above the size", frame(HEADERS, RAW, 1, block(GET) + b"\x00" * 16384), connection_error(FRAME_SIZE)),
    ("4.3 a block that cannot be decoded", frame(HEADERS, RAW, 1, b"\xff\xff\xff\xff\xff\xff"), connection_error(COMPRESSION)),
    ("4.3 another frame inside a block", headers(1, GET, END_STREAM) + frame(PRIORITY, 0, 1, bytes(5)) + frame(CONTINUATION, END_HEADERS, 1), connection_error(PROTOCOL)),
    ("4.3 another stream inside a block", headers(1, GET, END_STREAM) + headers(3, GET), connection_error(PROTOCOL)),
    ("5.1 DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), connection_error(PROTOCOL)),
    ("5.1 RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, bytes(4)), connection_error(PROTOCOL)),
    ("5.1 WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)), connection_error(PROTOCOL)),
    ("5.1 CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, block(GET)), connection_error(PROTOCOL)),
    ("5.1 PRIORITY on an idle stream is allowed", frame(PRIORITY, 0, 5, bytes(5)) + headers(1, GET), answered()),
    ("5.1 DATA after the end", headers(1, [*POST[:2], (":path", "/events"), POST[3]]) + frame(DATA, END_STREAM, 1, b"x"), stream_error(CLOSED)),
    ("5.1 HEADERS after the end", headers(1, [*POST[:2], (":path", "/events"), POST[3]]) + headers(1, GET), stream_error(CLOSED, PROTOCOL)),
    ("5.1.1 a stream of an even number", headers(2, GET), connection_error(PROTOCOL)),
    ("5.1.1 a number below the last", headers(5, GET) + headers(3, GET), connection_error(PROTOCOL, CLOSED)),
    ("5.1.2 more streams than are allowed", b"".join(headers(2 * n + 1, [*GET[:2], (":path", "/events"), GET[3]]) for n in range(300)),
     stream_error(REFUSED, PROTOCOL, stream=599)),
    ("6.1 DATA on stream 0", frame(DATA, 0, 0, b"x"), connection_error(PROTOCOL)),
    ("6.1 padding longer than the frame", headers(1, POST, END_HEADERS) + frame(DATA, END_STREAM | PADDED, 1, b"\x09x"), connection_error(PROTOCOL)),
    ("6.1 padding is no content", headers(1, [*POST, ("content-length", "3")], END_HEADERS) + frame(DATA, END_STREAM | PADDED, 1, b"\x04abc" + bytes(4)), answered()),
    ("6.2 HEADERS on stream 0", headers(0, GET), connection_error(PROTOCOL)),
    ("6.2 padding longer than the block", frame(HEADERS, RAW | PADDED, 1, b"\xff" + block(GET)), connection_error(PROTOCOL)),
    ("6.2 HEADERS with padding and priority", frame(HEADERS, RAW | PADDED | PRIO, 1, b"\x02" + bytes(4) + b"\x10" + block(GET) + bytes(2)), answered()),
    ("6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5)), connection_error(PROTOCOL)),
    ("6.3 PRIORITY of another length", headers(1, POST, END_HEADERS) + frame(PRIORITY, 0, 1, bytes(4)), stream_error(FRAME_SIZE)),
    ("6.4 RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, bytes(4)), connection_error(PROTOCOL)),
    ("6.4 RST_STREAM of another length", headers(1, POST, END_HEADERS) + frame(RST_STREAM, 0, 1, bytes(3)), connection_error(FRAME_SIZE)),
    ("6.5 an acknowledgement with content", frame(SETTINGS, ACK, 0, setting(3, 1)), connection_error(FRAME_SIZE)),
    ("6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1, setting(3, 1)), connection_error(PROTOCOL)),
    ("6.5 SETTINGS of another length", frame(SETTINGS, 0, 0, bytes(3)), connection_error(FRAME_SIZE)),
    ("6.5.2 ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, setting(2, 2)), connection_error(PROTOCOL)),
    ("6.5.2 a window above 2^31-1", frame(SETTINGS, 0, 0, setting(4, 1 << 31)), connection_error(FLOW_CONTROL)),
    ("6.5.2 a frame size below 2^14", frame(SETTINGS, 0, 0, setting(5, 16383)), connection_error(PROTOCOL)),
    ("6.5.2 a frame size above 2^24-1", frame(SETTINGS, 0, 0, setting(5, 1 << 24)), connection_error(PROTOCOL)),
    ("6.5.2 an unknown setting is ignored", frame(SETTINGS, 0, 0, setting(0xff, 1)), alive),
    ("6.6 PUSH_PROMISE of a client", frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + block(GET)), connection_error(PROTOCOL)),
    ("6.7 a ping comes back", frame(PING, 0, 0, b"abcdefgh"), lambda c: None if c.until(lambda: (ACK, b"abcdefgh") in c.pings) else "it did not"),
    ("6.7 an answer to no ping is ignored", frame(PING, ACK, 0, b"abcdefgh"), alive),
    ("6.7 PING on a stream", frame(PING, 0, 1, bytes(8)), connection_error(PROTOCOL)),
    ("6.7 PING of another length", frame(PING, 0, 0, bytes(6)), connection_error(FRAME_SIZE)),
    ("6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), connection_error(PROTOCOL)),
    ("6.9 WINDOW_UPDATE by 0 on the connection", frame(WINDOW_UPDATE, 0, 0, bytes(4)), connection_error(PROTOCOL)),
    ("6.9 WINDOW_UPDATE by 0 on a stream", headers(1, POST, END_HEADERS) + frame(WINDOW_UPDATE, 0, 1, bytes(4)), stream_error(PROTOCOL)),
    ("6.9 WINDOW_UPDATE of another length", frame(WINDOW_UPDATE, 0, 0, bytes(3)), connection_error(FRAME_SIZE)),
    ("6.9.1 a connection's window above 2^31-1", 2 * frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1)), connection_error(FLOW_CONTROL)),
    ("6.9.1 a stream's window above 2^31-1", headers(1, POST, END_HEADERS) + 2 * frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", (1 << 31) - 1)), stream_error(FLOW_CONTROL)),
    ("6.10 CONTINUATION on stream 0", frame(CONTINUATION, END_HEADERS, 0, block(GET)), connection_error(PROTOCOL)),
    ("6.10 CONTINUATION after the end of a block", headers(1, POST, END_HEADERS) + frame(CONTINUATION, END_HEADERS, 1, block(GET)), connection_error(PROTOCOL)),
    ("6.10 a block in pieces", headers(1, GET, END_STREAM) + b"".join(frame(CONTINUATION, 0, 1, block([(f"x-{n}", "y" * 50)])) for n in range(3))
     + frame(CONTINUATION, END_HEADERS, 1), answered()),
    ("8.1 trailers", headers(1, POST, END_HEADERS) + frame(DATA, 0, 1, b"abc") + headers(1, [("x-sum", "abc")]), answered()),
    ("8.1 trailers that don't end the stream", headers(1, POST, END_HEADERS) + frame(DATA, 0, 1, b"abc") + headers(1, [("x-sum", "abc")], END_HEADERS), malformed),
    ("8.1 a pseudo-header in trailers", headers(1, POST, END_HEADERS) + frame(DATA, 0, 1, b"abc") + headers(1, [(":path", "/small")]), malformed_or_dropped),
    ("8.1.1 more bytes than content-length", headers(1, [*POST, ("content-length", "1")], END_HEADERS) + frame(DATA, END_STREAM, 1, b"abc"), malformed),
    ("8.1.1 fewer bytes than content-length", headers(1, [*POST, ("content-length", "9")], END_HEADERS) + frame(DATA, END_STREAM, 1, b"abc"), malformed),
    ("8.1.1 content-length without a body", with_field(("content-length", "9")), malformed),
    ("8.2 a name in capitals", with_field(("X-Name", "value")), malformed),
    ("8.2.1 a line end in a value", with_field(("x-name", "a\r\nx-evil: b")), malformed),
    ("8.2.1 a zero byte in a value", with_field(("x-name", "a\0b")), malformed),
    ("8.2.1 a space in a name", with_field(("x name", "value")), malformed),
    ("8.2.1 a colon in a name", with_field(("x:name", "value")), malformed),
    ("8.2.1 an empty name", with_field(("", "value")), malformed),
    ("8.2.2 connection", with_field(("connection", "keep-alive")), malformed),
    ("8.2.2 transfer-encoding", with_field(("transfer-encoding", "chunked")), malformed),
    ("8.2.2 upgrade", with_field(("upgrade", "websocket")), malformed),
    ("8.2.2 te other than trailers", with_field(("te", "gzip")), malformed),
    ("8.2.2 te: trailers is allowed", with_field(("te", "trailers")), answered()),
    ("8.3 an unknown pseudo-header", headers(1, [*GET, (":thing", "value")]), malformed),
    ("8.3 :status in a request", headers(1, [*GET, (":status", "200")]), malformed),
    ("8.3 a pseudo-header after others", headers(1, [*GET[:3], ("x-name", "value"), GET[3]]), malformed),
    ("8.3 a pseudo-header twice", headers(1, [*GET, GET[2]]), malformed),
    ("8.3.1 no :method", without(":method"), malformed),
    ("8.3.1 no :scheme", without(":scheme"), malformed),
    ("8.3.1 no :path", without(":path"), malformed),
    ("8.3.1 an empty :path", headers(1, [*GET[:2], (":path", ""), GET[3]]), malformed),
    ("8.3.1 a :path that is none", headers(1, [*GET[:2], (":path", "small"), GET[3]]), malformed),
    ("8.3.1 a line end in :path", headers(1, [*GET[:2], (":path", "/ HTTP/1.1\r\nx: y"), GET[3]]), malformed),
    ("8.3.1 Host in place of :authority", headers(1, [*GET[:3], ("host", "localhost")]), answered()),
    ("7541 6.1 index 0", frame(HEADERS, RAW, 1, b"\x80"), connection_error(COMPRESSION)),
    ("7541 2.3.3 an index that is not there", frame(HEADERS, RAW, 1, b"\xfe"), connection_error(COMPRESSION)),
    ("7541 6.3 a table above the limit", frame(HEADERS, RAW, 1, b"\x3f\xff\xff\x03" + block(GET)), connection_error(COMPRESSION)),
    ("7541 4.2 a table update after a field", frame(HEADERS, RAW, 1, block(GET) + b"\x20"), connection_error(COMPRESSION)),
    ("7541 5.2 Huffman padding of 8 bits", frame(HEADERS, RAW, 1, block(GET) + b"\x00\x01x\x82\x1f\xff"), connection_error(COMPRESSION)),
    ("7541 5.2 Huffman padding of zeros", frame(HEADERS, RAW, 1, block(GET) + b"\x00\x01x\x81\x18"), connection_error(COMPRESSION)),
    ("7541 5.1 a number that does not end", frame(HEADERS, RAW, 1, b"\x1f" + b"\xff" * 12), connection_error(COMPRESSION)),
]


def small_window(router):
    """6.9.2: a byte for a window of one byte, the rest when it is opened, also from below zero."""
    c = Connection(router, setting(4, 1))
    c.send(headers(1, GET))
    c.until(lambda: 1 in c.bytes)
    if c.bytes.get(1) != 1 or not c.is_alive() or c.bytes[1] != 1:
        return f"{c.bytes.get(1)} bytes came for a window of 1"
    c.send(frame(SETTINGS, 0, 0, setting(4, 0)) + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)))
    if not c.is_alive() or c.bytes[1] != 1:
        return f"{c.bytes[1]} bytes came for a window that is 0 again"
    c.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 100)))
    return answered()(c)


def no_preface(router):
    """3.4: what does not begin as HTTP/2 is not served."""
    c = Connection(router, preface=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return connection_error(PROTOCOL)(c) if not c.statuses else "it was answered"


def served(router):
    connection = http.client.HTTPConnection("127.0.0.1", router.http, timeout=10)
    connection.request("GET", "/small", headers={"Host": "localhost"})
    status = connection.getresponse().status
    connection.close()
    return status == 200


def main():
    options = program.arguments(__doc__)
    wrong = 0
    with program.Trial(options.router) as trial:
        for what, frames, due in RULES:
            c = Connection(trial.router)
            c.send(frames)
            why = due(c)
            c.socket.close()
            wrong += bool(why)
            if why:
                print(f"{what}: {why}", flush=True)
        for case in (small_window, no_preface):
            if why := case(trial.router):
                wrong += 1
                print(f"{case.__doc__.split(': ')[0]} {case.__name__.replace('_', ' ')}: {why}")
        if not served(trial.router):
            wrong += 1
            print("others are not served any more")
        program.until("connections are given up", lambda: trial.router.status()["connections"] == 0, 90)
    print(f"{len(RULES) + 2 - wrong} of {len(RULES) + 2} rules of HTTP/2 hold")
    sys.exit(1 if wrong else 0)


main()
