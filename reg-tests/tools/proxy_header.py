#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Headers of the PROXY protocol, good and bad, before a request for shop.example.

    proxy_header.py table ADDRESS PORT [--tls NAME]   every case: in one piece, cut, byte by byte
    proxy_header.py ask ADDRESS PORT PATH [SOURCE [CLIENT]]
                                                      one request for CLIENT that SOURCE connects for
    proxy_header.py late ADDRESS PORT                 half a header and silence: waits for the end

Connections come from ADDRESS itself. `table` prints how many headers were good, and how many connections were closed for a bad one.
"""
import os
import socket
import ssl
import struct
import sys

PATIENCE = float(os.environ.get("PATIENCE", 30))
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4001, 443)
V6 = (socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
      + struct.pack("!HH", 4001, 443))


def v1(family="TCP4", source="192.0.2.1", destination="198.51.100.1"):
    return f"PROXY {family} {source} {destination} 4001 443\r\n".encode()


def v2(body, command=0x21, family=0x11, length=None):
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


# What the header makes of the client; None: the connection is closed. "": the socket's own address.
CASES = [
    (v1(), "192.0.2.1"),
    (v1("TCP6", "2001:db8::1", "2001:db8::2"), "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (v2(V4), "192.0.2.1"),
    (v2(V6, family=0x21), "2001:db8::1"),
    (v2(V4 + tlv(4, b"\0" * (4096 - 12 - 3))), "192.0.2.1"),
    (v2(V4 + tlv(2, b"shop.example") + tlv(0x20, b"\1\0\0\0\0")), "192.0.2.1"),
    (v2(b"", 0x20, 0), ""),
    (v2(b"whatever", 0x20, 0), ""),
    (b"", None),
    (v1() + v1(), None),                                # one header, not two: the second is no request
    (v2(V4) + v2(V4), None),
    (v1(source="224.0.0.1"), None),
    (v1("TCP6"), None),
    (b"PROXY TCP4 192.0.2.1\r\n", None),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 4001 443" + b" " * 70, None),
    (v2(V4, 0x31), None),
    (v2(V4, 0x22), None),
    (v2(V4[:8]), None),
    (v2(V4 + b"\4\0\5abc"), None),
    (v2(V4 + tlv(3, b"\0\0\0\0")), None),
    (v2(b"\0" * 216, family=0x31), None),
    (v2(V4, length=4097), None),
]
REFUSED_BY_HTTP = 2     # of the above: the second header is what the request begins with


def connect(address, port, source=None):
    s = socket.create_connection((address, port), timeout=PATIENCE,
                                 source_address=(source or address, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    data = b""
    while True:
        try:
            piece = s.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            return data
        if not piece:
            return data
        data += piece


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n".encode()


def told(answer):
    """The client that the upstream was told of."""
    for line in answer.decode(errors="replace").splitlines():
        if line.lower().startswith("x-forwarded-for: "):
            return line.split(": ")[1]
    return ""


def exchange(address, port, header, how, tls):
    """The response to a request behind the header, b"" when the connection ends without one."""
    s = connect(address, port)
    wire = header + (b"" if tls else request("/head/"))
    try:
        if how == "whole":
            s.sendall(wire)
        elif how == "cut":
            s.sendall(wire[:len(header) // 2])
            s.sendall(wire[len(header) // 2:])
        else:
            for i in range(min(len(wire), 200)):
                s.sendall(wire[i:i + 1])
            s.sendall(wire[200:])
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            s = context.wrap_socket(s, server_hostname=tls)
            s.sendall(request("/head/"))
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
        return b""
    with s:
        return read_all(s)


def table(address, port, tls=None):
    good = bad = 0
    for header, client in CASES:
        for how in "whole", "cut", "bytes":
            answer = exchange(address, port, header, how, tls)
            if client is None:
                ok = answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
                bad += 1
            else:
                ok = told(answer) == client if client else told(answer) not in ("", "192.0.2.1", "2001:db8::1")
                good += 1
            if not ok:
                sys.exit(f"{header!r} {how}: {answer!r}")
    second = 3 * REFUSED_BY_HTTP
    print(good + second, bad - second)


def ask(address, port, path, source=None, client="192.0.2.1"):
    s = connect(address, port, source)
    s.sendall(v1(source=client) + request(path))
    head, _, body = read_all(s).partition(b"\r\n\r\n")
    print(f"{head[9:12].decode()} {body.decode()}".strip() or "closed")


def late(address, port):
    s = connect(address, port)
    s.sendall(v1()[:20])
    print("closed" if read_all(s) == b"" else "answered")


def main():
    command, address, port, *rest = sys.argv[1:]
    if command == "table":
        table(address, int(port), rest[1] if rest else None)
    elif command == "ask":
        ask(address, int(port), *rest)
    else:
        late(address, int(port))


main()
