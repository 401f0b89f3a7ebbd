#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An upstream that fails as it is told, on HTTP/1.1 and on HTTP/2 (Debian's python3-h2).

    failing.py NAME ...

Every NAME listens on a port of 127.0.0.1; the file `vars` gets a line NAME='port' for each, then the file
`failing` appears. The path is /ID/STEP,STEP,...: the first request for ID does the first step, wherever it
comes to, the last step is repeated. Steps:

    200 503 ...   this status, with a body that says what was received: "NAME TRY ATTEMPT BYTES SHA"
    early503      this status before the body is read
    close         the whole request is read, then the connection closed without a byte
    reset         the same with RST; on HTTP/2 RST_STREAM (INTERNAL_ERROR)
    refuse        RST_STREAM (REFUSED_STREAM) after the whole request; on HTTP/1.1 as close
    refusehead    the same as soon as the head has come
    hang          no answer at all
    half          a head and half of its body, then as reset
    junk          what is no response; on HTTP/2 a head without status
    interim503    103, then 503
    limited503    503 with x-envoy-ratelimited
    last200       200, and the connection closes once the response has gone, unannounced
    grpc14        200 with this grpc-status in the head, and nothing else
    late14        200, a body, and grpc-status 14 behind it
TRY counts from 1, ATTEMPT is x-envoy-attempt-count. A line of the file failing.log tells each request, when
its head has come: "NAME ID TRY ATTEMPT STEP METHOD PATH ADDED", the last how often it has the field x-added.
"""
import collections
import hashlib
import os
import re
import signal
import socket
import struct
import sys
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events

lock = threading.Lock()
tries = collections.Counter()


class Gone(Exception):
    """The connection is to end."""


def plan(name, method, path, attempt, added):
    """The step for this request, and which try of its ID it is."""
    _, key, steps = path.split("?")[0].split("/", 2)
    steps = steps.split(",")
    with lock:
        tries[key] += 1
        n = tries[key]
        step = steps[min(n, len(steps)) - 1]
        with open("failing.log", "a") as log:
            print(name, key, n, attempt, step, method, path, added, file=log)
    return step, n


def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def wait_for_end(s):
    while s.recv(65536):
        pass


class Request:
    def __init__(self, name, method, path, attempt, added):
        self.name, self.attempt = name, attempt
        self.size, self.sha = 0, hashlib.sha256()
        self.step, self.number = plan(name, method, path, attempt, added)
        self.grpc = self.step.removeprefix("grpc").encode()
        self.status = int((re.search("[0-9]{3}$", self.step) or ["200"])[0])

    def take(self, data):
        self.size += len(data)
        self.sha.update(data)

    def text(self):
        return f"{self.name} {self.number} {self.attempt} {self.size} {self.sha.hexdigest()}\n".encode()


# ---- HTTP/1.1 ----

class Stream1:
    """One connection, one request after the other."""

    def __init__(self, s, name, first):
        self.s, self.name, self.buffer = s, name, first

    def fill(self):
        data = self.s.recv(262144)
        if not data:
            raise Gone
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def body(self, request, left):
        while left > 0:
            if not self.buffer:
                self.fill()
            request.take(self.buffer[:left])
            taken = min(left, len(self.buffer))
            left -= taken
            self.buffer = self.buffer[taken:]

    def read_body(self, request, fields):
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            while size := int(self.until(b"\r\n"), 16):
                self.body(request, size)
                self.until(b"\r\n")
            while self.until(b"\r\n"):
                pass
        else:
            self.body(request, int(fields.get(b"content-length", 0)))

    def answer(self, request, more=b""):
        text = request.text()
        self.s.sendall(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%s\r\n" % (request.status, len(text), more) + text)

    def one(self):
        line, *lines = self.until(b"\r\n\r\n").split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        method, path, _ = line.decode().split(" ")
        r = Request(self.name, method, path, fields.get(b"x-envoy-attempt-count", b"-").decode(),
                    sum(line.startswith(b"x-added:") for line in lines))
        if r.step.startswith("early"):
            self.answer(r)
            self.read_body(r, fields)
            return
        self.read_body(r, fields)
        if r.step in ("close", "refuse", "refusehead"):
            raise Gone
        if r.step in ("reset", "half", "hang"):
            if r.step == "half":
                self.s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            if r.step == "hang":
                wait_for_end(self.s)
            abort(self.s)
            raise Gone
        if r.step == "junk":
            self.s.sendall(b"this is no response\r\n\r\n")
            raise Gone
        if r.step.startswith("grpc"):
            self.s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ngrpc-status: %s\r\n\r\n" % r.grpc)
            return
        if r.step.startswith("interim"):
            self.s.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        self.answer(r, b"x-envoy-ratelimited: true\r\n" if r.step.startswith("limited") else b"")
        if r.step.startswith("last"):
            raise Gone

    def run(self):
        while True:
            self.one()


# ---- HTTP/2 ----

class Stream2:
    def __init__(self, s, name, first):
        self.s, self.name, self.first = s, name, first
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False))
        self.requests = {}

    def rst(self, stream, code):
        self.h2.reset_stream(stream, code)

    def head(self, stream, pairs):
        fields = dict(pairs)
        r = Request(self.name, fields[":method"], fields[":path"], fields.get("x-envoy-attempt-count", "-"),
                    sum(name == "x-added" for name, _ in pairs))
        self.requests[stream] = r
        if r.step == "refusehead":
            self.rst(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif r.step.startswith("early"):
            self.answer(stream, r)

    def answer(self, stream, r, more=(), end=True):
        self.h2.send_headers(stream, [(":status", str(r.status)), *more])
        self.h2.send_data(stream, r.text(), end_stream=end)

    def ended(self, stream):
        r = self.requests[stream]
        if r.step in ("reset", "refuse", "half"):
            if r.step == "half":
                self.h2.send_headers(stream, [(":status", "200"), ("content-length", "100")])
                self.h2.send_data(stream, b"half")
            self.rst(stream, h2.errors.ErrorCodes.REFUSED_STREAM if r.step == "refuse" else
                     h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif r.step == "close":
            raise Gone
        elif r.step == "junk":
            self.h2.send_headers(stream, [("x-nothing", "1")])
        elif r.step.startswith("grpc"):
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"),
                                          ("grpc-status", r.grpc.decode())], end_stream=True)
        elif r.step == "late14":
            self.answer(stream, r, [("content-type", "application/grpc")], end=False)
            self.h2.send_headers(stream, [("grpc-status", "14")], end_stream=True)
        elif r.step not in ("hang", "refusehead") and not r.step.startswith("early"):
            if r.step.startswith("interim"):
                self.h2.send_headers(stream, [(":status", "103")])
            self.answer(stream, r, [("x-envoy-ratelimited", "true")] if r.step.startswith("limited") else ())
            if r.step.startswith("last"):
                self.s.sendall(self.h2.data_to_send())
                raise Gone

    def run(self):
        self.h2.initiate_connection()
        data = self.first
        while data:
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.head(event.stream_id, event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    self.requests[event.stream_id].take(event.data)
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended(event.stream_id)
            self.s.sendall(self.h2.data_to_send())
            data = self.s.recv(262144)


def serve(s, name):
    try:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = s.recv(65536)
        (Stream2 if first.startswith(b"PRI ") else Stream1)(s, name, first).run()
    except (Gone, OSError):
        pass
    finally:
        s.close()


def listen(name):
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    with open("vars", "a") as ports:
        ports.write(f"{name}='{listening.getsockname()[1]}'\n")

    def accept():
        while True:
            s, _ = listening.accept()
            threading.Thread(target=serve, args=(s, name), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
for each in sys.argv[1:]:
    listen(each)
open("failing", "w").close()
signal.pause()
