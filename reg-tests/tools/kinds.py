#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests without end, of several kinds in turn, and what came back: for tests that break things.

    kinds.py [--connections N] [--host NAME] ADDRESS REPORT KIND[=TOKEN_FILE] ...

ADDRESS is host:port or unix:/path. Asks for /KIND, with the token of the file if there is one, over
keep-alive connections. Prints "loading" when every kind was answered often; on SIGTERM writes REPORT
and ends. Its lines:

    KIND STATUS N       so many answers; STATUS is `lost` for a connection that ended without one
    KIND gap_ms N       longest time without a 200, from the first one to the end
    KIND odd BODY       the first answer whose body is neither the upstream's (200) nor a known refusal
"""
import argparse
import collections
import os
import signal
import socket
import threading
import time

OFTEN = 20
REFUSALS = (b"RBAC: access denied", b"authorization service unavailable")


class Load:
    lock = threading.Lock()
    ending = False

    def __init__(self, kinds):
        self.counts = collections.Counter()
        self.last_ok = {}
        self.gap = dict.fromkeys(kinds, 0.0)
        self.odd = {}
        self.busy = False

    def note(self, kind, status, body):
        now = time.monotonic()
        with self.lock:
            self.counts[kind, status] += 1
            if status == "200":
                self.close_gap(kind, now)
                self.last_ok[kind] = now
            known = body.split() == ["app", "GET", "/" + kind] if status == "200" else \
                body.encode() in REFUSALS or body.startswith("Jwt")
            if status != "lost" and not known:
                self.odd.setdefault(kind, body)
            if not self.busy and min(self.answered(k) for k in self.gap) >= OFTEN:
                self.busy = True
                print("loading", flush=True)

    def answered(self, kind):
        return sum(n for (k, status), n in self.counts.items() if k == kind and status != "lost")

    def close_gap(self, kind, now):
        if kind in self.last_ok:
            self.gap[kind] = max(self.gap[kind], now - self.last_ok[kind])

    def report(self, path):
        now = time.monotonic()
        with self.lock, open(path + ".new", "w", encoding="utf-8") as out:
            for (kind, status), n in sorted(self.counts.items()):
                out.write(f"{kind} {status} {n}\n")
            for kind in self.gap:
                self.close_gap(kind, now)
                out.write(f"{kind} gap_ms {self.gap[kind] * 1000:.0f}\n")
            for kind, body in self.odd.items():
                out.write(f"{kind} odd {body!r}\n")
        os.rename(path + ".new", path)


def connect(address):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        s = socket.create_connection((host, int(port)), timeout=10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s, s.makefile("rb")


def answer(reader):
    """(status, body, stays open) of one response, or None when the peer is gone."""
    line = reader.readline()
    if not line:
        return None
    length, stays = 0, True
    while (field := reader.readline().strip().lower()):
        if field.startswith(b"content-length:"):
            length = int(field.split(b":")[1])
        if field == b"connection: close":
            stays = False
    body = reader.read(length)
    return (line.split()[1].decode(), body.decode(), stays) if len(body) == length else None


def run(load, address, requests):
    open_socket = reader = None
    while not load.ending:
        for kind, request in requests:
            got = None
            try:
                if open_socket is None:
                    open_socket, reader = connect(address)
                open_socket.sendall(request)
                got = answer(reader)
            except OSError:
                pass
            if load.ending:
                return
            load.note(kind, *(got[:2] if got else ("lost", "")))
            if got is None or not got[2]:
                if open_socket is not None:
                    reader.close()
                    open_socket.close()
                open_socket = None
                if got is None:
                    time.sleep(0.005)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--host", default="shop.example")
    parser.add_argument("address")
    parser.add_argument("report")
    parser.add_argument("kinds", nargs="+")
    args = parser.parse_args()
    requests = []
    for kind, _, token in (k.partition("=") for k in args.kinds):
        fields = f"GET /{kind} HTTP/1.1\r\nHost: {args.host}\r\n"
        if token:
            with open(token, encoding="ascii") as f:
                fields += f"Authorization: Bearer {f.read().strip()}\r\n"
        requests.append((kind, (fields + "\r\n").encode()))
    load = Load([kind for kind, _ in requests])
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    for n in range(args.connections):
        shifted = requests[n % len(requests):] + requests[:n % len(requests)]
        threading.Thread(target=run, args=(load, args.address, shifted), daemon=True).start()
    done.wait()
    load.ending = True
    load.report(args.report)
    os._exit(0)


if __name__ == "__main__":
    main()
