#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC-Web client by hand, over HTTP/1.1, for grpc_echo.py behind the proxy.

    grpc_web.py IP:PORT HOST CASE …

Runs the cases, by default all, each on a connection of its own, and says what was not as it should be; exits
with their number. A response in base64 has to be a row of frames, each of them encoded by itself.
"""
import base64
import socket
import struct
import sys
import time

ADDRESS, HOST = sys.argv[1], sys.argv[2]
PATIENCE = 60
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
TEXT_OUT = "application/grpc-web-text+proto"


def same(found, expected):
    if found != expected:
        raise AssertionError("%.300r in place of %.300r" % (found, expected))


def message(data):
    return b"\0" + struct.pack(">I", len(data)) + data


def frames_of(data):
    """(flags, payload) of every frame."""
    found, at = [], 0
    while at < len(data):
        length = struct.unpack(">I", data[at + 1:at + 5])[0]
        if len(data) < at + 5 + length:
            raise AssertionError("half a frame: %.60r" % data[at:])
        found.append((data[at], data[at + 5:at + 5 + length]))
        at += 5 + length
    return found


def frames_of_text(text):
    """The same, of frames that end in a group of their own."""
    found, at = [], 0
    while at < len(text):
        length = struct.unpack(">I", base64.b64decode(text[at:at + 8], validate=True)[1:5])[0]
        end = at + (5 + length + 2) // 3 * 4
        found += frames_of(base64.b64decode(text[at:end], validate=True))
        at = end
    return found


class Call:
    """One request, whose body may go out piece by piece, chunked."""

    def __init__(self, method, kind=BINARY, accept=None, fields=(), path=None):
        ip, port = ADDRESS.split(":")
        self.s = socket.create_connection((ip, int(port)), PATIENCE)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.text = kind.startswith(TEXT)
        self.buffer, self.body = b"", bytearray()
        self.status, self.fields = None, {}
        head = ["POST %s HTTP/1.1" % (path or "/echo.Echo/" + method), "host: " + HOST, "content-type: " + kind,
                "x-grpc-web: 1", "transfer-encoding: chunked", *fields]
        if accept:
            head.append("accept: " + accept)
        self.s.sendall("\r\n".join(head + ["", ""]).encode())

    def send(self, data, step=1 << 16):
        if self.text:
            data = base64.b64encode(data)
        self.send_raw(data, step)

    def send_raw(self, data, step=1 << 16):
        for at in range(0, len(data), step):
            piece = data[at:at + step]
            self.s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    def end(self):
        self.s.sendall(b"0\r\n\r\n")

    def fill(self):
        more = self.s.recv(1 << 20)
        if not more:
            raise AssertionError("ended within a response")
        self.buffer += more

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        found, self.buffer = self.buffer.split(b"\r\n", 1)
        return found.decode()

    def head(self):
        self.status = int(self.line().split()[1])
        while line := self.line():
            name, value = line.split(": ", 1)
            self.fields[name] = value
        return self

    def piece(self):
        """Of the body; empty at its end."""
        if "content-length" in self.fields:
            while len(self.buffer) < int(self.fields["content-length"]):
                self.fill()
            found, self.buffer = self.buffer, b""
            self.fields.pop("content-length") if found else None
            self.body += found
            return found
        size = int(self.line(), 16)
        while len(self.buffer) < size + 2:
            self.fill()
        found, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        self.body += found
        return found

    def rest(self):
        if self.status is None:
            self.head()
        while self.piece():
            pass
        return self

    def frames(self):
        if self.fields["content-type"] == TEXT_OUT:
            return frames_of_text(bytes(self.body))
        same(self.fields["content-type"], BINARY)
        return frames_of(bytes(self.body))

    def messages(self):
        """And the trailers, which stand behind them."""
        frames = self.frames()
        same([flags for flags, _ in frames], [0] * (len(frames) - 1) + [0x80])
        trailers = dict(line.split(b":", 1) for line in frames[-1][1].split(b"\r\n")[:-1])
        return [payload for _, payload in frames[:-1]], trailers


def call(method, data, kind=BINARY, accept=None, step=1 << 16, **more):
    c = Call(method, kind, accept, **more)
    c.send(message(data), step)
    c.end()
    return c.rest()


def unary():
    for kind in "application/grpc-web", BINARY, TEXT, TEXT + "+proto":
        for accept in None, BINARY, TEXT, TEXT + "+proto", "*/*":
            for size in 0, 1, 2, 3, 4, 100, 65536:
                c = call("Unary", b"x" * size, kind, accept)
                same(c.status, 200)
                same(c.fields["content-type"], TEXT_OUT if accept and accept.startswith(TEXT) else BINARY)
                messages, trailers = c.messages()
                same(messages, [b"x" * size])
                same(trailers[b"grpc-status"], b"0")
                same("content-length" in c.fields, False)


def pieces():
    """However a request is cut, also within a group of base64."""
    data = bytes(range(256))
    for kind in BINARY, TEXT:
        for step in 1, 2, 3, 5, 7, 64:
            same(call("Unary", data, kind, TEXT, step).messages()[0], [data])


def padding():
    """A client may encode each piece by itself."""
    frame = message(b"one piece after the other")
    for step in 1, 2, 4, 5, 6, 9:
        c = Call("Unary", TEXT, TEXT)
        for at in range(0, len(frame), step):
            c.send_raw(base64.b64encode(frame[at:at + step]), 3)
        c.end()
        same(c.rest().messages()[0], [b"one piece after the other"])


def large():
    data = bytes(range(256)) * (4 << 12)
    for kind, accept in (BINARY, BINARY), (TEXT, TEXT):
        same(call("Unary", data, kind, accept).messages()[0], [data])


def stream():
    for kind in BINARY, TEXT:
        same([len(m) for m in call("Produce", b"500 1001", kind, kind).messages()[0]], [1001] * 500)


def both_ways():
    """Each message comes back before the next one leaves, whole and at once."""
    for kind in BINARY, TEXT:
        c, seen = Call("Chat", kind, kind), 0
        for i in range(100):
            data = b"m%d" % i * (i % 7)
            c.send(message(data))
            if c.status is None:
                c.head()
            while seen == len(c.body) or len(c.frames()) <= i:
                seen = len(c.body)
                c.piece()
            same(c.frames()[i], (0, data))
        c.end()
        messages, trailers = c.rest().messages()
        same((len(messages), trailers[b"grpc-status"]), (100, b"0"))


def statuses():
    for kind in BINARY, TEXT:
        c = call("Fail", b"5 100% not there", kind, kind)
        same((c.status, c.fields["grpc-status"], c.fields["grpc-message"], c.body),
             (200, "5", "100%25 not there", b""))
        c = call("Drop", b"3 9", kind, kind)
        messages, trailers = c.messages()
        same(messages, [b"0", b"1", b"2"])
        same((trailers[b"grpc-status"], trailers[b"grpc-message"]), (b"9", b"dropped"))


def slow_reader():
    """The response waits for its reader, and loses nothing."""
    for kind in BINARY, TEXT:
        c = Call("Produce", kind, kind)
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        c.send(message(b"20 1000000"))
        c.end()
        c.head()
        time.sleep(1)
        same([(len(m), m[:1]) for m in c.rest().messages()[0]], [(1000000, bytes([i])) for i in range(20)])


def bad_base64():
    for sent in b"AAAA!AAA", b"AAAAAAVoZWxsbw=", b"AAAAA", b"=AAA", b"AAAAAAVo ZWxsbw==", b"AA-_":
        for step in 1, 100:
            c = Call("Unary", TEXT, TEXT)
            c.send_raw(sent, step)
            c.end()
            c.head()
            same((c.status, c.fields["grpc-status"], c.fields["grpc-message"], c.fields["content-length"]),
                 (400, "13", "Bad gRPC-web request, invalid base64 data.", "0"))


def events(name):
    try:
        with open("grpc.events") as f:
            return f.read().split("\n").count(name)
    except FileNotFoundError:
        return 0


def bad_base64_later():
    """A call that has begun ends upstream as well."""
    over, hangs = events("over"), events("hangs")
    c = Call("Hang", TEXT, TEXT)
    c.send(message(b"x"))
    until(lambda: events("hangs") > hangs)
    c.send_raw(b"####")
    c.head()
    same((c.status, c.fields["grpc-status"]), (400, "13"))
    until(lambda: events("over") > over)


def until(what):
    end = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > end:
            raise AssertionError("never came true")
        time.sleep(0.01)


def cancelled():
    over, hangs = events("over"), events("hangs")
    c = Call("Hang", TEXT, TEXT)
    c.send(message(b"x"))
    until(lambda: events("hangs") > hangs)
    c.s.close()
    until(lambda: events("over") > over)


def deadline():
    """Whoever is first to see it, the proxy or the endpoint that it told."""
    over = events("over")
    c = call("Hang", b"x", fields=["grpc-timeout: 200m"])
    same((c.status in (200, 504), c.fields["grpc-status"]), (True, "4"))
    until(lambda: events("over") > over)


def upstream_head():
    """What the endpoint is told."""
    import json
    c = call("Tell", b"", TEXT, TEXT)
    told = json.loads(c.messages()[0][0])["metadata"]
    same((told.get("x-grpc-web"), told.get("grpc-accept-encoding", "identity")), ("1", "identity"))


def local_replies():
    for path, status, code, text in (
            ("/no.Svc/M", 404, "12", None), ("/direct", 429, "14", "50%25 is enough%7E"),
            ("/redirect", 301, "2", None), ("/nobody", 503, "14", "no healthy upstream"),
            ("/unknown", 503, "14", None)):
        for kind in BINARY, TEXT:
            c = call(None, b"", kind, kind, path=path)
            same((c.status, c.fields["content-type"], c.fields["grpc-status"], c.fields.get("grpc-message"), c.body),
                 (status, TEXT_OUT if kind == TEXT else BINARY, code, text, b""))
            same("location" in c.fields, status == 301)


CASES = [unary, pieces, padding, large, stream, both_ways, statuses, slow_reader, bad_base64, bad_base64_later,
         cancelled, deadline, upstream_head, local_replies]


def run(case):
    begin = time.monotonic()
    try:
        case()
    except (AssertionError, OSError, KeyError, ValueError, struct.error) as e:
        print("%s: %s" % (case.__name__, e if isinstance(e, AssertionError) else repr(e)))
        return 1
    print("%s: %.2f s" % (case.__name__, time.monotonic() - begin))
    return 0


if __name__ == "__main__":
    wanted = sys.argv[3:] or [c.__name__ for c in CASES]
    sys.exit(sum(run(case) for case in CASES if case.__name__ in wanted))
