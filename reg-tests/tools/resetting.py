#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An upstream that answers every request in part and then resets the connection, without a pause.

    resetting.py

Its port is written to the file `port`. What it says is the path: /length, /chunked, /head (half of it),
/close (a body that ends with the connection), /nothing.
"""
import os
import socket
import struct

ANSWERS = {
    b"/length": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
    b"/chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"/head": b"HTTP/1.1 200 OK\r\ncontent-le",
    b"/close": b"HTTP/1.1 200 OK\r\n\r\nhalf",
    b"/nothing": b"",
}
listening = socket.create_server(("127.0.0.1", 0))
with open("port.new", "w") as port:
    port.write(str(listening.getsockname()[1]))
os.rename("port.new", "port")
while True:
    s, _ = listening.accept()
    request = s.recv(65536)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if request:
        s.sendall(ANSWERS[request.split(b" ")[1]])
    s.close()
