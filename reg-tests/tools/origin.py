#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Upstreams for tests: every NAME gets a port of 127.0.0.1 from the kernel and answers with its name.

    origin.py NAME ...

Once all listen, the file `vars` in the working folder has a line NAME='port' for each, and the file
`origins` exists. Answers: "NAME METHOD TARGET"; under /head/ the request's fields, one a line; under
/gate/WORD one chunk at once and the last when the file WORD exists; under /bytes/N so many bytes;
/asked/WORD how often /WORD was asked for.
What came as a body is counted in x-received, and its CRC-32 is x-sum.
"""
import collections
import http.server
import os
import signal
import sys
import threading
import time
import zlib

asked = collections.Counter()
asked_lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    name = ""

    def received(self):
        self.sum = 0
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            total = 0
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                total += self.take(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return total
        left = total = int(self.headers.get("content-length") or 0)
        while left > 0 and (piece := self.rfile.read(min(left, 65536))):
            left -= self.take(piece)
        return total - left

    def take(self, piece):
        self.sum = zlib.crc32(piece, self.sum)
        return len(piece)

    def start(self, length):
        self.send_response_only(200)
        self.send_header("x-origin", self.name)
        self.send_header("x-received", str(self.received()))
        self.send_header("x-sum", str(self.sum))
        self.send_header(*(("content-length", str(length)) if length is not None
                           else ("transfer-encoding", "chunked")))
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def gate(self, word):
        self.start(None)
        self.chunk(b"first ")
        deadline = time.monotonic() + 60
        while not os.path.exists(word) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.chunk(b"last\n")
        self.wfile.write(b"0\r\n\r\n")

    def answer(self):
        kind, _, word = self.path.lstrip("/").partition("/")
        with asked_lock:
            asked[kind] += 1
        if kind == "gate":
            self.gate(word)
            return
        if kind == "bytes":
            self.start(int(word))
            for _ in range(int(word) >> 16):
                self.wfile.write(b"x" * 65536)
            self.wfile.write(b"x" * (int(word) & 65535))
            return
        body = f"{self.name} {self.command} {self.path}\n"
        if kind == "asked":
            body = f"{asked[word]}\n"
        if kind == "head":
            body = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        self.start(len(body))
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *args):
        """A peer that goes away is no error of a test's upstream."""


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
with open("vars", "a") as ports:
    for origin in sys.argv[1:]:
        kind = type("Named", (Handler,), {"name": origin})
        server = Server(("127.0.0.1", 0), kind)
        ports.write(f"{origin}='{server.server_port}'\n")
        threading.Thread(target=server.serve_forever, daemon=True).start()
open("origins", "w").close()
signal.pause()
