#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small upstream for the demo: says its name and shows the request as it arrived.

    upstream.py NAME PORT
"""
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        shown = "".join(f"  {name}: {value}\n" for name, value in self.headers.items())
        body = f"{sys.argv[1]}: {self.command} {self.path}\n{shown}".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
