#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers for tests of who is sent copies: each NAME=MODE gets a port of 127.0.0.1 from the kernel.

    recorder.py NAME=MODE ...

Once all listen, the file `vars` in the working folder has a line NAME='port' for each, and the file
`recorders` exists. Modes:

    record   answers 200; the file NAME.jsonl gets a line for each request: method, target, fields
             (names in lower case, of repeated ones the values joined by `|`), trailers, bytes of the
             body and its SHA-256
    silent   accepts connections and never reads
    mute     reads and never answers
    slow     takes a body by 64 KiB, with pauses
    early    answers as soon as it has the head, and closes
    endless  answers with a body that has no end
"""
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time

BUFFER = 16384
lock = threading.Lock()


class Request:
    """Reads one request from a connection; `line` is empty at its end."""

    def __init__(self, stream, before_body):
        self.line = stream.readline().split()
        self.fields, self.trailers, self.size, self.digest = {}, {}, 0, hashlib.sha256()
        if not self.line:
            return
        self.read_fields(stream, self.fields)
        before_body(self)
        if "chunked" in self.fields.get("transfer-encoding", ""):
            while size := int(stream.readline().split(b";")[0], 16):
                self.take(stream, size)
                stream.readline()
            self.read_fields(stream, self.trailers)
        else:
            self.take(stream, int(self.fields.get("content-length", 0)))

    @staticmethod
    def read_fields(stream, into):
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            into[name.lower()] = "|".join(filter(None, (into.get(name.lower()), value.strip())))

    def take(self, stream, left):
        while left > 0:
            piece = stream.read(min(left, 65536))
            if not piece:
                raise ConnectionError("the body is cut")
            left -= len(piece)
            self.size += len(piece)
            self.digest.update(piece)


def record(name, peer):
    stream = peer.makefile("rb")
    while (r := Request(stream, lambda _: None)).line:
        with lock, open(name + ".jsonl", "a") as log:
            log.write(json.dumps({"method": r.line[0].decode(), "target": r.line[1].decode(),
                                  "fields": r.fields, "trailers": r.trailers, "size": r.size,
                                  "digest": r.digest.hexdigest()}) + "\n")
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nmirror\n")


def silent(_, peer):
    forever.wait()


def mute(_, peer):
    while peer.recv(65536):
        pass


def slow(_, peer):
    while peer.recv(65536):
        time.sleep(0.05)


def early(_, peer):
    Request(peer.makefile("rb"), lambda r: peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
                                                        b"connection: close\r\n\r\n") or sys.exit())


def endless(_, peer):
    Request(peer.makefile("rb"), lambda r: None)
    peer.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        peer.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        time.sleep(0.001)


def serve(name, mode, peer):
    try:
        with peer:
            mode(name, peer)
    except (OSError, ValueError, SystemExit):
        pass                    # a peer that goes away is no error here


def accept(name, mode, listener):
    while True:
        peer = listener.accept()[0]
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(name, mode, peer), daemon=True).start()


threading.stack_size(256 << 10)
forever = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
with open("vars", "a") as ports:
    for word in sys.argv[1:]:
        name, _, mode = word.partition("=")
        listener = socket.socket()
        if mode in ("silent", "slow"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        ports.write(f"{name}='{listener.getsockname()[1]}'\n")
        threading.Thread(target=accept, args=(name, globals()[mode], listener), daemon=True).start()
open("recorders", "w").close()
signal.pause()
