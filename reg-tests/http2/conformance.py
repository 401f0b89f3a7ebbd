#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a server has to make of frames, sound and unsound: RFC 9113, RFC 7541, and our own bounds.

    conformance.py HOST PORT [tls]

Every case is a connection of its own: bytes after preface and SETTINGS, and what must come back:
    G<code>      GOAWAY with that error, and the end of the connection
    R<code>/<n>  RST_STREAM of stream n with that error; the connection lives
    <status>/<n> a whole response on stream n; the connection lives
    alive        a PING is answered at the end
    closed       the end of the connection, whatever was said
Exits with the number of cases that went otherwise, each on a line of its own.
"""
import concurrent.futures
import socket
import ssl
import struct
import sys

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONT = range(10)
END, ACK, BLOCK, PADDED, PRIO = 1, 1, 4, 8, 32
NO, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, _, CALM = range(12)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STATUS = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
TLS = len(sys.argv) > 3
SCHEME = "https" if TLS else "http"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def text(s):
    s = s.encode("latin-1") if isinstance(s, str) else s
    assert len(s) < 127
    return bytes([len(s)]) + s


def fields(*pairs):
    return b"".join(b"\0" + text(n) + text(v) for n, v in pairs)


def request(method="GET", path="/", *more, scheme=SCHEME, authority="h2.example"):
    return fields((":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *more)


def head(stream, block=None, end=True, flags=0):
    return frame(HEADERS, BLOCK | (END if end else 0) | flags, stream, request() if block is None else block)


def post(stream=1, *more, path="/"):
    return head(stream, request("POST", path, *more), False)


def data(stream, payload=b"x", end=False):
    return frame(DATA, END if end else 0, stream, payload)


def rst(stream, code=CANCEL):
    return frame(RST, 0, stream, struct.pack(">I", code))


def setting(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", i, v) for i, v in pairs))


def window(stream, size):
    return frame(WINDOW, 0, stream, struct.pack(">I", size))


def priority(stream, on, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def number(prefix_bits, first, value):
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value > 127:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + [value])


GET = request()
HELD = request("GET", "/gate/never")		# the origin answers later than anybody waits
SPLIT = frame(HEADERS, END, 1, GET[:9])
LONG = fields(("x-a", "a" * 100))
KEPT = b"\x40" + text("x-kept") + text("v" * 100)	# enters the table at 62
UNKNOWN = frame(0xbb, 0xff, 0, b"what") + frame(0xbb, 0xff, 7, b"what")


def times(n, make):
    return b"".join(make(i) for i in range(n))


def bad_head(*more, method="GET", path="/", **others):
    return head(1, request(method, path, *more, **others))


CASES = [
    # 3.4 preface
    ("settings after the preface", b"", "alive"),
    ("no settings first", None, "G%d" % PROTOCOL),
    # 4.1, 4.2 frames
    ("unknown frame types", UNKNOWN + head(1), "200/1"),
    ("unknown flags", frame(PING, 0xfe, 0, b"12345678") + head(1), "200/1"),
    ("reserved bit", frame(HEADERS, BLOCK | END, 1 | 1 << 31, GET), "200/1"),
    ("DATA of 2^14", post() + data(1, b"x" * 16384, True), "200/1"),
    ("DATA above 2^14", post() + data(1, b"x" * 16385), "G%d" % SIZE),
    ("HEADERS above 2^14", head(1, GET + LONG * 160), "G%d" % SIZE),
    ("unknown frame above 2^14", frame(0xbb, 0, 0, b"x" * 16385), "G%d" % SIZE),
    # 4.3 field blocks
    ("block in pieces", SPLIT + frame(CONT, 0, 1, GET[9:20]) + frame(CONT, BLOCK, 1, GET[20:]), "200/1"),
    ("PRIORITY inside a block", SPLIT + priority(1, 0), "G%d" % PROTOCOL),
    ("DATA inside a block", SPLIT + data(1), "G%d" % PROTOCOL),
    ("PING inside a block", SPLIT + frame(PING, 0, 0, b"12345678"), "G%d" % PROTOCOL),
    ("unknown frame inside a block", SPLIT + frame(0xbb, 0, 1), "G%d" % PROTOCOL),
    ("HEADERS of another stream inside a block", SPLIT + head(3), "G%d" % PROTOCOL),
    ("CONTINUATION of another stream", SPLIT + frame(CONT, BLOCK, 3, GET[9:]), "G%d" % PROTOCOL),
    # 5.1 states
    ("idle: DATA", data(1), "G%d" % PROTOCOL),
    ("idle: RST_STREAM", rst(1), "G%d" % PROTOCOL),
    ("idle: WINDOW_UPDATE", window(1, 1), "G%d" % PROTOCOL),
    ("idle: CONTINUATION", frame(CONT, BLOCK, 1, GET), "G%d" % PROTOCOL),
    ("idle: PRIORITY", priority(1, 0) + head(1), "200/1"),
    ("half closed: DATA", head(1, HELD) + data(1), "G%d" % CLOSED),
    ("half closed: HEADERS", head(1, HELD) + head(1), "G%d" % CLOSED),
    ("half closed: CONTINUATION", head(1, HELD) + frame(CONT, BLOCK, 1, GET), "G%d" % PROTOCOL),
    ("half closed: WINDOW_UPDATE", head(1, HELD) + window(1, 9) + head(3), "200/3"),
    ("half closed: PRIORITY", head(1, HELD) + priority(1, 0) + head(3), "200/3"),
    ("half closed: RST_STREAM", head(1, HELD) + rst(1) + head(3), "200/3"),
    ("reset: DATA", post() + rst(1) + data(1), "G%d" % CLOSED),
    ("reset: HEADERS", post() + rst(1) + head(1), "G%d" % CLOSED),
    ("reset: CONTINUATION", post() + rst(1) + frame(CONT, BLOCK, 1, GET), "G%d" % PROTOCOL),
    ("reset: WINDOW_UPDATE, PRIORITY, RST_STREAM", post() + rst(1) + window(1, 9) + priority(1, 0) + rst(1) + head(3),
     "200/3"),
    ("answered: WINDOW_UPDATE, PRIORITY, RST_STREAM", [head(1), "200/1", window(1, 9) + priority(1, 0) + rst(1)], "alive"),
    ("answered: DATA", [head(1), "200/1", data(1)], "G%d" % CLOSED),
    ("answered: HEADERS", [head(1), "200/1", head(1)], "G%d" % CLOSED),
    # 5.1.1, 5.1.2 identifiers and their number
    ("even stream", head(2), "G%d" % PROTOCOL),
    ("stream 0", head(0), "G%d" % PROTOCOL),
    ("smaller than the one before", head(5, HELD) + head(3), "G%d" % PROTOCOL),
    ("gaps", head(7) + head(1001), "200/1001"),
    ("the largest", head((1 << 31) - 1), "200/2147483647"),
    ("a hundred at once", times(100, lambda i: head(2 * i + 1, HELD)) + rst(199) + head(201), "200/201"),
    ("one more", times(101, lambda i: head(2 * i + 1, HELD)), "R%d/201" % REFUSED),
    # 6.1 DATA
    ("DATA on 0", data(0), "G%d" % PROTOCOL),
    ("padded DATA", post() + frame(DATA, PADDED | END, 1, b"\x04body\0\0\0\0"), "200/1"),
    ("padding alone", post() + frame(DATA, PADDED | END, 1, b"\x05\0\0\0\0\0"), "200/1"),
    ("padding as long as DATA", post() + frame(DATA, PADDED, 1, b"\x05abcd"), "G%d" % PROTOCOL),
    ("padded DATA without a length", post() + frame(DATA, PADDED, 1, b""), "G%d" % SIZE),
    ("too much padding after an early answer", post(path="/early") + frame(DATA, PADDED, 1, b"\xff"), "G%d" % PROTOCOL),
    # 6.2 HEADERS
    ("padded HEADERS", frame(HEADERS, BLOCK | END | PADDED, 1, b"\x02" + GET + b"\0\0"), "200/1"),
    ("HEADERS with priority", frame(HEADERS, BLOCK | END | PRIO, 1, b"\0\0\0\0\x0f" + GET), "200/1"),
    ("HEADERS padded, with priority", frame(HEADERS, BLOCK | END | PRIO | PADDED, 1, b"\x01\0\0\0\0\x0f" + GET + b"\0"), "200/1"),
    ("padding as long as HEADERS", frame(HEADERS, BLOCK | END | PADDED, 1, b"\xf0" + GET), "G%d" % PROTOCOL),
    ("priority upon itself in HEADERS", frame(HEADERS, BLOCK | END | PRIO, 1, b"\0\0\0\1\x0f" + GET), "G%d" % PROTOCOL),
    ("HEADERS too short for its priority", frame(HEADERS, BLOCK | END | PRIO, 1, b"\0\0"), "G%d" % SIZE),
    # 6.3 PRIORITY
    ("PRIORITY on 0", priority(0, 1), "G%d" % PROTOCOL),
    ("PRIORITY upon itself", priority(1, 1), "G%d" % PROTOCOL),
    ("exclusive PRIORITY", priority(3, 1 << 31 | 1) + head(1), "200/1"),
    ("PRIORITY of 4 bytes", frame(PRIORITY, 0, 1, b"1234"), "G%d" % SIZE),
    # 6.4 RST_STREAM
    ("RST_STREAM on 0", rst(0), "G%d" % PROTOCOL),
    ("RST_STREAM of 3 bytes", post() + frame(RST, 0, 1, b"123"), "G%d" % SIZE),
    ("unknown error code", head(1, HELD) + rst(1, 0xff) + head(3), "200/3"),
    # 6.5 SETTINGS
    ("SETTINGS on a stream", frame(SETTINGS, 0, 1), "G%d" % PROTOCOL),
    ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, b"12345"), "G%d" % SIZE),
    ("SETTINGS ACK with payload", frame(SETTINGS, ACK, 0, b"123456"), "G%d" % SIZE),
    ("unknown setting", setting((0xff, 1)), "alive"),
    ("ENABLE_PUSH 2", setting((2, 2)), "G%d" % PROTOCOL),
    ("initial window 2^31", setting((4, 1 << 31)), "G%d" % FLOW),
    ("frame size 2^14-1", setting((5, 16383)), "G%d" % PROTOCOL),
    ("frame size 2^24", setting((5, 1 << 24)), "G%d" % PROTOCOL),
    ("the last of two values holds", setting((4, 0), (4, 65535)) + head(1), "200/1"),
    ("no table", setting((1, 0)) + head(1) + head(3), "200/3"),
    ("every setting at its bounds", setting((1, 4096), (2, 0), (3, 0), (4, (1 << 31) - 1), (5, (1 << 24) - 1), (6, 1 << 20)) + head(1),
     "200/1"),
    ("33 settings", setting(*[(0xff, 1)] * 33), "closed"),
    # 6.6 PUSH_PROMISE
    ("PUSH_PROMISE", frame(PUSH, BLOCK, 1, b"\0\0\0\2" + GET), "G%d" % PROTOCOL),
    # 6.7 PING
    ("PING on a stream", frame(PING, 0, 1, b"12345678"), "G%d" % PROTOCOL),
    ("PING of 7 bytes", frame(PING, 0, 0, b"1234567"), "G%d" % SIZE),
    ("PING ACK unasked", frame(PING, ACK, 0, b"12345678"), "alive"),
    # 6.8 GOAWAY
    ("GOAWAY on a stream", frame(GOAWAY, 0, 1, b"\0" * 8), "G%d" % PROTOCOL),
    ("GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, b"\0" * 7), "G%d" % SIZE),
    ("GOAWAY while a request is on", head(1) + frame(GOAWAY, 0, 0, b"\0" * 8), "200/1 closed"),
    # 6.9 WINDOW_UPDATE
    ("window of 0 more", window(0, 0), "G%d" % PROTOCOL),
    ("window of 0 more for a stream", head(1, HELD) + window(1, 0), "G%d" % PROTOCOL),
    ("WINDOW_UPDATE of 3 bytes", frame(WINDOW, 0, 0, b"123"), "G%d" % SIZE),
    ("connection window above 2^31-1", window(0, (1 << 31) - 1), "G%d" % FLOW),
    ("stream window above 2^31-1", head(1, HELD) + window(1, (1 << 31) - 1), "R%d/1" % FLOW),
    ("settings that lift a window above", head(1, HELD) + window(1, (1 << 31) - 1 - 65535) + setting((4, 65536)), "R%d/1" % FLOW),
    ("no window, then some", setting((4, 0)) + head(1) + window(1, 100), "200/1"),
    ("a negative window", setting((4, 3)) + head(1) + setting((4, 0)) + window(1, 100), "200/1"),
    ("one byte at a time", setting((4, 4)) + head(1) + times(6, lambda i: window(1, 1)), "200/1"),
    # 6.10 CONTINUATION
    ("CONTINUATION on 0", SPLIT + frame(CONT, BLOCK, 0, GET[9:]), "G%d" % PROTOCOL),
    ("CONTINUATION after the block", head(1, HELD) + frame(CONT, BLOCK, 1, LONG), "G%d" % PROTOCOL),
    ("CONTINUATION after DATA", post() + data(1) + frame(CONT, BLOCK, 1, LONG), "G%d" % PROTOCOL),
    # 8.1 messages
    ("trailers", post() + data(1) + head(1, fields(("x-t", "1"))), "200/1"),
    ("trailers that do not end", post() + data(1) + head(1, fields(("x-t", "1")), False), "R%d/1" % PROTOCOL),
    ("pseudo in trailers", post() + data(1) + head(1, fields((":path", "/"))), "R%d/1" % PROTOCOL),
    ("HEAD", head(1, request("HEAD")), "200/1"),
    # 8.2 fields; a capital, a byte that no field may have
    *[("name " + repr(n), bad_head((n, "v")), "G%d" % PROTOCOL)
      for n in ("X-a", "", "x a", "x:a", "x\x7f", "x\xe9", "x\0", "x\r", "x(")],
    *[("value " + repr(v), bad_head(("x", v)), "G%d" % PROTOCOL) for v in ("a\0b", "a\rb", "a\nb", "a\r\nx: y", "\x01")],
    *[("connection field " + n, bad_head((n, v)), "G%d" % PROTOCOL)
      for n, v in (("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "x"), ("transfer-encoding", "chunked"),
                   ("upgrade", "h2c"), ("te", "gzip"))],
    ("te: trailers", bad_head(("te", "trailers")), "200/1"),
    ("obs-text", bad_head(("x", "\xe9")), "200/1"),
    ("crumbs", bad_head(("cookie", "a=1"), ("cookie", "b=2")), "200/1"),
    # 8.3 pseudo-header fields
    ("unknown", head(1, fields((":what", "x")) + GET), "G%d" % PROTOCOL),
    ("of responses", head(1, GET + fields((":status", "200"))), "G%d" % PROTOCOL),
    ("after a field", head(1, fields((":method", "GET"), ("x", "y"), (":scheme", SCHEME), (":path", "/"))), "G%d" % PROTOCOL),
    *[(n + " missing", head(1, fields(*[p for p in ((":method", "GET"), (":scheme", SCHEME), (":path", "/"),
                                                  (":authority", "h2.example")) if p[0] != n])), "G%d" % PROTOCOL)
      for n in (":method", ":scheme", ":path")],
    *[(n + " twice", head(1, GET + fields((n, v))), "G%d" % PROTOCOL)
      for n, v in ((":method", "GET"), (":scheme", SCHEME), (":path", "/"), (":authority", "h2.example"))],
    ("no authority, but a host", head(1, fields((":method", "GET"), (":scheme", SCHEME), (":path", "/"), ("host", "h2.example"))), "200/1"),
    ("neither", head(1, fields((":method", "GET"), (":scheme", SCHEME), (":path", "/"))), "400/1"),
    ("host that differs", bad_head(("host", "other.example")), "400/1"),
    ("userinfo", bad_head(authority="u@h2.example"), "400/1"),
    ("bad scheme", bad_head(scheme="1x"), "400/1"),
    ("empty path", bad_head(path=""), "R%d/1" % PROTOCOL),
    ("relative path", bad_head(path="x"), "R%d/1" % PROTOCOL),
    ("blank in the path", bad_head(path="/a b"), "R%d/1" % PROTOCOL),
    ("fragment", bad_head(path="/#f"), "200/1"),
    ("method of no token", bad_head(method="G T"), "G%d" % PROTOCOL),
    ("CONNECT with a path", bad_head(method="CONNECT"), "G%d" % PROTOCOL),
    # 8.1.1 lengths
    ("length agrees", post(1, ("content-length", "3")) + data(1, b"abc", True), "200/1"),
    ("length twice, equal", post(1, ("content-length", "3"), ("content-length", "3")) + data(1, b"abc", True), "200/1"),
    ("too little DATA", post(1, ("content-length", "3")) + data(1, b"ab", True), "R%d/1" % PROTOCOL),
    ("too much DATA", post(1, ("content-length", "3")) + data(1, b"ab") + data(1, b"cd"), "R%d/1" % PROTOCOL),
    ("trailers too early", post(1, ("content-length", "3")) + head(1, fields(("x-t", "1"))), "R%d/1" % PROTOCOL),
    ("length of a request that has ended", bad_head(("content-length", "3"), method="POST"), "R%d/1" % PROTOCOL),
    *[("length " + repr(v), post(1, ("content-length", v)), "R%d/1" % PROTOCOL) for v in ("x", "-1", "+1", "1,1", "0x1", "")],
    ("lengths that differ", post(1, ("content-length", "3"), ("content-length", "4")), "R%d/1" % PROTOCOL),
    # RFC 7541
    ("indexed fields", head(1, b"\x82" + (b"\x87" if TLS else b"\x86") + b"\x84\x01" + text("h2.example")), "200/1"),
    ("a name of the table", head(1, GET + KEPT) + head(3, GET + b"\x7e" + text("w")), "200/3"),
    ("entry of the table", head(1, GET + KEPT) + head(3, GET + b"\xbe"), "200/3"),
    ("never indexed", head(1, GET + b"\x10" + text("x") + text("y")), "200/1"),
    ("entry that is gone", head(1, GET + KEPT + b"\x20") + head(3), "G%d" % COMPRESSION),
    ("index 0", head(1, GET + b"\x80"), "G%d" % COMPRESSION),
    ("index beyond the table", head(1, GET + b"\xbe"), "G%d" % COMPRESSION),
    ("index without an end", head(1, GET + b"\xff" + b"\xff" * 10), "G%d" % COMPRESSION),
    ("table update", head(1, b"\x20\x3f\xe1\x1f" + GET), "200/1"),
    ("table above its bound", head(1, number(5, 0x20, 4097) + GET), "G%d" % COMPRESSION),
    ("three table updates", head(1, b"\x20\x20\x20" + GET), "G%d" % COMPRESSION),
    ("text beyond the block", head(1, GET + b"\0\x01x\x7fy"), "G%d" % COMPRESSION),
    ("Huffman", head(1, GET + b"\0\x01x\x81\x1f"), "200/1"),
    ("Huffman padding of zeros", head(1, GET + b"\0\x01x\x81\x18"), "G%d" % COMPRESSION),
    ("Huffman padding of a byte", head(1, GET + b"\0\x01x\x82\x1f\xff"), "G%d" % COMPRESSION),
    ("Huffman EOS", head(1, GET + b"\0\x01x\x84\xff\xff\xff\xff"), "G%d" % COMPRESSION),
    ("block that stops short", head(1, GET[:-3]), "G%d" % COMPRESSION),
    # our bounds
    ("80 fields", head(1, GET + fields(*[("x", "y")] * 76)), "200/1"),
    ("101 fields", head(1, GET + fields(*[("x", "y")] * 97)), "431/1"),
    ("a head of 60 KiB is no more", head(1, GET + KEPT + b"\xbe" * 500), "431/1"),
    ("HPACK bomb", head(1, GET + KEPT + b"\xbe" * 2000), "G%d" % CALM),
    ("nine CONTINUATIONs", SPLIT + times(9, lambda i: frame(CONT, 0, 1, GET[9:10])), "G%d" % CALM),
    ("one empty DATA", post() + data(1, b"") + data(1, b"", True), "200/1"),
    ("two empty DATA", post() + data(1, b"") * 2, "G%d" % CALM),
    ("empty CONTINUATIONs", SPLIT + frame(CONT, 0, 1) * 2, "G%d" % CALM),
    ("100 PING", frame(PING, 0, 0, b"12345678") * 99, "alive"),
    ("PING flood", frame(PING, 0, 0, b"12345678") * 101, "G%d" % CALM),
    ("SETTINGS flood", frame(SETTINGS, 0, 0) * 21, "G%d" % CALM),
    ("PRIORITY flood", priority(1, 0) * 101, "G%d" % CALM),
    ("WINDOW_UPDATE flood", window(0, 1) * 6, "G%d" % CALM),
    ("unknown frames without end", UNKNOWN * 6000, "G%d" % CALM),
    ("rapid reset", times(400, lambda i: head(2 * i + 1, HELD) + rst(2 * i + 1)), "G%d" % CALM),
    ("resets that we are made to send", times(110, lambda i: head(2 * i + 1, request(path="x"))), "G%d" % CALM),
    *([] if TLS else [("a byte a frame", post(1, path="/gate/never") + data(1) * 540000, "G%d" % CALM)]),
    ("SETTINGS without an answer", b"", "G%d" % TIMEOUT),
]


class Connection:
    def __init__(self):
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
        if TLS:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            s = context.wrap_socket(s, server_hostname="h2.example")
        s.settimeout(20)
        self.s, self.got, self.seen, self.over = s, b"", [], False

    def send(self, b):
        try:
            for at in range(0, len(b), 65536):
                self.s.sendall(b[at:at + 65536])
        except (OSError, ssl.SSLError):
            pass		# it may have had enough

    def read(self, done):
        while not self.over and not done(self.seen):
            try:
                piece = self.s.recv(65536)
            except socket.timeout:
                self.seen.append("timeout")
                return
            except (OSError, ssl.SSLError):
                piece = b""
            self.over = not piece
            self.got += piece
            while len(self.got) >= 9 and len(self.got) >= 9 + int.from_bytes(self.got[:3], "big"):
                n = int.from_bytes(self.got[:3], "big")
                self.take(self.got[3], self.got[4], int.from_bytes(self.got[5:9], "big"), self.got[9:9 + n])
                self.got = self.got[9 + n:]

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            first = payload.lstrip(b"\x3f\xe1\x1f\x20")[0] if payload[:1] in b"\x20\x3f" else payload[0]
            self.seen.append("%s:%d" % (STATUS.get(first & 0x7f, "431") if first & 0x80 else "431", stream))
        if kind in (HEADERS, DATA) and flags & END:
            self.seen += [x.replace(":", "/") for x in self.seen if x.endswith(":%d" % stream)]
        if kind == RST:
            self.seen.append("R%d/%d" % (int.from_bytes(payload, "big"), stream))
        if kind == GOAWAY:
            self.seen.append("G%d" % int.from_bytes(payload[4:8], "big"))
        if kind == PING and flags & ACK:
            self.seen.append("ping " + payload.decode("latin-1"))


def run(name, steps, expected):
    c = Connection()
    c.send(PREFACE + (head(1) if steps is None else frame(SETTINGS, 0, 0)))
    if expected != "G%d" % TIMEOUT:
        c.send(frame(SETTINGS, ACK, 0))
    for step in [] if steps is None else steps if isinstance(steps, list) else [steps]:
        if isinstance(step, str):
            c.read(lambda seen: step in seen)
        else:
            c.send(step)
    for want in expected.split():
        if want == "closed" or want.startswith("G"):
            c.read(lambda seen: False)
            if not c.over or want not in c.seen + ["closed"]:
                return c.seen
            continue
        if want != "alive":
            c.read(lambda seen: want in seen)
            if want not in c.seen:
                return c.seen
        if expected == want:
            c.send(frame(PING, 0, 0, b"at last!"))
            c.read(lambda seen: "ping at last!" in seen)
            if "ping at last!" not in c.seen:
                return c.seen
    return None


def main():
    bad = 0
    names = sys.argv[4:] if len(sys.argv) > 4 else None
    cases = [c for c in CASES if not names or c[0] in names]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for case, found in zip(cases, pool.map(lambda c: run(*c), cases)):
            if found is not None:
                bad += 1
                print("%s: %s in place of %s" % (case[0], found[-6:], case[2]))
    print("%d cases, %d otherwise" % (len(cases), bad))
    sys.exit(min(bad, 99))


main()
