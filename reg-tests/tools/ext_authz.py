#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A provider for CUSTOM policies, over HTTP and over gRPC, that decides by the last part of the path.

    ext_authz.py

Once both listen, the file `vars` in the working folder has authz_http='port' and authz_grpc='port', and the
file `providers` exists. What it was asked is written to `asked`, one question a line, as JSON; of a body its length and CRC-32.

allow: lets pass, sets x-user, adds to x-roles, removes x-secret, and has x-seen put on the response.
deny: 403 with a body and headers. login: 302. empty: a denial without anything. error: fails. hang: never
answers. huge: a body that is too large. split: headers that would split a message. junk: no such answer.
"""
import concurrent.futures
import http.server
import json
import os
import signal
import sys
import threading
import zlib

import grpc

stop = threading.Event()
asked = open("asked", "a", buffering=1)


def word_of(path):
    return path.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, headers, body=b""):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def decide(self):
        word = word_of(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked.write(json.dumps({"by": "http", "method": self.command, "path": self.path,
                                "bytes": len(body), "sum": zlib.crc32(body),
                                "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")
        if word == "deny":
            self.answer(403, [("x-why", "no reason"), ("content-type", "text/html"), ("set-cookie", "a=b")],
                        b"<p>no entry</p>")
        elif word == "login":
            self.answer(302, [("location", "https://login.example/")])
        elif word == "empty":
            self.answer(401, [])
        elif word == "error":
            self.answer(500, [], b"broken")
        elif word == "hang":
            stop.wait()
        elif word == "huge":
            self.answer(403, [], b"x" * 1000000)
        elif word == "junk":
            self.wfile.write(b"this is no answer\r\n\r\n")
            self.close_connection = True
        else:
            self.answer(200, [("x-user", "ann"), ("x-seen", "by http"), ("x-not-asked-for", "1"),
                              ("x-envoy-auth-headers-to-remove", "x-secret")])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = decide

    def log_message(self, *args):
        pass


# Just enough of protobuf: fields of varints and of bytes.

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def parse(data):
    """Number -> list of values; varints as int, the rest as bytes."""
    out, at = {}, 0

    def read():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(data):
        key = read()
        value = read()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        out.setdefault(key >> 3, []).append(value)
    return out


def text(fields, number):
    return fields.get(number, [b""])[0].decode()


def option(key, value, append=None, action=0):
    out = field(1, field(1, key) + field(2, value))
    if append is not None:
        out += field(2, field(1, int(append)))
    return out + (field(3, action) if action else b"")


def check(request, context):
    attributes = parse(parse(request)[1][0])
    source = parse(parse(attributes[1][0]).get(1, [b""])[0])
    socket = parse(source.get(1, [b""])[0])
    http_request = parse(parse(attributes[4][0]).get(2, [b""])[0])
    headers = {text(parse(h), 1): text(parse(h), 2) for h in http_request.get(3, [])}
    path = text(http_request, 4)
    body = http_request.get(12, http_request.get(11, [b""]))[0]
    asked.write(json.dumps({"by": "grpc", "bytes": len(body), "sum": zlib.crc32(body), "raw": 12 in http_request,
                            "size": http_request.get(9, [0])[0], "method": text(http_request, 2), "path": path,
                            "host": text(http_request, 5), "source": text(socket, 2),
                            "headers": headers}) + "\n")
    word = word_of(path)
    if word == "deny":
        denied = field(1, field(1, 429)) + field(2, option("x-why", "too many")) + field(3, "slow down")
        return field(1, field(1, 7)) + field(2, denied)
    if word == "empty":
        return field(1, field(1, 7))
    if word == "error":
        context.abort(grpc.StatusCode.INTERNAL, "broken")
    if word == "hang":
        stop.wait()
    if word == "huge":
        return field(1, field(1, 7)) + field(2, field(3, "x" * 1000000))
    if word == "junk":
        return b"\xff\xff\xff"
    if word == "split":
        return field(3, field(2, option("x-user", "ann\r\nx-evil: 1")) + field(2, option("host", "evil")) +
                     field(2, option(":path", "/evil")))
    if word == "query":
        return field(1, field(1, 0)) + field(3, field(7, field(1, "set") + field(2, "a&b =\u00e9")) +
                                             field(7, field(1, "new") + field(2, "1")) + field(8, "gone"))
    ok = (field(2, option("x-user", "ann")) + field(2, option("x-roles", "b", append=True)) +
          field(2, option("x-new", "new", action=1)) + field(2, option("x-old", "not", action=1)) +
          field(5, "x-secret") + field(6, option("x-seen", "by grpc")))
    return field(1, field(1, 0)) + field(3, ok)


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    web = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "envoy.service.auth.v3.Authorization", {"Check": grpc.unary_unary_rpc_method_handler(check)}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open("vars", "a") as out:
        out.write(f"authz_http='{web.server_port}'\nauthz_grpc='{port}'\n")
    open("providers", "w").close()
    stop.wait()
    sys.stdout.flush()
    os._exit(0)


main()
