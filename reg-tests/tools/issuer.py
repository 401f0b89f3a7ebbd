#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A tiny issuer for tests and the demo: serves a JWKS file on 127.0.0.1, well or badly.

    issuer.py [--port N] [--port-file FILE] [--log FILE] [--certificate FOLDER] KEYS.jwks

Prints the port it listens on. The keys file is read anew for every request, so that replacing it
rotates the keys. With --certificate it speaks TLS by tls.crt and tls.key of that folder.

    /keys, /.well-known/jwks.json       the keys file
    /.well-known/openid-configuration   points to /keys
    /count                              how often /keys was asked for (does not count itself)
    /mode/NAME                          from now on /keys answers as NAME says:
        ok  500  404  garbage  big  hang  slow  drip  redirect  loop  metadata  local  ftp  empty
        truncate  close
    /keys?mode=NAME                     the same for one request

`hang` holds the request for a minute, `slow` answers after a second, `drip` sends a byte a second,
`big` is 10 MB, `redirect` leads to /keys?mode=ok, `loop` to itself, `metadata` to 169.254.169.254,
`local` to a link-local address in IPv6's clothes, `ftp` to what is no HTTP, `empty` has no keys,
`truncate` closes in the middle of the body, `close` before the first byte.
"""
import argparse
import http.server
import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.parse

MODES = ("ok", "500", "404", "garbage", "big", "hang", "slow", "drip", "redirect", "loop", "metadata",
         "local", "ftp", "empty", "truncate", "close")
ELSEWHERE = {
    "redirect": "/keys?mode=ok", "loop": "/keys?mode=loop", "ftp": "ftp://127.0.0.1/keys",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "local": "http://[::ffff:169.254.1.1]/keys",
}


class State:
    lock = threading.Lock()
    keys_file = ""
    mode = "ok"
    count = 0
    log = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "issuer"

    def log_message(self, form, *args):
        if State.log is not None:
            State.log.write("%s\n" % (form % args))
            State.log.flush()

    def answer(self, status, body=b"", content_type="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "60")
        self.end_headers()
        for _ in range(60):
            self.wfile.write(b" ")
            time.sleep(1)

    def keys(self, mode):
        if mode == "hang":
            time.sleep(60)
        if mode == "slow":
            time.sleep(1)
        if mode in ("hang", "close"):
            self.close_connection = True
        elif mode in ("500", "404"):
            self.answer(int(mode), b"no keys today\n", "text/plain")
        elif mode == "garbage":
            self.answer(200, b"<html>\x00\xff not JSON")
        elif mode == "big":
            self.answer(200, b'{"keys":[]' + b" " * (10 << 20) + b"}")
        elif mode in ELSEWHERE:
            self.answer(302, Location=ELSEWHERE[mode])
        elif mode == "empty":
            self.answer(200, b'{"keys":[]}')
        elif mode == "drip":
            self.drip()
        else:
            with open(State.keys_file, "rb") as f:
                body = f.read()
            if mode == "truncate":
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:len(body) // 2])
                self.close_connection = True
            else:
                self.answer(200, body)

    def do_GET(self):
        try:
            self.answer_get()
        except OSError:
            self.close_connection = True

    def answer_get(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path in ("/keys", "/.well-known/jwks.json"):
            with State.lock:
                State.count += 1
                mode = query.get("mode", [State.mode])[0]
            self.keys(mode)
        elif url.path.endswith("/.well-known/openid-configuration"):
            here = "http://127.0.0.1:%d" % self.server.server_address[1]
            issuer = here + url.path[:-len("/.well-known/openid-configuration")]
            self.answer(200, json.dumps({"issuer": issuer, "jwks_uri": here + "/keys"}).encode())
        elif url.path == "/count":
            self.answer(200, b"%d\n" % State.count, "text/plain")
        elif url.path.startswith("/mode/") and url.path[6:] in MODES:
            with State.lock:
                State.mode = url.path[6:]
            self.answer(200, b"mode is %s now\n" % url.path[6:].encode(), "text/plain")
        else:
            self.answer(404, b"unknown path\n", "text/plain")


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--port-file", help="the port is written there when it listens")
    parser.add_argument("--log", help="append a line a request")
    parser.add_argument("--certificate", help="folder of tls.crt and tls.key: speak TLS")
    parser.add_argument("keys", help="JWKS file")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    State.keys_file = args.keys
    if args.log:
        State.log = open(args.log, "a", encoding="utf-8")
    server = Server(("127.0.0.1", args.port), Handler)
    if args.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(os.path.join(args.certificate, "tls.crt"),
                            os.path.join(args.certificate, "tls.key"))
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    if args.port_file:
        with open(args.port_file + ".new", "w", encoding="ascii") as f:
            f.write("%d\n" % port)
        os.rename(args.port_file + ".new", args.port_file)
    print(port, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
