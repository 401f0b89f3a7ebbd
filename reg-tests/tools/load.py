#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Load for tests that change something meanwhile: counts every request, and says of each failure why.

    load.py ADDRESS:PORT HOST PATH [--keep N] [--fresh N] [--header "Name: value"]

N connections that are kept, and N that open a connection for every request. The file `load.count`
has the number of answers so far; after SIGTERM `load.json` has

    requests  answers          failed   requests without a whole answer, or with a status not 200
    why       of the first few failures
    bodies    how often each body came (what follows the first word is cut off)
    backwards answers on a kept connection whose x-revision is less than the one before
    mixed     answers whose x-revision is not that of their other field, x-revision-too
"""
import argparse
import collections
import json
import os
import signal
import socket
import threading

args = argparse.ArgumentParser()
args.add_argument("address")
args.add_argument("host")
args.add_argument("path")
args.add_argument("--keep", type=int, default=4)
args.add_argument("--fresh", type=int, default=2)
args.add_argument("--header", action="append", default=[])
args = args.parse_args()
ip, _, port = args.address.rpartition(":")
stopping = threading.Event()
lock = threading.Lock()
count = collections.Counter()
bodies = collections.Counter()
why = []


def connect():
    s = socket.create_connection((ip, int(port)), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s, s.makefile("rb")


def ask(conn, keep):
    fields = "".join(f"{h}\r\n" for h in args.header + ([] if keep else ["Connection: close"]))
    conn[0].sendall(f"GET {args.path} HTTP/1.1\r\nHost: {args.host}\r\n{fields}\r\n".encode())
    status = conn[1].readline().split()
    if len(status) < 2:
        raise ConnectionError("closed without an answer")
    head = {}
    while line := conn[1].readline().strip():
        name, _, value = line.decode().partition(":")
        head[name.lower()] = value.strip()
    if head.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(conn[1].readline(), 16):
            body += conn[1].read(size)
            conn[1].readline()
        conn[1].readline()
    else:
        body = conn[1].read(int(head["content-length"]))
        if len(body) != int(head["content-length"]):
            raise ConnectionError("the body is cut")
    return int(status[1]), head, body.decode().split(" ")[0].strip()


def note(status, head, body, before):
    revision = int(head.get("x-revision", 0))
    with lock:
        count["requests"] += 1
        bodies[body] += 1
        if status != 200:
            count["failed"] += 1
            why.append(f"{status} {body}")
        if revision < before:
            count["backwards"] += 1
        if head.get("x-revision") != head.get("x-revision-too"):
            count["mixed"] += 1
    return revision


def run(keep):
    conn, revision = None, 0
    while not stopping.is_set():
        try:
            if conn is None:
                conn, revision = connect(), 0
            status, head, body = ask(conn, keep)
            revision = note(status, head, body, revision)
            closes = head.get("connection", "").lower() == "close"
        except (OSError, ValueError, KeyError) as problem:
            with lock:
                count["failed"] += 1
                why.append(f"{type(problem).__name__}: {problem}")
            closes = True
        if closes or not keep:
            for part in reversed(conn or ()):
                part.close()
            conn = None


def write(name, text):
    with open(name + ".new", "w") as file:
        file.write(text)
    os.rename(name + ".new", name)


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
threads = [threading.Thread(target=run, args=(i < args.keep,)) for i in range(args.keep + args.fresh)]
for thread in threads:
    thread.start()
while not stopping.wait(0.02):
    write("load.count", str(count["requests"]))
for thread in threads:
    thread.join()
write("load.json", json.dumps({k: count[k] for k in ("requests", "failed", "backwards", "mixed")} |
                              {"bodies": bodies, "why": why[:10]}))
