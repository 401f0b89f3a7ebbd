#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that ask too much: many connections, slow heads, silence. Each story ends with a good client
that is served.

    clients.py STORY PORT NUMBER

beyond NUMBER   NUMBER connections are served, those beyond are closed without a word, and when one
                leaves there is room again
slow MS         a head that comes byte by byte, however lively, ends with 408 at its deadline; so does a
                half-sent one behind a complete request (`origin.sock` is this script's upstream)
silent MS       a connection without a request ends without a word, new or kept alive
flood NUMBER    NUMBER connections that say nothing, half a head, nonsense, or leave at once
reset NUMBER    clients that leave with an RST at every stage of a request
"""
import os
import select
import socket
import struct
import sys
import threading
import time

PATIENCE = float(os.environ.get("PATIENCE", 30))
HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def fail(text):
    sys.exit(f"FAILED: {text}")


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    """Until the proxy closes; an RST counts as nothing more."""
    data = b""
    try:
        while got := s.recv(65536):
            data += got
    except ConnectionResetError:
        pass
    return data


def read_response(s):
    data = b""
    while b"\r\n\r\n" not in data:
        got = s.recv(65536)
        if not got:
            return data
        data += got
    return data


def is_served(s):
    try:
        s.sendall(HEAD)
        return read_response(s).startswith(b"HTTP/1.1 200 ")
    except (ConnectionResetError, BrokenPipeError):
        return False


def must_be_served(port):
    """A good client, new on the scene; connections of others may still be leaving."""
    deadline = time.monotonic() + PATIENCE
    while not is_served(connect(port)):
        if time.monotonic() > deadline:
            fail("a good client is not served any more")


def beyond(port, number):
    kept = [connect(port) for _ in range(number)]
    for i, s in enumerate(kept):
        if not is_served(s):
            fail(f"connection {i + 1} of {number} is not served")
    for _ in range(5):
        with connect(port) as s:
            if read_all(s):
                fail("a connection beyond the limit got an answer")
    for i, s in enumerate(kept):
        if not is_served(s):
            fail(f"connection {i + 1} of {number} was lost to those beyond")
    kept.pop().close()
    must_be_served(port)


def expect_408(s, what):
    answer = read_all(s)
    if not answer.startswith(b"HTTP/1.1 408 ") or not answer.endswith(b"request header timeout"):
        fail(f"{what}: {answer}")


def serve_origin():
    """One connection; it answers what comes in one piece."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("origin.sock")
    listening.listen(1)

    def serve():
        s, _ = listening.accept()
        while s.recv(65536):
            s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()


def slow(port, number):
    serve_origin()
    with connect(port) as s:        # a byte every tenth of the limit never makes a head
        began = time.monotonic()
        s.sendall(b"GET / HTTP/1.1\r\nX: ")
        while not select.select([s], [], [], number / 10000)[0]:
            s.sendall(b"a")
            if time.monotonic() - began > PATIENCE:
                fail("a slow head is waited for without end")
        expect_408(s, "a slow head")
        if time.monotonic() - began < number / 1000 * 0.9:
            fail("a head was given up too soon")
    for path in (b"/", b"/upstream"):       # the second one of a connection, sent with the first
        with connect(port) as s:
            s.sendall(HEAD.replace(b"/", path, 1) + HEAD[:-5])
            answer = read_all(s)
            if answer.count(b"HTTP/1.1 ") != 2 or not answer.endswith(b"request header timeout"):
                fail(f"half a head behind {path}: {answer}")
    with connect(port) as s:        # the second one, sent later
        is_served(s)
        s.sendall(HEAD[:-5])
        expect_408(s, "half a head on a kept connection")
    with connect(port) as s:        # a CR that may become an empty line
        s.sendall(b"\r")
        expect_408(s, "a single CR")
    must_be_served(port)


def silent(port, number):
    for served in (False, True):
        with connect(port) as s:
            began = time.monotonic()
            if served and not is_served(s):
                fail("not served")
            if answer := read_all(s):
                fail(f"silence was answered: {answer}")
            if time.monotonic() - began < number / 1000 * 0.9:
                fail("a silent connection was closed too soon")
    must_be_served(port)


def flood(port, number):
    ways = (b"", b"G", HEAD[:-2], HEAD, HEAD * 3, b"\x16\x03\x01\x02\x00", b"nonsense\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
    kept = []
    for i in range(number):
        try:
            s = connect(port)
            s.sendall(ways[i % len(ways)])
        except (ConnectionResetError, BrokenPipeError):
            continue
        if i % 3 == 0:
            s.close()
        else:
            kept.append(s)
        if i % 200 == 0:
            must_be_served(port)
    must_be_served(port)
    for s in kept:
        s.close()
    must_be_served(port)


def reset(port, number):
    stages = (b"", HEAD[:-2], HEAD, HEAD * 50,
              b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc",
              b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
    for i in range(number):
        s = connect(port)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(stages[i % len(stages)])
        if i % 4 == 0:
            select.select([s], [], [], 0.01)
        s.close()
    must_be_served(port)


STORIES = {"beyond": beyond, "slow": slow, "silent": silent, "flood": flood, "reset": reset}

if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in STORIES:
        sys.exit(__doc__)
    STORIES[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
