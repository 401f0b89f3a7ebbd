#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks an agent as no HAProxy would, and says row by row whether it keeps to the protocol.

    spop_rows.py ADDRESS [patient]

ADDRESS is unix:/path or host:port of an agent that judges by documents that allow everything below
/open and nothing else, for the workload shop/cart. Prints "ok ROW" or "FAIL ROW: why" and exits with 1 if
there was one of the latter. With `patient` one row more, of 5 s. Written from the specification of SPOP, on top of nothing of this tree.
"""
import resource
import socket
import struct
import sys
import threading
import time

ADDRESS = sys.argv[1]
HELLO, GOODBYE, NOTIFY = 1, 2, 3
AGENT_HELLO, AGENT_GOODBYE, ACK = 101, 102, 103
WAIT_S = 15


def number(n):
    if n < 240:
        return bytes([n])
    out = bytes([n & 15 | 240])
    n = (n - 240) // 16
    while n >= 128:
        out += bytes([n & 127 | 128])
        n = (n - 128) // 128
    return out + bytes([n])


def name(text):
    return number(len(text)) + text.encode()


def text(s):
    return b"\x08" + number(len(s)) + (s if isinstance(s, bytes) else s.encode())


def packed(s):
    return b"\x09" + number(len(s)) + s


def uint32(n):
    return b"\x03" + number(n)


def frame(kind, payload=b"", stream=0, count=0, flags=1):
    body = struct.pack(">BI", kind, flags) + number(stream) + number(count) + payload
    return struct.pack(">I", len(body)) + body


def hello(versions="2.0", size=16380, capabilities="pipelining", extra=b"", **head):
    return frame(HELLO, name("supported-versions") + text(versions) + name("max-frame-size") + uint32(size) +
                 name("capabilities") + text(capabilities) + extra, **head)


ARGUMENTS = {
    "v": uint32(1), "method": text("GET"), "scheme": text("http"), "authority": text("a.b"),
    "path": text("/open"), "remote-ip": b"\x06\x7f\0\0\1", "src": b"\x06\x7f\0\0\1", "dst": b"\x06\x7f\0\0\1",
    "dst-port": uint32(80), "tls": b"\x01", "headers": packed(b"\x04host\x03a.b\0\0"),
    "workload": text("shop/cart"),
}


def message(title="check-request", more=(), **changed):
    pairs = {**ARGUMENTS, **{k.replace("_", "-"): v for k, v in changed.items()}}
    pairs = [(k, v) for k, v in pairs.items() if v is not None] + list(more)
    return name(title) + bytes([len(pairs)]) + b"".join(name(k) + v for k, v in pairs)


class Link:
    """A connection. What arrives is cut into frames: (type, flags, stream, frame, payload)."""

    def __init__(self, *first):
        if ADDRESS.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(WAIT_S)
            self.socket.connect(ADDRESS[5:])
        else:
            host, _, port = ADDRESS.rpartition(":")
            self.socket = socket.create_connection((host, int(port)), WAIT_S)
        self.bytes = b""
        if first:
            self.send(*first)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        self.socket.sendall(b"".join(pieces))

    def fill(self, n):
        while len(self.bytes) < n:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.bytes += more

    def next(self):
        self.fill(4)
        length = struct.unpack(">I", self.bytes[:4])[0]
        self.fill(4 + length)
        body, self.bytes = self.bytes[4:4 + length], self.bytes[4 + length:]
        kind, flags = struct.unpack(">BI", body[:5])
        at, ids = 5, []
        for _ in range(2):
            value, at, weight = body[at], at + 1, 16
            more = value >= 240
            while more:
                value += body[at] * weight
                more = body[at] >= 128
                at, weight = at + 1, weight * 128
            ids.append(value)
        return kind, flags, *ids, body[at:]

    def greeted(self):
        kind, flags, stream, count, payload = self.next()
        expect(kind == AGENT_HELLO and flags == 1 and stream == count == 0, f"no HELLO but {kind}, {payload}")
        return payload

    def verdict(self, stream=1, count=1):
        """True or False as the agent says, None for an ACK without a verdict."""
        kind, flags, got_stream, got_count, payload = self.next()
        expect(kind == ACK, f"no ACK but {kind}: {payload}")
        expect(flags == 1, f"an ACK with flags {flags:#x}")
        expect((got_stream, got_count) == (stream, count), f"an ACK for {got_stream}/{got_count}")
        self.payload = payload
        if not payload:
            return None
        expect(payload[-7:-1] == b"\x05allow", "`allow` is not the last action")
        return {0x11: True, 0x01: False}[payload[-1]]

    def goodbye(self, status):
        kind, flags, stream, count, payload = self.next()
        expect(kind == AGENT_GOODBYE and flags == 1 and stream == count == 0, f"no DISCONNECT but {kind}")
        expect(payload.startswith(name("status-code") + uint32(status)), f"DISCONNECT says {payload}")
        self.ends()

    def ends(self):
        try:
            self.fill(len(self.bytes) + 1)
        except (EOFError, ConnectionResetError):
            return
        raise AssertionError(f"more than the end: {self.bytes}")


def expect(condition, why):
    if not condition:
        raise AssertionError(why)


ROWS = []


def row(function):
    ROWS.append(function)
    return function


def ask(link, stream=1, count=1, flags=1, **changed):
    link.send(frame(NOTIFY, message(**changed), stream, count, flags))
    return link.verdict(stream, count)


def open_link():
    link = Link(hello())
    link.greeted()
    return link


@row
def the_answer_to_hello_is_bit_exact():
    with Link(hello()) as link:
        link.fill(68)
        expect(link.bytes.hex() == "00000040650000000100000776657273696f6e0803322e300e6d61782d6672616d652d"
               "73697a6503fcf0060c6361706162696c6974696573080a706970656c696e696e67", link.bytes.hex())


@row
def a_health_check_ends_with_the_hello():
    with Link(hello(capabilities="", extra=name("healthcheck") + b"\x11")) as link:
        link.greeted()
        link.ends()
    with Link(hello(extra=name("healthcheck") + b"\x01")) as link:		# it says that it is none
        link.greeted()
        expect(ask(link), "denied")


@row
def hellos_that_cannot_be():
    size, caps = name("max-frame-size") + uint32(16380), name("capabilities") + text("")
    versions = name("supported-versions") + text("2.0")
    for status, payload in ((5, size + caps), (6, versions + caps), (7, versions + size), (5, b""),
                            (8, name("supported-versions") + text("1.0,2.1,20") + size + caps),
                            (9, versions + name("max-frame-size") + uint32(255) + caps), (4, b"\x05abc")):
        with Link(frame(HELLO, payload)) as link:
            link.goodbye(status)
    for bad in (hello(stream=1), hello(count=1), hello(flags=0)):
        with Link(bad) as link:
            link.goodbye(4)


@row
def hellos_that_can():
    for good in (hello(" 1.0 , 2.0 "), hello(capabilities="async,fragmentation"), hello(size=256),
                 hello(size=1 << 31), hello(extra=name("unknown") + text("x") + name("null") + b"\0")):
        with Link(good) as link:
            link.greeted()
            expect(ask(link), "denied")


@row
def ids_are_anything():
    with open_link() as link:
        for stream in (0, 1, 239, 240, 2287, 2288, 1 << 32, (1 << 64) - 1):
            for count in (0, 1, 2, 1 << 40):
                expect(ask(link, stream, count), "denied")
        expect(ask(link, 7, 7) and ask(link, 7, 7), "the same ids once more")


@row
def reserved_bits_mean_nothing():
    with open_link() as link:
        expect(ask(link, flags=0xf0f0f001), "flags")
        expect(not ask(link, tls=b"\x21", path=text("/closed")), "a BOOL with other bits")


@row
def types_are_coerced_and_the_last_one_wins():
    with open_link() as link:
        for port in (b"\x02" + number(80), b"\x03" + number(80), b"\x04" + number(80), b"\x05" + number(80)):
            expect(ask(link, dst_port=port), f"port {port}")
        expect(ask(link, src=text("127.0.0.1"), remote_ip=b"\x07" + bytes(15) + b"\1"), "addresses")
        expect(ask(link, more=[("later", b"\0"), ("path", text("/open/2"))]), "twice")
        expect(not ask(link, more=[("path", text("/closed"))]), "the last path is closed")
        expect(ask(link, sni=b"\0", peer_cert=b"\0"), "NULL is absent")


@row
def what_is_missing_is_refused_with_its_name():
    with open_link() as link:
        for argument in ("method", "scheme", "authority", "path", "remote-ip", "src", "dst", "dst-port", "tls",
                         "headers", "workload", "v"):
            # A UNIX socket has neither address nor port, and says so with NULL.
            for value in (None,) if argument in ("remote-ip", "src", "dst", "dst-port") else (None, b"\0"):
                expect(ask(link, **{argument: value}) is False, argument)
                expect(b"bad-request:" + argument.encode() in link.payload, f"{argument}: {link.payload}")


@row
def messages_that_are_not_ours_are_skipped():
    with open_link() as link:
        link.send(frame(NOTIFY, name("other") + b"\x01" + name("x") + b"\x11", 3, 1))
        expect(link.verdict(3) is None, "a verdict")
        link.send(frame(NOTIFY, b"", 5, 1))
        expect(link.verdict(5) is None, "a verdict on nothing")
        link.send(frame(NOTIFY, name("other") + b"\0" + message() + name("other") + b"\0", 7, 1))
        expect(link.verdict(7), "among others")
        link.send(frame(NOTIFY, message() + message(), 9, 1))
        expect(link.verdict(9) is False, "two questions in one")
        link.send(frame(50, b"anything", 1, 1), frame(ACK, b"", 1, 1), frame(NOTIFY, message(), 11, 1))
        expect(link.verdict(11), "frames of unknown type")


@row
def malformed_lists_end_the_connection():
    for payload in (b"\x05", name("x") + b"\x01", name("x") + b"\x01" + name("y"), name("x") + b"\xff" + b"\0\0",
                    name("x") + b"\x01" + name("y") + b"\x0a", name("x") + b"\x01" + name("y") + b"\x08\xff",
                    name("x") + b"\x01" + name("y") + b"\x08" + b"\xff" * 11, message()[:-1]):
        with open_link() as link:
            link.send(frame(NOTIFY, payload, 1, 1))
            link.goodbye(4)


@row
def lengths_that_cannot_be():
    for greets, head, status in ((False, "ffffffff", 3), (False, "00000006", 4), (False, "00000000", 4),
                                 (True, "00003ffd", 3), (True, "80000000", 3), (True, "00000006", 4)):
        with open_link() if greets else Link() as link:
            link.send(bytes.fromhex(head))
            link.goodbye(status)


@row
def frames_out_of_turn():
    for greets, bad, status in ((False, frame(NOTIFY, message(), 1, 1), 4), (True, hello(), 4), (False, frame(50), 4),
                                (True, frame(0, b"", 1, 1), 11), (True, frame(NOTIFY, b"", 1, 1, 0), 10),
                                (True, frame(0, b"", 1, 1, 3), 11)):
        with open_link() if greets else Link() as link:
            link.send(bad)
            link.goodbye(status)


@row
def disconnect_is_answered_and_what_follows_ignored():
    bye = frame(GOODBYE, name("status-code") + uint32(0) + name("message") + text("normal"))
    with open_link() as link:
        link.send(bye, frame(NOTIFY, message(), 1, 1), b"\xff" * 100)
        link.goodbye(0)
    with open_link() as link:
        link.send(frame(GOODBYE, b"\xff"))
        link.goodbye(0)
    with Link(bye) as link:
        link.goodbye(0)


@row
def one_byte_at_a_time():
    with Link() as link:
        for byte in hello() + frame(NOTIFY, message(), 1, 1):
            link.send(bytes([byte]))
        link.greeted()
        expect(link.verdict(), "denied")


@row
def a_thousand_at_once_on_one_connection():
    with open_link() as link:
        link.send(*(frame(NOTIFY, message(path=text("/open" if n % 3 else "/shut")), n, 1) for n in range(1000)))
        open_ids = {}
        for _ in range(1000):
            kind, _, stream, _, payload = link.next()
            open_ids[stream] = kind == ACK and payload[-1] == 0x11
        expect(open_ids == {n: n % 3 > 0 for n in range(1000)}, "answers are mixed up")


@row
def a_burst_of_connections():
    links = [Link(hello(), frame(NOTIFY, message(), 1, 1)) for _ in range(600)]
    for link in links:
        link.greeted()
        expect(link.verdict(), "denied")
        link.socket.close()


@row
def more_connections_than_there_may_be():
    links, refused = [], 0
    for _ in range(1100):
        links.append(Link())
        try:
            links[-1].send(hello())
        except OSError:
            pass				# refused already: what it was told is there to be read
    for link in links:
        kind, _, _, _, payload = link.next()
        if kind == AGENT_GOODBYE:
            expect(payload.startswith(name("status-code") + uint32(13)), f"{payload}")
            refused += 1
    expect(76 <= refused < 1000, f"{refused} refused")	# the agent may not have seen the burst's end yet
    for link in links:
        link.socket.close()
    for _ in range(500):
        try:
            with Link(hello()) as link:
                if link.next()[0] == AGENT_HELLO:
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise AssertionError("none is let in afterwards")


@row
def nonsense_harms_nobody_else():
    with open_link() as calm:
        for seed in range(60):
            with Link() as link:
                junk = bytes((seed * 7 + i * i * 31 + i * seed) & 255 for i in range(300))
                try:
                    link.send(hello() if seed % 2 else b"", frame(NOTIFY, junk[:seed * 4], seed, 1), junk)
                except OSError:
                    pass
            expect(ask(calm), "denied")


def silent(result):
    try:
        with Link() as link, Link(hello()[:20]) as half:
            began = time.monotonic()
            link.goodbye(2)
            half.goodbye(2)
            took = time.monotonic() - began
            expect(4.5 < took < 10, f"after {took} s")
    except Exception as why:  # pylint: disable=broad-except
        result.append(f"{type(why).__name__} {why}")


def main():
    failures, patience = 0, []
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    waiting = threading.Thread(target=silent, args=(patience,))
    if sys.argv[2:] == ["patient"]:
        waiting.start()
    for function in ROWS:
        try:
            function()
            print("ok", function.__name__)
        except (AssertionError, OSError, EOFError) as why:
            failures += 1
            print(f"FAIL {function.__name__}: {type(why).__name__} {why}")
    if sys.argv[2:] == ["patient"]:
        waiting.join()
        print("ok" if not patience else "FAIL", "who_says_no_hello_is_not_waited_for", *patience)
    sys.exit(failures + len(patience) > 0)


main()
