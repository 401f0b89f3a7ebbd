#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SPOP agent that has nothing in common with ours but the protocol: for the proxy to ask.

    spop_agent.py [--mode FILE] [--frame N] [--no-pipelining] ADDRESS [TOKEN_FILE ...]

ADDRESS is unix:/path or host:port. It reads every argument of check-request and check-conn, and decides
by rules of its own: a token of these files or a path that begins /open is allowed, everything else is
denied with 403. What it allows goes on with the header x-agent, which names the client's address and
the workload, and without x-secret. Facts of every question are appended to seen.jsonl beside FILE.

FILE says how it does so, anew for every connection and every question:

    plain       one write for each ACK          bytes       every byte of it in a write of its own
    burst       answers collect and go out in one write, the last one first
    slow N      N ms later                      rich        with variables nobody asked for, all scopes
    hang        never                           hang_up     the connection ends instead
    junk        bytes without a meaning         half        an action is cut off behind `allow`
    silent      says no HELLO                   http        speaks another protocol
    disconnect  DISCONNECT 13 instead of an answer

When silent or http is said, connections that are open end with their next question.
"""
import argparse
import asyncio
import ipaddress
import json
import os
import signal
import sys

HELLO, DISCONNECT, NOTIFY = 1, 2, 3
AGENT_HELLO, AGENT_DISCONNECT, ACK = 101, 102, 103
TXN = 2
BURST_S = 0.01


class Malformed(Exception):
    pass


class Cursor:
    """Reads a frame's payload."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Malformed("cut off")
        self.at += n
        return self.data[self.at - n:self.at]

    def more(self):
        return self.at < len(self.data)

    def integer(self):
        first = self.take(1)[0]
        if first < 0xf0:
            return first
        total, weight = first, 16
        for _ in range(9):
            byte = self.take(1)[0]
            total += byte * weight
            weight *= 128
            if byte < 0x80:
                return total
        raise Malformed("integer too long")

    def string(self):
        return self.take(self.integer())

    def value(self):
        tag = self.take(1)[0]
        kind = tag & 15
        if kind == 0:
            return None
        if kind == 1:
            return bool(tag & 16)
        if kind in (2, 3, 4, 5):
            return self.integer()
        if kind == 6:
            return ipaddress.IPv4Address(self.take(4))
        if kind == 7:
            return ipaddress.IPv6Address(self.take(16))
        if kind in (8, 9):
            return self.string()
        raise Malformed(f"type {kind}")

    def pairs(self, count=None):
        out = {}
        while self.more() if count is None else len(out) < count:  # names are never twice
            name = self.string().decode()
            out[name] = self.value()
        return out


def integer(n):
    if n < 0xf0:
        return bytes((n,))
    out, n = bytearray((0xf0 | n & 15,)), n - 0xf0
    n >>= 4
    while n >= 0x80:
        out.append(0x80 | n & 127)
        n = (n - 0x80) >> 7
    return bytes(out) + bytes((n,))


def string(data):
    return integer(len(data)) + data


def typed(value):
    if isinstance(value, bool):
        return b"\x11" if value else b"\x01"
    if isinstance(value, int):
        return b"\x03" + integer(value)
    if isinstance(value, bytes):
        return b"\x09" + string(value)
    return b"\x08" + string(value.encode())


def set_var(name, value, scope=TXN):
    return bytes((1, 3, scope)) + string(name.encode()) + typed(value)


def frame(kind, payload, stream=0, number=0):
    body = bytes((kind, 0, 0, 0, 1)) + integer(stream) + integer(number) + payload
    return len(body).to_bytes(4, "big") + body


def disconnect(code, text):
    return frame(AGENT_DISCONNECT, string(b"status-code") + typed(code) + string(b"message") + typed(text))


def headers_of(packed):
    cursor, out = Cursor(packed), []
    while True:
        name, value = cursor.string(), cursor.string()
        if not name and not value:
            break
        out.append((name.decode(), value.decode("latin-1")))
    if cursor.more():
        raise Malformed("bytes behind the headers")
    return out


class Agent:
    def __init__(self, args):
        self.args = args
        self.tokens = set()
        for name in args.tokens:
            with open(name, encoding="ascii") as f:
                self.tokens.add("Bearer " + f.read().strip())
        self.seen = None
        if args.mode:
            path = os.path.join(os.path.dirname(os.path.abspath(args.mode)), "seen.jsonl")
            self.seen = open(path, "a", encoding="utf-8")

    def mode(self):
        if not self.args.mode:
            return ["plain"]
        with open(self.args.mode, encoding="ascii") as f:
            return f.read().split() or ["plain"]

    def verdict(self, name, facts):
        """Actions, `allow` last."""
        if name == "check-conn":
            return set_var("status", 200) + set_var("reason", "ok") + set_var("allow", True)
        fields = headers_of(facts["headers"])
        token = [v for n, v in fields if n == "authorization"]
        path = facts["path"].decode()
        allow = path.startswith("/open") or (len(token) == 1 and token[0] in self.tokens)
        if not allow:
            return set_var("status", 403) + set_var("reason", "rbac") + \
                set_var("body", "RBAC: access denied") + set_var("allow", False)
        note = f"{facts['src']} {facts['workload'].decode()}".encode()
        return set_var("status", 200) + set_var("reason", "ok") + \
            set_var("hdr_del", string(b"X-Secret") + b"\0\0") + \
            set_var("hdr_set", string(b"X-Agent") + string(note) + b"\0\0") + set_var("allow", True)

    def actions(self, payload, how):
        cursor, out = Cursor(payload), b""
        while cursor.more():
            name, count = cursor.string().decode(), cursor.take(1)[0]
            facts = cursor.pairs(count)
            if name not in ("check-request", "check-conn"):
                continue
            out = self.verdict(name, facts)
            if self.seen is not None and how != "plain":
                known = {k: v.decode("latin-1") if isinstance(v, bytes) else v
                         if isinstance(v, (int, type(None))) else str(v) for k, v in facts.items()}
                self.seen.write(json.dumps({"message": name, "how": how, **known}) + "\n")
                self.seen.flush()
        if how == "rich":
            extra = b"".join(set_var(f"v{scope}", "x" * 10, scope) for scope in range(5))
            extra += bytes((2, 2, TXN)) + string(b"gone") + bytes((1, 3, TXN)) + string(b"null") + b"\x00"
            extra += bytes((1, 3, TXN)) + string(b"address") + b"\x06\x7f\0\0\1"
            out = extra + out
        if how == "half":
            out += b"\x01\x03\x02\x06stat"
        return out


class Connection:
    def __init__(self, agent, reader, writer):
        self.agent, self.reader, self.writer = agent, reader, writer
        self.burst, self.tasks = [], set()

    async def next_frame(self):
        head = await self.reader.readexactly(4)
        body = await self.reader.readexactly(int.from_bytes(head, "big"))
        cursor = Cursor(body)
        kind, flags = cursor.take(1)[0], int.from_bytes(cursor.take(4), "big")
        stream, number = cursor.integer(), cursor.integer()
        if flags != 1:
            raise Malformed(f"flags {flags}")
        return kind, stream, number, cursor.take(len(body) - cursor.at)

    async def greet(self):
        kind, stream, number, payload = await self.next_frame()
        facts = Cursor(payload).pairs()
        if kind != HELLO or stream or number:
            raise Malformed("no HELLO")
        versions = [v.strip() for v in facts["supported-versions"].decode().split(",")]
        offered = facts["capabilities"].decode().split(",")
        if "2.0" not in versions or facts["max-frame-size"] < 256:
            raise Malformed("versions, or frame size")
        how = self.agent.mode()[0]
        if how == "silent":
            await self.reader.read()
            return False
        if how == "http":
            self.writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return False
        mine = "" if self.agent.args.no_pipelining or "pipelining" not in offered else "pipelining"
        # Not in the order of the specification, and with a name that it does not know.
        reply = string(b"zz-extra") + typed(7) + string(b"capabilities") + typed(mine) + \
            string(b"max-frame-size") + typed(min(facts["max-frame-size"], self.agent.args.frame)) + \
            string(b"version") + typed("2.0")
        self.writer.write(frame(AGENT_HELLO, reply))
        await self.writer.drain()
        return not facts.get("healthcheck", False)

    async def flush_burst(self):
        await asyncio.sleep(BURST_S)
        self.writer.write(b"".join(reversed(self.burst)))
        self.burst.clear()

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def later(self, data, seconds):
        await asyncio.sleep(seconds)
        self.writer.write(data)

    async def answer(self, stream, number, payload):
        """False: the connection ends."""
        how, *arguments = self.agent.mode()
        ack = frame(ACK, self.agent.actions(payload, how), stream, number)
        if how in ("hang_up", "silent", "http"):
            return False
        if how == "disconnect":
            self.writer.write(disconnect(13, "enough"))
            return False
        if how == "junk":
            self.writer.write(bytes(range(3, 250, 7)) * 9)
        elif how == "slow":
            self.spawn(self.later(ack, int(arguments[0]) / 1000))
        elif how == "burst":
            self.burst.append(ack)
            if len(self.burst) == 1:
                self.spawn(self.flush_burst())
        elif how == "bytes":
            for i in range(len(ack)):
                self.writer.write(ack[i:i + 1])
                await asyncio.sleep(0)
        elif how != "hang":
            self.writer.write(ack)
        return True

    async def serve(self):
        if not await self.greet():
            return
        while True:
            kind, stream, number, payload = await self.next_frame()
            if kind == DISCONNECT:
                self.writer.write(disconnect(0, "bye"))
                return
            if kind == NOTIFY and not await self.answer(stream, number, payload):
                return
            await self.writer.drain()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode")
    parser.add_argument("--frame", type=int, default=16380)
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("address")
    parser.add_argument("tokens", nargs="*")
    args = parser.parse_args()
    agent = Agent(args)

    async def on_connection(reader, writer):
        connection = Connection(agent, reader, writer)
        try:
            await connection.serve()
        except (asyncio.IncompleteReadError, OSError):
            pass
        except Malformed as why:
            print(f"malformed: {why}", file=sys.stderr, flush=True)
            writer.write(disconnect(4, "invalid frame received"))
        finally:
            for task in connection.tasks:
                task.cancel()
            writer.close()

    if args.address.startswith("unix:"):
        await asyncio.start_unix_server(on_connection, args.address[5:], backlog=1024)
    else:
        host, _, port = args.address.rpartition(":")
        await asyncio.start_server(on_connection, host, int(port), backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
asyncio.run(main())
