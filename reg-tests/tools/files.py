#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An upstream that serves the files of a folder: files.py PORT FOLDER

Unlike `python3 -m http.server` it takes a browser's hundred connections at once: past that one's
queue of five the kernel drops what completes the handshake, and the next try may be a minute away."""
import functools
import http.server
import os
import signal
import sys


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("127.0.0.1", int(sys.argv[1])), functools.partial(
    http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])).serve_forever()
